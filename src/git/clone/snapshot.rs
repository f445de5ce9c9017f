//! What a clone's files say, read once: where HEAD is, what is under way, who holds a lock.
//!
//! Starts one git, to read the configuration file as a file. Changes nothing.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use super::config::CloneConfig;
use super::layout::{Layout, read_small, unreadable};
use super::refs::{self, RefValue};
use super::{CloneError, LocalClone};
use crate::domain::ids::CommitId;

pub use super::refs::Head;

/// A person's `git status` holds the index's lock for some milliseconds.
const LOCK_LOOKS: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(60);

/// What marks an operation that was begun and not ended, in the git directory.
const OPERATIONS: [(&str, &str); 9] = [
    ("MERGE_HEAD", "a merge is under way; commit it, or run `git merge --abort`"),
    ("rebase-merge", "a rebase is under way; go on with it, or run `git rebase --abort`"),
    ("rebase-apply", "a rebase or `git am` is under way; go on with it, or abort it"),
    (
        "CHERRY_PICK_HEAD",
        "a cherry-pick is under way; run `git cherry-pick --continue` or `--abort`",
    ),
    ("REVERT_HEAD", "a revert is under way; run `git revert --continue` or `--abort`"),
    ("BISECT_LOG", "a bisect is under way; run `git bisect reset`"),
    ("BISECT_START", "a bisect is under way; run `git bisect reset`"),
    ("sequencer", "a series of commits is being applied; go on with it, or abort it"),
    ("SQUASH_MSG", "a squashed merge waits for its commit; commit it, or remove .git/SQUASH_MSG"),
];

/// A clone at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub head: Head,
    /// The address of `origin` as the clone's configuration has it.
    pub origin: Option<String>,
    pub shallow: bool,
    /// What forbids a merge whatever it brings, in sentences without a dot.
    pub blockers: Vec<String>,
    pub(super) config: CloneConfig,
}

impl Snapshot {
    #[must_use]
    pub fn commit(&self) -> Option<&CommitId> {
        match &self.head {
            Head::Branch { commit, .. } => commit.as_ref(),
            Head::Detached(commit) => Some(commit),
        }
    }

    /// The branch it is on, without `refs/heads/`.
    #[must_use]
    pub fn branch(&self) -> Option<&str> {
        match &self.head {
            Head::Branch { name, .. } => name.strip_prefix("refs/heads/"),
            Head::Detached(_) => None,
        }
    }
}

impl LocalClone {
    /// Reads the clone's files. Locks are waited for a little: most are gone in milliseconds.
    pub async fn look(&self) -> Result<Snapshot, CloneError> {
        self.shadow.open().await?;
        let config = CloneConfig::read(&self.layout, &self.shadow).await?;
        if let Some(why) = config.unsupported() {
            return Err(CloneError::Format(why));
        }
        let head = refs::head(&self.layout)?;
        if let Some(commit) = commit_of(&head) {
            self.shadow.stand_at(commit)?;
        }
        let mut blockers = standing(&self.layout, &config, &head)?;
        let mut held = locks(&self.layout, &head)?;
        for _ in 1..LOCK_LOOKS {
            if held.is_empty() {
                break;
            }
            tokio::time::sleep(LOCK_PAUSE).await;
            held = locks(&self.layout, &head)?;
        }
        blockers.extend(held.iter().map(|name| {
            format!(
                "`{name}` says that another git is at work; if none is, it was left by a git that \
                 died: remove it"
            )
        }));
        Ok(Snapshot {
            shallow: self.layout.common_dir.join("shallow").exists(),
            origin: config.origin.clone(),
            head,
            blockers,
            config,
        })
    }

    /// Every commit that the clone knows its remote's branch to have been at.
    pub(super) fn remembered(&self, branch: &str) -> Result<Vec<CommitId>, CloneError> {
        let name = format!("refs/remotes/origin/{branch}");
        if super::super::paths::check_ref(branch).is_err() {
            return Ok(Vec::new());
        }
        let mut seen = refs::logged(&self.layout, &name)?;
        seen.extend(refs::resolve(&self.layout, &name)?);
        seen.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        seen.dedup();
        Ok(seen)
    }
}

const fn commit_of(head: &Head) -> Option<&CommitId> {
    match head {
        Head::Branch { commit, .. } => commit.as_ref(),
        Head::Detached(commit) => Some(commit),
    }
}

