//! The one place that runs git: mirrors, clones for builders, captured trees, commits, pushes.
//!
//! Owns the data folder's `mirrors/`, which no sandbox ever sees. Never runs git on a git
//! directory that a builder could write, and never keeps a token anywhere.

mod capture;
mod changes;
mod checkout;
pub mod clone;
mod command;
mod error;
mod history;
mod local;
mod mirror;
mod paths;
mod push;
mod remote;
mod untouched;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::domain::ids::{CommitId, RepoName};
use crate::process::{Children, Spec};

pub use capture::Captured;
pub use changes::{FileChange, FileStatus, TreeOrCommit};
pub use checkout::remove_workspace;
pub use error::{GitError, Refusal};
pub use history::{Author, Merge};
pub use mirror::Mirror;
pub use push::Push;

/// The oldest git with `merge-tree --write-tree`.
const OLDEST_GIT: (u32, u32) = (2, 38);
const NEEDED: &str = "2.38";

/// Where mirrors are and how git is started. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Git {
    children: Children,
    mirrors: PathBuf,
    /// The host of an API that is plain http: its clones get the token as well.
    plain_host: Option<String>,
    /// Held by whoever makes, repairs or fetches into a mirror. `true` once this process has
    /// looked at the mirror and cleared what a killed one left.
    locks: Arc<Mutex<HashMap<String, MirrorLock>>>,
}

type MirrorLock = Arc<tokio::sync::Mutex<bool>>;

impl Git {
    /// Takes `data_dir/mirrors` as the place for mirrors.
    pub fn new(children: Children, data_dir: &Path) -> Result<Self, GitError> {
        let mirrors = data_dir.join("mirrors");
        std::fs::create_dir_all(&mirrors).map_err(GitError::io("make", &mirrors))?;
        // Git is started elsewhere, so a relative path would mean another place there.
        let mirrors = mirrors.canonicalize().map_err(GitError::io("find", &mirrors))?;
        Ok(Self { children, mirrors, plain_host: None, locks: Arc::default() })
    }

    /// The same with another place for mirrors: for who looks and keeps nothing.
    pub fn elsewhere(&self, folder: &Path) -> Result<Self, GitError> {
        let plain_host = self.plain_host.clone();
        Ok(Self { plain_host, ..Self::new(self.children.clone(), folder)? })
    }

    /// The same, for a GitHub whose API is asked over plain http.
    #[must_use]
    pub fn with_api(mut self, api_url: &Url) -> Self {
        if api_url.scheme() == "http" {
            self.plain_host = api_url.host_str().map(str::to_owned);
        }
        self
    }

    /// The version of the git that is found, when it is new enough.
    pub async fn version(&self) -> Result<String, GitError> {
        let mut spec = Spec::new("git", Path::new("/")).args(["version"]).env("LC_ALL", "C");
        if let Some(path) = std::env::var_os("PATH") {
            spec = spec.env("PATH", path);
        }
        let finished = self.children.run(spec, &CancellationToken::new()).await?;
        if !finished.ending.success() {
            return Err(GitError::Absent { needed: NEEDED });
        }
        let text = finished.stdout.text();
        let unreadable = || GitError::Unreadable { verb: "version", output: text.clone() };
        let found = text.strip_prefix("git version ").ok_or_else(unreadable)?.trim().to_owned();
        let mut numbers = found.split('.').map(str::parse::<u32>);
        let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
            return Err(unreadable());
        };
        if (major, minor) < OLDEST_GIT {
            return Err(GitError::TooOld { found, needed: NEEDED });
        }
        Ok(found)
    }

    /// Makes the repository's mirror, or brings the one there is up to date.
    ///
    /// `cancel` ends every command of the mirror that comes back.
    pub async fn mirror(
        &self,
        repo: &RepoName,
        clone_url: &str,
        token: Option<SecretString>,
        cancel: CancellationToken,
    ) -> Result<Mirror, GitError> {
        let mirror = Mirror::new(self, repo, clone_url, token, cancel)?;
        mirror.open().await?;
        Ok(mirror)
    }

    /// The mirror that is there of a repository, for its private refs alone: the remote is not asked.
    pub fn kept_mirror(
        &self,
        repo: &RepoName,
        cancel: CancellationToken,
    ) -> Result<Option<Mirror>, GitError> {
        let mirror = Mirror::new(self, repo, "https://github.com/", None, cancel)?;
        Ok(mirror.path().is_dir().then_some(mirror))
    }

    /// A branch's tip on the remote, now, without a mirror: nothing is written anywhere.
    pub async fn remote_tip(
        &self,
        repo: &RepoName,
        clone_url: &str,
        token: Option<SecretString>,
        branch: &str,
        cancel: CancellationToken,
    ) -> Result<Option<CommitId>, GitError> {
        Mirror::new(self, repo, clone_url, token, cancel)?.nowhere().remote_tip(branch).await
    }

    fn lock_of(&self, repo: &RepoName) -> MirrorLock {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(locks.entry(repo.key()).or_default())
    }
}

impl Mirror {
    /// Whose mirror it is.
    #[must_use]
    pub const fn repo(&self) -> &RepoName {
        &self.repo
    }
}
