//! Reading the event log: queries and statistics. Writing it is `tx.rs`'s business.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::rows::{EventQuery, EventStats, EventTotals};
use super::{Store, StoreError};
use crate::domain::event::{EventType, GovernanceEvent, Severity};
use crate::domain::ids::{IssueNumber, RunId};
use crate::domain::time::{from_micros, to_micros};

const DEFAULT_PAGE: u32 = 100;
const LARGEST_PAGE: u32 = 1_000;

/// The columns that [`event`] reads, in its order, under every filter; `$narrow` is what an index
/// can be used for.
macro_rules! select_events {
    ($narrow:literal, $order:literal) => {
        concat!(
            "SELECT seq, id, at, type, severity, run_id, issue, description, metadata, prev_hash, ",
            "hash FROM events WHERE ",
            $narrow,
            // A list is one text with a comma on each side of every name.
            " AND ($2 IS NULL OR REPLACE($2, ',' || severity || ',', '') <> $2) ",
            "AND ($3 IS NULL OR at >= $3) AND ($4 IS NULL OR at < $4) ",
            "AND ($6 IS NULL OR seq < $6) AND ($7 IS NULL OR seq > $7) ",
            "AND ($9 IS NULL OR REPLACE($9, ',' || CAST(issue AS TEXT) || ',', '') <> $9) ",
            "AND ($10 IS NULL OR LOWER(description) LIKE $10 ESCAPE '!') ORDER BY seq ",
            $order,
            " LIMIT $8"
        )
    };
}

/// One type, one run, or any: each as a statement of its own, so that the index of the first two
/// is used.
macro_rules! any_of {
    ($order:literal) => {
        [
            select_events!(
                "($1 IS NULL OR REPLACE($1, ',' || type || ',', '') <> $1) \
                 AND ($5 IS NULL OR REPLACE($5, ',' || run_id || ',', '') <> $5)",
                $order
            ),
            select_events!(
                "type = $1 AND ($5 IS NULL OR REPLACE($5, ',' || run_id || ',', '') <> $5)",
                $order
            ),
            select_events!(
                "($1 IS NULL OR REPLACE($1, ',' || type || ',', '') <> $1) AND run_id = $5",
                $order
            ),
        ]
    };
}
const NEWEST_FIRST: [&str; 3] = any_of!("DESC");
const OLDEST_FIRST: [&str; 3] = any_of!("ASC");

impl Store {
    /// Events that match, newest first unless asked otherwise.
    pub async fn events(&self, query: EventQuery) -> Result<Vec<GovernanceEvent>, StoreError> {
        let limit = if query.limit == 0 { DEFAULT_PAGE } else { query.limit.min(LARGEST_PAGE) };
        let forms = if query.ascending { OLDEST_FIRST } else { NEWEST_FIRST };
        let types = list(query.types.iter().map(|kind| kind.as_str()));
        let runs = list(query.runs.iter().map(RunId::as_str));
        let (sql, types, runs) = match (query.types.as_slice(), query.runs.as_slice()) {
            (_, [run]) => (forms[2], types, Some(run.as_str().to_owned())),
            ([kind], _) => (forms[1], Some(kind.as_str().to_owned()), runs),
            _ => (forms[0], types, runs),
        };
        let issues: Vec<String> = query.issues.iter().map(|issue| issue.0.to_string()).collect();
        let mut connection = self.inner.pool.acquire().await?;
        let rows = sqlx::query(sql)
            .bind(types)
            .bind(list(query.severities.iter().map(|severity| severity.as_str())))
            .bind(query.since.map(to_micros))
            .bind(query.until.map(to_micros))
            .bind(runs)
            .bind(query.before_seq)
            .bind(query.after_seq)
            .bind(i64::from(limit))
            .bind(list(issues.iter().map(String::as_str)))
            .bind(query.text.as_deref().map(containing))
            .fetch_all(&mut *connection)
            .await?;
        rows.iter().map(event).collect()
    }

