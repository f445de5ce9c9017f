//! Opening connections: the writer's one and the readers' pool, with each database's settings.
//!
//! The only place, with `migrate.rs` and the transaction's first lines, that knows which database
//! it is.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::{AnyConnection, AnyPool};
use sqlx::{Connection as _, Executor as _};

use super::StoreError;
use super::options::DatabaseUrl;

/// Readers at once; they never wait for the writer (WAL, MVCC), only for one another.
const READERS: u32 = 4;

/// How long a reader waits for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// WAL lets readers go on while one writes; FULL keeps a commit across a power cut; the busy
/// timeout covers a second process on the same file (a reading command).
const SQLITE_WRITER: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
     PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000; PRAGMA recursive_triggers = ON;";

const SQLITE_READER: &str =
    "PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000; PRAGMA query_only = ON;";

/// A writer that was stopped in the middle of a transaction must not hold the lock row for ever.
const POSTGRES_WRITER: &str = "SET idle_in_transaction_session_timeout = '20s'";

const POSTGRES_READER: &str = "SET default_transaction_read_only = on";

/// The writer's connection. `create` makes a SQLite file that is not there.
pub(super) async fn writer(url: &DatabaseUrl, create: bool) -> Result<AnyConnection, sqlx::Error> {
    sqlx::any::install_default_drivers();
    if let (DatabaseUrl::Sqlite(path), true) = (url, create) {
        private_file(path).map_err(sqlx::Error::Io)?;
    }
    let mut connection = AnyConnection::connect(&url.connect_url(create)).await?;
    let settings = if url.is_postgres() { POSTGRES_WRITER } else { SQLITE_WRITER };
    connection.execute(sqlx::raw_sql(settings)).await?;
    Ok(connection)
}

/// Makes the file for its owner alone: it holds what models and issues said. SQLite gives its
/// companion files the same permissions.
fn private_file(path: &Path) -> std::io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    File::options().write(true).create(true).truncate(false).mode(0o600).open(path).map(drop)
}

/// The readers' pool; its connections refuse to write.
pub(super) async fn readers(url: &DatabaseUrl) -> Result<AnyPool, StoreError> {
    sqlx::any::install_default_drivers();
    let settings = if url.is_postgres() { POSTGRES_READER } else { SQLITE_READER };
    AnyPoolOptions::new()
        .max_connections(READERS)
        // A file does not hang up; asking it first would double the time of small reads.
        .test_before_acquire(url.is_postgres())
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                connection.execute(sqlx::raw_sql(settings)).await?;
                Ok(())
            })
        })
        .connect(&url.connect_url(false))
        .await
        .map_err(|source| StoreError::Open { what: url.to_string(), source })
}
