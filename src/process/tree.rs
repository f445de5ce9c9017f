//! The processes below a process, read from /proc, and their end.

use std::collections::BTreeMap;
use std::fs;

use rustix::process::{Pid, Signal};

/// Sends SIGKILL to every living process below `root`, not to `root` itself. Returns how many
/// there were: zero means that nothing was left to kill.
pub(super) fn kill_descendants(root: u32) -> usize {
    let below = descendants(root);
    for pid in &below {
        if let Some(pid) = i32::try_from(*pid).ok().and_then(Pid::from_raw) {
            // Already gone is what we want.
            rustix::process::kill_process(pid, Signal::KILL).ok();
        }
    }
    below.len()
}

pub(super) fn descendants(root: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<(u32, bool)>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        let Some(pid) = pid else { continue };
        let Ok(stat) = fs::read(entry.path().join("stat")) else { continue };
        if let Some((state, parent)) = parse_stat(&String::from_utf8_lossy(&stat)) {
            children.entry(parent).or_default().push((pid, !matches!(state, 'Z' | 'X')));
        }
    }
    let mut found = Vec::new();
    let mut open = vec![root];
    while let Some(parent) = open.pop() {
        for (pid, alive) in children.remove(&parent).unwrap_or_default() {
            open.push(pid);
            if alive {
                found.push(pid);
            }
        }
    }
    found
}

/// State and parent from `/proc/PID/stat`, whose second field is a name that may hold anything.
fn parse_stat(stat: &str) -> Option<(char, u32)> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_confuse() {
        assert_eq!(parse_stat("12 (a) b) S 7 12 12 0"), Some(('S', 7)));
        assert_eq!(parse_stat("12"), None);
    }
}
