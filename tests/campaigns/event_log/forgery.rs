//! Forgeries by somebody who owns the database and knows our code: each that touches an anchored
//! event is found, and of the others the report does not claim that they are anchored.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use foreman::domain::event::{Canonical, EventType, GENESIS_HASH, NewEvent, Severity};
use foreman::domain::ids::{IssueNumber, RunId};
use foreman::domain::time::from_micros;
use foreman::github::GitHub;
use foreman::governance::{Governance, Settings};
use rand::RngExt as _;
use rand::rngs::SmallRng;
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Executor as _, Row as _};

use super::open;

const KINDS: [&str; 5] = ["flip", "delete", "swap", "rechain", "truncate"];
/// What stands in the log, and how much of it a checkpoint covers.
const EVENTS: i64 = 60;
const ANCHORED: i64 = 40;

pub async fn campaign(rounds: u32, random: &mut SmallRng) -> Result<(), String> {
    rustls::crypto::ring::default_provider().install_default().ok();
    let original = tempfile::tempdir().map_err(|error| error.to_string())?;
    write(original.path()).await?;
    for kind in KINDS {
        // First where a checkpoint covers it, then a fifth as many where none does.
        let (mut unanchored_found, beyond) = (0, (rounds / 5).max(1));
        for round in 0..rounds {
            let (ok, through, what) = forge(original.path(), kind, true, random).await?;
            if ok {
                return Err(format!("{kind} {round}: not found, {what} (anchored: {through:?})"));
            }
        }
        for round in 0..beyond {
            let (ok, through, what) = forge(original.path(), kind, false, random).await?;
            unanchored_found += u32::from(!ok);
            if ok && through != Some(ANCHORED) {
                return Err(format!("{kind} {round}: {what} is called anchored: {through:?}"));
            }
        }
        println!(
            "{kind}: {rounds} of {rounds} anchored found; {unanchored_found} of {beyond} not anchored found, the rest reported as not anchored"
        );
    }
    Ok(())
}

async fn governance(folder: &Path) -> Result<Governance, String> {
    let store = open(&folder.join("foreman.db")).await?;
    let nowhere = "http://127.0.0.1:9".parse().map_err(|error| format!("{error}"))?;
    let github = GitHub::new(&nowhere, None).map_err(|error| error.to_string())?;
    let governance = Governance::open(store, github, Settings::in_folder(folder)).await;
    governance.map_err(|error| error.to_string())
}

async fn write(folder: &Path) -> Result<(), String> {
    let governance = governance(folder).await?;
    let text = |error: &dyn std::error::Error| error.to_string();
    for (from, to) in [(0, ANCHORED), (ANCHORED, EVENTS)] {
        let events = (from..to).map(|n| {
            NewEvent::new(EventType::ALL[n.unsigned_abs() as usize % 40], format!("event {n}"))
                .severity(Severity::ALL[n.unsigned_abs() as usize % 5])
                .run(&RunId::new(format!("run-{}", n / 9)))
                .issue(IssueNumber(n.unsigned_abs() % 5 + 1))
                .with("n", n)
        });
        let written = governance.store().append(events.collect()).await;
        written.map_err(|error| text(&error))?;
        if to == ANCHORED {
            governance.checkpoint().await.map_err(|error| text(&error))?;
        }
    }
    governance.store().clone().close().await;
    Ok(())
}

/// Forges a copy; says what verification says of it, and what was forged.
async fn forge(
    original: &Path,
    kind: &str,
    anchored: bool,
    random: &mut SmallRng,
) -> Result<(bool, Option<i64>, String), String> {
    let copy = tempfile::tempdir().map_err(|error| error.to_string())?;
    for file in files(original)? {
        let to = copy.path().join(file.strip_prefix(original).map_err(|error| error.to_string())?);
        if let Some(folder) = to.parent() {
            std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        }
        std::fs::copy(&file, &to).map_err(|error| error.to_string())?;
    }
    let at = if anchored {
        random.random_range(1..=ANCHORED)
    } else {
        random.random_range(ANCHORED + 1..=EVENTS)
    };
    let mut rows = Rows::open(copy.path()).await.map_err(|error| error.to_string())?;
    let what = match kind {
        "flip" => rows.flip(at, random).await,
        "delete" => rows.delete(at).await,
        "swap" => rows.swap(at, random).await,
        "rechain" => rows.rechain(at).await,
        _ => rows.truncate(at).await,
    };
    let what = what.map_err(|error| format!("{kind} at {at}: {error}"))?;
    rows.connection.close().await.map_err(|error| error.to_string())?;
    let governance = governance(copy.path()).await?;
    let found = governance.verify().await.map_err(|error| format!("{what}: {error}"))?;
    governance.store().clone().close().await;
    if found.ok != found.first_bad.is_none() {
        return Err(format!("{what}: ok and firstBad disagree: {found:?}"));
    }
    Ok((found.ok, found.anchored_through, what))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| error.to_string())?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

struct Rows {
    connection: AnyConnection,
}

