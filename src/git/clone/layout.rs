//! Where the parts of a clone are: its top, its git directory, and what worktrees share.
//!
//! Reads names and small files only. Never follows a `.git` that is a link.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::CloneError;

/// Files of a git directory that are read whole are small; a larger one is none of git's.
const LARGEST: u64 = 64 << 20;

#[derive(Debug)]
pub(super) struct Layout {
    pub root: PathBuf,
    /// HEAD and the index are here.
    pub git_dir: PathBuf,
    /// Refs, objects and the configuration are here; for all but linked worktrees the same.
    pub common_dir: PathBuf,
}

impl Layout {
    pub fn find(path: &Path) -> Result<Self, CloneError> {
        let root = match path.canonicalize() {
            Ok(root) => root,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(CloneError::Missing(path.to_owned()));
            }
            Err(error) => return Err(unreadable(path)(error)),
        };
        if !root.is_dir() {
            return Err(CloneError::NotAFolder(root));
        }
        let dot_git = root.join(".git");
        let git_dir = match dot_git.symlink_metadata() {
            Ok(meta) if meta.is_dir() => dot_git,
            Ok(meta) if meta.is_file() => linked_to(&root, &dot_git)?,
            Ok(_) => {
                let what = "its .git is neither a folder nor a file";
                return Err(CloneError::Format(what.to_owned()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(no_repository(root));
            }
            Err(error) => return Err(unreadable(&dot_git)(error)),
        };
        let common_dir = match read_small(&git_dir.join("commondir"))? {
            Some(text) => resolve(&git_dir, &line(&text))?,
            None => git_dir.clone(),
        };
        if !common_dir.join("objects").is_dir() || !git_dir.join("HEAD").is_file() {
            return Err(CloneError::NotARepository(root));
        }
        Ok(Self { root, git_dir, common_dir })
    }

    pub fn is_linked_worktree(&self) -> bool {
        self.git_dir != self.common_dir
    }

    pub fn index(&self) -> PathBuf {
        self.git_dir.join("index")
    }

    pub fn objects(&self) -> PathBuf {
        self.common_dir.join("objects")
    }

    /// Where a merge of ours prepares and keeps what it needs; it is there only while one is
    /// under way, or was cut short.
    pub fn stage(&self) -> PathBuf {
        self.git_dir.join("foreman-merge")
    }
}

fn no_repository(root: PathBuf) -> CloneError {
    if root.join("HEAD").is_file() && root.join("objects").is_dir() {
        return CloneError::Bare(root);
    }
    let top = root.ancestors().skip(1).find(|above| above.join(".git").exists());
    match top {
        Some(top) => CloneError::NotTheTop { top: top.to_owned(), path: root },
        None => CloneError::NotARepository(root),
    }
}

/// The git directory that a `.git` file names.
fn linked_to(root: &Path, file: &Path) -> Result<PathBuf, CloneError> {
    let text = read_small(file)?.unwrap_or_default();
    match text.strip_prefix(b"gitdir: ") {
        Some(path) => resolve(root, &line(path)),
        None => Err(CloneError::NotARepository(root.to_owned())),
    }
}

fn resolve(base: &Path, path: &Path) -> Result<PathBuf, CloneError> {
    let path = base.join(path);
    path.canonicalize().map_err(unreadable(&path))
}

/// A path that fills a file, without the line's end.
fn line(text: &[u8]) -> PathBuf {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    PathBuf::from(OsString::from_vec(text.to_vec()))
}

/// A file's bytes, `None` where there is none. Pipes, devices and giants are errors, not waited for.
pub(super) fn read_small(path: &Path) -> Result<Option<Vec<u8>>, CloneError> {
    let meta = match path.metadata() {
        Ok(meta) => meta,
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(unreadable(path)(error)),
    };
    if meta.is_dir() {
        return Ok(None);
    }
    if !meta.is_file() || meta.len() > LARGEST {
        return Err(unreadable(path)(io::Error::other("it is no ordinary file")));
    }
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        // Gone since: a ref that was packed, a lock that was given back.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(path)(error)),
    }
}

pub(super) fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> CloneError {
    let path = path.to_owned();
    move |source| CloneError::Unreadable { path, source }
}

/// A path as git quotes it where a line would break or a quote begin it.
pub(super) fn quoted(path: &Path) -> Vec<u8> {
    let mut out = vec![b'"'];
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            0..=31 | 127..=255 => out.extend(format!("\\{byte:03o}").bytes()),
            _ => out.push(*byte),
        }
    }
    out.push(b'"');
    out
}
