//! The one writer of this process: a task that takes closures from a queue, runs each in a
//! savepoint (one that is alone needs none), commits them together and answers after the commit.
//!
//! Never reads for others, and never holds a transaction across anything but SQL.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::Connection as _;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::StoreError;
use super::connect;
use super::options::DatabaseUrl;
use super::tx::Tx;
use crate::domain::event::GovernanceEvent;

/// Closures in one commit; more only make the first of them wait longer.
const GROUP: usize = 64;

/// Closures waiting; beyond it callers wait to be queued.
const QUEUE: usize = 256;

/// Waits before each try to reach a database that closed our connection.
const RECONNECT: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(3)];

type Work =
    Box<dyn for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<(), StoreError>> + Send + 'static>;

/// What a closure does, and with it what must be undone where it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// SQL of its own, in a savepoint.
    Change,
    /// Events for the end of the chain and nothing else: it cannot fail by itself.
    Append,
}

struct Job {
    kind: Kind,
    work: Work,
    answer: oneshot::Sender<Result<(), StoreError>>,
}

/// The queue's entrance.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Job>,
}

impl Writer {
    /// Starts the task. It ends when `closing` is cancelled or every handle is dropped, after what
    /// was queued before is done.
    pub fn start(
        tx: Tx,
        url: DatabaseUrl,
        events: broadcast::Sender<GovernanceEvent>,
        closing: CancellationToken,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let task = tokio::spawn(Task { tx, url, events, broken: false }.run(jobs, closing));
        (Self { queue }, task)
    }

    /// Runs `work` in the next transaction; the result is known to be committed. Dropping the
    /// future does not take the work back.
    pub async fn write<T, F>(&self, kind: Kind, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
    {
        let slot = Arc::new(Mutex::new(None));
        let result = Arc::clone(&slot);
        let work: Work = Box::new(move |tx| {
            let done = work(tx);
            Box::pin(async move {
                let value = done.await?;
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
                Ok(())
            })
        });
        let (answer, answered) = oneshot::channel();
        self.queue.send(Job { kind, work, answer }).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)??;
        let value = result.lock().unwrap_or_else(PoisonError::into_inner).take();
        value.ok_or(StoreError::Closed)
    }
}

struct Task {
    tx: Tx,
    url: DatabaseUrl,
    events: broadcast::Sender<GovernanceEvent>,
    /// The connection failed or is in an unknown state: replace it before the next transaction.
    broken: bool,
}

impl Task {
    async fn run(mut self, mut queue: mpsc::Receiver<Job>, closing: CancellationToken) {
        let mut jobs = Vec::with_capacity(GROUP);
        loop {
            tokio::select! {
                biased;
                () = closing.cancelled(), if !queue.is_closed() => queue.close(),
                received = queue.recv_many(&mut jobs, GROUP) => {
                    if received == 0 {
                        break;
                    }
                    self.group(&mut jobs).await;
                }
            }
        }
        if let Err(error) = self.tx.conn.close().await {
            tracing::warn!(%error, "closing the writer's connection failed");
        }
    }

    async fn group(&mut self, jobs: &mut Vec<Job>) {
        if let Err(error) = self.begin().await {
            let why = error.to_string();
            for job in jobs.drain(..) {
                answer(job.answer, Err(StoreError::NotCommitted(why.clone())));
            }
            return;
        }
        let mut done = Vec::with_capacity(jobs.len());
        // Where it fails, the whole transaction is rolled back: nobody else is in it.
        let alone = jobs.len() == 1;
        for job in jobs.drain(..) {
            let result = if self.broken {
                Err(StoreError::NotCommitted("the connection was lost".to_owned()))
            } else {
                match job.kind {
                    Kind::Change if !alone => self.one(job.work).await,
                    Kind::Change | Kind::Append => (job.work)(&mut self.tx).await,
                }
            };
            done.push((job.answer, result));
        }
        let committed = self.end(done.iter().any(|(_, result)| result.is_ok())).await;
        if let Err(why) = &committed {
            for (_, result) in &mut done {
                if result.is_ok() {
                    *result = Err(StoreError::NotCommitted(why.clone()));
                }
            }
        }
        for event in committed.into_iter().flatten() {
            // Nobody listening is fine.
            drop(self.events.send(event));
        }
        for (to, result) in done {
            answer(to, result);
        }
    }

    async fn one(&mut self, work: Work) -> Result<(), StoreError> {
        let mark = match self.tx.savepoint().await {
            Ok(mark) => mark,
            Err(error) => {
                self.broken = true;
                return Err(error.into());
            }
        };
        let result = work(&mut self.tx).await;
        let closed = match &result {
            Ok(()) => self.tx.release().await,
            Err(_) => self.tx.undo(mark).await,
        };
        match closed {
            Ok(()) => result,
            Err(error) => {
                self.broken = true;
                result.and(Err(error.into()))
            }
        }
    }

    /// Commits where there is something to commit.
    async fn end(&mut self, wanted: bool) -> Result<Vec<GovernanceEvent>, String> {
        if self.broken {
            // What the savepoints held is lost with the connection.
            return Err("the connection was lost".to_owned());
        }
        let ended = if wanted {
            self.tx.commit().await
        } else {
            self.tx.rollback().await.map(|()| Vec::new())
        };
        ended.map_err(|error| {
            // The transaction may still be open, or even be committed: only a new connection
            // starts from a state that we know.
            self.broken = true;
            error.to_string()
        })
    }

    async fn begin(&mut self) -> Result<(), sqlx::Error> {
        if !self.broken {
            match self.tx.begin().await {
                Ok(()) => return Ok(()),
                Err(error) => tracing::warn!(%error, "the database refused a transaction"),
            }
            self.broken = true;
        }
        let mut last = None;
        for wait in RECONNECT {
            tokio::time::sleep(wait).await;
            match self.reconnect().await {
                Ok(()) => return Ok(()),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or(sqlx::Error::PoolClosed))
    }

    async fn reconnect(&mut self) -> Result<(), sqlx::Error> {
        // Dropping the old connection rolls back whatever it held.
        self.tx.conn = connect::writer(&self.url, false).await?;
        self.tx.begin().await?;
        self.broken = false;
        Ok(())
    }
}

fn answer(to: oneshot::Sender<Result<(), StoreError>>, result: Result<(), StoreError>) {
    // The caller may be gone; what it asked for is committed all the same.
    drop(to.send(result));
}
