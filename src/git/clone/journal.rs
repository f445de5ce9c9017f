//! What a merge is about to do to a clone, written down and on the disk before it does it.
//!
//! Pure data and its file. What follows from it after a crash is `recover`'s business.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::CloneError;
use super::layout::{Layout, read_small, unreadable};
use super::walk::Ident;
use crate::domain::ids::CommitId;

/// One path that changes, with what is there now and what will be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Step {
    /// Hexadecimal: a path need not be text.
    path: String,
    pub old: Option<Ident>,
    pub new: Option<Ident>,
}

impl Step {
    pub fn new(path: &[u8], old: Option<Ident>, new: Option<Ident>) -> Self {
        Self { path: hex::encode(path), old, new }
    }

    pub fn path(&self) -> Vec<u8> {
        hex::decode(&self.path).unwrap_or_default()
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Journal {
    /// The branch's full name.
    pub branch: String,
    pub from: CommitId,
    pub to: CommitId,
    pub steps: Vec<Step>,
    /// Folders that the steps make.
    pub made: Vec<String>,
}

/// The parts of a stage.
pub(super) struct Stage {
    pub dir: PathBuf,
}

impl Stage {
    pub fn of(layout: &Layout) -> Self {
        Self { dir: layout.stage() }
    }

    /// The new files before they are swapped in, and the old ones after.
    pub fn new_files(&self) -> PathBuf {
        self.dir.join("new")
    }

    /// Files that were taken away.
    pub fn old_files(&self) -> PathBuf {
        self.dir.join("old")
    }

    pub fn index(&self) -> PathBuf {
        self.dir.join("index")
    }

    /// What the clone's `index.lock` is a second name of.
    pub fn index_token(&self) -> PathBuf {
        self.dir.join("index-token")
    }

    /// What the branch's lock is a second name of.
    pub fn branch_token(&self) -> PathBuf {
        self.dir.join("branch-token")
    }

    pub fn backup_token(&self) -> PathBuf {
        self.dir.join("backup-token")
    }

    fn journal(&self) -> PathBuf {
        self.dir.join("journal.json")
    }

    /// Puts the journal on the disk, whole or not at all.
    pub fn write(&self, journal: &Journal) -> Result<(), CloneError> {
        let (path, half) = (self.journal(), self.dir.join("journal.half"));
        let text = serde_json::to_vec(journal)
            .map_err(|error| CloneError::Format(format!("the journal: {error}")))?;
        File::create(&half)
            .and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&half, &path))
            .and_then(|()| File::open(&self.dir)?.sync_all())
            .map_err(unreadable(&path))
    }

    pub fn read(&self) -> Result<Option<Journal>, CloneError> {
        let Some(bytes) = read_small(&self.journal())? else { return Ok(None) };
        let journal = serde_json::from_slice(&bytes)
            .map_err(|error| CloneError::Format(format!("the journal of a merge: {error}")))?;
        Ok(Some(journal))
    }

    /// Where a file that was taken away is kept: its path may be a folder by then.
    pub fn kept_name(number: usize) -> Vec<u8> {
        number.to_string().into_bytes()
    }
}

/// Whether two names are of one file.
pub(super) fn same_file(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (a.symlink_metadata(), b.symlink_metadata()) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        (Ok(_) | Err(_), _) => false,
    }
}
