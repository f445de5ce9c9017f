//! The ledger's reservations: money under every ceiling. Admissions stand in `admit.rs`.
//!
//! Each decision and its row are one transaction under the lock row, so that no two can both be
//! the last to fit.

use chrono::{Datelike as _, NaiveTime, TimeZone as _, Utc};
use sqlx::AnyConnection;
use sqlx::Row as _;

use super::changes::Fence;
use super::money::{Refusal, Reserve, Reserved, Scope};
use super::totals::{self, Look};
use super::tx::{self, Tx, number};
use super::{Store, StoreError, apply, rails};
use crate::domain::event::{EventType, NewEvent, Severity};
use crate::domain::ids::AttemptId;
use crate::domain::money::Usd;
use crate::domain::time::{from_micros, to_micros};
use crate::escalation::QuotaUsed;

pub(super) const HOUR_MICROS: i64 = 3_600 * 1_000_000;
pub(super) const DAY_MICROS: i64 = 24 * HOUR_MICROS;

impl Store {
    /// Books a call's estimate and marks the call as sent, or says which ceiling is in the way.
    /// The same call asked again is dispatched already and booked once.
    pub async fn reserve(&self, fence: &Fence, ask: Reserve) -> Result<Reserved, StoreError> {
        let fence = fence.clone();
        self.write(move |tx| Box::pin(async move { reserve(tx, &fence, ask, None).await })).await
    }

    /// Gives an attempt's slots back; `Change::Attempt { ended: true, .. }` does the same.
    pub async fn release_escalations(
        &self,
        fence: &Fence,
        attempt: &AttemptId,
    ) -> Result<(), StoreError> {
        let (fence, attempt) = (fence.clone(), attempt.clone());
        self.write(move |tx| {
            Box::pin(async move {
                tx.fence(&fence).await?;
                apply::release(tx, &fence, &attempt).await
            })
        })
        .await
    }

    /// How much of each window is used now.
    pub async fn quota_used(&self) -> Result<QuotaUsed, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let now = self.now(&mut connection).await?;
        used(&mut connection, now).await
    }

    /// The time that counts; never before one that was stored.
    pub(super) async fn now(&self, connection: &mut AnyConnection) -> Result<i64, StoreError> {
        let now = match self.inner.clock.local(self.inner.postgres) {
            Some(now) => now,
            None => tx::postgres_now(connection).await?,
        };
        let row =
            sqlx::query("SELECT clock FROM log_head WHERE id = 1").fetch_one(connection).await?;
        Ok(now.max(row.try_get(0)?))
    }
}

/// `kind` stands in the tier's place where no model is called.
pub(super) async fn reserve(
    tx: &mut Tx,
    fence: &Fence,
    ask: Reserve,
    kind: Option<&'static str>,
) -> Result<Reserved, StoreError> {
    let look = totals::look(tx, fence, &ask).await?;
    if look.known {
        return Ok(Reserved::Dispatched(ask.id));
    }
    if let Some(refusal) = refusal(&look, &ask) {
        if !refusal.only_in_flight {
            tell_of_ceiling(tx, fence, refusal).await?;
        }
        return Ok(Reserved::Refused(refusal));
    }
    sqlx::query(
        "INSERT INTO calls (id, run_id, repo_key, attempt_id, issue, escalation_id, number, epoch, \
         tier, model, status, estimate, charge, created_at) \
         SELECT $1, $2, runs.repo_key, $3, $4, $5, \
         (SELECT CAST(COALESCE(MAX(number), 0) + 1 AS BIGINT) FROM calls WHERE run_id = $2), \
         $6, $7, $8, 'dispatched', $9, $9, $10 FROM runs WHERE runs.id = $2",
    )
    .bind(ask.id.as_str())
    .bind(fence.run.as_str())
    .bind(ask.attempt.as_str())
    .bind(number(ask.issue.0))
    .bind(ask.escalation.as_ref().map(|id| id.as_str().to_owned()))
    .bind(fence.epoch)
    .bind(kind.unwrap_or(ask.tier.as_str()))
    .bind(ask.model.clone())
    .bind(ask.estimate.nanos())
    .bind(tx.now)
    .execute(&mut tx.conn)
    .await?;
    Ok(Reserved::Dispatched(ask.id))
}

