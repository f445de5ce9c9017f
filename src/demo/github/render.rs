//! The JSON that GitHub would send.
//!
//! Owns the shapes. Never changes the state.

use serde_json::{Value, json};

use super::state::{Comment, Issue, LabelChange, Pull, Repo, State};
use crate::domain::ids::RepoName;

/// What renders: the state and the address that links point to.
pub(super) struct Render<'a> {
    pub state: &'a State,
    /// `http://127.0.0.1:PORT`, without a slash at its end.
    pub root: &'a str,
}

/// Whether a login is an app's.
fn kind(login: &str) -> &'static str {
    if login.ends_with("[bot]") || login == super::copilot::ACTOR { "Bot" } else { "User" }
}

impl Render<'_> {
    /// Null for an account that is gone, as the API sends it.
    pub fn user(&self, login: Option<&str>) -> Value {
        login.map_or(Value::Null, |login| {
            let id: u64 =
                login.bytes().fold(7, |sum, byte| (sum * 31 + u64::from(byte)) % 1_000_003);
            json!({
                "login": login, "id": id, "type": kind(login), "site_admin": false,
                "url": format!("{}/users/{login}", self.root),
                "html_url": format!("{}/{login}", self.root),
            })
        })
    }

    pub fn repo(&self, repo: &Repo, viewer: Option<&str>) -> Value {
        let role = viewer.and_then(|login| repo.role(login));
        let may = |least| role.is_some_and(|role| role >= least);
        use super::state::Role;
        json!({
            "id": repo.id, "name": repo.name.name(), "full_name": repo.name.to_string(),
            "owner": self.user(Some(repo.name.owner())),
            "private": repo.private, "fork": false, "archived": false, "disabled": false,
            "has_issues": true, "default_branch": repo.default_branch,
            "url": self.api(&repo.name, ""),
            "html_url": format!("{}/{}", self.root, repo.name),
            "clone_url": format!("{}/{}.git", self.root, repo.name),
            "permissions": {
                "admin": may(Role::Admin), "maintain": may(Role::Maintain),
                "push": may(Role::Write), "triage": may(Role::Triage), "pull": true,
            },
        })
    }

    pub fn issue(&self, repo: &Repo, issue: &Issue) -> Value {
        let kind = if issue.pull.is_some() { "pull" } else { "issues" };
        let html_url = format!("{}/{}/{kind}/{}", self.root, repo.name, issue.number);
        let mut out = json!({
            "id": issue.id, "node_id": format!("I_{}", issue.id), "number": issue.number,
            "title": issue.title, "body": issue.body,
            "state": if issue.open { "open" } else { "closed" },
            "state_reason": if issue.open { Value::Null } else { json!("completed") },
            "user": self.user(issue.author.as_deref()),
            "author_association": issue.association,
            "labels": issue.labels.iter().map(|name| self.label(repo, name)).collect::<Vec<_>>(),
            "assignees": issue.agent.assignees.iter().map(|it| self.user(Some(it))).collect::<Vec<_>>(),
            "locked": false,
            "milestone": issue.milestone_due.map(|due| json!({
                "number": 1, "title": "milestone", "state": "open", "due_on": due,
            })),
            "comments": issue.comments.len(),
            "created_at": issue.created_at, "updated_at": issue.updated_at,
            "closed_at": issue.closed_at,
            "url": self.api(&repo.name, &format!("/issues/{}", issue.number)),
            "html_url": html_url, "repository_url": self.api(&repo.name, ""),
            "events_url": self.api(&repo.name, &format!("/issues/{}/events", issue.number)),
        });
        if let Some(pull) = &issue.pull {
            out["pull_request"] = json!({
                "url": self.api(&repo.name, &format!("/pulls/{}", issue.number)),
                "html_url": html_url, "merged_at": pull.merged_at,
            });
        } else if self.state.summaries {
            let open = |reference: &&(Option<RepoName>, u64)| {
                self.find(repo, reference).is_some_and(|(_, blocker)| blocker.open)
            };
            let closed = |number: &&u64| repo.issues.get(number).is_some_and(|child| !child.open);
            out["issue_dependencies_summary"] = json!({
                "blocked_by": issue.blocked_by.iter().filter(open).count(),
                "total_blocked_by": issue.blocked_by.len(), "blocking": 0, "total_blocking": 0,
            });
            let completed = issue.sub_issues.iter().filter(closed).count();
            out["sub_issues_summary"] = json!({
                "total": issue.sub_issues.len(), "completed": completed,
                "percent_completed": (completed * 100).checked_div(issue.sub_issues.len()).unwrap_or(0),
            });
        }
        out
    }

    /// The repository and issue that an edge points to.
    pub fn find<'s>(
        &'s self,
        home: &'s Repo,
        (name, number): &(Option<RepoName>, u64),
    ) -> Option<(&'s Repo, &'s Issue)> {
        let repo = match name {
            None => home,
            Some(name) => self.state.repos.get(&name.key())?,
        };
        Some((repo, repo.issues.get(number)?))
    }

    pub fn label(&self, repo: &Repo, name: &str) -> Value {
        let encoded: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
        json!({
            "id": 1, "name": name, "color": "ededed", "default": false, "description": null,
            "url": self.api(&repo.name, &format!("/labels/{encoded}")),
        })
    }

    pub fn label_change(&self, repo: &Repo, change: &LabelChange) -> Value {
        json!({
            "id": change.id, "event": if change.added { "labeled" } else { "unlabeled" },
            "actor": self.user(change.actor.as_deref()), "created_at": change.at,
            "label": { "name": change.label, "color": "ededed" },
            "url": self.api(&repo.name, &format!("/issues/events/{}", change.id)),
        })
    }

    pub fn comment(&self, repo: &Repo, issue: &Issue, comment: &Comment) -> Value {
        let kind = if issue.pull.is_some() { "pull" } else { "issues" };
        json!({
            "id": comment.id, "body": comment.body,
            "user": self.user(comment.author.as_deref()),
            "author_association": comment.author.as_deref()
                .map_or("NONE", |login| association(repo, login)),
            "created_at": comment.created_at, "updated_at": comment.updated_at,
            "url": self.api(&repo.name, &format!("/issues/comments/{}", comment.id)),
            "issue_url": self.api(&repo.name, &format!("/issues/{}", issue.number)),
            "html_url": format!(
                "{}/{}/{kind}/{}#issuecomment-{}", self.root, repo.name, issue.number, comment.id
            ),
        })
    }

    pub fn pull(&self, repo: &Repo, issue: &Issue, pull: &Pull) -> Value {
        let end = |branch: &str, sha: &str| {
            json!({
                "label": format!("{}:{branch}", repo.name.owner()), "ref": branch, "sha": sha,
                "user": self.user(Some(repo.name.owner())), "repo": self.repo(repo, None),
            })
        };
        json!({
            "id": issue.id, "node_id": format!("PR_{}", issue.id), "number": issue.number,
            "title": issue.title, "body": issue.body,
            "state": if issue.open { "open" } else { "closed" }, "draft": issue.agent.draft,
            "locked": false,
            "user": self.user(issue.author.as_deref()), "author_association": issue.association,
            "labels": issue.labels.iter().map(|name| self.label(repo, name)).collect::<Vec<_>>(),
            "head": end(&pull.head, &pull.head_sha), "base": end(&pull.base, &pull.base_sha),
            "merged": pull.merged_at.is_some(), "merged_at": pull.merged_at,
            "merge_commit_sha": pull.merge_commit, "mergeable": null, "mergeable_state": "unknown",
            "comments": issue.comments.len(), "assignees": [], "milestone": null,
            "created_at": issue.created_at, "updated_at": issue.updated_at,
            "closed_at": issue.closed_at,
            "url": self.api(&repo.name, &format!("/pulls/{}", issue.number)),
            "issue_url": self.api(&repo.name, &format!("/issues/{}", issue.number)),
            "html_url": format!("{}/{}/pull/{}", self.root, repo.name, issue.number),
        })
    }

    fn api(&self, repo: &RepoName, rest: &str) -> String {
        format!("{}/repos/{repo}{rest}", self.root)
    }
}

/// The association GitHub would show for a login.
pub(super) fn association(repo: &Repo, login: &str) -> &'static str {
    if login.eq_ignore_ascii_case(repo.name.owner()) {
        return "OWNER";
    }
    match repo.role(login) {
        Some(_) => "COLLABORATOR",
        None => "NONE",
    }
}
