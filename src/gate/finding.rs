//! Making violations: one way to say what rule was broken, where, and how badly.
//!
//! Pure.

use crate::domain::event::Severity;
use crate::domain::evidence::{Check, CheckOutcome, Dimension, Violation};

/// The place of a violation.
#[derive(Debug, Clone, Default)]
pub struct Where {
    file: Option<String>,
    line: Option<u32>,
}

impl Where {
    /// The change as a whole.
    #[must_use]
    pub fn nowhere() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn file(path: &str) -> Self {
        Self { file: Some(path.to_owned()), line: None }
    }

    #[must_use]
    pub fn line(path: &str, line: u32) -> Self {
        Self { file: Some(path.to_owned()), line: Some(line) }
    }
}

/// A violation of the given severity.
#[must_use]
pub fn violation(kind: &str, severity: Severity, what: impl Into<String>, at: Where) -> Violation {
    Violation {
        kind: kind.to_owned(),
        severity,
        description: what.into(),
        file: at.file,
        line: at.line,
    }
}

/// A violation that alone is reason to refuse and hints at dishonesty.
#[must_use]
pub fn high(kind: &str, what: impl Into<String>, at: Where) -> Violation {
    violation(kind, Severity::High, what, at)
}

/// The violation as one sentence with its place.
#[must_use]
pub fn sentence(violation: &Violation) -> String {
    match (&violation.file, violation.line) {
        (Some(file), Some(line)) => format!("{} ({file}:{line})", violation.description),
        (Some(file), None) if !violation.description.contains(file.as_str()) => {
            format!("{} ({file})", violation.description)
        }
        (Some(_), None) | (None, _) => violation.description.clone(),
    }
}

/// A check that has no command.
#[must_use]
pub fn check(
    dimension: Dimension,
    name: &str,
    outcome: CheckOutcome,
    findings: Vec<String>,
) -> Check {
    Check {
        dimension,
        name: name.to_owned(),
        outcome,
        command: None,
        exit_code: None,
        duration_ms: 0,
        log_sha256: None,
        findings,
    }
}

/// A check over the diff: failed where there are violations.
#[must_use]
pub fn check_of(dimension: Dimension, name: &str, violations: &[Violation]) -> Check {
    let outcome = if violations.is_empty() { CheckOutcome::Passed } else { CheckOutcome::Failed };
    check(dimension, name, outcome, violations.iter().map(sentence).collect())
}
