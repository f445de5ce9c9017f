//! Git, with real repositories: mirrors, workspaces, captures, commits and pushes.

mod capture;
mod http_server;
mod over_http;
mod publish;
mod workspace;

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use foreman::domain::ids::{CommitId, RepoName};
use foreman::git::{Author, Git, Mirror};
use foreman::process::Children;
use tokio_util::sync::CancellationToken;

use crate::support::git::{person, run, write};

/// An origin with one commit on `main`, a data folder, and a mirror of the one in the other.
struct Place {
    dir: tempfile::TempDir,
    git: Git,
    mirror: Mirror,
    base: CommitId,
}

/// Runs git as a person would, always at the same time.
fn git(dir: &Path, args: &[&str]) -> String {
    let at = "@1700000000 +0000";
    let mut command = person(dir, args);
    command.envs([("GIT_AUTHOR_DATE", at), ("GIT_COMMITTER_DATE", at)]);
    run(&mut command).unwrap_or_else(|error| panic!("{error}")).trim().to_owned()
}

fn repo() -> RepoName {
    "Acme/App".parse().expect("valid")
}

fn starter(data: &Path) -> Git {
    let children = Children::start(PathBuf::from(env!("CARGO_BIN_EXE_foreman"))).expect("started");
    Git::new(children, data).expect("git")
}

fn author() -> Author {
    Author { name: "Foreman".into(), email: "foreman@example.org".into() }
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).expect("a time")
}

impl Place {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let seed = dir.path().join("seed");
        std::fs::create_dir(&seed).expect("made");
        git(&seed, &["init", "--quiet"]);
        write(&seed, "README.md", "# App\n");
        write(
            &seed,
            "src/lib.rs",
            "pub fn one() -> u32 {\n    1\n}\n// filler so that renames\n// are found by likeness\n",
        );
        write(&seed, "tool.sh", "#!/bin/sh\n");
        write(&seed, ".gitignore", "/target\nnode_modules/\n*.log\n");
        write(&seed, "kept.log", "ignored by name, tracked all the same\n");
        git(&seed, &["add", "--force", "--all"]);
        git(&seed, &["commit", "--quiet", "--message", "first"]);
        git(dir.path(), &["clone", "--quiet", "--bare", "seed", "origin.git"]);
        let git_handle = starter(&dir.path().join("data"));
        let url = format!("file://{}", dir.path().join("origin.git").display());
        let mirror =
            git_handle.mirror(&repo(), &url, None, CancellationToken::new()).await.expect("mirror");
        let base = mirror.tip("main").await.expect("read").expect("main is there");
        Self { dir, git: git_handle, mirror, base }
    }

    fn origin(&self) -> PathBuf {
        self.dir.path().join("origin.git")
    }

    fn url(&self) -> String {
        format!("file://{}", self.origin().display())
    }

    /// A fresh workspace at the base.
    async fn workspace(&self, name: &str) -> PathBuf {
        let dir = self.dir.path().join("work").join(name);
        self.mirror.checkout(&self.base, &dir, None).await.expect("checked out");
        dir
    }

    /// Someone commits on the origin's branch.
    fn someone_commits(&self, branch: &str, path: &str, text: &str) -> CommitId {
        let seed = self.dir.path().join("seed");
        git(&seed, &["checkout", "--quiet", "-B", branch]);
        write(&seed, path, text);
        git(&seed, &["add", "--all"]);
        git(&seed, &["commit", "--quiet", "--message", "by someone"]);
        git(&seed, &["push", "--quiet", "--force", "../origin.git", branch]);
        git(&seed, &["rev-parse", "HEAD"]).parse().expect("a commit")
    }

    /// A commit of ours on the base, with one file written.
    async fn our_commit(&self, path: &str, text: &str) -> CommitId {
        let dir = self.workspace(&uuid::Uuid::new_v4().to_string()).await;
        write(&dir, path, text);
        let captured = self.mirror.capture(&dir, &self.base).await.expect("captured");
        self.mirror
            .commit(&captured.tree, &self.base, "Work\n", &author(), at(1_800_000_000))
            .await
            .expect("committed")
    }
}
