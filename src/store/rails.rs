//! The facts of the safety rails, read under the lock, and what is told of them once per window.
//!
//! Never decides whether an escalation passes: `escalation::decide` does.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::StoreError;
use super::changes::Fence;
use super::ledger::{DAY_MICROS, HOUR_MICROS, used};
use super::tx::{Tx, number};
use crate::domain::event::{EventType, NewEvent, Severity};
use crate::domain::ids::{CallId, IssueNumber, RunId};
use crate::domain::money::Usd;
use crate::escalation::{
    Alert, Exemption, Facts, Justification, QuotaLimits, ViolationLevel, alerts, violation_level,
};

/// The row that says when escalations were paused.
const PAUSED: &str = "paused";

/// What the rails ask of the ledger, for this work.
pub(super) async fn facts(
    tx: &mut Tx,
    run: &RunId,
    issue: IssueNumber,
    tag: Option<Justification>,
) -> Result<Facts, StoreError> {
    let now = tx.now;
    let used = used(&mut tx.conn, now).await?;
    let row = sqlx::query(
        "SELECT \
         (SELECT CAST(COALESCE(SUM(charge), 0) AS BIGINT) FROM calls \
           WHERE created_at > $1 AND tier <> 'copilot'), \
         (SELECT CAST(COUNT(DISTINCT attempt_id) AS BIGINT) FROM calls \
           WHERE created_at > $1 AND tier <> 'copilot'), \
         (SELECT CAST(COUNT(*) AS BIGINT) FROM escalations \
           WHERE admitted_at > $1 AND passage = 'reviewed' AND released = 0), \
         (SELECT CAST(COUNT(*) AS BIGINT) FROM approvals \
           WHERE status IN ('pending_approval', 'listed')), \
         (SELECT CAST(COUNT(*) AS BIGINT) FROM approvals \
           WHERE kind = 'approval' AND status = 'approved' AND valid_until > $2 AND issue = $3 \
           AND tag = $4 AND repo_key = (SELECT repo_key FROM runs WHERE id = $5)), \
         (SELECT CAST(COUNT(*) AS BIGINT) FROM alerts WHERE key = $6 AND at > $7)",
    )
    .bind(now - DAY_MICROS)
    .bind(now)
    .bind(number(issue.0))
    .bind(tag.map(Justification::as_str))
    .bind(run.as_str())
    .bind(PAUSED)
    .bind(now - HOUR_MICROS)
    .fetch_one(&mut tx.conn)
    .await?;
    let (failed_last_hour, failures_in_row) = failures(tx).await?;
    Ok(Facts {
        used,
        failed_last_hour,
        failures_in_row,
        spent: Usd::from_nanos(row.try_get(0)?),
        tasks: count(&row, 1)?,
        reviewed: count(&row, 2)?,
        waiting: count(&row, 3)?,
        approved: count(&row, 4)? > 0,
        paused: count(&row, 5)? > 0,
    })
}

/// Escalations whose own tier failed and never answered: those of the last hour, and how many of
/// the day's latest failed one after another.
async fn failures(tx: &mut Tx) -> Result<(u32, u32), StoreError> {
    let rows = sqlx::query(
        "SELECT CAST(MAX(c.created_at) AS BIGINT), \
         CAST(SUM(CASE WHEN c.answer IS NOT NULL THEN 1 ELSE 0 END) AS BIGINT) \
         FROM calls c JOIN escalations e ON e.id = c.escalation_id AND e.tier = c.tier \
         WHERE c.created_at > $1 GROUP BY c.escalation_id \
         HAVING SUM(CASE WHEN c.status IN ('reserved', 'dispatched') THEN 1 ELSE 0 END) = 0 \
         AND SUM(CASE WHEN c.answer IS NOT NULL OR c.error_class IS NOT NULL THEN 1 ELSE 0 END) > 0 \
         ORDER BY 1 DESC",
    )
    .bind(tx.now - DAY_MICROS)
    .fetch_all(&mut tx.conn)
    .await?;
    let (mut last_hour, mut in_row, mut unbroken) = (0, 0, true);
    for row in rows {
        let failed = row.try_get::<i64, _>(1)? == 0;
        unbroken &= failed;
        in_row += u32::from(unbroken);
        last_hour += u32::from(failed && row.try_get::<i64, _>(0)? > tx.now - HOUR_MICROS);
    }
    Ok((last_hour, in_row))
}

