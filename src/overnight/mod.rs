//! The engine: it takes nights, works them to their end, and goes on with them after a restart.
//!
//! Owns the order of things and what is written when. Never speaks SQL, HTTP or git itself: the
//! rooms below do.

mod branch;
mod build;
mod claims;
mod context;
mod copilot;
mod copilot_before;
mod copilot_give;
mod copilot_mark;
mod copilot_texts;
mod describe;
mod desk;
mod ending;
mod evidence;
mod found;
mod hand;
mod issue;
mod judge;
mod labels;
mod lanes;
mod learn;
mod night;
mod overlap;
mod plan_report;
mod planning;
mod publish;
pub mod report;
mod rows;
mod second_night;
mod settings;
mod stand;
mod texts;
pub mod transcript;
mod transition;
mod vet;
mod why;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::builders::Switchboard;
use crate::domain::event::{EventType, NewEvent};
use crate::domain::ids::RunId;
use crate::domain::run::{NightRequest, Run};
use crate::git::Git;
use crate::github::GitHub;
use crate::store::{self, CancelOutcome, Created, Store, StoreError};

use night::Worked;

pub use desk::Desk;
pub use evidence::{EvidenceError, LogRef, logs_of, read_log};
pub use plan_report::PlanReport;
pub use planning::PlanError;
pub use settings::{CopilotSettings, Parts, Settings};
pub use why::{Doing, Why, doing, why};

/// How often we look whether a waited-for run has ended, besides being told.
const WAIT_POLL: Duration = Duration::from_millis(500);

/// Passing faults (GitHub out of reach) a night survives: some five minutes of them.
const MOST_FAULTS: u32 = 20;

/// Why a night was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("overnight execution is disabled: set OVERNIGHT_EXECUTION_ENABLED=true")]
    Disabled,
    #[error("no GitHub credential: set GITHUB_TOKEN, or GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY")]
    NoCredential,
    #[error(
        "this repository has an active run: {0}; wait for it, or end it with `foreman cancel {0}`"
    )]
    RunActive(RunId),
    #[error("the Idempotency-Key `{key}` was used with another body")]
    KeyReused { key: String },
    #[error(
        "{free_mb} MiB are free in {folder}, and a night needs {floor_mb}: free some space (`foreman clean`), set FOREMAN_DATA_DIR to a larger disk, or lower `disk.floor_mb`", folder = folder.display()
    )]
    DiskFull { folder: std::path::PathBuf, free_mb: u64, floor_mb: u64 },
    #[error("Foreman is shutting down; try again in a moment")]
    ShuttingDown,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The handle to the engine. Cheap to clone.
#[derive(Clone)]
pub struct Overnight(Arc<Inner>);

struct Inner {
    parts: Parts,
    /// The nights this process works on, each with what stops it.
    active: Mutex<HashMap<RunId, CancellationToken>>,
    /// How often each night was taken up in vain.
    faults: Mutex<HashMap<RunId, u32>>,
    /// The nights that wait for a person and a restart.
    paused: watch::Sender<HashSet<RunId>>,
    tracker: TaskTracker,
    stopping: CancellationToken,
}

