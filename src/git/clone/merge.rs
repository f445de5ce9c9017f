//! A merge into a clone: everything is checked again under the index's lock, prepared beside the
//! working tree, swapped in, verified, and only then is the branch moved.
//!
//! Nothing is ever forced, stashed, reset or cleaned. Whatever fails before the branch moved is
//! undone exactly; a death at any moment is ended by `recover`.

use std::path::Path;

use chrono::{DateTime, Utc};

use super::apply::{self, Hold};
use super::compare::{Change, Comparison, Outcome};
use super::journal::{Journal, Stage};
use super::recover::{self, Recovered};
use super::refs::{self, Set};
use super::shadow::Shadow;
use super::snapshot::{self, Snapshot};
use super::{CloneError, LocalClone, swap};
use crate::domain::ids::{CommitId, TreeId};
use crate::git::mirror::parse_id;
use crate::git::{Author, GitError, checkout};
use crate::process::Identity;

/// What a merge did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    pub from: CommitId,
    pub to: CommitId,
    /// The ref that keeps where the branch was.
    pub backup: String,
    pub files: usize,
}

/// How a merge that was cut short ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The branch had moved, so the rest followed; else all went back.
    pub merged: bool,
    /// A sentence about it.
    pub said: String,
}

/// Why nothing was merged. The clone is as it was, but for the last.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    #[error("{}", .0.join("; "))]
    Unsafe(Vec<String>),
    #[error("somebody is at work in this clone; try again in a moment")]
    Busy,
    #[error("the merge was rolled back: {0}")]
    RolledBack(String),
    #[error("the merge failed and could not be undone by itself: {0}")]
    Stuck(String),
    #[error(transparent)]
    Clone(#[from] CloneError),
}

impl LocalClone {
    /// Brings in what `comparison` predicted, which is `to` of [`predict`](Self::predict), as long as
    /// everything still is as it was then.
    pub async fn merge(
        &self,
        snapshot: &Snapshot,
        comparison: &Comparison,
        to: &CommitId,
        author: &Author,
        at: DateTime<Utc>,
    ) -> Result<Merged, MergeError> {
        let Some(_held) = Hold::take(&self.layout)? else { return Err(MergeError::Busy) };
        recover::recover(&self.layout)?;
        let stage = Stage::of(&self.layout);
        let done = match apply::begin(&self.layout, &stage) {
            Ok(true) => self.apply(&stage, snapshot, comparison, to, author, at).await,
            Ok(false) => Err(MergeError::Busy),
            Err(error) => Err(error.into()),
        };
        match done {
            Ok(merged) => Ok(merged),
            Err(error) => match recover::recover(&self.layout) {
                Ok(Recovered::Nothing) => Err(error),
                Ok(Recovered::RolledBack(left)) if left.is_empty() => Err(error),
                Ok(Recovered::RolledBack(left)) => Err(MergeError::Stuck(format!(
                    "{error}; {} was changed by somebody meanwhile and left as it is",
                    left.join(", ")
                ))),
                // Only what tidies up failed: the branch is where it should be.
                Ok(Recovered::Finished(to)) => Ok(Merged {
                    from: comparison.local.clone(),
                    to,
                    backup: backup_name(&comparison.local, at),
                    files: comparison.files.len(),
                }),
                Err(second) => Err(MergeError::Stuck(format!("{error}; then {second}"))),
            },
        }
    }

    /// A fresh checkout of a commit that the shadow has, at `dir`, owned by `owner`. Shares nothing
    /// with the clone.
    pub async fn check_out(
        &self,
        commit: &CommitId,
        dir: &Path,
        owner: Option<Identity>,
    ) -> Result<(), GitError> {
        let Shadow { git, dir: from, cancel, .. } = &self.shadow;
        checkout::checkout(git, from, commit, dir, owner, cancel).await
    }

