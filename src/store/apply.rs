//! Changes of a run's state: each list of them, with its events, is one transaction.
//!
//! Never decides whether a change makes sense; that is the engine's business.

use serde_json::Value;
use sqlx::Row as _;

use super::changes::{Change, EffectState, Fence};
use super::tx::{Tx, number};
use super::{Store, StoreError, builders, healing, memory, transcript};
use crate::domain::event::GovernanceEvent;
use crate::domain::ids::{AttemptId, CallId, IssueNumber};
use crate::domain::run::{IssueResult, RunStatus};

impl Store {
    /// Commits all changes together, or none; gives back the events among them.
    pub async fn apply(
        &self,
        fence: &Fence,
        changes: Vec<Change>,
    ) -> Result<Vec<GovernanceEvent>, StoreError> {
        let fence = fence.clone();
        self.write(move |tx| {
            Box::pin(async move {
                tx.fence(&fence).await?;
                all(tx, &fence, changes).await
            })
        })
        .await
    }
}

/// Applies changes inside a transaction that is fenced already.
pub(super) async fn all(
    tx: &mut Tx,
    fence: &Fence,
    changes: Vec<Change>,
) -> Result<Vec<GovernanceEvent>, StoreError> {
    let mut events = Vec::new();
    for change in changes {
        match change {
            Change::RunStatus { status, errors } => run_status(tx, fence, status, errors).await?,
            Change::Plan(plan) => {
                let plan = tx.json("plan", &plan)?;
                sqlx::query("UPDATE runs SET plan = $1 WHERE id = $2 AND epoch = $3")
                    .bind(plan)
                    .bind(fence.run.as_str())
                    .bind(fence.epoch)
                    .execute(&mut tx.conn)
                    .await?;
            }
            Change::Notes(notes) => {
                let notes = tx.json("notes", &notes)?;
                sqlx::query("UPDATE runs SET notes = $1 WHERE id = $2 AND epoch = $3")
                    .bind(notes)
                    .bind(fence.run.as_str())
                    .bind(fence.epoch)
                    .execute(&mut tx.conn)
                    .await?;
            }
            Change::IssueRow(row) => issue_row(tx, fence, row).await?,
            Change::IssueDigest { issue, digest } => issue_digest(tx, fence, issue, digest).await?,
            Change::Attempt { id, issue, state, ended } => {
                attempt(tx, fence, id, issue, state, ended).await?;
            }
            Change::Effect { key, kind, issue, state, value } => {
                effect(tx, fence, Effect { key, kind, issue, state, value }).await?;
            }
            Change::Tool { attempt, call, index, tool_call_id, output, tree } => {
                tool(tx, Tool { attempt, call, index, tool_call_id, output, tree }).await?;
            }
            Change::Sign(sign) => healing::take(tx, fence, sign).await?,
            Change::Note(note) => memory::take(tx, fence, note).await?,
            Change::Builder { sign, rules } => {
                drop(builders::take(tx, sign, rules, Some(&fence.run)).await?);
            }
            Change::Transcript(telling) => transcript::take(tx, fence, telling).await?,
            Change::Event(mut event) => {
                event.run.get_or_insert_with(|| fence.run.clone());
                events.push(tx.emit(event).await?);
            }
        }
    }
    Ok(events)
}

async fn run_status(
    tx: &mut Tx,
    fence: &Fence,
    status: RunStatus,
    errors: Vec<String>,
) -> Result<(), StoreError> {
    let row = sqlx::query("SELECT errors FROM runs WHERE id = $1")
        .bind(fence.run.as_str())
        .fetch_one(&mut tx.conn)
        .await?;
    let mut all: Vec<String> = serde_json::from_str(&row.try_get::<String, _>(0)?)
        .map_err(|why| StoreError::corrupt("errors of a run", why))?;
    // While a night runs they say what it waits for, and nothing once it goes on.
    if status == RunStatus::Running {
        all.clear();
    }
    all.extend(errors);
    let all = tx.json("errors of a run", &all)?;
    sqlx::query(
        "UPDATE runs SET status = $1, active = $2, errors = $3, \
         started_at = CASE WHEN $4 = 1 THEN COALESCE(started_at, $5) ELSE started_at END, \
         ended_at = CASE WHEN $2 = 0 THEN COALESCE(ended_at, $5) ELSE NULL END \
         WHERE id = $6 AND epoch = $7",
    )
    .bind(status.as_str())
    .bind(i64::from(status.is_active()))
    .bind(all)
    .bind(i64::from(status == RunStatus::Running))
    .bind(tx.now)
    .bind(fence.run.as_str())
    .bind(fence.epoch)
    .execute(&mut tx.conn)
    .await?;
    if !status.is_active() {
        // Whatever attempt was left open holds no slot beyond its night.
        sqlx::query("UPDATE escalations SET slot_held = 0 WHERE run_id = $1 AND slot_held = 1")
            .bind(fence.run.as_str())
            .execute(&mut tx.conn)
            .await?;
    }
    Ok(())
}

