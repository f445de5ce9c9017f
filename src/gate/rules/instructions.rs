//! Contradictions between what the issue asks for and what the repository's policy forbids.
//!
//! Pure. A contradiction is seen where a change does what the policy forbids *because* the issue
//! names it: then neither the builder nor a repair can satisfy both, and a person has to choose.

use super::super::finding::check;
use super::super::look::Asked;
use crate::domain::evidence::{Check, CheckOutcome, Dimension, Violation};

/// The row, and whether there is a contradiction.
#[must_use]
pub fn instructions(violations: &[Violation], asked: &Asked) -> (Check, bool) {
    let found: Vec<String> =
        violations.iter().filter(|it| contradicts(it, asked)).map(words).collect();
    let torn = !found.is_empty();
    let row = if torn {
        check(Dimension::Cdw, "instructions", CheckOutcome::Failed, found)
    } else {
        let why = "the issue asks for nothing that the policy forbids, as far as the change shows";
        check(Dimension::Cdw, "instructions", CheckOutcome::Passed, vec![why.to_owned()])
    };
    (row, torn)
}

fn contradicts(violation: &Violation, asked: &Asked) -> bool {
    let policy = matches!(
        violation.kind.as_str(),
        "protected_path"
            | "test_deleted"
            | "test_file_deleted"
            | "test_skipped"
            | "settings_loosened"
            | "threshold_relaxed"
            | "error_suppressed"
            | "command_replaced"
    );
    let Some(file) = violation.file.as_deref().filter(|_| policy) else { return false };
    let name = file.rsplit('/').next().unwrap_or(file);
    let stem = name.trim_start_matches('.').split('.').next().unwrap_or(name);
    let quoted = violation.description.split('`').nth(1).unwrap_or("");
    let code = |word: &str| word.contains(['_', '.', '/']) && asked.names(word);
    asked.text().contains(&file.to_lowercase())
        || code(name)
        || code(quoted)
        || (violation.kind == "protected_path"
            && asked.says(&[&stem.to_lowercase()])
            && stem.len() > 4)
}

fn words(violation: &Violation) -> String {
    format!(
        "the issue asks for what the policy forbids: {}. A person has to choose",
        super::super::finding::sentence(violation)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::finding::{Where, high};

    #[test]
    fn only_what_the_issue_names_contradicts() {
        let path = ".github/workflows/ci.yml";
        let found = [high("protected_path", format!("{path} is protected"), Where::file(path))];
        let (row, torn) =
            instructions(&found, &Asked::new("Cache in .github/workflows/ci.yml", ""));
        assert!(torn && row.outcome == CheckOutcome::Failed && row.findings[0].contains(path));
        let (row, torn) = instructions(&found, &Asked::new("Faster sums", ""));
        assert!(!torn && row.outcome == CheckOutcome::Passed);
    }
}
