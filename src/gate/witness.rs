//! Sees what commands do to a fresh checkout's own files and directories, also what they undo.
//!
//! By what the box's user cannot forge: inode and time of change of each file, and the kernel's
//! word (inotify) that a directory was moved or removed. Never reads a file's content.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};
use rustix::io::Errno;

/// Bytes read from the kernel at a time; an event of ours has 16.
const EVENTS: usize = 4096;

/// Files that package managers bring up to date while they install.
const LOCK_FILES: [&str; 9] = [
    "Cargo.lock",
    "package-lock.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "poetry.lock",
    "uv.lock",
    "Pipfile.lock",
    "Gemfile.lock",
    "composer.lock",
];

/// A checkout as it was before any command ran, watched from then on.
#[derive(Debug)]
pub struct Witness {
    root: PathBuf,
    files: Vec<(PathBuf, Facts)>,
    /// Directories by watch.
    directories: Vec<(i32, PathBuf, Facts)>,
    watch: OwnedFd,
}

/// What an inode says of itself. For directories time and size are left out: they change with
/// every file that a command makes in them.
#[derive(Debug, PartialEq, Eq)]
struct Facts {
    inode: u64,
    mode: u32,
    owner: (u32, u32),
    changed: (i64, i64),
    modified: (i64, i64),
    size: u64,
}

impl Facts {
    fn of(meta: &Metadata) -> Self {
        let file = !meta.is_dir();
        let only = |pair| if file { pair } else { (0, 0) };
        Self {
            inode: meta.ino(),
            mode: meta.mode(),
            owner: (meta.uid(), meta.gid()),
            changed: only((meta.ctime(), meta.ctime_nsec())),
            modified: only((meta.mtime(), meta.mtime_nsec())),
            size: if file { meta.size() } else { 0 },
        }
    }
}

impl Witness {
    /// Looks at a fresh checkout: whatever is there, its `.git` aside, is the commit's.
    pub fn new(root: &Path) -> io::Result<Self> {
        let watch = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let mut witness =
            Self { root: root.to_owned(), files: Vec::new(), directories: Vec::new(), watch };
        let mut todo = vec![PathBuf::new()];
        while let Some(folder) = todo.pop() {
            for entry in std::fs::read_dir(root.join(&folder))? {
                let path = folder.join(entry?.file_name());
                if path == Path::new(".git") {
                    continue;
                }
                let full = root.join(&path);
                let meta = std::fs::symlink_metadata(&full)?;
                let facts = Facts::of(&meta);
                if meta.is_dir() {
                    let flags = WatchFlags::MOVE_SELF
                        | WatchFlags::DELETE_SELF
                        | WatchFlags::ONLYDIR
                        | WatchFlags::DONT_FOLLOW;
                    let id = add_watch(&witness.watch, &full, flags)?;
                    witness.directories.push((id, path.clone(), facts));
                    todo.push(path);
                } else {
                    witness.files.push((path, facts));
                }
            }
        }
        Ok(witness)
    }

    /// The paths that are no longer what they were, or were not all the time. What cannot be
    /// looked at counts as altered.
    pub fn altered(&self) -> io::Result<BTreeSet<String>> {
        let mut found = BTreeSet::new();
        let mut say = |path: &Path| found.insert(path.to_string_lossy().into_owned());
        let same = |path: &Path, facts: &Facts| {
            std::fs::symlink_metadata(self.root.join(path))
                .is_ok_and(|meta| Facts::of(&meta) == *facts)
        };
        for (path, facts) in &self.files {
            let lock =
                path.file_name().is_some_and(|name| LOCK_FILES.iter().any(|one| name == *one));
            if !lock && !same(path, facts) {
                say(path);
            }
        }
        for (_, path, facts) in &self.directories {
            if !same(path, facts) {
                say(path);
            }
        }
        let mut room = [MaybeUninit::uninit(); EVENTS];
        let mut events = Reader::new(&self.watch, &mut room);
        loop {
            let event = match events.next() {
                Ok(event) => event,
                Err(Errno::WOULDBLOCK) => break,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                say(Path::new("."));
            }
            let of = self.directories.iter().find(|(id, ..)| *id == event.wd());
            if let Some((_, path, _)) = of {
                say(path);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// What is seen after `act` on a checkout with two directories and a file in each.
    fn seen(act: impl FnOnce(&Path)) -> Vec<String> {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path();
        for path in ["src/a.rs", "tests/one/t.sh", ".git/HEAD", "Cargo.lock"] {
            let full = root.join(path);
            fs::create_dir_all(full.parent().expect("a parent")).expect("made");
            fs::write(full, "text\n").expect("written");
        }
        let witness = Witness::new(root).expect("a witness");
        act(root);
        witness.altered().expect("looked").into_iter().collect()
    }

    #[test]
    fn what_builds_leave_is_nothing() {
        let left = seen(|root| {
            fs::write(root.join("tests/one/cache"), "x").expect("written");
            fs::create_dir_all(root.join("target/nested/.git")).expect("made");
            fs::write(root.join(".git/index"), "x").expect("written");
            fs::write(root.join("Cargo.lock"), "newer").expect("written");
            fs::read(root.join("src/a.rs")).expect("read");
        });
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn what_is_put_back_is_seen() {
        let back = seen(|root| {
            let path = root.join("tests/one/t.sh");
            let times = fs::metadata(&path).and_then(|meta| meta.modified()).expect("a time");
            fs::write(&path, "true").expect("written");
            fs::write(&path, "text\n").expect("written");
            fs::File::options()
                .write(true)
                .open(&path)
                .and_then(|file| file.set_modified(times))
                .expect("set back");
        });
        assert_eq!(back, ["tests/one/t.sh"]);
        let moved = seen(|root| {
            fs::rename(root.join("src/a.rs"), root.join("b")).expect("moved");
            fs::write(root.join("src/a.rs"), "text\n").expect("written");
            fs::rename(root.join("b"), root.join("src/a.rs")).expect("moved back");
        });
        assert_eq!(moved, ["src/a.rs"]);
        let linked = seen(|root| {
            fs::hard_link(root.join("src/a.rs"), root.join("b")).expect("linked");
            fs::write(root.join("b"), "other").expect("written");
            fs::remove_file(root.join("b")).expect("removed");
        });
        assert_eq!(linked, ["src/a.rs"]);
    }

    #[test]
    fn a_directory_that_was_away_for_a_while_is_seen() {
        let away = seen(|root| {
            fs::rename(root.join("tests"), root.join("away")).expect("moved");
            fs::create_dir(root.join("tests")).expect("made");
            fs::remove_dir(root.join("tests")).expect("removed");
            fs::rename(root.join("away"), root.join("tests")).expect("moved back");
        });
        assert_eq!(away, ["tests"]);
        let gone = seen(|root| fs::remove_dir_all(root.join("tests")).expect("removed"));
        assert_eq!(gone, ["tests", "tests/one", "tests/one/t.sh"]);
    }
}
