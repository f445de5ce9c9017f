//! Drift on a clone of 50,000 files and 10,000 commits, against the bare git commands that it
//! needs, in the same run. The target is a ratio below 1.2.
//!
//! `cargo bench --bench desktop`

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use foreman::desktop_sync::{DesktopSync, DriftState, LocalBuilder, Repository, Settings};
use foreman::git::{Author, Git};
use foreman::github::GitHub;
use foreman::process::Children;

const FILES: u32 = 50_000;
const COMMITS: u32 = 10_000;
const ROUNDS: usize = 15;

fn git(dir: &Path, args: &[&str], input: Option<&str>) -> String {
    let mut child = Command::new("git")
        .args(args)
        .current_dir(dir)
        .envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1"), ("LC_ALL", "C")])
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("git starts");
    if let (Some(mut pipe), Some(input)) = (child.stdin.take(), input) {
        pipe.write_all(input.as_bytes()).expect("written");
    }
    let output = child.wait_with_output().expect("git ends");
    assert!(output.status.success(), "git {args:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// One commit with all files, then small ones.
fn history() -> String {
    let who = "committer Dev <dev@example.org> 1700000000 +0000\n";
    let mut out = format!("commit refs/heads/main\nmark :1\n{who}data 5\nfirst\n");
    for n in 0..FILES {
        let text = format!("file {n}\n");
        let path = format!("d{}/e{}/f{n}.txt", n % 50, n % 500);
        write!(out, "M 100644 inline {path}\ndata {}\n{text}\n", text.len()).expect("a string");
    }
    for n in 1..COMMITS {
        let text = format!("change {n}\n");
        let file = (n * 7) % FILES;
        let path = format!("d{}/e{}/f{file}.txt", file % 50, file % 500);
        write!(
            out,
            "commit refs/heads/main\nmark :{}\n{who}data 4\nnext\nfrom :{n}\nM 100644 inline {path}\ndata {}\n{text}\n",
            n + 1,
            text.len()
        )
        .expect("a string");
    }
    out
}

fn desktop(dir: &Path) -> DesktopSync {
    rustls::crypto::ring::default_provider().install_default().ok();
    let settings = Settings {
        enabled: true,
        repositories: vec![Repository {
            id: "app".into(),
            path: dir.join("clone"),
            branch: Some("main".into()),
        }],
        interval: Duration::from_secs(1_800),
        switch_after_failures: 3,
        return_after_healthy: 3,
        merge_diverged: true,
        auto_merge: false,
        builder: LocalBuilder::default(),
        api_url: "http://127.0.0.1:9".parse().expect("a url"),
        author: Author { name: "F".into(), email: "f@localhost".into() },
        folder: dir.join("data/desktop"),
    };
    let children = Children::start(PathBuf::from(env!("CARGO_BIN_EXE_foreman"))).expect("started");
    let git = Git::new(children, &dir.join("data")).expect("git");
    let github = GitHub::new(&settings.api_url, None).expect("a client");
    DesktopSync::new(settings, git, github, None)
}

/// What a person would have to run to know the same, one after the other.
fn by_hand(clone: &Path) -> Duration {
    let begun = Instant::now();
    git(clone, &["ls-remote", "origin", "refs/heads/main"], None);
    git(clone, &["rev-list", "--left-right", "--count", "HEAD...origin/main"], None);
    let changed = git(clone, &["diff-tree", "-r", "--name-only", "HEAD", "origin/main"], None);
    git(clone, &["status", "--porcelain=v2", "--untracked-files=no"], None);
    let paths = format!("{changed}\n");
    git(clone, &["check-attr", "--source=origin/main", "--stdin", "filter"], Some(&paths));
    git(clone, &["diff", "--name-only", "HEAD"], None);
    begun.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn main() {
    if !std::env::args().any(|arg| arg == "--bench") {
        // The tests only see whether it still compiles: making the history takes a while.
        return;
    }
    let place = tempfile::tempdir().expect("a folder");
    let dir = place.path();
    git(dir, &["init", "--quiet", "--bare", "--initial-branch=main", "origin.git"], None);
    git(&dir.join("origin.git"), &["fast-import", "--quiet"], Some(&history()));
    git(dir, &["clone", "--quiet", "origin.git", "clone"], None);
    let clone = dir.join("clone");
    // Ten commits behind.
    git(&clone, &["reset", "--quiet", "--hard", "HEAD~10"], None);
    std::thread::sleep(Duration::from_secs(1));
    git(&clone, &["status"], None);

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let desktop = desktop(dir);
        let first = Instant::now();
        let drift = desktop.drift("app").await.expect("known");
        let first = first.elapsed();
        assert_eq!((drift.state, drift.behind), (DriftState::Behind, 10), "{drift:?}");
        assert!(drift.safe_to_merge, "{:?}", drift.blockers);
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            bare.push(by_hand(&clone));
            let begun = Instant::now();
            desktop.drift("app").await.expect("known");
            ours.push(begun.elapsed());
        }
        let (ours, bare) = (median(ours), median(bare));
        println!("{FILES} files, {COMMITS} commits, 10 behind; median of {ROUNDS}");
        println!("first look, with its fetch: {first:?}");
        println!(
            "drift {ours:?}, bare git {bare:?}, ratio {:.2}",
            ours.as_secs_f64() / bare.as_secs_f64()
        );
    });
}
