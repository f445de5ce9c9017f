//! Comments on issues and pull requests.
//!
//! Never decides whether a comment is ours: it says who wrote it, and others judge.

use chrono::{DateTime, Utc};
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::client::{Ask, GitHub};
use super::error::GitHubError;
use super::wire::{User, known_association};
use crate::domain::ids::{IssueNumber, RepoName};
use crate::domain::issue::Association;

/// A comment. Its text is untrusted data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    pub id: u64,
    /// `None`: the account is gone.
    pub author: Option<String>,
    pub body: String,
    pub html_url: String,
    /// The author is an app.
    pub by_bot: bool,
    /// How GitHub describes the author's relation to the repository; `None`: in no way we know.
    pub association: Option<Association>,
    /// `None` where GitHub does not say.
    pub created_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Deserialize)]
struct Wire {
    id: u64,
    user: Option<User>,
    body: Option<String>,
    html_url: Option<String>,
    #[serde(default, deserialize_with = "known_association")]
    author_association: Option<Association>,
    created_at: Option<DateTime<Utc>>,
}

impl From<Wire> for Comment {
    fn from(wire: Wire) -> Self {
        Self {
            id: wire.id,
            by_bot: wire.user.as_ref().is_some_and(User::is_bot),
            association: wire.author_association,
            created_at: wire.created_at,
            author: wire.user.and_then(|user| user.login),
            body: wire.body.unwrap_or_default(),
            html_url: wire.html_url.unwrap_or_default(),
        }
    }
}

impl GitHub {
    /// All comments of an issue or pull request, oldest first.
    pub async fn comments(
        &self,
        repo: &RepoName,
        number: IssueNumber,
    ) -> Result<Vec<Comment>, GitHubError> {
        let rest = format!("/issues/{}/comments", number.0);
        let ask = Ask::get(repo, &rest, format!("reading the comments of {repo}{number}"));
        let found: Vec<Wire> = self.all(&ask, "").await?;
        Ok(found.into_iter().map(Comment::from).collect())
    }

    /// Comments. Sent once: after an error that `may_have_happened`, look.
    pub async fn create_comment(
        &self,
        repo: &RepoName,
        number: IssueNumber,
        body: &str,
    ) -> Result<Comment, GitHubError> {
        let rest = format!("/issues/{}/comments", number.0);
        let doing = format!("commenting on {repo}{number}");
        let ask = Ask::change(Method::POST, repo, &rest, json!({ "body": body }), doing);
        self.json::<Wire>(&ask).await.map(Comment::from)
    }

    /// Replaces a comment's text. PATCH, as GitHub documents it; octocrab's own sends POST.
    pub async fn update_comment(
        &self,
        repo: &RepoName,
        comment: u64,
        body: &str,
    ) -> Result<Comment, GitHubError> {
        let rest = format!("/issues/comments/{comment}");
        let doing = format!("renewing the comment {comment} in {repo}");
        let ask = Ask::change(Method::PATCH, repo, &rest, json!({ "body": body }), doing);
        self.json::<Wire>(&ask).await.map(Comment::from)
    }
}