    /// Ends what a merge that was cut short began.
    pub async fn end_leftovers(&self) -> Result<Option<Ended>, MergeError> {
        if !self.has_leftovers() {
            return Ok(None);
        }
        let Some(_held) = Hold::take(&self.layout)? else { return Err(MergeError::Busy) };
        let layout = std::sync::Arc::clone(&self.layout);
        let recovered = tokio::task::spawn_blocking(move || recover::recover(&layout))
            .await
            .map_err(|error| CloneError::Format(error.to_string()))??;
        let said = match &recovered {
            Recovered::Nothing => return Ok(None),
            Recovered::Finished(to) => {
                format!("a merge that was cut short was finished; the branch is at {to}")
            }
            Recovered::RolledBack(left) if left.is_empty() => {
                "a merge that was cut short was rolled back".to_owned()
            }
            Recovered::RolledBack(left) => format!(
                "a merge that was cut short was rolled back, but for {}, which somebody changed",
                left.join(", ")
            ),
        };
        Ok(Some(Ended { merged: matches!(recovered, Recovered::Finished(_)), said }))
    }

    /// The commit that the branch will be at. It is made in the shadow; the clone has it not yet.
    pub async fn predict(
        &self,
        comparison: &Comparison,
        message: &str,
        author: &Author,
        at: DateTime<Utc>,
    ) -> Result<CommitId, MergeError> {
        let tree = match &comparison.outcome {
            Outcome::FastForward => return Ok(comparison.remote.clone()),
            Outcome::Clean(tree) => tree,
            Outcome::Nothing | Outcome::Conflict(_) | Outcome::Unrelated => {
                return Err(MergeError::Unsafe(vec!["there is nothing that can be merged".into()]));
            }
        };
        let date = format!("@{} +0000", at.timestamp());
        let command = self
            .shadow
            .local("commit-tree")
            .args([tree.as_str(), "-p", comparison.local.as_str()])
            .args(["-p", comparison.remote.as_str(), "-F", "-"])
            .env("GIT_AUTHOR_NAME", &author.name)
            .env("GIT_AUTHOR_EMAIL", &author.email)
            .env("GIT_AUTHOR_DATE", &date)
            .env("GIT_COMMITTER_NAME", &author.name)
            .env("GIT_COMMITTER_EMAIL", &author.email)
            .env("GIT_COMMITTER_DATE", &date)
            .stdin(message);
        let id = self.shadow.run(command).await.map_err(CloneError::Git)?;
        Ok(parse_id("commit-tree", &String::from_utf8_lossy(&id)).map_err(CloneError::Git)?)
    }

    async fn apply(
        &self,
        stage: &Stage,
        snapshot: &Snapshot,
        comparison: &Comparison,
        to: &CommitId,
        author: &Author,
        at: DateTime<Utc>,
    ) -> Result<Merged, MergeError> {
        self.failpoints.hit("desktop.locked");
        let from = &comparison.local;
        let snapshot::Head::Branch { name: branch, .. } = &snapshot.head else {
            return Err(MergeError::Unsafe(vec!["it is on no branch".to_owned()]));
        };
        let changes =
            self.shadow.changes(from.as_str(), to.as_str()).await.map_err(CloneError::Git)?;
        let olds = apply::survey(&self.layout, &changes)?;
        self.check_again(snapshot, comparison, &changes).await?;
        self.bring_objects(stage, from, to).await?;
        let backup = backup_name(from, at);
        if refs::set(&self.layout, &backup, None, from, &stage.backup_token())? == Set::Moved
            && refs::resolve(&self.layout, &backup)?.as_ref() != Some(from)
        {
            return Err(MergeError::Busy);
        }
        let tree = self.tree_of(to).await.map_err(CloneError::Git)?;
        self.stage_index(stage, snapshot, &changes, &tree).await?;
        self.stage_files(stage, snapshot, &changes).await.map_err(CloneError::Git)?;
        let journal = apply::journal(&self.layout, stage, &changes, olds, (branch, from, to))?;
        stage.write(&journal)?;
        self.failpoints.hit("desktop.staged");

        self.swap(stage, &journal).await?;
        self.failpoints.hit("desktop.swapped");
        self.verify(stage, snapshot, to).await?;
        if !swap::is_undisturbed(&self.layout, stage, &journal)? {
            return Err(MergeError::RolledBack("somebody wrote to the files meanwhile".to_owned()));
        }
        if refs::head(&self.layout)? != snapshot.head
            || refs::set(&self.layout, branch, Some(from), to, &stage.branch_token())? == Set::Moved
        {
            return Err(MergeError::RolledBack("somebody moved the branch meanwhile".to_owned()));
        }
        self.failpoints.hit("desktop.moved");
        self.write_logs(branch, from, to, comparison, author, at)?;
        recover::finish(&self.layout, stage, &journal)?;
        self.failpoints.hit("desktop.finished");
        Ok(Merged { from: from.clone(), to: to.clone(), backup, files: changes.len() })
    }

