//! Reading a builder's workspace into a tree of the mirror.
//!
//! The host reads files with a fresh index and its own git directory; the workspace's `.git`, its
//! configuration, hooks and index are never looked at. Whoever wrote there is dead by now, so that
//! what is checked is what is read. Never commits.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::changes::{FileChange, MODE_GITLINK, TreeOrCommit};
use super::error::{GitError, Refusal};
use super::mirror::{Mirror, blocking, parse_id};
use super::paths::{self, LinkEnd};
use crate::domain::ids::{CommitId, TreeId};

/// GitHub refuses a push that holds a larger file.
const LARGEST_FILE: u64 = 100 << 20;

/// A workspace as a tree, and how it differs from its base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    pub tree: TreeId,
    pub changes: Vec<FileChange>,
}

impl Mirror {
    /// Reads the workspace at `dir` into a tree.
    ///
    /// What `.gitignore` names is left out, unless `base` holds it. Refuses what must not get into
    /// a commit: nested repositories, gitlinks, links out of the tree, names that are `.git`
    /// somewhere. What the base already holds and nobody changed is not refused.
    pub async fn capture(&self, dir: &Path, base: &CommitId) -> Result<Captured, GitError> {
        let dir = dir.canonicalize().map_err(GitError::io("find", dir))?;
        let scratch = self.scratch()?;
        let index = scratch.path().join("index");
        let command = |verb| self.local(verb).env("GIT_INDEX_FILE", &index);
        let (children, cancel) = (&self.git.children, &self.cancel);

        command("read-tree").arg(base.as_str()).run(children, cancel).await?;
        let found = {
            let dir = dir.clone();
            blocking(move || scan(&dir)).await?
        };
        let found_attributes = found.attributes;
        self.refuse_before_reading(&dir, &index, base, found).await?;

        let added = command("add")
            .args(["--all", "--", "."])
            .work_tree(&dir)
            .output(children, cancel)
            .await?;
        if added.code != Some(0) {
            return Err(match super::command::failure("add", self.path(), None, &added) {
                // What git will not take from the workspace is the workspace's fault.
                GitError::Failed { detail, .. } => GitError::Refused(vec![Refusal {
                    path: ".".to_owned(),
                    why: format!("cannot be read by git: {detail}"),
                }]),
                other => other,
            });
        }
        if found_attributes {
            self.leave_untouched(&dir, &index, base).await?;
        }
        let tree = command("write-tree").run(children, cancel).await?;
        let tree: TreeId = parse_id("write-tree", &String::from_utf8_lossy(&tree))?;
        let changes = self.changes(base, &TreeOrCommit::Tree(tree.clone())).await?;
        let mut refusals: Vec<Refusal> = changes.iter().filter_map(refuse_change).collect();
        refusals.extend(self.refuse_links(base, &tree).await?);
        if refusals.is_empty() {
            Ok(Captured { tree, changes })
        } else {
            Err(GitError::Refused(refusals))
        }
    }

    /// What must be refused before git reads the workspace, because git itself would look into it.
    async fn refuse_before_reading(
        &self,
        dir: &Path,
        index: &Path,
        base: &CommitId,
        found: Found,
    ) -> Result<(), GitError> {
        let mut refusals = Vec::new();
        if !found.git_like.is_empty() {
            let ignored = self.ignored(dir, index, &found.git_like).await?;
            for path in found.git_like {
                if !ignored.contains(&path) {
                    refusals.push(refusal(&path, "is a nested `.git`, or is one on some systems"));
                }
            }
        }
        if !found.special.is_empty() {
            // Git passes over pipes and sockets, but not where a file of the base was.
            let held: BTreeSet<_> = self.list(base.as_str()).await?.into_iter().collect();
            for path in found.special {
                if held.contains(path.to_string_lossy().as_ref()) {
                    refusals.push(refusal(&path, "was a file and is now a pipe, socket or device"));
                }
            }
        }
        for path in found.linked_modules {
            refusals.push(refusal(&path, "is a link; git reads submodules from it"));
        }
        for (path, error) in found.unreadable {
            refusals.push(refusal(&path, &format!("cannot be read: {error}")));
        }
        if refusals.is_empty() { Ok(()) } else { Err(GitError::Refused(refusals)) }
    }

