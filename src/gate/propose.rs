//! A `.foreman.toml` that would pass on a base as it is, from what its checks came to.
//!
//! Pure. What is red stays in it: a policy that leaves a failing test out proves nothing.

use std::fmt::Write as _;

use super::base::BaseVerdict;
use super::policy::{CommandKind, Commands, Policy};
use super::run::{CommandResult, Ended};

/// A proposal, and whether a night would begin with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    pub text: String,
    pub passes: bool,
}

/// The commands that ran, `[]` for what this machine lacks or nobody named.
#[must_use]
pub fn propose(policy: &Policy, verdict: &BaseVerdict) -> Proposal {
    let mut text = String::from("[gate]\n");
    let mut passes = true;
    for kind in CommandKind::ALL {
        let results: Vec<&CommandResult> =
            verdict.results.iter().filter(|result| result.planned.kind == kind).collect();
        for result in &results {
            if let Some(line) = &result.missing {
                let command = one_line(&result.planned.command);
                let _ = writeln!(text, "# `{command}` is not on this machine: {}", one_line(line));
            } else if !result.succeeded() && kind != CommandKind::Lint {
                passes = false;
                let command = one_line(&result.planned.command);
                let _ = writeln!(text, "# `{command}` is red on this base: repair it first.");
            }
        }
        let kept: Vec<toml::Value> = match policy.of(kind) {
            // What did not run because an earlier command failed is kept as well.
            Commands::Run(planned) => planned
                .iter()
                .filter(|it| !results.iter().any(|r| r.planned == **it && r.missing.is_some()))
                .map(|it| toml::Value::String(it.command.clone()))
                .collect(),
            Commands::NoneByPolicy | Commands::NoneByOperator | Commands::NothingFound => vec![],
        };
        if kind == CommandKind::Test && kept.is_empty() {
            let _ = writeln!(text, "# There is no test: name one as soon as there is.");
        }
        let value = match kept.as_slice() {
            [one] => one.clone(),
            _ => toml::Value::Array(kept),
        };
        let _ = writeln!(text, "{kind} = {value}");
    }
    let _ = writeln!(text, "timeout_seconds = {}", timeout(policy, verdict));
    Proposal { text, passes }
}

/// The limit as it is, or three times the longest command where that is near it.
fn timeout(policy: &Policy, verdict: &BaseVerdict) -> u64 {
    let longest = verdict.results.iter().map(|result| result.duration_ms / 1000).max();
    let ran_out = verdict.results.iter().any(|result| result.ended == Ended::TimedOut);
    let limit = policy.timeout.as_secs();
    let wanted = longest.unwrap_or(0) * 3;
    if ran_out || wanted > limit {
        wanted.max(limit * 2).min(crate::domain::policy::LONGEST_TIMEOUT_SECONDS)
    } else {
        limit
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::gate::logs::TestReport;
    use crate::gate::policy::Detected;

    fn result(policy: &Policy, kind: CommandKind, code: i32, missing: bool) -> CommandResult {
        CommandResult {
            planned: policy.to_run(kind)[0].clone(),
            ended: Ended::Exited(code),
            duration_ms: 400_000,
            log_sha256: "0".repeat(64),
            empty: false,
            tests: TestReport::default(),
            findings: BTreeSet::new(),
            missing: missing.then(|| "sh: ruff: not found".to_owned()),
            unreachable: None,
            reruns: 0,
        }
    }

    fn verdict(results: Vec<CommandResult>) -> BaseVerdict {
        BaseVerdict {
            commit: "1".repeat(40).parse().expect("an id"),
            green: true,
            red: vec![],
            checks: vec![],
            results,
            flaky: vec![],
            altered: BTreeSet::new(),
            detected: vec![],
            dependencies_unavailable: false,
        }
    }

    #[test]
    fn what_it_proposes_reads_and_says_the_same() {
        let detected = Detected {
            commands: vec![
                (CommandKind::Build, "make \"all\" 'x'".into(), "Makefile".into()),
                (CommandKind::Lint, "ruff check .".into(), "pyproject.toml".into()),
                (CommandKind::Test, "pytest".into(), "pyproject.toml".into()),
            ],
            notes: vec![],
        };
        let policy = Policy::parse(None, detected).expect("valid");
        let results = vec![
            result(&policy, CommandKind::Build, 0, false),
            result(&policy, CommandKind::Lint, 127, true),
            result(&policy, CommandKind::Test, 0, false),
        ];
        let proposal = propose(&policy, &verdict(results.clone()));
        assert!(proposal.passes && proposal.text.contains("# `ruff check .` is not on this"));
        let read = Policy::parse(Some(&proposal.text), Detected::default()).expect("it reads");
        assert_eq!(read.to_run(CommandKind::Build)[0].command, "make \"all\" 'x'");
        assert_eq!(read.of(CommandKind::Lint), &Commands::NoneByPolicy);
        assert_eq!(read.timeout.as_secs(), 1200);
        let mut red = results;
        red[2].ended = Ended::Exited(1);
        let proposal = propose(&policy, &verdict(red));
        assert!(!proposal.passes && proposal.text.contains("`pytest` is red on this base"));
        assert!(proposal.text.contains("test = \"pytest\""), "{}", proposal.text);
    }
}
