//! Reading trees in the mirror: what changed, the diff, files, listings.
//!
//! No attributes apply here (the mirror is bare and has none), so a tree under judgement cannot
//! declare its own files binary or hide them from the diff.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::command::READ_CAP;
use super::error::GitError;
use super::mirror::Mirror;
use crate::domain::ids::{CommitId, TreeId};

/// What a change leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeOrCommit {
    Tree(TreeId),
    Commit(CommitId),
}

impl TreeOrCommit {
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Tree(id) => id.as_str(),
            Self::Commit(id) => id.as_str(),
        }
    }
}

impl fmt::Display for TreeOrCommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<&TreeId> for TreeOrCommit {
    fn from(id: &TreeId) -> Self {
        Self::Tree(id.clone())
    }
}

impl From<&CommitId> for TreeOrCommit {
    fn from(id: &CommitId) -> Self {
        Self::Commit(id.clone())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileStatus {
    Added,
    Modified,
    Deleted,
    Renamed,
    /// A file became a link, or the like.
    TypeChanged,
}

/// One path that differs between two trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    pub path: String,
    /// Where a renamed file was.
    pub old_path: Option<String>,
    pub status: FileStatus,
    /// Git's mode as a number, like `0o100644`; 0 where there is no file.
    pub old_mode: u32,
    pub new_mode: u32,
    pub added_lines: u64,
    pub deleted_lines: u64,
    pub binary: bool,
    /// Bytes of the new content; 0 where there is none.
    pub size: u64,
}

impl FileChange {
    #[must_use]
    pub const fn is_link(&self) -> bool {
        self.new_mode == MODE_LINK
    }
}

pub(super) const MODE_LINK: u32 = 0o120_000;
pub(super) const MODE_GITLINK: u32 = 0o160_000;

impl Mirror {
    /// Every path that differs, with renames found.
    pub async fn changes(
        &self,
        from: &CommitId,
        to: &TreeOrCommit,
    ) -> Result<Vec<FileChange>, GitError> {
        let output = self
            .local("diff-tree")
            .args(["-r", "-z", "--raw", "--numstat", "-M", "--no-abbrev", "--no-commit-id"])
            .args(["--no-ext-diff", "--no-textconv", "--ignore-submodules=none"])
            .args(["--end-of-options", from.as_str(), to.as_str()])
            .cap(READ_CAP)
            .run(&self.git.children, &self.cancel)
            .await?;
        let unreadable = || GitError::Unreadable {
            verb: "diff-tree",
            output: String::from_utf8_lossy(&output[..output.len().min(200)]).into_owned(),
        };
        let mut parsed = parse_changes(&output).ok_or_else(unreadable)?;
        let sizes = self.sizes(parsed.iter().map(|(_, blob)| blob.as_str())).await?;
        for (change, blob) in &mut parsed {
            change.size = sizes.get(blob.as_str()).copied().unwrap_or(0);
        }
        Ok(parsed.into_iter().map(|(change, _)| change).collect())
    }

    async fn sizes(
        &self,
        blobs: impl Iterator<Item = &str>,
    ) -> Result<HashMap<String, u64>, GitError> {
        let wanted: String = blobs.map(|blob| format!("{blob}\n")).collect();
        if wanted.is_empty() {
            return Ok(HashMap::new());
        }
        let output = self
            .local("cat-file")
            .arg("--batch-check=%(objectname) %(objectsize)")
            .stdin(wanted)
            .cap(READ_CAP)
            .run(&self.git.children, &self.cancel)
            .await?;
        let text = String::from_utf8_lossy(&output);
        // The null id and gitlinks are `missing`: no size.
        Ok(text
            .lines()
            .filter_map(|line| {
                let (id, size) = line.split_once(' ')?;
                Some((id.to_owned(), size.parse().ok()?))
            })
            .collect())
    }

    /// The unified diff; beyond `cap` bytes its middle is left out, and it says so.
    pub async fn diff(&self, from: &str, to: &str, cap: usize) -> Result<String, GitError> {
        let output = self
            .local("diff-tree")
            .args(["-r", "-p", "-U3", "-M", "--no-commit-id", "--no-color", "--no-ext-diff"])
            .args(["--no-textconv", "--src-prefix=a/", "--dst-prefix=b/"])
            .args(["--end-of-options", from, to])
            .cap(cap)
            .output(&self.git.children, &self.cancel)
            .await?;
        if output.code == Some(0) {
            Ok(output.stdout.text())
        } else {
            Err(super::command::failure("diff-tree", self.path(), None, &output))
        }
    }