impl Overnight {
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner {
            parts,
            active: Mutex::default(),
            faults: Mutex::default(),
            paused: watch::Sender::default(),
            tracker: TaskTracker::new(),
            stopping: CancellationToken::new(),
        }))
    }

    /// Stores a night and starts it in the background; an idempotent replay gives the same night.
    pub async fn start(
        &self,
        request: NightRequest,
        idempotency: Option<store::Idempotency>,
    ) -> Result<Run, StartError> {
        let parts = &self.0.parts;
        if !parts.settings.enabled || !request.config.enabled {
            return Err(StartError::Disabled);
        }
        if self.0.stopping.is_cancelled() {
            return Err(StartError::ShuttingDown);
        }
        if !parts.github.has_credential() {
            return Err(StartError::NoCredential);
        }
        if let Some(error) = parts.settings.disk_full() {
            return Err(error);
        }
        let id = RunId::fresh();
        let event = NewEvent::new(
            EventType::OvernightExecutionQueued,
            format!("Night for {} queued{}", request.repo, dry(request.dry_run)),
        )
        .run(&id)
        .with("owner", request.repo.owner())
        .with("repo", request.repo.name())
        .with("dryRun", request.dry_run);
        let key = idempotency.as_ref().map(|it| it.key.clone()).unwrap_or_default();
        let new = store::NewRun { id, request, idempotency, events: vec![event] };
        match parts.store.create_run(new).await? {
            Created::New(run) => {
                // In the request's span: here a request id and a run meet.
                tracing::info!(run = %run.id, "night {} for {}/{} is queued", run.id, run.owner, run.repo);
                self.begin(run.id.clone());
                Ok(run)
            }
            Created::Replayed(run) => Ok(run),
            Created::KeyReused { .. } => Err(StartError::KeyReused { key }),
            Created::Active(id) => Err(StartError::RunActive(id)),
        }
    }

    /// What a night would do, without storing or starting one.
    pub async fn plan(&self, request: &NightRequest) -> Result<PlanReport, PlanError> {
        plan_report::report(&self.0.parts, request).await
    }

    /// Asks a night to end after its current effect.
    pub async fn cancel(&self, id: &RunId) -> Result<CancelOutcome, StoreError> {
        let outcome = self.0.parts.store.request_cancel(id).await?;
        if let CancelOutcome::Requested = outcome {
            let here = self.0.lock_active().get(id).cloned();
            match here {
                Some(stop) => stop.cancel(),
                // Nobody here works on it, say because nights are switched off since: what is left
                // of it is its end, which is all that a cancelled night comes to.
                None => {
                    self.begin(id.clone());
                }
            }
        }
        Ok(outcome)
    }

    /// The run when it has ended, or as it stands at the limit; `None` for an unknown id.
    pub async fn wait(&self, id: &RunId, limit: Duration) -> Result<Option<Run>, StoreError> {
        let mut events = self.0.parts.store.subscribe();
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let run = self.0.parts.store.run(id).await?;
            match &run {
                Some(active) if active.status.is_active() => {}
                Some(_) | None => return Ok(run),
            }
            let now = tokio::time::Instant::now();
            if now >= deadline {
                return Ok(run);
            }
            // An event of ours, a lost one, or the poll: whichever comes first, we look again.
            let until = deadline.min(now + WAIT_POLL);
            let heard = async {
                while let Ok(event) = events.recv().await {
                    if event.run.as_ref() == Some(id) {
                        return;
                    }
                }
                std::future::pending::<()>().await;
            };
            tokio::time::timeout_at(until, heard).await.ok();
        }
    }

    /// Comes back when this night waits for a person and a restart.
    pub async fn paused(&self, id: &RunId) {
        let mut paused = self.0.paused.subscribe();
        // The sender lives as long as we do.
        paused.wait_for(|paused| paused.contains(id)).await.map(drop).ok();
    }

    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.parts.store
    }

    /// The switch between Copilot and the desktop builder.
    #[must_use]
    pub fn switchboard(&self) -> Switchboard {
        self.0.parts.switchboard.clone()
    }

    /// For whoever checks on GitHub besides the nights.
    #[must_use]
    pub fn github(&self) -> GitHub {
        self.0.parts.github.clone()
    }

    /// For whoever tidies the mirrors besides the nights.
    #[must_use]
    pub fn git(&self) -> Git {
        self.0.parts.git.clone()
    }

    /// What people ask of quota, money, approvals and reports.
    #[must_use]
    pub fn desk(&self) -> Desk {
        let parts = &self.0.parts;
        Desk {
            store: parts.store.clone(),
            selection: parts.settings.selection.clone(),
            rails: parts.settings.rails,
            ceilings: parts.settings.ceilings(),
        }
    }

    /// What nights here have to work with: `{"ceilings", "tiers", "sandbox"}`.
    #[must_use]
    pub fn machine(&self) -> serde_json::Value {
        let parts = &self.0.parts;
        json!({
            "ceilings": parts.settings.ceilings_json(),
            "tiers": parts.tiers_json(),
            "sandbox": parts.sandbox.report(),
        })
    }

    /// `OVERNIGHT_EXECUTION_ENABLED`.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.0.parts.settings.enabled
    }

    /// Goes on with every unfinished night that is ours to take; how many it took up.
    pub async fn resume_all(&self) -> Result<usize, StoreError> {
        if !self.0.parts.settings.enabled || self.0.stopping.is_cancelled() {
            return Ok(0);
        }
        let resumable = self.0.parts.store.resumable().await?;
        let paused = self.0.paused.borrow().clone();
        let taken = resumable.into_iter().filter(|id| !paused.contains(id));
        Ok(taken.filter(|id| self.begin(id.clone())).count())
    }

    /// Looks for unfinished nights now and again until shutdown: a night whose task ended on a
    /// passing fault is taken up again without a restart.
    pub async fn reconcile(&self, every: Duration) {
        let mut reported = None;
        loop {
            if let Err(error) = self.resume_all().await {
                tracing::error!(%error, "could not look for unfinished nights");
            }
            match self.store().sweep_expired_calls().await {
                Ok(0) => {}
                Ok(calls) => {
                    tracing::warn!(
                        calls,
                        "{calls} calls of a night nobody works on are booked at their estimates"
                    );
                }
                Err(error) => tracing::error!(%error, "could not clear up calls left in flight"),
            }
            // Reports are due at midnight: once a day is often enough to look.
            let now = chrono::Utc::now();
            if reported != Some(now.date_naive()) {
                match self.desk().store_due_reports(now).await {
                    Ok(_) => reported = Some(now.date_naive()),
                    Err(error) => {
                        tracing::error!(%error, "could not store the reports that are due");
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = self.0.stopping.cancelled() => return,
            }
        }
    }

    /// Stops work within `bound`: builders and gates are cancelled, an effect on GitHub under way
    /// may finish. Whatever was not finished is resumed at the next start.
    pub async fn shutdown(&self, bound: Duration) {
        self.0.stopping.cancel();
        self.0.tracker.close();
        if tokio::time::timeout(bound, self.0.tracker.wait()).await.is_err() {
            tracing::warn!("work did not stop within {bound:?}; it is resumed at the next start");
        }
    }

    /// Starts the task of a night unless this process has one for it.
    fn begin(&self, id: RunId) -> bool {
        let stop = self.0.stopping.child_token();
        {
            let mut active = self.0.lock_active();
            if active.contains_key(&id) {
                return false;
            }
            active.insert(id.clone(), stop.clone());
        }
        let here = Here { inner: Arc::clone(&self.0), id: id.clone() };
        self.0.tracker.spawn(async move {
            let here = here;
            let last_try = here.inner.lock_faults().get(&id).copied() >= Some(MOST_FAULTS);
            let span = tracing::info_span!("night", run = %id);
            match night::work(&here.inner.parts, &id, &stop, last_try).instrument(span).await {
                Ok(worked) => {
                    here.inner.lock_faults().remove(&id);
                    if worked == Worked::Paused {
                        here.inner.paused.send_modify(|paused| {
                            paused.insert(id.clone());
                        });
                    }
                }
                Err(error) => {
                    *here.inner.lock_faults().entry(id.clone()).or_default() += 1;
                    tracing::error!(run = %id, %error, "night {id} stopped before its end: {error}");
                }
            }
        });
        true
    }
}

/// Says that this process works on a night; also a panic takes it back, so that the night is taken
/// up again.
struct Here {
    inner: Arc<Inner>,
    id: RunId,
}

impl Drop for Here {
    fn drop(&mut self) {
        self.inner.lock_active().remove(&self.id);
    }
}

impl Inner {
    fn lock_faults(&self) -> std::sync::MutexGuard<'_, HashMap<RunId, u32>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_active(&self) -> std::sync::MutexGuard<'_, HashMap<RunId, CancellationToken>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn dry(dry_run: bool) -> &'static str {
    if dry_run { " (dry run)" } else { "" }
}
