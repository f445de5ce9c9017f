//! Local clones that stay in step with their remote and are never harmed.
//!
//! Owns what drift is and whether a merge is safe, health, the periodic check, and their events.
//! How a clone is read and changed is `git`'s business. Nothing here forces, stashes, resets or
//! cleans.

mod drift;
mod health;
mod library;
mod merge;
mod notes;
mod periodic;
mod quick_check;
mod records;
mod remote;

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use url::Url;

pub use library::{
    check_local_builder_health, detect_repository_drift, perform_safe_merge,
    start_periodic_health_check,
};
pub use merge::MergeReport;
pub use periodic::Standing;
pub use quick_check::{QuickCheck, QuickChecks};
pub use records::{
    BuilderHealth, DesktopSyncEvent, DesktopVerdict, DriftDetectionResult, DriftState, Health,
    RepositoryHealth, SyncEventType,
};

use crate::failpoint::Failpoints;
use crate::git::clone::{CloneError, LocalClone};
use crate::git::{Author, Git};
use crate::github::GitHub;
use crate::store::{Store, StoreError};

/// One local clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    pub id: String,
    pub path: PathBuf,
    /// Where none is named, the branch that the remote calls its own.
    pub branch: Option<String>,
}

/// The local builder, as far as its health goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalBuilder {
    /// `LOCAL_BUILDER_COMMAND`.
    pub command: Option<String>,
    /// `LOCAL_BUILDER_BASE_URL`.
    pub server: Option<Url>,
}

/// The operator's settings.
#[derive(Debug, Clone)]
pub struct Settings {
    pub enabled: bool,
    pub repositories: Vec<Repository>,
    /// Between two checks; each pause is up to a tenth longer.
    pub interval: Duration,
    pub switch_after_failures: u32,
    pub return_after_healthy: u32,
    /// Also merge where both sides have commits and nothing conflicts.
    pub merge_diverged: bool,
    /// The periodic check merges what is safe.
    pub auto_merge: bool,
    pub builder: LocalBuilder,
    /// GitHub's API: its host may get our credential.
    pub api_url: Url,
    /// Who merge commits are by.
    pub author: Author,
    /// Where the shadows of the clones are; ours alone.
    pub folder: PathBuf,
}