/// The ceiling in the way. One that would hold even with nothing in flight goes before one that
/// only a settlement has to be waited for.
fn refusal(look: &Look, ask: &Reserve) -> Option<Refusal> {
    if ask.estimate <= Usd::ZERO {
        return None; // What costs nothing moves no ceiling.
    }
    let ceilings = [
        (Scope::Night, ask.ceilings.night),
        (Scope::Issue, ask.ceilings.issue),
        (Scope::Repository, ask.ceilings.repository),
        (Scope::Day, ask.ceilings.day),
        (Scope::Month, ask.ceilings.month),
    ];
    let mut waiting = None;
    for (scope, limit) in ceilings {
        let Some(limit) = limit else { continue };
        let (spent, reserved) = (look.spent.of(scope), look.in_flight.of(scope));
        if spent + reserved + ask.estimate <= limit {
            continue;
        }
        let only_in_flight = spent + ask.estimate <= limit;
        let refusal =
            Refusal { scope, limit, spent, reserved, estimate: ask.estimate, only_in_flight };
        if !only_in_flight {
            return Some(refusal);
        }
        waiting = waiting.or(Some(refusal));
    }
    waiting
}

/// Once for each night, issue's night, day, month or ever: a ceiling leaves no room. One of nothing
/// was meant to.
async fn tell_of_ceiling(tx: &mut Tx, fence: &Fence, refusal: Refusal) -> Result<(), StoreError> {
    let Refusal { scope, limit, spent, .. } = refusal;
    if limit == Usd::ZERO {
        return Ok(());
    }
    let of = match scope {
        Scope::Night | Scope::Issue | Scope::Repository => fence.run.to_string(),
        Scope::Day => day_start(tx.now).to_string(),
        Scope::Month => month_start(tx.now).to_string(),
    };
    let name = scope.as_str();
    let text = format!("The ceiling of the {name} leaves no room: {spent} of {limit} are spent");
    let event = NewEvent::new(EventType::EscalationAlert, text)
        .severity(Severity::High)
        .run(&fence.run)
        .with("alert", "budget")
        .with("scope", name);
    rails::once(tx, &format!("budget:{name}:{of}"), i64::MIN, event).await
}

pub(super) fn day_start(now: i64) -> i64 {
    to_micros(from_micros(now).date_naive().and_time(NaiveTime::MIN).and_utc())
}

pub(super) fn month_start(now: i64) -> i64 {
    let day = from_micros(now).date_naive();
    Utc.with_ymd_and_hms(day.year(), day.month(), 1, 0, 0, 0)
        .single()
        .map_or_else(|| day_start(now), to_micros)
}

/// The counted escalations of the rolling day and hour, and those whose attempt goes on. A slot is
/// held no longer than the lease of the run it belongs to.
pub(super) async fn used(
    connection: &mut AnyConnection,
    now: i64,
) -> Result<QuotaUsed, StoreError> {
    let row = sqlx::query(
        "SELECT \
         CAST(COALESCE(SUM(CASE WHEN released = 0 AND admitted_at > $1 THEN 1 ELSE 0 END), 0) AS BIGINT), \
         CAST(COALESCE(SUM(CASE WHEN released = 0 AND admitted_at > $2 THEN 1 ELSE 0 END), 0) AS BIGINT), \
         CAST(COALESCE(SUM(CASE WHEN slot_held = 1 AND run_id IN \
           (SELECT id FROM runs WHERE active = 1 AND lease_until > $3) \
           THEN 1 ELSE 0 END), 0) AS BIGINT) \
         FROM escalations WHERE counted = 1 AND (admitted_at > $1 OR slot_held = 1)",
    )
    .bind(now - DAY_MICROS)
    .bind(now - HOUR_MICROS)
    .bind(now)
    .fetch_one(connection)
    .await?;
    let count = |index: usize| -> Result<u32, StoreError> {
        Ok(u32::try_from(row.try_get::<i64, _>(index)?).unwrap_or(u32::MAX))
    };
    Ok(QuotaUsed { daily: count(0)?, hourly: count(1)?, concurrent: count(2)? })
}
