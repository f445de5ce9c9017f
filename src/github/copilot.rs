//! GitHub's coding agent, as its API has it: whether it may be had, giving it an issue, and the
//! pull request and sessions that come of it.
//!
//! Never decides whether it works well, and never accepts what it made. The agent takes issues only
//! from a user's token; an App's installation may not assign it.

use chrono::{DateTime, Utc};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Ask, GitHub};
use super::error::GitHubError;
use super::pulls::Pull;
use super::wire::{self, RepositoryName, User};
use crate::domain::ids::{IssueNumber, RepoName};

/// The agent's login where it is assigned.
const ASSIGNEE: &str = "copilot-swe-agent[bot]";
/// The agent's login among those who may be assigned, in GraphQL.
const ACTOR: &str = "copilot-swe-agent";

/// A pull request of the agent's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopilotPull {
    pub pull: Pull,
    /// Still being worked on, by its author's own word.
    pub draft: bool,
}

/// What the agent's pull request tells of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentEvent {
    pub kind: AgentEventKind,
    pub at: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentEventKind {
    Started,
    Finished,
    Failed,
}

#[derive(Deserialize)]
struct Told {
    event: Option<String>,
    created_at: Option<DateTime<Utc>>,
    source: Option<Source>,
}

#[derive(Deserialize)]
struct Source {
    issue: Option<Linked>,
}

/// The issue or pull request that refers to another.
#[derive(Deserialize)]
struct Linked {
    number: u64,
    user: Option<User>,
    pull_request: Option<serde::de::IgnoredAny>,
    repository: Option<RepositoryName>,
}

impl GitHub {
    /// Whether the agent can be assigned in a repository: it has to be switched on there, and for
    /// our token's user.
    pub async fn copilot_available(&self, repo: &RepoName) -> Result<bool, GitHubError> {
        const QUERY: &str = "query($owner: String!, $name: String!) { \
            repository(owner: $owner, name: $name) { \
            suggestedActors(capabilities: [CAN_BE_ASSIGNED], first: 100) { \
            nodes { login __typename } } } }";
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Repository {
            suggested_actors: Option<Actors>,
        }
        #[derive(Deserialize)]
        struct Found {
            repository: Option<Repository>,
        }
        #[derive(Deserialize)]
        struct Actors {
            #[serde(default)]
            nodes: Vec<Actor>,
        }
        #[derive(Deserialize)]
        struct Actor {
            login: Option<String>,
            #[serde(rename = "__typename")]
            kind: Option<String>,
        }
        let doing = format!("asking whether Copilot can be assigned in {repo}");
        let variables = json!({ "owner": repo.owner(), "name": repo.name() });
        let found: Found = self.graphql(repo, QUERY, &variables, doing).await?;
        let actors = found.repository.and_then(|found| found.suggested_actors);
        // A person may have a name like it, so the kind of account counts too.
        Ok(actors.is_some_and(|actors| {
            actors.nodes.iter().any(|actor| {
                actor.login.as_deref() == Some(ACTOR) && actor.kind.as_deref() == Some("Bot")
            })
        }))
    }

    /// Gives an issue to the agent; `false` where GitHub took the request and did not assign it,
    /// which is how it answers who may not. Sent once: after an error that `may_have_happened`,
    /// look at `copilot_assigned`.
    pub async fn assign_copilot(
        &self,
        repo: &RepoName,
        number: IssueNumber,
        base_branch: &str,
        instructions: &str,
    ) -> Result<bool, GitHubError> {
        let rest = format!("/issues/{}/assignees", number.0);
        let body = json!({
            "assignees": [ASSIGNEE],
            "agent_assignment": {
                "target_repo": repo.to_string(),
                "base_branch": base_branch,
                "custom_instructions": instructions,
            },
        });
        let doing = format!("assigning {repo}{number} to Copilot");
        let ask = Ask::change(Method::POST, repo, &rest, body, doing);
        let issue: wire::Issue = self.json(&ask).await?;
        Ok(issue.assignees.iter().any(User::is_copilot))
    }

    /// Whether an issue is the agent's now.
    pub async fn copilot_assigned(
        &self,
        repo: &RepoName,
        number: IssueNumber,
    ) -> Result<bool, GitHubError> {
        Ok(self.issue(repo, number).await?.assignees.iter().any(User::is_copilot))
    }

