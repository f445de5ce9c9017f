//! `GatesPassed`: the proof that opens a pull request.
//!
//! Made here alone, from a judgement all of whose checks let pass. It names the commit, the tree,
//! the base and the evidence; after a restart it is made again only from evidence that is still
//! there, unaltered.

use serde::{Deserialize, Serialize};

use super::error::GateError;
use super::keep::Logs;
use crate::domain::evidence::QaSummary;
use crate::domain::ids::{AttemptId, CommitId, IssueNumber, RunId, TreeId};

/// The proof that a commit's exact tree passed every check on its base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GatesPassed {
    commit: CommitId,
    tree: TreeId,
    base: CommitId,
    evidence_sha256: String,
}

impl GatesPassed {
    #[must_use]
    pub fn commit(&self) -> &CommitId {
        &self.commit
    }

    #[must_use]
    pub fn tree(&self) -> &TreeId {
        &self.tree
    }

    /// The tip the commit stands on, and was judged against.
    #[must_use]
    pub fn base(&self) -> &CommitId {
        &self.base
    }

    /// The hash of the evidence, stored beside the logs.
    #[must_use]
    pub fn evidence_sha256(&self) -> &str {
        &self.evidence_sha256
    }

    /// What `Gate::recall` takes after a restart.
    #[must_use]
    pub fn to_value(&self) -> serde_json::Value {
        serde_json::json!({
            "commit": self.commit, "tree": self.tree, "base": self.base,
            "evidenceSha256": self.evidence_sha256,
        })
    }
}

/// Whose work a proof must be of.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    pub run: &'a RunId,
    pub issue: IssueNumber,
    pub attempt: &'a AttemptId,
}

/// What the evidence binds together.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Evidence {
    pub run: RunId,
    pub issue: IssueNumber,
    pub attempt: AttemptId,
    pub commit: CommitId,
    pub tree: TreeId,
    pub base: CommitId,
    pub qa: QaSummary,
}

impl Evidence {
    /// Stores the evidence; the proof where, and only where, every check let pass.
    pub(super) async fn seal(self, logs: &Logs) -> Result<Option<GatesPassed>, GateError> {
        let text = serde_json::to_string(&self)?;
        let evidence_sha256 = logs.keep(&text).await?;
        let passed = QaSummary::of(self.qa.checks).passed;
        Ok(passed.then_some(GatesPassed {
            commit: self.commit,
            tree: self.tree,
            base: self.base,
            evidence_sha256,
        }))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    commit: CommitId,
    tree: TreeId,
    base: CommitId,
    evidence_sha256: String,
}

/// Makes the proof again from what `to_value` gave, where evidence and logs are still whole.
pub(super) async fn recall(
    logs: &Logs,
    stored: &serde_json::Value,
    of: Attempt<'_>,
) -> Option<GatesPassed> {
    let stored = Stored::deserialize(stored).ok()?;
    // The evidence went through the redactor, which leaves ids alone, so it reads back.
    let text = logs.read(&stored.evidence_sha256).await.ok()??;
    let evidence: Evidence = serde_json::from_str(&text).ok()?;
    let same = (&evidence.commit, &evidence.tree, &evidence.base)
        == (&stored.commit, &stored.tree, &stored.base);
    let theirs =
        (&evidence.run, evidence.issue, &evidence.attempt) == (of.run, of.issue, of.attempt);
    if !same || !theirs || !QaSummary::of(evidence.qa.checks.clone()).passed {
        return None;
    }
    for sha256 in evidence.qa.checks.iter().filter_map(|check| check.log_sha256.as_deref()) {
        logs.read(sha256).await.ok()??;
    }
    let Stored { commit, tree, base, evidence_sha256 } = stored;
    Some(GatesPassed { commit, tree, base, evidence_sha256 })
}
