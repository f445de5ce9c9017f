//! The bare repository beside a clone: Foreman's own, where git works for it.
//!
//! Borrows the clone's objects and owns everything else: configuration, refs, what is fetched. It
//! can be made anew at any time. Never writes into the clone.

use std::fs;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use super::super::checkout;
use super::super::command::{Command, Login, failure};
use super::super::mirror::{blocking, parse_id};
use super::super::remote::check_url;
use super::super::{Git, GitError};
use super::layout::{Layout, quoted};
use crate::domain::ids::CommitId;

/// Where the remote's branches are as last fetched.
const REMOTE: &str = "refs/foreman/remote/";
/// The clone's own commit, so that it counts as had when fetching.
const LOCAL: &str = "refs/foreman/local";
/// What its own configuration holds. Everything else comes with each command.
const CONFIGURATION: &str = "\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
";

/// A branch of the remote and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteTip {
    pub branch: String,
    pub commit: CommitId,
}

#[derive(Debug, Clone)]
pub(super) struct Shadow {
    pub git: Git,
    pub cancel: CancellationToken,
    pub dir: PathBuf,
    objects: PathBuf,
    shallow: PathBuf,
}

impl Shadow {
    pub fn new(git: Git, dir: PathBuf, layout: &Layout, cancel: CancellationToken) -> Self {
        let shallow = layout.common_dir.join("shallow");
        Self { git, cancel, dir, objects: layout.objects(), shallow }
    }

    pub fn local(&self, verb: &'static str) -> Command {
        Command::new(verb, &self.dir)
    }

    /// Runs a command; anything but exit code 0 is an error.
    pub async fn run(&self, command: Command) -> Result<Vec<u8>, GitError> {
        command.run(&self.git.children, &self.cancel).await
    }

    /// Makes it where it is missing, and points it to the clone's objects as they are now.
    pub async fn open(&self) -> Result<(), GitError> {
        if !self.dir.join("HEAD").is_file() {
            self.make().await?;
        }
        let (dir, objects, shallow) =
            (self.dir.clone(), self.objects.clone(), self.shallow.clone());
        blocking(move || {
            let info = dir.join("objects/info");
            fs::create_dir_all(&info).map_err(GitError::io("make", &info))?;
            let mut line = quoted(&objects);
            line.push(b'\n');
            write_if_other(&info.join("alternates"), &line)?;
            let own = dir.join("shallow");
            match fs::read(&shallow) {
                Ok(bytes) => write_if_other(&own, &bytes),
                Err(_) if own.exists() => {
                    fs::remove_file(&own).map_err(GitError::io("remove", &own))
                }
                Err(_) => Ok(()),
            }
        })
        .await
    }

    /// Starts anew: what it borrowed may be gone from the clone.
    pub async fn remake(&self) -> Result<(), GitError> {
        let dir = self.dir.clone();
        blocking(move || checkout::remove_now(&dir)).await?;
        self.open().await
    }

    async fn make(&self) -> Result<(), GitError> {
        let dir = self.dir.clone();
        blocking(move || {
            checkout::remove_now(&dir)?;
            fs::create_dir_all(&dir).map_err(GitError::io("make", &dir))
        })
        .await?;
        let init = self.local("init").args(["--quiet", "--bare", "--template="]);
        self.run(init.args(["--initial-branch=none", "--object-format=sha1"])).await?;
        let config = self.dir.join("config");
        fs::write(&config, CONFIGURATION).map_err(GitError::io("write", &config))
    }

    /// Puts our HEAD where the clone's is, detached, and keeps the commit as had.
    pub fn stand_at(&self, commit: &CommitId) -> Result<(), GitError> {
        let line = format!("{commit}\n");
        write_if_other(&self.dir.join("HEAD"), line.as_bytes())?;
        let local = self.dir.join(LOCAL);
        if let Some(folder) = local.parent() {
            fs::create_dir_all(folder).map_err(GitError::io("make", folder))?;
        }
        write_if_other(&local, line.as_bytes())
    }

    /// The settings of a file, each ended by NUL. What it includes is not followed.
    pub async fn list_config(&self, file: &Path) -> Result<Vec<u8>, GitError> {
        let list = self.local("config").arg("--file").arg(file);
        self.run(list.args(["--no-includes", "--null", "--list"])).await
    }

