//! The schema's versions: plain SQL files, applied in order, each once.
//!
//! Never goes back, and refuses a database that a newer Foreman wrote.

use sqlx::AnyConnection;
use sqlx::{Executor as _, Row as _};

use super::StoreError;

struct Migration {
    version: i64,
    /// The same on both databases.
    sql: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        sql: include_str!("migrations/0001_core.sql"),
        sqlite: include_str!("migrations/0001_triggers.sqlite.sql"),
        postgres: include_str!("migrations/0001_triggers.postgres.sql"),
    },
    Migration {
        version: 2,
        sql: include_str!("migrations/0002_rails.sql"),
        sqlite: "",
        postgres: "",
    },
    Migration {
        version: 3,
        sql: include_str!("migrations/0003_healing.sql"),
        sqlite: "",
        postgres: "",
    },
    Migration {
        version: 4,
        sql: include_str!("migrations/0004_governance.sql"),
        sqlite: include_str!("migrations/0004_triggers.sqlite.sql"),
        postgres: include_str!("migrations/0004_triggers.postgres.sql"),
    },
    Migration {
        version: 6,
        sql: include_str!("migrations/0006_transcripts.sql"),
        sqlite: "",
        postgres: "",
    },
    Migration {
        version: 7,
        sql: include_str!("migrations/0007_builders.sql"),
        sqlite: "",
        postgres: "",
    },
    Migration {
        version: 11,
        sql: include_str!("migrations/0011_totals.sql"),
        sqlite: include_str!("migrations/0011_triggers.sqlite.sql"),
        postgres: include_str!("migrations/0011_triggers.postgres.sql"),
    },
];

/// The schema this program speaks.
const KNOWN: i64 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// Two programs that start at once on one PostgreSQL migrate one after the other. Any fixed number.
const POSTGRES_LOCK: &str = "SELECT pg_advisory_xact_lock(7033172391)";

/// Brings the database to our version, in one transaction.
pub(super) async fn migrate(
    connection: &mut AnyConnection,
    postgres: bool,
) -> Result<(), StoreError> {
    let begin = if postgres { "BEGIN" } else { "BEGIN IMMEDIATE" };
    connection.execute(sqlx::raw_sql(begin)).await?;
    let applied = apply(connection, postgres).await;
    let end = if applied.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = connection.execute(sqlx::raw_sql(end)).await;
    applied?;
    ended?;
    Ok(())
}

async fn apply(connection: &mut AnyConnection, postgres: bool) -> Result<(), StoreError> {
    if postgres {
        connection.execute(sqlx::raw_sql(POSTGRES_LOCK)).await?;
    }
    connection
        .execute(sqlx::raw_sql(
            "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY)",
        ))
        .await?;
    let found = version(connection).await?;
    if found > KNOWN {
        return Err(StoreError::NewerSchema { found, known: KNOWN });
    }
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > found) {
        connection.execute(sqlx::raw_sql(migration.sql)).await?;
        let own = if postgres { migration.postgres } else { migration.sqlite };
        if !own.is_empty() {
            connection.execute(sqlx::raw_sql(own)).await?;
        }
        sqlx::query("INSERT INTO schema_version (version) VALUES ($1)")
            .bind(migration.version)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// The version of a database of ours that is older than we are.
pub(super) async fn older(connection: &mut AnyConnection) -> Result<Option<i64>, StoreError> {
    match version(connection).await {
        Ok(found) => Ok((found > 0 && found < KNOWN).then_some(found)),
        // The database answered, and knows no such table: it is new.
        Err(StoreError::Database(sqlx::Error::Database(_))) => Ok(None),
        Err(error) => Err(error),
    }
}

/// For who only reads: the schema has to be ours already.
pub(super) async fn check(connection: &mut AnyConnection) -> Result<(), StoreError> {
    let found = match version(connection).await {
        Ok(found) => found,
        // The database answered, and knows no such table: nothing of ours is in it.
        Err(StoreError::Database(sqlx::Error::Database(_))) => 0,
        Err(error) => return Err(error),
    };
    match found {
        found if found > KNOWN => Err(StoreError::NewerSchema { found, known: KNOWN }),
        found if found < KNOWN => Err(StoreError::OlderSchema { found, known: KNOWN }),
        _ => Ok(()),
    }
}

async fn version(connection: &mut AnyConnection) -> Result<i64, StoreError> {
    let row = sqlx::query("SELECT CAST(COALESCE(MAX(version), 0) AS BIGINT) FROM schema_version")
        .fetch_one(connection)
        .await?;
    Ok(row.try_get(0)?)
}
