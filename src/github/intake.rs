//! Intake: every open issue with its native edges and the verdict on its author.
//!
//! Owns the decision whom to trust, from GitHub's own facts: association, permission, and who set
//! the approval label. Never reads an issue's text for it, and never trusts a name.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::client::GitHub;
use super::error::GitHubError;
use super::issues::{GHOST, RawIssue};
use super::people::Permission;
use crate::domain::ids::{IssueNumber, RepoName};
use crate::domain::issue::{Issue, IssueRef, Trust};
use crate::domain::vetting::Approval;

/// Issues whose edges are asked for at a time: enough to be quick, few enough for GitHub's
/// secondary limits.
const EDGES_AT_A_TIME: usize = 4;

/// Whose issues may be worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authors {
    /// People with write access, and what they approved.
    Collaborators,
    /// Everybody (`trust.authors = "all"`).
    All,
}

/// The operator's word on trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustPolicy {
    pub authors: Authors,
    pub approval_label: String,
}

impl Default for TrustPolicy {
    fn default() -> Self {
        Self { authors: Authors::Collaborators, approval_label: "foreman:approved".to_owned() }
    }
}

/// Reads every open issue of a repository, oldest first. Any failure fails the whole: half an
/// intake would be planned as if it were everything.
pub async fn read_open_issues(
    github: &GitHub,
    repo: &RepoName,
    trust: &TrustPolicy,
) -> Result<Vec<Issue>, GitHubError> {
    let raw = github.open_issues(repo).await?;
    // Edges of several issues at a time, trust one by one: each author is looked up once.
    let with_edges: Vec<(RawIssue, Vec<IssueRef>, Vec<IssueRef>)> = stream::iter(raw)
        .map(|issue| async move {
            let (blockers, children) = edges(github, repo, &issue).await?;
            Ok::<_, GitHubError>((issue, blockers, children))
        })
        .buffered(EDGES_AT_A_TIME)
        .try_collect()
        .await?;
    let mut judge = Judge { people: People::new(github, repo), policy: trust };
    let mut issues = Vec::with_capacity(with_edges.len());
    for (issue, blockers, children) in with_edges {
        let (verdict, approval) = judge.verdict(&issue).await?;
        let mut issue = issue.judged(verdict, blockers, children);
        issue.vetting.approval = approval;
        issues.push(issue);
    }
    Ok(issues)
}

async fn edges(
    github: &GitHub,
    repo: &RepoName,
    issue: &RawIssue,
) -> Result<(Vec<IssueRef>, Vec<IssueRef>), GitHubError> {
    let blockers = match issue.blockers {
        Some(0) => Vec::new(),
        Some(_) | None => github.blocked_by(repo, issue.number).await?,
    };
    let children = match issue.children {
        Some(0) => Vec::new(),
        Some(_) | None => github.sub_issues(repo, issue.number).await?,
    };
    Ok((blockers, children))
}

/// What the permission API said of a user.
#[derive(Debug, Clone, Copy)]
enum Seen {
    Has(Permission),
    /// Our token may not ask.
    Hidden,
}

impl Seen {
    const fn can_write(self) -> bool {
        match self {
            Self::Has(permission) => permission.can_write(),
            Self::Hidden => false,
        }
    }
}

/// Who has write access, looked up once each.
pub struct People<'a> {
    github: &'a GitHub,
    repo: &'a RepoName,
    known: BTreeMap<String, Seen>,
}

/// Whether a label that an issue carries counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelWord {
    /// Set by this user, who has write access.
    Counts { by: String, at: Option<DateTime<Utc>>, renamed_since: bool },
    /// GitHub keeps no record of anybody setting it.
    Unrecorded(String),
    /// Why it does not, as the end of a sentence.
    Void(String),
}

struct Judge<'a> {
    people: People<'a>,
    policy: &'a TrustPolicy,
}

