//! The words of a refusal: one sentence for people, a short exact digest for the builder.
//!
//! Pure.

use std::fmt::Write as _;
use std::sync::LazyLock;

use regex::Regex;

use super::finding::sentence;
use super::logs::{pattern, tail};
use crate::domain::evidence::{Check, CheckOutcome, Violation};

/// Bytes of a failing command's output that are quoted.
const QUOTED_BYTES: usize = 3000;
const QUOTED_LINES: usize = 60;
/// Bytes of the whole digest: a small share of the smallest window.
const DIGEST_BYTES: usize = 8000;

/// One sentence that names the cause: the rules broken first, then the checks that failed.
#[must_use]
pub fn reason(violations: &[Violation], checks: &[Check]) -> String {
    let mut causes: Vec<String> = violations.iter().map(sentence).collect();
    if causes.is_empty() {
        causes = failed(checks).map(cause_of).collect();
    }
    match causes.as_slice() {
        [] => "a dimension of the gate has no check".to_owned(),
        [one] => one.clone(),
        [first, second] => format!("{first}; {second}"),
        [first, rest @ ..] => format!("{first}; and {} more", rest.len()),
    }
}

fn failed(checks: &[Check]) -> impl Iterator<Item = &Check> {
    // What did not run, did not run because of what failed.
    let any = checks.iter().any(|check| check.outcome == CheckOutcome::Failed);
    checks.iter().filter(move |check| match check.outcome {
        CheckOutcome::Failed => true,
        CheckOutcome::NotRun => !any,
        CheckOutcome::Passed | CheckOutcome::NotApplicable => false,
    })
}

fn cause_of(check: &Check) -> String {
    check
        .findings
        .first()
        .cloned()
        .unwrap_or_else(|| format!("{} {} failed", check.dimension, check.name))
}

/// What goes back to the builder. `logs` gives the text of a log by its hash.
#[must_use]
pub fn digest(checks: &[Check], logs: impl Fn(&str) -> Option<String>) -> String {
    let mut text = String::from("The change was refused. What has to be put right:\n");
    for check in failed(checks) {
        // Writing to a String cannot fail.
        let _ignored = write!(text, "\n[{} / {}]", check.dimension, check.name);
        if let Some(command) = &check.command {
            let _ignored = write!(text, " `{command}`");
        }
        text.push('\n');
        for finding in &check.findings {
            let _ignored = writeln!(text, "- {finding}");
        }
        if let Some(log) = check.log_sha256.as_deref().and_then(&logs) {
            let quoted = relevant(&log);
            if !quoted.is_empty() {
                let _ignored = writeln!(text, "Its output, where it matters:\n```\n{quoted}\n```");
            }
        }
    }
    cut(&text, DIGEST_BYTES)
}

/// The part of a log that says what failed: from the first failure on, else its end.
fn relevant(log: &str) -> String {
    static START: LazyLock<Regex> = LazyLock::new(|| {
        pattern(concat!(
            r"^(?:failures:$|---- .* stdout ----|error(?:\[\w+\])?: |=+ FAILURES =+|FAIL[: ]|ERROR[: ]|",
            r"\s*--- FAIL|not ok |Traceback |warning: |\s+● |\s+\d+\) |.*\bpanicked at\b)",
        ))
    });
    let log = super::logs::plain(log);
    let lines: Vec<&str> = log.lines().collect();
    let from = lines.iter().position(|line| START.is_match(line));
    match from {
        Some(from) => {
            let shown = lines[from..].iter().take(QUOTED_LINES).copied().collect::<Vec<_>>();
            cut(&shown.join("\n"), QUOTED_BYTES)
        }
        None => tail(&log, QUOTED_LINES / 2, QUOTED_BYTES),
    }
}

fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.trim_end().to_owned();
    }
    let mut end = bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}\n[... {} bytes left out]", &text[..end], text.len() - end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::evidence::Dimension;
    use crate::gate::finding::{Where, check, high};

    #[test]
    fn the_cause_is_named_once() {
        let deleted = high("test_deleted", "the test `adds` was deleted", Where::line("a.rs", 3));
        assert_eq!(
            reason(std::slice::from_ref(&deleted), &[]),
            "the test `adds` was deleted (a.rs:3)"
        );
        let not_run = check(Dimension::Qic, "test", CheckOutcome::NotRun, vec!["not run".into()]);
        let failed = check(Dimension::Qic, "lint", CheckOutcome::Failed, vec!["new".into()]);
        assert_eq!(reason(&[], &[not_run.clone(), failed]), "new");
        assert_eq!(reason(&[], &[not_run]), "not run");
        assert!(reason(&[deleted.clone(), deleted.clone(), deleted], &[]).ends_with("and 2 more"));
    }

    #[test]
    fn the_digest_quotes_the_failure() {
        let mut failed = check(Dimension::Qic, "test", CheckOutcome::Failed, vec!["bad".into()]);
        failed.command = Some("cargo test".into());
        failed.log_sha256 = Some("x".into());
        let log = format!(
            "{}failures:\n\n---- adds stdout ----\nleft: 2\nright: 3\n",
            "noise\n".repeat(5000)
        );
        let text = digest(&[failed], |_| Some(log.clone()));
        assert!(
            text.contains("left: 2") && text.contains("`cargo test`") && !text.contains("noise")
        );
        assert!(text.len() < DIGEST_BYTES + 100);
    }
}
