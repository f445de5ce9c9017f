//! Showing a night as it goes: one line per event, for people.

use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;

use super::say;
use crate::domain::event::{GovernanceEvent, Severity};
use crate::domain::ids::RunId;
use crate::domain::run::Run;
use crate::store::{EventQuery, Store, StoreError};

/// How long we trust announcements alone before we look again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
const PAGE: u32 = 500;

/// `02:14:09  #12  Pull request opened …  $0.03`.
#[must_use]
pub fn line(event: &GovernanceEvent) -> String {
    let time = event.timestamp.format("%H:%M:%S");
    let issue = event.metadata.get("issueNumber").and_then(serde_json::Value::as_u64);
    let issue = issue.map_or_else(String::new, |number| format!("#{number}"));
    let mark = match event.severity {
        Severity::Info | Severity::Low => "",
        Severity::Medium => "! ",
        Severity::High | Severity::Critical => "!! ",
    };
    let cost = event.metadata.get("costUsd").and_then(serde_json::Value::as_f64);
    let cost = cost.filter(|usd| *usd > 0.0).map_or_else(String::new, |usd| format!("  ${usd:.4}"));
    // What stands in a description may come from an issue: it must not steer the terminal.
    let text: String =
        event.description.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{time}  {issue:>6}  {mark}{text}{cost}")
}

/// Prints a run's events from the store until the run ended, then gives the run.
pub async fn follow(store: &Store, id: &RunId, json: bool) -> Result<Option<Run>, StoreError> {
    let mut announcements = store.subscribe();
    let mut after = 0;
    loop {
        // The status first: once it says ended, no later event comes.
        let Some(night) = store.night_status(id).await? else { return Ok(None) };
        loop {
            let query = EventQuery {
                run: Some(id.clone()),
                after_seq: Some(after),
                limit: PAGE,
                ascending: true,
                ..EventQuery::default()
            };
            let events = store.events(query).await?;
            for event in &events {
                after = event.seq;
                say(json, &line(event));
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
    use super::*;

    #[test]
    fn a_line_says_when_which_what_and_how_much() {
        let event: GovernanceEvent = serde_json::from_value(serde_json::json!({
            "id": "e", "seq": 3, "timestamp": "2026-11-22T02:14:09Z", "type": "pr_blocked", "severity": "high",
            "description": "Refused\u{1b}[2J: a test was deleted", "metadata": { "issueNumber": 12, "costUsd": 0.0312 },
        }))
        .expect("an event");
        assert_eq!(line(&event), "02:14:09     #12  !! Refused [2J: a test was deleted  $0.0312");
    }
}
