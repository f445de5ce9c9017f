//! The bare repositories behind the stand-in, read and written with plain git.
//!
//! `std::process` here and not `process::Children`: the stand-in plays a server elsewhere, so it
//! is no child of Foreman's, and it blocks for milliseconds only. Every git starts with an empty
//! environment and no configuration of the host's.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file to commit: path, and content or `None` to delete it.
pub type FileEdit<'a> = (&'a str, Option<&'a str>);

#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub bare: PathBuf,
}

/// The environment of every git of the stand-in.
pub(super) fn git_environment() -> Vec<(&'static str, String)> {
    let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".to_owned());
    vec![
        ("PATH", path),
        ("LC_ALL", "C.UTF-8".to_owned()),
        ("HOME", "/nonexistent".to_owned()),
        ("GIT_CONFIG_GLOBAL", "/dev/null".to_owned()),
        ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
        ("GIT_TERMINAL_PROMPT", "0".to_owned()),
        ("GIT_AUTHOR_NAME", "Octo Maintainer".to_owned()),
        ("GIT_AUTHOR_EMAIL", "maintainer@example.com".to_owned()),
        ("GIT_COMMITTER_NAME", "Octo Maintainer".to_owned()),
        ("GIT_COMMITTER_EMAIL", "maintainer@example.com".to_owned()),
        // The folder may belong to whoever made it for the test.
        ("GIT_CONFIG_COUNT", "6".to_owned()),
        ("GIT_CONFIG_KEY_0", "safe.directory".to_owned()),
        ("GIT_CONFIG_VALUE_0", "*".to_owned()),
        ("GIT_CONFIG_KEY_1", "http.receivepack".to_owned()),
        ("GIT_CONFIG_VALUE_1", "true".to_owned()),
        // As github.com allows.
        ("GIT_CONFIG_KEY_2", "uploadpack.allowFilter".to_owned()),
        ("GIT_CONFIG_VALUE_2", "true".to_owned()),
        ("GIT_CONFIG_KEY_3", "uploadpack.allowAnySHA1InWant".to_owned()),
        ("GIT_CONFIG_VALUE_3", "true".to_owned()),
        ("GIT_CONFIG_KEY_4", "receive.fsckObjects".to_owned()),
        ("GIT_CONFIG_VALUE_4", "true".to_owned()),
        // Readable, but not to be pushed to, as on github.com.
        ("GIT_CONFIG_KEY_5", "receive.hideRefs".to_owned()),
        ("GIT_CONFIG_VALUE_5", "refs/pull".to_owned()),
    ]
}

impl Origin {
    /// Makes an empty bare repository.
    pub fn create(bare: &Path, default_branch: &str) -> io::Result<Self> {
        std::fs::create_dir_all(bare)?;
        let origin = Self { bare: bare.to_owned() };
        origin.git(
            &["init", "--quiet", "--bare", "--initial-branch", default_branch],
            &[],
            None,
        )?;
        Ok(origin)
    }

    /// Every branch with its tip.
    pub fn branches(&self) -> BTreeMap<String, String> {
        self.refs("refs/heads/")
            .into_iter()
            .filter_map(|(name, id)| Some((name.strip_prefix("refs/heads/")?.to_owned(), id)))
            .collect()
    }

