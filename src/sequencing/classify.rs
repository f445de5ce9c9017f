//! What kind of work an issue is.
//!
//! Owns the words that name a sequence type. They are looked for in the labels first, then in the
//! title, then in the body's prose (no code, no quotes); the first place that has any decides, and
//! within it the first type in the order of [`SequenceType::ALL`]. Words count whole: "Contest
//! page" is no QA. Labels and titles are read more widely than bodies, where "tests" or "memory" is
//! said in passing. Never decides what is spent on an issue: that takes labels alone.

use std::sync::LazyLock;

use regex::Regex;

use crate::domain::issue::Issue;
use crate::domain::plan::SequenceType;

use super::markdown::{self, Prose};

/// The sequence type of an issue.
#[must_use]
pub fn classify(issue: &Issue) -> SequenceType {
    classify_with(issue, &markdown::read(&issue.body))
}

/// As [`classify`], with the body already read.
pub(super) fn classify_with(issue: &Issue, body: &Prose) -> SequenceType {
    by_labels(&issue.labels)
        .or_else(|| WIDE.first_in(&issue.title))
        .or_else(|| NARROW.first_in(&body.text()))
        .unwrap_or(SequenceType::Build)
}

/// A label `build` says build, whatever the title mentions; any other type's label wins over it.
fn by_labels(labels: &[String]) -> Option<SequenceType> {
    let rank = |kind: &SequenceType| SequenceType::ALL.iter().position(|other| other == kind);
    let build = || labels.iter().any(|label| BUILD.is_match(label));
    labels
        .iter()
        .filter_map(|label| WIDE.first_in(label))
        .min_by_key(rank)
        .or_else(|| build().then_some(SequenceType::Build))
}

/// Words of a type; a word ends where letters and digits end, so `area_qa` has the word `qa`.
struct Words(Vec<(SequenceType, Regex)>);

impl Words {
    fn new(words: &[(SequenceType, &str)]) -> Self {
        Self(words.iter().map(|(kind, words)| (*kind, whole_words(words))).collect())
    }

    fn first_in(&self, text: &str) -> Option<SequenceType> {
        // "memory leak" and the like speak of the machine's memory, not of the project's.
        let text = MACHINE_MEMORY.replace_all(text, " ");
        self.0.iter().find(|(_, words)| words.is_match(&text)).map(|(kind, _)| *kind)
    }
}

fn whole_words(alternatives: &str) -> Regex {
    let pattern = format!(r"(?i)(?:^|[^\p{{L}}\p{{N}}])(?:{alternatives})(?:$|[^\p{{L}}\p{{N}}])");
    Regex::new(&pattern).expect("a valid pattern")
}

static WIDE: LazyLock<Words> = LazyLock::new(|| {
    Words::new(&[
        (SequenceType::Architecture, "architectur(?:e|es|al)"),
        (SequenceType::Memory, "memory"),
        (SequenceType::Governance, "governance"),
        (SequenceType::Qa, r"qa|testing|tests?|quality[\s_-]assurance"),
        (SequenceType::Deployment, "deploy(?:s|ing|ments?)?"),
        (SequenceType::SelfEvolution, r"self[\s_-]*evol(?:ution|ving)"),
    ])
});

static NARROW: LazyLock<Words> = LazyLock::new(|| {
    Words::new(&[
        (SequenceType::Architecture, "architecture"),
        (SequenceType::Memory, r"memory[\s_-]fabric"),
        (SequenceType::Governance, "governance"),
        (SequenceType::Qa, "qa|testing|test"),
        (SequenceType::Deployment, "deploy|deployment"),
        (SequenceType::SelfEvolution, r"self[\s_-]*evolution"),
    ])
});

static BUILD: LazyLock<Regex> = LazyLock::new(|| whole_words("build"));

static MACHINE_MEMORY: LazyLock<Regex> = LazyLock::new(|| {
    let after = "leaks?|usage|use|consumption|footprint|limits?|errors?|safety|allocations?|allocator|pressure|corruption|growth|bloat";
    let pattern = format!(
        r"(?i)\b(?:out[\s-]of[\s-]|shared[\s-]|virtual[\s-]|in-)memory\b|\bmemory[\s-](?:{after})\b"
    );
    Regex::new(&pattern).expect("a valid pattern")
});

#[cfg(test)]
mod tests {
    use super::super::testing::issue;
    use super::*;

    fn of(labels: &[&str], title: &str, body: &str) -> SequenceType {
        let mut issue = issue(1);
        issue.labels = labels.iter().map(|&label| label.to_owned()).collect();
        issue.title = title.to_owned();
        issue.body = body.to_owned();
        classify(&issue)
    }

    #[test]
    fn labels_come_first_then_the_title_then_the_body() {
        let body = "All about governance.";
        assert_eq!(of(&["area: qa"], "Deploy it", body), SequenceType::Qa);
        assert_eq!(of(&["bug"], "Deploy it", body), SequenceType::Deployment);
        assert_eq!(of(&["bug"], "Do it", body), SequenceType::Governance);
        assert_eq!(of(&["bug"], "Do it", "Now."), SequenceType::Build);
        assert_eq!(of(&["build"], "Test the architecture", body), SequenceType::Build);
    }

    #[test]
    fn labels_of_many_forms() {
        for (label, kind) in [
            ("architecture", SequenceType::Architecture),
            ("type/architecture", SequenceType::Architecture),
            ("Memory", SequenceType::Memory),
            ("memory-fabric", SequenceType::Memory),
            ("governance:policy", SequenceType::Governance),
            ("QA", SequenceType::Qa),
            ("kind_testing", SequenceType::Qa),
            ("test", SequenceType::Qa),
            ("deploy", SequenceType::Deployment),
            ("deployment", SequenceType::Deployment),
            ("self_evolution", SequenceType::SelfEvolution),
            ("self-evolution", SequenceType::SelfEvolution),
            ("enhancement", SequenceType::Build),
        ] {
            assert_eq!(of(&[label], "Do it", ""), kind, "{label}");
        }
        assert_eq!(of(&["qa", "architecture"], "x", ""), SequenceType::Architecture);
        assert_eq!(of(&["build", "deploy"], "x", ""), SequenceType::Deployment);
    }

    #[test]
    fn words_count_whole() {
        for title in [
            "Contest page",
            "Use the latest release",
            "Attest the artefacts",
            "Redeployed",
            "Fix the memory leak",
            "Parser runs out of memory",
            "Iraqaa",
        ] {
            assert_eq!(of(&[], title, ""), SequenceType::Build, "{title}");
        }
        assert_eq!(of(&[], "QA: contest page", ""), SequenceType::Qa);
        assert_eq!(of(&[], "Add tests for the lexer", ""), SequenceType::Qa);
        assert_eq!(of(&[], "Memory fabric: keep records", ""), SequenceType::Memory);
        assert_eq!(of(&[], "Self evolution loop", ""), SequenceType::SelfEvolution);
    }

    #[test]
    fn a_body_is_read_narrowly_and_without_code() {
        assert_eq!(of(&[], "x", "The tests pass."), SequenceType::Build);
        assert_eq!(of(&[], "x", "Run `cargo test`."), SequenceType::Build);
        assert_eq!(of(&[], "x", "> governance"), SequenceType::Build);
        assert_eq!(of(&[], "x", "Keeps it in memory."), SequenceType::Build);
        assert_eq!(of(&[], "x", "Part of the memory fabric."), SequenceType::Memory);
        assert_eq!(of(&[], "x", "Needs a test."), SequenceType::Qa);
    }
}
