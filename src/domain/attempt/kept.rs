//! What stands around a round: leave for its tier, what it left, under which names, and why it was
//! not enough.

use serde::{Deserialize, Serialize};

use super::State;
use crate::domain::ids::{AttemptId, EscalationId};
use crate::domain::plan::ReasonCode;

/// Leave to use a dearer tier, as asked of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    pub id: EscalationId,
    pub reason: String,
    pub tag: String,
    /// Counts against the quota.
    pub counted: bool,
}

/// Why a round was not enough.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grounds {
    pub code: ReasonCode,
    pub reason: String,
}

/// What a round left, for the next one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Left {
    /// Work that was judged, or nothing yet.
    #[default]
    Judged,
    /// Half-done work of a builder that ran out of its bounds, in these words.
    HalfDone(String),
    /// What somebody left who went in circles: kept for people, not to be built on.
    Circles,
}

impl State {
    /// The private ref that keeps what this round's builder made.
    #[must_use]
    pub fn work_ref(attempt: &AttemptId, round: u32) -> String {
        format!("refs/foreman/attempts/{attempt}/round-{round}")
    }

    /// The private ref that keeps what this round's builder has made so far.
    #[must_use]
    pub fn progress_ref(attempt: &AttemptId, round: u32) -> String {
        format!("refs/foreman/attempts/{attempt}/progress-{round}")
    }

    /// The private ref that keeps this round's work merged with a base that moved.
    #[must_use]
    pub fn merged_ref(attempt: &AttemptId, round: u32) -> String {
        format!("refs/foreman/attempts/{attempt}/merged-{round}")
    }
}
