//! The ledger's settlements: what a call cost in the end, once, and what a restart finds in flight.

use sqlx::Row as _;

use super::changes::{Change, Fence};
use super::money::{RecoveredCalls, Settlement};
use super::rows::CallStatus;
use super::tx::{Tx, number};
use super::{Store, StoreError, apply, rails};
use crate::domain::ids::CallId;
use crate::domain::money::Usd;

impl Store {
    /// Books a call's real cost and stores its answer, with the changes that follow from it. A
    /// cost above the reservation is booked all the same. A call that is settled already is an
    /// error; one that was unknown may still be settled.
    pub async fn settle(
        &self,
        fence: &Fence,
        call: &CallId,
        settlement: Settlement,
        changes: Vec<Change>,
    ) -> Result<(), StoreError> {
        let (fence, call) = (fence.clone(), call.clone());
        self.write(move |tx| {
            Box::pin(async move {
                let failed = matches!(settlement, Settlement::Failed { .. });
                settle(tx, &fence, &call, settlement).await?;
                if failed {
                    rails::after_failure(tx, &fence, &call).await?;
                }
                apply::all(tx, &fence, changes).await?;
                Ok(())
            })
        })
        .await
    }

    /// Clears up after a former owner of the run: what was reserved and never sent is given back,
    /// what was sent and not heard of is unknown, at its estimate.
    pub async fn recover_calls(&self, fence: &Fence) -> Result<RecoveredCalls, StoreError> {
        let fence = fence.clone();
        self.write(move |tx| {
            Box::pin(async move {
                tx.fence(&fence).await?;
                let released = "UPDATE calls SET status = 'released', charge = 0, settled_at = $1 \
                     WHERE run_id = $2 AND status = 'reserved' RETURNING id";
                let unknown = "UPDATE calls SET status = 'unknown', charge = estimate, \
                     settled_at = $1 WHERE run_id = $2 AND status = 'dispatched' RETURNING id";
                Ok(RecoveredCalls {
                    released: recover(tx, &fence, released).await?,
                    unknown: recover(tx, &fence, unknown).await?,
                })
            })
        })
        .await
    }
}

impl Store {
    /// Clears up after runs whose owner is silent and that nobody resumes: what was reserved is
    /// given back, what was sent is unknown. Otherwise their money would stay in flight for ever,
    /// and others would wait for it. How many calls.
    pub async fn sweep_expired_calls(&self) -> Result<u64, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let now = self.now(&mut connection).await?;
        // A look costs no commit; most of the time there is nothing.
        let row = sqlx::query(
            "SELECT CAST(COUNT(*) AS BIGINT) FROM calls JOIN runs ON runs.id = calls.run_id \
             WHERE calls.status IN ('reserved', 'dispatched') AND runs.lease_until <= $1",
        )
        .bind(now)
        .fetch_one(&mut *connection)
        .await?;
        drop(connection);
        if row.try_get::<i64, _>(0)? == 0 {
            return Ok(0);
        }
        self.write(|tx| {
            Box::pin(async move {
                let done = sqlx::query(
                    "UPDATE calls SET settled_at = $1, \
                     charge = CASE WHEN status = 'reserved' THEN 0 ELSE estimate END, \
                     status = CASE WHEN status = 'reserved' THEN 'released' ELSE 'unknown' END \
                     WHERE status IN ('reserved', 'dispatched') \
                     AND run_id IN (SELECT id FROM runs WHERE lease_until <= $1)",
                )
                .bind(tx.now)
                .execute(&mut tx.conn)
                .await?;
                Ok(done.rows_affected())
            })
        })
        .await
    }
}

async fn recover(tx: &mut Tx, fence: &Fence, sql: &'static str) -> Result<Vec<CallId>, StoreError> {
    let rows =
        sqlx::query(sql).bind(tx.now).bind(fence.run.as_str()).fetch_all(&mut tx.conn).await?;
    let mut calls = Vec::with_capacity(rows.len());
    for row in rows {
        calls.push(CallId::new(row.try_get::<String, _>(0)?));
    }
    calls.sort();
    Ok(calls)
}

/// What a settlement writes.
#[derive(Default)]
struct Booking {
    status: &'static str,
    cost: Usd,
    answer: Option<String>,
    prompt: Option<i64>,
    cached: Option<i64>,
    completion: Option<i64>,
    error_class: Option<&'static str>,
    error_message: Option<String>,
}

impl Booking {
    fn of(tx: &Tx, settlement: Settlement) -> Result<Self, StoreError> {
        Ok(match settlement {
            Settlement::Answered { answer, cost, unknown } => Self {
                status: status(unknown),
                cost,
                prompt: answer.usage.map(|usage| number(usage.prompt_tokens)),
                cached: answer.usage.map(|usage| number(usage.cached_tokens)),
                completion: answer.usage.map(|usage| number(usage.completion_tokens)),
                answer: Some(tx.json("answer", &answer)?),
                error_class: None,
                error_message: None,
            },
            Settlement::Failed { class, message, cost, unknown } => Self {
                status: status(unknown),
                cost,
                error_class: Some(class.as_str()),
                error_message: Some(tx.text(&message)),
                ..Self::default()
            },
            Settlement::Abandoned { message, cost } => Self {
                status: CallStatus::Unknown.as_str(),
                cost,
                error_message: Some(tx.text(&message)),
                ..Self::default()
            },
        })
    }
}

const fn status(unknown: bool) -> &'static str {
    if unknown { CallStatus::Unknown.as_str() } else { CallStatus::Settled.as_str() }
}

/// Fenced by its own statement, which is one trip less.
async fn settle(
    tx: &mut Tx,
    fence: &Fence,
    call: &CallId,
    settlement: Settlement,
) -> Result<(), StoreError> {
    let booking = Booking::of(tx, settlement)?;
    let done = sqlx::query(
        "UPDATE calls SET status = $1, \
         charge = CASE WHEN $1 = 'unknown' AND estimate > $2 THEN estimate ELSE $2 END, \
         answer = $3, prompt_tokens = $4, cached_tokens = $5, completion_tokens = $6, \
         error_class = $7, error_message = $8, settled_at = $9 \
         WHERE id = $10 AND run_id = $11 AND status IN ('reserved', 'dispatched', 'unknown') \
         AND EXISTS (SELECT 1 FROM runs WHERE id = $11 AND epoch = $12 AND lease_owner = $13)",
    )
    .bind(booking.status)
    .bind(booking.cost.nanos())
    .bind(booking.answer)
    .bind(booking.prompt)
    .bind(booking.cached)
    .bind(booking.completion)
    .bind(booking.error_class)
    .bind(booking.error_message)
    .bind(tx.now)
    .bind(call.as_str())
    .bind(fence.run.as_str())
    .bind(fence.epoch)
    .bind(fence.owner.clone())
    .execute(&mut tx.conn)
    .await?;
    if done.rows_affected() == 1 {
        return Ok(());
    }
    tx.fence(fence).await?;
    let known = sqlx::query("SELECT 1 FROM calls WHERE id = $1 AND run_id = $2")
        .bind(call.as_str())
        .bind(fence.run.as_str())
        .fetch_optional(&mut tx.conn)
        .await?;
    Err(match known {
        Some(_) => StoreError::AlreadySettled(call.clone()),
        None => StoreError::UnknownCall(call.clone()),
    })
}
