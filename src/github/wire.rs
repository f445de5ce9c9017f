//! How GitHub writes its things down, read leniently: only what we use, anything may be null.
//!
//! Owns the serde types. Never sends anything, and never leaves this room.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer};
use url::Url;

use crate::domain::ids::{IssueNumber, RepoName};
use crate::domain::issue::{Association, IssueRef};

/// A user; GitHub sends null for one who is gone.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct User {
    pub login: Option<String>,
    #[serde(rename = "type")]
    pub kind: Option<String>,
}

impl User {
    /// GitHub's coding agent. Its account is an app's, which nobody can sign up for; a person may
    /// carry any name.
    pub fn is_copilot(&self) -> bool {
        const NAMES: [&str; 3] = ["Copilot", "copilot-swe-agent", "copilot-swe-agent[bot]"];
        self.kind.as_deref() == Some("Bot")
            && self
                .login
                .as_deref()
                .is_some_and(|login| NAMES.iter().any(|name| name.eq_ignore_ascii_case(login)))
    }

    pub fn is_bot(&self) -> bool {
        self.kind.as_deref() == Some("Bot")
            || self.login.as_deref().is_some_and(|login| login.ends_with("[bot]"))
    }
}

/// A label; GitHub's schema allows a bare name too.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Label {
    Object { name: Option<String> },
    Name(String),
}

impl Label {
    pub fn name(self) -> Option<String> {
        match self {
            Self::Object { name } => name,
            Self::Name(name) => Some(name),
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Milestone {
    pub due_on: Option<DateTime<Utc>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct DependenciesSummary {
    pub blocked_by: Option<u64>,
    pub total_blocked_by: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct SubIssuesSummary {
    pub total: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RepositoryName {
    pub full_name: Option<String>,
}

/// An issue or, where `pull_request` is there, a pull request.
#[derive(Debug, Deserialize)]
pub(super) struct Issue {
    pub number: u64,
    pub title: Option<String>,
    pub body: Option<String>,
    pub state: Option<String>,
    pub user: Option<User>,
    #[serde(default, deserialize_with = "or_default")]
    pub labels: Vec<Label>,
    #[serde(default, deserialize_with = "known_association")]
    pub author_association: Option<Association>,
    pub milestone: Option<Milestone>,
    pub created_at: Option<DateTime<Utc>>,
    pub updated_at: Option<DateTime<Utc>>,
    pub html_url: Option<String>,
    #[serde(default)]
    pub pull_request: Option<serde::de::IgnoredAny>,
    pub issue_dependencies_summary: Option<DependenciesSummary>,
    pub sub_issues_summary: Option<SubIssuesSummary>,
    pub repository: Option<RepositoryName>,
    pub repository_url: Option<String>,
    pub comments: Option<u64>,
    /// Who it is assigned to.
    #[serde(default, deserialize_with = "or_default")]
    pub assignees: Vec<User>,
}

impl Issue {
    pub fn is_open(&self) -> bool {
        self.state.as_deref() != Some("closed")
    }

    /// This issue as `home` names it.
    pub fn reference(&self, home: &RepoName) -> IssueRef {
        let named = self.repository.as_ref().and_then(|repo| repo.full_name.clone());
        let name = named
            .or_else(|| slug(self.repository_url.as_deref()?, 0))
            .or_else(|| slug(self.html_url.as_deref()?, 2))
            .and_then(|name| name.parse::<RepoName>().ok())
            .filter(|name| name != home);
        IssueRef {
            repo: name.map(|name| name.to_string()),
            number: IssueNumber(self.number),
            open: self.is_open(),
        }
    }
}

/// `owner/name` in an address, that many parts from its end.
fn slug(address: &str, from_end: usize) -> Option<String> {
    let url = Url::parse(address).ok()?;
    let parts: Vec<&str> = url.path_segments()?.collect();
    let end = parts.len().checked_sub(from_end)?;
    let start = end.checked_sub(2)?;
    Some(parts[start..end].join("/"))
}

/// Null reads like nothing there.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// An association GitHub adds one day is no reason to fail: it is not a trusted one.
pub(super) fn known_association<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Association>, D::Error> {
    let value = Option::<serde_json::Value>::deserialize(deserializer)?;
    Ok(value.and_then(|value| serde_json::from_value(value).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issue(json: serde_json::Value) -> Issue {
        serde_json::from_value(json).expect("readable")
    }

    #[test]
    fn nulls_gaps_and_news_are_read() {
        let bare = issue(serde_json::json!({ "number": 1 }));
        assert!(bare.is_open() && bare.labels.is_empty() && bare.pull_request.is_none());
        let odd = issue(serde_json::json!({
            "number": 2, "title": null, "body": null, "user": null, "labels": null,
            "author_association": "ARCHMAGE", "milestone": null, "new": {"x": 1},
            "issue_dependencies_summary": null, "pull_request": null, "state": "closed",
        }));
        assert!(!odd.is_open() && odd.author_association.is_none() && odd.pull_request.is_none());
        let labels = issue(serde_json::json!({
            "number": 3, "labels": ["a", {"name": "b", "id": 1}, {"name": null}],
            "pull_request": {"url": "x"},
        }));
        assert!(labels.pull_request.is_some());
        let names: Vec<_> = labels.labels.into_iter().filter_map(Label::name).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn where_a_blocker_lives_is_read_from_what_there_is() {
        let home: RepoName = "octo/app".parse().expect("valid");
        let of = |json| issue(json).reference(&home).display();
        let url = "https://ghe.test/api/v3/repos/Octo/App";
        assert_eq!(of(serde_json::json!({ "number": 1, "repository_url": url })), "#1");
        let url = "https://api.github.com/repos/octo/lib";
        assert_eq!(of(serde_json::json!({ "number": 2, "repository_url": url })), "octo/lib#2");
        let url = "http://127.0.0.1:1/octo/lib/issues/3";
        assert_eq!(of(serde_json::json!({ "number": 3, "html_url": url })), "octo/lib#3");
        let named = serde_json::json!({ "number": 4, "repository": { "full_name": "a/b" } });
        assert_eq!(of(named), "a/b#4");
        assert_eq!(of(serde_json::json!({ "number": 5 })), "#5");
    }
}
