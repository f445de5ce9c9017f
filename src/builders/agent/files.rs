//! The workspace's files as a model may touch them.
//!
//! Owns every path a model names: it is opened relative to the workspace's handle, so that neither
//! `..` nor a link leads out, and nothing under `.git` is written. Files it makes belong to the
//! sandbox's user, since the host may be root. Never runs anything.

use std::ffi::OsStr;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd;
use std::path::{Component, Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};
use rustix::fs::{AtFlags, Gid, Uid};

use crate::process::Identity;

/// A file above this is not read whole.
const READ_CAP: u64 = 4 << 20;
/// A file above this is not written.
const WRITE_CAP: usize = 4 << 20;

/// What went wrong with a path, in words for the model.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("`{0}` is not a path inside the workspace; give it relative to the workspace's top")]
    Outside(String),
    #[error("`{0}` is inside .git, which is not yours to write")]
    Git(String),
    #[error("`{0}` does not exist")]
    NotFound(String),
    #[error("`{0}` is not a regular file")]
    NotAFile(String),
    #[error("`{path}` is {size} bytes, too large to read or write here; use run_command")]
    TooLarge { path: String, size: u64 },
    #[error("`{0}` is not text in UTF-8; use run_command")]
    Binary(String),
    #[error("`{path}`: {source}")]
    Io { path: String, source: io::Error },
}

/// The opened workspace.
#[derive(Debug)]
pub(super) struct Workspace {
    dir: Dir,
    /// The folder on the host and the one a command sees: a model may name a file by either.
    prefixes: Vec<PathBuf>,
    owner: Option<Identity>,
}

impl Workspace {
    /// Opens the workspace's folder, which `inside` the sandbox has another name.
    pub(super) fn open(root: &Path, inside: &Path, owner: Option<Identity>) -> io::Result<Self> {
        let dir = Dir::open_ambient_dir(root, ambient_authority())?;
        Ok(Self { dir, prefixes: vec![inside.to_owned(), root.to_owned()], owner })
    }

    pub(super) fn dir(&self) -> &Dir {
        &self.dir
    }

