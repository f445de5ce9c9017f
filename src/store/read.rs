//! Reading runs, attempts, effects and calls back, from the readers' pool.

use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::AnyConnection;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::changes::EffectState;
use super::rows::{
    AttemptRow, AttemptStatus, CallRow, CallStatus, EffectRow, IssueHistory, Night, RunFilter,
    ToolRow,
};
use super::tx::number;
use super::{Store, StoreError, fold};
use crate::domain::ids::{AttemptId, CallId, EscalationId, IssueNumber, RepoName, RunId};
use crate::domain::money::{Usage, Usd};
use crate::domain::run::{IssueResult, Run};
use crate::domain::time::from_micros;

const DEFAULT_PAGE: u32 = 20;
const LARGEST_PAGE: u32 = 100;

impl Store {
    /// One run, folded.
    pub async fn run(&self, id: &RunId) -> Result<Option<Run>, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        fold::run(&mut connection, id).await
    }

    /// A page of runs, newest first, and the cursor of the next page.
    pub async fn runs(&self, filter: RunFilter) -> Result<(Vec<Run>, Option<String>), StoreError> {
        let limit = if filter.limit == 0 { DEFAULT_PAGE } else { filter.limit.min(LARGEST_PAGE) };
        let (before, before_id) = match &filter.cursor {
            None => (None, None),
            Some(cursor) => {
                let bad = || StoreError::BadCursor(cursor.clone());
                let (at, id) = cursor.split_once('.').ok_or_else(bad)?;
                (Some(at.parse::<i64>().map_err(|_| bad())?), Some(id.to_owned()))
            }
        };
        let mut connection = self.inner.pool.acquire().await?;
        let rows = sqlx::query(
            "SELECT id, created_at FROM runs \
             WHERE repo_name <> '' AND ($1 IS NULL OR LOWER(repo_owner) = $1) AND ($2 IS NULL OR LOWER(repo_name) = $2) \
             AND ($3 IS NULL OR status = $3) \
             AND ($4 IS NULL OR created_at < $4 OR (created_at = $4 AND id < $5)) \
             ORDER BY created_at DESC, id DESC LIMIT $6",
        )
        .bind(filter.owner.map(|owner| owner.to_ascii_lowercase()))
        .bind(filter.repo.map(|repo| repo.to_ascii_lowercase()))
        .bind(filter.status.map(|status| status.as_str().to_owned()))
        .bind(before)
        .bind(before_id)
        .bind(i64::from(limit) + 1)
        .fetch_all(&mut *connection)
        .await?;
        let page = &rows[..rows.len().min(limit as usize)];
        let mut runs = Vec::with_capacity(page.len());
        let mut next = None;
        for row in page {
            let id: String = row.try_get(0)?;
            next = Some(format!("{}.{id}", row.try_get::<i64, _>(1)?));
            runs.extend(fold::run(&mut connection, &RunId::new(id)).await?);
        }
        Ok((runs, next.filter(|_| rows.len() > page.len())))
    }

    /// The newest run, of a repository or of all.
    pub async fn latest_run(&self, repo: Option<&RepoName>) -> Result<Option<Run>, StoreError> {
        let filter = RunFilter {
            owner: repo.map(|repo| repo.owner().to_owned()),
            repo: repo.map(|repo| repo.name().to_owned()),
            limit: 1,
            ..RunFilter::default()
        };
        Ok(self.runs(filter).await?.0.pop())
    }

    /// Runs that are queued or running, oldest first.
    pub async fn active_runs(&self, repo: Option<&RepoName>) -> Result<Vec<Run>, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let mut runs = Vec::new();
        for id in active(&mut connection, repo).await? {
            runs.extend(fold::run(&mut connection, &id).await?);
        }
        Ok(runs)
    }

    /// The attempts that are not ended: their workspaces are still needed.
    pub async fn open_attempts(&self) -> Result<Vec<AttemptId>, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let rows = sqlx::query("SELECT id FROM attempts WHERE ended = 0 ORDER BY id")
            .fetch_all(&mut *connection)
            .await?;
        rows.iter().map(|row| Ok(AttemptId::new(row.try_get::<String, _>(0)?))).collect()
    }

    /// What a start has to go on with, oldest first; `claim_run` says which of it is free.
    pub async fn resumable(&self) -> Result<Vec<RunId>, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        active(&mut connection, None).await
    }

    /// A run as the engine works with it.
    pub async fn night(&self, id: &RunId) -> Result<Option<Night>, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let row = sqlx::query(
            "SELECT repo_owner, repo_name, config, dry_run, plan, cancel_requested, status, notes \
             FROM runs WHERE id = $1",
        )
        .bind(id.as_str())
        .fetch_optional(&mut *connection)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let repo = RepoName::new(&text(&row, 0)?, &text(&row, 1)?)
            .map_err(|why| StoreError::corrupt("repository of a run", why))?;
        let plan: Option<String> = row.try_get(4)?;
        Ok(Some(Night {
            id: id.clone(),
            repo,
            config: json("configuration of a run", &text(&row, 2)?)?,
            dry_run: row.try_get::<i64, _>(3)? == 1,
            plan: plan.map(|plan| json("plan of a run", &plan)).transpose()?,
            cancel_requested: row.try_get::<i64, _>(5)? == 1,
            status: text(&row, 6)?
                .parse()
                .map_err(|why| StoreError::corrupt("status of a run", why))?,
            notes: json("notes of a run", &text(&row, 7)?)?,
        }))
    }

    /// The latest attempt at an issue.
    pub async fn attempt(
        &self,
        run: &RunId,
        issue: IssueNumber,
    ) -> Result<Option<AttemptRow>, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let row = sqlx::query(
            "SELECT id, epoch, state, ended FROM attempts WHERE run_id = $1 AND issue = $2 \
             ORDER BY number DESC LIMIT 1",
        )
        .bind(run.as_str())
        .bind(number(issue.0))
        .fetch_optional(&mut *connection)
        .await?;
        row.map(|row| {
            Ok(AttemptRow {
                id: AttemptId::new(text(&row, 0)?),
                issue,
                epoch: row.try_get(1)?,
                state: json("state of an attempt", &text(&row, 2)?)?,
                status: match row.try_get::<i64, _>(3)? {
                    0 => AttemptStatus::Open,
                    _ => AttemptStatus::Ended,
                },
            })
        })
        .transpose()
    }

    /// One effect of a run.
    pub async fn effect(&self, run: &RunId, key: &str) -> Result<Option<EffectRow>, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let row = sqlx::query(
            "SELECT key, kind, issue, state, intent, observed FROM effects \
             WHERE run_id = $1 AND key = $2",
        )
        .bind(run.as_str())
        .bind(key)
        .fetch_optional(&mut *connection)
        .await?;
        row.map(|row| effect_row(&row)).transpose()
    }

    /// Every effect of a run, oldest first.
    pub async fn effects(&self, run: &RunId) -> Result<Vec<EffectRow>, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let rows = sqlx::query(
            "SELECT key, kind, issue, state, intent, observed FROM effects \
             WHERE run_id = $1 ORDER BY created_at, key",
        )
        .bind(run.as_str())
        .fetch_all(&mut *connection)
        .await?;
        rows.iter().map(effect_row).collect()
    }

    /// How each issue of a repository fared when it was last worked on (success or failed) in an
    /// ended night that was no dry run. A later skip says nothing about the work and hides nothing.
    pub async fn history(&self, repo: &RepoName) -> Result<Vec<IssueHistory>, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let rows = sqlx::query(
            "SELECT ri.issue, ri.run_id, ri.result, ri.digest, ri.ended_at FROM run_issues ri \
             JOIN runs r ON r.id = ri.run_id \
             WHERE r.repo_key = $1 AND r.dry_run = 0 AND r.active = 0 \
             AND ri.status IN ('success', 'failed') \
             AND NOT EXISTS (SELECT 1 FROM run_issues li JOIN runs l ON l.id = li.run_id \
               WHERE l.repo_key = $1 AND l.dry_run = 0 AND l.active = 0 AND li.issue = ri.issue \
               AND li.status IN ('success', 'failed') \
               AND (li.ended_at > ri.ended_at \
                 OR (li.ended_at = ri.ended_at AND li.run_id > ri.run_id))) \
             ORDER BY ri.issue",
        )
        .bind(repo.key())
        .fetch_all(&mut *connection)
        .await?;
        rows.iter()
            .map(|row| {
                let result: IssueResult = json("row of an issue", &text(row, 2)?)?;
                let ended: Option<i64> = row.try_get(4)?;
                Ok(IssueHistory {
                    issue: issue_of(row, 0)?,
                    run: RunId::new(text(row, 1)?),
                    status: result.status,
                    reason_code: result.reason_code,
                    base_sha: result.base_sha,
                    issue_digest: row.try_get(3)?,
                    ended_at: from_micros(ended.unwrap_or_default()),
                })
            })
            .collect()
    }

    /// The upstream requests of a run, or of one issue in it, oldest first.
    pub async fn calls(
        &self,
        run: &RunId,
        issue: Option<IssueNumber>,
    ) -> Result<Vec<CallRow>, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        calls_of(&mut connection, run, issue).await
    }

    /// The stored tool results of an attempt, in the order of its calls.
    pub async fn tool_results(&self, attempt: &AttemptId) -> Result<Vec<ToolRow>, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let rows = sqlx::query(
            "SELECT t.call_id, t.idx, t.tool_call_id, t.output, t.tree FROM tool_results t \
             JOIN calls c ON c.id = t.call_id WHERE t.attempt_id = $1 ORDER BY c.number, t.idx",
        )
        .bind(attempt.as_str())
        .fetch_all(&mut *connection)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(ToolRow {
                    call: CallId::new(text(row, 0)?),
                    index: u32::try_from(row.try_get::<i64, _>(1)?).unwrap_or(u32::MAX),
                    tool_call_id: text(row, 2)?,
                    output: text(row, 3)?,
                    tree: row.try_get(4)?,
                })
            })
            .collect()
    }
}

