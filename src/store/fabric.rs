//! The memory fabric's rows: every entry in its versions, and which drift was told of.
//!
//! Refuses what does not keep to its schema. Never judges what memory says.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::tx::Tx;
use super::{Store, StoreError};
use crate::domain::event::{EventType, NewEvent, Severity};
use crate::domain::ids::RunId;
use crate::domain::memory::{MemoryDrift, MemoryEntry, NewEntry, Scope};
use crate::domain::time::from_micros;

/// Versions that are kept of an entry.
const VERSIONS: i64 = 20;
/// Entries of one answer.
const MOST: i64 = 1_000;
const DAY_MICROS: i64 = 86_400 * 1_000_000;

/// Which entries to read.
#[derive(Debug, Clone, Default)]
pub struct MemoryQuery {
    pub scope: Option<Scope>,
    /// `owner/name`, lower case.
    pub project: Option<String>,
    /// How the key begins.
    pub prefix: Option<String>,
    /// Every version that is kept, not only the latest.
    pub history: bool,
}

const COLUMNS: &str = "SELECT scope, project, key, version, schema, value, source, run_id, at, \
     fresh_until FROM memory_entries m WHERE ($1 IS NULL OR scope = $1) \
     AND ($2 IS NULL OR project = $2) AND ($3 IS NULL OR key LIKE $3 ESCAPE '!') \
     AND ($4 = 1 OR version = (SELECT MAX(version) FROM memory_entries n \
     WHERE n.scope = m.scope AND n.project = m.project AND n.key = m.key)) \
     ORDER BY at DESC, scope, project, key, version DESC LIMIT $5";

impl Store {
    /// Remembers an entry: a new version where it says something new, else the old one is fresh
    /// again. A new version is an event. Returns it as it stands.
    pub async fn remember(&self, entry: NewEntry) -> Result<MemoryEntry, StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let (source, project) = (entry.source.clone(), entry.project.clone());
                let (entry, new) = record(tx, entry).await?;
                if new {
                    let about = project.map(|repo| format!(" for {repo}")).unwrap_or_default();
                    let text = format!(
                        "Remembered `{}` in scope {}{about}, version {}",
                        entry.key, entry.scope, entry.version
                    );
                    let mut event = NewEvent::new(EventType::MemoryRecorded, text)
                        .with("scope", entry.scope.as_str())
                        .with("key", entry.key.clone())
                        .with("version", entry.version)
                        .with("schema", entry.schema.clone())
                        .with("source", source);
                    if let Some(project) = &entry.project {
                        event = event.with("project", project.clone());
                    }
                    if let Some(run) = &entry.run_id {
                        event = event.run(run);
                    }
                    tx.emit(event).await?;
                }
                Ok(entry)
            })
        })
        .await
    }

    /// Entries that match, the latest first; at most 1,000.
    pub async fn memory(&self, query: MemoryQuery) -> Result<Vec<MemoryEntry>, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let rows = sqlx::query(COLUMNS)
            .bind(query.scope.map(Scope::as_str))
            .bind(query.project)
            .bind(query.prefix.as_deref().map(beginning))
            .bind(i64::from(query.history))
            .bind(MOST)
            .fetch_all(&mut *connection)
            .await?;
        rows.iter().map(entry).collect()
    }

    /// Tells of each drift that was not told of yet; says how many were new.
    pub async fn tell_drift(&self, drifted: Vec<MemoryDrift>) -> Result<usize, StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let mut new = 0;
                for drift in drifted {
                    new += usize::from(tell(tx, drift).await?);
                }
                Ok(new)
            })
        })
        .await
    }
}

async fn tell(tx: &mut Tx, drift: MemoryDrift) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE memory_entries SET drift = $1 WHERE scope = $2 AND project = $3 AND key = $4 \
         AND version = $5 AND (drift IS NULL OR drift <> $1)",
    )
    .bind(drift.kind.as_str())
    .bind(drift.scope.as_str())
    .bind(drift.project.clone().unwrap_or_default())
    .bind(drift.key.clone())
    .bind(drift.version)
    .execute(&mut tx.conn)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    let text = format!("Memory drift: `{}` in scope {}: {}", drift.key, drift.scope, drift.why);
    let mut event = NewEvent::new(EventType::MemoryDriftDetected, text)
        .severity(Severity::Medium)
        .with("kind", drift.kind.as_str())
        .with("scope", drift.scope.as_str())
        .with("key", drift.key)
        .with("version", drift.version);
    if let Some(project) = drift.project {
        event = event.with("project", project);
    }
    tx.emit(event).await?;
    Ok(true)
}

