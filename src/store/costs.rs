//! Money and counts as people ask for them: what was spent on what, how full each window and each
//! ceiling is, and the escalation events. Reads only; the rows of the ledger are the truth.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::{AnyConnection, Row as _};

use super::ledger::{DAY_MICROS, HOUR_MICROS, day_start, month_start, used};
use super::money::{Ceilings, Scope};
use super::rails::count;
use super::rows::RunFilter;
use super::{Store, StoreError};
use crate::domain::ids::RunId;
use crate::domain::money::Usd;
use crate::domain::run::NightConfig;
use crate::domain::time::from_micros;
use crate::escalation::QuotaLimits;

/// `GET …/escalation/costs`. Each map's amounts sum up to the total.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Costs {
    pub total_usd: Usd,
    pub by_run: BTreeMap<String, Usd>,
    pub by_tier: BTreeMap<String, Usd>,
    /// By justification; work that was not escalated is `none`.
    pub by_tag: BTreeMap<String, Usd>,
    /// By calendar day, UTC.
    pub by_day: BTreeMap<String, Usd>,
}

/// One window of the quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WindowUse {
    pub used: u32,
    pub limit: u32,
    /// When the next count comes back; now, where none is used. A slot comes back with its work.
    pub resets_at: Option<DateTime<Utc>>,
}

/// `GET …/escalation/quota`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QuotaStatus {
    pub daily: WindowUse,
    pub hourly: WindowUse,
    pub concurrent: WindowUse,
}

/// How much of one money ceiling is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    pub scope: &'static str,
    /// The run, repository, issue, day or month it is about.
    pub id: String,
    pub spent_usd: Usd,
    pub reserved_usd: Usd,
    pub limit_usd: Option<Usd>,
}

impl Store {
    /// What was spent, by run, tier, tag and day.
    pub async fn costs(&self) -> Result<Costs, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let by_tag = "SELECT COALESCE(e.tag, 'none'), CAST(SUM(c.charge) AS BIGINT) FROM calls c \
             LEFT JOIN escalations e ON e.id = c.escalation_id GROUP BY 1";
        let by_day = "SELECT CAST(created_at / 86400000000 AS TEXT), CAST(SUM(charge) AS BIGINT) \
             FROM calls GROUP BY 1";
        let by_run = sums(
            &mut connection,
            "SELECT run_id, CAST(SUM(charge) AS BIGINT) FROM calls GROUP BY run_id",
        )
        .await?;
        let days = sums(&mut connection, by_day).await?;
        Ok(Costs {
            total_usd: by_run.values().copied().sum(),
            by_run,
            by_tier: sums(
                &mut connection,
                "SELECT tier, CAST(SUM(charge) AS BIGINT) FROM calls GROUP BY tier",
            )
            .await?,
            by_tag: sums(&mut connection, by_tag).await?,
            by_day: days
                .into_iter()
                .map(|(day, usd)| {
                    let start = day.parse::<i64>().unwrap_or_default().saturating_mul(DAY_MICROS);
                    (from_micros(start).format("%Y-%m-%d").to_string(), usd)
                })
                .collect(),
        })
    }

    /// How full each window of the quota is.
    pub async fn quota_status(&self, limits: QuotaLimits) -> Result<QuotaStatus, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let now = self.now(&mut connection).await?;
        let used = used(&mut connection, now).await?;
        let row = sqlx::query(
            "SELECT CAST(MIN(admitted_at) AS BIGINT), \
             CAST(MIN(CASE WHEN admitted_at > $2 THEN admitted_at ELSE NULL END) AS BIGINT) \
             FROM escalations WHERE counted = 1 AND released = 0 AND admitted_at > $1",
        )
        .bind(now - DAY_MICROS)
        .bind(now - HOUR_MICROS)
        .fetch_one(&mut *connection)
        .await?;
        let resets = |oldest: Option<i64>, window: i64| {
            Some(from_micros(oldest.map_or(now, |oldest| oldest.saturating_add(window))))
        };
        Ok(QuotaStatus {
            daily: WindowUse {
                used: used.daily,
                limit: limits.daily,
                resets_at: resets(row.try_get(0)?, DAY_MICROS),
            },
            hourly: WindowUse {
                used: used.hourly,
                limit: limits.hourly,
                resets_at: resets(row.try_get(1)?, HOUR_MICROS),
            },
            concurrent: WindowUse {
                used: used.concurrent,
                limit: limits.concurrent,
                resets_at: None,
            },
        })
    }

    /// How full each ceiling is: of the nights under way (else of the latest one), of their
    /// repositories and issues where these have one, of the day and of the month.
    pub async fn budgets(&self, ceilings: &Ceilings) -> Result<Vec<Budget>, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let now = self.now(&mut connection).await?;
        let nights = sqlx::query(
            "SELECT id, repo_key, config FROM runs WHERE active = 1 OR (NOT EXISTS \
             (SELECT 1 FROM runs a WHERE a.active = 1) AND created_at = \
             (SELECT MAX(created_at) FROM runs WHERE repo_name <> '') AND repo_name <> '') ORDER BY created_at, id",
        )
        .fetch_all(&mut *connection)
        .await?;
        let mut budgets = Vec::new();
        for night in nights {
            let run: String = night.try_get(0)?;
            let repo: String = night.try_get(1)?;
            let config: NightConfig = serde_json::from_str(&night.try_get::<String, _>(2)?)
                .map_err(|why| StoreError::corrupt("configuration of a run", why))?;
            let of = (Some(run.clone()), None, i64::MIN);
            let budget = (Scope::Night, run.clone(), config.budget_usd);
            budgets.push(budget_of(&mut connection, budget, of).await?);
            if ceilings.repository.is_some() {
                let of = (None, Some(repo.clone()), i64::MIN);
                let budget = (Scope::Repository, repo, ceilings.repository);
                budgets.push(budget_of(&mut connection, budget, of).await?);
            }
            if let Some(limit) = ceilings.issue {
                budgets.extend(issues(&mut connection, &run, limit).await?);
            }
        }
        let day = from_micros(now).format("%Y-%m-%d").to_string();
        let of = (None, None, day_start(now));
        budgets.push(budget_of(&mut connection, (Scope::Day, day, ceilings.day), of).await?);
        let month = from_micros(now).format("%Y-%m").to_string();
        let of = (None, None, month_start(now));
        budgets.push(budget_of(&mut connection, (Scope::Month, month, ceilings.month), of).await?);
        Ok(budgets)
    }

    /// The escalation events of one run or of all, newest first.
    pub async fn escalation_events(
        &self,
        run: Option<&RunId>,
        limit: usize,
    ) -> Result<Vec<Value>, StoreError> {
        let mut events = Vec::new();
        let mut take = |run: crate::domain::run::Run| {
            for row in run.issue_results {
                events.extend(row.model_escalations);
            }
            events.len() >= limit
        };
        if let Some(id) = run {
            self.run(id).await?.map(take);
        } else {
            let mut filter = RunFilter { limit: 50, ..RunFilter::default() };
            loop {
                let (runs, next) = self.runs(filter.clone()).await?;
                let mut enough = false;
                for run in runs {
                    enough = take(run);
                }
                match next {
                    Some(cursor) if !enough => filter.cursor = Some(cursor),
                    Some(_) | None => break,
                }
            }
        }
        // Times of one form, so that their texts are in their order.
        events.sort_by(|a, b| b["timestamp"].as_str().cmp(&a["timestamp"].as_str()));
        events.truncate(limit);
        Ok(events)
    }
}