async fn issue_row(tx: &mut Tx, fence: &Fence, row: IssueResult) -> Result<(), StoreError> {
    let status = super::fold::status_name(row.status);
    let ended = row.status.is_final().then_some(tx.now);
    let result = tx.json("row of an issue", &row)?;
    sqlx::query(
        "INSERT INTO run_issues (run_id, issue, position, status, result, ended_at) \
         SELECT $1, $2, CAST(COALESCE(MAX(position), 0) + 1 AS BIGINT), $3, $4, $5 \
         FROM run_issues WHERE run_id = $1 \
         ON CONFLICT (run_id, issue) DO UPDATE SET status = excluded.status, \
         result = excluded.result, ended_at = excluded.ended_at",
    )
    .bind(fence.run.as_str())
    .bind(number(row.issue_number.0))
    .bind(status)
    .bind(result)
    .bind(ended)
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}

async fn issue_digest(
    tx: &mut Tx,
    fence: &Fence,
    issue: IssueNumber,
    digest: String,
) -> Result<(), StoreError> {
    let done = sqlx::query("UPDATE run_issues SET digest = $1 WHERE run_id = $2 AND issue = $3")
        .bind(digest)
        .bind(fence.run.as_str())
        .bind(number(issue.0))
        .execute(&mut tx.conn)
        .await?;
    if done.rows_affected() == 1 {
        Ok(())
    } else {
        Err(StoreError::UnknownIssue { run: fence.run.clone(), issue })
    }
}

async fn attempt(
    tx: &mut Tx,
    fence: &Fence,
    id: AttemptId,
    issue: IssueNumber,
    state: Value,
    ended: bool,
) -> Result<(), StoreError> {
    let state = tx.json("state of an attempt", &state)?;
    sqlx::query(
        "INSERT INTO attempts (id, run_id, issue, number, epoch, state, ended, created_at, ended_at) \
         SELECT $1, $2, $3, CAST(COALESCE(MAX(number), 0) + 1 AS BIGINT), $4, $5, $6, $7, $8 \
         FROM attempts WHERE run_id = $2 AND issue = $3 \
         ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, state = excluded.state, \
         ended = excluded.ended, ended_at = excluded.ended_at",
    )
    .bind(id.as_str())
    .bind(fence.run.as_str())
    .bind(number(issue.0))
    .bind(fence.epoch)
    .bind(state)
    .bind(i64::from(ended))
    .bind(tx.now)
    .bind(ended.then_some(tx.now))
    .execute(&mut tx.conn)
    .await?;
    if ended {
        release(tx, fence, &id).await?;
    }
    Ok(())
}

/// Gives an attempt's slots back. What was never used for a request does not count either.
pub(super) async fn release(
    tx: &mut Tx,
    fence: &Fence,
    attempt: &AttemptId,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE escalations SET slot_held = 0, released = CASE WHEN EXISTS (SELECT 1 FROM calls \
         WHERE calls.escalation_id = escalations.id AND calls.status <> 'released') \
         THEN released ELSE 1 END WHERE attempt_id = $1 AND run_id = $2 AND slot_held = 1",
    )
    .bind(attempt.as_str())
    .bind(fence.run.as_str())
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}

struct Effect {
    key: String,
    kind: String,
    issue: Option<IssueNumber>,
    state: EffectState,
    value: Value,
}

async fn effect(tx: &mut Tx, fence: &Fence, effect: Effect) -> Result<(), StoreError> {
    let Effect { key, kind, issue, state, value } = effect;
    let value = tx.json("effect", &value)?;
    // The first argument is the intent, the second what was observed.
    let (intent, observed) = match state {
        EffectState::Intent => (value, None),
        EffectState::Observed | EffectState::Failed => ("null".to_owned(), Some(value)),
    };
    sqlx::query(
        "INSERT INTO effects (run_id, key, kind, issue, epoch, state, intent, observed, \
         created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9) \
         ON CONFLICT (run_id, key) DO UPDATE SET epoch = excluded.epoch, \
         state = CASE WHEN effects.state = 'observed' AND excluded.state = 'intent' \
           THEN effects.state ELSE excluded.state END, \
         intent = CASE WHEN excluded.state = 'intent' AND effects.state <> 'observed' \
           THEN excluded.intent ELSE effects.intent END, \
         observed = COALESCE(excluded.observed, effects.observed), \
         updated_at = excluded.updated_at",
    )
    .bind(fence.run.as_str())
    .bind(key)
    .bind(kind)
    .bind(issue.map(|issue| number(issue.0)))
    .bind(fence.epoch)
    .bind(state.as_str())
    .bind(intent)
    .bind(observed)
    .bind(tx.now)
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}

struct Tool {
    attempt: AttemptId,
    call: CallId,
    index: u32,
    tool_call_id: String,
    output: String,
    tree: Option<String>,
}

async fn tool(tx: &mut Tx, tool: Tool) -> Result<(), StoreError> {
    let output = tx.text(&tool.output);
    let tool_call_id = tx.text(&tool.tool_call_id);
    sqlx::query(
        "INSERT INTO tool_results (call_id, idx, attempt_id, tool_call_id, output, tree, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (call_id, idx) DO NOTHING",
    )
    .bind(tool.call.as_str())
    .bind(i64::from(tool.index))
    .bind(tool.attempt.as_str())
    .bind(tool_call_id)
    .bind(output)
    .bind(tool.tree)
    .bind(tx.now)
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}
