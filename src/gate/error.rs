//! What kept the gate from judging. A change that is refused is no error.

use std::io;
use std::path::PathBuf;

use super::policy::PolicyError;
use crate::domain::ids::{CommitId, TreeId};
use crate::git::GitError;
use crate::sandbox::SandboxError;
use crate::store::StoreError;

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    #[error("the base commit {commit}: {source}", commit = commit.short())]
    Policy { commit: CommitId, source: PolicyError },
    #[error("the commit {commit} holds the tree {found}, not {wanted}", commit = commit.short())]
    TreeMismatch { commit: CommitId, wanted: TreeId, found: TreeId },
    #[error("could not {what} {path}: {source}", path = path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("the evidence could not be written down: {0}")]
    Evidence(#[from] serde_json::Error),
    #[error("the gate was cancelled")]
    Cancelled,
    #[error(transparent)]
    Git(#[from] GitError),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl GateError {
    /// For `map_err`: what was being done, and where.
    pub(super) fn io(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }
}
