//! Runs commands on a fresh checkout that nobody else touched, and writes down what they said.
//!
//! Owns `data_dir/gate/`. Never decides whether a result is good: `qic` does.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::error::GateError;
use super::keep::{LOG_CAP, Logs};
use super::logs::{
    LintFinding, TestReport, missing_tool, plain, read_findings, read_tests, telling_lines,
    unreachable_dependency,
};
use super::policy::{CommandKind, PlannedCommand, Policy};
use super::setup::{At, Prepared, Setup};
use super::witness::Witness;
use crate::domain::ids::CommitId;
use crate::git::{Mirror, remove_workspace};
use crate::process::{Ending, KeepLines};
use crate::sandbox::{Door, Place, Refusals, Sandbox, Shell, prepare_place};

/// `sh` says this where a command is not there.
const NOT_FOUND: i32 = 127;
/// `timeout` answers this where it stopped a command, and a shell adds a signal to that.
const STOPPED: i32 = 124;
const SIGNALLED: i32 = 128;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    Exited(i32),
    Signalled(i32),
    TimedOut,
}

/// One command with what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandResult {
    pub planned: PlannedCommand,
    pub ended: Ended,
    pub duration_ms: u64,
    pub log_sha256: String,
    /// It printed nothing but white space.
    pub empty: bool,
    /// How often it was run again because tests that are flaky on the base failed.
    #[serde(default)]
    pub reruns: u32,
    /// What a test command's log says; default for other kinds.
    pub tests: TestReport,
    pub findings: BTreeSet<LintFinding>,
    /// The line that says that the tool is not on this machine.
    pub missing: Option<String>,
    /// The line that says that a package could not be reached.
    pub unreachable: Option<String>,
}

impl CommandResult {
    /// The exit code as a shell gives it: 124 for a command that was stopped, 128 and the signal's
    /// number for one that was killed.
    #[must_use]
    pub const fn exit_code(&self) -> i32 {
        match self.ended {
            Ended::Exited(code) => code,
            Ended::Signalled(signal) => SIGNALLED + signal,
            Ended::TimedOut => STOPPED,
        }
    }

    #[must_use]
    pub const fn succeeded(&self) -> bool {
        matches!(self.ended, Ended::Exited(0))
    }
}

/// What a series of commands on one checkout came to.
#[derive(Debug, Default)]
pub struct Session {
    pub results: Vec<CommandResult>,
    /// Tracked files and directories that the commands themselves changed, for however short.
    pub altered: BTreeSet<String>,
}

/// Makes checkouts and runs commands in them. Cheap to clone.
#[derive(Clone)]
pub struct Runner {
    pub(super) sandbox: Sandbox,
    pub(super) logs: Logs,
    pub(super) dir: PathBuf,
    pub(super) setup: Setup,
}

impl Runner {
    /// Runs the policy's commands, in order, on a fresh checkout of a commit; stops after a setup
    /// or build that failed. `flaky` tests that alone fail are run again, up to 3 times in all.
    pub async fn session(
        &self,
        mirror: &Mirror,
        at: At<'_>,
        label: &str,
        policy: &Policy,
        flaky: &HashSet<String>,
        cancel: &CancellationToken,
    ) -> Result<Session, GateError> {
        let prepared = self.prepare(mirror, at, policy, cancel).await?;
        let mut bench = self.open(mirror, at.commit, &self.dir.join(label)).await?;
        let done = match prepared {
            Some(Prepared { results, dependencies: None }) => {
                Ok(Session { results, ..Session::default() })
            }
            Some(Prepared { results, dependencies }) => {
                bench.place.dependencies = dependencies;
                self.watched(&bench, policy, flaky, Some(results), cancel).await
            }
            None => self.watched(&bench, policy, flaky, None, cancel).await,
        };
        let removed = remove_workspace(&bench.root).await;
        let session = done?;
        removed?;
        Ok(session)
    }

    async fn watched(
        &self,
        bench: &Bench,
        policy: &Policy,
        flaky: &HashSet<String>,
        setup: Option<Vec<CommandResult>>,
        cancel: &CancellationToken,
    ) -> Result<Session, GateError> {
        let workspace = bench.place.workspace.clone();
        let witness = blocking(&workspace, {
            let workspace = workspace.clone();
            move || Witness::new(&workspace)
        })
        .await?;
        let results = self.run_all(bench, policy, flaky, setup, cancel).await?;
        let altered = blocking(&workspace, move || witness.altered()).await?;
        Ok(Session { results, altered })
    }

