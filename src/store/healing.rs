//! Healing's shared facts: open breakers, tiers that cool down, models found dead.
//!
//! Owns the rows that every issue, night and process honours. When something cools down and for
//! how long is `escalation`'s arithmetic; this room counts inside its own transaction.

use std::time::Duration;

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::changes::Fence;
use super::tx::{self, Tx};
use super::{Store, StoreError};
use crate::domain::call::ErrorClass;
use crate::domain::ids::RunId;
use crate::domain::tier::ModelTier;
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
        let rows =
            sqlx::query(HEALTH).bind(now).bind(run.as_str()).fetch_all(&mut *connection).await?;
        let mut health = Health { now: from_micros(now), ..Health::default() };
        for row in &rows {
            take_fact(&mut health, row)?;
        }
        Ok(health)
    }
}

/// One statement, because it is asked before every call. The time that counts is never before one
/// that was stored.
const HEALTH: &str = "\
    WITH at AS (SELECT CASE WHEN clock > $1 THEN clock ELSE $1 END AS now FROM log_head WHERE id = 1) \
    SELECT 'now' AS fact, '' AS a, '' AS b, '' AS c, 0 AS failures, at.now AS until FROM at \
    UNION ALL SELECT 'breaker', provider, why, '', failures, until FROM provider_breakers, at \
    WHERE why IS NOT NULL AND until > at.now \
    UNION ALL SELECT 'cooling', tier, model, provider, failures, until FROM tier_cooldowns, at \
    WHERE until > at.now \
    UNION ALL SELECT 'dead', tier, model, '', 0, 0 FROM dead_tiers WHERE run_id = $2 \
    ORDER BY 1, 2, 3, 4";

fn take_fact(health: &mut Health, row: &AnyRow) -> Result<(), StoreError> {
    let text = |index: usize| row.try_get::<String, _>(index);
    let until = from_micros(row.try_get(5)?);
    let tier = |name: String| {
        name.parse::<ModelTier>().map_err(|why| StoreError::corrupt("tier of a health fact", why))
    };
    match text(0)?.as_str() {
        "now" => health.now = until,
        "breaker" => {
            let why = text(2)?;
            let why = KeyOut::named(&why)
                .ok_or_else(|| StoreError::corrupt("reason of a breaker", why))?;
            health.breakers.push(OpenBreaker { provider: text(1)?, why, until });
        }
        "cooling" => health.cooling.push(CoolingTier {
            tier: tier(text(1)?)?,
            model: text(2)?,
            provider: text(3)?,
            failures: u32::try_from(row.try_get::<i64, _>(4)?).unwrap_or(u32::MAX),
            until,
        }),
        _ => health.dead.push((tier(text(1)?)?, text(2)?)),
    }
    Ok(())
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
    // Nearly always there is nothing to end.
    let row = sqlx::query(
        "SELECT (SELECT CAST(COUNT(*) AS BIGINT) FROM tier_cooldowns \
         WHERE tier = $1 AND model = $2 AND provider = $3 AND failures > 0), \
         (SELECT CAST(COUNT(*) AS BIGINT) FROM provider_breakers \
         WHERE provider = $3 AND (failures > 0 OR why IS NOT NULL))",
    )
    .bind(post.tier.as_str())
    .bind(post.model.clone())
    .bind(post.provider.clone())
    .fetch_one(&mut tx.conn)
    .await?;
    if row.try_get::<i64, _>(0)? + row.try_get::<i64, _>(1)? == 0 {
        return Ok(());
    }
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
