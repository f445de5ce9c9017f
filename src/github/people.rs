//! Who may do what, and who did it: permissions and label events.
//!
//! Raw routes: octocrab's typed permission cannot read `"write"`, and its events have no label.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::client::{Ask, GitHub};
use super::error::GitHubError;
use super::wire::User;
use crate::domain::ids::{IssueNumber, RepoName};

/// What a user may do with a repository, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    None,
    Read,
    Triage,
    Write,
    Maintain,
    Admin,
}

impl Permission {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Triage => "triage",
            Self::Write => "write",
            Self::Maintain => "maintain",
            Self::Admin => "admin",
        }
    }

    /// Whether it lets the user push.
    #[must_use]
    pub const fn can_write(self) -> bool {
        match self {
            Self::None | Self::Read | Self::Triage => false,
            Self::Write | Self::Maintain | Self::Admin => true,
        }
    }

    /// A role of an organisation's own making has no rank here; `permission` beside it has.
    fn named(name: &str) -> Self {
        let all = [Self::Read, Self::Triage, Self::Write, Self::Maintain, Self::Admin];
        all.into_iter().find(|permission| permission.as_str() == name).unwrap_or(Self::None)
    }
}

/// The setting of a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelEvent {
    /// `None`: the account is gone.
    pub actor: Option<String>,
    pub actor_is_bot: bool,
    pub at: Option<DateTime<Utc>>,
    /// The issue was renamed after it.
    pub renamed_since: bool,
}

#[derive(Debug, Deserialize)]
struct Event {
    event: Option<String>,
    label: Option<EventLabel>,
    actor: Option<User>,
    created_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Deserialize)]
struct EventLabel {
    name: Option<String>,
}

impl GitHub {
    /// What a user may do with a repository. One who is no collaborator has none.
    pub async fn permission(
        &self,
        repo: &RepoName,
        login: &str,
    ) -> Result<Permission, GitHubError> {
        #[derive(Deserialize)]
        struct Answer {
            permission: Option<String>,
            role_name: Option<String>,
        }
        let encoded = path_segment(login);
        let rest = format!("/collaborators/{encoded}/permission");
        let doing = format!("asking what `{login}` may do with {repo}");
        match self.json::<Answer>(&Ask::get(repo, &rest, doing)).await {
            Ok(answer) => {
                let rank = |name: Option<String>| {
                    name.map_or(Permission::None, |name| Permission::named(&name))
                };
                Ok(rank(answer.permission).max(rank(answer.role_name)))
            }
            Err(GitHubError::NotFound { .. }) => Ok(Permission::None),
            Err(error) => Err(error),
        }
    }

    /// Who set a label last. `None`: GitHub does not know of it.
    pub async fn label_set_by(
        &self,
        repo: &RepoName,
        number: IssueNumber,
        label: &str,
    ) -> Result<Option<LabelEvent>, GitHubError> {
        for kind in ["events", "timeline"] {
            let rest = format!("/issues/{}/{kind}", number.0);
            let doing = format!("reading who labelled {repo}{number}");
            let events = match self.all::<Event>(&Ask::get(repo, &rest, doing), "").await {
                Ok(events) => events,
                Err(GitHubError::NotFound { .. }) => continue,
                Err(error) => return Err(error),
            };
            if let Some(set) = last_labelled(events, label) {
                return Ok(Some(set));
            }
        }
        Ok(None)
    }
}

/// The latest by its time; where none is given, by its place.
fn last_labelled(events: Vec<Event>, label: &str) -> Option<LabelEvent> {
    let is_it = |event: &Event| {
        let name = event.label.as_ref().and_then(|label| label.name.as_deref());
        event.event.as_deref() == Some("labeled")
            && name.is_some_and(|name| name.eq_ignore_ascii_case(label))
    };
    let renamed = events
        .iter()
        .filter(|event| event.event.as_deref() == Some("renamed"))
        .filter_map(|event| event.created_at)
        .max();
    let last = events.into_iter().filter(is_it).max_by_key(|event| event.created_at)?;
    let renamed_since =
        last.created_at.is_some_and(|set| renamed.is_some_and(|renamed| renamed > set));
    let actor_is_bot = last.actor.as_ref().is_some_and(User::is_bot);
    let actor = last.actor.and_then(|actor| actor.login);
    Some(LabelEvent { actor, actor_is_bot, at: last.created_at, renamed_since })
}

/// A login or a label in a path: `dependabot[bot]`, or whatever a server calls a user.
pub(super) fn path_segment(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            write!(out, "%{byte:02X}").ok();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_stays_one_segment() {
        assert_eq!(path_segment("dependabot[bot]"), "dependabot%5Bbot%5D");
        assert_eq!(path_segment("../../user?x#y"), "%2E%2E%2F%2E%2E%2Fuser%3Fx%23y");
    }

    #[test]
    fn the_last_setting_of_the_label_counts() {
        let events = serde_json::json!([
            {"event": "labeled", "label": {"name": "ok"}, "actor": {"login": "maintainer"}, "created_at": "2026-01-01T00:00:00Z"},
            {"event": "labeled", "label": {"name": "OK"}, "actor": {"login": "app[bot]", "type": "Bot"}, "created_at": "2026-01-02T00:00:00Z"},
            {"event": "labeled", "label": {"name": "bug"}, "actor": null, "created_at": "2026-01-03T00:00:00Z"},
            {"event": "commented", "body": "x"}
        ]);
        let events: Vec<Event> = serde_json::from_value(events).expect("readable");
        let last = last_labelled(events, "ok").expect("set");
        assert_eq!(last.actor.as_deref(), Some("app[bot]"));
        assert!(last.actor_is_bot);
    }

    #[test]
    fn permissions_rank() {
        assert!(Permission::named("maintain").can_write());
        assert!(!Permission::named("triage").can_write());
        assert_eq!(Permission::named("release-captain"), Permission::None);
    }
}
