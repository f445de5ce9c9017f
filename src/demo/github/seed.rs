//! Filling the stand-in: repositories, people and issues, before a night begins.

use std::io;
use std::path::Path;

use chrono::{DateTime, Duration, TimeZone as _, Utc};

use super::FakeGitHub;
use super::copilot::Agent;
use super::origin::{FileEdit, Origin};
use super::render::association;
use super::state::{Issue, LabelChange, Role, State};
use crate::domain::ids::RepoName;

/// An issue to put there. Built by naming what matters; the rest is ordinary.
#[derive(Debug, Clone)]
pub struct IssueSeed {
    number: Option<u64>,
    title: String,
    body: Option<String>,
    author: Option<String>,
    association: Option<String>,
    /// Label, and who set it (`None`: the repository's owner).
    labels: Vec<(String, Option<String>)>,
    milestone_due: Option<DateTime<Utc>>,
    blocked_by: Vec<(Option<RepoName>, u64)>,
    sub_issues: Vec<u64>,
    closed: bool,
}

impl IssueSeed {
    /// An open issue by the repository's owner.
    #[must_use]
    pub fn new(title: &str) -> Self {
        Self {
            number: None,
            title: title.to_owned(),
            body: None,
            author: Some(String::new()),
            association: None,
            labels: Vec::new(),
            milestone_due: None,
            blocked_by: Vec::new(),
            sub_issues: Vec::new(),
            closed: false,
        }
    }

    /// Its number; without one, the next.
    #[must_use]
    pub const fn number(mut self, number: u64) -> Self {
        self.number = Some(number);
        self
    }

    #[must_use]
    pub fn body(mut self, body: &str) -> Self {
        self.body = Some(body.to_owned());
        self
    }

    /// Its author, with the association that follows from the repository's people.
    #[must_use]
    pub fn author(mut self, login: &str) -> Self {
        self.author = Some(login.to_owned());
        self
    }

    /// Its author's account is gone.
    #[must_use]
    pub fn ghost(mut self) -> Self {
        self.author = None;
        self
    }

    /// The association GitHub shows, whatever the people say (`CONTRIBUTOR`, `NONE`, ...).
    #[must_use]
    pub fn association(mut self, association: &str) -> Self {
        self.association = Some(association.to_owned());
        self
    }

    /// A label set by the repository's owner.
    #[must_use]
    pub fn label(mut self, label: &str) -> Self {
        self.labels.push((label.to_owned(), None));
        self
    }

    /// A label, and who set it.
    #[must_use]
    pub fn label_by(mut self, label: &str, actor: &str) -> Self {
        self.labels.push((label.to_owned(), Some(actor.to_owned())));
        self
    }

    #[must_use]
    pub const fn milestone_due(mut self, due: DateTime<Utc>) -> Self {
        self.milestone_due = Some(due);
        self
    }

    /// A native blocker in the same repository.
    #[must_use]
    pub fn blocked_by(mut self, number: u64) -> Self {
        self.blocked_by.push((None, number));
        self
    }

    /// A native blocker in another repository of the stand-in.
    #[must_use]
    pub fn blocked_by_elsewhere(mut self, repo: &RepoName, number: u64) -> Self {
        self.blocked_by.push((Some(repo.clone()), number));
        self
    }

    #[must_use]
    pub fn sub_issue(mut self, number: u64) -> Self {
        self.sub_issues.push(number);
        self
    }

    #[must_use]
    pub const fn closed(mut self) -> Self {
        self.closed = true;
        self
    }

