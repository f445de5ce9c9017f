//! The end of a merge, whether it got there or was cut short: what is done is kept, what is half
//! done is undone.
//!
//! The branch decides: once it is at the new commit, the rest of the merge follows it; before
//! that, everything goes back. File-system work only; no git is run.

use std::fs;
use std::path::Path;

use super::super::checkout;
use super::CloneError;
use super::journal::{Journal, Stage, same_file};
use super::layout::{Layout, unreadable};
use super::refs::{self, absent_is_fine};
use super::swap;
use crate::domain::ids::CommitId;

/// What became of a merge that was cut short.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Recovered {
    /// There was none.
    Nothing,
    Finished(CommitId),
    /// Paths that somebody changed meanwhile and that were therefore left alone.
    RolledBack(Vec<String>),
}

/// Ends whatever was begun. Only for who holds the clone's lock: the former owner is dead, or is us.
pub(super) fn recover(layout: &Layout) -> Result<Recovered, CloneError> {
    let stage = Stage::of(layout);
    if stage.dir.symlink_metadata().is_err() {
        return Ok(Recovered::Nothing);
    }
    let Some(journal) = stage.read()? else {
        // Nothing was touched before the journal was on the disk.
        clear(layout, &stage, None)?;
        return Ok(Recovered::RolledBack(Vec::new()));
    };
    let at = refs::resolve(layout, &journal.branch)?;
    if at.as_ref() == Some(&journal.to) {
        finish(layout, &stage, &journal)?;
        return Ok(Recovered::Finished(journal.to));
    }
    let left = swap::back(layout, &stage, &journal)?;
    clear(layout, &stage, Some(&journal))?;
    let left = left.iter().map(|path| String::from_utf8_lossy(path).into_owned());
    Ok(Recovered::RolledBack(left.collect()))
}

/// What is left to do once the branch has moved: the index, empty folders, the locks.
pub(super) fn finish(layout: &Layout, stage: &Stage, journal: &Journal) -> Result<(), CloneError> {
    let index = layout.index();
    match fs::rename(stage.index(), &index) {
        Ok(()) => {}
        // It is in its place already.
        Err(error) => absent_is_fine(error).map_err(unreadable(&index))?,
    }
    swap::tidy(layout, journal)?;
    clear(layout, stage, Some(journal))
}

/// Gives our locks back and removes the stage.
fn clear(layout: &Layout, stage: &Stage, journal: Option<&Journal>) -> Result<(), CloneError> {
    if let Some(journal) = journal {
        release(&refs::lock_of(layout, &journal.branch)?, &stage.branch_token())?;
    }
    // A backup's name is in no journal when it is made: its lock is looked for by what it is.
    let backups = layout.common_dir.join("refs/foreman/backup");
    if let Ok(entries) = fs::read_dir(&backups) {
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_some_and(|extension| extension == "lock") {
                release(&path, &stage.backup_token())?;
            }
        }
    }
    release(&layout.git_dir.join("index.lock"), &stage.index_token())?;
    checkout::remove_now(&stage.dir).map_err(CloneError::Git)
}

/// Removes a lock that is a second name of our token, and no other.
fn release(lock: &Path, token: &Path) -> Result<(), CloneError> {
    if !same_file(lock, token) {
        return Ok(());
    }
    fs::remove_file(lock).or_else(absent_is_fine).map_err(unreadable(lock))
}
