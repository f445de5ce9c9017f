//! Repositories, issues and their native edges, read.
//!
//! Never decides whom to trust (`intake`) or what an edge means (sequencing).

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::client::{Ask, GitHub};
use super::error::GitHubError;
use super::wire;
use crate::domain::ids::{IssueNumber, RepoName};
use crate::domain::issue::{Association, BlockerState, Issue, IssueRef, Repository, Trust};
use crate::domain::vetting::Vetting;

/// Stands where an author's account is gone, as on GitHub's own pages.
pub const GHOST: &str = "ghost";

/// An open issue as the listing gives it: no edges, nobody judged.
#[derive(Debug, Clone)]
pub struct RawIssue {
    pub number: IssueNumber,
    pub title: String,
    pub body: String,
    pub labels: Vec<String>,
    /// `None`: the account is gone.
    pub author: Option<String>,
    pub association: Association,
    pub milestone_due: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub html_url: String,
    /// How many native blockers the listing counts; `None`: it does not say, so ask.
    pub blockers: Option<u64>,
    /// How many sub-issues the listing counts; `None`: it does not say, so ask.
    pub children: Option<u64>,
    /// How many comments it has; `None`: the listing does not say.
    pub comments: Option<u64>,
}

impl RawIssue {
    /// The issue with what was found out about it.
    #[must_use]
    pub fn judged(
        self,
        trust: Trust,
        blocked_by: Vec<IssueRef>,
        sub_issues: Vec<IssueRef>,
    ) -> Issue {
        Issue {
            number: self.number,
            title: self.title,
            body: self.body,
            labels: self.labels,
            author: self.author.unwrap_or_else(|| GHOST.to_owned()),
            association: self.association,
            milestone_due: self.milestone_due,
            created_at: self.created_at,
            updated_at: self.updated_at,
            html_url: self.html_url,
            blocked_by,
            sub_issues,
            trust,
            vetting: Vetting { comment_count: self.comments, ..Vetting::default() },
        }
    }
}

impl From<wire::Issue> for RawIssue {
    fn from(issue: wire::Issue) -> Self {
        let created_at = issue.created_at.or(issue.updated_at).unwrap_or(DateTime::UNIX_EPOCH);
        Self {
            number: IssueNumber(issue.number),
            title: issue.title.unwrap_or_default(),
            body: issue.body.unwrap_or_default(),
            labels: issue.labels.into_iter().filter_map(wire::Label::name).collect(),
            author: issue.user.and_then(|user| user.login),
            association: issue.author_association.unwrap_or(Association::None),
            milestone_due: issue.milestone.and_then(|milestone| milestone.due_on),
            created_at,
            updated_at: issue.updated_at.unwrap_or(created_at),
            html_url: issue.html_url.unwrap_or_default(),
            // `blocked_by` counts the open ones, `total_blocked_by` all. A closed blocker is
            // satisfied, but the plan shows it, so ask when there was any.
            blockers: issue
                .issue_dependencies_summary
                .and_then(|summary| summary.total_blocked_by.max(summary.blocked_by)),
            children: issue.sub_issues_summary.and_then(|summary| summary.total),
            comments: issue.comments,
        }
    }
}

impl GitHub {
    /// The repository as GitHub names it: the spelling, the default branch, where to clone.
    pub async fn repository(&self, repo: &RepoName) -> Result<Repository, GitHubError> {
        #[derive(Deserialize)]
        struct Found {
            full_name: Option<String>,
            default_branch: Option<String>,
            clone_url: Option<String>,
        }
        let doing = format!("looking up the repository {repo}");
        let found: Found = self.json(&Ask::get(repo, "", doing.clone())).await?;
        let lacks = |field: &str| GitHubError::Unreadable {
            doing: doing.clone(),
            reason: format!("it has no {field}"),
        };
        let named = found.full_name.and_then(|name| name.parse().ok());
        Ok(Repository {
            name: named.unwrap_or_else(|| repo.clone()),
            default_branch: found.default_branch.ok_or_else(|| lacks("default_branch"))?,
            clone_url: found.clone_url.ok_or_else(|| lacks("clone_url"))?,
        })
    }

    /// Every open issue, oldest first, over all pages; pull requests are left out.
    pub async fn open_issues(&self, repo: &RepoName) -> Result<Vec<RawIssue>, GitHubError> {
        let ask = Ask::get(repo, "/issues", format!("reading the open issues of {repo}"));
        // Oldest first: one opened meanwhile comes last and shifts no page.
        let query = "state=open&sort=created&direction=asc";
        let listed: Vec<wire::Issue> = self.all(&ask, query).await?;
        let mut issues: Vec<RawIssue> = listed
            .into_iter()
            .filter(|issue| issue.pull_request.is_none() && issue.is_open())
            .map(RawIssue::from)
            .collect();
        // One closed meanwhile shifts the pages the other way; none is listed twice.
        issues.sort_by_key(|issue| issue.number);
        issues.dedup_by_key(|issue| issue.number);
        Ok(issues)
    }

    /// The issues that block this one, by GitHub's own dependencies.
    pub async fn blocked_by(
        &self,
        repo: &RepoName,
        number: IssueNumber,
    ) -> Result<Vec<IssueRef>, GitHubError> {
        let rest = format!("/issues/{}/dependencies/blocked_by", number.0);
        self.references(repo, &rest, format!("reading what blocks {repo}{number}")).await
    }

    /// The issues this one was divided into.
    pub async fn sub_issues(
        &self,
        repo: &RepoName,
        number: IssueNumber,
    ) -> Result<Vec<IssueRef>, GitHubError> {
        let rest = format!("/issues/{}/sub_issues", number.0);
        self.references(repo, &rest, format!("reading the sub-issues of {repo}{number}")).await
    }

    async fn references(
        &self,
        repo: &RepoName,
        rest: &str,
        doing: String,
    ) -> Result<Vec<IssueRef>, GitHubError> {
        match self.all::<wire::Issue>(&Ask::get(repo, rest, doing), "").await {
            Ok(found) => Ok(found.iter().map(|issue| issue.reference(repo)).collect()),
            // A server that does not have the feature, or an issue that is gone.
            Err(GitHubError::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Whether an issue outside the set is open, closed, or not to be seen.
    pub async fn issue_state(
        &self,
        repo: &RepoName,
        number: IssueNumber,
    ) -> Result<BlockerState, GitHubError> {
        let rest = format!("/issues/{}", number.0);
        let ask = Ask::get(repo, &rest, format!("looking up {repo}{number}"));
        match self.json::<wire::Issue>(&ask).await {
            Ok(issue) if issue.is_open() => Ok(BlockerState::Open),
            Ok(_) => Ok(BlockerState::Closed),
            Err(GitHubError::NotFound { .. } | GitHubError::Forbidden { .. }) => {
                Ok(BlockerState::Unknown)
            }
            Err(error) => Err(error),
        }
    }
}
