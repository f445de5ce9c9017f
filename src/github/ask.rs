//! One request as it is meant: what is asked of which repository, by whose right, and what for.
//!
//! Plain values. Never sends anything.

use http::Method;
use serde_json::Value;

use crate::domain::ids::RepoName;

/// One request, before it is authorized.
pub(super) struct Ask<'a> {
    pub method: Method,
    pub path: String,
    pub body: Option<Value>,
    /// What it is for, in words: `reading the open issues of octo/app`.
    pub doing: String,
    pub proof: Proof<'a>,
}

/// How a request is authorized.
#[derive(Clone, Copy)]
pub(super) enum Proof<'a> {
    /// The token, or the token of this repository's installation.
    Repository(&'a RepoName),
    /// The App itself, or the token.
    Own,
}

impl<'a> Ask<'a> {
    pub(super) fn get(repo: &'a RepoName, rest: &str, doing: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            path: repo_path(repo, rest),
            body: None,
            doing: doing.into(),
            proof: Proof::Repository(repo),
        }
    }

    pub(super) fn change(
        method: Method,
        repo: &'a RepoName,
        rest: &str,
        body: Value,
        doing: impl Into<String>,
    ) -> Self {
        Self { method, body: Some(body), ..Self::get(repo, rest, doing) }
    }
}

fn repo_path(repo: &RepoName, rest: &str) -> String {
    format!("/repos/{}/{}{rest}", repo.owner(), repo.name())
}
