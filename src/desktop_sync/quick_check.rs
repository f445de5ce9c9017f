//! The operator's own check of what a merge would leave: a command in the sandbox, in a fresh checkout
//! of the merged tree (ADR 36).
//!
//! Never runs in a person's clone, which has nothing of the merge yet when it runs.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::ids::CommitId;
use crate::git::clone::LocalClone;
use crate::git::{GitError, remove_workspace};
use crate::process::Ending;
use crate::sandbox::{Sandbox, SandboxError, Shell, prepare_place};

/// Bytes of a failed check's output that its event keeps: its end tells why.
const OUTPUT_KEPT: usize = 4 << 10;

/// A command that must end with exit code 0 in the merged tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuickCheck {
    /// Run by `sh -c`, without network.
    pub command: String,
    /// It is ended then, and has failed.
    pub timeout: Duration,
}

/// The checks of the local clones, by their ids, and what they run in.
#[derive(Debug, Clone)]
pub struct QuickChecks {
    sandbox: Result<Sandbox, String>,
    checks: HashMap<String, QuickCheck>,
}

impl QuickChecks {
    /// `sandbox`: or why there is none; then nothing is merged into a clone that has a check.
    #[must_use]
    pub fn new(sandbox: Result<Sandbox, String>, checks: HashMap<String, QuickCheck>) -> Self {
        Self { sandbox, checks }
    }

    pub(super) fn of(&self, id: &str) -> Option<Checking<'_>> {
        self.checks.get(id).map(|check| Checking { sandbox: &self.sandbox, check })
    }
}

/// Why a tree did not pass. The clone is as it was.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckFailure {
    #[error("its check `{command}` {how} in the merged tree; the clone is as it was")]
    Failed { command: String, how: String, output: String },
    #[error("its check was stopped; the clone is as it was")]
    Cancelled,
    #[error("its check cannot be run, for there is no sandbox: {0}")]
    NoSandbox(String),
    #[error("its check cannot be run: {0}")]
    Sandbox(#[from] SandboxError),
    #[error("its check cannot be run: {0}")]
    Git(#[from] GitError),
    #[error("its check cannot be run: {0}")]
    Folder(#[from] std::io::Error),
}

impl CheckFailure {
    /// The end of what the command said.
    pub(super) fn output(&self) -> Option<&str> {
        match self {
            Self::Failed { output, .. } => Some(output),
            Self::Cancelled
            | Self::NoSandbox(_)
            | Self::Sandbox(_)
            | Self::Git(_)
            | Self::Folder(_) => None,
        }
    }
}

/// One clone's check.
pub(super) struct Checking<'a> {
    sandbox: &'a Result<Sandbox, String>,
    check: &'a QuickCheck,
}

impl Checking<'_> {
    /// Runs it on `commit`, which is in the shadow of `clone`, in `folder`, which is gone afterwards.
    pub(super) async fn run(
        &self,
        folder: &Path,
        clone: &LocalClone,
        commit: &CommitId,
        cancel: &CancellationToken,
    ) -> Result<(), CheckFailure> {
        let sandbox = self.sandbox.as_ref().map_err(|why| CheckFailure::NoSandbox(why.clone()))?;
        // What a killed process left is no fresh checkout.
        remove_workspace(folder).await?;
        let done = self.run_in(sandbox, folder, clone, commit, cancel).await;
        remove_workspace(folder).await?;
        done
    }

    async fn run_in(
        &self,
        sandbox: &Sandbox,
        folder: &Path,
        clone: &LocalClone,
        commit: &CommitId,
        cancel: &CancellationToken,
    ) -> Result<(), CheckFailure> {
        let (checkout, private) = (folder.join("checkout"), folder.join("private"));
        std::fs::create_dir_all(folder)?;
        let owner = sandbox.identity();
        clone.check_out(commit, &checkout, owner).await?;
        let place = prepare_place(&checkout, &private, owner)?;
        let QuickCheck { command, timeout } = self.check;
        let finished = sandbox.run(&place, &Shell::new(command, *timeout), cancel).await?;
        let how = match finished.ending {
            Ending::Exited(0) if finished.overrun.is_none() => return Ok(()),
            Ending::Cancelled => return Err(CheckFailure::Cancelled),
            Ending::Exited(code) => format!("failed with exit code {code}"),
            Ending::Signalled(signal) => format!("was ended by signal {signal}"),
            Ending::TimedOut => format!("took longer than {} s", timeout.as_secs_f64()),
        };
        let mut output = finished.stdout.text();
        output.extend(finished.overrun.map(|why| format!("\n[foreman] {why}")));
        let cut = output.len().saturating_sub(OUTPUT_KEPT);
        let cut = (cut..=output.len()).find(|at| output.is_char_boundary(*at)).unwrap_or(0);
        let output = output.split_off(cut);
        Err(CheckFailure::Failed { command: command.clone(), how, output })
    }
}
