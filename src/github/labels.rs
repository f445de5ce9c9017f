//! The labels on an issue: read, added, taken off.
//!
//! Never decides which labels an issue should bear.

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Ask, GitHub};
use super::error::GitHubError;
use super::people::path_segment;
use crate::domain::ids::{IssueNumber, RepoName};

#[derive(Debug, Deserialize)]
struct Label {
    name: Option<String>,
}

impl GitHub {
    /// The names of an issue's labels, as they are now.
    pub async fn labels_of(
        &self,
        repo: &RepoName,
        number: IssueNumber,
    ) -> Result<Vec<String>, GitHubError> {
        let rest = format!("/issues/{}/labels", number.0);
        let ask = Ask::get(repo, &rest, format!("reading the labels of {repo}{number}"));
        let found: Vec<Label> = self.all(&ask, "").await?;
        Ok(found.into_iter().filter_map(|label| label.name).collect())
    }

    /// Adds a label; GitHub makes it where the repository has none of that name.
    pub async fn add_label(
        &self,
        repo: &RepoName,
        number: IssueNumber,
        label: &str,
    ) -> Result<(), GitHubError> {
        let rest = format!("/issues/{}/labels", number.0);
        let doing = format!("adding the label `{label}` to {repo}{number}");
        let ask = Ask::change(Method::POST, repo, &rest, json!({ "labels": [label] }), doing);
        self.json::<Value>(&ask).await.map(drop)
    }

    /// Takes a label off. One that is not there is fine.
    pub async fn remove_label(
        &self,
        repo: &RepoName,
        number: IssueNumber,
        label: &str,
    ) -> Result<(), GitHubError> {
        let rest = format!("/issues/{}/labels/{}", number.0, path_segment(label));
        let doing = format!("taking the label `{label}` off {repo}{number}");
        let ask = Ask { method: Method::DELETE, ..Ask::get(repo, &rest, doing) };
        match self.json::<Value>(&ask).await {
            Ok(_) | Err(GitHubError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
