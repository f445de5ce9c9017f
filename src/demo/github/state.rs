//! What the stand-in GitHub remembers.
//!
//! Owns the records and the rules between them. Never reads a request or writes JSON.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{DateTime, Duration, SubsecRound as _, Utc};

use super::copilot::{Agent, CopilotScript};
use super::faults::{Effect, Fault};
use super::origin::Origin;
use crate::domain::ids::RepoName;

/// A user's permission on a repository, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Read,
    Triage,
    Write,
    Maintain,
    Admin,
}

impl Role {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Triage => "triage",
            Self::Write => "write",
            Self::Maintain => "maintain",
            Self::Admin => "admin",
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Comment {
    pub id: u64,
    pub author: Option<String>,
    pub body: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Debug, Clone)]
pub(super) struct LabelChange {
    pub id: u64,
    pub added: bool,
    pub label: String,
    pub actor: Option<String>,
    pub at: DateTime<Utc>,
}

/// What an issue and a pull request have in common, and what only an issue has.
#[derive(Debug, Clone)]
pub(super) struct Issue {
    pub number: u64,
    pub id: u64,
    pub title: String,
    pub body: Option<String>,
    pub open: bool,
    pub labels: Vec<String>,
    pub author: Option<String>,
    pub association: String,
    pub milestone_due: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub closed_at: Option<DateTime<Utc>>,
    /// Repository (`None`: this one) and number.
    pub blocked_by: Vec<(Option<RepoName>, u64)>,
    pub sub_issues: Vec<u64>,
    pub comments: Vec<Comment>,
    pub label_changes: Vec<LabelChange>,
    /// Only of a pull request.
    pub pull: Option<Pull>,
    /// What concerns Copilot, and edits.
    pub agent: Agent,
}

#[derive(Debug, Clone)]
pub(super) struct Pull {
    pub head: String,
    pub base: String,
    /// The tips as they were when it was opened or last seen; what stays once it is closed.
    pub head_sha: String,
    pub base_sha: String,
    pub merged_at: Option<DateTime<Utc>>,
    pub merge_commit: Option<String>,
}

pub(super) struct Repo {
    pub id: u64,
    pub name: RepoName,
    pub default_branch: String,
    pub private: bool,
    pub origin: Origin,
    pub roles: BTreeMap<String, Role>,
    /// Issues and pull requests, which share their numbers.
    pub issues: BTreeMap<u64, Issue>,
}

impl Repo {
    /// What a user may do here. A user's own repository is theirs without being told.
    pub fn role(&self, login: &str) -> Option<Role> {
        let mut roles = self.roles.iter();
        let told = roles.find(|(name, _)| name.eq_ignore_ascii_case(login)).map(|(_, role)| *role);
        told.or_else(|| login.eq_ignore_ascii_case(self.name.owner()).then_some(Role::Admin))
    }

    pub fn next_number(&self) -> u64 {
        self.issues.last_key_value().map_or(1, |(number, _)| number + 1)
    }

    /// Brings open pull requests up to date with the branches: heads move, and a deleted head
    /// closes its pull request.
    pub fn follow_branches(&mut self, now: DateTime<Utc>) {
        let branches = self.origin.branches();
        for issue in self.issues.values_mut().filter(|issue| issue.open) {
            let Some(pull) = &mut issue.pull else { continue };
            if let Some(base) = branches.get(&pull.base) {
                pull.base_sha.clone_from(base);
            }
            match branches.get(&pull.head) {
                Some(head) => pull.head_sha.clone_from(head),
                None => {
                    issue.open = false;
                    issue.closed_at = Some(now);
                    issue.updated_at = now;
                }
            }
        }
    }
}

/// A GitHub App that may be installed.
#[derive(Debug, Clone)]
pub(super) struct App {
    pub id: u64,
    pub slug: String,
    pub public_key_pem: String,
    /// What its installation was granted: permission to level.
    pub permissions: BTreeMap<String, String>,
}

pub(super) struct State {
    pub repos: BTreeMap<String, Repo>,
    /// Token to login.
    pub tokens: BTreeMap<String, String>,
    pub app: Option<App>,
    pub effects: Vec<Effect>,
    /// Every request, reads included: method, and path with query.
    pub requests: Vec<(String, String)>,
    pub unexpected: Vec<String>,
    /// Git requests that came compressed.
    pub compressed: usize,
    pub faults: Vec<Fault>,
    /// The largest page served, 100 as on GitHub unless a test wants more pages of less.
    pub page_cap: usize,
    /// Whether listings carry the summaries of edges (github.com does, older servers do not).
    pub summaries: bool,
    /// Whether the dependencies and sub-issues routes exist at all.
    pub edges: bool,
    /// Sent as the `next` link's origin in place of our own.
    pub link_origin: Option<String>,
    /// Copilot, where it is switched on.
    pub copilot: Option<CopilotScript>,
    next_id: u64,
    last_moment: DateTime<Utc>,
}

impl State {
    pub fn new() -> Self {
        Self {
            repos: BTreeMap::new(),
            tokens: BTreeMap::new(),
            app: None,
            effects: Vec::new(),
            requests: Vec::new(),
            unexpected: Vec::new(),
            compressed: 0,
            faults: Vec::new(),
            page_cap: 100,
            summaries: true,
            edges: true,
            link_origin: None,
            copilot: None,
            next_id: 1_000,
            last_moment: DateTime::UNIX_EPOCH,
        }
    }

    /// Ids are shared by everything, as on GitHub.
    pub const fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// The time as it stands, of something that is no change.
    pub fn now(&self) -> DateTime<Utc> {
        Utc::now().trunc_subsecs(0).max(self.last_moment)
    }

    /// The time of a change: whole seconds as GitHub's, and never twice the same, so that an edit
    /// always shows in `updated_at`.
    pub fn moment(&mut self) -> DateTime<Utc> {
        let now = Utc::now().trunc_subsecs(0);
        self.last_moment = now.max(self.last_moment + Duration::seconds(1));
        self.last_moment
    }

    pub fn add_repo(&mut self, name: RepoName, bare: &Path, default_branch: &str) {
        let repo = Repo {
            id: self.next_id(),
            name,
            default_branch: default_branch.to_owned(),
            private: false,
            origin: Origin { bare: bare.to_owned() },
            roles: BTreeMap::new(),
            issues: BTreeMap::new(),
        };
        self.repos.insert(repo.name.key(), repo);
    }

    pub fn set_label(&mut self, key: &str, number: u64, label: &str, added: bool, actor: &str) {
        let (at, id) = (self.moment(), self.next_id());
        let Some(issue) = self.repos.get_mut(key).and_then(|repo| repo.issues.get_mut(&number))
        else {
            return;
        };
        let has = issue.labels.iter().any(|name| name.eq_ignore_ascii_case(label));
        if has == added {
            return;
        }
        if added {
            issue.labels.push(label.to_owned());
        } else {
            issue.labels.retain(|name| !name.eq_ignore_ascii_case(label));
        }
        issue.updated_at = at;
        let (label, actor) = (label.to_owned(), Some(actor.to_owned()));
        issue.label_changes.push(LabelChange { id, added, label, actor, at });
    }
}