/// What stands in the way besides locks.
pub(super) fn standing(
    layout: &Layout,
    config: &CloneConfig,
    head: &Head,
) -> Result<Vec<String>, CloneError> {
    let mut found: Vec<String> = Vec::new();
    for (name, what) in OPERATIONS {
        let there = layout.git_dir.join(name).symlink_metadata().is_ok();
        if there && !found.iter().any(|other| other == what) {
            found.push(what.to_owned());
        }
    }
    if config.worktree_is_elsewhere(layout) {
        found.push("core.worktree names another folder; unset it".to_owned());
    }
    if config.bare && !layout.is_linked_worktree() {
        found.push("core.bare is set although there are files; unset it".to_owned());
    }
    if config.sparse {
        found.push(
            "it is a sparse checkout, which Foreman does not merge; use `git pull`".to_owned(),
        );
    }
    if has_split_index(layout) {
        found.push(
            "its index is split, which Foreman does not read; run `git update-index --no-split-index`"
                .to_owned(),
        );
    }
    let owner = layout.root.metadata().map_err(unreadable(&layout.root))?.uid();
    if owner != rustix::process::geteuid().as_raw() {
        found.push(format!("it belongs to the user {owner}, and Foreman runs as another"));
    }
    if let Head::Branch { name, .. } = head {
        if matches!(refs::read(layout, name)?, Some(RefValue::Symbolic(_))) {
            found.push(format!("`{name}` is another name of a branch; check out that one"));
        }
        if let Some(other) = checked_out_elsewhere(layout, config, name)? {
            found.push(format!("`{name}` is checked out in the worktree {other} too"));
        }
    }
    if layout.is_linked_worktree() && !is_ours(layout)? {
        found.push("its .git file leads to the git directory of another worktree".to_owned());
    }
    Ok(found)
}

fn has_split_index(layout: &Layout) -> bool {
    let Ok(entries) = std::fs::read_dir(&layout.git_dir) else { return false };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("sharedindex."))
}

/// Whether a linked worktree's git directory leads back to this folder.
fn is_ours(layout: &Layout) -> Result<bool, CloneError> {
    let text = read_small(&layout.git_dir.join("gitdir"))?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text).trim_end().to_owned();
    let back = layout.git_dir.join(text).canonicalize();
    Ok(back.is_ok_and(|path| path == layout.root.join(".git")))
}

/// Another worktree of the same repository on the same branch: moving it would pull the files from
/// under them.
fn checked_out_elsewhere(
    layout: &Layout,
    config: &CloneConfig,
    branch: &str,
) -> Result<Option<String>, CloneError> {
    let mut heads = Vec::new();
    if !config.bare {
        heads.push(layout.common_dir.clone());
    }
    if let Ok(entries) = std::fs::read_dir(layout.common_dir.join("worktrees")) {
        heads.extend(entries.flatten().map(|entry| entry.path()));
    }
    let wanted = format!("ref: {branch}");
    for folder in heads.into_iter().filter(|folder| *folder != layout.git_dir) {
        let head = read_small(&folder.join("HEAD"))?.unwrap_or_default();
        if String::from_utf8_lossy(&head).trim_end() == wanted {
            return Ok(Some(folder.display().to_string()));
        }
    }
    Ok(None)
}

/// Locks that git, or a merge of ours, holds right now.
pub(super) fn locks(layout: &Layout, head: &Head) -> Result<Vec<String>, CloneError> {
    let mut found = Vec::new();
    let shown = |path: &Path| {
        let short = path.strip_prefix(&layout.common_dir).unwrap_or(path);
        format!(".git/{}", short.display())
    };
    let mut folders = vec![&layout.git_dir];
    if layout.is_linked_worktree() {
        folders.push(&layout.common_dir);
    }
    for folder in folders {
        let entries = std::fs::read_dir(folder).map_err(unreadable(folder))?;
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().ends_with(".lock") {
                found.push(shown(&entry.path()));
            }
        }
    }
    if let Head::Branch { name, .. } = head {
        let lock = refs::lock_of(layout, name)?;
        if lock.symlink_metadata().is_ok() {
            found.push(shown(&lock));
        }
    }
    Ok(found)
}
