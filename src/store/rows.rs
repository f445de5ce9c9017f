//! What the store gives back: rows as the rest of Foreman reads them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
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
    pub run: Option<RunId>,
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
