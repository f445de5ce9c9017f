//! Alerts: which events are worth one, in which form it goes out, and whether it arrived.
//!
//! Owns rules, forms and one delivery. Queueing and retries are `watcher.rs`'s business; nothing
//! here ever waits for a night or makes one wait.

use std::time::Duration;

use ring::hmac;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use crate::domain::event::{EventType, GovernanceEvent, Severity};
use crate::store::NewAlert;

/// The longest a webhook may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest text of an alert, in characters: Slack's limit of a section is 3,000.
const LONGEST_TEXT: usize = 2_500;
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
    /// The alert of an event, if it is worth one.
    #[must_use]
    pub fn alert(&self, event: &GovernanceEvent) -> Option<NewAlert> {
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

/// Where alerts go besides the log.
#[derive(Clone)]
pub struct Webhook {
    /// It may be a secret in itself.
    pub url: SecretString,
    pub form: AlertForm,
    /// Signs the body, so that the receiver knows who sent it.
    pub key: Option<SecretString>,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("form", &self.form).finish_non_exhaustive()
    }
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
            let text = payload["text"].as_str().unwrap_or_default();
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

/// The signature of a body: `sha256=` and the hexadecimal HMAC-SHA-256.
#[must_use]
pub fn signature(key: &SecretString, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose_secret().as_bytes());
    format!("sha256={}", hex::encode(hmac::sign(&key, body.as_bytes()).as_ref()))
}

/// How long to wait after so many tries; `None`: give up.
#[must_use]
pub fn pause_after(tries: i64) -> Option<Duration> {
    let index = usize::try_from(tries.max(1) - 1).ok()?;
    RETRIES.get(index).copied()
}

/// Sends alerts.
#[derive(Debug, Clone)]
pub struct Sender {
    webhook: Option<Webhook>,
    http: reqwest::Client,
}

impl Sender {
    /// A sender to the log and, where one is given, a webhook.
    pub fn new(webhook: Option<Webhook>) -> Result<Self, reqwest::Error> {
        // Already installed by another part is just as well.
        rustls::crypto::ring::default_provider().install_default().ok();
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent("foreman")
            .build()?;
        Ok(Self { webhook, http })
    }

    #[must_use]
    pub const fn has_webhook(&self) -> bool {
        self.webhook.is_some()
    }

    /// Says it in the log, by its severity.
    pub fn say(&self, id: &str, payload: &Value) {
        let text = payload["text"].as_str().unwrap_or_default();
        let severity = payload["severity"].as_str().unwrap_or("info");
        match severity {
            "high" | "critical" => {
                tracing::error!(target: "foreman::alert", alert = id, severity, "{text}");
            }
            _ => tracing::warn!(target: "foreman::alert", alert = id, severity, "{text}"),
        }
    }

    /// One try at the webhook. The error names neither address nor key.
    pub async fn send(&self, id: &str, payload: &Value) -> Result<(), String> {
        let Some(webhook) = &self.webhook else { return Ok(()) };
        let body = body(webhook.form, id, payload);
        let mut request = self
            .http
            .post(webhook.url.expose_secret())
            .header("content-type", "application/json")
            .header("x-foreman-delivery", id);
        if let Some(key) = &webhook.key {
            request = request.header("x-foreman-signature-256", signature(key, &body));
        }
        let answer = request.body(body).send().await.map_err(|error| {
            let error = error.without_url();
            let mut text = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                text = format!("{text}: {error}");
                cause = error.source();
            }
            text
        })?;
        let status = answer.status();
        if status.is_success() { Ok(()) } else { Err(format!("it answered {status}")) }
    }
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
        let alerted = |kind, severity| rules.alert(&event(kind, severity)).is_some();
        assert!(alerted(EventType::ChainBroken, Severity::Critical));
        assert!(!alerted(EventType::PrOpened, Severity::Medium));
        assert!(alerted(EventType::PrBlocked, Severity::Info));
        assert!(!alerted(EventType::ProviderFailed, Severity::Critical));
        assert!(!alerted(EventType::AlertFailed, Severity::Critical));
    }

    #[test]
    fn slack_gets_its_form_and_its_escapes() {
        let alert = AlertRules::default()
            .alert(&event(EventType::ChainBroken, Severity::Critical))
            .expect("an alert");
        let body: Value =
            serde_json::from_str(&body(AlertForm::Slack, "1", &alert.payload)).expect("JSON");
        assert_eq!(body["text"], "*Foreman · critical* a &lt;b&gt; &amp; c");
        assert_eq!(body["blocks"][0]["text"]["type"], "mrkdwn");
    }

    #[test]
    fn the_signature_is_the_known_hmac() {
        // RFC 4231, test case 2.
        let signed = signature(&SecretString::from("Jefe"), "what do ya want for nothing?");
        let known = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signed, format!("sha256={known}"));
    }

    #[test]
    fn retries_end() {
        assert_eq!(pause_after(1), Some(RETRIES[0]));
        assert_eq!(pause_after(5), Some(RETRIES[4]));
        assert_eq!(pause_after(6), None);
    }
}
