//! Keeps half-done work in a private ref of the mirror, while its builder goes on.
//!
//! Owns that one ref. What is kept is for people and for whoever goes on; nobody judges or
//! publishes it. Never writes to the workspace.

use std::path::Path;

use chrono::Utc;

use crate::domain::ids::CommitId;
use crate::git::{Author, GitError, Mirror};

/// Where and on what half-done work is kept.
#[derive(Debug, Clone)]
pub struct Keeper {
    pub mirror: Mirror,
    pub base: CommitId,
    pub name: String,
    pub author: Author,
}

impl Keeper {
    /// Keeps the workspace as it stands; `None` where it is the base, or cannot be taken over yet.
    pub async fn keep(&self, workspace: &Path) -> Result<Option<CommitId>, GitError> {
        let captured = match self.mirror.capture(workspace, &self.base).await {
            Ok(captured) if captured.changes.is_empty() => return Ok(None),
            Ok(captured) => captured,
            // The builder may yet put right what cannot be taken over now.
            Err(GitError::Refused(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let (tree, base) = (&captured.tree, &self.base);
        let message = "Work in progress\n";
        let commit = self.mirror.commit(tree, base, message, &self.author, Utc::now()).await?;
        self.mirror.save_ref(&self.name, commit.as_str()).await?;
        Ok(Some(commit))
    }
}
