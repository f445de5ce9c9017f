//! Issues of ours: listing all of them, creating one, and saying what blocks it.
//!
//! Never decides whether one is there already: whoever creates looks first.

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{Ask, GitHub};
use super::error::GitHubError;
use super::wire;
use crate::domain::ids::{IssueNumber, RepoName};

/// What a new issue says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewIssue {
    pub title: String,
    pub body: String,
    pub labels: Vec<String>,
}

/// An issue as a listing gives it, open or closed. Its text is untrusted data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedIssue {
    /// GitHub's own id, by which edges are set.
    pub id: u64,
    pub number: IssueNumber,
    pub open: bool,
    /// `None`: the account is gone.
    pub author: Option<String>,
    pub body: String,
    pub html_url: String,
}

#[derive(Debug, Deserialize)]
struct Wire {
    id: u64,
    number: u64,
    state: Option<String>,
    user: Option<wire::User>,
    body: Option<String>,
    html_url: Option<String>,
    #[serde(default)]
    pull_request: Option<serde::de::IgnoredAny>,
}

impl From<Wire> for ListedIssue {
    fn from(wire: Wire) -> Self {
        Self {
            id: wire.id,
            number: IssueNumber(wire.number),
            open: wire.state.as_deref() != Some("closed"),
            author: wire.user.and_then(|user| user.login),
            body: wire.body.unwrap_or_default(),
            html_url: wire.html_url.unwrap_or_default(),
        }
    }
}

impl GitHub {
    /// Every issue, open or closed, oldest first; pull requests are left out.
    pub async fn all_issues(&self, repo: &RepoName) -> Result<Vec<ListedIssue>, GitHubError> {
        let ask = Ask::get(repo, "/issues", format!("reading all issues of {repo}"));
        let listed: Vec<Wire> = self.all(&ask, "state=all&sort=created&direction=asc").await?;
        let issues = listed.into_iter().filter(|issue| issue.pull_request.is_none());
        Ok(issues.map(ListedIssue::from).collect())
    }

    /// Opens an issue. Sent once: after an error that `may_have_happened`, look.
    pub async fn create_issue(
        &self,
        repo: &RepoName,
        new: &NewIssue,
    ) -> Result<ListedIssue, GitHubError> {
        let doing = format!("opening an issue in {repo}");
        let body = json!({ "title": new.title, "body": new.body, "labels": new.labels });
        let ask = Ask::change(Method::POST, repo, "/issues", body, doing);
        self.json::<Wire>(&ask).await.map(ListedIssue::from)
    }

    /// Says that one issue blocks another, by GitHub's own dependencies. False where the server
    /// does not have them. After a lost answer we look.
    pub async fn block(
        &self,
        repo: &RepoName,
        number: IssueNumber,
        blocker: &ListedIssue,
    ) -> Result<bool, GitHubError> {
        let rest = format!("/issues/{}/dependencies/blocked_by", number.0);
        let doing = format!("saying that {} blocks {repo}{number}", blocker.number);
        let ask = Ask::change(Method::POST, repo, &rest, json!({ "issue_id": blocker.id }), doing);
        match self.json::<Value>(&ask).await {
            Ok(_) => Ok(true),
            Err(GitHubError::NotFound { .. }) => Ok(false),
            Err(error) if error.may_have_happened() => {
                let there = self.blocked_by(repo, number).await?;
                if there.iter().any(|edge| edge.repo.is_none() && edge.number == blocker.number) {
                    return Ok(true);
                }
                self.json::<Value>(&ask).await.map(|_| true)
            }
            Err(error) => Err(error),
        }
    }
}
