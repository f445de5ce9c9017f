//! The six checks, their evidence, and the only maker of `GatesPassed`.
//!
//! Judges the exact tree that would be pushed, on a fresh checkout, with the commands and policy of
//! the base commit and against what they say there. Owns `data_dir/gate/` and `data_dir/logs/`;
//! never pushes, and never writes to the store.

pub mod change;
pub mod detect;
pub mod drift;
pub mod finding;
pub mod glob;
pub mod logs;
pub mod policy;
pub mod rules;
pub mod scan;

mod base;
mod digest;
mod error;
mod fetching;
mod judge;
mod keep;
mod material;
mod memory;
mod passed;
mod qic;
mod run;
mod setup;
mod witness;

use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::domain::evidence::{GovernanceSummary, QaSummary};
use crate::domain::ids::{AttemptId, CommitId, IssueNumber, RunId, TreeId};
use crate::domain::redact::Redactor;
use crate::domain::registry::Registry;
use crate::git::Mirror;
use crate::sandbox::{Dependencies, Sandbox};
use crate::store::{Fence, Store};

pub use base::BaseVerdict;
pub use error::GateError;
pub use keep::{LOG_CAP, Logs};
pub use passed::{Attempt, GatesPassed};
pub use policy::Policy;
pub use run::{CommandResult, Ended};

use memory::ChainMark;
use run::Runner;
use setup::{At, Setup};

/// Judges bases and candidates. Cheap to clone.
#[derive(Clone)]
pub struct Gate {
    runner: Runner,
    store: Store,
    chain: Arc<ChainMark>,
}

/// A commit that a builder's work became, on the tip it was merged onto.
pub struct Candidate<'a> {
    pub mirror: &'a Mirror,
    /// The run's owner: its records must be this epoch's or earlier.
    pub fence: &'a Fence,
    pub issue: IssueNumber,
    pub attempt: AttemptId,
    /// The current tip of the pull request's base; the commit stands on it.
    pub base: CommitId,
    pub commit: CommitId,
    /// The tree that would be pushed.
    pub tree: TreeId,
    /// Commands and policy are those of its commit, and results are compared with it.
    pub base_verdict: &'a BaseVerdict,
    /// What would be published beside the change (summary, title, message): looked at for secrets.
    pub texts: Vec<String>,
    pub is_bug: bool,
}

/// What the gate says.
#[derive(Debug)]
pub enum Verdict {
    Passed(GatesPassed, Judgement),
    Refused(Judgement),
}

impl Verdict {
    #[must_use]
    pub const fn judgement(&self) -> &Judgement {
        match self {
            Self::Passed(_, judgement) | Self::Refused(judgement) => judgement,
        }
    }
}

/// The judgement with its evidence.
#[derive(Debug, Clone)]
pub struct Judgement {
    pub qa: QaSummary,
    pub governance: GovernanceSummary,
    /// One sentence that names the cause.
    pub reason: String,
    /// For the builder: short, exact, with the failing output. Empty where nothing failed.
    pub digest: String,
    /// Whether the builder could put it right.
    pub repairable: bool,
}

impl Gate {
    /// Takes `data_dir/gate` for checkouts and `data_dir/logs` for logs.
    pub fn new(
        sandbox: Sandbox,
        store: Store,
        data_dir: &Path,
        redactor: Arc<Redactor>,
    ) -> Result<Self, GateError> {
        let dir = data_dir.join("gate");
        std::fs::create_dir_all(&dir).map_err(GateError::io("make", &dir))?;
        let dir = dir.canonicalize().map_err(GateError::io("find", &dir))?;
        let logs = Logs::new(data_dir, redactor);
        let setup = Setup::none(dir.with_file_name("setup"));
        Ok(Self { runner: Runner { sandbox, logs, dir, setup }, store, chain: Arc::default() })
    }

    /// With registries that a setup step may reach (`[setup] registries`). Needs a box with mounts
    /// and a network of its own; elsewhere setup commands stay without network, like all others.
    #[must_use]
    pub fn with_registries(mut self, registries: &[Registry]) -> Self {
        if self.runner.sandbox.opens_doors() {
            self.runner.setup.allow(registries);
        }
        self
    }

    /// What the setup step of a base commit fetched, for a builder; `None` where there is no such
    /// step or it failed, which the gate says.
    pub async fn dependencies(
        &self,
        mirror: &Mirror,
        base: &CommitId,
        cancel: &CancellationToken,
    ) -> Result<Option<Dependencies>, GateError> {
        let policy = self.runner.policy(mirror, base).await?;
        let prepared = self.runner.prepare(mirror, At::base(base), &policy, cancel).await?;
        Ok(prepared.and_then(|prepared| prepared.dependencies))
    }

    /// Runs the checks on a base commit. The caller keeps the verdict for the night.
    pub async fn judge_base(
        &self,
        mirror: &Mirror,
        commit: &CommitId,
        run: &RunId,
        cancel: &CancellationToken,
    ) -> Result<BaseVerdict, GateError> {
        let policy = self.runner.policy(mirror, commit).await?;
        self.runner.base(mirror, commit, run, &policy, cancel).await
    }

    /// Judges a candidate. Whether a red base is worked on at all is the caller's decision (a
    /// repair of the base is); every check must pass all the same.
    pub async fn judge(
        &self,
        candidate: Candidate<'_>,
        cancel: &CancellationToken,
    ) -> Result<Verdict, GateError> {
        self.judge_candidate(&candidate, cancel).await
    }

    /// Makes the proof again after a restart, from what `GatesPassed::to_value` gave: only where
    /// the evidence is of that very attempt and it and every log it names are there, unaltered.
    pub async fn recall(&self, stored: &serde_json::Value, of: Attempt<'_>) -> Option<GatesPassed> {
        passed::recall(&self.runner.logs, stored, of).await
    }

    /// The stored logs.
    #[must_use]
    pub fn logs(&self) -> &Logs {
        &self.runner.logs
    }
}