    /// Where the remote's branch is; its own choice of branch where none is named.
    pub async fn remote_tip(
        &self,
        url: &str,
        token: Option<&SecretString>,
        branch: Option<&str>,
    ) -> Result<Option<RemoteTip>, GitError> {
        let command = self.remote("ls-remote", url, token)?;
        let command = command.args(["--quiet", "--symref", "--end-of-options"]).arg(url);
        let command = match branch {
            Some(branch) => command.arg(format!("refs/heads/{branch}")),
            None => command.args(["HEAD", "refs/heads/*"]),
        };
        let listed = self.run(command).await?;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let chosen = match branch {
            Some(branch) => Some(branch.to_owned()),
            None => listed.lines().find_map(|line| {
                let (target, name) = line.strip_prefix("ref: refs/heads/")?.split_once('\t')?;
                (name == "HEAD").then(|| target.to_owned())
            }),
        };
        let Some(branch) = chosen else { return Ok(None) };
        let wanted = format!("refs/heads/{branch}");
        let id = listed.lines().find_map(|line| {
            line.split_once('\t').filter(|(_, name)| *name == wanted).map(|(id, _)| id)
        });
        let commit = id.map(|id| parse_id("ls-remote", id)).transpose()?;
        Ok(commit.map(|commit| RemoteTip { branch, commit }))
    }

    /// Brings the branch here.
    pub async fn fetch(
        &self,
        url: &str,
        token: Option<&SecretString>,
        branch: &str,
    ) -> Result<CommitId, GitError> {
        let fetch = self
            .remote("fetch", url, token)?
            // Git would ask the clone itself for its refs, by a git that reads its configuration.
            .config("core.alternateRefsCommand=true")
            .args(["--quiet", "--force", "--no-tags", "--no-write-fetch-head"])
            .args(["--no-auto-maintenance", "--no-recurse-submodules", "--end-of-options"])
            .arg(url)
            .arg(format!("+refs/heads/{branch}:{REMOTE}{branch}"));
        self.run(fetch).await?;
        self.fetched(branch).ok_or_else(|| GitError::Unknown { object: branch.to_owned() })
    }

    /// What was fetched last. Nothing packs these refs: each is a file.
    pub fn fetched(&self, branch: &str) -> Option<CommitId> {
        super::super::paths::check_ref(branch).ok()?;
        fs::read_to_string(self.dir.join(REMOTE).join(branch)).ok()?.trim().parse().ok()
    }

    fn remote(
        &self,
        verb: &'static str,
        url: &str,
        token: Option<&SecretString>,
    ) -> Result<Command, GitError> {
        if !url.contains("://") {
            // A folder on this machine.
            return Ok(self.local(verb).remote(url, None));
        }
        let (_, origin) = check_url(url, self.git.plain_host.as_deref())?;
        let login = match (origin, token) {
            (Some(origin), Some(token)) => Some(Login { origin, token: token.clone() }),
            (None, _) | (_, None) => None,
        };
        Ok(self.local(verb).remote(url, login))
    }

    /// Whether the first of the commits are all ancestors of the last.
    pub async fn all_within(&self, olds: &[CommitId], tip: &CommitId) -> Result<bool, GitError> {
        let mut input = String::new();
        for old in olds {
            input.push_str(&format!("{old}\n"));
        }
        input.push_str(&format!("^{tip}\n"));
        let outside = self.local("rev-list").args(["--ignore-missing", "--max-count=1", "--stdin"]);
        Ok(self.run(outside.stdin(input)).await?.trim_ascii().is_empty())
    }

    /// Whether the clone's own objects hold the commit and its tree: the shadow may have them from
    /// the remote where the clone lost them.
    pub async fn clone_owns(&self, commit: &CommitId) -> Result<bool, GitError> {
        let ask = self.local("cat-file").args(["-e", &format!("{commit}^{{tree}}")]);
        let ask = ask.env("GIT_OBJECT_DIRECTORY", &self.objects);
        Ok(ask.output(&self.git.children, &self.cancel).await?.code == Some(0))
    }

    pub async fn output(
        &self,
        verb: &'static str,
        command: Command,
        good: &[i32],
    ) -> Result<(i32, Vec<u8>), GitError> {
        let output = command.output(&self.git.children, &self.cancel).await?;
        match output.code {
            Some(code) if good.contains(&code) && output.stdout.left_out() == 0 => {
                Ok((code, output.stdout.bytes()))
            }
            Some(_) | None => Err(failure(verb, &self.dir, None, &output)),
        }
    }
}

fn write_if_other(path: &Path, bytes: &[u8]) -> Result<(), GitError> {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    fs::write(path, bytes).map_err(GitError::io("write", path))
}