impl Rows {
    async fn open(folder: &Path) -> Result<Self, sqlx::Error> {
        sqlx::any::install_default_drivers();
        let url = format!("sqlite://{}", folder.join("foreman.db").display());
        let mut connection = AnyConnection::connect(&url).await?;
        connection
            .execute(sqlx::raw_sql(
                "DROP TRIGGER events_refuse_update; DROP TRIGGER events_refuse_delete; \
                 DROP TRIGGER events_refuse_replace",
            ))
            .await?;
        Ok(Self { connection })
    }

    async fn run(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        self.connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.map(drop)
    }

    /// One value of one row is another.
    async fn flip(&mut self, at: i64, random: &mut SmallRng) -> Result<String, sqlx::Error> {
        let changes = [
            "description = description || '.'",
            "description = REPLACE(description, 'e', 'E')",
            "metadata = REPLACE(metadata, '{', '{ ')",
            "metadata = '{}'",
            "at = at + 1",
            "at = 'yesterday'",
            "type = 'pr_allowed_'",
            "severity = CASE severity WHEN 'info' THEN 'low' ELSE 'info' END",
            "run_id = 'other'",
            "run_id = NULL",
            "issue = issue + 1",
            "issue = NULL",
            "id = id || 'x'",
            "hash = REPLACE(hash, SUBSTR(hash, 1, 1), CASE SUBSTR(hash, 1, 1) WHEN 'a' THEN 'b' ELSE 'a' END)",
            "prev_hash = hash",
        ];
        let change = changes[random.random_range(0..changes.len())];
        self.run(&format!("UPDATE events SET {change} WHERE seq = {at}")).await?;
        Ok(format!("{change} in event {at}"))
    }

    async fn delete(&mut self, at: i64) -> Result<String, sqlx::Error> {
        self.run(&format!("DELETE FROM events WHERE seq = {at}")).await?;
        Ok(format!("event {at} deleted"))
    }

    /// Two events change places, on the same side of the checkpoint.
    async fn swap(&mut self, at: i64, random: &mut SmallRng) -> Result<String, sqlx::Error> {
        let (low, high) = if at <= ANCHORED { (1, ANCHORED) } else { (ANCHORED + 1, EVENTS) };
        let with = loop {
            let with = random.random_range(low..=high);
            if with != at {
                break with;
            }
        };
        self.run(&format!(
            "UPDATE events SET seq = -1 WHERE seq = {at}; \
             UPDATE events SET seq = {at} WHERE seq = {with}; \
             UPDATE events SET seq = {with} WHERE seq = -1"
        ))
        .await?;
        Ok(format!("events {at} and {with} swapped"))
    }

    /// An event says something else, and every hash from there on is right again.
    async fn rechain(&mut self, at: i64) -> Result<String, sqlx::Error> {
        let text = "nothing happened";
        self.run(&format!("UPDATE events SET description = '{text}' WHERE seq = {at}")).await?;
        let rows = sqlx::query(
            "SELECT seq, id, at, type, severity, run_id, issue, description, metadata, hash \
             FROM events ORDER BY seq",
        )
        .fetch_all(&mut self.connection)
        .await?;
        let (mut hash, mut hashes) = (GENESIS_HASH.to_owned(), BTreeMap::new());
        for row in &rows {
            let seq: i64 = row.try_get(0)?;
            if seq < at {
                hash = row.try_get(9)?;
                continue;
            }
            let (id, kind): (String, String) = (row.try_get(1)?, row.try_get(3)?);
            let (severity, run): (String, Option<String>) = (row.try_get(4)?, row.try_get(5)?);
            let (description, metadata): (String, String) = (row.try_get(7)?, row.try_get(8)?);
            let new = Canonical {
                seq,
                id: &id,
                at: from_micros(row.try_get(2)?),
                kind: &kind,
                severity: &severity,
                run: run.as_deref(),
                issue: row.try_get::<Option<i64>, _>(6)?.map(i64::unsigned_abs),
                description: &description,
                metadata: &metadata,
            }
            .hash(&hash);
            hashes.insert(seq, (hash, new.clone()));
            hash = new;
        }
        let mut sql = String::new();
        for (seq, (previous, hash)) in &hashes {
            sql.push_str(&format!(
                "UPDATE events SET prev_hash = '{previous}', hash = '{hash}' WHERE seq = {seq};"
            ));
        }
        sql.push_str(&format!("UPDATE log_head SET hash = '{hash}' WHERE id = 1"));
        self.run(&sql).await?;
        Ok(format!("written anew from event {at} on"))
    }

    /// The tail from there on is gone, and the head agrees.
    async fn truncate(&mut self, at: i64) -> Result<String, sqlx::Error> {
        self.run(&format!(
            "DELETE FROM events WHERE seq >= {at}; UPDATE log_head SET seq = {at} - 1, \
             hash = COALESCE((SELECT hash FROM events WHERE seq = {at} - 1), '{GENESIS_HASH}') \
             WHERE id = 1"
        ))
        .await?;
        Ok(format!("cut from event {at} on"))
    }
}
