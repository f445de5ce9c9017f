//! One writing transaction: the lock row, its clock, and the events that are chained inside it.

use std::sync::Arc;

use serde_json::Value;
use sqlx::{AnyConnection, AssertSqlSafe};
use sqlx::{Executor as _, Row as _};

use super::StoreError;
use super::changes::Fence;
use super::insert;
use super::options::StoreClock;
use crate::domain::event::{Canonical, GovernanceEvent, NewEvent};
use crate::domain::redact::Redactor;
use crate::domain::time::from_micros;

/// The lock row. Taking it is the first statement of every writing transaction, sent with its
/// `BEGIN`: each trip to the database costs as much as a small statement.
const BEGIN_SQLITE: &str =
    "BEGIN IMMEDIATE; UPDATE log_head SET clock = clock WHERE id = 1 RETURNING seq, hash, clock";
const BEGIN_POSTGRES: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; \
     UPDATE log_head SET clock = clock WHERE id = 1 RETURNING seq, hash, clock";

/// The transaction that closures of the writer work in.
pub(super) struct Tx {
    pub conn: AnyConnection,
    /// Microseconds; never before a time that was stored earlier.
    pub now: i64,
    head: Head,
    emitted: Vec<GovernanceEvent>,
    /// Events that are chained already and written with others in one statement.
    waiting: Vec<(GovernanceEvent, String)>,
    redactor: Arc<Redactor>,
    clock: StoreClock,
    postgres: bool,
}

#[derive(Debug, Clone, Default)]
struct Head {
    seq: i64,
    hash: String,
}

/// Where a rolled back savepoint returns to.
pub(super) struct Mark {
    head: Head,
    emitted: usize,
}

impl Tx {
    pub fn new(
        conn: AnyConnection,
        redactor: Arc<Redactor>,
        clock: StoreClock,
        postgres: bool,
    ) -> Self {
        Self {
            conn,
            now: 0,
            head: Head::default(),
            emitted: Vec::new(),
            waiting: Vec::new(),
            redactor,
            clock,
            postgres,
        }
    }

    /// Begins, takes the lock row and reads head and clock from it.
    pub async fn begin(&mut self) -> Result<(), sqlx::Error> {
        self.emitted.clear();
        self.waiting.clear();
        let begin = if self.postgres { BEGIN_POSTGRES } else { BEGIN_SQLITE };
        let rows = sqlx::raw_sql(begin).fetch_all(&mut self.conn).await?;
        let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        self.head = Head { seq: row.try_get(0)?, hash: row.try_get(1)? };
        let latest: i64 = row.try_get(2)?;
        let now = match self.clock.local(self.postgres) {
            Some(now) => now,
            None => postgres_now(&mut self.conn).await?,
        };
        self.now = now.max(latest);
        Ok(())
    }

    /// Writes the head back and commits.
    pub async fn commit(&mut self) -> Result<Vec<GovernanceEvent>, sqlx::Error> {
        self.write_waiting().await?;
        let Head { seq, hash } = &self.head;
        // One trip; the hash is ours, and quoted all the same.
        let end = format!(
            "UPDATE log_head SET seq = {seq}, hash = '{}', clock = {} WHERE id = 1; COMMIT",
            hash.replace('\'', "''"),
            self.now
        );
        self.conn.execute(sqlx::raw_sql(AssertSqlSafe(end))).await?;
        Ok(std::mem::take(&mut self.emitted))
    }

    pub async fn rollback(&mut self) -> Result<(), sqlx::Error> {
        self.emitted.clear();
        self.waiting.clear();
        self.conn.execute(sqlx::raw_sql("ROLLBACK")).await?;
        Ok(())
    }

    pub async fn savepoint(&mut self) -> Result<Mark, sqlx::Error> {
        self.write_waiting().await?;
        self.conn.execute(sqlx::raw_sql("SAVEPOINT job")).await?;
        Ok(Mark { head: self.head.clone(), emitted: self.emitted.len() })
    }

    pub async fn release(&mut self) -> Result<(), sqlx::Error> {
        self.conn.execute(sqlx::raw_sql("RELEASE SAVEPOINT job")).await?;
        Ok(())
    }

