//! Refs of a clone, as files: read, and one at a time compared and set.
//!
//! Written here rather than by `git update-ref`, which would read the clone's configuration. The
//! rules are git's: a lock beside the file, the old value compared under it, a rename.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::CloneError;
use super::layout::{Layout, read_small, unreadable};
use crate::domain::ids::CommitId;

/// Refs that point to refs that point to refs: git gives up at five too.
const MOST_HOPS: usize = 5;

/// What HEAD is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// A branch's full name; no commit where nobody committed yet.
    Branch {
        name: String,
        commit: Option<CommitId>,
    },
    Detached(CommitId),
}

pub(super) enum RefValue {
    Id(CommitId),
    Symbolic(String),
}

pub(super) fn head(layout: &Layout) -> Result<Head, CloneError> {
    let path = layout.git_dir.join("HEAD");
    match value(&path)? {
        Some(RefValue::Id(id)) => Ok(Head::Detached(id)),
        Some(RefValue::Symbolic(name)) if name.starts_with("refs/heads/") => {
            let commit = resolve(layout, &name)?;
            Ok(Head::Branch { name, commit })
        }
        Some(RefValue::Symbolic(name)) => {
            Err(CloneError::Format(format!("HEAD is on `{name}`, which is no branch")))
        }
        None => Err(CloneError::Format("it has no HEAD".to_owned())),
    }
}

/// What a ref stands for, through refs that name others.
pub(super) fn resolve(layout: &Layout, name: &str) -> Result<Option<CommitId>, CloneError> {
    let mut name = name.to_owned();
    for _ in 0..MOST_HOPS {
        match read(layout, &name)? {
            Some(RefValue::Id(id)) => return Ok(Some(id)),
            Some(RefValue::Symbolic(next)) => name = next,
            None => return Ok(None),
        }
    }
    Err(CloneError::Format(format!("the ref `{name}` leads to itself")))
}

/// One ref, loose or packed.
pub(super) fn read(layout: &Layout, name: &str) -> Result<Option<RefValue>, CloneError> {
    let path = place(layout, name)?;
    if let Some(found) = value(&path)? {
        return Ok(Some(found));
    }
    let Some(packed) = read_small(&layout.common_dir.join("packed-refs"))? else {
        return Ok(None);
    };
    let found = packed.split(|byte| *byte == b'\n').find_map(|line| {
        let line = std::str::from_utf8(line).ok()?;
        line.split_once(' ').filter(|(_, it)| *it == name).map(|(id, _)| id.to_owned())
    });
    found.map(|id| parse(&id, name).map(RefValue::Id)).transpose()
}

/// The file of a ref. A name that would lead out of the refs is an error.
fn place(layout: &Layout, name: &str) -> Result<PathBuf, CloneError> {
    let rest =
        name.strip_prefix("refs/").filter(|rest| super::super::paths::check_ref(rest).is_ok());
    match rest {
        Some(_) => Ok(layout.common_dir.join(name)),
        None => Err(CloneError::Format(format!("`{}` is no name of a ref", name.escape_debug()))),
    }
}

fn value(path: &Path) -> Result<Option<RefValue>, CloneError> {
    let Some(bytes) = read_small(path)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_end();
    if let Some(name) = text.strip_prefix("ref:") {
        return Ok(Some(RefValue::Symbolic(name.trim_start().to_owned())));
    }
    parse(text, &path.display().to_string()).map(|id| Some(RefValue::Id(id)))
}

fn parse(text: &str, name: &str) -> Result<CommitId, CloneError> {
    text.parse().map_err(|_| CloneError::Format(format!("`{name}` holds no commit's name")))
}

/// Every commit that a remote-tracking ref was ever seen at, as its own log has it.
pub(super) fn logged(layout: &Layout, name: &str) -> Result<Vec<CommitId>, CloneError> {
    let path = layout.common_dir.join("logs").join(name);
    let Some(bytes) = read_small(&path)? else { return Ok(Vec::new()) };
    let text = String::from_utf8_lossy(&bytes);
    // Each line has where it was and where it went; nothing before its first value.
    let ids = text.lines().flat_map(|line| line.split(' ').take(2));
    Ok(ids.filter(|id| id.contains(|c| c != '0')).filter_map(|id| id.parse().ok()).collect())
}

/// What came of setting a ref.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Set {
    Done,
    /// It is not what we had seen, or somebody holds its lock.
    Moved,
}

/// Sets a ref from `old` (`None`: it must not exist) to `new`. `token` is a file of ours on the same
/// disk: the lock is a second name of it, so that a lock left by a killed process can be told from
/// anybody else's.
pub(super) fn set(
    layout: &Layout,
    name: &str,
    old: Option<&CommitId>,
    new: &CommitId,
    token: &Path,
) -> Result<Set, CloneError> {
    let path = place(layout, name)?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(unreadable(folder))?;
    }
    // Never written over: after a rename it would be the ref itself.
    fs::remove_file(token).or_else(absent_is_fine).map_err(unreadable(token))?;
    let mut file =
        File::options().write(true).create_new(true).open(token).map_err(unreadable(token))?;
    writeln!(file, "{new}").and_then(|()| file.sync_all()).map_err(unreadable(token))?;
    let lock = lock_name(&path);
    match fs::hard_link(token, &lock) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(Set::Moved),
        Err(error) => return Err(unreadable(&lock)(error)),
    }
    let seen = match read(layout, name) {
        Ok(Some(RefValue::Id(id))) => Some(id),
        Ok(None) => None,
        Ok(Some(RefValue::Symbolic(_))) => {
            fs::remove_file(&lock).map_err(unreadable(&lock))?;
            return Ok(Set::Moved);
        }
        Err(error) => {
            fs::remove_file(&lock).map_err(unreadable(&lock))?;
            return Err(error);
        }
    };
    if seen.as_ref() != old {
        fs::remove_file(&lock).map_err(unreadable(&lock))?;
        return Ok(Set::Moved);
    }
    fs::rename(&lock, &path).map_err(unreadable(&path))?;
    fs::remove_file(token).map_err(unreadable(token))?;
    if let Some(folder) = path.parent() {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(unreadable(folder))?;
    }
    Ok(Set::Done)
}

pub(super) fn absent_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// The file by which a ref is locked.
pub(super) fn lock_of(layout: &Layout, name: &str) -> Result<PathBuf, CloneError> {
    Ok(lock_name(&place(layout, name)?))
}

fn lock_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

/// Adds a line to a ref's log where the clone keeps one.
pub(super) fn log(
    logs: &Path,
    name: &str,
    from: &CommitId,
    to: &CommitId,
    who: &str,
    message: &str,
) -> Result<(), CloneError> {
    let path = logs.join(name);
    if !path.is_file() {
        return Ok(());
    }
    let mut file = File::options().append(true).open(&path).map_err(unreadable(&path))?;
    file.write_all(format!("{from} {to} {who}\t{message}\n").as_bytes()).map_err(unreadable(&path))
}