    /// Which of the paths lie where `.gitignore` keeps git from looking, such as a dependency
    /// folder that a package manager filled with clones.
    async fn ignored(
        &self,
        dir: &Path,
        index: &Path,
        paths: &[PathBuf],
    ) -> Result<BTreeSet<PathBuf>, GitError> {
        // Git never asks whether `.git` itself is ignored, only its folder.
        let folder = |path: &Path| path.parent().map(Path::to_owned).unwrap_or_default();
        let mut input = Vec::new();
        for path in paths.iter().map(|path| folder(path)).filter(|f| !f.as_os_str().is_empty()) {
            input.extend_from_slice(path.as_os_str().as_bytes());
            input.push(0);
        }
        if input.is_empty() {
            return Ok(BTreeSet::new());
        }
        let output = self
            .local("check-ignore")
            .args(["-z", "--stdin"])
            .work_tree(dir)
            .env("GIT_INDEX_FILE", index)
            .stdin(input)
            .output(&self.git.children, &self.cancel)
            .await?;
        if output.code != Some(0) {
            // 1 says that none is. Anything else comes from a path that git cannot place, say
            // inside a submodule of the base: not ignored, then, and so refused.
            return Ok(BTreeSet::new());
        }
        let bytes = output.stdout.bytes();
        let folders: BTreeSet<&[u8]> = bytes.split(|byte| *byte == 0).collect();
        let is_in = |path: &&PathBuf| folders.contains(folder(path).as_os_str().as_bytes());
        Ok(paths.iter().filter(is_in).cloned().collect())
    }

    /// Links that lead out of the new tree and did not already do so in the base. All links are
    /// looked at: changing one can turn another outwards.
    async fn refuse_links(&self, base: &CommitId, tree: &TreeId) -> Result<Vec<Refusal>, GitError> {
        let new = self.links(tree.as_str()).await?;
        let complaints: Vec<_> = new
            .keys()
            .filter_map(|path| {
                let end = paths::link_end(path, &new);
                end.complaint().map(|why| (path, end, why))
            })
            .collect();
        if complaints.is_empty() {
            return Ok(Vec::new());
        }
        let old = self.links(base.as_str()).await?;
        let was_so = |path: &str, end: LinkEnd| {
            old.get(path) == new.get(path) && paths::link_end(path, &old) == end
        };
        Ok(complaints
            .into_iter()
            .filter(|(path, end, _)| !was_so(path, *end))
            .map(|(path, _, why)| Refusal { path: path.clone(), why: why.to_owned() })
            .collect())
    }
}

fn refuse_change(change: &FileChange) -> Option<Refusal> {
    let why = if change.new_mode == MODE_GITLINK {
        "is a gitlink (a nested repository or submodule)"
    } else if change.size > LARGEST_FILE {
        "is larger than the 100 MiB that GitHub takes"
    } else if change.path.contains(char::REPLACEMENT_CHARACTER) {
        // Its name could not be checked, shown or asked for again.
        "has a name that is not UTF-8"
    } else {
        return None;
    };
    Some(Refusal { path: change.path.clone(), why: why.to_owned() })
}

fn refusal(path: &Path, why: &str) -> Refusal {
    Refusal { path: path.to_string_lossy().into_owned(), why: why.to_owned() }
}

/// What a walk over the workspace found; paths are relative to it.
#[derive(Default)]
struct Found {
    git_like: Vec<PathBuf>,
    special: Vec<PathBuf>,
    linked_modules: Vec<PathBuf>,
    unreadable: Vec<(PathBuf, String)>,
    /// Whether there is a `.gitattributes`, so that git may convert what it reads.
    attributes: bool,
}

/// Walks the workspace without following links. Its own `.git` is not entered.
fn scan(root: &Path) -> Result<Found, GitError> {
    let mut found = Found::default();
    let mut todo = vec![PathBuf::new()];
    while let Some(folder) = todo.pop() {
        let full = root.join(&folder);
        let entries = match std::fs::read_dir(&full) {
            Ok(entries) => entries,
            Err(error) if !folder.as_os_str().is_empty() => {
                // Too deep, or closed to us: a builder made it so.
                found.unreadable.push((folder, error.to_string()));
                continue;
            }
            Err(error) => return Err(GitError::io("read", &full)(error)),
        };
        for entry in entries {
            let entry = entry.map_err(GitError::io("read", &full))?;
            let name = entry.file_name();
            let path = folder.join(&name);
            if folder.as_os_str().is_empty() && name == ".git" {
                continue;
            }
            let kind = entry.file_type().map_err(GitError::io("look at", &full))?;
            if paths::is_dot_git(name.as_bytes()) {
                found.git_like.push(path);
            } else if kind.is_dir() {
                todo.push(path);
            } else if kind.is_symlink() {
                if folder.as_os_str().is_empty() && name.eq_ignore_ascii_case(".gitmodules") {
                    found.linked_modules.push(path);
                }
            } else if !kind.is_file() {
                found.special.push(path);
            } else if name == ".gitattributes" {
                found.attributes = true;
            }
        }
    }
    Ok(found)
}
