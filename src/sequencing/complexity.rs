//! How much work an issue looks like, and whether the tier rules would escalate it.
//!
//! Owns the rules below; never chooses a model (that is `escalation`).
//!
//! **Complexity.** The seed names heavy tasks, refactors of 10 files or more, and complex reasoning
//! as high. Labels speak first: one of `complexity_high` (default `complexity:high`,
//! `breaking-change`, `high-priority`) makes it high; `complexity:medium` and `complexity:low` hold
//! against the text. Without them the title and the body's prose can raise low:
//! - to **high**: "breaking change", "rewrite", "large-scale", "multi-file refactor", 10 or more
//!   "files" or "modules", 12 or more checkboxes, or 4,000 characters of prose;
//! - to **medium**: a title of "refactor", "migrate", "redesign", "restructure", "integrate",
//!   "overhaul", "concurrency" or the like, 3 or more "files", 4 or more checkboxes, or 1,000
//!   characters of prose.
//!
//! **Escalation.** `architecture`, `governance` and `multi-agent` labels, a milestone due within 7
//! days, and high complexity. Text reaches it only through complexity, whose tiers are counted.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use regex::Regex;

use crate::domain::issue::{Issue, milestone_is_near};
use crate::domain::labels::EscalationLabels;
use crate::domain::plan::Complexity;

use super::markdown::{self, Prose};

/// What text needs to raise an issue: files named, checkboxes, characters of prose.
struct Bounds {
    files: u64,
    tasks: usize,
    prose: usize,
}

const HIGH: Bounds = Bounds { files: 10, tasks: 12, prose: 4_000 };
const MEDIUM: Bounds = Bounds { files: 3, tasks: 4, prose: 1_000 };

/// The estimated complexity of an issue.
#[must_use]
pub fn estimate(issue: &Issue, labels: &EscalationLabels) -> Complexity {
    estimate_with(issue, &markdown::read(&issue.body), labels)
}

/// As [`estimate`], with the body already read.
pub(super) fn estimate_with(issue: &Issue, body: &Prose, labels: &EscalationLabels) -> Complexity {
    let said = |name: &str| has_label(issue, &[name.to_owned()]);
    if has_label(issue, &labels.complexity_high) {
        Complexity::High
    } else if said("complexity:medium") {
        Complexity::Medium
    } else if said("complexity:low") {
        Complexity::Low
    } else {
        from_text(&issue.title, body)
    }
}

/// How many files the issue speaks of, 0 where it names no number: the estimate before any work is
/// done. A label that calls the work low or medium holds against the text here too.
pub(super) fn estimate_files(issue: &Issue, body: &Prose) -> u32 {
    if has_label(issue, &["complexity:low".to_owned(), "complexity:medium".to_owned()]) {
        return 0;
    }
    let files = files_named(&issue.title).max(files_named(&body.text()));
    u32::try_from(files).unwrap_or(u32::MAX)
}

/// Whether the tier rules would escalate an issue.
#[must_use]
pub fn requires_escalation(
    issue: &Issue,
    complexity: Complexity,
    labels: &EscalationLabels,
    now: DateTime<Utc>,
) -> bool {
    complexity == Complexity::High
        || has_label(issue, &labels.architecture)
        || has_label(issue, &labels.governance)
        || has_label(issue, &labels.coordination)
        || issue.milestone_due.is_some_and(|due| milestone_is_near(due, now))
}

fn has_label(issue: &Issue, wanted: &[String]) -> bool {
    let has = |name: &String| {
        issue.labels.iter().any(|label| label.trim().eq_ignore_ascii_case(name.trim()))
    };
    wanted.iter().any(has)
}