    /// Every ref below a prefix with what it points to.
    pub fn refs(&self, prefix: &str) -> BTreeMap<String, String> {
        let format = "--format=%(refname) %(objectname)";
        // A repository whose folder is gone has no refs.
        let listing = self.git(&["for-each-ref", format, prefix], &[], None).unwrap_or_default();
        listing
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(name, id)| (name.to_owned(), id.to_owned()))
            .collect()
    }

    pub fn tip(&self, branch: &str) -> Option<String> {
        self.branches().remove(branch)
    }

    pub fn merge_base(&self, one: &str, other: &str) -> Option<String> {
        self.git(&["merge-base", one, other], &[], None).ok()
    }

    pub fn is_ancestor(&self, ancestor: &str, of: &str) -> bool {
        self.git(&["merge-base", "--is-ancestor", ancestor, of], &[], None).is_ok()
    }

    /// Whether two commits hold the same files.
    pub fn same_tree(&self, one: &str, other: &str) -> bool {
        let tree = |commit: &str| {
            self.git(&["rev-parse", "--verify", &format!("{commit}^{{tree}}")], &[], None).ok()
        };
        tree(one).is_some_and(|one| tree(other) == Some(one))
    }

    /// What a pull request between two commits shows.
    pub fn diff(&self, base: &str, head: &str) -> String {
        let range = format!("{base}...{head}");
        let shown = self.git(&["diff", "--no-ext-diff", "--no-textconv", &range], &[], None);
        shown.unwrap_or_else(|error| error.to_string())
    }

    pub fn set_ref(&self, name: &str, id: &str) -> io::Result<()> {
        self.git(&["update-ref", name, id], &[], None).map(drop)
    }

    pub fn delete_ref(&self, name: &str) -> io::Result<()> {
        self.git(&["update-ref", "-d", name], &[], None).map(drop)
    }

    /// Commits edits on top of a branch, which is made where it does not exist yet.
    pub fn commit(
        &self,
        branch: &str,
        edits: &[FileEdit<'_>],
        message: &str,
    ) -> io::Result<String> {
        let parent = self.tip(branch);
        let scratch = tempfile::tempdir()?;
        let index = [("GIT_INDEX_FILE", scratch.path().join("index").display().to_string())];
        if let Some(parent) = &parent {
            self.git(&["read-tree", parent], &index, None)?;
        }
        let mut entries = String::new();
        for (path, content) in edits {
            let line = match content {
                Some(content) => {
                    let hash = ["hash-object", "-w", "--stdin"];
                    let blob = self.git(&hash, &[], Some(content.as_bytes()))?;
                    let mode = if content.starts_with("#!") { "100755" } else { "100644" };
                    format!("{mode} {blob}\t{path}\0")
                }
                None => format!("0 {}\t{path}\0", "0".repeat(40)),
            };
            entries.push_str(&line);
        }
        self.git(&["update-index", "-z", "--index-info"], &index, Some(entries.as_bytes()))?;
        let tree = self.git(&["write-tree"], &index, None)?;
        let parents: Vec<String> = parent.into_iter().collect();
        let commit = self.commit_tree(&tree, &parents, message)?;
        self.set_ref(&format!("refs/heads/{branch}"), &commit)?;
        Ok(commit)
    }

    /// Merges one commit into a branch as GitHub's button does. Fails on a conflict.
    pub fn merge(&self, branch: &str, head: &str, message: &str) -> io::Result<String> {
        let base = self
            .tip(branch)
            .ok_or_else(|| io::Error::other(format!("there is no branch `{branch}`")))?;
        let tree = self.git(&["merge-tree", "--write-tree", &base, head], &[], None)?;
        let commit = self.commit_tree(&tree, &[base, head.to_owned()], message)?;
        self.set_ref(&format!("refs/heads/{branch}"), &commit)?;
        Ok(commit)
    }

    fn commit_tree(&self, tree: &str, parents: &[String], message: &str) -> io::Result<String> {
        let mut args = vec!["commit-tree", tree, "-m", message];
        for parent in parents {
            args.extend(["-p", parent]);
        }
        self.git(&args, &[], None)
    }

    fn git(
        &self,
        args: &[&str],
        env: &[(&str, String)],
        input: Option<&[u8]>,
    ) -> io::Result<String> {
        let mut child = Command::new("git")
            .args(args)
            .current_dir(&self.bare)
            .env_clear()
            .envs(git_environment())
            .env("GIT_DIR", &self.bare)
            .envs(env.iter().map(|(key, value)| (*key, value)))
            .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            stdin.write_all(input)?;
        }
        let output = child.wait_with_output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(io::Error::other(format!("git {}: {}", args.join(" "), said.trim())));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }
}