    fn plant(self, state: &mut State, key: &str) -> u64 {
        let id = state.next_id();
        let Some(repo) = state.repos.get(key) else { return 0 };
        let owner = repo.name.owner().to_owned();
        let number = self.number.unwrap_or_else(|| repo.next_number());
        let author = self.author.map(|login| if login.is_empty() { owner.clone() } else { login });
        let seen_as = self.association.unwrap_or_else(|| {
            author.as_deref().map_or("NONE", |login| association(repo, login)).to_owned()
        });
        // The past, an hour per number, so that ages follow numbers.
        let hours = i64::try_from(number).unwrap_or_default();
        let created_at = Utc.timestamp_opt(1_767_225_600, 0).single().unwrap_or_default()
            + Duration::hours(hours);
        let label_changes = self.labels.iter().map(|(label, actor)| LabelChange {
            id: state.next_id(),
            added: true,
            label: label.clone(),
            actor: Some(actor.clone().unwrap_or_else(|| owner.clone())),
            at: created_at,
        });
        let label_changes = label_changes.collect();
        let issue = Issue {
            number,
            id,
            title: self.title,
            body: self.body,
            open: !self.closed,
            labels: self.labels.into_iter().map(|(label, _)| label).collect(),
            author,
            association: seen_as,
            milestone_due: self.milestone_due,
            created_at,
            updated_at: created_at,
            closed_at: self.closed.then_some(created_at),
            blocked_by: self.blocked_by,
            sub_issues: self.sub_issues,
            comments: Vec::new(),
            label_changes,
            pull: None,
            agent: Agent::default(),
        };
        if let Some(repo) = state.repos.get_mut(key) {
            repo.issues.insert(number, issue);
        }
        number
    }
}

impl FakeGitHub {
    /// A repository whose bare git repository is there already. The stand-in's own login may
    /// write to it.
    pub fn add_repo(&self, name: &RepoName, bare: &Path, default_branch: &str) {
        let mut state = self.state();
        state.add_repo(name.clone(), bare, default_branch);
        if let Some(repo) = state.repos.get_mut(&name.key()) {
            repo.roles.insert(self.login().to_owned(), Role::Write);
        }
    }

    /// A repository with a fresh bare git repository whose first commit on `main` holds these
    /// files. Says that commit's id.
    pub fn create_repo(&self, name: &RepoName, files: &[(&str, &str)]) -> io::Result<String> {
        let bare = self.folder().join(format!("{}.git", name.key()));
        let origin = Origin::create(&bare, "main")?;
        self.add_repo(name, &bare, "main");
        let edits: Vec<FileEdit<'_>> =
            files.iter().map(|(path, content)| (*path, Some(*content))).collect();
        origin.commit("main", &edits, "Initial commit")
    }

    /// Gives a user a role on a repository.
    pub fn add_user(&self, repo: &RepoName, login: &str, role: Role) {
        if let Some(repo) = self.state().repos.get_mut(&repo.key()) {
            repo.roles.insert(login.to_owned(), role);
        }
    }

    /// A further token, of this user.
    pub fn add_token(&self, token: &str, login: &str) {
        self.state().tokens.insert(token.to_owned(), login.to_owned());
    }

    /// A GitHub App, installed on every repository. The key is the public one, in PEM.
    pub fn add_app(&self, id: u64, slug: &str, public_key_pem: &str) {
        let (slug, public_key_pem) = (slug.to_owned(), public_key_pem.to_owned());
        let grant = |name: &str, level: &str| (name.to_owned(), level.to_owned());
        let permissions = ["contents", "issues", "pull_requests"].map(|it| grant(it, "write"));
        let permissions = permissions.into_iter().chain([grant("metadata", "read")]).collect();
        self.state().app = Some(super::state::App { id, slug, public_key_pem, permissions });
    }

    /// What the App's installation says that it was granted.
    pub fn grant_app(&self, permission: &str, level: &str) {
        if let Some(app) = &mut self.state().app {
            app.permissions.insert(permission.to_owned(), level.to_owned());
        }
    }

    /// Hides a repository from those without a role on it.
    pub fn make_private(&self, repo: &RepoName) {
        if let Some(repo) = self.state().repos.get_mut(&repo.key()) {
            repo.private = true;
        }
    }

    /// Puts an issue there. Says its number; 0 where there is no such repository.
    pub fn add_issue(&self, repo: &RepoName, seed: IssueSeed) -> u64 {
        seed.plant(&mut self.state(), &repo.key())
    }
}
