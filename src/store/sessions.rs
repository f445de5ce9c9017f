//! Copilot's sessions in the ledger: rows of `calls` of a kind of their own, `copilot`, so that every
//! ceiling and every sum counts them.
//!
//! GitHub bills a session as premium requests and tells nobody what it cost: it is booked at the
//! operator's price. Never a call of a model: `Store::calls` leaves them out.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::changes::Fence;
use super::ledger;
use super::money::{Ceilings, Refusal, Reserve, Reserved};
use super::tx::Tx;
use super::{Store, StoreError};
use crate::domain::ids::{AttemptId, CallId, IssueNumber, RunId};
use crate::domain::money::Usd;
use crate::domain::tier::ModelTier;

/// The kind of these rows, in the place of a tier.
pub(super) const KIND: &str = "copilot";

/// One session: an assignment, or a repair it is asked for. Its id follows from both, so that the
/// same session asked for again is booked once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    id: CallId,
    attempt: AttemptId,
}

impl Session {
    #[must_use]
    pub fn of(attempt: &AttemptId, round: u32) -> Self {
        Self { id: CallId::new(format!("{KIND}:{attempt}:{round}")), attempt: attempt.clone() }
    }
}

/// What came of booking one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionBooked {
    Yes,
    Refused(Refusal),
}

impl Store {
    /// Books a session at its price before it is begun, or says which ceiling is in the way.
    pub async fn book_session(
        &self,
        fence: &Fence,
        session: &Session,
        issue: IssueNumber,
        price: Usd,
        ceilings: Ceilings,
    ) -> Result<SessionBooked, StoreError> {
        let (fence, session) = (fence.clone(), session.clone());
        self.write(move |tx| {
            Box::pin(async move {
                tx.fence(&fence).await?;
                // Given back before, and asked for again: it has to fit anew.
                sqlx::query(
                    "DELETE FROM calls WHERE id = $1 AND run_id = $2 AND status = 'released'",
                )
                .bind(session.id.as_str())
                .bind(fence.run.as_str())
                .execute(&mut tx.conn)
                .await?;
                let ask = Reserve {
                    id: session.id,
                    attempt: session.attempt,
                    issue,
                    escalation: None,
                    // Not written: the row's kind stands in its place.
                    tier: ModelTier::LocalBuilder,
                    model: KIND.to_owned(),
                    estimate: price,
                    ceilings,
                };
                Ok(match ledger::reserve(tx, &fence, ask, Some(KIND)).await? {
                    Reserved::Dispatched(_) => SessionBooked::Yes,
                    Reserved::Refused(refusal) => SessionBooked::Refused(refusal),
                })
            })
        })
        .await
    }

    /// `begun`: its price is spent; else it is given back. Saying so twice changes nothing.
    pub async fn settle_session(
        &self,
        fence: &Fence,
        session: &Session,
        begun: bool,
    ) -> Result<(), StoreError> {
        let (fence, session) = (fence.clone(), session.clone());
        self.write(move |tx| {
            Box::pin(async move {
                tx.fence(&fence).await?;
                settle(tx, &fence, &session, begun).await
            })
        })
        .await
    }

    /// How many sessions a run began, or may have, and what they are booked at; of one issue or all.
    pub async fn sessions(
        &self,
        run: &RunId,
        issue: Option<IssueNumber>,
    ) -> Result<(u64, Usd), StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let all = of_run(&mut connection, run).await?;
        let wanted = all.into_iter().filter(|it| issue.is_none_or(|issue| issue == it.0));
        Ok(wanted.fold((0, Usd::ZERO), |sum, (_, count, cost)| (sum.0 + count, sum.1 + cost)))
    }
}

async fn settle(
    tx: &mut Tx,
    fence: &Fence,
    session: &Session,
    begun: bool,
) -> Result<(), StoreError> {
    // An unknown one is booked for good already, at its price; the sums follow by themselves.
    sqlx::query(
        "UPDATE calls SET status = $1, settled_at = $2, \
         charge = CASE WHEN $1 = 'settled' THEN estimate ELSE 0 END \
         WHERE id = $3 AND run_id = $4 AND status IN ('dispatched', 'unknown')",
    )
    .bind(if begun { "settled" } else { "released" })
    .bind(tx.now)
    .bind(session.id.as_str())
    .bind(fence.run.as_str())
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}

/// Each issue's sessions in a run, and what they are booked at.
pub(super) async fn of_run(
    connection: &mut AnyConnection,
    run: &RunId,
) -> Result<Vec<(IssueNumber, u64, Usd)>, StoreError> {
    let rows = sqlx::query(
        "SELECT issue, CAST(COUNT(*) AS BIGINT), CAST(COALESCE(SUM(charge), 0) AS BIGINT) \
         FROM calls WHERE run_id = $1 AND tier = 'copilot' AND status <> 'released' GROUP BY issue",
    )
    .bind(run.as_str())
    .fetch_all(connection)
    .await?;
    let stored = |row: &AnyRow, at: usize| Ok::<_, StoreError>(row.try_get::<i64, _>(at)?);
    rows.iter()
        .map(|row| {
            let (issue, count) = (stored(row, 0)?.unsigned_abs(), stored(row, 1)?.unsigned_abs());
            Ok((IssueNumber(issue), count, Usd::from_nanos(stored(row, 2)?)))
        })
        .collect()
}