/// Why something about a local clone was not done.
#[derive(Debug, thiserror::Error)]
pub enum DesktopError {
    #[error(
        "there is no local clone `{0}`; it takes LOCAL_FOREMAN_APP_PATH, LOCAL_MATURION_ISMS_PATH or [[desktop.repositories]]"
    )]
    UnknownRepository(String),
    #[error("the local clones are disabled; set DESKTOP_BUILDER_ENABLED=true")]
    Disabled,
    /// Not certainly safe, so not done; the clone is as it was.
    #[error("`{id}` was not merged: {}", reasons.join("; "))]
    NotSafe { id: String, reasons: Vec<String> },
    #[error("`{id}` was not merged: its state is not known: {why}")]
    Unknown { id: String, why: String },
    #[error("`{id}` was not merged: {why}")]
    Failed { id: String, why: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The handle to the local clones. Cheap to clone.
#[derive(Clone)]
pub struct DesktopSync {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    git: Git,
    github: GitHub,
    /// Where events go; without one they go to the log alone.
    store: Option<Store>,
    failpoints: Failpoints,
    http: Option<reqwest::Client>,
    /// Set at most once, before anything is merged.
    checks: OnceLock<QuickChecks>,
    /// One at a time in each clone, and one merge at a time of each.
    turns: HashMap<String, tokio::sync::Mutex<()>>,
    /// One check of everything at a time.
    checking: tokio::sync::Mutex<()>,
    /// One look for overviews at a time.
    refreshing: tokio::sync::Mutex<()>,
    standing: Mutex<Standing>,
    health: Mutex<Option<(std::time::Instant, Health)>>,
}

impl DesktopSync {
    /// The rooms it needs and the operator's settings. Starts nothing.
    #[must_use]
    pub fn new(settings: Settings, git: Git, github: GitHub, store: Option<Store>) -> Self {
        Self::with_failpoints(settings, git, github, store, Failpoints::default())
    }

    /// The same, with named places to die at.
    #[must_use]
    pub fn with_failpoints(
        settings: Settings,
        git: Git,
        github: GitHub,
        store: Option<Store>,
        failpoints: Failpoints,
    ) -> Self {
        let turns = settings.repositories.iter().flat_map(|it| [it.id.clone(), merging(&it.id)]);
        let turns = turns.map(|name| (name, Default::default()));
        let http = reqwest::Client::builder().no_proxy().build().ok();
        let inner = Inner {
            turns: turns.collect(),
            settings,
            git,
            github,
            store,
            failpoints,
            http,
            checks: OnceLock::new(),
            checking: tokio::sync::Mutex::default(),
            refreshing: tokio::sync::Mutex::default(),
            standing: Mutex::default(),
            health: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The same, with checks of its own for what a merge would leave. Given once; a second time
    /// changes nothing.
    #[must_use]
    pub fn checked_by(self, checks: QuickChecks) -> Self {
        self.inner.checks.get_or_init(|| checks);
        self
    }

    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.inner.settings.enabled
    }

    /// The clones, in the order of the configuration.
    #[must_use]
    pub fn repositories(&self) -> &[Repository] {
        &self.inner.settings.repositories
    }

    fn repository(&self, id: &str) -> Result<&Repository, DesktopError> {
        let found = self.repositories().iter().find(|repository| repository.id == id);
        found.ok_or_else(|| DesktopError::UnknownRepository(id.chars().take(64).collect()))
    }

    /// The clone, for one who has its turn. `Turn` keeps others out, in this and other processes.
    fn open(
        &self,
        repository: &Repository,
        cancel: &CancellationToken,
    ) -> Result<LocalClone, CloneError> {
        let shadow = self.inner.settings.folder.join(format!("{}.git", repository.id));
        let inner = &self.inner;
        let failpoints = inner.failpoints.clone();
        LocalClone::find(&inner.git, &repository.path, &shadow, cancel.clone(), failpoints)
    }

    /// Waits for one's turn at a clone.
    async fn turn(&self, repository: &Repository) -> Result<Turn<'_>, CloneError> {
        self.named_turn(&repository.id).await
    }

    /// Waits for one's turn to merge into a clone. Others look at it meanwhile.
    async fn turn_to_merge(&self, repository: &Repository) -> Result<Turn<'_>, CloneError> {
        self.named_turn(&merging(&repository.id)).await
    }

    async fn named_turn(&self, name: &str) -> Result<Turn<'_>, CloneError> {
        let here = match self.inner.turns.get(name) {
            Some(turn) => Some(turn.lock().await),
            None => None,
        };
        let folder = self.inner.settings.folder.clone();
        let path = folder.join(format!("{name}.turn"));
        let unreadable = |source| CloneError::Unreadable { path: path.clone(), source };
        std::fs::create_dir_all(&folder).map_err(unreadable)?;
        let file = File::options().create(true).append(true).open(&path).map_err(unreadable)?;
        // Another process may hold it for the seconds that a look takes.
        let waited = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await;
        let file = waited.map_err(std::io::Error::other).and_then(|it| it).map_err(unreadable)?;
        Ok(Turn { _here: here, _everywhere: file })
    }

    /// How the local builder's health has been lately.
    #[must_use]
    pub fn standing(&self) -> Standing {
        *self.inner.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of the turn to merge; no id has a `/` or is one of these.
fn merging(id: &str) -> String {
    format!("{id}~merge")
}

/// One's turn at a clone; over when dropped.
struct Turn<'a> {
    _here: Option<tokio::sync::MutexGuard<'a, ()>>,
    _everywhere: File,
}
