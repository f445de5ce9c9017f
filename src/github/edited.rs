//! When an issue's text was last changed, which only GraphQL says.
//!
//! Never decides what follows from it.

use chrono::{DateTime, Utc};
use http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::ask::{Ask, Proof};
use super::client::GitHub;
use super::error::GitHubError;
use crate::domain::ids::{IssueNumber, RepoName};

impl GitHub {
    /// When the body of an issue was last edited; `None`: never.
    pub async fn last_edited(
        &self,
        repo: &RepoName,
        number: IssueNumber,
    ) -> Result<Option<DateTime<Utc>>, GitHubError> {
        const QUERY: &str = "query($owner: String!, $name: String!, $number: Int!) { \
            repository(owner: $owner, name: $name) { issue(number: $number) { lastEditedAt } } }";
        #[derive(Deserialize)]
        struct Found {
            repository: Option<Repository>,
        }
        #[derive(Deserialize)]
        struct Repository {
            issue: Option<Edited>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Edited {
            last_edited_at: Option<DateTime<Utc>>,
        }
        let doing = format!("asking when {repo}{number} was last edited");
        let variables = json!({ "owner": repo.owner(), "name": repo.name(), "number": number.0 });
        let found: Found = self.graphql(repo, QUERY, &variables, doing.clone()).await?;
        let issue = found.repository.and_then(|found| found.issue);
        issue.map(|issue| issue.last_edited_at).ok_or(GitHubError::NotFound { doing })
    }

    /// The time of the last thing that the issue's timeline tells of. Edits of the body are not
    /// among them.
    pub async fn last_told(
        &self,
        repo: &RepoName,
        number: IssueNumber,
    ) -> Result<Option<DateTime<Utc>>, GitHubError> {
        #[derive(Deserialize)]
        struct Told {
            created_at: Option<DateTime<Utc>>,
        }
        let rest = format!("/issues/{}/timeline", number.0);
        let doing = format!("reading what happened to {repo}{number}");
        let told = self.all::<Told>(&Ask::get(repo, &rest, doing), "").await?;
        Ok(told.into_iter().filter_map(|told| told.created_at).max())
    }

    /// A query of GraphQL: it changes nothing, though it is sent by POST. An answer with errors is
    /// a refusal.
    pub(super) async fn graphql<T: DeserializeOwned>(
        &self,
        repo: &RepoName,
        query: &str,
        variables: &Value,
        doing: String,
    ) -> Result<T, GitHubError> {
        #[derive(Deserialize)]
        struct Answer<T> {
            data: Option<T>,
            #[serde(default)]
            errors: Vec<Complaint>,
        }
        #[derive(Deserialize)]
        struct Complaint {
            #[serde(default)]
            message: String,
        }
        let ask = Ask {
            method: Method::POST,
            path: "/graphql".to_owned(),
            body: Some(json!({ "query": query, "variables": variables })),
            doing: doing.clone(),
            proof: Proof::Repository(repo),
        };
        let answer: Answer<T> = self.json(&ask).await?;
        match (answer.data, answer.errors.first()) {
            (_, Some(complaint)) => Err(GitHubError::Invalid {
                doing,
                status: 200,
                message: complaint.message.chars().take(300).collect(),
            }),
            (Some(data), None) => Ok(data),
            (None, None) => Err(GitHubError::Unreadable {
                doing,
                reason: "it has neither data nor errors".to_owned(),
            }),
        }
    }
}
