//! The record that everything else stands on, as people use it: read fast, proven whole, told of.
//!
//! Owns the event log in memory, its queries, sums and export; signed checkpoints and verification;
//! alerts and incidents; the governance issues. Never decides anything about a night, and writes
//! nothing but events, its own rows, and issues on GitHub that somebody asked for.

pub mod alerts;
mod anchor;
mod checkpoints;
pub mod delivery;
pub mod export;
mod incidents;
pub mod issues;
mod library;
mod log;
mod recent;
mod verify;
mod watcher;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Mutex, Notify};

pub use anchor::{AnchorBranch, PlaceState};
pub use checkpoints::{CheckpointError, Statement};
pub use issues::create::CreatedIssues;
pub use issues::{GovernanceIssue, TemplateError};
pub use library::{
    create_governance_issues, governance_issues, governance_stats, log_governance_event,
    query_governance_events,
};
pub use log::{EventLog, USUAL_CAPACITY};
pub use recent::LogStats;
pub use verify::{AnchorState, Verification, VerifyError};

use crate::domain::event::{EventType, NewEvent};
use crate::domain::ids::RepoName;
use crate::domain::memory::{self, MemoryDrift};
use crate::domain::run::Run;
use crate::github::{GitHub, GitHubError};
use crate::store::{MemoryQuery, Store, StoreError};
use alerts::AlertRules;
use anchor::Anchor;
use checkpoints::Signer;
use delivery::{Email, Post, Sender, Webhook};

/// The operator's settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the signing key is.
    pub key: PathBuf,
    /// The second place of checkpoints.
    pub anchor: PathBuf,
    /// A branch that they are committed to besides.
    pub anchor_branch: Option<AnchorBranch>,
    /// An address that they are posted to besides.
    pub anchor_webhook: Option<Webhook>,
    pub checkpoint_every: Duration,
    pub retention_days: Option<u32>,
    /// A folder with further templates.
    pub templates: Option<PathBuf>,
    pub memory_events: usize,
    pub rules: AlertRules,
    /// Where alerts go besides the log, each under a name.
    pub webhooks: Vec<(String, Webhook)>,
    pub email: Option<Email>,
    /// Writes the report of a night that ended, where it goes the alerts' ways.
    pub report: Option<fn(&Run) -> String>,
    pub incident_issues: bool,
}

impl Settings {
    /// The defaults, with everything in one data folder.
    #[must_use]
    pub fn in_folder(data_dir: &std::path::Path) -> Self {
        let folder = data_dir.join("governance");
        Self {
            key: folder.join("checkpoint.key"),
            anchor: folder.join("anchors.jsonl"),
            anchor_branch: None,
            anchor_webhook: None,
            checkpoint_every: Duration::from_secs(3_600),
            retention_days: None,
            templates: None,
            memory_events: USUAL_CAPACITY,
            rules: AlertRules::default(),
            webhooks: Vec::new(),
            email: None,
            report: None,
            incident_issues: false,
        }
    }
}

/// Why governance cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum GovernanceError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    GitHub(#[from] GitHubError),
    #[error("alerts cannot be sent: {0}")]
    Sender(#[from] reqwest::Error),
}

/// The handle to all of it. Cheap to clone.
#[derive(Clone)]
pub struct Governance {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    github: GitHub,
    log: EventLog,
    /// Opened when first needed: who only reads makes no key.
    signer: OnceLock<Signer>,
    anchor: Anchor,
    sender: Sender,
    issues: Vec<GovernanceIssue>,
    settings: Settings,
    /// One checkpoint at a time.
    signing: Mutex<()>,
    /// One creation of issues at a time: two that look at once would both create.
    creating: Mutex<()>,
    /// Alerts were queued.
    queued: Notify,
}

impl Governance {
    /// Fills the memory and reads the templates. Writes nothing.
    pub async fn open(
        store: Store,
        github: GitHub,
        settings: Settings,
    ) -> Result<Self, GovernanceError> {
        let log = EventLog::open(&store, settings.memory_events).await?;
        let issues = issues::load(settings.templates.as_deref())?;
        let post = Post::new()?;
        let anchor = Anchor::new(
            settings.anchor.clone(),
            settings.anchor_branch.clone().map(|branch| (github.clone(), branch)),
            settings.anchor_webhook.clone().map(|webhook| (post.clone(), webhook)),
        );
        let sender = Sender::new(post, settings.webhooks.clone(), settings.email.clone());
        let inner = Inner {
            store,
            github,
            log,
            signer: OnceLock::new(),
            anchor,
            sender,
            issues,
            settings,
            signing: Mutex::default(),
            creating: Mutex::default(),
            queued: Notify::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Takes the key, or makes it, and begins to look at events for alerts: from now on where
    /// nobody did before.
    pub async fn begin(&self) -> Result<(), GovernanceError> {
        self.signer()?;
        self.start_looking().await?;
        Ok(())
    }

    fn signer(&self) -> Result<&Signer, CheckpointError> {
        if self.inner.signer.get().is_none() {
            let signer = Signer::open(&self.inner.settings.key)?;
            drop(self.inner.signer.set(signer));
        }
        self.inner.signer.get().ok_or_else(|| CheckpointError::Key {
            path: self.inner.settings.key.clone(),
            source: std::io::Error::other("it was not kept"),
        })
    }

    #[must_use]
    pub fn log(&self) -> &EventLog {
        &self.inner.log
    }

    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// What of the memory fabric is not to be relied on as it stands: stale, contradicted or
    /// malformed.
    pub async fn memory_drift(&self, now: DateTime<Utc>) -> Result<Vec<MemoryDrift>, StoreError> {
        let latest = self.inner.store.memory(MemoryQuery::default()).await?;
        Ok(memory::drift(&latest, now))
    }

    /// Makes an event of each drift that was not told of yet; says how many.
    pub async fn tell_drift(&self, now: DateTime<Utc>) -> Result<usize, StoreError> {
        let drifted = self.memory_drift(now).await?;
        if drifted.is_empty() {
            return Ok(0);
        }
        self.inner.store.tell_drift(drifted).await
    }

    /// The governance issues as they are defined.
    #[must_use]
    pub fn issues(&self) -> &[GovernanceIssue] {
        &self.inner.issues
    }

    /// Creates what is missing of them; each that was created is an event.
    pub async fn create_issues(
        &self,
        repo: &RepoName,
        dry_run: bool,
    ) -> Result<CreatedIssues, GovernanceError> {
        let inner = &self.inner;
        let _one_at_a_time = inner.creating.lock().await;
        let done = issues::create::create(&inner.github, repo, &inner.issues, dry_run).await?;
        let events: Vec<NewEvent> = done
            .issues
            .iter()
            .filter_map(|issue| {
                let number = issue.number.filter(|_| issue.created)?;
                let text = format!("Governance issue `{}` created in {repo} as {number}", issue.id);
                let event = NewEvent::new(EventType::GovernanceIssueCreated, text)
                    .issue(number)
                    .with("governanceIssue", issue.id.as_str())
                    .with("repo", repo.to_string());
                Some(event)
            })
            .collect();
        if !events.is_empty() {
            inner.store.append(events).await?;
        }
        Ok(done)
    }
}
