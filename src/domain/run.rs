//! A night and its rows, in the shapes the contract shows.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::evidence::{ChangeSize, GovernanceSummary, QaSummary};
use super::ids::{CommitId, IssueNumber, RepoName, RunId, TreeId};
use super::money::Usd;
use super::plan::{DependencyMode, ReasonCode, SequenceType};

/// Where a night stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    Queued,
    Running,
    /// Everything eligible succeeded.
    Completed,
    /// Some did not.
    Partial,
    /// Nothing could be done: fetch, credential.
    Failed,
    /// The base is red, or a ceiling was reached.
    Halted,
    Cancelled,
}

impl RunStatus {
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Running,
        Self::Completed,
        Self::Partial,
        Self::Failed,
        Self::Halted,
        Self::Cancelled,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Halted => "halted",
            Self::Cancelled => "cancelled",
        }
    }

    #[must_use]
    pub const fn is_active(self) -> bool {
        match self {
            Self::Queued | Self::Running => true,
            Self::Completed | Self::Partial | Self::Failed | Self::Halted | Self::Cancelled => {
                false
            }
        }
    }
}

impl std::fmt::Display for RunStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for RunStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or_else(|| {
            format!(
                "`{text}` is not a status: queued, running, completed, partial, failed, halted, cancelled"
            )
        })
    }
}

/// The settings of one night: the defaults with what the request gave merged over them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NightConfig {
    pub enabled: bool,
    pub schedule_expression: String,
    /// Counts issues worked on.
    pub max_issues_per_run: u32,
    pub sequence_order: Vec<SequenceType>,
    pub enable_model_escalation: bool,
    pub enable_auto_heal: bool,
    pub enable_desktop_sync: bool,
    #[serde(rename = "createPRsAutomatically")]
    pub create_prs_automatically: bool,
    pub lanes: u32,
    pub dependency_mode: DependencyMode,
    /// The night's ceiling; `null` is none, `0` no paid call.
    pub budget_usd: Option<Usd>,
    /// Only these issues; empty is all.
    pub issues: Vec<IssueNumber>,
    /// Only issues with one of these labels; empty is all.
    pub labels: Vec<String>,
}

impl Default for NightConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            schedule_expression: "0 2 * * *".to_owned(),
            max_issues_per_run: 50,
            sequence_order: SequenceType::ALL.to_vec(),
            enable_model_escalation: true,
            enable_auto_heal: true,
            enable_desktop_sync: true,
            create_prs_automatically: true,
            lanes: 1,
            dependency_mode: DependencyMode::Stack,
            budget_usd: Some(Usd::from_nanos(10_000_000_000)),
            issues: Vec::new(),
            labels: Vec::new(),
        }
    }
}

/// How an issue's row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IssueStatus {
    Pending,
    Running,
    Success,
    Failed,
    Skipped,
}

impl IssueStatus {
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Pending | Self::Running => false,
            Self::Success | Self::Failed | Self::Skipped => true,
        }
    }
}

/// What came of one issue in one night (`IssueExecutionResult` of the contract).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IssueResult {
    pub issue_number: IssueNumber,
    pub title: String,
    pub sequence_type: SequenceType,
    pub status: IssueStatus,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason_code: Option<ReasonCode>,
    /// What happens now, while the issue is worked on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub step: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub build_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sequence_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pr_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub branch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub base_sha: Option<CommitId>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub head_sha: Option<CommitId>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tree_sha: Option<TreeId>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub qa_results: Option<QaSummary>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub governance_results: Option<GovernanceSummary>,
    /// How much was changed, from the base to the tree that was judged.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub change_size: Option<ChangeSize>,
    /// `EscalationEvent`s of the contract; folded from the ledger when the row is read.
    pub model_escalations: Vec<serde_json::Value>,
    pub cost_usd: Usd,
    /// Milliseconds.
    pub execution_time: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error_message: Option<String>,
}

impl IssueResult {
    /// A row as it stands before anybody worked on it.
    #[must_use]
    pub fn pending(number: IssueNumber, title: &str, sequence_type: SequenceType) -> Self {
        Self {
            issue_number: number,
            title: title.to_owned(),
            sequence_type,
            status: IssueStatus::Pending,
            reason: None,
            reason_code: None,
            step: None,
            build_id: None,
            sequence_id: None,
            pr_url: None,
            branch: None,
            base_sha: None,
            head_sha: None,
            tree_sha: None,
            qa_results: None,
            governance_results: None,
            change_size: None,
            model_escalations: Vec::new(),
            cost_usd: Usd::ZERO,
            execution_time: 0,
            error_message: None,
        }
    }
}

/// A night as the contract shows it: a fold of stored facts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    pub id: RunId,
    pub owner: String,
    pub repo: String,
    pub start_time: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub end_time: Option<DateTime<Utc>>,
    pub status: RunStatus,
    pub dry_run: bool,
    pub total_issues: usize,
    pub processed_issues: usize,
    pub successful_issues: usize,
    pub failed_issues: usize,
    pub skipped_issues: usize,
    pub cost_usd: Usd,
    pub issue_results: Vec<IssueResult>,
    pub errors: Vec<String>,
}

impl Run {
    /// What a night that is not over waits for, in a sentence that says what to do.
    #[must_use]
    pub fn waits_for(&self) -> Option<&str> {
        let waiting = self.status.is_active().then(|| self.errors.last()).flatten();
        waiting.map(String::as_str)
    }

    /// The status for people: a night that waits is `paused`.
    #[must_use]
    pub fn standing(&self) -> &'static str {
        if self.waits_for().is_some() { "paused" } else { self.status.as_str() }
    }
}

/// What a finished night is called, from its rows. `halted`, `failed` and `cancelled` are decided
/// where they happen; this is for a night that came to its end.
#[must_use]
pub fn final_status(rows: &[IssueResult]) -> RunStatus {
    let partial = rows.iter().any(|row| match row.status {
        IssueStatus::Failed | IssueStatus::Pending | IssueStatus::Running => true,
        IssueStatus::Skipped => row.reason_code.is_none_or(ReasonCode::makes_partial),
        IssueStatus::Success => false,
    });
    if partial { RunStatus::Partial } else { RunStatus::Completed }
}

/// A request to start a night, parsed and merged.
#[derive(Debug, Clone, PartialEq)]
pub struct NightRequest {
    pub repo: RepoName,
    pub config: NightConfig,
    pub dry_run: bool,
}
