//! What an attempt's state is made of: what it stands on, what it proposes, what became of it.
//!
//! Plain values, stored as they are.

use serde::{Deserialize, Serialize};

use super::State;
use crate::domain::ids::{AttemptId, CommitId, EscalationId, IssueNumber, TreeId};
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

/// What the work stands on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stand {
    /// The branch the pull request will be based on.
    pub base_branch: String,
    /// The blocker whose branch that is, where the work stacks.
    pub on: Option<IssueNumber>,
    /// The commit the current workspace was made from.
    pub base: CommitId,
}

/// What the gate judges and what will be pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The tip of the base that the tree was merged with.
    pub base: CommitId,
    pub commit: CommitId,
    pub tree: TreeId,
}

/// A pull request as we refer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRef {
    pub number: u64,
    pub url: String,
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

/// The private refs that keep what an attempt made.
impl State {
    /// What this round's builder made.
    #[must_use]
    pub fn work_ref(attempt: &AttemptId, round: u32) -> String {
        format!("refs/foreman/attempts/{attempt}/round-{round}")
    }

    /// What this round's builder has made so far.
    #[must_use]
    pub fn progress_ref(attempt: &AttemptId, round: u32) -> String {
        format!("refs/foreman/attempts/{attempt}/progress-{round}")
    }

    /// This round's work merged with a base that moved.
    #[must_use]
    pub fn merged_ref(attempt: &AttemptId, round: u32) -> String {
        format!("refs/foreman/attempts/{attempt}/merged-{round}")
    }
}
