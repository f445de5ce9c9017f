//! What our credential may do with a repository, by the names GitHub gives permissions.
//!
//! Only reads. A fine-grained token does not say what it may write: that is said, not guessed.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use http::Method;
use serde::Deserialize;

use super::answer::read;
use super::ask::{Ask, Proof};
use super::client::GitHub;
use super::error::GitHubError;
use crate::domain::ids::RepoName;

/// What a night needs, each with write access.
const NEEDED: [&str; 3] = ["contents", "issues", "pull_requests"];

/// How a permission is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    Write,
    /// It can be read; whether it can be written is seen at the first write.
    AtLeastRead,
    Missing,
}

/// One permission with how it was learnt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub name: &'static str,
    pub held: Held,
    pub by: String,
}

impl GitHub {
    /// What time it is there, from an answer's `Date`; `None` where it has none that can be read.
    pub async fn clock(
        &self,
        repo: Option<&RepoName>,
    ) -> Result<Option<DateTime<Utc>>, GitHubError> {
        let doing = "asking what time it is".to_owned();
        let ask = match repo {
            Some(repo) => Ask::get(repo, "", doing),
            None => {
                let path = if self.is_app() { "/app" } else { "/user" }.to_owned();
                Ask { method: Method::GET, path, body: None, doing, proof: Proof::Own }
            }
        };
        let answer = self.answer(&ask).await?;
        let date = answer.headers.get(http::header::DATE).and_then(|value| value.to_str().ok());
        let read = date.and_then(|text| DateTime::parse_from_rfc2822(text).ok());
        Ok(read.map(|time| time.with_timezone(&Utc)))
    }

    /// Each permission that a night needs.
    pub async fn grants(&self, repo: &RepoName) -> Result<Vec<Grant>, GitHubError> {
        if self.is_app() {
            return self.granted_to_app(repo).await;
        }
        #[derive(Deserialize)]
        struct Found {
            private: Option<bool>,
        }
        let ask = Ask::get(repo, "", format!("asking what the token may do with {repo}"));
        let answer = self.answer(&ask).await?;
        let found: Found = read(&answer.body, &ask.doing)?;
        let scopes = answer.headers.get("x-oauth-scopes").and_then(|value| value.to_str().ok());
        match scopes.filter(|scopes| !scopes.trim().is_empty()) {
            Some(scopes) => Ok(by_scopes(scopes, found.private.unwrap_or(false))),
            None => self.by_reading(repo).await,
        }
    }

    async fn granted_to_app(&self, repo: &RepoName) -> Result<Vec<Grant>, GitHubError> {
        #[derive(Deserialize)]
        struct Installation {
            #[serde(default)]
            permissions: BTreeMap<String, String>,
        }
        let doing = format!("asking what the App may do with {repo}");
        let ask = Ask { proof: Proof::Own, ..Ask::get(repo, "/installation", doing) };
        let found: Installation = self.json(&ask).await?;
        Ok(NEEDED
            .iter()
            .map(|name| {
                let level = found.permissions.get(*name).map_or("none", String::as_str);
                let held = match level {
                    "write" | "admin" => Held::Write,
                    _ => Held::Missing,
                };
                Grant { name, held, by: format!("the App's installation has `{level}`") }
            })
            .collect())
    }

    async fn by_reading(&self, repo: &RepoName) -> Result<Vec<Grant>, GitHubError> {
        let mut grants = vec![Grant {
            name: "contents",
            held: Held::AtLeastRead,
            by: "the repository can be read".to_owned(),
        }];
        for (name, rest) in [("issues", "/issues"), ("pull_requests", "/pulls")] {
            let doing = format!("reading the {name} of {repo}");
            let ask = Ask { method: Method::GET, ..Ask::get(repo, rest, doing) };
            let (held, by) = match self.answer(&ask).await {
                Ok(_) => (Held::AtLeastRead, "they can be read".to_owned()),
                Err(error @ (GitHubError::Forbidden { .. } | GitHubError::NotFound { .. })) => {
                    (Held::Missing, error.to_string())
                }
                Err(error) => return Err(error),
            };
            grants.push(Grant { name, held, by });
        }
        Ok(grants)
    }
}

/// A classic token: one scope holds all three.
fn by_scopes(scopes: &str, private: bool) -> Vec<Grant> {
    let has = |wanted: &str| scopes.split(',').any(|scope| scope.trim() == wanted);
    let held =
        if has("repo") || (has("public_repo") && !private) { Held::Write } else { Held::Missing };
    let by = format!("the token's scopes are {scopes}");
    NEEDED.iter().map(|name| Grant { name, held, by: by.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_classic_tokens_scopes_hold_all_or_nothing() {
        let held = |scopes, private| by_scopes(scopes, private)[0].held;
        assert_eq!(held("gist, repo", true), Held::Write);
        assert_eq!(held("public_repo", false), Held::Write);
        assert_eq!(held("public_repo", true), Held::Missing);
        assert_eq!(held("repo:status", false), Held::Missing);
    }
}