    /// Everything that made it safe, looked at anew now that nobody else can change the index.
    async fn check_again(
        &self,
        snapshot: &Snapshot,
        comparison: &Comparison,
        changes: &[Change],
    ) -> Result<(), MergeError> {
        if refs::head(&self.layout)? != snapshot.head {
            return Err(MergeError::Busy);
        }
        let mut blockers = snapshot::standing(&self.layout, &snapshot.config, &snapshot.head)?;
        let ours = ".git/index.lock";
        let held = snapshot::locks(&self.layout, &snapshot.head)?;
        if held.iter().any(|lock| !lock.ends_with(ours.trim_start_matches(".git/"))) {
            return Err(MergeError::Busy);
        }
        blockers.extend(self.dirt(snapshot).await?);
        blockers.extend(self.obstacles(snapshot, comparison, changes).await?);
        if blockers.is_empty() { Ok(()) } else { Err(MergeError::Unsafe(blockers)) }
    }

    async fn swap(&self, stage: &Stage, journal: &Journal) -> Result<(), MergeError> {
        let (layout, failpoints) = (std::sync::Arc::clone(&self.layout), self.failpoints.clone());
        let (stage, journal) = (Stage { dir: stage.dir.clone() }, journal.clone());
        let swapped = tokio::task::spawn_blocking(move || {
            swap::forth(&layout, &stage, &journal, &failpoints)
        });
        let swapped = swapped.await.map_err(|error| CloneError::Format(error.to_string()))?;
        swapped.map_err(|error| MergeError::RolledBack(error.to_string()))
    }

    async fn tree_of(&self, commit: &CommitId) -> Result<TreeId, GitError> {
        let name = format!("{commit}^{{tree}}");
        let command = self.shadow.local("rev-parse").args(["--verify", "--end-of-options", &name]);
        let out = self.shadow.run(command).await?;
        parse_id("rev-parse", &String::from_utf8_lossy(&out))
    }

    /// The logs of the branch and of HEAD, as git would write them.
    fn write_logs(
        &self,
        branch: &str,
        from: &CommitId,
        to: &CommitId,
        comparison: &Comparison,
        author: &Author,
        at: DateTime<Utc>,
    ) -> Result<(), CloneError> {
        let who = format!("{} <{}> {} +0000", author.name, author.email, at.timestamp());
        let how = match comparison.outcome {
            Outcome::FastForward => "Fast-forward",
            Outcome::Clean(_) | Outcome::Nothing | Outcome::Conflict(_) | Outcome::Unrelated => {
                "Merge made by Foreman."
            }
        };
        let message = format!("foreman: merge {}: {how}", comparison.remote.short());
        let (shared, own) = (self.layout.common_dir.join("logs"), self.layout.git_dir.join("logs"));
        refs::log(&shared, branch, from, to, &who, &message)?;
        refs::log(&own, "HEAD", from, to, &who, &message)
    }
}

/// One name for one state at one time, so that it can be found again.
fn backup_name(from: &CommitId, at: DateTime<Utc>) -> String {
    format!("refs/foreman/backup/{}-{}", at.format("%Y%m%dT%H%M%S%.3fZ"), from.short())
}
