//! The plan of a night: what will be worked on, in what order, and why the rest will not.
//!
//! Owns the shape. How it is made is sequencing's business.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ids::IssueNumber;
use super::issue::IssueRef;

/// What kind of work an issue is; decides the order among those that are ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SequenceType {
    Architecture,
    Memory,
    Governance,
    Qa,
    Build,
    Deployment,
    SelfEvolution,
}

impl SequenceType {
    /// The default order.
    pub const ALL: [Self; 7] = [
        Self::Architecture,
        Self::Memory,
        Self::Governance,
        Self::Qa,
        Self::Build,
        Self::Deployment,
        Self::SelfEvolution,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Architecture => "architecture",
            Self::Memory => "memory",
            Self::Governance => "governance",
            Self::Qa => "qa",
            Self::Build => "build",
            Self::Deployment => "deployment",
            Self::SelfEvolution => "self_evolution",
        }
    }
}

impl fmt::Display for SequenceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SequenceType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("`{text}` is not a sequence type"))
    }
}

/// How much work an issue looks like, before anybody tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Complexity {
    Low,
    Medium,
    High,
}

/// Where a dependency edge was learnt.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum EdgeSource {
    /// GitHub's dependencies API.
    BlockedBy,
    /// GitHub's sub-issues: a parent waits for its open children.
    SubIssue,
    /// The author's words, e.g. `Depends on #2` (the words found, as written).
    Text { phrase: String },
}

/// What an edge means for the dependent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EdgeState {
    /// The blocker is closed: satisfied.
    Satisfied,
    /// The blocker is open and in this night's set.
    InSet,
    /// The blocker is open but not in the set (another repository, say).
    OpenElsewhere,
    /// GitHub does not know the blocker, or will not show it.
    Unknown,
}

/// One dependency of an issue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Edge {
    pub on: IssueRef,
    pub sources: Vec<EdgeSource>,
    pub state: EdgeState,
}

/// Why an issue will not, or not yet, be worked on. `code` is stable; `reason` is for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Skip {
    pub code: ReasonCode,
    pub reason: String,
}

impl Skip {
    pub fn new(code: ReasonCode, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }
}

/// Stable names for why an issue's row ended as it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasonCode {
    // Left out without a fault of anybody: these do not make a night `partial`.
    UntrustedAuthor,
    ForemanIssue,
    SkipLabel,
    NotSelected,
    ParentIssue,
    MaxIssues,
    OpenPullRequest,
    UnchangedSinceRefusal,
    DryRun,
    // Kept from being done: these make a night `partial`.
    Cycle,
    BlockedByCycle,
    Blocked,
    UnknownBlocker,
    BlockerFailed,
    BlockerSkipped,
    StackDiverged,
    BranchTaken,
    Budget,
    BaseRed,
    DependenciesUnavailable,
    Cancelled,
    // Tried and failed.
    GateRefused,
    BuilderFailed,
    NoChange,
    ModelsExhausted,
    ProviderRefused,
    PublishFailed,
    BaseMoved,
    CopilotFailed,
    CopilotUnavailable,
    Internal,
}

impl ReasonCode {
    /// Whether a row that was skipped for this reason makes the night `partial`.
    #[must_use]
    pub const fn makes_partial(self) -> bool {
        match self {
            Self::UntrustedAuthor
            | Self::ForemanIssue
            | Self::SkipLabel
            | Self::NotSelected
            | Self::ParentIssue
            | Self::MaxIssues
            | Self::OpenPullRequest
            | Self::UnchangedSinceRefusal
            | Self::DryRun => false,
            Self::Cycle
            | Self::BlockedByCycle
            | Self::Blocked
            | Self::UnknownBlocker
            | Self::BlockerFailed
            | Self::BlockerSkipped
            | Self::StackDiverged
            | Self::BranchTaken
            | Self::Budget
            | Self::BaseRed
            | Self::DependenciesUnavailable
            | Self::Cancelled
            | Self::GateRefused
            | Self::BuilderFailed
            | Self::NoChange
            | Self::ModelsExhausted
            | Self::ProviderRefused
            | Self::PublishFailed
            | Self::BaseMoved
            | Self::CopilotFailed
            | Self::CopilotUnavailable
            | Self::Internal => true,
        }
    }
}

/// An issue with everything the plan knows of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedIssue {
    pub issue_number: IssueNumber,
    pub title: String,
    pub labels: Vec<String>,
    pub sequence_type: SequenceType,
    pub estimated_complexity: Complexity,
    /// How many files the issue speaks of; 0 where it does not say.
    #[serde(default)]
    pub estimated_files: u32,
    pub requires_escalation: bool,
    /// Every edge with its sources, satisfied ones included.
    pub dependencies: Vec<Edge>,
    /// Open blockers inside the set.
    pub depends_on: Vec<IssueNumber>,
    /// Who waits for this one, inside the set.
    pub blocks: Vec<IssueNumber>,
    /// Longest chain of open blockers below this issue; 0 has none.
    pub depth: u32,
    /// Nothing stands in the way at the start of the night.
    pub can_execute_now: bool,
    /// Set where the plan already knows that the issue will not be worked on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub skip: Option<Skip>,
    /// The sub-issue parent's work is all in its children: it is never executed itself.
    pub is_parent: bool,
}

/// The plan: those to be worked on in order, then the skipped by number.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    pub issues: Vec<PlannedIssue>,
    /// Each cycle with its members, ascending.
    pub cycles: Vec<Vec<IssueNumber>>,
    /// What was found of the local clones before the night, where they were looked at.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub desktop: Option<serde_json::Value>,
}

impl Plan {
    #[must_use]
    pub fn get(&self, number: IssueNumber) -> Option<&PlannedIssue> {
        self.issues.iter().find(|issue| issue.issue_number == number)
    }

    /// The issues to be worked on, in planned order.
    pub fn eligible(&self) -> impl Iterator<Item = &PlannedIssue> {
        self.issues.iter().filter(|issue| issue.skip.is_none())
    }
}

/// How a dependent treats a blocker that is done but not merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DependencyMode {
    /// Branch from the blocker's passing tip; the pull request is based on its branch.
    #[default]
    Stack,
    /// Wait until the blocker is closed.
    Wait,
}
