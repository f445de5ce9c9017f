//! The log in forms that other programs take: JSON lines, and `CloudEvents` 1.0. Pure.

use serde_json::{Value, json};

use crate::domain::event::GovernanceEvent;

/// The media type of JSON lines.
pub const JSONL: &str = "application/x-ndjson";
/// The media type of a batch of `CloudEvents`, a JSON array.
pub const CLOUDEVENTS: &str = "application/cloudevents-batch+json";

/// An event on one line, with what proves its place: its hash and the one before it.
#[must_use]
pub fn jsonl(event: &GovernanceEvent) -> Value {
    let mut value = json!(event);
    value["runId"] = json!(event.run);
    value["issueNumber"] = json!(event.issue);
    value["prevHash"] = json!(event.prev_hash);
    value["hash"] = json!(event.hash);
    value
}

/// An event as a `CloudEvent` in structured JSON. `source` names this Foreman.
#[must_use]
pub fn cloud_event(event: &GovernanceEvent, source: &str) -> Value {
    let mut value = json!({
        "specversion": "1.0",
        "id": event.id,
        "source": source,
        "type": format!("foreman.governance.{}", event.kind),
        "time": event.timestamp,
        "datacontenttype": "application/json",
        // Extensions have lower case names.
        "sequence": event.seq.to_string(),
        "severity": event.severity,
        "hash": event.hash,
        "data": { "description": event.description, "metadata": event.metadata },
    });
    let subject = match (&event.run, event.issue) {
        (Some(run), Some(issue)) => Some(format!("runs/{run}/issues/{}", issue.0)),
        (Some(run), None) => Some(format!("runs/{run}")),
        (None, Some(issue)) => Some(format!("issues/{}", issue.0)),
        (None, None) => None,
    };
    if let Some(subject) = subject {
        value["subject"] = json!(subject);
    }
    value
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::domain::event::{EventType, Severity};
    use crate::domain::ids::{IssueNumber, RunId};

    #[test]
    fn a_cloud_event_has_what_the_specification_requires() {
        let event = GovernanceEvent {
            id: "e1".to_owned(),
            seq: 4,
            timestamp: DateTime::UNIX_EPOCH,
            kind: EventType::PrOpened,
            severity: Severity::Info,
            description: "d".to_owned(),
            metadata: serde_json::Map::new(),
            run: Some(RunId::new("r")),
            issue: Some(IssueNumber(7)),
            prev_hash: "p".to_owned(),
            hash: "h".to_owned(),
        };
        let cloud = cloud_event(&event, "/foreman");
        for key in ["specversion", "id", "source", "type"] {
            assert!(cloud[key].as_str().is_some_and(|text| !text.is_empty()), "{key}");
        }
        assert_eq!(cloud["subject"], "runs/r/issues/7");
        assert_eq!(cloud["time"], "1970-01-01T00:00:00Z");
        let names = cloud.as_object().expect("an object").keys();
        for name in names {
            assert!(name.len() <= 20 && name.bytes().all(|b| b.is_ascii_lowercase()), "{name}");
        }
        let line = jsonl(&event);
        assert_eq!((&line["prevHash"], &line["seq"]), (&json!("p"), &json!(4)));
    }
}
