//! A row for each command: what ran, what there is none of, what did not come to run.
//!
//! Pure. A row names its command only where it ran: then it has an exit code and a log.

use crate::domain::evidence::{Check, CheckOutcome};
use crate::gate::change::Changed;
use crate::gate::finding::check;
use crate::gate::policy::{CommandKind, Policy};
use crate::gate::qic::{Against, dimension_of, judge_result};
use crate::gate::run::{CommandResult, Session};

/// Nothing ran, and why.
pub(in crate::gate) fn none_ran(policy: &Policy, why: &str) -> Vec<Check> {
    CommandKind::ALL
        .into_iter()
        .flat_map(|kind| match policy.of(kind).reason(kind) {
            Some(reason) => vec![no_command(kind, reason)],
            None => {
                policy.to_run(kind).iter().map(|one| not_run(kind, &one.command, why)).collect()
            }
        })
        .collect()
}

/// What the commands came to, against the base.
pub(in crate::gate) fn ran(
    policy: &Policy,
    base: &[CommandResult],
    changes: &[Changed],
    session: &Session,
    lint_lines: &[Option<usize>],
) -> Vec<Check> {
    let today = chrono::Utc::now().date_naive();
    let mut checks = Vec::new();
    for kind in CommandKind::ALL {
        if let Some(reason) = policy.of(kind).reason(kind) {
            checks.push(no_command(kind, reason));
        }
    }
    for (result, new_lint_lines) in session.results.iter().zip(lint_lines) {
        let against =
            Against { base: Some(base), changes, policy, today, new_lint_lines: *new_lint_lines };
        checks.push(judge_result(result, against));
    }
    let planned = CommandKind::ALL.into_iter().flat_map(|kind| policy.to_run(kind));
    for planned in planned {
        if !session.results.iter().any(|result| result.planned == *planned) {
            checks.push(not_run(planned.kind, &planned.command, "an earlier command failed"));
        }
    }
    checks
}

fn not_run(kind: CommandKind, command: &str, why: &str) -> Check {
    let finding = format!("not run: {why} (`{command}`)");
    check(dimension_of(kind), kind.as_str(), CheckOutcome::NotRun, vec![finding])
}

fn no_command(kind: CommandKind, reason: String) -> Check {
    check(dimension_of(kind), kind.as_str(), CheckOutcome::NotApplicable, vec![reason])
}
