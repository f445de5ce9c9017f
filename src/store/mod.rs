//! Every SQL statement of Foreman, on SQLite and PostgreSQL alike.
//!
//! Owns the durable facts: runs, attempts, effects, the ledger of escalations and calls, and the
//! chained event log. All writes go through one task (`writer.rs`), each closure in a savepoint of
//! a transaction that first updates the lock row (`tx.rs`); reads go to a pool and never wait for
//! it. Never decides what a night does next, and never holds a transaction across anything but SQL.

mod admit;
mod apply;
mod approvals;
mod backup;
mod builders;
mod chain;
mod changes;
mod checkpoints;
mod connect;
mod costs;
mod effects;
mod error;
mod escalation_fold;
mod events;
mod fabric;
mod fold;
mod healing;
mod insert;
mod ledger;
mod lock;
mod memory;
mod migrate;
mod money;
mod notices;
mod options;
mod probe;
mod pruning;
mod rails;
mod read;
mod reports;
mod rows;
mod runs;
mod sessions;
mod settle;
mod status;
mod totals;
mod transcript;
mod tx;
mod writer;

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use sqlx::AnyPool;
use sqlx::Connection as _;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use crate::escalation::{QuotaLimits, QuotaRefusal, QuotaUsed, QuotaWindow};
pub use approvals::{ApprovalRow, Decided, Decision, LONGEST_OVERRIDE, Override};
pub use backup::backup;
pub use builders::SeenApproval;
pub use chain::Verified;
pub use changes::{CancelOutcome, Change, Created, EffectState, Fence, Idempotency, NewRun};
pub use costs::{Budget, Costs, QuotaStatus, WindowUse};
pub use effects::PushedCommit;
pub use error::StoreError;
pub use fabric::MemoryQuery;
pub use healing::Sign;
pub use lock::DataLock;
pub use memory::{Bought, Checkpoint, HealingStat, KeptPlan, Note};
pub use money::{
    Admission, Admitted, Ceilings, RecoveredCalls, Refusal, Reserve, Reserved, Scope, Settlement,
};
pub use options::{DatabaseUrl, OpenOptions, StoreClock};
pub use pruning::OldNights;
pub use rows::{
    AlertRow, AttemptRow, AttemptStatus, CallRow, CallStatus, ChainReport, EffectRow, EventQuery,
    EventStats, EventTotals, FirstBad, Incident, IncidentNote, IssueHistory, Known, NewAlert,
    Night, RunFilter, SignedHead, ToolRow,
};
pub use sessions::{Session, SessionBooked};
pub use status::NightStatus;
pub use transcript::{Telling, Turn, TurnRow};

use crate::domain::event::GovernanceEvent;
use tx::Tx;
use writer::Writer;

/// Events that a slow listener may lag behind before it misses some (it reads them back then).
const EVENT_BACKLOG: usize = 1_024;

/// The store of one process. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    /// `None` when opened for reading only.
    writer: Option<Writer>,
    pool: AnyPool,
    events: broadcast::Sender<GovernanceEvent>,
    clock: StoreClock,
    postgres: bool,
    closing: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Store {
    /// Connects, brings the schema to our version and starts the writer.
    pub async fn open(options: OpenOptions) -> Result<Self, StoreError> {
        let OpenOptions { url, redactor, clock, read_only } = options;
        let postgres = url.is_postgres();
        if let DatabaseUrl::Sqlite(path) = &url
            && read_only
            && !path.exists()
        {
            return Err(StoreError::NoDatabase(path.clone()));
        }
        let (events, _) = broadcast::channel(EVENT_BACKLOG);
        let closing = CancellationToken::new();
        let mut connection = connect::writer(&url, !read_only)
            .await
            .map_err(|source| StoreError::Open { what: url.to_string(), source })?;
        let (writer, task) = if read_only {
            migrate::check(&mut connection).await?;
            connection.close().await?;
            (None, None)
        } else {
            if let DatabaseUrl::Sqlite(path) = &url {
                backup::before_migration(&mut connection, path).await?;
            }
            migrate::migrate(&mut connection, postgres).await?;
            let tx = Tx::new(connection, redactor, clock.clone(), postgres);
            let (writer, task) = Writer::start(tx, url.clone(), events.clone(), closing.clone());
            (Some(writer), Some(task))
        };
        let pool = connect::readers(&url).await?;
        let task = Mutex::new(task);
        let inner = Inner { writer, pool, events, clock, postgres, closing, task };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Ends the writer after what is queued, for every clone of this store.
    pub async fn close(self) {
        self.inner.closing.cancel();
        let task = self.inner.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the writer of the database ended badly");
        }
        self.inner.pool.close().await;
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        Ok(connection.ping().await?)
    }

    /// Every event from now on, after its commit. Who lags reads on with `events(after_seq)`.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<GovernanceEvent> {
        self.inner.events.subscribe()
    }

    /// Whether other processes may write to this database too.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.inner.postgres
    }

    async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
    {
        self.queue(writer::Kind::Change, work).await
    }

    async fn queue<T, F>(&self, kind: writer::Kind, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
    {
        self.inner.writer.as_ref().ok_or(StoreError::ReadOnly)?.write(kind, work).await
    }
}