async fn sums(
    connection: &mut AnyConnection,
    sql: &'static str,
) -> Result<BTreeMap<String, Usd>, StoreError> {
    let rows = sqlx::query(sql).fetch_all(connection).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, Usd::from_nanos(row.try_get(1)?)))).collect()
}

/// What is booked for good and in flight.
const BOOKED: &str = "SELECT \
    CAST(COALESCE(SUM(CASE WHEN status IN ('settled', 'unknown') THEN charge ELSE 0 END), 0) AS BIGINT), \
    CAST(COALESCE(SUM(CASE WHEN status IN ('reserved', 'dispatched') THEN charge ELSE 0 END), 0) AS BIGINT) \
    FROM calls WHERE ($1 IS NULL OR run_id = $1) AND ($2 IS NULL OR repo_key = $2) \
    AND created_at >= $3";

async fn budget_of(
    connection: &mut AnyConnection,
    (scope, id, limit): (Scope, String, Option<Usd>),
    (run, repo, since): (Option<String>, Option<String>, i64),
) -> Result<Budget, StoreError> {
    let row = sqlx::query(BOOKED).bind(run).bind(repo).bind(since).fetch_one(connection).await?;
    Ok(Budget {
        scope: scope.as_str(),
        id,
        spent_usd: Usd::from_nanos(row.try_get(0)?),
        reserved_usd: Usd::from_nanos(row.try_get(1)?),
        limit_usd: limit,
    })
}

async fn issues(
    connection: &mut AnyConnection,
    run: &str,
    limit: Usd,
) -> Result<Vec<Budget>, StoreError> {
    let rows = sqlx::query(
        "SELECT CAST(SUM(CASE WHEN status IN ('settled', 'unknown') THEN charge ELSE 0 END) AS BIGINT), \
         CAST(SUM(CASE WHEN status IN ('reserved', 'dispatched') THEN charge ELSE 0 END) AS BIGINT), \
         issue FROM calls WHERE run_id = $1 GROUP BY issue ORDER BY issue",
    )
    .bind(run.to_owned())
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Budget {
                scope: Scope::Issue.as_str(),
                id: format!("{run}#{}", count(row, 2)?),
                spent_usd: Usd::from_nanos(row.try_get(0)?),
                reserved_usd: Usd::from_nanos(row.try_get(1)?),
                limit_usd: Some(limit),
            })
        })
        .collect()
}
