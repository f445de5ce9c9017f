//! A gate by itself, in a folder of its own that goes away: for looking at a base or a change
//! without a night. Takes no lock on the data folder and leaves nothing in it.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use super::{AppError, wiring};
use crate::config::Config;
use crate::domain::event::{EventType, NewEvent};
use crate::domain::ids::{AttemptId, IssueNumber, RepoName, RunId};
use crate::domain::redact::Redactor;
use crate::domain::run::{NightConfig, NightRequest};
use crate::gate::{Gate, Overrides};
use crate::git::Git;
use crate::process::Children;
use crate::sandbox::Sandbox;
use crate::store::{
    Change, DatabaseUrl, Fence, NewRun, OpenOptions, Store, StoreClock, StoreError,
};

/// The number that a change without an issue is judged under.
pub const NO_ISSUE: IssueNumber = IssueNumber(0);

pub struct Bench {
    pub git: Git,
    pub gate: Gate,
    store: Store,
    /// Everything that is made here; gone when dropped.
    _folder: tempfile::TempDir,
}

/// The records that a judgement reads back.
pub struct Desk {
    pub fence: Fence,
    pub attempt: AttemptId,
}

impl Bench {
    pub async fn open(config: &Config) -> Result<Self, AppError> {
        let folder = tempfile::tempdir().map_err(AppError::TemporaryFolder)?;
        let redactor = Arc::new(Redactor::new(config.secrets()));
        let helper = PathBuf::from("/proc/self/exe");
        let children = Children::start(helper.clone()).map_err(AppError::Children)?;
        let git = Git::new(children.clone(), folder.path())?;
        let sandbox = Sandbox::detect(children, wiring::sandbox_mode(config), helper).await?;
        let store = Store::open(OpenOptions {
            url: DatabaseUrl::file(&folder.path().join("bench.db"))?,
            redactor: Arc::clone(&redactor),
            clock: StoreClock::System,
            read_only: false,
        })
        .await?;
        let gate = Gate::new(sandbox, store.clone(), folder.path(), redactor)?
            .with_overrides(Overrides::new(config.repositories.clone()));
        Ok(Self { git, gate, store, _folder: folder })
    }

    /// A run with one attempt, so that the gate finds its records as in a night.
    pub async fn desk(&self, repo: &RepoName) -> Result<Desk, AppError> {
        let run = RunId::fresh();
        let request =
            NightRequest { repo: repo.clone(), config: NightConfig::default(), dry_run: false };
        let event = NewEvent::new(EventType::OvernightExecutionQueued, "judging without a night");
        let events = vec![event.run(&run)];
        let new = NewRun { id: run.clone(), request, idempotency: None, events };
        self.store.create_run(new).await?;
        let fence = self.store.claim_run(&run, "bench", true).await?;
        let fence = fence.ok_or(StoreError::UnknownRun(run))?;
        let attempt = AttemptId::fresh();
        let row = Change::Attempt {
            id: attempt.clone(),
            issue: NO_ISSUE,
            state: json!({}),
            ended: false,
        };
        self.store.apply(&fence, vec![row]).await?;
        Ok(Desk { fence, attempt })
    }

    pub async fn close(self) {
        self.store.close().await;
    }
}
