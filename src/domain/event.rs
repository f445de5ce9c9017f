//! Governance events: what was done and decided, chained by hash.
//!
//! Owns the event's shape, its canonical bytes and its hash. Where events are kept is the
//! store's business; how they are read is governance's.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ids::{IssueNumber, RunId};
use super::time::to_micros;

/// How loudly an event speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    pub const ALL: [Self; 5] = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Severity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|severity| severity.as_str() == text)
            .ok_or_else(|| format!("`{text}` is not a severity: info, low, medium, high, critical"))
    }
}

macro_rules! event_types {
    ($($variant:ident => $text:literal),+ $(,)?) => {
        /// What kind of thing happened. The names are stable: people filter and alert on them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum EventType { $($variant),+ }

        impl EventType {
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

event_types! {
    ModelEscalation => "model_escalation",
    ModelEscalationFailed => "model_escalation_failed",
    ModelFallback => "model_fallback",
    DesktopSync => "desktop_sync",
    DesktopSyncStarted => "desktop_sync_started",
    DesktopSyncFailed => "desktop_sync_failed",
    RepositoryDriftDetected => "repository_drift_detected",
    BuilderSwitch => "builder_switch",
    DesktopHealthCheck => "desktop_health_check",
    OvernightExecutionQueued => "overnight_execution_queued",
    OvernightExecutionStarted => "overnight_execution_started",
    OvernightExecutionResumed => "overnight_execution_resumed",
    OvernightExecutionCompleted => "overnight_execution_completed",
    OvernightExecutionFailed => "overnight_execution_failed",
    OvernightExecutionHalted => "overnight_execution_halted",
    OvernightExecutionCancelled => "overnight_execution_cancelled",
    CancelRequested => "cancel_requested",
    IssueFetchFailed => "issue_fetch_failed",
    PlanCreated => "plan_created",
    LabelIgnored => "label_ignored",
    BaseJudged => "base_judged",
    IssueSkipped => "issue_skipped",
    IssueExecutionStarted => "issue_execution_started",
    IssueExecutionResumed => "issue_execution_resumed",
    IssueExecutionCompleted => "issue_execution_completed",
    IssueExecutionFailed => "issue_execution_failed",
    CopilotAssigned => "copilot_assigned",
    CopilotPullFound => "copilot_pull_found",
    CopilotSkipped => "copilot_skipped",
    CopilotFailed => "copilot_failed",
    CopilotMarked => "copilot_marked",
    BuildStarted => "build_started",
    BuildProgress => "build_progress",
    BuildFinished => "build_finished",
    GateJudged => "gate_judged",
    AttemptRolledBack => "attempt_rolled_back",
    PrAllowed => "pr_allowed",
    PrBlocked => "pr_blocked",
    BranchPushed => "branch_pushed",
    PrOpened => "pr_opened",
    IssueCommented => "issue_commented",
    EscalationPendingApproval => "escalation_pending_approval",
    EscalationExempt => "escalation_exempt",
    EscalationAlert => "escalation_alert",
    EscalationViolation => "escalation_violation",
    EscalationDecided => "escalation_decided",
    EscalationOverride => "escalation_override",
    BudgetExhausted => "budget_exhausted",
    ProviderFailed => "provider_failed",
    ChargeUnknown => "charge_unknown",
    GovernanceIssueCreated => "governance_issue_created",
    CheckpointFailed => "checkpoint_failed",
    ChainBroken => "chain_broken",
    EventsRetained => "events_retained",
    IncidentOpened => "incident_opened",
    IncidentClosed => "incident_closed",
    AlertFailed => "alert_failed",
    MemoryRecorded => "memory_recorded",
    MemoryDriftDetected => "memory_drift_detected",
    Unreadable => "unreadable",
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EventType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("`{text}` is not an event type"))
    }
}

/// An event about to be written. `id` and `at` are given, `seq` and the hashes come from the log.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    pub kind: EventType,
    pub severity: Severity,
    pub run: Option<RunId>,
    pub issue: Option<IssueNumber>,
    /// A sentence for people, already redacted.
    pub description: String,
    /// Facts for machines, already redacted; an object.
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

impl NewEvent {
    /// An event of severity `info` that belongs to no run; set the rest with the builders.
    #[must_use]
    pub fn new(kind: EventType, description: impl Into<String>) -> Self {
        Self {
            kind,
            severity: Severity::Info,
            run: None,
            issue: None,
            description: description.into(),
            metadata: serde_json::Map::new(),
        }
    }

    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// The run this belongs to; it also stands in the metadata, as the contract says.
    #[must_use]
    pub fn run(mut self, run: &RunId) -> Self {
        self.run = Some(run.clone());
        self.with("runId", run.as_str())
    }

    #[must_use]
    pub fn issue(mut self, issue: IssueNumber) -> Self {
        self.issue = Some(issue);
        self.with("issueNumber", issue.0)
    }

    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<serde_json::Value>) -> Self {
        self.metadata.insert(key.to_owned(), value.into());
        self
    }
}

