//! What in a clone's files and index stands in the way of a change: looked for with real git in
//! the shadow, over the clone's files, without the filters that the clone names.
//!
//! Changes nothing: the clone's index is read in place, and locks are not taken.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::compare::{Change, Comparison, Outcome, parse_raw};
use super::layout::unreadable;
use super::snapshot::Snapshot;
use super::{CloneError, LocalClone};
use crate::git::GitError;
use crate::git::changes::MODE_GITLINK;
use crate::git::command::{Command, READ_CAP};

/// Paths that a sentence names before it only counts.
const NAMED: usize = 5;
/// Merge drivers that git has built in.
const BUILT_IN: [&str; 6] = ["unspecified", "unset", "set", "text", "binary", "union"];

impl LocalClone {
    /// A command over the clone's files with an index of our choice.
    pub(super) fn over_files(
        &self,
        verb: &'static str,
        snapshot: &Snapshot,
        index: &Path,
        files: &Path,
    ) -> Command {
        let mut command = self
            .shadow
            .local(verb)
            .work_tree(files)
            .env("GIT_INDEX_FILE", index)
            .env("GIT_OPTIONAL_LOCKS", "0")
            .cap(READ_CAP);
        for setting in &snapshot.config.kept {
            command = command.config(setting);
        }
        command
    }

    /// Tracked files that are not as they were committed.
    pub async fn dirt(&self, snapshot: &Snapshot) -> Result<Vec<String>, CloneError> {
        if snapshot.config.sparse {
            // Said already; its index may be one that only its owner's settings explain.
            return Ok(Vec::new());
        }
        let index = self.layout.index();
        self.dirt_of(snapshot, &index).await
    }

    pub(super) async fn dirt_of(
        &self,
        snapshot: &Snapshot,
        index: &Path,
    ) -> Result<Vec<String>, CloneError> {
        let command = self
            .over_files("status", snapshot, index, &self.layout.root)
            .args(["--porcelain=v2", "-z", "--untracked-files=no", "--no-renames"])
            // `dirty`: a submodule's commit is compared, its files are not looked into.
            .args(["--ignore-submodules=dirty", "--no-ahead-behind"]);
        let out = self.shadow.run(command).await?;
        Ok(sentences(&out))
    }

    /// What the steps from the clone's commit to the merged tree would meet.
    pub(super) async fn obstacles(
        &self,
        snapshot: &Snapshot,
        comparison: &Comparison,
        steps: &[Change],
    ) -> Result<Vec<String>, CloneError> {
        let mut found = Vec::new();
        let gitlinks = named(steps.iter().filter(|s| is_gitlink(s)).map(|s| shown(&s.path)));
        if let Some(paths) = gitlinks {
            found.push(format!(
                "it would move the submodule {paths}, which Foreman leaves to its owner; use `git pull`"
            ));
        }
        let target = match &comparison.outcome {
            Outcome::Clean(tree) => tree.as_str(),
            Outcome::FastForward | Outcome::Nothing | Outcome::Conflict(_) | Outcome::Unrelated => {
                comparison.remote.as_str()
            }
        };
        let (in_the_way, altered, filtered, drivers) = tokio::join!(
            self.in_the_way(steps),
            self.altered(snapshot, steps),
            self.filtered(steps, target),
            self.drivers(comparison),
        );
        found.extend(in_the_way?);
        found.extend(altered?);
        found.extend(filtered?);
        found.extend(drivers?);
        Ok(found)
    }

    /// Files that nobody tracks and that would be written over, ignored ones included.
    async fn in_the_way(&self, steps: &[Change]) -> Result<Option<String>, CloneError> {
        let root = self.layout.root.clone();
        let gone: BTreeSet<Vec<u8>> =
            steps.iter().filter(|s| s.new_mode == 0).map(|s| s.path.clone()).collect();
        let added: Vec<Vec<u8>> =
            steps.iter().filter(|s| s.old_mode == 0).map(|s| s.path.clone()).collect();
        let found = tokio::task::spawn_blocking(move || {
            added.iter().map(|path| obstacle(&root, path, &gone)).collect::<Result<Vec<_>, _>>()
        });
        let found = found.await.map_err(|error| CloneError::Format(error.to_string()))??;
        let paths = named(found.into_iter().flatten().collect::<BTreeSet<_>>().into_iter());
        Ok(paths.map(|paths| {
            format!("{paths} is not tracked here and would be written over; move it away")
        }))
    }

