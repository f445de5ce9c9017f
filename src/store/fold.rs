//! Folds a run's stored facts into the record that the contract shows.
//!
//! Counts come from the issue rows, money from the ledger; nothing of it is stored twice.

use std::collections::BTreeMap;

use sqlx::AnyConnection;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{StoreError, escalation_fold, read, sessions};
use crate::domain::ids::{IssueNumber, RunId};
use crate::domain::money::Usd;
use crate::domain::run::{IssueResult, IssueStatus, Run, RunStatus};
use crate::domain::time::from_micros;

/// One run with everything in it.
pub(super) async fn run(
    connection: &mut AnyConnection,
    id: &RunId,
) -> Result<Option<Run>, StoreError> {
    let row = sqlx::query(
        "SELECT repo_owner, repo_name, status, dry_run, errors, created_at, started_at, ended_at \
         FROM runs WHERE id = $1",
    )
    .bind(id.as_str())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let mut run = header(id, &row)?;
    run.issue_results = issue_rows(connection, id).await?;
    let calls = read::calls_of(connection, id, None).await?;
    let escalations = escalation_fold::of_run(connection, id, &run, &calls).await?;
    let mut costs: BTreeMap<IssueNumber, Usd> = BTreeMap::new();
    for call in &calls {
        *costs.entry(call.issue).or_default() += call.cost;
    }
    for (issue, _, cost) in sessions::of_run(connection, id).await? {
        *costs.entry(issue).or_default() += cost;
    }
    run.cost_usd = costs.values().copied().sum();
    for result in &mut run.issue_results {
        let number = result.issue_number;
        result.cost_usd = costs.get(&number).copied().unwrap_or_default();
        result.model_escalations = escalations.get(&number).cloned().unwrap_or_default();
    }
    let count =
        |status: IssueStatus| run.issue_results.iter().filter(|row| row.status == status).count();
    run.total_issues = run.issue_results.len();
    run.successful_issues = count(IssueStatus::Success);
    run.failed_issues = count(IssueStatus::Failed);
    run.skipped_issues = count(IssueStatus::Skipped);
    run.processed_issues = run.successful_issues + run.failed_issues;
    Ok(Some(run))
}

fn header(id: &RunId, row: &AnyRow) -> Result<Run, StoreError> {
    let status: RunStatus = row
        .try_get::<String, _>(2)?
        .parse()
        .map_err(|why| StoreError::corrupt("status of a run", why))?;
    let created: i64 = row.try_get(5)?;
    let started: Option<i64> = row.try_get(6)?;
    let ended: Option<i64> = row.try_get(7)?;
    Ok(Run {
        id: id.clone(),
        owner: row.try_get(0)?,
        repo: row.try_get(1)?,
        start_time: from_micros(started.unwrap_or(created)),
        end_time: ended.map(from_micros),
        status,
        dry_run: row.try_get::<i64, _>(3)? == 1,
        total_issues: 0,
        processed_issues: 0,
        successful_issues: 0,
        failed_issues: 0,
        skipped_issues: 0,
        cost_usd: Usd::ZERO,
        issue_results: Vec::new(),
        errors: serde_json::from_str(&row.try_get::<String, _>(4)?)
            .map_err(|why| StoreError::corrupt("errors of a run", why))?,
    })
}

async fn issue_rows(
    connection: &mut AnyConnection,
    id: &RunId,
) -> Result<Vec<IssueResult>, StoreError> {
    let rows = sqlx::query("SELECT result FROM run_issues WHERE run_id = $1 ORDER BY position")
        .bind(id.as_str())
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            serde_json::from_str(&row.try_get::<String, _>(0)?)
                .map_err(|why| StoreError::corrupt("row of an issue", why))
        })
        .collect()
}

/// The stored name of an issue row's status.
pub(super) const fn status_name(status: IssueStatus) -> &'static str {
    match status {
        IssueStatus::Pending => "pending",
        IssueStatus::Running => "running",
        IssueStatus::Success => "success",
        IssueStatus::Failed => "failed",
        IssueStatus::Skipped => "skipped",
    }
}
