//! Alerts: which events are worth one, and in which form they and the morning report go out. Pure.
//!
//! Sending is `delivery.rs`'s business; queueing and retries are `watcher.rs`'s.

use std::time::Duration;

use serde_json::{Value, json};

use crate::domain::event::{EventType, GovernanceEvent, Severity};
use crate::store::NewAlert;

/// The longest text of an alert, in characters: Slack's limit of a section is 3,000.
const LONGEST_TEXT: usize = 2_500;
/// The longest subject of a letter, in characters.
const LONGEST_SUBJECT: usize = 120;
/// Waits before the tries after the first; then it is given up.
const RETRIES: [Duration; 5] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
    Duration::from_secs(1_800),
];

/// What is worth an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertRules {
    pub min_severity: Severity,
    /// Always, whatever their severity.
    pub always: Vec<EventType>,
    /// Never.
    pub never: Vec<EventType>,
    /// Alike ones within this time are one.
    pub window: Duration,
}

impl Default for AlertRules {
    fn default() -> Self {
        Self {
            min_severity: Severity::High,
            always: Vec::new(),
            never: Vec::new(),
            window: Duration::from_secs(600),
        }
    }
}

impl AlertRules {
    /// The alert of an event to these places, if it is worth one.
    #[must_use]
    pub fn alert(&self, event: &GovernanceEvent, places: &[String]) -> Option<NewAlert> {
        // An alert about an alert that failed would fail as well.
        let silent = event.kind == EventType::AlertFailed || self.never.contains(&event.kind);
        let loud = event.severity >= self.min_severity || self.always.contains(&event.kind);
        if silent || !loud {
            return None;
        }
        let run = event.run.as_ref().map_or("", |run| run.as_str());
        let issue = event.issue.map(|issue| issue.0.to_string()).unwrap_or_default();
        Some(NewAlert {
            dedupe: format!("{}|{run}|{issue}", event.kind),
            window_micros: i64::try_from(self.window.as_micros()).unwrap_or(i64::MAX),
            event_seq: Some(event.seq),
            places: places.to_vec(),
            payload: json!({ "severity": event.severity, "text": event.description, "event": event }),
        })
    }
}

/// How an alert is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AlertForm {
    /// Ours: severity, text and the event.
    #[default]
    Json,
    /// What Slack's incoming webhooks take, and Mattermost's, Rocket.Chat's and Discord's `/slack`.
    Slack,
}

/// The body of an alert.
#[must_use]
pub fn body(form: AlertForm, id: &str, payload: &Value) -> String {
    match form {
        AlertForm::Json => {
            let mut body = payload.clone();
            body["id"] = json!(id);
            body.to_string()
        }
        AlertForm::Slack => {
            let severity = payload["severity"].as_str().unwrap_or("info");
            let text = payload["report"].as_str().or(payload["text"].as_str()).unwrap_or_default();
            let text = clip(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let text = format!("*Foreman · {severity}* {text}");
            let section = json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } });
            json!({ "text": text, "blocks": [section] }).to_string()
        }
    }
}

fn clip(text: &str) -> String {
    let mut clipped: String = text.chars().take(LONGEST_TEXT).collect();
    if clipped.len() < text.len() {
        clipped.push('…');
    }
    clipped
}

/// The morning report of a run to these places: once, however often the run is told of.
#[must_use]
pub fn report(event: &GovernanceEvent, report: &str, places: &[String]) -> Option<NewAlert> {
    let run = event.run.as_ref()?;
    Some(NewAlert {
        dedupe: format!("report|{run}"),
        window_micros: i64::MAX,
        event_seq: Some(event.seq),
        places: places.to_vec(),
        payload: json!({
            "severity": "info",
            "text": event.description,
            "report": report,
            "runId": run,
        }),
    })
}

