//! What the store gives back: rows as the rest of Foreman reads them.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::call::{Answer, ErrorClass};
use crate::domain::event::{EventType, Severity};
use crate::domain::ids::{AttemptId, CallId, CommitId, EscalationId, IssueNumber, RepoName, RunId};
use crate::domain::money::{Usage, Usd};
use crate::domain::plan::{Plan, ReasonCode};
use crate::domain::run::{IssueStatus, NightConfig, RunStatus};
use crate::domain::tier::ModelTier;

use super::changes::EffectState;

/// Which runs to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    pub owner: Option<String>,
    pub repo: Option<String>,
    pub status: Option<RunStatus>,
    /// 0 is the default of 20; at most 100.
    pub limit: u32,
    /// As the last page gave it.
    pub cursor: Option<String>,
}

/// A run as the engine works with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Night {
    pub id: RunId,
    pub repo: RepoName,
    pub config: NightConfig,
    pub dry_run: bool,
    pub plan: Option<Plan>,
    pub cancel_requested: bool,
    pub status: RunStatus,
    /// What was stored by `Change::Notes`; `null` before.
    pub notes: Value,
}

/// One builder's work on one issue.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptRow {
    pub id: AttemptId,
    pub issue: IssueNumber,
    /// Of the owner that wrote it last.
    pub epoch: i64,
    pub state: Value,
    pub status: AttemptStatus,
}

/// Whether an attempt is worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptStatus {
    Open,
    Ended,
}

/// An effect outside our database.
#[derive(Debug, Clone, PartialEq)]
pub struct EffectRow {
    pub key: String,
    pub kind: String,
    pub issue: Option<IssueNumber>,
    pub state: EffectState,
    pub intent: Value,
    pub observed: Option<Value>,
}

/// Where a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallStatus {
    Reserved,
    Dispatched,
    Settled,
    Unknown,
    Released,
}

impl CallStatus {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Dispatched => "dispatched",
            Self::Settled => "settled",
            Self::Unknown => "unknown",
            Self::Released => "released",
        }
    }

    /// Reads a stored name.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        [Self::Reserved, Self::Dispatched, Self::Settled, Self::Unknown, Self::Released]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// One upstream request, oldest first in every list.
#[derive(Debug, Clone, PartialEq)]
pub struct CallRow {
    pub id: CallId,
    pub attempt: AttemptId,
    pub issue: IssueNumber,
    pub escalation: Option<EscalationId>,
    pub tier: ModelTier,
    pub model: String,
    pub status: CallStatus,
    pub estimate: Usd,
    /// What is booked now: the estimate until settled, then the real cost; 0 when released.
    pub cost: Usd,
    pub usage: Option<Usage>,
    pub answer: Option<Answer>,
    pub error_class: Option<ErrorClass>,
    pub error_message: Option<String>,
    pub created_at: DateTime<Utc>,
    pub settled_at: Option<DateTime<Utc>>,
}

/// A stored result of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolRow {
    pub call: CallId,
    pub index: u32,
    pub tool_call_id: String,
    pub output: String,
    pub tree: Option<String>,
}

/// How an issue fared when it was last worked on.
#[derive(Debug, Clone, PartialEq)]
pub struct IssueHistory {
    pub issue: IssueNumber,
    pub run: RunId,
    pub status: IssueStatus,
    pub reason_code: Option<ReasonCode>,
    pub base_sha: Option<CommitId>,
    pub issue_digest: Option<String>,
    pub ended_at: DateTime<Utc>,
}

/// Which events to read.
#[derive(Debug, Clone, Default)]
pub struct EventQuery {
    /// Empty is all.
    pub types: Vec<EventType>,
    /// Empty is all.
    pub severities: Vec<Severity>,
    /// Inclusive.
    pub since: Option<DateTime<Utc>>,
    /// Exclusive.
    pub until: Option<DateTime<Utc>>,
    /// Empty is all.
    pub runs: Vec<RunId>,
    /// Empty is all.
    pub issues: Vec<IssueNumber>,
    /// Stands in the description; the case of ASCII letters does not matter.
    pub text: Option<String>,
    /// 0 is the default of 100; at most 1,000.
    pub limit: u32,
    pub before_seq: Option<i64>,
    pub after_seq: Option<i64>,
    /// Oldest first; otherwise newest first.
    pub ascending: bool,
}

/// How many events there are; `total` is the sum of either map.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventStats {
    pub total: u64,
    pub by_severity: BTreeMap<Severity, u64>,
    pub by_type: BTreeMap<EventType, u64>,
}

/// What all events through one sum up to, for whoever goes on counting from there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventTotals {
    /// The last event counted; 0 where there is none.
    pub through: i64,
    pub stats: EventStats,
    pub by_day: BTreeMap<NaiveDate, u64>,
    pub by_run: BTreeMap<RunId, u64>,
}

/// A head of the log as somebody signed it. Keys and signatures are hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignedHead {
    pub seq: i64,
    pub hash: String,
    pub at: DateTime<Utc>,
    pub public_key: String,
    pub signature: String,
}

/// Where reading the log begins, and which hashes are known from elsewhere.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The event that retention kept the hash of; events through it may be gone.
    pub start: Option<(i64, String)>,
    /// Hashes that events must have: those of checkpoints.
    pub hashes: BTreeMap<i64, String>,
}

/// Whether the log is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChainReport {
    pub ok: bool,
    /// How many events were read and found good.
    pub events: u64,
    pub first_bad: Option<FirstBad>,
}

/// The first event that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FirstBad {
    pub seq: i64,
    /// `None` where the event is missing.
    pub id: Option<String>,
    pub reason: String,
}

/// An alert to be queued.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAlert {
    /// What it is about: another of the same within the window is not queued.
    pub dedupe: String,
    pub window_micros: i64,
    pub event_seq: Option<i64>,
    /// Where it goes: each place is delivered to by itself.
    pub places: Vec<String>,
    pub payload: Value,
}

/// An alert to be delivered to one place now.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertRow {
    pub id: String,
    pub place: String,
    pub payload: Value,
    /// This one included.
    pub tries: i64,
}

/// What is known about an incident's cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IncidentNote {
    /// It showed, for the first time or again.
    Seen {
        cause: String,
        severity: Severity,
        title: String,
        detail: String,
        repo: Option<String>,
        run: Option<RunId>,
    },
    /// It is over.
    Over { cause: String },
}

/// One record for one cause, from its first sign to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Incident {
    pub id: String,
    pub cause: String,
    pub open: bool,
    pub severity: Severity,
    pub title: String,
    pub detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    #[serde(rename = "runId", skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    pub times: u64,
    pub opened_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issue_number: Option<IssueNumber>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issue_url: Option<String>,
}
