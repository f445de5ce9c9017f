//! Creating governance issues on GitHub, each once, whatever happens in between.
//!
//! What carries our marker and was written by our login is ours, open or closed. It is looked for
//! before anything is created, and again after an answer that was lost.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{GovernanceIssue, in_order, marker, payload};
use crate::domain::ids::{IssueNumber, RepoName};
use crate::github::{GitHub, GitHubError, ListedIssue, NewIssue};

/// What is there now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct CreatedIssues {
    /// How many were created now, or would be in a dry run.
    pub created: usize,
    /// How many were there before, closed ones included.
    pub existing: usize,
    pub issues: Vec<CreatedIssue>,
}

/// One of them. A dry run knows no number of what it did not create.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CreatedIssue {
    pub id: String,
    pub number: Option<IssueNumber>,
    pub url: Option<String>,
    /// Whether it was created now.
    pub created: bool,
    /// What a dry run would send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<NewIssue>,
}

/// An issue of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub issue: ListedIssue,
    /// Whether it was created by this call.
    pub created: bool,
}

/// Creates what is missing and sets dependencies; with `dry_run` it only looks.
pub async fn create(
    github: &GitHub,
    repo: &RepoName,
    issues: &[GovernanceIssue],
    dry_run: bool,
) -> Result<CreatedIssues, GitHubError> {
    if !github.has_credential() {
        return Err(GitHubError::NoCredential);
    }
    let login = github.login().await?;
    let listed = github.all_issues(repo).await?;
    let mut done = CreatedIssues::default();
    let mut numbers: BTreeMap<String, IssueNumber> = BTreeMap::new();
    let mut found: BTreeMap<&str, ListedIssue> = BTreeMap::new();
    // The templates were checked when they were loaded.
    for issue in in_order(issues).unwrap_or_default() {
        let there = ours(&listed, &marker(&issue.id), login.as_deref()).cloned();
        let existed = there.is_some();
        let mut row = CreatedIssue {
            id: issue.id.clone(),
            number: None,
            url: None,
            created: !existed,
            payload: None,
        };
        let now = match there {
            Some(issue) => Some(issue),
            None if dry_run => None,
            None => {
                let new = payload(issue, &numbers);
                Some(create_once(github, repo, &marker(&issue.id), &new).await?)
            }
        };
        match now {
            Some(listed) => {
                row.number = Some(listed.number);
                row.url = Some(listed.html_url.clone());
                numbers.insert(issue.id.clone(), listed.number);
                found.insert(&issue.id, listed);
            }
            None => row.payload = Some(payload(issue, &numbers)),
        }
        done.created += usize::from(!existed);
        done.existing += usize::from(existed);
        done.issues.push(row);
    }
    if !dry_run {
        for issue in issues {
            connect(github, repo, issue, &found).await?;
        }
    }
    Ok(done)
}

/// Sets the native edges that are missing. A server without them has the text.
async fn connect(
    github: &GitHub,
    repo: &RepoName,
    issue: &GovernanceIssue,
    found: &BTreeMap<&str, ListedIssue>,
) -> Result<(), GitHubError> {
    // What a person closed is left as it is.
    let Some(own) = found.get(issue.id.as_str()).filter(|own| own.open) else { return Ok(()) };
    if issue.dependencies.is_empty() {
        return Ok(());
    }
    let there = github.blocked_by(repo, own.number).await?;
    for id in &issue.dependencies {
        let Some(blocker) = found.get(id.as_str()) else { continue };
        let known = |edge: &crate::domain::issue::IssueRef| {
            edge.repo.is_none() && edge.number == blocker.number
        };
        if !there.iter().any(known) {
            github.block(repo, own.number, blocker).await?;
        }
    }
    Ok(())
}

/// The issue that carries the marker, else a new one.
pub async fn find_or_create(
    github: &GitHub,
    repo: &RepoName,
    marker: &str,
    new: &NewIssue,
) -> Result<Found, GitHubError> {
    let login = github.login().await?;
    let listed = github.all_issues(repo).await?;
    if let Some(issue) = ours(&listed, marker, login.as_deref()) {
        return Ok(Found { issue: issue.clone(), created: false });
    }
    let issue = create_once(github, repo, marker, new).await?;
    Ok(Found { issue, created: true })
}

/// Creates an issue that was looked for already. After an answer that was lost we look again, and
/// adopt what is there; only what is not there is sent once more.
async fn create_once(
    github: &GitHub,
    repo: &RepoName,
    marker: &str,
    new: &NewIssue,
) -> Result<ListedIssue, GitHubError> {
    match github.create_issue(repo, new).await {
        Err(error) if error.may_have_happened() => {
            let login = github.login().await?;
            let listed = github.all_issues(repo).await?;
            match ours(&listed, marker, login.as_deref()) {
                Some(issue) => Ok(issue.clone()),
                None => github.create_issue(repo, new).await,
            }
        }
        answered => answered,
    }
}

/// The first issue with the marker by our login. Where GitHub does not say who we are, the marker
/// alone decides.
fn ours<'a>(
    listed: &'a [ListedIssue],
    marker: &str,
    login: Option<&str>,
) -> Option<&'a ListedIssue> {
    listed.iter().find(|issue| {
        let by_us = login.is_none_or(|login| {
            issue.author.as_deref().is_some_and(|author| author.eq_ignore_ascii_case(login))
        });
        by_us && issue.body.contains(marker)
    })
}
