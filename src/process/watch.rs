//! Totals over a child and all it started, watched from outside: memory and processes where no
//! control group holds them, and the disk that its folders take.
//!
//! Looks, and says what went over. Never kills: whoever runs the child does.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::tree;

/// Between two looks. A process fills memory at some GB a second, so that much passes unseen.
const EVERY: Duration = Duration::from_millis(250);
/// A walk through folders waits at least this many times as long as it took: never more than a
/// small part of one processor.
const REST: u32 = 20;
/// Bytes of a page; a larger one makes the limit stricter by that.
const PAGE: u64 = 4096;
/// `st_blocks` counts in these.
const BLOCK: u64 = 512;
/// Entries one walk looks at; a folder with more is judged by those.
const MOST_ENTRIES: usize = 5_000_000;

/// What is watched; `None` is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watch {
    /// Bytes of memory of all processes together.
    pub memory: Option<u64>,
    /// Processes at once.
    pub processes: Option<u64>,
    /// Bytes that `folders` may take on the disk together.
    pub disk: Option<u64>,
    pub folders: Vec<PathBuf>,
}

impl Watch {
    /// Ends with a sentence once something is over its limit; else never.
    pub(super) async fn overrun(&self, root: u32) -> String {
        let mut walked = Instant::now();
        let mut rest = Duration::ZERO;
        loop {
            tokio::time::sleep(EVERY).await;
            if let Some(what) = self.processes_over(root) {
                return what;
            }
            let Some(limit) = self.disk else { continue };
            if walked.elapsed() < rest {
                continue;
            }
            let begun = Instant::now();
            let folders = self.folders.clone();
            let used = tokio::task::spawn_blocking(move || disk_used(&folders)).await;
            if used.is_ok_and(|used| used > limit) {
                return format!("its files took more than {} MiB of disk together", limit >> 20);
            }
            rest = begun.elapsed() * REST;
            walked = Instant::now();
        }
    }

    fn processes_over(&self, root: u32) -> Option<String> {
        if self.memory.is_none() && self.processes.is_none() {
            return None;
        }
        let below = tree::descendants(root);
        if self.processes.is_some_and(|limit| below.len() as u64 > limit) {
            return Some(format!("more than {} processes at once", self.processes?));
        }
        let limit = self.memory?;
        let used: u64 = below.iter().filter_map(|pid| own_memory(*pid)).sum();
        (used > limit).then(|| format!("more than {} MiB of memory together", limit >> 20))
    }
}

/// Bytes a process holds of its own: what it shares (libraries, files) is left out.
fn own_memory(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let mut fields = text.split_ascii_whitespace().skip(1);
    let resident: u64 = fields.next()?.parse().ok()?;
    let shared: u64 = fields.next()?.parse().ok()?;
    Some(resident.saturating_sub(shared) * PAGE)
}

/// Bytes on the disk, each inode once; links are not followed.
fn disk_used(folders: &[PathBuf]) -> u64 {
    let mut used = 0_u64;
    let mut seen = BTreeSet::new();
    let mut open: Vec<PathBuf> = folders.to_vec();
    let mut left = MOST_ENTRIES;
    while let Some(folder) = open.pop() {
        for entry in entries(&folder) {
            let Some(rest) = left.checked_sub(1) else { return used };
            left = rest;
            let Ok(facts) = entry.metadata() else { continue };
            if facts.nlink() > 1 && !facts.is_dir() && !seen.insert((facts.dev(), facts.ino())) {
                continue;
            }
            used = used.saturating_add(facts.blocks().saturating_mul(BLOCK));
            if facts.is_dir() {
                open.push(entry.path());
            }
        }
    }
    used
}

fn entries(folder: &Path) -> impl Iterator<Item = fs::DirEntry> {
    // Gone, or closed to us: nothing to count.
    fs::read_dir(folder).into_iter().flatten().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_is_counted_once_for_each_file() {
        let dir = tempfile::tempdir().unwrap();
        let big = dir.path().join("big");
        fs::write(&big, vec![1_u8; 1 << 20]).unwrap();
        fs::hard_link(&big, dir.path().join("again")).unwrap();
        std::os::unix::fs::symlink("/usr", dir.path().join("out")).unwrap();
        let used = disk_used(&[dir.path().to_owned()]);
        assert!((1 << 20..2 << 20).contains(&used), "{used}");
    }

    #[test]
    fn a_process_has_memory_of_its_own() {
        assert!(own_memory(std::process::id()).unwrap() > 0);
        assert_eq!(own_memory(u32::MAX), None);
    }
}
