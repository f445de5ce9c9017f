//! How a clone's commit and its remote's differ, and what merging them would give.
//!
//! Worked out in the shadow; neither the clone's files nor its index are written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::shadow::Shadow;
use super::snapshot::Snapshot;
use super::{CloneError, LocalClone};
use crate::domain::ids::{CommitId, TreeId};
use crate::git::GitError;
use crate::git::command::READ_CAP;
use crate::git::mirror::parse_id;

/// What happened to a file on one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Added,
    Modified,
    Deleted,
    /// It became executable, or no longer is.
    ModeChanged,
    /// A file became a link, or the like.
    TypeChanged,
}

/// A file that differs from the merge base on either side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileDrift {
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<Side>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<Side>,
}

/// What a merge of the remote's commit would come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The remote has nothing that is not here.
    Nothing,
    FastForward,
    /// Both sides moved, and the merge gives this tree.
    Clean(TreeId),
    /// Paths that conflict.
    Conflict(Vec<String>),
    /// No common ancestor.
    Unrelated,
}

/// Two commits held against each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    pub local: CommitId,
    pub remote: CommitId,
    pub base: Option<CommitId>,
    pub ahead: u64,
    pub behind: u64,
    pub files: Vec<FileDrift>,
    pub outcome: Outcome,
    /// The remote's branch no longer holds what it once held.
    pub rewritten: bool,
    /// The clone is on another branch than the remote's.
    pub misplaced: Option<String>,
    /// Tracked files that are not as they were committed.
    pub dirt: Vec<String>,
    /// What else forbids the merge. All of these are sentences without a dot.
    pub blockers: Vec<String>,
}

/// One path of a difference between two trees; mode 0 is no file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub path: Vec<u8>,
    pub old_mode: u32,
    pub new_mode: u32,
    pub old_id: String,
    pub new_id: String,
}

impl Change {
    fn side(&self) -> Side {
        match (self.old_mode, self.new_mode) {
            (0, _) => Side::Added,
            (_, 0) => Side::Deleted,
            (old, new) if old & 0o170_000 != new & 0o170_000 => Side::TypeChanged,
            (old, new) if old != new && self.old_id == self.new_id => Side::ModeChanged,
            (_, _) => Side::Modified,
        }
    }
}

impl LocalClone {
    /// Compares the clone's commit with `remote`, which was fetched.
    pub async fn compare(
        &self,
        snapshot: &Snapshot,
        remote: &CommitId,
        branch: &str,
        seen: &[CommitId],
    ) -> Result<Comparison, CloneError> {
        let Some(local) = snapshot.commit().cloned() else {
            return Err(CloneError::Format("its branch has no commit yet".to_owned()));
        };
        let (owns, status, history) = tokio::join!(
            self.shadow.clone_owns(&local),
            self.dirt(snapshot),
            self.history(&local, remote, branch, seen),
        );
        if !owns? {
            let why = "its own objects do not hold what is checked out; run `git fsck`";
            return Err(CloneError::Format(why.to_owned()));
        }
        let (mut comparison, steps) = history?;
        comparison.blockers.clone_from(&snapshot.blockers);
        match snapshot.branch() {
            Some(own) if own == branch => {}
            Some(own) => {
                comparison.misplaced = Some(format!(
                    "it is on `{own}` and not on `{branch}`; run `git switch {branch}`"
                ));
            }
            None => {
                comparison.misplaced = Some(format!(
                    "it is on no branch (its HEAD is detached); run `git switch {branch}`"
                ));
            }
        }
        comparison.dirt = status?;
        if !steps.is_empty() {
            let more = self.obstacles(snapshot, &comparison, &steps).await?;
            comparison.blockers.extend(more);
        }
        Ok(comparison)
    }

    async fn history(
        &self,
        local: &CommitId,
        remote: &CommitId,
        branch: &str,
        seen: &[CommitId],
    ) -> Result<(Comparison, Vec<Change>), CloneError> {
        let shadow = &self.shadow;
        let mut comparison = Comparison {
            local: local.clone(),
            remote: remote.clone(),
            base: Some(local.clone()),
            ahead: 0,
            behind: 0,
            files: Vec::new(),
            outcome: Outcome::Nothing,
            rewritten: false,
            misplaced: None,
            dirt: Vec::new(),
            blockers: Vec::new(),
        };
        let mut olds = self.remembered(branch)?;
        olds.extend(seen.iter().cloned());
        olds.retain(|old| old != remote);
        if !olds.is_empty() {
            comparison.rewritten = !shadow.all_within(&olds, remote).await?;
        }
        if local == remote {
            return Ok((comparison, Vec::new()));
        }
        (comparison.ahead, comparison.behind) = shadow.counts(local, remote).await?;
        if comparison.ahead == 0 {
            let changes = shadow.changes(local.as_str(), remote.as_str()).await?;
            comparison.files = files(&[], &changes);
            comparison.outcome = Outcome::FastForward;
            return Ok((comparison, changes));
        }
        if comparison.behind == 0 {
            comparison.base = Some(remote.clone());
            comparison.files = files(&shadow.changes(remote.as_str(), local.as_str()).await?, &[]);
            return Ok((comparison, Vec::new()));
        }
        comparison.base = shadow.merge_base(local, remote).await?;
        let Some(base) = comparison.base.clone() else {
            comparison.files = files(&[], &shadow.changes(local.as_str(), remote.as_str()).await?);
            comparison.outcome = Outcome::Unrelated;
            return Ok((comparison, Vec::new()));
        };
        let (ours, theirs, outcome) = tokio::join!(
            shadow.changes(base.as_str(), local.as_str()),
            shadow.changes(base.as_str(), remote.as_str()),
            shadow.merge(local, remote),
        );
        let (ours, theirs) = (ours?, theirs?);
        comparison.files = files(&ours, &theirs);
        comparison.outcome = outcome?;
        let steps = match &comparison.outcome {
            Outcome::Clean(tree) => shadow.changes(local.as_str(), tree.as_str()).await?,
            Outcome::Nothing | Outcome::FastForward | Outcome::Conflict(_) | Outcome::Unrelated => {
                Vec::new()
            }
        };
        Ok((comparison, steps))
    }
}

