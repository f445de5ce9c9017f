//! Reading the event log: queries and statistics. Writing it is `tx.rs`'s business.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::rows::{EventQuery, EventStats};
use super::{Store, StoreError};
use crate::domain::event::{EventType, GovernanceEvent, Severity};
use crate::domain::ids::{IssueNumber, RunId};
use crate::domain::time::{from_micros, to_micros};

const DEFAULT_PAGE: u32 = 100;
const LARGEST_PAGE: u32 = 1_000;

/// The columns that [`event`] reads, in its order, under every filter; the two orders differ in
/// their last line alone.
macro_rules! select_events {
    ($order:literal) => {
        concat!(
            "SELECT seq, id, at, type, severity, run_id, issue, description, metadata, prev_hash, ",
            "hash FROM events ",
            // A list is one text with a comma on each side of every name.
            "WHERE ($1 IS NULL OR REPLACE($1, ',' || type || ',', '') <> $1) ",
            "AND ($2 IS NULL OR REPLACE($2, ',' || severity || ',', '') <> $2) ",
            "AND ($3 IS NULL OR at >= $3) AND ($4 IS NULL OR at < $4) ",
            "AND ($5 IS NULL OR run_id = $5) AND ($6 IS NULL OR seq < $6) ",
            "AND ($7 IS NULL OR seq > $7) ORDER BY seq ",
            $order,
            " LIMIT $8"
        )
    };
}

impl Store {
    /// Events that match, newest first unless asked otherwise.
    pub async fn events(&self, query: EventQuery) -> Result<Vec<GovernanceEvent>, StoreError> {
        let limit = if query.limit == 0 { DEFAULT_PAGE } else { query.limit.min(LARGEST_PAGE) };
        let sql = if query.ascending { select_events!("ASC") } else { select_events!("DESC") };
        let mut connection = self.inner.pool.acquire().await?;
        let rows = sqlx::query(sql)
            .bind(list(query.types.iter().map(|kind| kind.as_str())))
            .bind(list(query.severities.iter().map(|severity| severity.as_str())))
            .bind(query.since.map(to_micros))
            .bind(query.until.map(to_micros))
            .bind(query.run.map(|run| run.as_str().to_owned()))
            .bind(query.before_seq)
            .bind(query.after_seq)
            .bind(i64::from(limit))
            .fetch_all(&mut *connection)
            .await?;
        rows.iter().map(event).collect()
    }

    /// How many events there are, by severity and by type.
    pub async fn event_stats(&self) -> Result<EventStats, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let rows = sqlx::query(
            "SELECT type, severity, CAST(COUNT(*) AS BIGINT) FROM events GROUP BY type, severity",
        )
        .fetch_all(&mut *connection)
        .await?;
        let mut stats = EventStats::default();
        for row in rows {
            let count = row.try_get::<i64, _>(2)?.unsigned_abs();
            stats.total += count;
            *stats.by_type.entry(kind(&row, 0)?).or_default() += count;
            *stats.by_severity.entry(severity(&row, 1)?).or_default() += count;
        }
        Ok(stats)
    }
}

/// `,a,b,` written so that no name matches part of another; `None` for an empty list.
fn list<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut text = String::new();
    for name in names {
        // Two commas between names: REPLACE takes each name with both of its own.
        text.push(',');
        text.push_str(name);
        text.push(',');
    }
    (!text.is_empty()).then_some(text)
}

fn event(row: &AnyRow) -> Result<GovernanceEvent, StoreError> {
    let run: Option<String> = row.try_get(5)?;
    let issue: Option<i64> = row.try_get(6)?;
    Ok(GovernanceEvent {
        seq: row.try_get(0)?,
        id: row.try_get(1)?,
        timestamp: from_micros(row.try_get(2)?),
        kind: kind(row, 3)?,
        severity: severity(row, 4)?,
        run: run.map(RunId::new),
        issue: issue.map(|number| IssueNumber(number.unsigned_abs())),
        description: row.try_get(7)?,
        metadata: serde_json::from_str(&row.try_get::<String, _>(8)?)
            .map_err(|why| StoreError::corrupt("metadata of an event", why))?,
        prev_hash: row.try_get(9)?,
        hash: row.try_get(10)?,
    })
}

fn kind(row: &AnyRow, index: usize) -> Result<EventType, StoreError> {
    row.try_get::<String, _>(index)?
        .parse()
        .map_err(|why| StoreError::corrupt("type of an event", why))
}

fn severity(row: &AnyRow, index: usize) -> Result<Severity, StoreError> {
    row.try_get::<String, _>(index)?
        .parse()
        .map_err(|why| StoreError::corrupt("severity of an event", why))
}