fn from_text(title: &str, body: &Prose) -> Complexity {
    static HIGH_WORDS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(
            r"(?i)\b(?:breaking[\s-]changes?|rewrit(?:e|es|ing)|large[\s-]scale|multi[\s-]file refactor(?:ing)?)\b",
        )
        .expect("a valid pattern")
    });
    static MEDIUM_WORDS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(
            r"(?i)\b(?:refactor(?:ing)?|migrat(?:e|es|ion)|redesign|restructure|integrat(?:e|es|ion)|overhaul|concurren(?:cy|t)|race conditions?|deadlocks?)\b",
        )
        .expect("a valid pattern")
    });
    let prose = body.text();
    let files = files_named(title).max(files_named(&prose));
    let reaches = |bounds: &Bounds| {
        files >= bounds.files
            || body.tasks >= bounds.tasks
            || prose.chars().nth(bounds.prose - 1).is_some()
    };
    if HIGH_WORDS.is_match(title) || HIGH_WORDS.is_match(&prose) || reaches(&HIGH) {
        Complexity::High
    } else if MEDIUM_WORDS.is_match(title) || reaches(&MEDIUM) {
        Complexity::Medium
    } else {
        Complexity::Low
    }
}

/// The largest number of files or modules that a text speaks of ("12 files").
fn files_named(text: &str) -> u64 {
    static FILES: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?i)\b([0-9]{1,6})\+?\s+(?:[a-z]+\s+)?(?:files|modules)\b")
            .expect("a valid pattern")
    });
    FILES.captures_iter(text).filter_map(|found| found[1].parse().ok()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::super::testing::issue;
    use super::*;

    fn of(labels: &[&str], title: &str, body: &str) -> Complexity {
        let mut issue = issue(1);
        issue.labels = labels.iter().map(|&label| label.to_owned()).collect();
        issue.title = title.to_owned();
        issue.body = body.to_owned();
        estimate(&issue, &EscalationLabels::default())
    }

    #[test]
    fn labels_say_high_and_hold_against_the_text() {
        for label in ["complexity:high", "Breaking-Change", "high-priority"] {
            assert_eq!(of(&[label], "Fix a typo", ""), Complexity::High, "{label}");
        }
        assert_eq!(of(&["complexity:low"], "Rewrite everything", ""), Complexity::Low);
        assert_eq!(of(&["complexity:medium"], "Fix a typo", ""), Complexity::Medium);
    }

    #[test]
    fn text_raises_low() {
        assert_eq!(of(&[], "Fix a typo", "In README."), Complexity::Low);
        assert_eq!(of(&[], "Refactor the lexer", ""), Complexity::Medium);
        assert_eq!(of(&[], "x", &"word ".repeat(200)), Complexity::Medium);
        assert_eq!(of(&[], "x", &"- [ ] one\n".repeat(4)), Complexity::Medium);
        assert_eq!(of(&[], "x", "Touches 4 source files."), Complexity::Medium);
        assert_eq!(of(&[], "x", "Touches 10+ files."), Complexity::High);
        assert_eq!(of(&[], "Rewrite the lexer", ""), Complexity::High);
        assert_eq!(of(&[], "x", "This is a breaking change."), Complexity::High);
        assert_eq!(of(&[], "x", &"word ".repeat(900)), Complexity::High);
    }

    #[test]
    fn code_does_not_raise() {
        assert_eq!(of(&[], "x", &format!("```\n{}\n```", "rewrite ".repeat(900))), Complexity::Low);
    }

    #[test]
    fn escalation_takes_labels_a_milestone_or_high() {
        let (labels, now) = (EscalationLabels::default(), DateTime::UNIX_EPOCH);
        let asks = |issue: &Issue, complexity| requires_escalation(issue, complexity, &labels, now);
        let mut issue = issue(1);
        issue.title = "Architecture and governance".to_owned();
        assert!(!asks(&issue, Complexity::Medium));
        assert!(asks(&issue, Complexity::High));
        issue.labels = vec!["Multi-Agent".to_owned()];
        assert!(asks(&issue, Complexity::Low));
        issue.labels.clear();
        issue.milestone_due = Some(now + TimeDelta::days(7));
        assert!(asks(&issue, Complexity::Low));
        issue.milestone_due = Some(now + TimeDelta::days(8));
        assert!(!asks(&issue, Complexity::Low));
    }
}