/// An event as it stands in the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GovernanceEvent {
    pub id: String,
    pub seq: i64,
    pub timestamp: DateTime<Utc>,
    #[serde(rename = "type")]
    pub kind: EventType,
    pub severity: Severity,
    pub description: String,
    pub metadata: serde_json::Map<String, serde_json::Value>,
    #[serde(skip)]
    pub run: Option<RunId>,
    #[serde(skip)]
    pub issue: Option<IssueNumber>,
    #[serde(skip)]
    pub prev_hash: String,
    #[serde(skip)]
    pub hash: String,
}

/// The hash before the first event.
pub const GENESIS_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The bytes that are hashed: a version line, then each field with its length in front, so that no
/// two different events share bytes. `metadata` is the JSON text as stored: it is hashed as it
/// stands and never re-serialised.
#[derive(Debug, Clone, Copy)]
pub struct Canonical<'a> {
    pub seq: i64,
    pub id: &'a str,
    pub at: DateTime<Utc>,
    pub kind: &'a str,
    pub severity: &'a str,
    pub run: Option<&'a str>,
    pub issue: Option<u64>,
    pub description: &'a str,
    pub metadata: &'a str,
}

impl Canonical<'_> {
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"foreman.event.v1\n".to_vec();
        let mut field = |text: &str| {
            bytes.extend_from_slice(text.len().to_string().as_bytes());
            bytes.push(b':');
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(b'\n');
        };
        field(&self.seq.to_string());
        field(self.id);
        field(&to_micros(self.at).to_string());
        field(self.kind);
        field(self.severity);
        field(self.run.unwrap_or(""));
        field(&self.issue.map(|number| number.to_string()).unwrap_or_default());
        field(self.description);
        field(self.metadata);
        bytes
    }

    /// SHA-256 over the previous hash and these bytes, in hexadecimal.
    #[must_use]
    pub fn hash(&self, previous: &str) -> String {
        let mut hasher = Sha256::new();
        hasher.update(previous.as_bytes());
        hasher.update(b"\n");
        hasher.update(self.bytes());
        hex::encode(hasher.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical<'a>(description: &'a str, metadata: &'a str) -> Canonical<'a> {
        Canonical {
            seq: 1,
            id: "e",
            at: DateTime::UNIX_EPOCH,
            kind: "pr_opened",
            severity: "info",
            run: None,
            issue: Some(2),
            description,
            metadata,
        }
    }

    #[test]
    fn text_cannot_slide_from_one_field_into_the_next() {
        assert_ne!(canonical("ab", "{}").bytes(), canonical("a", "b{}").bytes());
        assert_ne!(canonical("a\n2:{}", "").bytes(), canonical("a", "{}").bytes());
    }

    #[test]
    fn the_hash_depends_on_the_one_before() {
        let event = canonical("a", "{}");
        assert_ne!(event.hash(GENESIS_HASH), event.hash(&event.hash(GENESIS_HASH)));
    }

    #[test]
    fn type_names_read_back() {
        for kind in EventType::ALL {
            assert_eq!(kind.as_str().parse::<EventType>(), Ok(*kind));
            assert_eq!(
                serde_json::to_value(kind).expect("an enum"),
                serde_json::Value::from(kind.as_str())
            );
        }
    }
}