    /// Files that the index calls unchanged and that are not: marked `assume-unchanged`, or skipped.
    async fn altered(
        &self,
        snapshot: &Snapshot,
        steps: &[Change],
    ) -> Result<Option<String>, CloneError> {
        let entries = entries(steps.iter().filter(|s| s.old_mode != 0 && !is_gitlink(s)), false);
        if entries.is_empty() {
            return Ok(None);
        }
        let scratch = self.scratch()?;
        let index = scratch.path().join("index");
        let add = self
            .over_files("update-index", snapshot, &index, &self.layout.root)
            .args(["-z", "--add", "--index-info"])
            .stdin(entries);
        self.shadow.run(add).await?;
        let command = self
            .over_files("diff", snapshot, &index, &self.layout.root)
            .args(["--raw", "-z", "--no-abbrev", "--no-renames", "--no-ext-diff", "--no-textconv"])
            .arg("--ignore-submodules=all");
        let out = self.shadow.run(command).await?;
        let changes = parse_raw(&out).ok_or_else(|| GitError::Unreadable {
            verb: "diff",
            output: String::from_utf8_lossy(&out[..out.len().min(200)]).into_owned(),
        })?;
        let paths = named(changes.iter().map(|change| shown(&change.path)));
        Ok(paths.map(|paths| format!("{paths} differs from what was committed; commit it")))
    }

    /// Files whose content a program of the repository's own makes, such as Git LFS: Foreman runs
    /// none, so that what it would write is not what belongs there.
    async fn filtered(&self, steps: &[Change], target: &str) -> Result<Option<String>, CloneError> {
        let paths = steps.iter().filter(|s| s.new_mode & 0o170_000 == 0o100_000);
        let found = self.attributes("filter", paths.map(|s| s.path.as_slice()), target).await?;
        let used = found
            .into_iter()
            .filter(|(_, value)| !["unspecified", "unset", "set"].contains(&value.as_str()));
        let (paths, names): (Vec<String>, BTreeSet<String>) = used.unzip();
        Ok(named(paths.into_iter()).map(|paths| {
            let names = names.into_iter().collect::<Vec<_>>().join(", ");
            format!("{paths} is written through the filter `{names}`, which Foreman does not run; use `git pull`")
        }))
    }

    /// Files changed on both sides that a merge program of the repository's own would merge.
    async fn drivers(&self, comparison: &Comparison) -> Result<Option<String>, CloneError> {
        if !matches!(comparison.outcome, Outcome::Clean(_)) {
            return Ok(None);
        }
        let both = comparison.files.iter().filter(|f| f.local.is_some() && f.remote.is_some());
        let both = both.map(|file| file.path.as_bytes());
        let found = self.attributes("merge", both, comparison.local.as_str()).await?;
        let used = found.into_iter().filter(|(_, value)| !BUILT_IN.contains(&value.as_str()));
        Ok(named(used.map(|(path, _)| path)).map(|paths| {
            format!("{paths} is merged by a program of its own, which Foreman does not run; use `git pull`")
        }))
    }

    /// An attribute of each path, as the tree's own `.gitattributes` set it.
    async fn attributes<'a>(
        &self,
        name: &'static str,
        paths: impl Iterator<Item = &'a [u8]>,
        tree: &str,
    ) -> Result<Vec<(String, String)>, CloneError> {
        let mut asked = Vec::new();
        for path in paths {
            asked.extend_from_slice(path);
            asked.push(0);
        }
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let command = self
            .shadow
            .local("check-attr")
            .arg(format!("--source={tree}"))
            .args(["-z", "--stdin", name])
            .stdin(asked)
            .cap(READ_CAP);
        let out = self.shadow.run(command).await?;
        let words: Vec<_> = out.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        let triples = words.chunks_exact(3);
        Ok(triples.map(|triple| (triple[0].to_string(), triple[2].to_string())).collect())
    }

    pub(super) fn scratch(&self) -> Result<tempfile::TempDir, CloneError> {
        let place = self.shadow.dir.join("foreman-tmp");
        std::fs::create_dir_all(&place).map_err(unreadable(&place))?;
        tempfile::tempdir_in(&place).map_err(unreadable(&place))
    }
}

/// Lines for `update-index --index-info`: of the old side, or of the new with what is gone.
pub(super) fn entries<'a>(steps: impl Iterator<Item = &'a Change>, new: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for step in steps {
        let (mode, id) =
            if new { (step.new_mode, &step.new_id) } else { (step.old_mode, &step.old_id) };
        out.extend_from_slice(format!("{mode:06o} {id}\t").as_bytes());
        out.extend_from_slice(&step.path);
        out.push(0);
    }
    out
}