/// A person's override that holds for this work.
pub(super) async fn overridden(
    tx: &mut Tx,
    run: &RunId,
    issue: IssueNumber,
) -> Result<Option<Exemption>, StoreError> {
    let row = sqlx::query(
        "SELECT 1 FROM approvals WHERE kind = 'override' AND status = 'approved' \
         AND valid_until > $1 AND (issue IS NULL OR issue = $2) \
         AND repo_key = (SELECT repo_key FROM runs WHERE id = $3) LIMIT 1",
    )
    .bind(tx.now)
    .bind(number(issue.0))
    .bind(run.as_str())
    .fetch_optional(&mut tx.conn)
    .await?;
    Ok(row.map(|_| Exemption::AdminOverride))
}

/// Tells what these facts call for, each once per window.
pub(super) async fn alert(
    tx: &mut Tx,
    run: &RunId,
    limits: QuotaLimits,
    facts: &Facts,
) -> Result<(), StoreError> {
    for alert in alerts(limits, facts) {
        let window = if alert.hourly() { HOUR_MICROS } else { DAY_MICROS };
        let event = NewEvent::new(EventType::EscalationAlert, alert.sentence(limits, facts))
            .severity(severity(alert))
            .run(run)
            .with("alert", alert.as_str());
        once(tx, alert.as_str(), tx.now - window, event).await?;
    }
    Ok(())
}

/// Tells of failures as soon as they are booked; the windows are told of at admissions.
pub(super) async fn after_failure(
    tx: &mut Tx,
    fence: &Fence,
    call: &CallId,
) -> Result<(), StoreError> {
    let escalated = sqlx::query("SELECT 1 FROM calls WHERE id = $1 AND escalation_id IS NOT NULL")
        .bind(call.as_str())
        .fetch_optional(&mut tx.conn)
        .await?;
    if escalated.is_none() {
        return Ok(());
    }
    let (failed_last_hour, failures_in_row) = failures(tx).await?;
    let facts = Facts { failed_last_hour, failures_in_row, ..Facts::default() };
    alert(tx, &fence.run, QuotaLimits::default(), &facts).await
}

const fn severity(alert: Alert) -> Severity {
    match alert {
        Alert::DayNearlyFull | Alert::FailuresInARow => Severity::High,
        Alert::HourNearlyFull | Alert::SlotsNearlyFull | Alert::Throttling | Alert::ManyWaiting => {
            Severity::Medium
        }
    }
}

/// Emits an event unless this key had one after `since`.
pub(super) async fn once(
    tx: &mut Tx,
    key: &str,
    since: i64,
    event: NewEvent,
) -> Result<(), StoreError> {
    let done = sqlx::query(
        "INSERT INTO alerts (key, at) VALUES ($1, $2) \
         ON CONFLICT (key) DO UPDATE SET at = excluded.at WHERE alerts.at <= $3",
    )
    .bind(key.to_owned())
    .bind(tx.now)
    .bind(since)
    .execute(&mut tx.conn)
    .await?;
    if done.rows_affected() == 1 {
        tx.emit(event).await?;
    }
    Ok(())
}

/// Notes a violation, louder each time; the fifth of a day pauses escalations for an hour.
pub(super) async fn violation(
    tx: &mut Tx,
    fence: &Fence,
    issue: IssueNumber,
    what: &str,
) -> Result<(), StoreError> {
    let row =
        sqlx::query("SELECT CAST(COUNT(*) AS BIGINT) FROM events WHERE type = $1 AND at > $2")
            .bind(EventType::EscalationViolation.as_str())
            .bind(tx.now - DAY_MICROS)
            .fetch_one(&mut tx.conn)
            .await?;
    let level = violation_level(count(&row, 0)?.saturating_add(1));
    let severity = match level {
        ViolationLevel::Warn => Severity::Medium,
        ViolationLevel::RefuseAndAlert => Severity::High,
        ViolationLevel::Pause => Severity::Critical,
    };
    if level == ViolationLevel::Pause {
        sqlx::query(
            "INSERT INTO alerts (key, at) VALUES ($1, $2) \
             ON CONFLICT (key) DO UPDATE SET at = excluded.at",
        )
        .bind(PAUSED)
        .bind(tx.now)
        .execute(&mut tx.conn)
        .await?;
    }
    let event = NewEvent::new(EventType::EscalationViolation, format!("{issue}: {what}"))
        .severity(severity)
        .run(&fence.run)
        .issue(issue)
        .with("level", level.as_str());
    tx.emit(event).await?;
    Ok(())
}

/// A count as the rails use it.
pub(super) fn count(row: &AnyRow, index: usize) -> Result<u32, StoreError> {
    Ok(u32::try_from(row.try_get::<i64, _>(index)?).unwrap_or(u32::MAX))
}
