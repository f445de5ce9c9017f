//! Reads from the mirror what the rules look at: the policy's files, the changed files' texts.
//!
//! The host's own view: nothing here was ever writable for a builder. Never judges.

use futures_util::stream::{StreamExt as _, TryStreamExt as _};

use super::change::{ChangeKind, Changed};
use super::detect::{Files, MANIFESTS, detect};
use super::error::GateError;
use super::policy::{POLICY_FILE, Policy, PolicyError, PolicyFile};
use super::rules::size::LARGEST_TEXT;
use crate::domain::ids::CommitId;
use crate::git::{FileChange, FileStatus, GitError, Mirror, TreeOrCommit};

/// Files read at a time: each is a git process, and machines are small.
const READERS: usize = 4;
/// Files beyond which no text is read: the size rule refuses such a change anyway.
const MOST_FILES_READ: usize = 1000;

impl Policy {
    /// The policy of a base commit: its `.foreman.toml`, the operator's word above it, detection
    /// below.
    pub async fn load(
        mirror: &Mirror,
        commit: &CommitId,
        operator: Option<&PolicyFile>,
    ) -> Result<Self, GateError> {
        let wrap = |source| GateError::Policy { commit: commit.clone(), source };
        let tree = commit.as_str();
        let text = match mirror.read(tree, POLICY_FILE).await? {
            Some(bytes) => Some(String::from_utf8(bytes).map_err(|_| wrap(PolicyError::NotText))?),
            None => None,
        };
        let mut files = Files { paths: mirror.list(tree).await?, ..Files::default() };
        for name in MANIFESTS.iter().filter(|name| files.paths.iter().any(|path| path == **name)) {
            if let Some(bytes) = mirror.read(tree, name).await? {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                files.texts.insert((*name).to_owned(), text);
            }
        }
        Self::under(operator, text.as_deref(), detect(&files)).map_err(wrap)
    }
}

/// The changed files between a base and a commit, with their texts.
pub(super) async fn changes(
    mirror: &Mirror,
    base: &CommitId,
    commit: &CommitId,
) -> Result<Vec<Changed>, GateError> {
    let listed = mirror.changes(base, &TreeOrCommit::from(commit)).await?;
    let read = listed.len() <= MOST_FILES_READ;
    let jobs: Vec<_> =
        listed.into_iter().map(|change| one(mirror, base, commit, change, read)).collect();
    futures_util::stream::iter(jobs).buffered(READERS).try_collect().await
}

async fn one(
    mirror: &Mirror,
    base: &CommitId,
    commit: &CommitId,
    change: FileChange,
    read: bool,
) -> Result<Changed, GateError> {
    let (mut old, mut new) = (None, None);
    let readable = read && change.size <= LARGEST_TEXT;
    if readable && change.status != FileStatus::Added {
        let former = change.old_path.as_deref().unwrap_or(&change.path);
        old = text(mirror, base, former).await?;
    }
    if readable && change.status != FileStatus::Deleted {
        new = text(mirror, commit, &change.path).await?;
    }
    let mut changed =
        Changed::text(&change.path, change.old_path.as_deref(), old.as_deref(), new.as_deref());
    changed.kind = match change.status {
        FileStatus::Added => ChangeKind::Added,
        FileStatus::Modified => ChangeKind::Modified,
        FileStatus::Deleted => ChangeKind::Deleted,
        FileStatus::Renamed => ChangeKind::Renamed,
        FileStatus::TypeChanged => ChangeKind::TypeChanged,
    };
    changed.mode = (change.new_mode != 0).then_some(change.new_mode);
    changed.binary = change.binary;
    changed.size = change.size;
    Ok(changed)
}

/// A file's text. Bytes that are not UTF-8 are shown as such: a secret or a marker in a file that
/// git takes for binary is looked for all the same.
async fn text(mirror: &Mirror, commit: &CommitId, path: &str) -> Result<Option<String>, GateError> {
    match mirror.read(commit.as_str(), path).await {
        Ok(bytes) => Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())),
        // An old version that large has no rule to speak to; a new one is refused by its size.
        Err(GitError::TooLarge { .. }) => Ok(None),
        Err(other) => Err(other.into()),
    }
}
