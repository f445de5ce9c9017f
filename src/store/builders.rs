//! Who builds, and what strangers' issues were approved as: the rows of both.
//!
//! The switch's rules are `domain::switch`'s; here a sign is read, stepped and written in one
//! transaction, with the event of a switch. Never decides whether an approval holds.

use chrono::{DateTime, Utc};
use sqlx::AnyConnection;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::tx::{Tx, number};
use super::{Store, StoreError};
use crate::domain::event::{EventType, NewEvent, Severity};
use crate::domain::ids::{IssueNumber, RepoName, RunId};
use crate::domain::switch::{self, Builder, NoCopilot, Sign, SwitchRules, SwitchState, Switched};
use crate::domain::time::{from_micros, to_micros};

/// An approval as it was first seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenApproval {
    pub by: String,
    /// The epoch where GitHub does not say when.
    pub at: DateTime<Utc>,
    /// Of the issue's content then.
    pub digest: String,
}

impl Store {
    /// Where the switch stands now; `begun` is since when it stands where it was never switched.
    pub async fn switch_state(
        &self,
        rules: SwitchRules,
        begun: DateTime<Utc>,
    ) -> Result<SwitchState, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let stored = stored(&mut connection).await?;
        Ok(match stored {
            Some((state, _)) => state.under(rules, begun),
            None => SwitchState::first(rules, begun),
        })
    }

    /// Tells the switch something; the switch that came of it, and where it stands then.
    pub async fn tell_switch(
        &self,
        sign: Sign,
        rules: SwitchRules,
    ) -> Result<Result<(SwitchState, Option<Switched>), NoCopilot>, StoreError> {
        self.write(move |tx| Box::pin(async move { take(tx, sign, rules, None).await })).await
    }

    /// How an issue's approval was first seen.
    pub async fn seen_approval(
        &self,
        repo: &RepoName,
        issue: IssueNumber,
    ) -> Result<Option<SeenApproval>, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let row = sqlx::query(
            "SELECT set_by, set_at, digest FROM issue_approvals WHERE repo = $1 AND issue = $2",
        )
        .bind(repo.key())
        .bind(number(issue.0))
        .fetch_optional(&mut *connection)
        .await?;
        row.map(|row| {
            Ok(SeenApproval {
                by: row.try_get(0)?,
                at: from_micros(row.try_get(1)?),
                digest: row.try_get(2)?,
            })
        })
        .transpose()
    }

    /// Remembers what an approval was given to. The same setting of the label is remembered once:
    /// what was seen first stays.
    pub async fn note_approval(
        &self,
        repo: &RepoName,
        issue: IssueNumber,
        seen: SeenApproval,
    ) -> Result<(), StoreError> {
        let repo = repo.key();
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO issue_approvals (repo, issue, set_by, set_at, digest, seen_at) \
                     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (repo, issue) DO UPDATE SET \
                     set_by = excluded.set_by, set_at = excluded.set_at, \
                     digest = excluded.digest, seen_at = excluded.seen_at \
                     WHERE issue_approvals.set_at <> excluded.set_at \
                     OR issue_approvals.set_by <> excluded.set_by",
                )
                .bind(repo)
                .bind(number(issue.0))
                .bind(seen.by)
                .bind(to_micros(seen.at))
                .bind(seen.digest)
                .bind(tx.now)
                .execute(&mut tx.conn)
                .await?;
                Ok(())
            })
        })
        .await
    }
}

/// Steps the switch inside a transaction.
pub(super) async fn take(
    tx: &mut Tx,
    sign: Sign,
    rules: SwitchRules,
    run: Option<&RunId>,
) -> Result<Result<(SwitchState, Option<Switched>), NoCopilot>, StoreError> {
    let now = from_micros(tx.now);
    let (state, last_work) = match stored(&mut tx.conn).await? {
        Some(stored) => stored,
        None => (SwitchState::first(rules, now), None),
    };
    let work = match &sign {
        Sign::Failed { work, .. } => Some(work.clone()),
        Sign::Worked | Sign::Unavailable { .. } | Sign::Checked { .. } | Sign::Asked { .. } => None,
    };
    // A crash between the commit and what follows must not count a failure twice.
    if work.is_some() && work == last_work {
        return Ok(Ok((state.under(rules, now), None)));
    }
    let (state, switched) = match switch::step(state, sign, rules, now) {
        Ok(stepped) => stepped,
        Err(no_copilot) => return Ok(Err(no_copilot)),
    };
    write(tx, &state, work.or(last_work)).await?;
    if let Some(switched) = &switched {
        tx.emit(told(switched, run)).await?;
    }
    Ok(Ok((state, switched)))
}

fn told(switched: &Switched, run: Option<&RunId>) -> NewEvent {
    let Switched { from, to, reason } = switched;
    let severity = match to {
        Builder::Copilot => Severity::Info,
        Builder::Desktop => Severity::Medium,
    };
    let text = format!("The builder is now {to} instead of {from}: {reason}");
    let event = NewEvent::new(EventType::BuilderSwitch, text)
        .severity(severity)
        .with("from", from.as_str())
        .with("to", to.as_str())
        .with("reason", reason.clone());
    match run {
        Some(run) => event.run(run),
        None => event,
    }
}

async fn write(
    tx: &mut Tx,
    state: &SwitchState,
    last_work: Option<String>,
) -> Result<(), StoreError> {
    let reason = tx.text(&state.reason);
    sqlx::query(
        "INSERT INTO builder_switch (id, active, since, reason, held, failures, failed_checks, \
         healthy, last_work) VALUES (1, $1, $2, $3, $4, $5, $6, $7, $8) \
         ON CONFLICT (id) DO UPDATE SET active = excluded.active, since = excluded.since, \
         reason = excluded.reason, held = excluded.held, failures = excluded.failures, \
         failed_checks = excluded.failed_checks, healthy = excluded.healthy, \
         last_work = excluded.last_work",
    )
    .bind(state.active.as_str())
    .bind(to_micros(state.since))
    .bind(reason)
    .bind(i64::from(state.held))
    .bind(i64::from(state.failures))
    .bind(i64::from(state.failed_checks))
    .bind(i64::from(state.healthy))
    .bind(last_work)
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}

async fn stored(
    connection: &mut AnyConnection,
) -> Result<Option<(SwitchState, Option<String>)>, StoreError> {
    let row = sqlx::query(
        "SELECT active, since, reason, held, failures, failed_checks, healthy, last_work \
         FROM builder_switch WHERE id = 1",
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| read(&row)).transpose()
}

fn read(row: &AnyRow) -> Result<(SwitchState, Option<String>), StoreError> {
    let count = |at: usize| -> Result<u32, StoreError> {
        Ok(u32::try_from(row.try_get::<i64, _>(at)?).unwrap_or(u32::MAX))
    };
    let active: String = row.try_get(0)?;
    let state = SwitchState {
        active: active.parse().map_err(|why: String| StoreError::corrupt("builder", why))?,
        since: from_micros(row.try_get(1)?),
        reason: row.try_get(2)?,
        held: row.try_get::<i64, _>(3)? != 0,
        failures: count(4)?,
        failed_checks: count(5)?,
        healthy: count(6)?,
    };
    Ok((state, row.try_get(7)?))
}
