//! A person's own clone, which is hostile ground: its configuration, hooks and attributes are theirs.
//!
//! Owns what is read of such a clone and the one way in which it is changed. Git is never run on
//! its git directory: files of it are read here, and git works in a bare repository of our own
//! (`shadow`) that borrows the clone's objects (ADR 28).
//! Never decides whether a change is wanted: `desktop_sync` does.

mod apply;
mod compare;
mod config;
mod journal;
mod layout;
mod merge;
mod obstacles;
mod recover;
mod refs;
mod shadow;
mod snapshot;
mod swap;
mod walk;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

pub use compare::{Comparison, FileDrift, Outcome, Side};
pub use merge::{Ended, MergeError, Merged};
pub use shadow::RemoteTip;
pub use snapshot::{Head, Snapshot};

use super::Git;
use super::error::GitError;
use crate::domain::ids::CommitId;
use crate::failpoint::Failpoints;
use layout::Layout;
use shadow::Shadow;

/// Why a clone cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum CloneError {
    #[error("there is nothing at {}", .0.display())]
    Missing(PathBuf),
    #[error("{} is not a folder", .0.display())]
    NotAFolder(PathBuf),
    #[error("{} is not a git repository", .0.display())]
    NotARepository(PathBuf),
    #[error("{} is inside the repository {}; name its top folder", path.display(), top.display())]
    NotTheTop { path: PathBuf, top: PathBuf },
    #[error("{} is a bare repository; a clone with files is needed", .0.display())]
    Bare(PathBuf),
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("the repository cannot be read: {0}")]
    Format(String),
    #[error(transparent)]
    Git(#[from] GitError),
}

/// A clone and the shadow beside it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LocalClone {
    layout: Arc<Layout>,
    shadow: Shadow,
    failpoints: Failpoints,
}

impl LocalClone {
    /// Finds the clone at `path`. The shadow, ours alone, is made at `shadow` when first needed.
    pub fn find(
        git: &Git,
        path: &Path,
        shadow: &Path,
        cancel: CancellationToken,
        failpoints: Failpoints,
    ) -> Result<Self, CloneError> {
        let layout = Arc::new(Layout::find(path)?);
        let shadow = Shadow::new(git.clone(), shadow.to_owned(), &layout, cancel);
        Ok(Self { layout, shadow, failpoints })
    }

    /// The top folder, without links in its path.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.layout.root
    }

    /// Where the remote's branch is; its own choice of branch where none is named. `None`: it has no
    /// such branch.
    pub async fn remote_tip(
        &self,
        url: &str,
        token: Option<&SecretString>,
        branch: Option<&str>,
    ) -> Result<Option<RemoteTip>, GitError> {
        self.shadow.remote_tip(url, token, branch).await
    }

    /// Brings the remote's branch into the shadow, unless it is there; the commit it is at, and
    /// where it was when we last looked.
    pub async fn fetch(
        &self,
        url: &str,
        token: Option<&SecretString>,
        tip: &RemoteTip,
        local: &CommitId,
    ) -> Result<(CommitId, Option<CommitId>), GitError> {
        let before = self.shadow.fetched(&tip.branch);
        if before.as_ref() == Some(&tip.commit) {
            return Ok((tip.commit.clone(), before));
        }
        let now = match self.shadow.fetch(url, token, &tip.branch).await {
            // What it borrowed may be gone from the clone, and with it the sense of what is here.
            Err(GitError::Failed { .. } | GitError::Corrupt { .. }) => {
                self.shadow.remake().await?;
                self.shadow.stand_at(local)?;
                self.shadow.fetch(url, token, &tip.branch).await?
            }
            other => other?,
        };
        Ok((now, before))
    }

    /// Whether a merge of ours was cut short here and is still to be cleared up.
    #[must_use]
    pub fn has_leftovers(&self) -> bool {
        self.layout.stage().symlink_metadata().is_ok()
    }
}