    /// The path relative to the workspace; empty is the top.
    pub(super) fn relative(&self, text: &str) -> Result<PathBuf, FileError> {
        let given = Path::new(text.trim());
        let given = self
            .prefixes
            .iter()
            .find_map(|prefix| given.strip_prefix(prefix).ok())
            .unwrap_or(given);
        let mut path = PathBuf::new();
        for component in given.components() {
            match component {
                Component::Normal(name) => path.push(name),
                Component::CurDir => {}
                Component::ParentDir if path.pop() => {}
                Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                    return Err(FileError::Outside(text.to_owned()));
                }
            }
        }
        Ok(path)
    }

    /// A text file's content.
    pub(super) fn read(&self, text: &str) -> Result<String, FileError> {
        let path = self.relative(text)?;
        self.regular(&path, text)?;
        let file = self.dir.open(&path).map_err(|source| problem(text, source))?;
        // Looked at once more through the handle: the name may have changed hands.
        let meta = file.metadata().map_err(|source| problem(text, source))?;
        if !meta.is_file() {
            return Err(FileError::NotAFile(text.to_owned()));
        }
        if meta.len() > READ_CAP {
            return Err(FileError::TooLarge { path: text.to_owned(), size: meta.len() });
        }
        let mut bytes = Vec::new();
        file.take(READ_CAP).read_to_end(&mut bytes).map_err(|source| problem(text, source))?;
        String::from_utf8(bytes).map_err(|_| FileError::Binary(text.to_owned()))
    }

    /// Writes a file whole, making its folders. It is made beside its place and moved there, so
    /// that a hard link or a special file under that name is not written through.
    pub(super) fn write(&self, text: &str, content: &str) -> Result<(), FileError> {
        if content.len() > WRITE_CAP {
            let size = content.len() as u64;
            return Err(FileError::TooLarge { path: text.to_owned(), size });
        }
        let path = self.target(text)?;
        let io = |source| problem(text, source);
        let name = path.file_name().ok_or_else(|| FileError::Outside(text.to_owned()))?;
        let parent = path.parent().unwrap_or(Path::new(""));
        let folder = self.folder(parent, text)?;
        let permissions = match folder.symlink_metadata(name) {
            Ok(meta) if !meta.is_file() => return Err(FileError::NotAFile(text.to_owned())),
            Ok(meta) => Some(meta.permissions()),
            Err(_) => None,
        };
        let beside = format!(".foreman-{}", uuid::Uuid::new_v4().simple());
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        let mut file = folder.open_with(&beside, &options).map_err(io)?;
        let written = file
            .write_all(content.as_bytes())
            .and_then(|()| permissions.map_or(Ok(()), |kept| file.set_permissions(kept)))
            .and_then(|()| self.give(&file))
            .and_then(|()| folder.rename(&beside, &folder, name));
        if written.is_err() {
            // What is left over is ours; that it cannot be removed changes nothing.
            folder.remove_file(&beside).ok();
        }
        written.map_err(io)
    }

    /// Takes a file away.
    pub(super) fn remove(&self, text: &str) -> Result<(), FileError> {
        let path = self.target(text)?;
        self.regular(&path, text)?;
        self.dir.remove_file(&path).map_err(|source| problem(text, source))
    }

    /// Whether anything stands under this name.
    pub(super) fn exists(&self, text: &str) -> bool {
        self.relative(text).is_ok_and(|path| self.dir.symlink_metadata(path).is_ok())
    }

    fn regular(&self, path: &Path, text: &str) -> Result<(), FileError> {
        let meta = self.dir.metadata(path).map_err(|source| problem(text, source))?;
        if meta.is_file() { Ok(()) } else { Err(FileError::NotAFile(text.to_owned())) }
    }

    /// Where a write to this name really goes: links inside the workspace are followed, and what
    /// they lead to must not be `.git` either.
    fn target(&self, text: &str) -> Result<PathBuf, FileError> {
        let path = self.relative(text)?;
        if path.as_os_str().is_empty() {
            return Err(FileError::NotAFile(text.to_owned()));
        }
        let real = match self.dir.symlink_metadata(&path) {
            Ok(meta) if meta.is_symlink() => {
                self.dir.canonicalize(&path).map_err(|source| problem(text, source))?
            }
            Ok(_) | Err(_) => self.real_parent(&path, text)?,
        };
        if in_git(&path) || in_git(&real) {
            return Err(FileError::Git(text.to_owned()));
        }
        Ok(real)
    }

    /// The path with its deepest existing folder resolved.
    fn real_parent(&self, path: &Path, text: &str) -> Result<PathBuf, FileError> {
        let mut missing: Vec<&OsStr> = path.file_name().into_iter().collect();
        let mut folder = path.parent().unwrap_or(Path::new(""));
        loop {
            if folder.as_os_str().is_empty() {
                break;
            }
            match self.dir.canonicalize(folder) {
                Ok(real) => return Ok(real.join(missing.iter().rev().collect::<PathBuf>())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // A dangling link is not a folder to be made.
                    if self.dir.symlink_metadata(folder).is_ok() {
                        return Err(problem(text, error));
                    }
                    missing.extend(folder.file_name());
                    folder = folder.parent().unwrap_or(Path::new(""));
                }
                Err(error) => return Err(problem(text, error)),
            }
        }
        Ok(missing.iter().rev().collect())
    }

    /// Opens a folder, making what is missing of it.
    fn folder(&self, path: &Path, text: &str) -> Result<Dir, FileError> {
        let io = |source| problem(text, source);
        let mut dir = self.dir.try_clone().map_err(io)?;
        for name in path.components() {
            dir = match dir.open_dir(name) {
                Ok(next) => next,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    dir.create_dir(name).map_err(io)?;
                    let made = dir.open_dir(name).map_err(io)?;
                    self.give(&made).map_err(io)?;
                    made
                }
                Err(error) => return Err(io(error)),
            };
        }
        Ok(dir)
    }

    fn give(&self, handle: &impl AsFd) -> io::Result<()> {
        match self.owner {
            Some(Identity { uid, gid }) => {
                let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
                // By the handle itself: folders are opened by path only, where fchown fails.
                let flags = AtFlags::EMPTY_PATH;
                Ok(rustix::fs::chownat(handle, "", Some(uid), Some(gid), flags)?)
            }
            None => Ok(()),
        }
    }
}

/// Whether any part of a path is a name that some file system takes for `.git`.
fn in_git(path: &Path) -> bool {
    path.components().any(|component| {
        let name = component.as_os_str().to_string_lossy();
        let name = name.trim_end_matches(['.', ' ']);
        name.eq_ignore_ascii_case(".git") || name.eq_ignore_ascii_case("git~1")
    })
}

/// cap-std says "a path led outside of the filesystem" as a permission error.
fn problem(path: &str, source: io::Error) -> FileError {
    match source.kind() {
        io::ErrorKind::NotFound => FileError::NotFound(path.to_owned()),
        io::ErrorKind::PermissionDenied if source.raw_os_error().is_none() => {
            FileError::Outside(path.to_owned())
        }
        _ if source.raw_os_error() == Some(rustix::io::Errno::XDEV.raw_os_error()) => {
            FileError::Outside(path.to_owned())
        }
        _ => FileError::Io { path: path.to_owned(), source },
    }
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
