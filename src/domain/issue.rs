//! An open issue as intake hands it on, before anything was decided about it.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::ids::{IssueNumber, RepoName};

/// A milestone due within this time raises its issues (the seed's project milestones).
const MILESTONE_NEAR: TimeDelta = TimeDelta::days(7);

/// Whether a milestone is near: due within seven days, or missed by no more. One that nobody closed
/// for longer says nothing about urgency.
#[must_use]
pub fn milestone_is_near(due: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    (due - now).abs() <= MILESTONE_NEAR
}

/// How GitHub describes the author's relation to the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Association {
    Owner,
    Member,
    Collaborator,
    Contributor,
    FirstTimeContributor,
    FirstTimer,
    Mannequin,
    None,
}

impl Association {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "OWNER",
            Self::Member => "MEMBER",
            Self::Collaborator => "COLLABORATOR",
            Self::Contributor => "CONTRIBUTOR",
            Self::FirstTimeContributor => "FIRST_TIME_CONTRIBUTOR",
            Self::FirstTimer => "FIRST_TIMER",
            Self::Mannequin => "MANNEQUIN",
            Self::None => "NONE",
        }
    }

    /// OWNER, MEMBER and COLLABORATOR are trusted without asking further.
    #[must_use]
    pub const fn is_trusted(self) -> bool {
        matches!(self, Self::Owner | Self::Member | Self::Collaborator)
    }
}

/// An open issue. Text fields are untrusted data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Issue {
    pub number: IssueNumber,
    pub title: String,
    pub body: String,
    pub labels: Vec<String>,
    pub author: String,
    pub association: Association,
    pub milestone_due: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub html_url: String,
    /// Native `blocked_by` edges, from the dependencies API.
    pub blocked_by: Vec<IssueRef>,
    /// Native sub-issues.
    pub sub_issues: Vec<IssueRef>,
    /// Whether the author (or the approval label) is trusted: decided by intake from GitHub's
    /// own facts, never from text.
    pub trust: Trust,
}

/// An issue elsewhere in the graph, as GitHub's API names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IssueRef {
    /// `None`: the same repository.
    pub repo: Option<String>,
    pub number: IssueNumber,
    pub open: bool,
}

impl IssueRef {
    /// `#12` here, `owner/repo#12` elsewhere.
    #[must_use]
    pub fn display(&self) -> String {
        match &self.repo {
            Some(repo) => format!("{repo}{}", self.number),
            None => self.number.to_string(),
        }
    }
}

/// Why an issue may be worked on, or why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "detail")]
pub enum Trust {
    /// The author's association, or the permission API, says so.
    Author(String),
    /// The approval label was set by someone with write access.
    Approved(String),
    /// `trust.authors = "all"`.
    Everyone,
    /// Not eligible; the sentence names what was seen and the label that helps.
    Untrusted(String),
}

impl Trust {
    /// Whether the issue may be worked on.
    #[must_use]
    pub const fn is_eligible(&self) -> bool {
        !matches!(self, Self::Untrusted(_))
    }

    /// Whether the author's own words may add dependency edges.
    #[must_use]
    pub const fn trusts_text(&self) -> bool {
        !matches!(self, Self::Untrusted(_))
    }
}

/// What a night asks of intake beyond the open issues: state of issues named as blockers that are
/// not in the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockerState {
    Open,
    Closed,
    /// GitHub does not know it, or will not show it to us.
    Unknown,
}

/// The repository as GitHub returned it.
#[derive(Debug, Clone)]
pub struct Repository {
    pub name: RepoName,
    pub default_branch: String,
    pub clone_url: String,
}
