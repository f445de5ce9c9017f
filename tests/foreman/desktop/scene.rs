//! A remote, somebody who pushes to it, and a person's clone of it, copied from one template so that
//! each state costs little.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use foreman::desktop_sync::{DesktopSync, LocalBuilder, Repository, Settings};
use foreman::git::{Author, Git};
use foreman::github::GitHub;
use foreman::process::Children;
use foreman::store::Store;

pub use crate::support::git::write;
use crate::support::git::{person, run};

/// Runs git as a person would, without this machine's configuration.
pub fn try_git(dir: &Path, args: &[&str]) -> Result<String, String> {
    run(&mut person(dir, args))
}

pub fn git(dir: &Path, args: &[&str]) -> String {
    try_git(dir, args).unwrap_or_else(|error| panic!("{error}"))
}

/// A remote with two commits, somebody's clone of it (`seed`) and the person's (`clone`); remotes
/// are relative, so that the whole can be copied.
fn template() -> &'static Path {
    static MADE: OnceLock<tempfile::TempDir> = OnceLock::new();
    MADE.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a folder");
        let at = dir.path();
        git(at, &["init", "--quiet", "--initial-branch=main", "seed"]);
        let seed = at.join("seed");
        write(&seed, "README.md", "# App\n");
        write(&seed, ".gitignore", "*.log\nbuild/\n");
        write(&seed, "src/lib.rs", &(0..40).map(|n| format!("// line {n}\n")).collect::<String>());
        write(&seed, "src/deep/er/file.txt", "deep\n");
        write(&seed, "tool.sh", "#!/bin/sh\n");
        write(&seed, "alone/only.txt", "the only one in its folder\n");
        std::os::unix::fs::symlink("README.md", seed.join("link")).expect("a link");
        commit(&seed, "first");
        write(&seed, "other.txt", "other\n");
        commit(&seed, "second");
        git(at, &["clone", "--quiet", "--bare", "seed", "origin.git"]);
        git(&seed, &["remote", "add", "origin", "../origin.git"]);
        git(at, &["clone", "--quiet", "origin.git", "clone"]);
        git(&at.join("clone"), &["remote", "set-url", "origin", "../origin.git"]);
        dir
    })
    .path()
}

pub fn commit(dir: &Path, message: &str) -> String {
    git(dir, &["add", "--all", "--force"]);
    git(dir, &["commit", "--quiet", "--allow-empty", "--message", message]);
    git(dir, &["rev-parse", "HEAD"])
}

pub struct Scene {
    dir: tempfile::TempDir,
    /// Where the clone is configured to be; a case may move it.
    pub path: PathBuf,
    pub branch: Option<String>,
    pub merge_diverged: bool,
}

impl Scene {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let copied = Command::new("cp")
            .args(["-a", "--"])
            .arg(template().join("."))
            .arg(dir.path())
            .status()
            .expect("cp starts");
        assert!(copied.success());
        let path = dir.path().join("clone");
        Self { dir, path, branch: None, merge_diverged: true }
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn clone_dir(&self) -> PathBuf {
        self.at("clone")
    }

    /// Git in the clone, as its owner.
    pub fn mine(&self, args: &[&str]) -> String {
        git(&self.clone_dir(), args)
    }

    /// Writes a file in the clone.
    pub fn edit(&self, path: &str, text: &str) {
        write(&self.clone_dir(), path, text);
    }

    pub fn i_commit(&self, path: &str, text: &str) -> String {
        self.edit(path, text);
        commit(&self.clone_dir(), "mine")
    }

    /// Somebody changes a file and pushes.
    pub fn someone(&self, path: &str, text: &str) -> String {
        self.someone_does(|seed| write(seed, path, text))
    }

    /// Somebody changes whatever they like and pushes.
    pub fn someone_does(&self, change: impl FnOnce(&Path)) -> String {
        let seed = self.at("seed");
        change(&seed);
        let id = commit(&seed, "theirs");
        git(&seed, &["push", "--quiet", "--force", "origin", "HEAD"]);
        id
    }

    pub fn settings(&self) -> Settings {
        Settings {
            enabled: true,
            repositories: vec![Repository {
                id: "app".to_owned(),
                path: self.path.clone(),
                branch: self.branch.clone(),
            }],
            interval: Duration::from_secs(1_800),
            switch_after_failures: 3,
            return_after_healthy: 3,
            merge_diverged: self.merge_diverged,
            auto_merge: false,
            builder: LocalBuilder::default(),
            api_url: "http://127.0.0.1:9".parse().expect("a url"),
            author: Author { name: "Foreman".into(), email: "foreman@localhost".into() },
            folder: self.at("data/desktop"),
        }
    }

    pub fn desktop(&self) -> DesktopSync {
        self.desktop_with(self.settings())
    }

    pub fn desktop_with(&self, settings: Settings) -> DesktopSync {
        self.desktop_telling(settings, None)
    }

    /// One that writes its events down.
    pub fn desktop_telling(&self, settings: Settings, store: Option<Store>) -> DesktopSync {
        rustls::crypto::ring::default_provider().install_default().ok();
        let helper = PathBuf::from(env!("CARGO_BIN_EXE_foreman"));
        let children = Children::start(helper).expect("started");
        let git = Git::new(children, &self.at("data")).expect("git");
        let github = GitHub::new(&settings.api_url, None).expect("a client");
        DesktopSync::new(settings, git, github, store)
    }
}

/// Every file below a folder with its mode and content; what `leave_out` names is not looked at.
pub fn fingerprint(dir: &Path, leave_out: &[&str]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(folder) = todo.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            let short = path.strip_prefix(dir).expect("below").to_string_lossy().into_owned();
            if leave_out.iter().any(|it| short == *it || short.starts_with(&format!("{it}/"))) {
                continue;
            }
            let meta = path.symlink_metadata().expect("it is there");
            let what = if meta.is_dir() {
                todo.push(path);
                "folder".to_owned()
            } else if meta.is_symlink() {
                format!("-> {}", std::fs::read_link(&path).expect("a link").display())
            } else if meta.is_file() {
                let bytes = std::fs::read(&path).unwrap_or_default();
                use sha2::Digest as _;
                let digest = hex::encode(sha2::Sha256::digest(&bytes));
                format!("{:o} {} {digest}", meta.permissions().mode(), bytes.len())
            } else {
                format!("special {}", meta.mode())
            };
            found.insert(short, what);
        }
    }
    found
}

/// What two fingerprints differ in.
pub fn differences(a: &BTreeMap<String, String>, b: &BTreeMap<String, String>) -> Vec<String> {
    let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
    keys.into_iter().filter(|key| a.get(*key) != b.get(*key)).cloned().collect()
}
