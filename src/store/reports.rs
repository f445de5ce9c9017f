//! The facts of a period for its report, the reports that were stored, and what issues cost before.
//!
//! Never gives a report its form: `escalation::Report` does.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::{AnyConnection, Row as _};

use super::{Store, StoreError};
use crate::domain::event::EventType;
use crate::domain::ids::RepoName;
use crate::domain::money::Usd;
use crate::domain::time::to_micros;
use crate::escalation::{Healing, Period, Report, ReportFacts};

/// Issues of the past that a forecast is made from.
const HISTORY: i64 = 500;
/// Stored reports in one list.
const LONGEST_LIST: i64 = 100;

impl Store {
    /// What happened from `from` until before `until`.
    pub async fn report_facts(
        &self,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<ReportFacts, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let range = (to_micros(from), to_micros(until));
        let mut facts = totals(&mut connection, range).await?;
        facts.by_justification = amounts(
            &mut connection,
            "SELECT COALESCE(e.tag, 'none'), CAST(SUM(c.charge) AS BIGINT) FROM calls c \
             LEFT JOIN escalations e ON e.id = c.escalation_id \
             WHERE c.created_at >= $1 AND c.created_at < $2 GROUP BY 1",
            range,
        )
        .await?;
        facts.by_tier = amounts(
            &mut connection,
            "SELECT tier, CAST(SUM(charge) AS BIGINT) FROM calls \
             WHERE created_at >= $1 AND created_at < $2 GROUP BY tier",
            range,
        )
        .await?;
        let reasons = amounts(
            &mut connection,
            "SELECT reason, CAST(COUNT(*) AS BIGINT) FROM escalations \
             WHERE admitted_at >= $1 AND admitted_at < $2 AND released = 0 GROUP BY reason",
            range,
        )
        .await?;
        facts.by_reason = reasons
            .into_iter()
            .map(|(reason, count)| (reason, count.nanos().unsigned_abs()))
            .collect();
        facts.healing = healing(&mut connection, range).await?;
        Ok(facts)
    }

