//! What a check found and how it was proven: the evidence a pull request stands on.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The six dimensions of the gate, in the order they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    Qic,
    Qiel,
    Cdw,
    MemoryFabric,
    Drift,
    Governance,
}

impl Dimension {
    pub const ALL: [Self; 6] =
        [Self::Qic, Self::Qiel, Self::Cdw, Self::MemoryFabric, Self::Drift, Self::Governance];

    /// The name people read in the pull request's table.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Qic => "QIC",
            Self::Qiel => "QIEL",
            Self::Cdw => "CDW",
            Self::MemoryFabric => "Memory fabric",
            Self::Drift => "Drift",
            Self::Governance => "Governance",
        }
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

/// What came of a check. `NotRun` fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckOutcome {
    Passed,
    Failed,
    /// Does not apply, and a finding says why.
    NotApplicable,
    NotRun,
}

impl CheckOutcome {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::NotApplicable => "not applicable",
            Self::NotRun => "not run",
        }
    }

    /// Whether a change may be published with this outcome.
    #[must_use]
    pub const fn lets_pass(self) -> bool {
        match self {
            Self::Passed | Self::NotApplicable => true,
            Self::Failed | Self::NotRun => false,
        }
    }
}

/// One check with its evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    pub dimension: Dimension,
    pub name: String,
    pub outcome: CheckOutcome,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub command: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub exit_code: Option<i32>,
    pub duration_ms: u64,
    /// SHA-256 of the stored (redacted) log, 64 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub log_sha256: Option<String>,
    /// Sentences: what was wrong, or why the check does not apply.
    pub findings: Vec<String>,
}

/// How much a change is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeSize {
    pub files: u64,
    pub added_lines: u64,
    pub removed_lines: u64,
}

impl fmt::Display for ChangeSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = if self.files == 1 { "file" } else { "files" };
        write!(f, "{} {files}, +{} -{}", self.files, self.added_lines, self.removed_lines)
    }
}

/// The whole of the gate's judgement, as the contract shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QaSummary {
    pub passed: bool,
    pub total_checks: usize,
    pub passed_checks: usize,
    pub failed_checks: usize,
    pub qic_passed: bool,
    pub qiel_passed: bool,
    pub cdw_passed: bool,
    pub memory_fabric_passed: bool,
    pub drift_check_passed: bool,
    pub governance_check_passed: bool,
    pub checks: Vec<Check>,
}

impl QaSummary {
    /// Sums checks up. A dimension without any check did not run, so it fails.
    #[must_use]
    pub fn of(checks: Vec<Check>) -> Self {
        let dimension = |wanted: Dimension| {
            let mut of_it = checks.iter().filter(|check| check.dimension == wanted).peekable();
            of_it.peek().is_some() && of_it.all(|check| check.outcome.lets_pass())
        };
        let failed = checks.iter().filter(|check| !check.outcome.lets_pass()).count();
        Self {
            passed: Dimension::ALL.into_iter().all(dimension),
            total_checks: checks.len(),
            passed_checks: checks.len() - failed,
            failed_checks: failed,
            qic_passed: dimension(Dimension::Qic),
            qiel_passed: dimension(Dimension::Qiel),
            cdw_passed: dimension(Dimension::Cdw),
            memory_fabric_passed: dimension(Dimension::MemoryFabric),
            drift_check_passed: dimension(Dimension::Drift),
            governance_check_passed: dimension(Dimension::Governance),
            checks,
        }
    }

    #[must_use]
    pub fn dimension_passed(&self, dimension: Dimension) -> bool {
        match dimension {
            Dimension::Qic => self.qic_passed,
            Dimension::Qiel => self.qiel_passed,
            Dimension::Cdw => self.cdw_passed,
            Dimension::MemoryFabric => self.memory_fabric_passed,
            Dimension::Drift => self.drift_check_passed,
            Dimension::Governance => self.governance_check_passed,
        }
    }
}

/// A rule of governance that a change breaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Violation {
    /// A stable name: `test_deleted`, `protected_path`, `secret`, ...
    #[serde(rename = "type")]
    pub kind: String,
    pub severity: super::event::Severity,
    pub description: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub line: Option<u32>,
}

/// The governance side of a judgement.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GovernanceSummary {
    pub passed: bool,
    pub violations: Vec<Violation>,
    /// How many escalations of this issue stand in the log.
    pub escalations_logged: u64,
    pub drift_introduced: bool,
    pub conflicting_instructions: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(dimension: Dimension, outcome: CheckOutcome) -> Check {
        Check {
            dimension,
            name: "x".into(),
            outcome,
            command: None,
            exit_code: None,
            duration_ms: 0,
            log_sha256: None,
            findings: vec![],
        }
    }

    #[test]
    fn a_dimension_nobody_looked_at_fails() {
        let five = Dimension::ALL[..5].iter().map(|d| check(*d, CheckOutcome::Passed)).collect();
        assert!(!QaSummary::of(five).passed);
        let six = Dimension::ALL.iter().map(|d| check(*d, CheckOutcome::Passed)).collect();
        assert!(QaSummary::of(six).passed);
    }

    #[test]
    fn not_run_fails_and_not_applicable_does_not() {
        let mut checks: Vec<_> =
            Dimension::ALL.iter().map(|d| check(*d, CheckOutcome::NotApplicable)).collect();
        assert!(QaSummary::of(checks.clone()).passed);
        checks.push(check(Dimension::Drift, CheckOutcome::NotRun));
        let summary = QaSummary::of(checks);
        assert!(!summary.passed && !summary.drift_check_passed && summary.failed_checks == 1);
    }
}
