//! The six checks, their evidence, and the only maker of `GatesPassed`.
//!
//! Judges the exact tree that would be pushed, on a fresh checkout, with the commands and policy of
//! the base commit and against what they say there. Owns `data_dir/gate/` and `data_dir/logs/`;
//! never pushes, and never writes to the store.

pub mod change;
pub mod detect;
pub mod diff;
pub mod drift;
pub mod finding;
pub mod logs;
pub mod look;
pub mod policy;
pub mod propose;
pub mod rules;
pub mod scan;
pub mod syntax;

mod base;
mod checks;
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
mod switches;
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

pub use crate::domain::glob;
pub use base::BaseVerdict;
pub use error::GateError;
pub use keep::{LOG_CAP, Logs};
pub use look::Asked;
pub use passed::{Attempt, GatesPassed};
pub use policy::{Overrides, POLICY_FILE, Policy};
pub use rules::Rules;
pub use rules::overlap::OpenWork;
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
    overrides: Arc<Overrides>,
    rules: Rules,
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
    /// The issue's own words: what it asks for may change what a test expects.
    pub asked: Asked,
    /// Other open pull requests of ours; `None` where this is no night.
    pub open: Option<&'a [OpenWork]>,
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
        Ok(Self {
            runner: Runner { sandbox, logs, dir, setup },
            store,
            chain: Arc::default(),
            overrides: Arc::default(),
            rules: Rules::all(),
        })
    }

    /// The same gate with some of its rules over the diff switched off.
    #[must_use]
    pub fn with_rules(self, rules: Rules) -> Self {
        Self { rules, ..self }
    }

    /// The operator's policies, which stand above the repositories' own.
    #[must_use]
    pub fn with_overrides(mut self, overrides: Overrides) -> Self {
        self.overrides = Arc::new(overrides);
        self
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
        let policy = self.policy(mirror, base).await?;
        let prepared = self.runner.prepare(mirror, At::base(base), &policy, cancel).await?;
        Ok(prepared.and_then(|prepared| prepared.dependencies))
    }

    /// The policy in force for a base commit, with commands that fetch where they may.
    pub async fn policy(&self, mirror: &Mirror, commit: &CommitId) -> Result<Policy, GateError> {
        let policy = Policy::load(mirror, commit, self.overrides.of(mirror.repo())).await?;
        self.runner.fetching(policy, mirror, commit).await
    }

    /// Runs the checks on a base commit. The caller keeps the verdict for the night.
    pub async fn judge_base(
        &self,
        mirror: &Mirror,
        commit: &CommitId,
        run: &RunId,
        cancel: &CancellationToken,
    ) -> Result<BaseVerdict, GateError> {
        let policy = self.policy(mirror, commit).await?;
        self.runner.base(mirror, commit, run, &policy, cancel).await
    }

    /// Judges a candidate. Whether a red base is worked on at all is the caller's decision (a
    /// repair of the base is); every check must pass all the same.
    pub async fn judge(
        &self,
        candidate: Candidate<'_>,
        cancel: &CancellationToken,
    ) -> Result<Verdict, GateError> {
        self.judge_labelled(candidate, &[], cancel).await
    }

    /// The same for an issue that bears labels of the policy, each set by someone with write access.
    pub async fn judge_labelled(
        &self,
        candidate: Candidate<'_>,
        labels: &[String],
        cancel: &CancellationToken,
    ) -> Result<Verdict, GateError> {
        let policy = self.policy(candidate.mirror, &candidate.base_verdict.commit).await?;
        self.judge_candidate(&candidate, &policy.for_labels(labels), cancel).await
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
