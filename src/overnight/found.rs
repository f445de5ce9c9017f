//! What a night would run in a repository, for its plan: the policy of the base's tip, and by whose
//! word each command is there.
//!
//! A plan is worth having without it, so that what cannot be read in time is said and left out.

use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::settings::Parts;
use crate::domain::ids::RepoName;
use crate::domain::issue::Repository;

/// A first clone of a large repository takes longer; a night waits for it, a plan does not.
const PATIENCE: Duration = Duration::from_secs(30);

/// The checks of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Tools detected, then each kind's commands.
    pub found: Vec<String>,
    /// Why there is nothing, where that is so.
    pub note: Option<String>,
}

pub(super) async fn found(parts: &Parts, repo: &RepoName, repository: &Repository) -> Found {
    let looked = tokio::time::timeout(PATIENCE, look(parts, repo, repository)).await;
    match looked {
        Ok(Ok(found)) => Found { found, note: None },
        Ok(Err(note)) => Found { found: Vec::new(), note: Some(note) },
        Err(_) => {
            let note = format!(
                "the repository was not read within {} s; a night takes the time it needs",
                PATIENCE.as_secs()
            );
            Found { found: Vec::new(), note: Some(note) }
        }
    }
}

async fn look(
    parts: &Parts,
    repo: &RepoName,
    repository: &Repository,
) -> Result<Vec<String>, String> {
    // A plan leaves nothing behind, so what it reads goes with it.
    let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
    let git = parts.git.elsewhere(folder.path()).map_err(|error| error.to_string())?;
    let cannot = |why: String| format!("the repository cannot be cloned: {why}");
    let token =
        parts.github.token_for_git(repo).await.map_err(|error| cannot(error.to_string()))?;
    let mirror = git
        .mirror(repo, &repository.clone_url, token, CancellationToken::new())
        .await
        .map_err(|error| cannot(error.to_string()))?;
    let tip = mirror.tip(&repository.default_branch).await.map_err(|error| error.to_string())?;
    let tip = tip.ok_or_else(|| format!("`{}` has no commit", repository.default_branch))?;
    let policy = parts.gate.policy(&mirror, &tip).await.map_err(|error| error.to_string())?;
    Ok(policy.found())
}
