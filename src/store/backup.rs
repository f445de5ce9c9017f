//! A whole copy of the database in one file, also while it is used; and one before a migration.
//!
//! SQLite alone: PostgreSQL has its own tools, and says so.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sqlx::{AnyConnection, Connection as _};

use super::options::DatabaseUrl;
use super::{StoreError, connect, migrate};

/// Copies a SQLite database as one consistent state; returns the copy's bytes. Never overwrites.
pub async fn backup(url: &DatabaseUrl, to: &Path) -> Result<u64, StoreError> {
    let DatabaseUrl::Sqlite(from) = url else { return Err(StoreError::BackupElsewhere) };
    if !from.exists() {
        return Err(StoreError::NoDatabase(from.clone()));
    }
    let mut connection = connect::writer(url, false)
        .await
        .map_err(|source| StoreError::Open { what: url.to_string(), source })?;
    let done = vacuum_into(&mut connection, to).await;
    connection.close().await.ok();
    done
}

/// Keeps the database as it was before it is brought to a newer schema.
pub(super) async fn before_migration(
    connection: &mut AnyConnection,
    database: &Path,
) -> Result<(), StoreError> {
    let Some(found) = migrate::older(connection).await? else { return Ok(()) };
    let copy = copy_before(database, found);
    if copy.exists() {
        return Ok(());
    }
    let bytes = vacuum_into(connection, &copy).await?;
    tracing::info!(
        bytes,
        "the database has schema version {found}; kept as {} before it is migrated",
        copy.display()
    );
    Ok(())
}

/// `foreman.db` of version 3 becomes `foreman.db.schema-3`.
fn copy_before(database: &Path, version: i64) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(format!(".schema-{version}"));
    PathBuf::from(name)
}

async fn vacuum_into(connection: &mut AnyConnection, to: &Path) -> Result<u64, StoreError> {
    let failed = |source| StoreError::Backup { file: to.to_owned(), source };
    let text = to.to_str().ok_or_else(|| {
        failed(std::io::Error::new(std::io::ErrorKind::InvalidInput, "its name is not UTF-8"))
    })?;
    // For its owner alone, like the database; SQLite takes an empty file that is there.
    File::options().write(true).create_new(true).mode(0o600).open(to).map_err(failed)?;
    let done = sqlx::query("VACUUM INTO $1").bind(text).execute(&mut *connection).await;
    let synced = done.map_err(StoreError::from).and_then(|_| {
        let file = File::open(to).map_err(failed)?;
        // A copy that a power cut takes away is none.
        file.sync_all().map_err(failed)?;
        Ok(file.metadata().map_err(failed)?.len())
    });
    if synced.is_err() {
        std::fs::remove_file(to).ok();
    }
    synced
}
