//! What earlier nights did outside: the commits they pushed, and in whose name they wrote.
//!
//! Reads alone; effects are written with the transition they belong to (`apply`).

use serde_json::Value;
use sqlx::Row as _;

use super::tx::number;
use super::{Store, StoreError};
use crate::domain::ids::{CommitId, IssueNumber, RepoName, RunId};

/// A commit that Foreman pushed, or was about to push, for an issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedCommit {
    pub run: RunId,
    pub commit: CommitId,
    /// What the issue's text was then.
    pub issue_digest: Option<String>,
}

impl Store {
    /// Every commit that any night pushed for an issue of a repository, the latest first.
    pub async fn pushed(
        &self,
        repo: &RepoName,
        issue: IssueNumber,
    ) -> Result<Vec<PushedCommit>, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let rows = sqlx::query(
            "SELECT e.run_id, e.intent, e.observed, ri.digest FROM effects e \
             JOIN runs r ON r.id = e.run_id \
             LEFT JOIN run_issues ri ON ri.run_id = e.run_id AND ri.issue = e.issue \
             WHERE r.repo_key = $1 AND e.kind = 'push' AND e.issue = $2 \
             ORDER BY e.updated_at DESC, e.key",
        )
        .bind(repo.key())
        .bind(number(issue.0))
        .fetch_all(&mut *connection)
        .await?;
        let mut pushed: Vec<PushedCommit> = Vec::new();
        for row in &rows {
            let run = RunId::new(row.try_get::<String, _>(0)?);
            let intent: Option<String> = row.try_get(1)?;
            let observed: Option<String> = row.try_get(2)?;
            let issue_digest: Option<String> = row.try_get(3)?;
            for commit in [observed, intent].into_iter().flatten().filter_map(|it| commit(&it)) {
                if !pushed.iter().any(|known| known.commit == commit && known.run == run) {
                    let (run, issue_digest) = (run.clone(), issue_digest.clone());
                    pushed.push(PushedCommit { run, commit, issue_digest });
                }
            }
        }
        Ok(pushed)
    }

    /// In whose name GitHub says our pull requests and comments in a repository were made.
    pub async fn authors_of_ours(&self, repo: &RepoName) -> Result<Vec<String>, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let rows = sqlx::query(
            "SELECT e.observed FROM effects e JOIN runs r ON r.id = e.run_id \
             WHERE r.repo_key = $1 AND e.kind IN ('pull', 'comment') AND e.observed IS NOT NULL",
        )
        .bind(repo.key())
        .fetch_all(&mut *connection)
        .await?;
        let mut authors = Vec::new();
        for row in &rows {
            let observed: String = row.try_get(0)?;
            let author = field(&observed, "author");
            authors.extend(author.filter(|author| !authors.contains(author)));
        }
        Ok(authors)
    }
}

fn commit(stored: &str) -> Option<CommitId> {
    field(stored, "commit")?.parse().ok()
}

fn field(stored: &str, name: &str) -> Option<String> {
    let value: Value = serde_json::from_str(stored).ok()?;
    value.get(name)?.as_str().map(str::to_owned)
}
