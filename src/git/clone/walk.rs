//! Names below a folder, reached without following a single link: what is swapped for a file is the
//! file that was looked at, never what a link leads to.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, Stat};
use serde::{Deserialize, Serialize};

const FOLDER: OFlags =
    OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::RDONLY);

/// Which file it is and whether anybody wrote to it since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ident {
    device: u64,
    inode: u64,
    size: i64,
    seconds: i64,
    nanos: u64,
    mode: u32,
}

impl Ident {
    #[allow(clippy::unnecessary_cast, reason = "the types differ between machines")]
    fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            size: stat.st_size as i64,
            seconds: stat.st_mtime as i64,
            nanos: stat.st_mtime_nsec as u64,
            mode: stat.st_mode as u32,
        }
    }

    fn is_folder(self) -> bool {
        FileType::from_raw_mode(self.mode).is_dir()
    }
}

/// An opened folder.
pub(super) struct Folder(OwnedFd);

impl Folder {
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(rustix::fs::open(path, FOLDER, Mode::empty())?))
    }

    /// The folder that holds `path`, and the path's last name.
    fn parent<'a>(&self, path: &'a [u8], make: bool) -> io::Result<(OwnedFd, &'a OsStr)> {
        let mut parts = path.split(|byte| *byte == b'/').map(OsStr::from_bytes).peekable();
        let mut at = self.0.as_fd().try_clone_to_owned()?;
        loop {
            let name = parts.next().unwrap_or_default();
            if parts.peek().is_none() {
                return Ok((at, name));
            }
            let opened = match rustix::fs::openat(&at, name, FOLDER, Mode::empty()) {
                Err(rustix::io::Errno::NOENT) if make => {
                    match rustix::fs::mkdirat(&at, name, Mode::from_raw_mode(0o777)) {
                        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                        Err(error) => return Err(error.into()),
                    }
                    rustix::fs::openat(&at, name, FOLDER, Mode::empty())
                }
                other => other,
            };
            at = opened?;
        }
    }

    /// What is at `path`; `None` where nothing is.
    pub fn look(&self, path: &[u8]) -> io::Result<Option<Ident>> {
        let (folder, name) = match self.parent(path, false) {
            Ok(found) => found,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Ident::of(&stat))),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts each in the other's place, in one step.
    pub fn exchange(&self, path: &[u8], other: &Self, there: &[u8]) -> io::Result<()> {
        self.rename(path, other, there, RenameFlags::EXCHANGE, false)
    }

    /// Moves a name; something that is there already is an error and stays.
    pub fn give(&self, path: &[u8], other: &Self, there: &[u8]) -> io::Result<()> {
        self.rename(path, other, there, RenameFlags::NOREPLACE, true)
    }

    fn rename(
        &self,
        path: &[u8],
        other: &Self,
        there: &[u8],
        flags: RenameFlags,
        make: bool,
    ) -> io::Result<()> {
        let (from, name) = self.parent(path, false)?;
        let (to, new_name) = other.parent(there, make)?;
        Ok(rustix::fs::renameat_with(&from, name, &to, new_name, flags)?)
    }

    /// Removes folders from `path` up as long as they are empty.
    pub fn remove_emptied(&self, path: &[u8]) -> io::Result<()> {
        let mut path = path;
        while let Some(slash) = path.iter().rposition(|byte| *byte == b'/') {
            path = &path[..slash];
            if !self.remove_folder(path)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Removes a folder if it is empty; says whether it did.
    pub fn remove_folder(&self, path: &[u8]) -> io::Result<bool> {
        let (folder, name) = match self.parent(path, false) {
            Ok(found) => found,
            Err(error) if is_absent(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        match rustix::fs::unlinkat(&folder, name, AtFlags::REMOVEDIR) {
            Ok(()) => Ok(true),
            Err(
                rustix::io::Errno::NOTEMPTY
                | rustix::io::Errno::EXIST
                | rustix::io::Errno::NOENT
                | rustix::io::Errno::NOTDIR,
            ) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a tree of folders that hold no file; an error if one does.
    pub fn remove_hollow(&self, path: &[u8]) -> io::Result<()> {
        let (folder, name) = self.parent(path, false)?;
        let inner = Self(rustix::fs::openat(&folder, name, FOLDER, Mode::empty())?);
        for entry in rustix::fs::Dir::read_from(&inner.0)? {
            let entry = entry?;
            let child = entry.file_name().to_bytes();
            if child != b"." && child != b".." {
                inner.remove_hollow(child)?;
            }
        }
        Ok(rustix::fs::unlinkat(&folder, name, AtFlags::REMOVEDIR)?)
    }

    pub fn is_folder(&self, path: &[u8]) -> io::Result<bool> {
        Ok(self.look(path)?.is_some_and(Ident::is_folder))
    }
}

/// Nothing is there, or something on the way is no folder.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        || error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}
