//! How a store is opened: where the database is, whose clock counts, what is redacted.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::Utc;
use secrecy::{ExposeSecret, SecretString};

use super::StoreError;
use crate::domain::redact::Redactor;

/// Where the database is. A PostgreSQL URL may hold a password, so it is a secret.
#[derive(Clone)]
pub enum DatabaseUrl {
    /// An absolute path of a SQLite file.
    Sqlite(PathBuf),
    Postgres(SecretString),
}

impl DatabaseUrl {
    /// Reads `sqlite://path` (relative ones are in `data_dir`) or `postgres://…`.
    pub fn parse(text: &str, data_dir: &Path) -> Result<Self, StoreError> {
        if let Some(rest) = text.strip_prefix("sqlite:") {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            let path = path.split_once('?').map_or(path, |(path, _)| path);
            if path.is_empty() || path == ":memory:" {
                return Err(StoreError::Url(
                    "sqlite:// needs the path of a file, like sqlite://foreman.db".to_owned(),
                ));
            }
            return Self::file(&data_dir.join(path));
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            // The URL itself is not quoted back: it may hold a password.
            url::Url::parse(text).map_err(|error| StoreError::Url(error.to_string()))?;
            return Ok(Self::Postgres(SecretString::from(text)));
        }
        Err(StoreError::Url("it begins with sqlite:// or postgres://".to_owned()))
    }

    /// A SQLite file.
    pub fn file(path: &Path) -> Result<Self, StoreError> {
        let path = std::path::absolute(path).map_err(|error| StoreError::Url(error.to_string()))?;
        if path.to_str().is_none() {
            return Err(StoreError::Url(format!("{} is not valid UTF-8", path.display())));
        }
        Ok(Self::Sqlite(path))
    }

    /// Whether this is PostgreSQL, where several processes may write.
    #[must_use]
    pub const fn is_postgres(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Postgres(_) => true,
        }
    }

    /// The URL that sqlx connects with.
    pub(super) fn connect_url(&self, create: bool) -> String {
        match self {
            Self::Sqlite(path) => {
                let mut encoded = String::from("sqlite://");
                for byte in path.to_string_lossy().bytes() {
                    if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
                        encoded.push(char::from(byte));
                    } else {
                        encoded.push_str(&format!("%{byte:02X}"));
                    }
                }
                encoded.push_str(if create { "?mode=rwc" } else { "?mode=rw" });
                encoded
            }
            Self::Postgres(url) => url.expose_secret().to_owned(),
        }
    }
}

impl fmt::Display for DatabaseUrl {
    /// For people and logs: never with a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Postgres(url) => match url::Url::parse(url.expose_secret()) {
                Ok(url) => {
                    write!(f, "postgres://{}{}", url.host_str().unwrap_or("localhost"), url.path())
                }
                Err(_) => f.write_str("postgres"),
            },
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

/// Whose time counts. Whatever it says, a transaction never gets a time before the latest stored.
#[derive(Debug, Clone)]
pub enum StoreClock {
    /// The database's own clock on PostgreSQL, the system's on SQLite.
    System,
    /// Microseconds since the epoch, set by a test.
    Fixed(Arc<AtomicI64>),
}

impl StoreClock {
    /// The time to use, or `None` where the database is to be asked.
    pub(super) fn local(&self, postgres: bool) -> Option<i64> {
        match self {
            Self::Fixed(micros) => Some(micros.load(Ordering::SeqCst)),
            Self::System if postgres => None,
            Self::System => Some(Utc::now().timestamp_micros()),
        }
    }
}

/// How to open a store.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    pub url: DatabaseUrl,
    /// Everything stored passes through it.
    pub redactor: Arc<Redactor>,
    pub clock: StoreClock,
    /// Reading commands: no writer, no migration.
    pub read_only: bool,
}