    /// A file's bytes (a link's target); `None` where there is no file at that path.
    pub async fn read(&self, treeish: &str, path: &str) -> Result<Option<Vec<u8>>, GitError> {
        let path = path.trim_end_matches('/');
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Ok(None);
        }
        let listed = self
            .local("ls-tree")
            .args(["-z", "-l", "--full-tree", "--end-of-options", treeish, path])
            // A path is a path, also one that reads like a pattern.
            .env("GIT_LITERAL_PATHSPECS", "1")
            .run(&self.git.children, &self.cancel)
            .await?;
        let Some(entry) = parse_tree(&listed).into_iter().find(|entry| entry.path == path) else {
            return Ok(None);
        };
        let Some(size) = entry.size else { return Ok(None) };
        if size > READ_CAP as u64 {
            return Err(GitError::TooLarge { what: format!("`{path}`"), limit: READ_CAP });
        }
        self.local("cat-file")
            .args(["blob", &entry.id])
            // Both halves of the capture must hold the whole.
            .cap(READ_CAP * 2)
            .run(&self.git.children, &self.cancel)
            .await
            .map(Some)
    }

    /// The links of a tree, path to target.
    pub(super) async fn links(&self, treeish: &str) -> Result<BTreeMap<String, String>, GitError> {
        let mut links = self.entries(treeish).await?;
        links.retain(|entry| entry.mode == MODE_LINK);
        if links.is_empty() {
            return Ok(BTreeMap::new());
        }
        let wanted: String = links.iter().map(|entry| format!("{}\n", entry.id)).collect();
        let output = self
            .local("cat-file")
            .arg("--batch")
            .stdin(wanted)
            .cap(READ_CAP * 2)
            .run(&self.git.children, &self.cancel)
            .await?;
        let targets = parse_batch(&output).filter(|targets| targets.len() == links.len());
        let targets = targets.ok_or_else(|| GitError::Unreadable {
            verb: "cat-file",
            output: format!("the targets of the links of {treeish}"),
        })?;
        Ok(links.into_iter().map(|entry| entry.path).zip(targets).collect())
    }

    /// The paths of all files of a tree, in git's order.
    pub async fn list(&self, treeish: &str) -> Result<Vec<String>, GitError> {
        Ok(self.entries(treeish).await?.into_iter().map(|entry| entry.path).collect())
    }

    /// The ids of a tree's files by path: the same id is the same content.
    pub async fn ids(&self, treeish: &str) -> Result<BTreeMap<String, String>, GitError> {
        let entries = self.entries(treeish).await?;
        Ok(entries.into_iter().map(|entry| (entry.path, entry.id)).collect())
    }

    pub(super) async fn entries(&self, treeish: &str) -> Result<Vec<TreeEntry>, GitError> {
        let listed = self
            .local("ls-tree")
            .args(["-r", "-z", "-l", "--full-tree", "--end-of-options", treeish])
            .cap(READ_CAP)
            .run(&self.git.children, &self.cancel)
            .await?;
        Ok(parse_tree(&listed))
    }
}

/// One line of `ls-tree -l`.
pub(super) struct TreeEntry {
    pub(super) mode: u32,
    pub(super) id: String,
    /// Only files and links have one.
    pub(super) size: Option<u64>,
    pub(super) path: String,
}

fn parse_tree(output: &[u8]) -> Vec<TreeEntry> {
    let entry = |record: &[u8]| {
        let text = String::from_utf8_lossy(record);
        let (head, path) = text.split_once('\t')?;
        let mut fields = head.split_ascii_whitespace();
        let mode = u32::from_str_radix(fields.next()?, 8).ok()?;
        let (_kind, id, size) = (fields.next()?, fields.next()?, fields.next()?);
        let (id, path) = (id.to_owned(), path.to_owned());
        Some(TreeEntry { mode, id, size: size.parse().ok(), path })
    };
    output.split(|byte| *byte == 0).filter_map(entry).collect()
}

