//! Files on a branch by GitHub's contents API: for what is kept there without a clone.
//!
//! Writes one file at a time and only onto what was read: the file's blob id is part of the request,
//! so that nobody's commit is overwritten. Never forces or deletes a branch.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::client::{Ask, GitHub};
use super::error::GitHubError;
use crate::domain::ids::RepoName;

/// A text file as a branch has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BranchFile {
    /// The blob's id: who writes the file anew names what it replaces.
    pub sha: String,
    pub text: String,
}

/// A file on a branch. Both names are made of letters, digits, `-`, `_`, `.` and `/`.
#[derive(Debug, Clone, Copy)]
pub struct BranchPath<'a> {
    pub repo: &'a RepoName,
    pub branch: &'a str,
    pub path: &'a str,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Contents {
    sha: String,
    content: String,
}

#[derive(Deserialize)]
struct Reference {
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    sha: String,
}

#[derive(Deserialize)]
struct Repository {
    default_branch: String,
}

impl GitHub {
    /// The names in a folder of a branch; nothing where the branch or the folder is not there.
    pub async fn branch_folder(&self, at: BranchPath<'_>) -> Result<Vec<String>, GitHubError> {
        let doing = format!("listing `{}` on the branch {} of {}", at.path, at.branch, at.repo);
        let ask = Ask::get(at.repo, &contents(at), doing);
        match self.json::<Vec<Named>>(&ask).await {
            Ok(entries) => Ok(entries.into_iter().map(|entry| entry.name).collect()),
            Err(GitHubError::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// A file of a branch; `None` where the branch or the file is not there.
    pub async fn branch_file(&self, at: BranchPath<'_>) -> Result<Option<BranchFile>, GitHubError> {
        let doing = format!("reading `{}` on the branch {} of {}", at.path, at.branch, at.repo);
        let ask = Ask::get(at.repo, &contents(at), doing.clone());
        let found: Contents = match self.json(&ask).await {
            Ok(found) => found,
            Err(GitHubError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let compact: String = found.content.split_whitespace().collect();
        let text = STANDARD.decode(compact).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        match text {
            Some(text) => Ok(Some(BranchFile { sha: found.sha, text })),
            None => Err(GitHubError::Unreadable { doing, reason: "it is no text".to_owned() }),
        }
    }

    /// Commits a file to a branch, which is begun at the default branch's tip where it is not
    /// there. `replaces` is the blob that was read, `None` for a new file; where somebody else was
    /// faster, GitHub refuses. Sent once: after an error that `may_have_happened`, look.
    pub async fn write_branch_file(
        &self,
        at: BranchPath<'_>,
        text: &str,
        replaces: Option<&str>,
        message: &str,
    ) -> Result<(), GitHubError> {
        self.begin_branch(at.repo, at.branch).await?;
        let doing = format!("writing `{}` on the branch {} of {}", at.path, at.branch, at.repo);
        let mut body = json!({
            "message": message,
            "content": STANDARD.encode(text),
            "branch": at.branch,
        });
        if let Some(sha) = replaces {
            body["sha"] = json!(sha);
        }
        let rest = format!("/contents/{}", at.path);
        let ask = Ask::change(Method::PUT, at.repo, &rest, body, doing);
        self.json::<Value>(&ask).await.map(drop)
    }

    async fn begin_branch(&self, repo: &RepoName, branch: &str) -> Result<(), GitHubError> {
        let doing = format!("looking for the branch {branch} of {repo}");
        let known = Ask::get(repo, &format!("/git/ref/heads/{branch}"), doing);
        match self.json::<IgnoredAny>(&known).await {
            Err(GitHubError::NotFound { .. }) => {}
            found => return found.map(drop),
        }
        let ask = Ask::get(repo, "", format!("reading {repo}"));
        let default = self.json::<Repository>(&ask).await?.default_branch;
        let doing = format!("reading the tip of {default} of {repo}");
        let ask = Ask::get(repo, &format!("/git/ref/heads/{default}"), doing);
        let tip = self.json::<Reference>(&ask).await?.object.sha;
        let body = json!({ "ref": format!("refs/heads/{branch}"), "sha": tip });
        let doing = format!("beginning the branch {branch} of {repo}");
        let ask = Ask::change(Method::POST, repo, "/git/refs", body, doing);
        match self.json::<IgnoredAny>(&ask).await {
            Ok(_) => Ok(()),
            // Perhaps it is there after all: carried out without an answer, or somebody else's.
            Err(error) => self.json::<IgnoredAny>(&known).await.map(drop).map_err(|_| error),
        }
    }
}

fn contents(at: BranchPath<'_>) -> String {
    format!("/contents/{}?ref={}", at.path, at.branch)
}
