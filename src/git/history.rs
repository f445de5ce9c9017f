//! Commits, ancestry, merges and our own refs, in the mirror.
//!
//! Every commit is deterministic: the same arguments name the same commit, so that after a crash
//! it is made again rather than made twice.

use chrono::{DateTime, Utc};

use super::error::GitError;
use super::mirror::{Mirror, parse_id};
use super::paths;
use crate::domain::ids::{CommitId, TreeId};

/// Where the refs are that only Foreman reads.
const PRIVATE: &str = "refs/foreman/";

/// Who a commit is by, as author and committer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    pub name: String,
    pub email: String,
}

/// What came of putting a change onto a newer base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merge {
    Clean(TreeId),
    /// The paths that conflict.
    Conflict(Vec<String>),
}

impl Mirror {
    /// The commit's tree.
    pub async fn tree_of(&self, commit: &CommitId) -> Result<TreeId, GitError> {
        self.resolve(&format!("{commit}^{{tree}}"))
            .await?
            .ok_or_else(|| GitError::Unknown { object: commit.to_string() })
    }

    /// Whether the mirror holds the commit and can read it.
    pub async fn exists(&self, commit: &CommitId) -> bool {
        let found = self
            .local("cat-file")
            .args(["-e", &format!("{commit}^{{commit}}")])
            .output(&self.git.children, &self.cancel)
            .await;
        found.is_ok_and(|output| output.code == Some(0))
    }

    /// The best common ancestor; `None` where the histories have nothing in common.
    pub async fn merge_base(
        &self,
        a: &CommitId,
        b: &CommitId,
    ) -> Result<Option<CommitId>, GitError> {
        let output = self
            .local("merge-base")
            .args([a.as_str(), b.as_str()])
            .output(&self.git.children, &self.cancel)
            .await?;
        match output.code {
            Some(0) => parse_id("merge-base", &output.stdout.text()).map(Some),
            Some(1) => Ok(None),
            _ => Err(super::command::failure("merge-base", self.path(), None, &output)),
        }
    }

    /// Whether `a` is `b` or one of its ancestors.
    pub async fn is_ancestor(&self, a: &CommitId, b: &CommitId) -> Result<bool, GitError> {
        let output = self
            .local("merge-base")
            .args(["--is-ancestor", a.as_str(), b.as_str()])
            .output(&self.git.children, &self.cancel)
            .await?;
        match output.code {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => Err(super::command::failure("merge-base", self.path(), None, &output)),
        }
    }

    /// Commits a tree onto one parent.
    pub async fn commit(
        &self,
        tree: &TreeId,
        parent: &CommitId,
        message: &str,
        author: &Author,
        at: DateTime<Utc>,
    ) -> Result<CommitId, GitError> {
        let date = format!("@{} +0000", at.timestamp());
        let id = self
            .local("commit-tree")
            .args([tree.as_str(), "-p", parent.as_str(), "-F", "-"])
            .env("GIT_AUTHOR_NAME", &author.name)
            .env("GIT_AUTHOR_EMAIL", &author.email)
            .env("GIT_AUTHOR_DATE", &date)
            .env("GIT_COMMITTER_NAME", &author.name)
            .env("GIT_COMMITTER_EMAIL", &author.email)
            .env("GIT_COMMITTER_DATE", &date)
            .stdin(message)
            .run(&self.git.children, &self.cancel)
            .await?;
        parse_id("commit-tree", &String::from_utf8_lossy(&id))
    }

    /// The tree that merging `commit` into `base_tip` gives; nothing is checked out or moved.
    pub async fn merge_onto(
        &self,
        base_tip: &CommitId,
        commit: &CommitId,
    ) -> Result<Merge, GitError> {
        let output = self
            .local("merge-tree")
            .args(["--write-tree", "-z", "--name-only", "--no-messages"])
            .args([base_tip.as_str(), commit.as_str()])
            .output(&self.git.children, &self.cancel)
            .await?;
        let bytes = output.stdout.bytes();
        let mut parts = bytes.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let tree = parts.next().unwrap_or_default();
        match output.code {
            Some(0) => parse_id("merge-tree", &tree).map(Merge::Clean),
            Some(1) => Ok(Merge::Conflict(
                parts.filter(|path| !path.is_empty()).map(|path| path.into_owned()).collect(),
            )),
            _ => Err(super::command::failure("merge-tree", self.path(), None, &output)),
        }
    }

    /// Keeps an object under `refs/foreman/<name>`, replacing what was there.
    pub async fn save_ref(&self, name: &str, id: &str) -> Result<(), GitError> {
        let full = private(name)?;
        parse_id::<TreeId>("update-ref", id)?;
        self.local("update-ref")
            .args([&full, id])
            .run(&self.git.children, &self.cancel)
            .await
            .map(drop)
    }

    /// The names of the private refs below `refs/foreman/<folder>`, which ends with a slash.
    pub async fn private_refs(&self, folder: &str) -> Result<Vec<String>, GitError> {
        let full = format!("{}/", private(folder.trim_end_matches('/'))?);
        let listed = self
            .local("for-each-ref")
            .args(["--format=%(refname)", &full])
            .cap(super::command::READ_CAP)
            .run(&self.git.children, &self.cancel)
            .await?;
        Ok(String::from_utf8_lossy(&listed).lines().map(str::to_owned).collect())
    }

    /// What `refs/foreman/<name>` keeps.
    pub async fn read_ref(&self, name: &str) -> Result<Option<String>, GitError> {
        let id: Option<TreeId> = self.resolve(&private(name)?).await?;
        Ok(id.map(String::from))
    }

    /// Forgets `refs/foreman/<name>`; one that is not there is fine.
    pub async fn delete_ref(&self, name: &str) -> Result<(), GitError> {
        self.local("update-ref")
            .args(["-d", &private(name)?])
            .run(&self.git.children, &self.cancel)
            .await
            .map(drop)
    }
}

/// The full name of a private ref; it may be given with or without its prefix.
fn private(name: &str) -> Result<String, GitError> {
    let rest = name.strip_prefix(PRIVATE).unwrap_or(name);
    paths::check_ref(rest)?;
    Ok(format!("{PRIVATE}{rest}"))
}
