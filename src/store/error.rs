//! What can go wrong with the store, in sentences for people.

use std::path::PathBuf;

use crate::domain::ids::{CallId, IssueNumber, RunId};

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("DATABASE_URL is not usable: {0}")]
    Url(String),
    #[error("the database {what} cannot be opened: {source}")]
    Open {
        what: String,
        #[source]
        source: sqlx::Error,
    },
    #[error("there is no database at {0} yet: nothing has run here")]
    NoDatabase(PathBuf),
    #[error(
        "the database has schema version {found}, this Foreman knows up to {known}: start the newer Foreman that wrote it, or give this one another DATABASE_URL"
    )]
    NewerSchema { found: i64, known: i64 },
    #[error(
        "the database has schema version {found}, {known} is needed: start `foreman serve` once to migrate it"
    )]
    OlderSchema { found: i64, known: i64 },
    #[error("the backup {} could not be made: {source}", file.display())]
    Backup { file: std::path::PathBuf, source: std::io::Error },
    #[error(
        "PostgreSQL is backed up with its own tools: pg_dump --format=custom --file=FILE \"$DATABASE_URL\""
    )]
    BackupElsewhere,
    #[error("the store was opened for reading only")]
    ReadOnly,
    #[error("the store is closed")]
    Closed,
    #[error("run {0} is not ours any more: another process took it over")]
    Fenced(RunId),
    #[error("the transaction could not be committed: {0}")]
    NotCommitted(String),
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    #[error("the stored {what} cannot be read: {why}")]
    Corrupt { what: &'static str, why: String },
    #[error("that cannot be remembered: {0}")]
    Memory(String),
    #[error("call {0} is settled already")]
    AlreadySettled(CallId),
    #[error("call {0} is not known to this run")]
    UnknownCall(CallId),
    #[error("run {0} is not known")]
    UnknownRun(RunId),
    #[error("run {run} has no row for issue {issue}")]
    UnknownIssue { run: RunId, issue: IssueNumber },
    #[error("`{0}` is not a cursor of this list")]
    BadCursor(String),
    #[error(
        "another Foreman{} works with the data folder {}: stop it, or set FOREMAN_DATA_DIR to another folder",
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(),
        folder.display()
    )]
    Locked { folder: PathBuf, pid: Option<u32> },
    #[error(
        "the data folder {} cannot be used: {source}; set FOREMAN_DATA_DIR to a folder of yours",
        folder.display()
    )]
    DataFolder {
        folder: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

impl StoreError {
    pub(super) fn corrupt(
        what: &'static str,
        why: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Corrupt { what, why: why.into().to_string() }
    }

    /// Whether the database has no room left: it goes on by itself once there is some.
    #[must_use]
    pub fn is_full(&self) -> bool {
        const SIGNS: [&str; 3] =
            ["database or disk is full", "No space left on device", "could not extend file"];
        let said = |text: &str| SIGNS.iter().any(|sign| text.contains(sign));
        match self {
            Self::NotCommitted(why) => said(why),
            Self::Database(error) | Self::Open { source: error, .. } => said(&error.to_string()),
            _ => false,
        }
    }

    /// Whether the run was taken over: whoever reads this stops its work and writes nothing.
    #[must_use]
    pub const fn is_fenced(&self) -> bool {
        matches!(self, Self::Fenced(_))
    }
}
