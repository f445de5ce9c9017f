//! Healing's shared facts: open breakers, tiers that cool down, models found dead.
//!
//! Owns the rows that every issue, night and process honours. When something cools down and for
//! how long is `escalation`'s arithmetic; this room counts inside its own transaction.

use std::time::Duration;

use sqlx::{AnyConnection, Row as _};

use super::changes::Fence;
use super::tx::{self, Tx};
use super::{Store, StoreError};
use crate::domain::call::ErrorClass;
use crate::domain::ids::RunId;
use crate::domain::time::from_micros;
use crate::escalation::{
    CoolingTier, FAILURES_FORGOTTEN, Health, KeyOut, OpenBreaker, Post, cool_down,
    is_provider_failure, is_tier_failure, key_out,
};

/// What a call's end says of the post that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sign {
    Answered {
        post: Post,
    },
    /// `asked` is the wait the provider asked for, `too_long` whether the work had less time.
    Failed {
        post: Post,
        class: ErrorClass,
        asked: Option<Duration>,
        too_long: bool,
    },
}

impl Store {
    /// What stands in the way of calls now.
    pub async fn health(&self, run: &RunId) -> Result<Health, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let now = match self.inner.clock.local(self.inner.postgres) {
            Some(now) => now,
            None => tx::postgres_now(&mut connection).await?,
        };
        let row = sqlx::query("SELECT clock FROM log_head WHERE id = 1")
            .fetch_one(&mut *connection)
            .await?;
        let now = now.max(row.try_get(0)?);
        Ok(Health {
            breakers: breakers(&mut connection, now).await?,
            cooling: cooling(&mut connection, now).await?,
            dead: dead(&mut connection, run).await?,
            now: from_micros(now),
        })
    }
}

async fn breakers(
    connection: &mut AnyConnection,
    now: i64,
) -> Result<Vec<OpenBreaker>, StoreError> {
    let rows = sqlx::query(
        "SELECT provider, why, until FROM provider_breakers \
         WHERE why IS NOT NULL AND until > $1 ORDER BY provider",
    )
    .bind(now)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let why: String = row.try_get(1)?;
            Ok(OpenBreaker {
                provider: row.try_get(0)?,
                why: KeyOut::named(&why)
                    .ok_or_else(|| StoreError::corrupt("reason of a breaker", why))?,
                until: from_micros(row.try_get(2)?),
            })
        })
        .collect()
}

async fn cooling(connection: &mut AnyConnection, now: i64) -> Result<Vec<CoolingTier>, StoreError> {
    let rows = sqlx::query(
        "SELECT tier, model, provider, failures, until FROM tier_cooldowns \
         WHERE until > $1 ORDER BY tier, model, provider",
    )
    .bind(now)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let tier: String = row.try_get(0)?;
            Ok(CoolingTier {
                tier: tier
                    .parse()
                    .map_err(|why: String| StoreError::corrupt("tier of a cool-down", why))?,
                model: row.try_get(1)?,
                provider: row.try_get(2)?,
                failures: u32::try_from(row.try_get::<i64, _>(3)?).unwrap_or(u32::MAX),
                until: from_micros(row.try_get(4)?),
            })
        })
        .collect()
}

async fn dead(
    connection: &mut AnyConnection,
    run: &RunId,
) -> Result<Vec<(crate::domain::tier::ModelTier, String)>, StoreError> {
    let rows = sqlx::query("SELECT tier, model FROM dead_tiers WHERE run_id = $1")
        .bind(run.as_str())
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            let tier: String = row.try_get(0)?;
            let tier = tier
                .parse()
                .map_err(|why: String| StoreError::corrupt("tier of a dead model", why))?;
            Ok((tier, row.try_get(1)?))
        })
        .collect()
}

