//! The base commit first: the same commands there, so that a change is judged by what it changes.
//!
//! Runs the base again where it is red, to be sure; names the tests that flip.

use std::collections::{BTreeSet, HashSet};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::error::GateError;
use super::logs::{TestReport, tail};
use super::policy::{CommandKind, Commands, POLICY_FILE, Policy, Source};
use super::qic::{Against, judge_result};
use super::run::{CommandResult, Runner, Session};
use super::setup::At;
use crate::domain::evidence::{Check, CheckOutcome};
use crate::domain::ids::{CommitId, RunId};
use crate::git::Mirror;

/// How the base commit stands; candidates are compared with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BaseVerdict {
    pub commit: CommitId,
    /// Build and tests pass and nothing the policy names is missing.
    pub green: bool,
    /// What is red, as sentences that name the commit and the command.
    pub red: Vec<String>,
    pub checks: Vec<Check>,
    pub results: Vec<CommandResult>,
    /// Tests whose result differed between two runs of the same commit.
    pub flaky: Vec<String>,
    /// Tracked files that the commands change by themselves.
    pub altered: BTreeSet<String>,
    /// What was detected and which commands follow, for people.
    pub detected: Vec<String>,
    /// It is red because packages could not be reached.
    pub dependencies_unavailable: bool,
}

impl BaseVerdict {
    /// All test commands together.
    #[must_use]
    pub fn tests(&self) -> TestReport {
        TestReport::sum(self.results.iter().map(|result| &result.tests))
    }
}

impl Runner {
    /// Judges a base commit by its own policy.
    pub(super) async fn base(
        &self,
        mirror: &Mirror,
        commit: &CommitId,
        run: &RunId,
        policy: &Policy,
        cancel: &CancellationToken,
    ) -> Result<BaseVerdict, GateError> {
        let label = format!("base-{run}-{}", commit.short());
        let none = HashSet::new();
        let first = self.session(mirror, At::base(commit), &label, policy, &none, cancel).await?;
        let mut verdict = verdict(commit, policy, &first);
        if verdict.green || first.results.is_empty() {
            return Ok(verdict);
        }
        let label = format!("{label}-again");
        let second = self.session(mirror, At::base(commit), &label, policy, &none, cancel).await?;
        let flaky = flips(&first, &second);
        verdict = self::verdict(commit, policy, &second);
        verdict.flaky = flaky;
        for result in verdict.results.iter().filter(|result| !result.succeeded()) {
            if let Some(log) = self.logs.read(&result.log_sha256).await? {
                tracing::info!(commit = %commit, command = %result.planned.command,
                    "red on the base: {}", tail(&log, 20, 2000));
            }
        }
        Ok(verdict)
    }
}

/// Tests that failed in one of two runs only.
fn flips(first: &Session, second: &Session) -> Vec<String> {
    let failing = |session: &Session| -> BTreeSet<String> {
        session.results.iter().flat_map(|result| result.tests.failing.iter().cloned()).collect()
    };
    failing(first).symmetric_difference(&failing(second)).cloned().collect()
}

fn verdict(commit: &CommitId, policy: &Policy, session: &Session) -> BaseVerdict {
    let today = chrono::Utc::now().date_naive();
    let against = Against { base: None, changes: &[], policy, today, new_lint_lines: None };
    let checks: Vec<Check> =
        session.results.iter().map(|result| judge_result(result, against)).collect();
    let mut red = Vec::new();
    for (result, check) in session.results.iter().zip(&checks) {
        if is_red(result, check) {
            red.push(format!("base commit {}: {}", commit.short(), red_sentence(result, check)));
        }
    }
    if red.is_empty()
        && let Some(why) = nothing_proves(policy, &session.results)
    {
        red.push(format!("base commit {}: {why}", commit.short()));
    }
    BaseVerdict {
        commit: commit.clone(),
        green: red.is_empty(),
        red,
        checks,
        results: session.results.clone(),
        flaky: Vec::new(),
        altered: session.altered.clone(),
        detected: policy.found(),
        dependencies_unavailable: session.results.iter().any(|result| result.unreachable.is_some()),
    }
}

/// Lint findings on the base are old, and a repository may have no test yet: a change then brings
/// the first. Everything else that fails there makes the base red.
fn is_red(result: &CommandResult, check: &Check) -> bool {
    if check.outcome != CheckOutcome::Failed {
        return false;
    }
    if result.missing.is_some() {
        return true;
    }
    match result.planned.kind {
        CommandKind::Lint => false,
        CommandKind::Build => !result.succeeded(),
        CommandKind::Test => {
            !result.succeeded() || result.tests.failed > 0 || result.tests.broken.is_some()
        }
        CommandKind::Setup | CommandKind::Schema | CommandKind::Deploy => true,
    }
}

fn red_sentence(result: &CommandResult, check: &Check) -> String {
    if let Some(line) = &result.unreachable {
        let command = &result.planned.command;
        return format!("`{command}` failed: dependencies_unavailable: {line}");
    }
    let first = check.findings.first().cloned();
    first.unwrap_or_else(|| format!("`{}` failed", result.planned.command))
}

/// Why nothing of what ran could prove a change, if so.
#[must_use]
pub(super) fn nothing_proves(policy: &Policy, results: &[CommandResult]) -> Option<String> {
    match policy.of(CommandKind::Test) {
        Commands::NoneByPolicy | Commands::NoneByOperator => None,
        Commands::NothingFound => Some(format!(
            "there is no test command, so no change can be proven: name one in {POLICY_FILE} \
             (`[gate]`, `test = \"…\"`), or say `test = []` if there is none"
        )),
        Commands::Run(commands) => {
            let ran = results
                .iter()
                .any(|result| result.planned.kind == CommandKind::Test && result.missing.is_none());
            let detected =
                commands.iter().all(|command| matches!(command.source, Source::Detected(_)));
            (!ran && detected).then(|| {
                format!(
                    "the detected test command `{}` is not on this machine, so no change can be \
                     proven: install it or name another in {POLICY_FILE}",
                    commands.first().map_or("", |command| command.command.as_str())
                )
            })
        }
    }
}