async fn active(
    connection: &mut AnyConnection,
    repo: Option<&RepoName>,
) -> Result<Vec<RunId>, StoreError> {
    let rows = sqlx::query(
        "SELECT id FROM runs WHERE active = 1 AND ($1 IS NULL OR repo_key = $1) \
         ORDER BY created_at, id",
    )
    .bind(repo.map(RepoName::key))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok(RunId::new(text(row, 0)?))).collect()
}

fn effect_row(row: &AnyRow) -> Result<EffectRow, StoreError> {
    let state = match text(row, 3)?.as_str() {
        "intent" => EffectState::Intent,
        "observed" => EffectState::Observed,
        "failed" => EffectState::Failed,
        other => return Err(StoreError::corrupt("state of an effect", other)),
    };
    let observed: Option<String> = row.try_get(5)?;
    let issue: Option<i64> = row.try_get(2)?;
    Ok(EffectRow {
        key: text(row, 0)?,
        kind: text(row, 1)?,
        issue: issue.map(|number| IssueNumber(number.unsigned_abs())),
        state,
        intent: json("effect", &text(row, 4)?)?,
        observed: observed.map(|value| json("effect", &value)).transpose()?,
    })
}

/// Calls for whoever holds a connection: a reader, or the writer inside its transaction.
pub(super) async fn calls_of(
    connection: &mut AnyConnection,
    run: &RunId,
    issue: Option<IssueNumber>,
) -> Result<Vec<CallRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, attempt_id, issue, escalation_id, tier, model, status, estimate, charge, \
         prompt_tokens, cached_tokens, completion_tokens, answer, error_class, error_message, \
         created_at, settled_at FROM calls \
         WHERE run_id = $1 AND tier <> 'copilot' AND ($2 IS NULL OR issue = $2) ORDER BY number",
    )
    .bind(run.as_str())
    .bind(issue.map(|issue| number(issue.0)))
    .fetch_all(connection)
    .await?;
    rows.iter().map(call_row).collect()
}