    /// Takes an issue back from the agent. One that it does not have is fine.
    pub async fn unassign_copilot(
        &self,
        repo: &RepoName,
        number: IssueNumber,
    ) -> Result<(), GitHubError> {
        let rest = format!("/issues/{}/assignees", number.0);
        let doing = format!("taking {repo}{number} back from Copilot");
        let body = json!({ "assignees": [ASSIGNEE] });
        let ask = Ask::change(Method::DELETE, repo, &rest, body, doing);
        self.json::<Value>(&ask).await.map(drop)
    }

    /// An issue's title and body as they stand on GitHub now.
    pub async fn issue_text(
        &self,
        repo: &RepoName,
        number: IssueNumber,
    ) -> Result<(String, String), GitHubError> {
        let issue = self.issue(repo, number).await?;
        Ok((issue.title.unwrap_or_default(), issue.body.unwrap_or_default()))
    }

    async fn issue(
        &self,
        repo: &RepoName,
        number: IssueNumber,
    ) -> Result<wire::Issue, GitHubError> {
        let rest = format!("/issues/{}", number.0);
        self.json(&Ask::get(repo, &rest, format!("reading {repo}{number}"))).await
    }

    /// The agent's pull requests for an issue, newest first: those of this repository that refer to
    /// it. What a text says of itself decides nothing; whose they are is GitHub's word.
    pub async fn copilot_pulls(
        &self,
        repo: &RepoName,
        number: IssueNumber,
    ) -> Result<Vec<CopilotPull>, GitHubError> {
        let rest = format!("/issues/{}/timeline", number.0);
        let doing = format!("looking for Copilot's pull requests for {repo}{number}");
        let told = self.all::<Told>(&Ask::get(repo, &rest, doing), "").await?;
        let here = |linked: &Linked| {
            let elsewhere = linked.repository.as_ref().and_then(|it| it.full_name.as_ref());
            elsewhere.is_none_or(|name| name.parse().is_ok_and(|name: RepoName| name == *repo))
        };
        let mut numbers: Vec<u64> = told
            .into_iter()
            .filter(|told| told.event.as_deref() == Some("cross-referenced"))
            .filter_map(|told| told.source.and_then(|source| source.issue))
            .filter(|linked| linked.pull_request.is_some() && here(linked))
            .filter(|linked| linked.user.as_ref().is_some_and(User::is_copilot))
            .map(|linked| linked.number)
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut pulls = Vec::with_capacity(numbers.len());
        for number in numbers.into_iter().rev() {
            let found = self.copilot_pull(repo, IssueNumber(number)).await?;
            // From a fork its branch would be somebody else's.
            let home = found.pull.head_repo.as_ref();
            if home.is_none_or(|name| name.parse().is_ok_and(|name: RepoName| name == *repo)) {
                pulls.push(found);
            }
        }
        Ok(pulls)
    }

    /// One of its pull requests.
    pub async fn copilot_pull(
        &self,
        repo: &RepoName,
        number: IssueNumber,
    ) -> Result<CopilotPull, GitHubError> {
        let (pull, draft) = self.pull_with_draft(repo, number).await?;
        Ok(CopilotPull { pull, draft })
    }

    /// What a pull request tells of the agent's sessions, oldest first.
    pub async fn agent_events(
        &self,
        repo: &RepoName,
        pull: IssueNumber,
    ) -> Result<Vec<AgentEvent>, GitHubError> {
        let rest = format!("/issues/{}/timeline", pull.0);
        let doing = format!("reading how Copilot gets on with {repo}{pull}");
        let told = self.all::<Told>(&Ask::get(repo, &rest, doing), "").await?;
        let mut events: Vec<AgentEvent> = told
            .into_iter()
            .filter_map(|told| {
                let kind = match told.event.as_deref()? {
                    "copilot_work_started" => AgentEventKind::Started,
                    "copilot_work_finished" => AgentEventKind::Finished,
                    "copilot_work_finished_failure" => AgentEventKind::Failed,
                    _ => return None,
                };
                Some(AgentEvent { kind, at: told.created_at? })
            })
            .collect();
        events.sort_by_key(|event| event.at);
        Ok(events)
    }
}