/// Reads `cat-file --batch`: a line with the size, the bytes, a line break.
fn parse_batch(mut output: &[u8]) -> Option<Vec<String>> {
    let mut contents = Vec::new();
    while !output.is_empty() {
        let end = output.iter().position(|byte| *byte == b'\n')?;
        let head = std::str::from_utf8(&output[..end]).ok()?;
        let size: usize = head.rsplit(' ').next()?.parse().ok()?;
        let rest = &output[end + 1..];
        contents.push(String::from_utf8_lossy(rest.get(..size)?).into_owned());
        output = rest.get(size + 1..)?;
    }
    Some(contents)
}

/// Reads `--raw --numstat -z`: all raw records come first, then the counts in the same order.
fn parse_changes(output: &[u8]) -> Option<Vec<(FileChange, String)>> {
    let mut words = output.split(|byte| *byte == 0).map(String::from_utf8_lossy).peekable();
    let mut changes = Vec::new();
    while let Some(head) = words.next_if(|word| word.starts_with(':')) {
        let mut fields = head[1..].split(' ');
        let old_mode = u32::from_str_radix(fields.next()?, 8).ok()?;
        let new_mode = u32::from_str_radix(fields.next()?, 8).ok()?;
        let new_id = fields.nth(1)?.to_owned();
        let status = match fields.next()?.chars().next()? {
            'A' => FileStatus::Added,
            'M' => FileStatus::Modified,
            'D' => FileStatus::Deleted,
            'R' => FileStatus::Renamed,
            'T' => FileStatus::TypeChanged,
            _ => return None,
        };
        let first = words.next()?.into_owned();
        let (path, old_path) = match status {
            FileStatus::Renamed => (words.next()?.into_owned(), Some(first)),
            FileStatus::Added
            | FileStatus::Modified
            | FileStatus::Deleted
            | FileStatus::TypeChanged => (first, None),
        };
        let change = FileChange {
            path,
            old_path,
            status,
            old_mode,
            new_mode,
            added_lines: 0,
            deleted_lines: 0,
            binary: false,
            size: 0,
        };
        changes.push((change, new_id));
    }
    for (change, _) in &mut changes {
        let counts = words.next()?;
        let mut fields = counts.splitn(3, '\t');
        let (added, deleted) = (fields.next()?, fields.next()?);
        change.binary = added == "-";
        change.added_lines = added.parse().unwrap_or(0);
        change.deleted_lines = deleted.parse().unwrap_or(0);
        if fields.next()?.is_empty() {
            // A rename: both names follow.
            words.next()?;
            words.next()?;
        }
    }
    words.all(|rest| rest.is_empty()).then_some(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_of_a_batch_are_told_apart() {
        let texts = parse_batch(b"aa blob 3\na\nb\nbb blob 0\n\n").expect("readable");
        assert_eq!(texts, ["a\nb", ""]);
        assert!(parse_batch(b"aa missing\n").is_none());
        assert!(parse_batch(b"aa blob 9\nshort\n").is_none());
    }

    #[test]
    fn raw_and_numstat_are_read_together() {
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        let text = format!(
            ":100644 100644 {a} {b} M\0tab\there\0:100644 100755 {a} {b} R090\0old\0new\nline\0\
             :100644 000000 {a} {b} D\0gone\0\
             1\t2\ttab\there\0-\t-\t\0old\0new\nline\x000\t5\tgone\0"
        );
        let parsed = parse_changes(text.as_bytes()).expect("readable");
        assert_eq!(parsed.len(), 3);
        assert_eq!((parsed[0].0.path.as_str(), parsed[0].0.added_lines), ("tab\there", 1));
        assert_eq!(parsed[1].0.old_path.as_deref(), Some("old"));
        assert_eq!((parsed[1].0.path.as_str(), parsed[1].0.binary), ("new\nline", true));
        assert_eq!((parsed[2].0.status, parsed[2].0.deleted_lines), (FileStatus::Deleted, 5));
        assert!(parse_changes(b"garbage\0").is_none());
        assert!(parse_changes(b"").is_some_and(|none| none.is_empty()));
    }
}
