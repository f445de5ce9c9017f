//! Judges the results of commands: exit code and log together, against the base.
//!
//! Pure. A command that was not there, timed out, said nothing or collected no test is a failure,
//! whatever its exit code.

use chrono::NaiveDate;
use regex::Regex;

use super::change::Changed;
use super::logs::{LintFinding, warnings::new_findings};
use super::policy::{CommandKind, Policy, Source};
use super::run::{CommandResult, Ended};
use crate::domain::evidence::{Check, CheckOutcome, Dimension};

/// Findings listed in a check; the log has them all.
const MOST_LISTED: usize = 10;

/// What a result is compared with.
#[derive(Clone, Copy)]
pub struct Against<'a> {
    /// The base commit's results; `None` where the base itself is judged.
    pub base: Option<&'a [CommandResult]>,
    pub changes: &'a [Changed],
    pub policy: &'a Policy,
    pub today: NaiveDate,
    /// The base's lint log and this one's, as lines, for tools whose findings we can't read.
    pub new_lint_lines: Option<usize>,
}

/// The dimension a kind of command counts in.
#[must_use]
pub const fn dimension_of(kind: CommandKind) -> Dimension {
    match kind {
        CommandKind::Setup | CommandKind::Build | CommandKind::Lint | CommandKind::Test => {
            Dimension::Qic
        }
        CommandKind::Schema | CommandKind::Deploy => Dimension::Qiel,
    }
}

/// The check of one result.
#[must_use]
pub fn judge_result(result: &CommandResult, against: Against<'_>) -> Check {
    let (outcome, findings) = outcome_of(result, against);
    Check {
        dimension: dimension_of(result.planned.kind),
        name: result.planned.kind.as_str().to_owned(),
        outcome,
        command: Some(result.planned.command.clone()),
        exit_code: Some(result.exit_code()),
        duration_ms: result.duration_ms,
        log_sha256: Some(result.log_sha256.clone()),
        findings,
    }
}

fn outcome_of(result: &CommandResult, against: Against<'_>) -> (CheckOutcome, Vec<String>) {
    let command = &result.planned.command;
    if let Some(line) = &result.missing {
        // A tool that the base had is not one that this machine lacks.
        let was_there = against
            .base
            .and_then(|base| counterpart(result, base))
            .is_some_and(|base| base.missing.is_none());
        return match &result.planned.source {
            Source::Detected(_) if was_there => (
                CheckOutcome::Failed,
                vec![format!("`{command}` ran on the base, and here it did not: {line}")],
            ),
            Source::Detected(from) => (
                CheckOutcome::NotApplicable,
                vec![format!(
                    "`{command}` was detected from {from}, but this machine lacks it: {line}"
                )],
            ),
            Source::Policy | Source::Operator => {
                (CheckOutcome::Failed, vec![format!("`{command}` is not there: {line}")])
            }
        };
    }
    let mut bad = Vec::new();
    let mut notes = Vec::new();
    match result.ended {
        Ended::Exited(0) => {}
        Ended::TimedOut => {
            let limit = against.policy.timeout_of(result.planned.kind).as_secs();
            bad.push(format!("`{command}` was stopped after {limit} s"));
        }
        Ended::Signalled(signal) => bad.push(format!("`{command}` was killed by signal {signal}")),
        Ended::Exited(code) => match known_lint(result, against) {
            Some(note) => notes.push(note),
            None => bad.push(exit_sentence(result, code)),
        },
    }
    if let Some(line) = &result.unreachable {
        bad.push(format!("dependencies_unavailable: {line}"));
    }
    if result.planned.kind == CommandKind::Test {
        tests(result, &mut bad, &mut notes);
    }
    warnings(result, against, &mut bad, &mut notes);
    let outcome = if bad.is_empty() { CheckOutcome::Passed } else { CheckOutcome::Failed };
    bad.append(&mut notes);
    (outcome, bad)
}

fn exit_sentence(result: &CommandResult, code: i32) -> String {
    let command = &result.planned.command;
    let failing = &result.tests.failing;
    if failing.is_empty() {
        return format!("`{command}` failed with exit code {code}");
    }
    let named: Vec<String> =
        failing.iter().take(MOST_LISTED).map(|name| format!("`{name}`")).collect();
    let more = failing.len().saturating_sub(MOST_LISTED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("`{command}` failed with exit code {code}; failing tests: {}{more}", named.join(", "))
}

/// A linter that was red on the base with the same findings is not this change's doing.
fn known_lint(result: &CommandResult, against: Against<'_>) -> Option<String> {
    let base = counterpart(result, against.base?)?;
    let lint = result.planned.kind == CommandKind::Lint && !against.policy.deny_warnings;
    if !lint || base.succeeded() || base.missing.is_some() {
        return None;
    }
    let same = if base.findings.is_empty() || result.findings.is_empty() {
        against.new_lint_lines == Some(0)
    } else {
        fresh(result, against).is_empty()
    };
    same.then(|| "it is red on the base too, with the same findings".to_owned())
}

fn counterpart<'a>(result: &CommandResult, base: &'a [CommandResult]) -> Option<&'a CommandResult> {
    base.iter().find(|other| {
        other.planned.kind == result.planned.kind && other.planned.command == result.planned.command
    })
}