impl Judge<'_> {
    /// Whom to trust, with the approval where one was needed.
    async fn verdict(
        &mut self,
        issue: &RawIssue,
    ) -> Result<(Trust, Option<Approval>), GitHubError> {
        match self.policy.authors {
            Authors::All => return Ok((Trust::Everyone, None)),
            Authors::Collaborators => {}
        }
        let association = issue.association.as_str();
        let author = match &issue.author {
            None => Err(format!("author `{GHOST}` is an account that is gone")),
            Some(_) if issue.association.is_trusted() => {
                return Ok((Trust::Author(association.to_owned()), None));
            }
            Some(login) => match self.people.look(login).await? {
                Seen::Has(permission) if permission.can_write() => Ok(permission),
                Seen::Has(_) => {
                    Err(format!("author `{login}` is {association} without write access"))
                }
                Seen::Hidden => Err(format!(
                    "author `{login}` is {association}, and the token may not see who has write access"
                )),
            },
        };
        let seen = match author {
            Ok(permission) => return Ok((Trust::Author(permission.as_str().to_owned()), None)),
            Err(seen) => seen,
        };
        self.approval(issue, &seen).await
    }

    async fn approval(
        &mut self,
        issue: &RawIssue,
        seen: &str,
    ) -> Result<(Trust, Option<Approval>), GitHubError> {
        let label = &self.policy.approval_label;
        if !issue.labels.iter().any(|name| name.eq_ignore_ascii_case(label)) {
            let why = format!("{seen}; a maintainer can add the label `{label}`");
            return Ok((Trust::Untrusted(why), None));
        }
        Ok(match self.people.label(issue.number, label).await? {
            LabelWord::Counts { by, at, renamed_since } => {
                (Trust::Approved(by.clone()), Some(Approval { by, at, renamed_since }))
            }
            LabelWord::Void(why) | LabelWord::Unrecorded(why) => {
                (Trust::Untrusted(format!("{seen}; {why}")), None)
            }
        })
    }
}

impl<'a> People<'a> {
    #[must_use]
    pub const fn new(github: &'a GitHub, repo: &'a RepoName) -> Self {
        Self { github, repo, known: BTreeMap::new() }
    }

    /// Whether a label on an issue was set by somebody with write access.
    pub async fn label(
        &mut self,
        number: IssueNumber,
        label: &str,
    ) -> Result<LabelWord, GitHubError> {
        let void = |why: String| Ok(LabelWord::Void(why));
        let Some(event) = self.github.label_set_by(self.repo, number, label).await? else {
            let why = format!("GitHub does not say who added the label `{label}`");
            return Ok(LabelWord::Unrecorded(why));
        };
        let Some(actor) = event.actor else {
            return void(format!("who added the label `{label}` is gone; add it again"));
        };
        if event.actor_is_bot {
            // A workflow labels at anybody's request.
            return void(format!(
                "the label `{label}` was added by the bot `{actor}`, not by a maintainer"
            ));
        }
        if self.look(&actor).await?.can_write() {
            let renamed_since = event.renamed_since;
            return Ok(LabelWord::Counts { by: actor, at: event.at, renamed_since });
        }
        void(format!("the label `{label}` was added by `{actor}`, who has no write access"))
    }

    /// Whether a user may write to the repository; nobody may where our token cannot ask.
    pub async fn may_write(&mut self, login: &str) -> Result<bool, GitHubError> {
        Ok(self.look(login).await?.can_write())
    }

    async fn look(&mut self, login: &str) -> Result<Seen, GitHubError> {
        let key = login.to_ascii_lowercase();
        if let Some(seen) = self.known.get(&key) {
            return Ok(*seen);
        }
        // Whose repository it is may do everything with it.
        if key == self.repo.owner().to_ascii_lowercase() {
            return Ok(Seen::Has(Permission::Admin));
        }
        let seen = match self.github.permission(self.repo, login).await {
            Ok(permission) => Seen::Has(permission),
            // Reading without a credential works on what is public; asking about people does not.
            Err(GitHubError::Forbidden { .. } | GitHubError::NoCredential) => Seen::Hidden,
            Err(error) => return Err(error),
        };
        self.known.insert(key, seen);
        Ok(seen)
    }
}
