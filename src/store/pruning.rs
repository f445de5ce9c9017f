//! Which nights are over for so long that what was said in them may go, and its going.
//!
//! A repository's latest night keeps everything: its report is the one people read. Ledger, rows,
//! events and reports are never touched: money and outcomes stay told for ever.

use sqlx::Row as _;

use super::{Store, StoreError};
use crate::domain::ids::AttemptId;

/// What old nights keep beside their report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OldNights {
    /// Turns of transcripts.
    pub turns: u64,
    /// Each repository, as `owner/name`, with the attempts whose private refs may go.
    pub attempts: Vec<(String, AttemptId)>,
}

/// Runs that ended before `$1`, none of them the last of its repository.
macro_rules! old {
    () => {
        "SELECT r.id FROM runs r WHERE r.active = 0 AND r.ended_at < $1 AND EXISTS \
         (SELECT 1 FROM runs later WHERE later.repo_key = r.repo_key AND later.dry_run = 0 \
          AND later.created_at > r.created_at)"
    };
}

impl Store {
    /// What nights that ended before a time (microseconds since 1970) still keep.
    pub async fn old_nights(&self, before: i64) -> Result<OldNights, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let row = sqlx::query(concat!(
            "SELECT CAST(COUNT(*) AS BIGINT) FROM transcript WHERE run_id IN (",
            old!(),
            ")"
        ))
        .bind(before)
        .fetch_one(&mut *connection)
        .await?;
        let turns = row.try_get::<i64, _>(0)?.unsigned_abs();
        let rows = sqlx::query(concat!(
            "SELECT runs.repo_owner, runs.repo_name, a.id FROM attempts a \
             JOIN runs ON runs.id = a.run_id WHERE a.run_id IN (",
            old!(),
            ") ORDER BY a.id"
        ))
        .bind(before)
        .fetch_all(&mut *connection)
        .await?;
        let mut attempts = Vec::with_capacity(rows.len());
        for row in &rows {
            let (owner, name) = (row.try_get::<String, _>(0)?, row.try_get::<String, _>(1)?);
            attempts
                .push((format!("{owner}/{name}"), AttemptId::new(row.try_get::<String, _>(2)?)));
        }
        Ok(OldNights { turns, attempts })
    }

    /// Takes away the transcripts of nights that ended before a time. How many turns.
    pub async fn forget_transcripts(&self, before: i64) -> Result<u64, StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let done =
                    sqlx::query(concat!("DELETE FROM transcript WHERE run_id IN (", old!(), ")"))
                        .bind(before)
                        .execute(&mut tx.conn)
                        .await?;
                Ok(done.rows_affected())
            })
        })
        .await
    }
}
