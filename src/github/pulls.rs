//! Pull requests: look for those of a branch, open one, renew its text.
//!
//! Never decides whether there should be one: whoever opens one has looked first.

use chrono::{DateTime, Utc};
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::client::{Ask, GitHub};
use super::error::GitHubError;
use super::wire::{RepositoryName, User};
use crate::domain::ids::{IssueNumber, RepoName};

/// A pull request as GitHub has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pull {
    pub number: IssueNumber,
    pub html_url: String,
    pub title: String,
    pub body: String,
    pub open: bool,
    pub merged: bool,
    pub base_branch: String,
    pub head_branch: String,
    pub head_sha: String,
    /// `None`: the fork is gone.
    pub head_repo: Option<String>,
    /// `None`: the account is gone.
    pub author: Option<String>,
    pub created_at: DateTime<Utc>,
}

/// A pull request to open, between two branches of one repository.
#[derive(Debug, Clone)]
pub struct NewPull {
    pub title: String,
    pub body: String,
    pub head: String,
    pub base: String,
}

#[derive(Debug, Deserialize)]
struct Wire {
    number: u64,
    html_url: Option<String>,
    title: Option<String>,
    body: Option<String>,
    state: Option<String>,
    merged: Option<bool>,
    merged_at: Option<String>,
    base: Option<End>,
    head: Option<End>,
    user: Option<User>,
    created_at: Option<DateTime<Utc>>,
    draft: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
struct End {
    #[serde(rename = "ref")]
    branch: Option<String>,
    sha: Option<String>,
    repo: Option<RepositoryName>,
}

impl From<Wire> for Pull {
    fn from(wire: Wire) -> Self {
        let (base, head) = (wire.base.unwrap_or_default(), wire.head.unwrap_or_default());
        Self {
            number: IssueNumber(wire.number),
            html_url: wire.html_url.unwrap_or_default(),
            title: wire.title.unwrap_or_default(),
            body: wire.body.unwrap_or_default(),
            open: wire.state.as_deref() != Some("closed"),
            // The listing has only the time.
            merged: wire.merged.unwrap_or(false) || wire.merged_at.is_some(),
            base_branch: base.branch.unwrap_or_default(),
            head_branch: head.branch.unwrap_or_default(),
            head_sha: head.sha.unwrap_or_default(),
            head_repo: head.repo.and_then(|repo| repo.full_name),
            author: wire.user.and_then(|user| user.login),
            created_at: wire.created_at.unwrap_or(DateTime::UNIX_EPOCH),
        }
    }
}

impl GitHub {
    /// Every pull request, open or not, whose head is this branch of this repository; oldest
    /// first.
    pub async fn pulls_of_branch(
        &self,
        repo: &RepoName,
        branch: &str,
    ) -> Result<Vec<Pull>, GitHubError> {
        let head = format!("{}:{branch}", repo.owner());
        let head: String = url::form_urlencoded::byte_serialize(head.as_bytes()).collect();
        let doing = format!("looking for pull requests of `{branch}` in {repo}");
        let found: Vec<Wire> =
            self.all(&Ask::get(repo, "/pulls", doing), &format!("state=all&head={head}")).await?;
        let mut pulls: Vec<Pull> = found.into_iter().map(Pull::from).collect();
        // A server that ignores the filter, or a fork of the same owner, must not be adopted.
        pulls.retain(|pull| {
            pull.head_branch == branch
                && pull
                    .head_repo
                    .as_ref()
                    .is_none_or(|name| name.parse().is_ok_and(|name: RepoName| name == *repo))
        });
        pulls.sort_by_key(|pull| pull.number);
        Ok(pulls)
    }

    /// Every open pull request of a repository, oldest first.
    pub async fn open_pulls(&self, repo: &RepoName) -> Result<Vec<Pull>, GitHubError> {
        let doing = format!("reading the open pull requests of {repo}");
        let query = "state=open&sort=created&direction=asc";
        let found: Vec<Wire> = self.all(&Ask::get(repo, "/pulls", doing), query).await?;
        let mut pulls: Vec<Pull> = found.into_iter().map(Pull::from).collect();
        pulls.retain(|pull| pull.open);
        pulls.sort_by_key(|pull| pull.number);
        pulls.dedup_by_key(|pull| pull.number);
        Ok(pulls)
    }

    /// One pull request.
    pub async fn pull(&self, repo: &RepoName, number: IssueNumber) -> Result<Pull, GitHubError> {
        let rest = format!("/pulls/{}", number.0);
        let ask = Ask::get(repo, &rest, format!("reading the pull request {repo}{number}"));
        self.json::<Wire>(&ask).await.map(Pull::from)
    }

    /// One pull request, and whether its author calls it unfinished.
    pub(super) async fn pull_with_draft(
        &self,
        repo: &RepoName,
        number: IssueNumber,
    ) -> Result<(Pull, bool), GitHubError> {
        let rest = format!("/pulls/{}", number.0);
        let ask = Ask::get(repo, &rest, format!("reading the pull request {repo}{number}"));
        let wire = self.json::<Wire>(&ask).await?;
        let draft = wire.draft.unwrap_or(false);
        Ok((Pull::from(wire), draft))
    }

    /// Opens a pull request. Sent once: after an error that `may_have_happened`, look.
    pub async fn open_pull(&self, repo: &RepoName, new: &NewPull) -> Result<Pull, GitHubError> {
        let body = json!({
            "title": new.title, "body": new.body, "head": new.head, "base": new.base,
        });
        let doing = format!("opening a pull request of `{}` in {repo}", new.head);
        let ask = Ask::change(Method::POST, repo, "/pulls", body, doing);
        self.json::<Wire>(&ask).await.map(Pull::from)
    }

    /// Replaces a pull request's text.
    pub async fn update_pull_body(
        &self,
        repo: &RepoName,
        number: IssueNumber,
        body: &str,
    ) -> Result<Pull, GitHubError> {
        let rest = format!("/pulls/{}", number.0);
        let doing = format!("renewing the text of the pull request {repo}{number}");
        let ask = Ask::change(Method::PATCH, repo, &rest, json!({ "body": body }), doing);
        self.json::<Wire>(&ask).await.map(Pull::from)
    }
}