/// An alert or a report as a letter: its subject and its text.
#[must_use]
pub fn letter(payload: &Value) -> (String, String) {
    let text = payload["text"].as_str().unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    let short: String = line.chars().take(LONGEST_SUBJECT).collect();
    match payload["report"].as_str() {
        Some(report) => (format!("Foreman: {short}"), format!("{text}\n\n{report}\n")),
        None => {
            let severity = payload["severity"].as_str().unwrap_or("info");
            let mut body = format!("{text}\n");
            for (name, key) in [("Event", "seq"), ("Type", "type"), ("Time", "timestamp")] {
                match &payload["event"][key] {
                    Value::Null => {}
                    Value::String(value) => body.push_str(&format!("\n{name}: {value}")),
                    value => body.push_str(&format!("\n{name}: {value}")),
                }
            }
            body.push('\n');
            (format!("Foreman, {severity}: {short}"), body)
        }
    }
}

/// How long to wait after so many tries; `None`: give up.
#[must_use]
pub fn pause_after(tries: i64) -> Option<Duration> {
    let index = usize::try_from(tries.max(1) - 1).ok()?;
    RETRIES.get(index).copied()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::domain::ids::RunId;

    fn event(kind: EventType, severity: Severity) -> GovernanceEvent {
        GovernanceEvent {
            id: "e".to_owned(),
            seq: 3,
            timestamp: DateTime::UNIX_EPOCH,
            kind,
            severity,
            description: "a <b> & c".to_owned(),
            metadata: serde_json::Map::new(),
            run: Some(RunId::new("r")),
            issue: None,
            prev_hash: String::new(),
            hash: String::new(),
        }
    }

    #[test]
    fn severity_and_rules_decide() {
        let rules = AlertRules {
            always: vec![EventType::PrBlocked],
            never: vec![EventType::ProviderFailed],
            ..AlertRules::default()
        };
        let alerted = |kind, severity| rules.alert(&event(kind, severity), &[]).is_some();
        assert!(alerted(EventType::ChainBroken, Severity::Critical));
        assert!(!alerted(EventType::PrOpened, Severity::Medium));
        assert!(alerted(EventType::PrBlocked, Severity::Info));
        assert!(!alerted(EventType::ProviderFailed, Severity::Critical));
        assert!(!alerted(EventType::AlertFailed, Severity::Critical));
    }

    #[test]
    fn slack_gets_its_form_and_its_escapes() {
        let alert = AlertRules::default()
            .alert(&event(EventType::ChainBroken, Severity::Critical), &[])
            .expect("an alert");
        let body: Value =
            serde_json::from_str(&body(AlertForm::Slack, "1", &alert.payload)).expect("JSON");
        assert_eq!(body["text"], "*Foreman · critical* a &lt;b&gt; &amp; c");
        assert_eq!(body["blocks"][0]["text"]["type"], "mrkdwn");
    }

    #[test]
    fn a_report_goes_out_whole_by_letter_and_clipped_by_chat() {
        let long = "line\n".repeat(1_000);
        let mut ended = event(EventType::OvernightExecutionCompleted, Severity::Info);
        ended.description = "The night is over".to_owned();
        let report = report(&ended, &long, &["email".to_owned()]).expect("of a run");
        let (subject, text) = letter(&report.payload);
        assert_eq!(subject, "Foreman: The night is over");
        assert!(text.len() > long.len());
        let chat: Value =
            serde_json::from_str(&body(AlertForm::Slack, "1", &report.payload)).expect("JSON");
        assert!(
            chat["text"].as_str().is_some_and(|text| text.len() < 3_000 && text.ends_with('…'))
        );
        let alert =
            AlertRules::default().alert(&event(EventType::ChainBroken, Severity::High), &[]);
        let (subject, text) = letter(&alert.expect("one").payload);
        assert_eq!(subject, "Foreman, high: a <b> & c");
        assert!(text.contains("Type: chain_broken") && text.contains("Event: 3"), "{text}");
    }

    #[test]
    fn retries_end() {
        assert_eq!(pause_after(1), Some(RETRIES[0]));
        assert_eq!(pause_after(5), Some(RETRIES[4]));
        assert_eq!(pause_after(6), None);
    }
}