    /// Stores the report of an ended period; the first one stays.
    pub async fn put_report(&self, report: &Report) -> Result<(), StoreError> {
        let report = report.clone();
        self.write(move |tx| {
            Box::pin(async move {
                let body = tx.json("report", &report)?;
                sqlx::query(
                    "INSERT INTO reports (period, from_at, until_at, body, created_at) \
                     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (period, from_at) DO NOTHING",
                )
                .bind(report.period.as_str())
                .bind(to_micros(report.from))
                .bind(to_micros(report.until))
                .bind(body)
                .bind(tx.now)
                .execute(&mut tx.conn)
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// The stored report of a period.
    pub async fn stored_report(
        &self,
        period: Period,
        from: DateTime<Utc>,
    ) -> Result<Option<Report>, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let row = sqlx::query("SELECT body FROM reports WHERE period = $1 AND from_at = $2")
            .bind(period.as_str())
            .bind(to_micros(from))
            .fetch_optional(&mut *connection)
            .await?;
        row.map(|row| read(&row.try_get::<String, _>(0)?)).transpose()
    }

    /// The stored reports, newest first.
    pub async fn stored_reports(&self) -> Result<Vec<Report>, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let rows = sqlx::query("SELECT body FROM reports ORDER BY from_at DESC, period LIMIT $1")
            .bind(LONGEST_LIST)
            .fetch_all(&mut *connection)
            .await?;
        rows.iter().map(|row| read(&row.try_get::<String, _>(0)?)).collect()
    }

    /// What each of the latest issues cost that was worked on to its end, of one repository or all.
    pub async fn issue_costs(&self, repo: Option<&RepoName>) -> Result<Vec<Usd>, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let rows = sqlx::query(
            "SELECT CAST(COALESCE((SELECT SUM(c.charge) FROM calls c \
               WHERE c.run_id = ri.run_id AND c.issue = ri.issue), 0) AS BIGINT) \
             FROM run_issues ri JOIN runs r ON r.id = ri.run_id \
             WHERE ri.status IN ('success', 'failed') AND r.dry_run = 0 \
             AND ($1 IS NULL OR r.repo_key = $1) ORDER BY ri.ended_at DESC LIMIT $2",
        )
        .bind(repo.map(RepoName::key))
        .bind(HISTORY)
        .fetch_all(&mut *connection)
        .await?;
        rows.iter().map(|row| Ok(Usd::from_nanos(row.try_get(0)?))).collect()
    }
}

fn read(body: &str) -> Result<Report, StoreError> {
    serde_json::from_str(body).map_err(|why| StoreError::corrupt("report", why))
}

async fn totals(
    connection: &mut AnyConnection,
    (from, until): (i64, i64),
) -> Result<ReportFacts, StoreError> {
    let row = sqlx::query(
        "SELECT CAST(COALESCE(SUM(charge), 0) AS BIGINT), CAST(COUNT(*) AS BIGINT), \
         CAST(COUNT(error_class) AS BIGINT), \
         CAST(COALESCE(SUM(CASE WHEN status = 'unknown' THEN 1 ELSE 0 END), 0) AS BIGINT), \
         CAST(COUNT(DISTINCT attempt_id) AS BIGINT), \
         (SELECT CAST(COUNT(*) AS BIGINT) FROM (SELECT c.escalation_id FROM calls c \
           JOIN escalations e ON e.id = c.escalation_id \
           WHERE c.created_at >= $1 AND c.created_at < $2 AND c.tier <> e.tier \
           GROUP BY c.escalation_id) AS fallen), \
         (SELECT CAST(COUNT(*) AS BIGINT) FROM approvals WHERE status = 'pending_approval' \
           AND requested_at < $2) \
         FROM calls WHERE created_at >= $1 AND created_at < $2 AND status <> 'released'",
    )
    .bind(from)
    .bind(until)
    .fetch_one(&mut *connection)
    .await?;
    let count = |index: usize| -> Result<u64, StoreError> {
        Ok(row.try_get::<i64, _>(index)?.unsigned_abs())
    };
    let mut facts = ReportFacts {
        total_usd: Usd::from_nanos(row.try_get(0)?),
        calls: count(1)?,
        failed_calls: count(2)?,
        unknown_charges: count(3)?,
        tasks: count(4)?,
        fallbacks: count(5)?,
        waiting: count(6)?,
        ..ReportFacts::default()
    };
    let escalated = sqlx::query(
        "SELECT admitted_at, counted, passage FROM escalations \
         WHERE admitted_at >= $1 AND admitted_at < $2 AND released = 0",
    )
    .bind(from)
    .bind(until)
    .fetch_all(&mut *connection)
    .await?;
    let (mut days, mut hours) = (BTreeMap::<i64, u32>::new(), BTreeMap::<i64, u32>::new());
    for row in &escalated {
        facts.escalations += 1;
        facts.exempt += u64::from(row.try_get::<String, _>(2)? == "exempt");
        if row.try_get::<i64, _>(1)? == 1 {
            facts.counted += 1;
            let at: i64 = row.try_get(0)?;
            *days.entry(at.div_euclid(super::ledger::DAY_MICROS)).or_default() += 1;
            *hours.entry(at.div_euclid(super::ledger::HOUR_MICROS)).or_default() += 1;
        }
    }
    facts.busiest_day = days.into_values().max().unwrap_or_default();
    facts.busiest_hour = hours.into_values().max().unwrap_or_default();
    let told = sqlx::query(
        "SELECT type, metadata FROM events WHERE at >= $1 AND at < $2 AND type IN ($3, $4)",
    )
    .bind(from)
    .bind(until)
    .bind(EventType::EscalationAlert.as_str())
    .bind(EventType::EscalationViolation.as_str())
    .fetch_all(connection)
    .await?;
    for row in told {
        if row.try_get::<String, _>(0)? == EventType::EscalationViolation.as_str() {
            facts.violations += 1;
        } else if row.try_get::<String, _>(1)?.contains("\"alert\":\"throttling\"") {
            facts.throttled += 1;
        }
    }
    Ok(facts)
}

async fn amounts(
    connection: &mut AnyConnection,
    sql: &'static str,
    (from, until): (i64, i64),
) -> Result<BTreeMap<String, Usd>, StoreError> {
    let rows = sqlx::query(sql).bind(from).bind(until).fetch_all(connection).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, Usd::from_nanos(row.try_get(1)?)))).collect()
}

async fn healing(
    connection: &mut AnyConnection,
    (from, until): (i64, i64),
) -> Result<Vec<Healing>, StoreError> {
    let rows = sqlx::query(
        "SELECT f.tier, f.error_class, CAST(COUNT(*) AS BIGINT), \
         CAST(SUM(CASE WHEN EXISTS (SELECT 1 FROM calls later WHERE later.attempt_id = f.attempt_id \
           AND later.run_id = f.run_id AND later.number > f.number AND later.answer IS NOT NULL) \
           OR EXISTS (SELECT 1 FROM attempts a WHERE a.id = f.attempt_id \
           AND a.state LIKE '%\"finishedTier\":\"local-builder\"%') THEN 1 ELSE 0 END) AS BIGINT) \
         FROM calls f WHERE f.created_at >= $1 AND f.created_at < $2 \
         AND f.error_class IS NOT NULL GROUP BY f.tier, f.error_class ORDER BY f.tier, f.error_class",
    )
    .bind(from)
    .bind(until)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Healing {
                tier: row.try_get(0)?,
                error_class: row.try_get(1)?,
                failures: row.try_get::<i64, _>(2)?.unsigned_abs(),
                healed: row.try_get::<i64, _>(3)?.unsigned_abs(),
            })
        })
        .collect()
}
