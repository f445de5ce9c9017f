//! Transcripts: what builders and models said to one another, redacted as everything stored.
//!
//! Owns these rows. A round that begins again after a crash is told anew. Never judges a word.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::Row as _;

use super::changes::Fence;
use super::tx::{Tx, number};
use super::{Store, StoreError};
use crate::domain::ids::{AttemptId, CallId, IssueNumber, RunId};
use crate::domain::time::from_micros;

/// A piece of a transcript.
#[derive(Debug, Clone, PartialEq)]
pub enum Telling {
    /// A round begins, perhaps again: what was told of it before goes.
    Begun {
        attempt: AttemptId,
        round: u32,
    },
    Said(Turn),
}

/// One thing that was said.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    pub attempt: AttemptId,
    pub issue: IssueNumber,
    pub round: u32,
    pub index: u32,
    /// The request it answers or follows from.
    pub call: Option<CallId>,
    pub tier: Option<crate::domain::tier::ModelTier>,
    /// A message of the conversation, or `{"role": "note", "content"}`.
    pub said: Value,
}

/// One thing that was said, as it was stored.
#[derive(Debug, Clone, PartialEq)]
pub struct TurnRow {
    pub attempt: AttemptId,
    pub round: u32,
    pub index: u32,
    pub call: Option<CallId>,
    pub tier: Option<String>,
    pub said: Value,
    pub at: DateTime<Utc>,
}

impl Store {
    /// Everything said on an issue in a run, in order.
    pub async fn transcript(
        &self,
        run: &RunId,
        issue: IssueNumber,
    ) -> Result<Vec<TurnRow>, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let rows = sqlx::query(
            "SELECT t.attempt_id, t.round, t.idx, t.call_id, t.tier, t.message, t.said_at \
             FROM transcript t JOIN attempts a ON a.id = t.attempt_id \
             WHERE t.run_id = $1 AND t.issue = $2 ORDER BY a.number, t.round, t.idx",
        )
        .bind(run.as_str())
        .bind(number(issue.0))
        .fetch_all(&mut *connection)
        .await?;
        let count = |value: i64| u32::try_from(value).unwrap_or(u32::MAX);
        rows.iter()
            .map(|row| {
                let message: String = row.try_get(5)?;
                Ok(TurnRow {
                    attempt: AttemptId::new(row.try_get::<String, _>(0)?),
                    round: count(row.try_get(1)?),
                    index: count(row.try_get(2)?),
                    call: row.try_get::<Option<String>, _>(3)?.map(CallId::new),
                    tier: row.try_get(4)?,
                    said: serde_json::from_str(&message)
                        .map_err(|why| StoreError::corrupt("turn of a transcript", why))?,
                    at: from_micros(row.try_get(6)?),
                })
            })
            .collect()
    }
}

/// Writes a piece down.
pub(super) async fn take(tx: &mut Tx, fence: &Fence, telling: Telling) -> Result<(), StoreError> {
    match telling {
        Telling::Begun { attempt, round } => {
            sqlx::query("DELETE FROM transcript WHERE attempt_id = $1 AND round = $2")
                .bind(attempt.as_str())
                .bind(i64::from(round))
                .execute(&mut tx.conn)
                .await?;
        }
        Telling::Said(turn) => {
            // PostgreSQL refuses NUL in a text; escaped in JSON it would come back as one.
            let message =
                tx.json("turn of a transcript", &turn.said)?.replace("\\u0000", "\\ufffd");
            sqlx::query(
                "INSERT INTO transcript (run_id, issue, attempt_id, round, idx, call_id, tier, \
                 message, said_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
                 ON CONFLICT (attempt_id, round, idx) DO UPDATE SET call_id = excluded.call_id, \
                 tier = excluded.tier, message = excluded.message, said_at = excluded.said_at",
            )
            .bind(fence.run.as_str())
            .bind(number(turn.issue.0))
            .bind(turn.attempt.as_str())
            .bind(i64::from(turn.round))
            .bind(i64::from(turn.index))
            .bind(turn.call.map(|call| call.as_str().to_owned()))
            .bind(turn.tier.map(|tier| tier.as_str().to_owned()))
            .bind(message)
            .bind(tx.now)
            .execute(&mut tx.conn)
            .await?;
        }
    }
    Ok(())
}
