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
/// Findings of one check that are listed.
const MOST_FINDINGS: usize = 12;
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
        for finding in check.findings.iter().take(MOST_FINDINGS) {
            let _ignored = writeln!(text, "- {finding}");
        }
        let more = check.findings.len().saturating_sub(MOST_FINDINGS);
        if more > 0 {
            let _ignored = writeln!(text, "- and {more} more");
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

/// What a log's telling lines look like, the most telling first: failing tests, errors, warnings.
static TELLING: LazyLock<[Regex; 3]> = LazyLock::new(|| {
    [
        pattern(concat!(
            r"^(?:failures:$|---- .* stdout ----|=+ (?:FAILURES|ERRORS) =+|FAIL(?:ED)?[: \t]|",
            r"ERROR: \S+ \(|not ok |Traceback |\s*--- FAIL|\s+● |\s+\d+\) \S|\s*[✕✖×] |",
            r".*\bpanicked at\b|.*<<< (?:FAILURE|ERROR)!|\S.* > .* FAILED$)",
        )),
        pattern(concat!(
            r"^(?:error(?:\[\w+\])?: |E\d+ |\[ERROR\] |.*:\d+(?::\d+)?:? (?:fatal )?[Ee]rror\b|",
            r".*\berror TS\d+|\s*\d+:\d+\s+error\s|npm ERR! |make(?:\[\d+\])?: \*\*\*|\S*Error: )",
        )),
        pattern(
            r"^(?:warning(?:\[\w+\])?: |.*:\d+(?::\d+)?:? [Ww]arning\b|\s*\d+:\d+\s+warning\s)",
        ),
    ]
});

/// Lines quoted from each telling line on, until the next one.
const AFTER: usize = 14;
/// Lines of a log's end that are quoted besides: runners sum up there.
const LAST: usize = 3;

/// The part of a log that says what failed: from each telling line on, and its end.
fn relevant(log: &str) -> String {
    let log = super::logs::plain(log);
    let lines: Vec<&str> = log.trim_end().lines().collect();
    let hits = TELLING.iter().find_map(|telling| {
        let hits: Vec<usize> =
            (0..lines.len()).filter(|at| telling.is_match(lines[*at])).take(QUOTED_LINES).collect();
        (!hits.is_empty()).then_some(hits)
    });
    let Some(hits) = hits else { return tail(&log, QUOTED_LINES / 2, QUOTED_BYTES) };
    let mut shown: Vec<usize> = Vec::new();
    for (index, hit) in hits.iter().enumerate() {
        let next = hits.get(index + 1).copied().unwrap_or(lines.len());
        shown.extend(*hit..next.min(hit + AFTER).min(lines.len()));
    }
    shown.truncate(QUOTED_LINES);
    let end = lines.len().saturating_sub(LAST)..lines.len();
    let last = shown.last().map_or(0, |last| last + 1);
    // The summary has its place even where the failures fill the rest.
    let (body, end) =
        (quote(&lines, &shown), quote(&lines, &end.filter(|at| *at >= last).collect::<Vec<_>>()));
    let body = cut(&body, QUOTED_BYTES.saturating_sub(end.len()));
    if end.is_empty() { body } else { format!("{body}\n[...]\n{}", cut(&end, QUOTED_BYTES / 4)) }
}

/// The lines at these places; gaps are marked.
fn quote(lines: &[&str], places: &[usize]) -> String {
    let mut text = String::new();
    for (index, at) in places.iter().enumerate() {
        if index > 0 && places[index - 1] + 1 != *at {
            text.push_str("[...]\n");
        }
        text.push_str(lines[*at]);
        text.push('\n');
    }
    text.trim_end().to_owned()
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

    fn digest_of(log: &str) -> String {
        let mut failed = check(Dimension::Qic, "test", CheckOutcome::Failed, vec!["bad".into()]);
        failed.command = Some("cargo test".into());
        failed.log_sha256 = Some("x".into());
        digest(&[failed], |_| Some(log.to_owned()))
    }

    #[test]
    fn the_digest_quotes_the_failure() {
        let log = format!(
            "{}failures:\n\n---- adds stdout ----\nleft: 2\nright: 3\n",
            "noise\n".repeat(5000)
        );
        let text = digest_of(&log);
        assert!(
            text.contains("left: 2") && text.contains("`cargo test`") && !text.contains("noise")
        );
        assert!(text.len() < DIGEST_BYTES + 100);
    }

    #[test]
    fn a_warning_before_the_failure_does_not_hide_it() {
        let log = format!(
            "warning: unused variable\n --> src/lib.rs:1:2\n{}error[E0308]: mismatched types\n \
             --> src/lib.rs:9:9\n{}error: could not compile `a`\n",
            "   |\n".repeat(80),
            "filler\n".repeat(80),
        );
        let text = digest_of(&log);
        assert!(text.contains("E0308") && text.contains("src/lib.rs:9:9"), "{text}");
        assert!(text.contains("could not compile") && !text.contains("unused"), "{text}");
    }

    #[test]
    fn every_failing_test_and_the_summary_are_quoted() {
        let mut log = String::from("running\n");
        for number in 0..3 {
            log.push_str(&format!(
                "--- FAIL: Test{number} (0.00s)\n    a_test.go:{number}: got {number}\n"
            ));
            log.push_str(&"    trace\n".repeat(40));
        }
        log.push_str("FAIL\nexit status 1\nFAIL\tmod/a\t0.1s\n");
        let text = digest_of(&log);
        for number in 0..3 {
            assert!(text.contains(&format!("got {number}")), "{text}");
        }
        assert!(text.contains("FAIL\tmod/a") && text.contains("[...]"), "{text}");
        let huge = digest_of(&"not ok 1 - ".repeat(1_000_000));
        assert!(huge.len() < DIGEST_BYTES, "{}", huge.len());
    }

    #[test]
    fn a_log_of_no_known_kind_is_quoted_at_its_end() {
        let text = digest_of(&format!("{}the last word\n", "line\n".repeat(500)));
        assert!(text.contains("the last word") && text.len() < QUOTED_BYTES, "{text}");
    }
}
