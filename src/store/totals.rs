//! What is booked against each ceiling: for good, as sums that the database's triggers keep, and in
//! flight, from the few calls that are.
//!
//! Never decides anything; the ceilings are in `ledger.rs`.

use sqlx::Row as _;

use super::StoreError;
use super::changes::Fence;
use super::ledger::{day_start, month_start};
use super::money::{Reserve, Scope};
use super::tx::{Tx, number};
use crate::domain::money::Usd;

/// What is booked, by scope.
#[derive(Default)]
pub(super) struct Booked {
    night: i64,
    issue: i64,
    repository: i64,
    day: i64,
    month: i64,
}

impl Booked {
    pub const fn of(&self, scope: Scope) -> Usd {
        Usd::from_nanos(match scope {
            Scope::Night => self.night,
            Scope::Issue => self.issue,
            Scope::Repository => self.repository,
            Scope::Day => self.day,
            Scope::Month => self.month,
        })
    }
}

/// All that a reservation is decided by.
pub(super) struct Look {
    /// The call stands in the books already.
    pub known: bool,
    /// Booked for good.
    pub spent: Booked,
    /// Booked for calls that nobody has heard of yet.
    pub in_flight: Booked,
}

/// One statement, because it is asked before every call: the fence with it, so that who does not
/// hold the run is refused.
const LOOK: &str = {
    macro_rules! sum {
        ($of:literal) => {
            concat!("CAST(COALESCE(SUM(", $of, "), 0) AS BIGINT)")
        };
    }
    // The list of states is written as in the partial index, or it is not used.
    concat!(
        "SELECT (SELECT CAST(COUNT(*) AS BIGINT) FROM calls WHERE id = $4 AND run_id = $1), \
         (SELECT ",
        sum!("nanos"),
        " FROM spent_by_issue WHERE run_id = $1), \
         (SELECT ",
        sum!("nanos"),
        " FROM spent_by_issue WHERE run_id = $1 AND issue = $5), \
         CASE WHEN $8 = 1 THEN (SELECT ",
        sum!("nanos"),
        " FROM spent_by_day WHERE repo_key = runs.repo_key) ELSE 0 END, \
         (SELECT ",
        sum!("nanos"),
        " FROM spent_by_day WHERE day = $6 / 86400000000), \
         (SELECT ",
        sum!("nanos"),
        " FROM spent_by_day WHERE day >= $7 / 86400000000), ",
        sum!("CASE WHEN calls.run_id = $1 THEN charge END"),
        ", ",
        sum!("CASE WHEN calls.run_id = $1 AND issue = $5 THEN charge END"),
        ", ",
        sum!("CASE WHEN calls.repo_key = runs.repo_key THEN charge END"),
        ", ",
        sum!("CASE WHEN calls.created_at >= $6 THEN charge END"),
        ", ",
        sum!("CASE WHEN calls.created_at >= $7 THEN charge END"),
        " FROM runs LEFT JOIN calls ON calls.status IN ('reserved', 'dispatched') \
         WHERE runs.id = $1 AND runs.epoch = $2 AND runs.lease_owner = $3 \
         GROUP BY runs.id, runs.repo_key"
    )
};

/// Looks, inside the transaction that decides.
pub(super) async fn look(tx: &mut Tx, fence: &Fence, ask: &Reserve) -> Result<Look, StoreError> {
    let row = sqlx::query(LOOK)
        .bind(fence.run.as_str())
        .bind(fence.epoch)
        .bind(fence.owner.clone())
        .bind(ask.id.as_str())
        .bind(number(ask.issue.0))
        .bind(day_start(tx.now))
        .bind(month_start(tx.now))
        .bind(i64::from(ask.ceilings.repository.is_some()))
        .fetch_optional(&mut tx.conn)
        .await?
        .ok_or_else(|| StoreError::Fenced(fence.run.clone()))?;
    let booked = |from: usize| -> Result<Booked, StoreError> {
        Ok(Booked {
            night: row.try_get(from)?,
            issue: row.try_get(from + 1)?,
            repository: row.try_get(from + 2)?,
            day: row.try_get(from + 3)?,
            month: row.try_get(from + 4)?,
        })
    };
    Ok(Look { known: row.try_get::<i64, _>(0)? > 0, spent: booked(1)?, in_flight: booked(6)? })
}