    pub async fn undo(&mut self, mark: Mark) -> Result<(), sqlx::Error> {
        self.head = mark.head;
        self.emitted.truncate(mark.emitted);
        self.conn.execute(sqlx::raw_sql("ROLLBACK TO SAVEPOINT job")).await?;
        self.release().await
    }

    /// Refuses whoever does not hold the run. Everything after it in the same transaction is
    /// fenced too: the lock row is ours, so nobody claims the run before we commit.
    pub async fn fence(&mut self, fence: &Fence) -> Result<(), StoreError> {
        let row =
            sqlx::query("SELECT 1 FROM runs WHERE id = $1 AND epoch = $2 AND lease_owner = $3")
                .bind(fence.run.as_str())
                .bind(fence.epoch)
                .bind(fence.owner.clone())
                .fetch_optional(&mut self.conn)
                .await?;
        match row {
            Some(_) => Ok(()),
            None => Err(StoreError::Fenced(fence.run.clone())),
        }
    }

    /// Appends an event to the chain, redacted.
    pub async fn emit(&mut self, event: NewEvent) -> Result<GovernanceEvent, StoreError> {
        let (event, text) = self.chain(event);
        insert::events(&mut self.conn, &[(event.clone(), text)]).await?;
        Ok(event)
    }

    /// The same, but its row is written together with others: before the next work that reads or
    /// writes anything, and before the commit at the latest.
    pub fn emit_later(&mut self, event: NewEvent) -> GovernanceEvent {
        let (event, text) = self.chain(event);
        self.waiting.push((event.clone(), text));
        event
    }

    async fn write_waiting(&mut self) -> Result<(), sqlx::Error> {
        let waiting = std::mem::take(&mut self.waiting);
        insert::events(&mut self.conn, &waiting).await
    }

    /// Gives an event its place in the chain; returns it with its metadata as it is stored.
    fn chain(&mut self, event: NewEvent) -> (GovernanceEvent, String) {
        let NewEvent { kind, severity, run, issue, description, mut metadata } = event;
        if let Some(run) = &run {
            metadata.entry("runId").or_insert_with(|| Value::from(run.as_str()));
        }
        let metadata = match self.redactor.redact_json(Value::Object(metadata)) {
            Value::Object(map) => map,
            other => serde_json::Map::from_iter([("value".to_owned(), other)]),
        };
        let text = Value::Object(metadata.clone()).to_string();
        let mut event = GovernanceEvent {
            id: uuid::Uuid::now_v7().to_string(),
            seq: self.head.seq + 1,
            timestamp: from_micros(self.now),
            kind,
            severity,
            description: self.text(&description),
            metadata,
            run,
            issue,
            prev_hash: self.head.hash.clone(),
            hash: String::new(),
        };
        event.hash = Canonical {
            seq: event.seq,
            id: &event.id,
            at: event.timestamp,
            kind: kind.as_str(),
            severity: severity.as_str(),
            run: event.run.as_ref().map(crate::domain::ids::RunId::as_str),
            issue: event.issue.map(|issue| issue.0),
            description: &event.description,
            metadata: &text,
        }
        .hash(&event.prev_hash);
        self.head = Head { seq: event.seq, hash: event.hash.clone() };
        self.emitted.push(event.clone());
        (event, text)
    }

    /// A text as it may be stored: redacted, and without the NUL that PostgreSQL refuses.
    pub fn text(&self, text: &str) -> String {
        let text = self.redactor.redact(text);
        if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
    }

    /// A value as JSON text, redacted.
    pub fn json<T: serde::Serialize>(
        &self,
        what: &'static str,
        value: &T,
    ) -> Result<String, StoreError> {
        let value = serde_json::to_value(value).map_err(|why| StoreError::corrupt(what, why))?;
        Ok(self.redactor.redact_json(value).to_string())
    }
}

/// The time of the PostgreSQL server: the same for all processes that share it.
pub(super) async fn postgres_now(conn: &mut AnyConnection) -> Result<i64, sqlx::Error> {
    sqlx::query("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)")
        .fetch_one(conn)
        .await?
        .try_get(0)
}

/// A number as the database keeps it. GitHub's numbers are far below the limit.
pub(super) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