/// The latest version of an entry, inside a transaction.
pub(super) async fn latest(
    tx: &mut Tx,
    scope: Scope,
    project: &str,
    key: &str,
) -> Result<Option<MemoryEntry>, StoreError> {
    let row = sqlx::query(
        "SELECT scope, project, key, version, schema, value, source, run_id, at, fresh_until \
         FROM memory_entries WHERE scope = $1 AND project = $2 AND key = $3 \
         ORDER BY version DESC LIMIT 1",
    )
    .bind(scope.as_str())
    .bind(project.to_owned())
    .bind(key.to_owned())
    .fetch_optional(&mut tx.conn)
    .await?;
    row.as_ref().map(entry).transpose()
}

/// Writes an entry, redacted; true where it is a new version.
pub(super) async fn record(tx: &mut Tx, new: NewEntry) -> Result<(MemoryEntry, bool), StoreError> {
    new.check().map_err(StoreError::Memory)?;
    let NewEntry { scope, project, key, schema, value, source, run, fresh_days } = new;
    let project = project.map(|repo| repo.key()).unwrap_or_default();
    let text = tx.json("memory entry", &value)?;
    // As it is stored: redacted.
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|why| StoreError::corrupt("memory entry", why))?;
    let (source, now) = (tx.text(&source), tx.now);
    let fresh_until = fresh_days.map(|days| now.saturating_add(i64::from(days) * DAY_MICROS));
    let known = latest(tx, scope, &project, &key).await?;
    let same =
        known.as_ref().is_some_and(|known| known.schema == schema.as_str() && known.value == value);
    if same {
        sqlx::query(
            "UPDATE memory_entries SET at = $1, fresh_until = $2, source = $3, run_id = $4, \
             drift = NULL WHERE scope = $5 AND project = $6 AND key = $7 AND version = $8",
        )
        .bind(now)
        .bind(fresh_until)
        .bind(source)
        .bind(run.as_ref().map(|run| run.as_str().to_owned()))
        .bind(scope.as_str())
        .bind(project.clone())
        .bind(key.clone())
        .bind(known.as_ref().map_or(1, |known| known.version))
        .execute(&mut tx.conn)
        .await?;
    } else {
        let version = known.as_ref().map_or(1, |known| known.version + 1);
        sqlx::query(
            "INSERT INTO memory_entries (scope, project, key, version, schema, value, source, \
             run_id, at, fresh_until) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(scope.as_str())
        .bind(project.clone())
        .bind(key.clone())
        .bind(version)
        .bind(schema.as_str())
        .bind(text)
        .bind(source)
        .bind(run.as_ref().map(|run| run.as_str().to_owned()))
        .bind(now)
        .bind(fresh_until)
        .execute(&mut tx.conn)
        .await?;
        sqlx::query(
            "DELETE FROM memory_entries WHERE scope = $1 AND project = $2 AND key = $3 \
             AND version <= $4",
        )
        .bind(scope.as_str())
        .bind(project.clone())
        .bind(key.clone())
        .bind(version - VERSIONS)
        .execute(&mut tx.conn)
        .await?;
    }
    match latest(tx, scope, &project, &key).await? {
        Some(entry) => Ok((entry, !same)),
        None => Err(StoreError::corrupt("memory entry", "it is gone after it was written")),
    }
}

/// A `LIKE` pattern for keys that begin so.
fn beginning(prefix: &str) -> String {
    let mut pattern = String::new();
    for c in prefix.chars() {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

fn entry(row: &AnyRow) -> Result<MemoryEntry, StoreError> {
    let project: String = row.try_get(1)?;
    let value: String = row.try_get(5)?;
    let run: Option<String> = row.try_get(7)?;
    let fresh: Option<i64> = row.try_get(9)?;
    Ok(MemoryEntry {
        scope: row
            .try_get::<String, _>(0)?
            .parse()
            .map_err(|why: String| StoreError::corrupt("scope of a memory entry", why))?,
        project: (!project.is_empty()).then_some(project),
        key: row.try_get(2)?,
        version: row.try_get(3)?,
        schema: row.try_get(4)?,
        // What is no JSON keeps to no schema either: drift tells of it.
        value: serde_json::from_str(&value).unwrap_or(serde_json::Value::String(value)),
        source: row.try_get(6)?,
        run_id: run.map(RunId::new),
        at: from_micros(row.try_get(8)?),
        fresh_until: fresh.map(from_micros),
    })
}
