//! For a bug: the tests that came with the fix fail on the base, or it is said why none did.
//!
//! Puts the branch's tests onto the base's code, in the mirror alone, and runs the test commands
//! there. Never pushes what it makes.

use std::collections::HashSet;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use tokio_util::sync::CancellationToken;

use crate::domain::evidence::{Check, CheckOutcome, Dimension};
use crate::domain::ids::CommitId;
use crate::gate::change::Changed;
use crate::gate::drift::Fate;
use crate::gate::error::GateError;
use crate::gate::finding::check;
use crate::gate::policy::{CommandKind, Policy};
use crate::gate::run::{CommandResult, Runner, Session};
use crate::gate::scan::{Language, is_test_path};
use crate::gate::setup::At;
use crate::gate::syntax::Facts;
use crate::git::{Author, Mirror, remove_workspace};

const NAME: &str = "regression_test";
/// Names listed in a finding.
const MOST_NAMED: usize = 5;

fn row(outcome: CheckOutcome, finding: impl Into<String>) -> Check {
    check(Dimension::Qiel, NAME, outcome, vec![finding.into()])
}

/// Where nothing has to be run to know.
pub(in crate::gate) fn without_running(
    is_bug: bool,
    fate: &Fate,
    changes: &[Changed],
) -> Option<Check> {
    if !is_bug {
        return Some(row(CheckOutcome::NotApplicable, "the issue is not a bug report"));
    }
    // A page or a fixture beside the tests shows no bug.
    let unnamed = changes.iter().any(|change| {
        change.mode.is_some()
            && is_test_path(&change.path)
            && Language::of(&change.path) == Language::Shell
    });
    if fate.added.is_empty() && fate.altered.is_empty() && !unnamed {
        let why =
            "no test came with this fix: nothing but the repository's own tests speaks for it";
        return Some(row(CheckOutcome::NotApplicable, why));
    }
    None
}

/// It would have to be run, and is not.
pub(in crate::gate) fn not_run(why: &str) -> Check {
    row(CheckOutcome::NotRun, format!("not run: {why}"))
}

/// The base's code with the branch's tests, as whole files.
fn overlay(changes: &[Changed]) -> Vec<(String, String)> {
    changes
        .iter()
        .filter(|change| !change.binary && change.mode.is_some() && !change.new.is_empty())
        .filter_map(|change| {
            if is_test_path(&change.path) {
                return Some((change.path.clone(), change.new.clone()));
            }
            let text = graft(change)?;
            Some((change.former().to_owned(), text))
        })
        .collect()
}

/// A Rust file whose tests stand beside its code: the old code with the new tests.
fn graft(change: &Changed) -> Option<String> {
    if !change.path.ends_with(".rs") || change.old.is_empty() {
        return None;
    }
    let (old, new) = (Facts::of(&change.path, &change.old), Facts::of(&change.path, &change.new));
    let pick = |text: &str, facts: &Facts, tests: bool| -> Vec<String> {
        text.lines()
            .zip(&facts.test_lines)
            .filter(|(_, test)| **test == tests)
            .map(|(line, _)| line.to_owned())
            .collect()
    };
    let mut lines = pick(&change.old, &old, false);
    let tests = pick(&change.new, &new, true);
    if tests.is_empty() || tests == pick(&change.old, &old, true) {
        return None;
    }
    lines.extend(tests);
    Some(lines.join("\n") + "\n")
}

/// Runs the branch's tests on the base's code.
pub(in crate::gate) async fn on_base(
    runner: &Runner,
    mirror: &Mirror,
    base: &CommitId,
    label: &str,
    policy: &Policy,
    (fate, changes): (&Fate, &[Changed]),
    cancel: &CancellationToken,
) -> Result<Check, GateError> {
    let files = overlay(changes);
    if files.is_empty() {
        let why =
            "the tests stand among the code that was changed, so they can't be run without it";
        return Ok(row(CheckOutcome::NotApplicable, why));
    }
    let commit = with_tests(runner, mirror, base, label, &files).await?;
    let none = HashSet::new();
    let label = format!("{label}-regression");
    let at = At { commit: &commit, base };
    let session = runner.session(mirror, at, &label, policy, &none, cancel).await?;
    Ok(verdict(&session, fate))
}

async fn with_tests(
    runner: &Runner,
    mirror: &Mirror,
    base: &CommitId,
    label: &str,
    files: &[(String, String)],
) -> Result<CommitId, GateError> {
    let dir = runner.dir.join(format!("{label}-overlay"));
    remove_workspace(&dir).await?;
    mirror.checkout(base, &dir, None).await?;
    // No link in the base's tree leads a write out of it.
    let root =
        Dir::open_ambient_dir(&dir, ambient_authority()).map_err(GateError::io("open", &dir))?;
    for (path, text) in files {
        if let Some((folder, _)) = path.rsplit_once('/') {
            root.create_dir_all(folder).map_err(GateError::io("make", dir.join(folder)))?;
        }
        root.write(path, text).map_err(GateError::io("write", dir.join(path)))?;
    }
    let captured = mirror.capture(&dir, base).await?;
    let author = Author { name: "Foreman".to_owned(), email: "foreman@invalid".to_owned() };
    let message = "the branch's tests on the base's code; never published";
    let commit = mirror.commit(&captured.tree, base, message, &author, chrono::Utc::now()).await?;
    remove_workspace(&dir).await?;
    Ok(commit)
}

fn verdict(session: &Session, fate: &Fate) -> Check {
    let tests: Vec<&CommandResult> = session
        .results
        .iter()
        .filter(|result| result.planned.kind == CommandKind::Test && result.missing.is_none())
        .collect();
    let Some(last) = tests.last() else {
        // Set-up or build failed, or there is no test command: nothing was shown either way.
        let why = "the tests could not be run on the base's code";
        return row(CheckOutcome::NotApplicable, why);
    };
    let red: Vec<&&CommandResult> =
        tests.iter().filter(|result| !result.succeeded() || result.tests.failed > 0).collect();
    let names: Vec<&String> = fate.added.iter().chain(&fate.altered).collect();
    let Some(first) = red.first() else {
        let named = listed(names.into_iter());
        let mut check = row(
            CheckOutcome::Failed,
            format!(
                "the tests that came with the fix pass on the base too, so they don't show the bug: {named}"
            ),
        );
        check.log_sha256 = Some(last.log_sha256.clone());
        return check;
    };
    let of_ours = |failing: &&String| names.iter().any(|name| failing.contains(name.as_str()));
    let failing: Vec<&String> =
        red.iter().flat_map(|result| &result.tests.failing).filter(of_ours).collect();
    let command = &first.planned.command;
    let finding = if failing.is_empty() {
        format!(
            "with the fix's tests, `{command}` fails on the base's code: exit code {}",
            first.exit_code()
        )
    } else {
        format!(
            "on the base's code these fail, and here they pass: {}",
            listed(failing.into_iter())
        )
    };
    let mut check = row(CheckOutcome::Passed, finding);
    check.log_sha256 = Some(first.log_sha256.clone());
    check
}

fn listed<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let named: Vec<String> = names.take(MOST_NAMED).map(|name| format!("`{name}`")).collect();
    if named.is_empty() { "the changed test files".to_owned() } else { named.join(", ") }
}
