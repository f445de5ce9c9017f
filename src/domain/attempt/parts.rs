//! What an attempt's state is made of: what it stands on, what it proposes, what became of it.
//!
//! Plain values, stored as they are.

use serde::{Deserialize, Serialize};

use crate::domain::ids::{CommitId, EscalationId, IssueNumber, TreeId};

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