    async fn run_all(
        &self,
        bench: &Bench,
        policy: &Policy,
        flaky: &HashSet<String>,
        setup: Option<Vec<CommandResult>>,
        cancel: &CancellationToken,
    ) -> Result<Vec<CommandResult>, GateError> {
        let done = setup.is_some();
        let mut results = setup.unwrap_or_default();
        for kind in CommandKind::ALL {
            if done && kind == CommandKind::Setup {
                continue;
            }
            for planned in policy.to_run(kind) {
                let mut result =
                    self.run(bench, planned, policy.timeout_of(planned.kind), None, cancel).await?;
                for _ in 0..2 {
                    let failing = &result.tests.failing;
                    let all_flaky =
                        !failing.is_empty() && failing.iter().all(|t| flaky.contains(t));
                    if result.succeeded() || !all_flaky {
                        break;
                    }
                    let reruns = result.reruns + 1;
                    let timeout = policy.timeout_of(planned.kind);
                    result = self.run(bench, planned, timeout, None, cancel).await?;
                    result.reruns = reruns;
                }
                let failed = !result.succeeded() && result.missing.is_none();
                results.push(result);
                if failed && matches!(kind, CommandKind::Setup | CommandKind::Build) {
                    return Ok(results);
                }
            }
        }
        Ok(results)
    }

    pub(super) async fn open(
        &self,
        mirror: &Mirror,
        commit: &CommitId,
        root: &Path,
    ) -> Result<Bench, GateError> {
        let root = root.to_owned();
        // What a killed process left is no fresh checkout.
        remove_workspace(&root).await?;
        let (checkout, private) = (root.join("checkout"), root.join("private"));
        tokio::fs::create_dir_all(&root).await.map_err(GateError::io("make", &root))?;
        let owner = self.sandbox.identity();
        mirror.checkout(commit, &checkout, owner).await?;
        let place = prepare_place(&checkout, &private, owner)
            .map_err(GateError::io("prepare", &checkout))?;
        Ok(Bench { root, place })
    }

    pub(super) async fn run(
        &self,
        bench: &Bench,
        planned: &PlannedCommand,
        timeout: Duration,
        door: Option<Door>,
        cancel: &CancellationToken,
    ) -> Result<CommandResult, GateError> {
        let mut shell = Shell::new(planned.command.clone(), timeout);
        shell.output_cap = LOG_CAP;
        let refusals = match &door {
            Some(Door::Registries { refused, .. }) => refused.clone(),
            Some(Door::Address { .. }) | None => Refusals::default(),
        };
        shell.door = door;
        shell.keep_lines = Some(KeepLines { matching: telling_lines(), cap: LOG_CAP });
        let finished = self.sandbox.run(&bench.place, &shell, cancel).await?;
        let ended = match finished.ending {
            Ending::Exited(code) => Ended::Exited(code),
            Ending::Signalled(signal) => Ended::Signalled(signal),
            Ending::TimedOut => Ended::TimedOut,
            Ending::Cancelled => return Err(GateError::Cancelled),
        };
        // Findings and names are quoted elsewhere: nothing secret gets that far.
        let mut raw = self.logs.redactor().redact(&finished.stdout.text());
        let refusals = refusals.sentences();
        for said in refusals.iter().chain(&finished.overrun) {
            raw.push_str(&format!("\n[foreman] {said}"));
        }
        let inside = self.sandbox.workspace_inside(&bench.place);
        // What the readers see has every telling line, however long the log is.
        let whole = finished.stdout.left_out() == 0;
        let sifted = if whole { Some(raw.clone()) } else { finished.stdout.sifted() };
        let overflowed = sifted.is_none();
        let seen = sifted.map_or_else(|| raw.clone(), |text| self.logs.redactor().redact(&text));
        let text = plain(&seen).replace(&format!("{}/", inside.display()), "");
        let failed = ended != Ended::Exited(0);
        let not_found = matches!(ended, Ended::Exited(NOT_FOUND));
        let missing = failed
            .then(|| missing_tool(&text, not_found).map(str::to_owned))
            .flatten()
            .or_else(|| not_found.then(|| "the command was not found".to_owned()));
        Ok(CommandResult {
            ended,
            duration_ms: u64::try_from(finished.duration.as_millis()).unwrap_or(u64::MAX),
            log_sha256: self.logs.keep(&raw).await?,
            empty: raw.trim().is_empty(),
            reruns: 0,
            tests: match planned.kind {
                CommandKind::Test if overflowed => TestReport::too_long(read_tests(&text)),
                CommandKind::Test => read_tests(&text),
                CommandKind::Setup
                | CommandKind::Build
                | CommandKind::Lint
                | CommandKind::Schema
                | CommandKind::Deploy => TestReport::default(),
            },
            findings: match planned.kind {
                CommandKind::Build | CommandKind::Lint | CommandKind::Test => read_findings(&text),
                CommandKind::Setup | CommandKind::Schema | CommandKind::Deploy => BTreeSet::new(),
            },
            missing,
            unreachable: failed
                .then(|| {
                    let said = || unreachable_dependency(&text).map(str::to_owned);
                    refusals.into_iter().next().or_else(said)
                })
                .flatten(),
            planned: planned.clone(),
        })
    }
}

/// A checkout with its private folders.
pub(super) struct Bench {
    pub(super) root: PathBuf,
    pub(super) place: Place,
}

/// Looks at a checkout without holding up others.
async fn blocking<T: Send + 'static>(
    workspace: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, GateError> {
    let done = tokio::task::spawn_blocking(work).await.map_err(io::Error::other);
    done.and_then(|done| done).map_err(GateError::io("watch", workspace))
}
