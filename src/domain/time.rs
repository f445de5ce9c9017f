//! Times as the store keeps them: microseconds since the epoch, UTC.

use chrono::{DateTime, Utc};

/// Microseconds since the epoch, the form of every time in the database.
#[must_use]
pub fn to_micros(time: DateTime<Utc>) -> i64 {
    time.timestamp_micros()
}

/// The time of a stored value; one outside chrono's range reads as the epoch.
#[must_use]
pub fn from_micros(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::UNIX_EPOCH)
}