impl Shadow {
    async fn counts(&self, local: &CommitId, remote: &CommitId) -> Result<(u64, u64), GitError> {
        let command = self.local("rev-list").args(["--left-right", "--count"]);
        let out = self.run(command.arg(format!("{local}...{remote}"))).await?;
        let text = String::from_utf8_lossy(&out).into_owned();
        let mut numbers = text.split_whitespace().map(str::parse::<u64>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(ahead)), Some(Ok(behind))) => Ok((ahead, behind)),
            _ => Err(GitError::Unreadable { verb: "rev-list", output: text }),
        }
    }

    async fn merge_base(
        &self,
        local: &CommitId,
        remote: &CommitId,
    ) -> Result<Option<CommitId>, GitError> {
        let command = self.local("merge-base").args([local.as_str(), remote.as_str()]);
        let (code, out) = self.output("merge-base", command, &[0, 1]).await?;
        match code {
            0 => parse_id("merge-base", &String::from_utf8_lossy(&out)).map(Some),
            _ => Ok(None),
        }
    }

    /// Merges two commits into a tree. The attributes are those of the clone's commit, as they
    /// would be for its owner; a merge program that they name is not run.
    async fn merge(&self, local: &CommitId, remote: &CommitId) -> Result<Outcome, GitError> {
        let command = self
            .local("merge-tree")
            .args(["--write-tree", "-z", "--name-only", "--no-messages"])
            .args([local.as_str(), remote.as_str()])
            .env("GIT_ATTR_SOURCE", local.as_str())
            .cap(READ_CAP);
        let (code, out) = self.output("merge-tree", command, &[0, 1]).await?;
        let mut parts = out.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let tree = parts.next().unwrap_or_default();
        if code == 0 {
            return parse_id("merge-tree", &tree).map(Outcome::Clean);
        }
        let mut paths: Vec<String> =
            parts.filter(|path| !path.is_empty()).map(|path| path.into_owned()).collect();
        paths.sort();
        paths.dedup();
        Ok(Outcome::Conflict(paths))
    }

    /// What leads from one tree to the other, path by path.
    pub async fn changes(&self, from: &str, to: &str) -> Result<Vec<Change>, GitError> {
        let command = self
            .local("diff-tree")
            .args(["-r", "-z", "--raw", "--no-abbrev", "--no-renames", "--no-commit-id"])
            .args(["--no-ext-diff", "--no-textconv", "--ignore-submodules=none"])
            .args(["--end-of-options", from, to])
            .cap(READ_CAP);
        let out = self.run(command).await?;
        parse_raw(&out).ok_or_else(|| GitError::Unreadable {
            verb: "diff-tree",
            output: String::from_utf8_lossy(&out[..out.len().min(200)]).into_owned(),
        })
    }
}

/// `:OLDMODE NEWMODE OLDID NEWID STATUS` NUL path NUL, again and again.
pub(super) fn parse_raw(out: &[u8]) -> Option<Vec<Change>> {
    let mut words = out.split(|byte| *byte == 0);
    let mut changes = Vec::new();
    while let Some(head) = words.next().filter(|head| !head.is_empty()) {
        let path = words.next()?.to_vec();
        let head = std::str::from_utf8(head).ok()?.strip_prefix(':')?;
        let fields: Vec<&str> = head.split(' ').collect();
        let [old_mode, new_mode, old_id, new_id, _] = fields[..] else { return None };
        changes.push(Change {
            path,
            old_mode: u32::from_str_radix(old_mode, 8).ok()?,
            new_mode: u32::from_str_radix(new_mode, 8).ok()?,
            old_id: old_id.to_owned(),
            new_id: new_id.to_owned(),
        });
    }
    Some(changes)
}

fn files(local: &[Change], remote: &[Change]) -> Vec<FileDrift> {
    let mut found: BTreeMap<String, FileDrift> = BTreeMap::new();
    let mut note = |change: &Change, is_local: bool| {
        let path = String::from_utf8_lossy(&change.path).into_owned();
        let entry =
            found.entry(path.clone()).or_insert(FileDrift { path, local: None, remote: None });
        let side = Some(change.side());
        if is_local { entry.local = side } else { entry.remote = side }
    };
    local.iter().for_each(|change| note(change, true));
    remote.iter().for_each(|change| note(change, false));
    found.into_values().collect()
}
