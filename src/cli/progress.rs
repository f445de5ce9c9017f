//! Showing a night as it goes: one line per event, for people.

use std::time::Duration;

use chrono::Local;
use tokio::sync::broadcast::error::RecvError;

use super::{printable, say};
use crate::domain::event::{EventType, GovernanceEvent, Severity};
use crate::domain::ids::RunId;
use crate::domain::run::Run;
use crate::store::{EventQuery, Store, StoreError};

/// How long we trust announcements alone before we look again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
const PAGE: u32 = 500;

/// Turns events into lines for people, leaving out what the line before said already.
#[derive(Debug, Default)]
pub struct Lines {
    /// Why the gate last refused something.
    refused: Option<String>,
}

impl Lines {
    /// `02:14:09  #12 ✗ did not pass: a test was deleted`, in local time; `None` where there is
    /// nothing new to say.
    pub fn line(&mut self, event: &GovernanceEvent) -> Option<String> {
        let passed = event.metadata.get("passed").and_then(serde_json::Value::as_bool);
        let mark = match event.kind {
            EventType::OvernightExecutionQueued | EventType::PrAllowed => return None,
            EventType::PrBlocked => {
                let told = self.refused.take();
                if told.is_some_and(|why| event.description.ends_with(&why)) {
                    return None;
                }
                "!"
            }
            EventType::GateJudged if passed == Some(false) => {
                let why = event.description.split_once(": ").map(|(_, why)| why.to_owned());
                self.refused = why;
                "✗"
            }
            EventType::IssueExecutionFailed => "✗",
            EventType::GateJudged if passed == Some(true) => "✓",
            EventType::IssueExecutionCompleted => "✓",
            _ => match event.severity {
                Severity::Info | Severity::Low => "",
                Severity::Medium => "!",
                Severity::High | Severity::Critical => "!!",
            },
        };
        let time = event.timestamp.with_timezone(&Local).format("%H:%M:%S");
        let issue = event.metadata.get("issueNumber").and_then(serde_json::Value::as_u64);
        let issue = issue.map_or_else(String::new, |number| format!("#{number}"));
        let cost = event.metadata.get("costUsd").and_then(serde_json::Value::as_f64);
        let cost =
            cost.filter(|usd| *usd > 0.0).map_or_else(String::new, |usd| format!("  ${usd:.4}"));
        let text = without_number(&event.description, &issue);
        Some(format!("{time} {issue:>6} {mark:<2} {}{cost}", printable(text)))
    }
}

/// A sentence without the issue's number at its start: the column before it says so.
fn without_number<'a>(text: &'a str, issue: &str) -> &'a str {
    let rest = text.strip_prefix(issue).filter(|_| !issue.is_empty());
    let rest = rest.and_then(|rest| rest.strip_prefix(": ").or_else(|| rest.strip_prefix(' ')));
    rest.unwrap_or(text)
}

/// Prints a run's events from the store until the run ended, then gives the run.
pub async fn follow(store: &Store, id: &RunId, json: bool) -> Result<Option<Run>, StoreError> {
    let mut announcements = store.subscribe();
    let (mut lines, mut after) = (Lines::default(), 0);
    loop {
        // The status first: once it says ended, no later event comes.
        let Some(night) = store.night_status(id).await? else { return Ok(None) };
        loop {
            let query = EventQuery {
                runs: vec![id.clone()],
                after_seq: Some(after),
                limit: PAGE,
                ascending: true,
                ..EventQuery::default()
            };
            let events = store.events(query).await?;
            for event in &events {
                after = event.seq;
                if let Some(line) = lines.line(event) {
                    say(json, &line);
                }
            }
            if events.is_empty() {
                break;
            }
        }
        if !night.status.is_active() {
            return store.run(id).await;
        }
        let announced = async {
            loop {
                match announcements.recv().await {
                    Ok(event) if event.run.as_ref() == Some(id) && event.seq > after => return,
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => return,
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        tokio::time::timeout(LOOK_AGAIN, announced).await.ok();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The lines without their times, which depend on where the machine stands.
    fn shown(events: &[(&str, &str, &str, Value)]) -> Vec<String> {
        let mut lines = Lines::default();
        let event = |(kind, severity, text, metadata): &(&str, &str, &str, Value)| {
            let event = json!({
                "id": "e", "seq": 3, "timestamp": "2026-11-22T02:14:09Z", "type": kind,
                "severity": severity, "description": text, "metadata": metadata,
            });
            serde_json::from_value(event).expect("an event")
        };
        events
            .iter()
            .filter_map(|given| lines.line(&event(given)))
            .map(|line| line.split_once(' ').expect("a time").1.to_owned())
            .collect()
    }

    #[test]
    fn a_line_says_which_what_and_how_much() {
        let metadata = json!({"issueNumber": 12, "costUsd": 0.0312});
        let lines = shown(&[(
            "provider_failed",
            "high",
            "#12: refused\u{1b}[2J: a test was deleted",
            metadata,
        )]);
        assert_eq!(lines, ["   #12 !! refused [2J: a test was deleted  $0.0312"]);
    }

    #[test]
    fn a_refusal_is_told_once() {
        let on = |passed: Value| json!({"issueNumber": 5, "passed": passed});
        let lines = shown(&[
            ("gate_judged", "low", "#5 did not pass: a test was deleted", on(json!(false))),
            ("pr_blocked", "medium", "#5: no pull request, a test was deleted", on(json!(null))),
            ("pr_blocked", "medium", "#5: the branch is not ours", on(json!(null))),
            ("gate_judged", "info", "#5 passed every check", on(json!(true))),
            ("pr_allowed", "info", "#5: tree ab may be published", on(json!(null))),
        ]);
        assert_eq!(
            lines,
            [
                "    #5 ✗  did not pass: a test was deleted",
                "    #5 !  the branch is not ours",
                "    #5 ✓  passed every check",
            ]
        );
    }
}