fn is_gitlink(step: &Change) -> bool {
    step.old_mode == MODE_GITLINK || step.new_mode == MODE_GITLINK
}

/// What is already where a new file, or a folder on the way to it, should be. Steps of ours that
/// take it away first do not count.
fn obstacle(
    root: &Path,
    path: &[u8],
    gone: &BTreeSet<Vec<u8>>,
) -> Result<Option<String>, CloneError> {
    let mut at = PathBuf::new();
    let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    for (index, part) in parts.iter().enumerate() {
        at.push(OsStr::from_bytes(part));
        let full = root.join(&at);
        let meta = match full.symlink_metadata() {
            Ok(meta) => meta,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(unreadable(&full)(error)),
        };
        let bytes = at.as_os_str().as_bytes();
        if gone.contains(bytes) {
            return Ok(None);
        }
        let last = index + 1 == parts.len();
        if meta.is_dir() && !last {
            continue;
        }
        if meta.is_dir() && only_gone(root, &at, gone)? {
            return Ok(None);
        }
        return Ok(Some(shown(bytes)));
    }
    Ok(None)
}

/// Whether a folder holds nothing but files that our steps take away.
fn only_gone(root: &Path, folder: &Path, gone: &BTreeSet<Vec<u8>>) -> Result<bool, CloneError> {
    let full = root.join(folder);
    let (mut any, entries) = (false, std::fs::read_dir(&full).map_err(unreadable(&full))?);
    for entry in entries {
        let entry = entry.map_err(unreadable(&full))?;
        let path = folder.join(entry.file_name());
        any = true;
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let fine = match is_dir {
            true => only_gone(root, &path, gone)?,
            false => gone.contains(path.as_os_str().as_bytes()),
        };
        if !fine {
            return Ok(false);
        }
    }
    Ok(any)
}

/// What `status --porcelain=v2` lists, as sentences.
fn sentences(out: &[u8]) -> Vec<String> {
    let (mut conflicted, mut staged, mut changed) = (Vec::new(), Vec::new(), Vec::new());
    for record in out.split(|byte| *byte == 0).filter(|record| !record.is_empty()) {
        let fields = match record[0] {
            b'1' => 9,
            b'u' => 11,
            _ => continue,
        };
        let words: Vec<&[u8]> = record.splitn(fields, |byte| *byte == b' ').collect();
        let (Some(state), Some(path)) = (words.get(1), words.get(fields - 1)) else { continue };
        let path = shown(path);
        if record[0] == b'u' {
            conflicted.push(path);
        } else if state.first() != Some(&b'.') {
            staged.push(path);
        } else {
            changed.push(path);
        }
    }
    let mut found = Vec::new();
    if let Some(paths) = named(conflicted.into_iter()) {
        found.push(format!("{paths} has conflicts that are not resolved"));
    }
    if let Some(paths) = named(staged.into_iter()) {
        found.push(format!("{paths} is staged and not committed; commit it"));
    }
    if let Some(paths) = named(changed.into_iter()) {
        found.push(format!("{paths} is changed and not committed; commit it"));
    }
    found
}

pub(super) fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// Some of the paths, and how many more; `None` where there is none.
fn named(paths: impl Iterator<Item = String>) -> Option<String> {
    let all: Vec<String> = paths.collect();
    let mut text = all
        .iter()
        .take(NAMED)
        .map(|path| format!("`{}`", path.escape_debug()))
        .collect::<Vec<_>>()
        .join(", ");
    if let Some(more) = all.len().checked_sub(NAMED).filter(|more| *more > 0) {
        text.push_str(&format!(" and {more} more"));
    }
    (!all.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_becomes_sentences() {
        let out = b"1 .M N... 100644 100644 100644 a a b.txt\0\
            1 A. N... 000000 100644 100644 0 a new file\0\
            u UU N... 100644 100644 100644 100644 a b c both\0";
        let found = sentences(out);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].contains("`both` has conflicts"), "{found:?}");
        assert!(found[1].contains("`new file` is staged"), "{found:?}");
        assert!(found[2].contains("`b.txt` is changed"), "{found:?}");
    }

    #[test]
    fn many_paths_are_counted() {
        let text = named((0..7).map(|n| format!("f{n}"))).expect("some");
        assert!(text.starts_with("`f0`, `f1`") && text.ends_with("and 2 more"), "{text}");
        assert_eq!(named(std::iter::empty()), None);
    }
}