    /// The last event's number as this process may know it; 0 where there is none.
    pub async fn last_seq(&self) -> Result<i64, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let row = sqlx::query("SELECT seq FROM log_head WHERE id = 1")
            .fetch_one(&mut *connection)
            .await?;
        Ok(row.try_get(0)?)
    }

    /// All sums, of one state of the log.
    pub async fn event_totals(&self) -> Result<EventTotals, StoreError> {
        const DAY: i64 = 86_400 * 1_000_000;
        let through = self.last_seq().await?;
        let mut connection = self.inner.pool.acquire().await?;
        let rows = sqlx::query(
            "SELECT type, severity, run_id, at / $1, CAST(COUNT(*) AS BIGINT) FROM events \
             WHERE seq <= $2 GROUP BY type, severity, run_id, at / $1",
        )
        .bind(DAY)
        .bind(through)
        .fetch_all(&mut *connection)
        .await?;
        let mut totals = EventTotals { through, ..EventTotals::default() };
        for row in rows {
            let count = row.try_get::<i64, _>(4)?.unsigned_abs();
            totals.stats.total += count;
            *totals.stats.by_type.entry(kind(&row, 0)).or_default() += count;
            *totals.stats.by_severity.entry(severity(&row, 1)).or_default() += count;
            if let Ok(Some(run)) = row.try_get::<Option<String>, _>(2) {
                *totals.by_run.entry(RunId::new(run)).or_default() += count;
            }
            let day = from_micros(row.try_get::<i64, _>(3)?.saturating_mul(DAY)).date_naive();
            *totals.by_day.entry(day).or_default() += count;
        }
        Ok(totals)
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
            *stats.by_type.entry(kind(&row, 0)).or_default() += count;
            *stats.by_severity.entry(severity(&row, 1)).or_default() += count;
        }
        Ok(stats)
    }
}

/// A `LIKE` pattern for a text that is taken as it stands.
fn containing(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.to_ascii_lowercase().chars() {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
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

/// A row as an event. One that is not what an event is, as only somebody else than us leaves it,
/// is shown as such and stops nobody from reading on; verification names it.
fn event(row: &AnyRow) -> Result<GovernanceEvent, StoreError> {
    let seq = row.try_get(0)?;
    Ok(whole(row, seq).unwrap_or_else(|why| GovernanceEvent {
        id: row.try_get(1).unwrap_or_default(),
        seq,
        timestamp: row.try_get(2).map(from_micros).unwrap_or_default(),
        kind: EventType::Unreadable,
        severity: Severity::Critical,
        description: format!("Event {seq} is not what was written: {why}"),
        metadata: serde_json::Map::new(),
        run: row.try_get::<Option<String>, _>(5).ok().flatten().map(RunId::new),
        issue: None,
        prev_hash: row.try_get(9).unwrap_or_default(),
        hash: row.try_get(10).unwrap_or_default(),
    }))
}

fn whole(row: &AnyRow, seq: i64) -> Result<GovernanceEvent, String> {
    let text = |index: usize| row.try_get::<String, _>(index).map_err(|error| error.to_string());
    let run: Option<String> = row.try_get(5).map_err(|error| error.to_string())?;
    let issue: Option<i64> = row.try_get(6).map_err(|error| error.to_string())?;
    Ok(GovernanceEvent {
        seq,
        id: text(1)?,
        timestamp: from_micros(row.try_get(2).map_err(|error| error.to_string())?),
        kind: text(3)?.parse()?,
        severity: text(4)?.parse()?,
        run: run.map(RunId::new),
        issue: issue.map(|number| IssueNumber(number.unsigned_abs())),
        description: text(7)?,
        metadata: serde_json::from_str(&text(8)?)
            .map_err(|_| "its metadata is no object of JSON".to_owned())?,
        prev_hash: text(9)?,
        hash: text(10)?,
    })
}

/// As [`event`] shows it.
fn kind(row: &AnyRow, index: usize) -> EventType {
    let text = row.try_get::<String, _>(index).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(EventType::Unreadable)
}

/// As [`event`] shows it.
fn severity(row: &AnyRow, index: usize) -> Severity {
    let text = row.try_get::<String, _>(index).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(Severity::Critical)
}
