//! The event log as it is read: memory for what is recent, the store for what is older.
//!
//! Memory follows the store's announcements and is brought up to date before every answer, so that
//! who was told of a commit finds it here. Never writes an event by itself.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use super::recent::{LogStats, Memory};
use crate::domain::event::{GovernanceEvent, NewEvent};
use crate::store::{EventQuery, EventStats, Store, StoreError};

/// Events kept in memory unless configured otherwise: about 50 MB.
pub const USUAL_CAPACITY: usize = 50_000;
/// Events read from the store at once.
const PAGE: u32 = 1_000;
/// How often a database is looked at that other processes write to.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The handle to the log. Cheap to clone.
#[derive(Clone)]
pub struct EventLog {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    capacity: usize,
    memory: RwLock<Memory>,
    /// Whoever brings memory up to date holds this.
    feed: Mutex<Receiver<GovernanceEvent>>,
    last: watch::Sender<i64>,
}

impl EventLog {
    /// Reads the newest events and the sums of all.
    pub async fn open(store: &Store, capacity: usize) -> Result<Self, StoreError> {
        // Subscribed first: what is written meanwhile is announced or read, or both.
        let feed = Mutex::new(store.subscribe());
        let memory = load(store, capacity).await?;
        let last = watch::Sender::new(memory.last());
        let memory = RwLock::new(memory);
        let inner = Inner { store: store.clone(), capacity, memory, feed, last };
        Ok(Self { inner: Arc::new(inner) })
    }

    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// Writes an event; it is durable and can be read here when this returns.
    pub async fn append(&self, event: NewEvent) -> Result<GovernanceEvent, StoreError> {
        let mut written = self.inner.store.append(vec![event]).await?;
        self.refresh().await?;
        written.pop().ok_or(StoreError::Closed)
    }

    /// Events that match, newest first unless asked otherwise; at most 1,000 at once.
    pub async fn query(&self, query: &EventQuery) -> Result<Vec<Arc<GovernanceEvent>>, StoreError> {
        self.refresh().await?;
        let mut query = query.clone();
        query.limit = if query.limit == 0 { 100 } else { query.limit.min(PAGE) };
        let found = self.read(|memory| memory.query(&query));
        let Some(first) = found.older_than else { return Ok(found.events) };
        if query.ascending {
            return self.stored(query).await;
        }
        let mut events = found.events;
        let missing = query.limit as usize - events.len();
        query.limit = u32::try_from(missing).unwrap_or(PAGE);
        query.before_seq = Some(query.before_seq.map_or(first, |before| before.min(first)));
        events.extend(self.stored(query).await?);
        Ok(events)
    }

    async fn stored(&self, query: EventQuery) -> Result<Vec<Arc<GovernanceEvent>>, StoreError> {
        Ok(self.inner.store.events(query).await?.into_iter().map(Arc::new).collect())
    }

    /// Sums over the whole log.
    pub async fn stats(&self) -> Result<LogStats, StoreError> {
        self.refresh().await?;
        Ok(self.read(Memory::stats))
    }

    /// The sums by type and severity alone.
    pub async fn event_stats(&self) -> Result<EventStats, StoreError> {
        self.refresh().await?;
        Ok(self.read(Memory::event_stats))
    }

    /// The last event's number, and a way to wait for a later one.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<i64> {
        self.inner.last.subscribe()
    }

    /// Keeps memory up to date until told to stop.
    pub async fn follow(&self, stopping: CancellationToken) {
        let mut announcements = self.inner.store.subscribe();
        let mut tick = tokio::time::interval(LOOK_AGAIN);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let shared = self.inner.store.is_shared();
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                heard = announcements.recv() => match heard {
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                },
                _ = tick.tick(), if shared => {}
            }
            if let Err(error) = self.refresh().await {
                tracing::warn!(%error, "the event log could not be brought up to date");
            }
        }
    }

    /// Takes over whatever was committed before this was called.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let mut feed = self.inner.feed.lock().await;
        let behind = self.drain(&mut feed);
        let behind = behind
            || (self.inner.store.is_shared()
                && self.inner.store.last_seq().await? > self.read(Memory::last));
        if behind {
            self.catch_up().await?;
        }
        let last = self.read(Memory::last);
        self.inner.last.send_if_modified(|known| {
            let moved = *known != last;
            *known = last;
            moved
        });
        Ok(())
    }

    /// Reads everything anew: after retention, sums and the first event are others.
    pub async fn reload(&self) -> Result<(), StoreError> {
        let feed = self.inner.feed.lock().await;
        let memory = load(&self.inner.store, self.inner.capacity).await?;
        *self.inner.memory.write().unwrap_or_else(PoisonError::into_inner) = memory;
        drop(feed);
        self.refresh().await
    }

    /// Takes what was announced; true where some of it is missing.
    fn drain(&self, feed: &mut Receiver<GovernanceEvent>) -> bool {
        let mut memory = self.inner.memory.write().unwrap_or_else(PoisonError::into_inner);
        let mut behind = false;
        loop {
            match feed.try_recv() {
                Ok(event) if event.seq <= memory.last() => {}
                // Events of other processes stand between; they are read below.
                Ok(event) => behind |= !memory.push(event),
                Err(TryRecvError::Lagged(_)) => behind = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return behind,
            }
        }
    }

    async fn catch_up(&self) -> Result<(), StoreError> {
        loop {
            let after = self.read(Memory::last);
            let query = EventQuery {
                after_seq: Some(after),
                ascending: true,
                limit: PAGE,
                ..EventQuery::default()
            };
            let page = self.inner.store.events(query).await?;
            let more = page.len() == PAGE as usize;
            let mut memory = self.inner.memory.write().unwrap_or_else(PoisonError::into_inner);
            for event in page {
                if event.seq != memory.last() + 1 {
                    // A gap in the store itself: verification tells of it, reading goes on.
                    tracing::error!("the event log has a gap before event {}", event.seq);
                    memory.skip_to(event.seq);
                }
                memory.push(event);
            }
            if !more {
                return Ok(());
            }
        }
    }

    fn read<T>(&self, read: impl FnOnce(&Memory) -> T) -> T {
        read(&self.inner.memory.read().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn load(store: &Store, capacity: usize) -> Result<Memory, StoreError> {
    let totals = store.event_totals().await?;
    let mut newest = Vec::new();
    let mut before = totals.through + 1;
    while newest.len() < capacity && before > 1 {
        let left = u32::try_from(capacity - newest.len()).unwrap_or(PAGE);
        let query =
            EventQuery { before_seq: Some(before), limit: left.min(PAGE), ..EventQuery::default() };
        let page = store.events(query).await?;
        let Some(oldest) = page.last() else { break };
        let next = oldest.seq;
        // Only what has no gap can be found by its number.
        let whole = before - next == i64::try_from(page.len()).unwrap_or(i64::MAX);
        if !whole {
            let run = page.iter().zip((next..before).rev()).take_while(|(e, seq)| e.seq == *seq);
            let length = run.count();
            newest.extend(page.into_iter().take(length));
            break;
        }
        newest.extend(page);
        before = next;
    }
    newest.reverse();
    Ok(Memory::new(totals, newest, capacity))
}
