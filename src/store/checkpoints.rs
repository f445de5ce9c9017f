//! Rows of signed checkpoints and of retention. Signing and judging them is governance's business.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{Store, StoreError};
use crate::domain::time::{from_micros, to_micros};

use super::rows::SignedHead;
use crate::domain::event::NewEvent;

/// Events deleted in one transaction.
const DELETE_AT_ONCE: i64 = 10_000;

impl Store {
    /// The last event's number and hash; `None` of an empty log.
    pub async fn log_head(&self) -> Result<Option<(i64, String)>, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let row = sqlx::query("SELECT seq, hash FROM log_head WHERE id = 1")
            .fetch_one(&mut *connection)
            .await?;
        let seq: i64 = row.try_get(0)?;
        Ok((seq > 0).then_some((seq, row.try_get(1)?)))
    }

    /// Stores a checkpoint; one of the same event that is there already stays.
    pub async fn add_checkpoint(&self, checkpoint: SignedHead) -> Result<(), StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO log_checkpoints (seq, hash, at, public_key, signature) \
                     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (seq) DO NOTHING",
                )
                .bind(checkpoint.seq)
                .bind(checkpoint.hash)
                .bind(to_micros(checkpoint.at))
                .bind(checkpoint.public_key)
                .bind(checkpoint.signature)
                .execute(&mut tx.conn)
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// Every checkpoint, oldest first.
    pub async fn signed_heads(&self) -> Result<Vec<SignedHead>, StoreError> {
        self.heads("SELECT seq, hash, at, public_key, signature FROM log_checkpoints ORDER BY seq")
            .await
    }

    /// Every policy row, oldest first. The log begins after the last.
    pub async fn retentions(&self) -> Result<Vec<SignedHead>, StoreError> {
        self.heads("SELECT seq, hash, at, public_key, signature FROM retention ORDER BY seq").await
    }

    async fn heads(&self, sql: &'static str) -> Result<Vec<SignedHead>, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let rows = sqlx::query(sql).fetch_all(&mut *connection).await?;
        rows.iter().map(head).collect()
    }

    /// The latest event before a time, with its hash: what may go under a retention by age.
    pub async fn last_event_before(&self, micros: i64) -> Result<Option<i64>, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let row =
            sqlx::query("SELECT seq FROM events WHERE at < $1 ORDER BY at DESC, seq DESC LIMIT 1")
                .bind(micros)
                .fetch_optional(&mut *connection)
                .await?;
        row.map(|row| Ok(row.try_get(0)?)).transpose()
    }

    /// Writes the policy row and its event, then deletes what it names. The database refuses the
    /// row where no checkpoint of the same hash is stored. Says how many events went.
    pub async fn retain_after(
        &self,
        policy: SignedHead,
        event: NewEvent,
    ) -> Result<u64, StoreError> {
        let seq = policy.seq;
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO retention (seq, hash, at, public_key, signature) \
                     VALUES ($1, $2, $3, $4, $5)",
                )
                .bind(policy.seq)
                .bind(policy.hash)
                .bind(to_micros(policy.at))
                .bind(policy.public_key)
                .bind(policy.signature)
                .execute(&mut tx.conn)
                .await?;
                tx.emit(event).await?;
                Ok(())
            })
        })
        .await?;
        self.delete_retained(seq).await
    }

    /// Deletes what is left of a prefix that a policy row names; also what a crash left over.
    pub async fn delete_retained(&self, through: i64) -> Result<u64, StoreError> {
        let mut deleted = 0;
        loop {
            let gone = self
                .write(move |tx| {
                    Box::pin(async move {
                        let done = sqlx::query(
                            "DELETE FROM events WHERE seq IN (SELECT seq FROM events \
                             WHERE seq <= $1 ORDER BY seq LIMIT $2)",
                        )
                        .bind(through)
                        .bind(DELETE_AT_ONCE)
                        .execute(&mut tx.conn)
                        .await?;
                        Ok(done.rows_affected())
                    })
                })
                .await?;
            deleted += gone;
            if gone == 0 {
                return Ok(deleted);
            }
        }
    }
}

fn head(row: &AnyRow) -> Result<SignedHead, StoreError> {
    Ok(SignedHead {
        seq: row.try_get(0)?,
        hash: row.try_get(1)?,
        at: from_micros(row.try_get(2)?),
        public_key: row.try_get(3)?,
        signature: row.try_get(4)?,
    })
}