fn tests(result: &CommandResult, bad: &mut Vec<String>, notes: &mut Vec<String>) {
    let report = &result.tests;
    let command = &result.planned.command;
    if result.empty {
        bad.push(format!("`{command}` printed nothing: there is no evidence that a test ran"));
        return;
    }
    if !report.known() {
        notes.push(format!(
            "unknown test log format: the exit code and a log that is not empty decide (`{command}`)"
        ));
        return;
    }
    if let Some(why) = &report.broken {
        bad.push(format!("the log of `{command}` is not a whole test run's: {why}"));
    }
    if report.collected() == 0 {
        bad.push(format!("`{command}` collected zero tests"));
    } else if report.ran() == 0 {
        bad.push(format!("`{command}` skipped all of its {} tests", report.skipped));
    }
    if report.failed > 0 && result.succeeded() {
        bad.push(format!(
            "`{command}` exited with 0, but its log counts {} failed tests",
            report.failed
        ));
    }
    if result.reruns > 0 {
        notes.push(format!(
            "run {} times: tests that are flaky on the base failed",
            result.reruns + 1
        ));
    }
    notes.push(format!(
        "{} tests: {} passed, {} failed, {} skipped ({})",
        report.collected(),
        report.passed,
        report.failed,
        report.skipped,
        report.formats.join(", ")
    ));
}

/// Findings the base did not have.
fn fresh<'a>(result: &'a CommandResult, against: Against<'_>) -> Vec<&'a LintFinding> {
    let Some(base) = against.base else { return Vec::new() };
    let former =
        |path: &str| against.changes.iter().find(|change| change.path == path)?.old_path.clone();
    // The same compiler warning may come with another command first: what any of the base's
    // commands said is known.
    let known = base.iter().flat_map(|other| other.findings.iter().cloned()).collect();
    new_findings(&result.findings, &known, former)
}

fn warnings(
    result: &CommandResult,
    against: Against<'_>,
    bad: &mut Vec<String>,
    notes: &mut Vec<String>,
) {
    let deny = against.policy.deny_warnings;
    let new: Vec<&LintFinding> =
        if deny { result.findings.iter().collect() } else { fresh(result, against) };
    let (allowed, refused): (Vec<_>, Vec<_>) =
        new.iter().partition(|finding| allowed(finding, against));
    let old = result.findings.len() - new.len();
    let list = |what: &str, which: &[&LintFinding], into: &mut Vec<String>| {
        for finding in which.iter().take(MOST_LISTED) {
            into.push(format!("{what}: {finding}"));
        }
        if which.len() > MOST_LISTED {
            into.push(format!("{what}: {} more in the log", which.len() - MOST_LISTED));
        }
    };
    let what = if deny { "warning (the policy denies all)" } else { "new warning" };
    list(what, &refused, bad);
    list("new warning, allowed by the policy", &allowed, notes);
    if old > 0 {
        let old: Vec<&LintFinding> =
            result.findings.iter().filter(|finding| !new.contains(finding)).collect();
        list("old warning", &old, notes);
    }
}

fn allowed(finding: &LintFinding, against: Against<'_>) -> bool {
    against.policy.allow_warnings.iter().any(|entry| {
        let text = finding.to_string();
        let matches = Regex::new(&entry.pattern)
            .map_or_else(|_| text.contains(&entry.pattern), |regex| regex.is_match(&text));
        entry.until >= against.today && matches
    })
}