/// Takes a sign down, inside the transaction that settles its call.
pub(super) async fn take(tx: &mut Tx, fence: &Fence, sign: Sign) -> Result<(), StoreError> {
    match sign {
        Sign::Answered { post } => answered(tx, &post).await,
        Sign::Failed { post, class, asked, too_long } => {
            if class == ErrorClass::ModelNotFound {
                sqlx::query(
                    "INSERT INTO dead_tiers (run_id, tier, model) VALUES ($1, $2, $3) \
                     ON CONFLICT (run_id, tier, model) DO NOTHING",
                )
                .bind(fence.run.as_str())
                .bind(post.tier.as_str())
                .bind(post.model.clone())
                .execute(&mut tx.conn)
                .await?;
            }
            if is_tier_failure(class) {
                tier_failed(tx, &post, asked, too_long).await?;
            }
            if is_provider_failure(class) || key_out(class, 0).is_some() {
                provider_failed(tx, &post, class).await?;
            }
            Ok(())
        }
    }
}

/// An answer ends a row of failures, and shows that the key is good.
async fn answered(tx: &mut Tx, post: &Post) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE tier_cooldowns SET failures = 0, until = 0 \
         WHERE tier = $1 AND model = $2 AND provider = $3 AND failures > 0",
    )
    .bind(post.tier.as_str())
    .bind(post.model.clone())
    .bind(post.provider.clone())
    .execute(&mut tx.conn)
    .await?;
    sqlx::query(
        "UPDATE provider_breakers SET failures = 0, why = NULL, until = 0 \
         WHERE provider = $1 AND (failures > 0 OR why IS NOT NULL)",
    )
    .bind(post.provider.clone())
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}

/// The failures in a row, this one included.
fn in_a_row(tx: &Tx, failures: i64, failed_at: i64) -> u32 {
    let fresh = tx.now - failed_at <= micros(FAILURES_FORGOTTEN);
    u32::try_from(if fresh { failures.saturating_add(1) } else { 1 }).unwrap_or(u32::MAX)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

async fn tier_failed(
    tx: &mut Tx,
    post: &Post,
    asked: Option<Duration>,
    too_long: bool,
) -> Result<(), StoreError> {
    let row = sqlx::query(
        "SELECT failures, failed_at, until FROM tier_cooldowns \
         WHERE tier = $1 AND model = $2 AND provider = $3",
    )
    .bind(post.tier.as_str())
    .bind(post.model.clone())
    .bind(post.provider.clone())
    .fetch_optional(&mut tx.conn)
    .await?;
    let (before, failed_at, until): (i64, i64, i64) = match row {
        Some(row) => (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?),
        None => (0, 0, 0),
    };
    let failures = in_a_row(tx, before, failed_at);
    // A failure of a call that was sent before shortens no cool-down.
    let until =
        cool_down(failures, asked, too_long).map_or(until, |it| until.max(tx.now + micros(it)));
    sqlx::query(
        "INSERT INTO tier_cooldowns (tier, model, provider, failures, until, failed_at) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tier, model, provider) DO UPDATE SET \
         failures = excluded.failures, until = excluded.until, failed_at = excluded.failed_at",
    )
    .bind(post.tier.as_str())
    .bind(post.model.clone())
    .bind(post.provider.clone())
    .bind(i64::from(failures))
    .bind(until)
    .bind(tx.now)
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}

async fn provider_failed(tx: &mut Tx, post: &Post, class: ErrorClass) -> Result<(), StoreError> {
    let row = sqlx::query(
        "SELECT failures, failed_at, until, why FROM provider_breakers WHERE provider = $1",
    )
    .bind(post.provider.clone())
    .fetch_optional(&mut tx.conn)
    .await?;
    let (before, failed_at, until, why): (i64, i64, i64, Option<String>) = match row {
        Some(row) => (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?),
        None => (0, 0, 0, None),
    };
    let failures = in_a_row(tx, before, failed_at);
    let (until, why) = match key_out(class, failures) {
        Some((out, lasts)) => {
            let new = tx.now + micros(lasts);
            // An outage does not shorten what quota or key began.
            if new >= until { (new, Some(out.as_str().to_owned())) } else { (until, why) }
        }
        None => (until, why),
    };
    sqlx::query(
        "INSERT INTO provider_breakers (provider, failures, why, until, failed_at) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (provider) DO UPDATE SET \
         failures = excluded.failures, why = excluded.why, until = excluded.until, \
         failed_at = excluded.failed_at",
    )
    .bind(post.provider.clone())
    .bind(i64::from(failures))
    .bind(why)
    .bind(until)
    .bind(tx.now)
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}
