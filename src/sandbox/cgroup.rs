//! Totals over a whole box, memory and processes, by control groups where we may make them.
//!
//! One group per process of Foreman, one below it per command. Both layouts: the unified one and
//! the older one with a folder for each controller. Never moves Foreman itself.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::process::Limits;

const MOUNT: &str = "/sys/fs/cgroup";
/// Our groups are named by this, our process and a number.
const PREFIX: &str = "foreman-";

/// How long a killed group may take to become empty.
const REMOVE_TRIES: u32 = 50;

/// Folders in which a group for each command can be made.
#[derive(Debug)]
pub(super) struct Totals {
    memory: Controller,
    processes: Controller,
    count: AtomicU64,
}

#[derive(Debug)]
struct Controller {
    folder: PathBuf,
    file: &'static str,
}

impl Totals {
    /// Makes our groups, or says why it can't.
    pub(super) fn detect() -> io::Result<Self> {
        static INSTANCES: AtomicU64 = AtomicU64::new(0);
        let instance = INSTANCES.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{instance}", std::process::id());
        let mount = Path::new(MOUNT);
        let has = |controller: &str| {
            std::fs::read_to_string(mount.join("cgroup.subtree_control"))
                .is_ok_and(|text| text.split_whitespace().any(|word| word == controller))
        };
        let (memory, processes) = if mount.join("cgroup.controllers").exists() {
            if !(has("memory") && has("pids")) {
                return Err(io::Error::other("memory and pids are not delegated"));
            }
            let folder = mount.join(&name);
            sweep(mount);
            make(&folder)?;
            std::fs::write(folder.join("cgroup.subtree_control"), "+memory +pids")
                .inspect_err(|_| drop(std::fs::remove_dir(&folder)))?;
            (
                Controller { folder: folder.clone(), file: "memory.max" },
                Controller { folder, file: "pids.max" },
            )
        } else {
            let (memory, processes) =
                (mount.join("memory").join(&name), mount.join("pids").join(&name));
            sweep(&mount.join("memory"));
            sweep(&mount.join("pids"));
            make(&memory)?;
            make(&processes).inspect_err(|_| drop(std::fs::remove_dir(&memory)))?;
            (
                Controller { folder: memory, file: "memory.limit_in_bytes" },
                Controller { folder: processes, file: "pids.max" },
            )
        };
        Ok(Self { memory, processes, count: AtomicU64::new(0) })
    }

    /// A group for one command.
    pub(super) fn open(&self, limits: &Limits) -> io::Result<Group> {
        let name = self.count.fetch_add(1, Ordering::Relaxed).to_string();
        let mut group = Group { folders: Vec::new() };
        for (controller, limit) in
            [(&self.memory, limits.memory), (&self.processes, limits.processes)]
        {
            let folder = controller.folder.join(&name);
            make(&folder)?;
            if !group.folders.contains(&folder) {
                group.folders.push(folder.clone());
            }
            if let Some(limit) = limit {
                std::fs::write(folder.join(controller.file), limit.to_string())?;
            }
        }
        Ok(group)
    }
}

impl Drop for Totals {
    fn drop(&mut self) {
        // What is left over holds nothing and limits nobody.
        for folder in [&self.memory.folder, &self.processes.folder] {
            std::fs::remove_dir(folder).ok();
        }
    }
}

/// Removes what a killed Foreman left. Groups that still hold a process stay: that is the kernel's
/// rule for removing one.
fn sweep(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            for group in std::fs::read_dir(entry.path()).into_iter().flatten().flatten() {
                std::fs::remove_dir(group.path()).ok();
            }
            std::fs::remove_dir(entry.path()).ok();
        }
    }
}

fn make(folder: &Path) -> io::Result<()> {
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// The groups of one command; removed when dropped.
#[derive(Debug)]
pub(super) struct Group {
    folders: Vec<PathBuf>,
}

impl Group {
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        self.folders.clone()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for folder in &self.folders {
            for _ in 0..REMOVE_TRIES {
                match std::fs::remove_dir(folder) {
                    // Its last process may still be on its way out.
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                        std::thread::yield_now();
                    }
                    _ => break,
                }
            }
        }
    }
}