/// Lines of a lint log that the base's did not have, durations and places aside.
#[must_use]
pub fn new_lines(now: &str, base: &str) -> usize {
    let normal = |text: &str| -> Vec<String> {
        text.lines()
            .map(|line| line.chars().filter(|c| !c.is_ascii_digit()).collect::<String>())
            .map(|line| line.trim().to_owned())
            .filter(|line| !line.is_empty())
            .collect()
    };
    let mut known = normal(base);
    normal(now)
        .into_iter()
        .filter(|line| match known.iter().position(|other| other == line) {
            Some(at) => {
                known.swap_remove(at);
                false
            }
            None => true,
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::logs::{read_findings, read_tests};
    use crate::gate::policy::{Detected, PlannedCommand};

    fn result(kind: CommandKind, code: i32, log: &str) -> CommandResult {
        CommandResult {
            planned: PlannedCommand { kind, command: "x".into(), source: Source::Policy },
            ended: Ended::Exited(code),
            duration_ms: 1,
            log_sha256: "0".repeat(64),
            empty: log.trim().is_empty(),
            reruns: 0,
            tests: read_tests(log),
            findings: read_findings(log),
            missing: None,
            unreachable: None,
        }
    }

    fn judged(result: &CommandResult, base: Option<&[CommandResult]>, policy: &str) -> Check {
        let policy = Policy::parse(Some(policy), Detected::default()).expect("valid");
        let today = NaiveDate::from_ymd_opt(2026, 11, 22).expect("a day");
        let new_lint_lines = None;
        judge_result(result, Against { base, changes: &[], policy: &policy, today, new_lint_lines })
    }

    const GOOD: &str = "running 1 test\ntest a ... ok\n\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
    const ZERO: &str = "running 0 tests\n\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";

    #[test]
    fn exit_code_and_log_both_count() {
        let outcome =
            |code, log: &str| judged(&result(CommandKind::Test, code, log), Some(&[]), "").outcome;
        assert_eq!(outcome(0, GOOD), CheckOutcome::Passed);
        assert_eq!(outcome(101, GOOD), CheckOutcome::Failed);
        assert_eq!(outcome(0, ZERO), CheckOutcome::Failed);
        assert_eq!(outcome(0, " \n"), CheckOutcome::Failed);
        assert_eq!(outcome(0, "1..2\nok 1 - a\nnot ok 2 - b\n"), CheckOutcome::Failed);
        assert_eq!(outcome(0, "fine\n"), CheckOutcome::Passed);
        let unknown = judged(&result(CommandKind::Test, 0, "fine\n"), Some(&[]), "");
        assert!(unknown.findings[0].contains("unknown test log format"));
    }

    #[test]
    fn a_missing_tool_by_who_asked() {
        let mut lint = result(CommandKind::Lint, 127, "sh: 1: x: not found\n");
        lint.missing = Some("not found".into());
        assert_eq!(judged(&lint, Some(&[]), "").outcome, CheckOutcome::Failed);
        lint.planned.source = Source::Detected("Cargo.toml".into());
        assert_eq!(judged(&lint, Some(&[]), "").outcome, CheckOutcome::NotApplicable);
        let mut there = result(CommandKind::Lint, 0, "fine\n");
        there.planned = lint.planned.clone();
        assert_eq!(judged(&lint, Some(&[there]), "").outcome, CheckOutcome::Failed);
    }

    #[test]
    fn warnings_are_compared_with_the_base() {
        let old = "warning: unused `a`\n --> src/lib.rs:2:9\n";
        let more = format!("{old}\nwarning: unused `b`\n --> src/lib.rs:3:9\n");
        let base = [result(CommandKind::Lint, 0, old)];
        let same = judged(&result(CommandKind::Lint, 0, old), Some(&base), "");
        assert_eq!(same.outcome, CheckOutcome::Passed);
        assert!(same.findings[0].starts_with("old warning"), "{:?}", same.findings);
        let new = judged(&result(CommandKind::Lint, 0, &more), Some(&base), "");
        assert_eq!(new.outcome, CheckOutcome::Failed);
        assert!(new.findings[0].contains("unused `b`") && new.findings[0].contains("src/lib.rs:3"));
        let denied = judged(
            &result(CommandKind::Lint, 0, old),
            Some(&base),
            "[policy]\nwarnings = \"deny\"\n",
        );
        assert_eq!(denied.outcome, CheckOutcome::Failed);
        let until = |day: &str| {
            let policy = format!(
                "[policy]\nallow_warnings = [{{ pattern = \"unused `b`\", by = \"me\", until = \"{day}\" }}]\n"
            );
            judged(&result(CommandKind::Lint, 0, &more), Some(&base), &policy).outcome
        };
        assert_eq!(until("2026-11-22"), CheckOutcome::Passed);
        assert_eq!(until("2026-11-21"), CheckOutcome::Failed);
    }

    #[test]
    fn a_linter_red_on_the_base_is_old() {
        let old = "error: unused `a`\n --> src/lib.rs:2:9\n";
        let base = [result(CommandKind::Lint, 101, old)];
        let moved = old.replace(":2:", ":5:");
        assert_eq!(
            judged(&result(CommandKind::Lint, 101, &moved), Some(&base), "").outcome,
            CheckOutcome::Passed
        );
        let other = "error: unused `b`\n --> src/lib.rs:2:9\n";
        assert_eq!(
            judged(&result(CommandKind::Lint, 101, other), Some(&base), "").outcome,
            CheckOutcome::Failed
        );
        assert_eq!(new_lines("a 1\nb 2\n", "b 7\na 9\n"), 0);
        assert_eq!(new_lines("a 1\na 2\n", "a 7\n"), 1);
    }
}