fn call_row(row: &AnyRow) -> Result<CallRow, StoreError> {
    let status = text(row, 6)?;
    let escalation: Option<String> = row.try_get(3)?;
    let answer: Option<String> = row.try_get(12)?;
    let class: Option<String> = row.try_get(13)?;
    let settled: Option<i64> = row.try_get(16)?;
    let tokens = |index: usize| -> Result<Option<u64>, StoreError> {
        Ok(row.try_get::<Option<i64>, _>(index)?.map(i64::unsigned_abs))
    };
    let usage = match (tokens(9)?, tokens(10)?, tokens(11)?) {
        (Some(prompt_tokens), Some(cached_tokens), Some(completion_tokens)) => {
            Some(Usage { prompt_tokens, cached_tokens, completion_tokens })
        }
        _ => None,
    };
    Ok(CallRow {
        id: CallId::new(text(row, 0)?),
        attempt: AttemptId::new(text(row, 1)?),
        issue: issue_of(row, 2)?,
        escalation: escalation.map(EscalationId::new),
        tier: text(row, 4)?.parse().map_err(|why| StoreError::corrupt("tier of a call", why))?,
        model: text(row, 5)?,
        status: CallStatus::named(&status)
            .ok_or_else(|| StoreError::corrupt("status of a call", status))?,
        estimate: Usd::from_nanos(row.try_get(7)?),
        cost: Usd::from_nanos(row.try_get(8)?),
        usage,
        answer: answer.map(|answer| json("answer", &answer)).transpose()?,
        error_class: class
            .map(|class| {
                serde_json::from_value(Value::String(class))
                    .map_err(|why| StoreError::corrupt("error class of a call", why))
            })
            .transpose()?,
        error_message: row.try_get(14)?,
        created_at: from_micros(row.try_get(15)?),
        settled_at: settled.map(from_micros),
    })
}

fn text(row: &AnyRow, index: usize) -> Result<String, StoreError> {
    Ok(row.try_get(index)?)
}

fn issue_of(row: &AnyRow, index: usize) -> Result<IssueNumber, StoreError> {
    Ok(IssueNumber(row.try_get::<i64, _>(index)?.unsigned_abs()))
}

fn json<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|why| StoreError::corrupt(what, why))
}
