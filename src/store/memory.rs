//! What healing remembers: what failed for a kind of issue, plans, checkpoints, and which question
//! each stored answer belongs to.
//!
//! Owns these rows and the figures read from them. Never judges what to do with them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::changes::Fence;
use super::tx::{Tx, number};
use super::{Store, StoreError};
use crate::domain::call::Answer;
use crate::domain::ids::{AttemptId, CallId, IssueNumber, RunId};
use crate::domain::plan::SequenceType;
use crate::domain::tier::ModelTier;
use crate::domain::time::from_micros;

/// Characters of a finding that are remembered.
const DETAIL: usize = 400;
/// Characters of a plan that are kept.
const PLAN: usize = 4_000;

/// Something to remember.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// `what` is `call:<error class>` or `gate:<dimension>`.
    Failed { kind: SequenceType, tier: ModelTier, what: String, detail: String },
    /// What had failed was put right by what came after.
    Healed { kind: SequenceType, tier: ModelTier, what: String },
    /// The issue's plan, as the model stated it.
    Plan { issue: IssueNumber, attempt: AttemptId, round: u32, tier: ModelTier, plan: String },
    /// Nobody could follow the plan: the next attempt makes a new one.
    PlanDropped { issue: IssueNumber },
    /// What a round left, in a private ref.
    Checkpoint { attempt: AttemptId, issue: IssueNumber, round: u32, tier: ModelTier, name: String },
    /// What the gate said of a round: how many findings, and its words for the builder.
    Judged { attempt: AttemptId, round: u32, findings: u32, digest: String },
    /// The digest of what a call asked.
    Asked { attempt: AttemptId, call: CallId, digest: String },
}

/// What failed for a kind of issue, and how often what came after put it right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HealingStat {
    pub repository: String,
    pub kind: String,
    pub tier: ModelTier,
    pub what: String,
    /// The last time's words; untrusted.
    pub detail: String,
    pub failures: u64,
    pub healed: u64,
    pub last_at: DateTime<Utc>,
}

/// What a round left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    pub round: u32,
    pub tier: ModelTier,
    /// The private ref that keeps its tree.
    pub name: String,
    /// The digest of the last question asked; empty where a command worked.
    pub conversation: String,
    pub plan: Option<String>,
    /// `None` until the gate judged it.
    pub findings: Option<u32>,
    pub digest: Option<String>,
}

/// An issue's plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptPlan {
    /// Untrusted, as everything a model says.
    pub text: String,
    pub attempt: AttemptId,
    pub round: u32,
}

/// An answer that was bought before, with the digest of its question.
#[derive(Debug, Clone, PartialEq)]
pub struct Bought {
    pub call: CallId,
    pub tier: ModelTier,
    pub digest: String,
    pub answer: Answer,
}

impl Store {
    /// What is remembered, the latest first; of one repository's kind of issue, or of all.
    pub async fn healing_stats(
        &self,
        of: Option<(&RunId, SequenceType)>,
    ) -> Result<Vec<HealingStat>, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let rows = sqlx::query(
            "SELECT repo_key, kind, tier, what, detail, failures, healed, failed_at \
             FROM healing_memory WHERE ($1 IS NULL OR repo_key = \
             (SELECT repo_key FROM runs WHERE id = $1)) AND ($2 IS NULL OR kind = $2) \
             ORDER BY failed_at DESC, tier, what",
        )
        .bind(of.map(|(run, _)| run.as_str().to_owned()))
        .bind(of.map(|(_, kind)| kind.as_str().to_owned()))
        .fetch_all(&mut *connection)
        .await?;
        rows.iter().map(stat).collect()
    }

    /// The issue's plan, if one is kept.
    pub async fn issue_plan(
        &self,
        run: &RunId,
        issue: IssueNumber,
    ) -> Result<Option<KeptPlan>, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let row = sqlx::query(
            "SELECT plan, attempt_id, round FROM issue_plans WHERE issue = $2 AND repo_key = \
             (SELECT repo_key FROM runs WHERE id = $1)",
        )
        .bind(run.as_str())
        .bind(number(issue.0))
        .fetch_optional(&mut *connection)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(KeptPlan {
            text: row.try_get(0)?,
            attempt: AttemptId::new(row.try_get::<String, _>(1)?),
            round: u32::try_from(count(&row, 2)?).unwrap_or(u32::MAX),
        }))
    }

    /// The rounds of an attempt that left something, the first first.
    pub async fn checkpoints(&self, attempt: &AttemptId) -> Result<Vec<Checkpoint>, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let rows = sqlx::query(
            "SELECT round, tier, ref, conversation, plan, findings, digest FROM checkpoints \
             WHERE attempt_id = $1 ORDER BY round",
        )
        .bind(attempt.as_str())
        .fetch_all(&mut *connection)
        .await?;
        rows.iter().map(checkpoint).collect()
    }

    /// Every answer that an attempt has bought, in the order of its calls.
    pub async fn bought(&self, attempt: &AttemptId) -> Result<Vec<Bought>, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let rows = sqlx::query(
            "SELECT p.call_id, p.digest, c.answer, c.tier FROM call_prompts p \
             JOIN calls c ON c.id = p.call_id \
             WHERE p.attempt_id = $1 AND c.answer IS NOT NULL \
             ORDER BY c.number",
        )
        .bind(attempt.as_str())
        .fetch_all(&mut *connection)
        .await?;
        rows.iter()
            .map(|row| {
                let answer: String = row.try_get(2)?;
                Ok(Bought {
                    call: CallId::new(row.try_get::<String, _>(0)?),
                    tier: tier_of(row, 3)?,
                    digest: row.try_get(1)?,
                    answer: serde_json::from_str(&answer)
                        .map_err(|why| StoreError::corrupt("answer", why))?,
                })
            })
            .collect()
    }
}

fn tier_of(row: &AnyRow, index: usize) -> Result<ModelTier, StoreError> {
    row.try_get::<String, _>(index)?
        .parse()
        .map_err(|why: String| StoreError::corrupt("tier in healing's memory", why))
}

fn count(row: &AnyRow, index: usize) -> Result<u64, StoreError> {
    Ok(row.try_get::<i64, _>(index)?.unsigned_abs())
}

fn stat(row: &AnyRow) -> Result<HealingStat, StoreError> {
    Ok(HealingStat {
        repository: row.try_get(0)?,
        kind: row.try_get(1)?,
        tier: tier_of(row, 2)?,
        what: row.try_get(3)?,
        detail: row.try_get(4)?,
        failures: count(row, 5)?,
        healed: count(row, 6)?,
        last_at: from_micros(row.try_get(7)?),
    })
}

fn checkpoint(row: &AnyRow) -> Result<Checkpoint, StoreError> {
    let findings: Option<i64> = row.try_get(5)?;
    Ok(Checkpoint {
        round: u32::try_from(count(row, 0)?).unwrap_or(u32::MAX),
        tier: tier_of(row, 1)?,
        name: row.try_get(2)?,
        conversation: row.try_get(3)?,
        plan: row.try_get(4)?,
        findings: findings.map(|it| u32::try_from(it).unwrap_or(u32::MAX)),
        digest: row.try_get(6)?,
    })
}

/// Takes a note down.
pub(super) async fn take(tx: &mut Tx, fence: &Fence, note: Note) -> Result<(), StoreError> {
    match note {
        Note::Failed { kind, tier, what, detail } => {
            failed(tx, fence, kind, tier, what, &detail).await
        }
        Note::Healed { kind, tier, what } => {
            sqlx::query(
                "UPDATE healing_memory SET healed = healed + 1 WHERE kind = $2 AND tier = $3 \
                 AND what = $4 AND repo_key = (SELECT repo_key FROM runs WHERE id = $1)",
            )
            .bind(fence.run.as_str())
            .bind(kind.as_str())
            .bind(tier.as_str())
            .bind(what)
            .execute(&mut tx.conn)
            .await?;
            Ok(())
        }
        Note::Plan { issue, attempt, round, tier, plan } => {
            let plan: String = tx.text(&plan).chars().take(PLAN).collect();
            sqlx::query(
                "INSERT INTO issue_plans (repo_key, issue, plan, attempt_id, round, tier, made_at) \
                 SELECT repo_key, $2, $3, $4, $5, $6, $7 FROM runs WHERE id = $1 \
                 ON CONFLICT (repo_key, issue) DO UPDATE SET plan = excluded.plan, \
                 attempt_id = excluded.attempt_id, round = excluded.round, \
                 tier = excluded.tier, made_at = excluded.made_at",
            )
            .bind(fence.run.as_str())
            .bind(number(issue.0))
            .bind(plan)
            .bind(attempt.as_str())
            .bind(i64::from(round))
            .bind(tier.as_str())
            .bind(tx.now)
            .execute(&mut tx.conn)
            .await?;
            Ok(())
        }
        Note::PlanDropped { issue } => {
            sqlx::query(
                "DELETE FROM issue_plans WHERE issue = $2 AND repo_key = \
                 (SELECT repo_key FROM runs WHERE id = $1)",
            )
            .bind(fence.run.as_str())
            .bind(number(issue.0))
            .execute(&mut tx.conn)
            .await?;
            Ok(())
        }
        Note::Checkpoint { attempt, issue, round, tier, name } => {
            sqlx::query(
                "INSERT INTO checkpoints (attempt_id, round, tier, ref, conversation, plan, made_at) \
                 SELECT $1, $2, $3, $4, COALESCE((SELECT p.digest FROM call_prompts p \
                 JOIN calls c ON c.id = p.call_id WHERE p.attempt_id = $1 \
                 ORDER BY c.number DESC LIMIT 1), ''), (SELECT plan FROM issue_plans \
                 WHERE issue = $5 AND issue_plans.repo_key = runs.repo_key), $6 \
                 FROM runs WHERE runs.id = $7 \
                 ON CONFLICT (attempt_id, round) DO UPDATE SET tier = excluded.tier, \
                 ref = excluded.ref, conversation = excluded.conversation, plan = excluded.plan, \
                 findings = NULL, digest = NULL, made_at = excluded.made_at",
            )
            .bind(attempt.as_str())
            .bind(i64::from(round))
            .bind(tier.as_str())
            .bind(name)
            .bind(number(issue.0))
            .bind(tx.now)
            .bind(fence.run.as_str())
            .execute(&mut tx.conn)
            .await?;
            Ok(())
        }
        Note::Judged { attempt, round, findings, digest } => {
            let digest = tx.text(&digest);
            sqlx::query(
                "UPDATE checkpoints SET findings = $1, digest = $2 \
                 WHERE attempt_id = $3 AND round = $4",
            )
            .bind(i64::from(findings))
            .bind(digest)
            .bind(attempt.as_str())
            .bind(i64::from(round))
            .execute(&mut tx.conn)
            .await?;
            Ok(())
        }
        Note::Asked { attempt, call, digest } => {
            sqlx::query(
                "INSERT INTO call_prompts (call_id, attempt_id, digest) VALUES ($1, $2, $3) \
                 ON CONFLICT (call_id) DO NOTHING",
            )
            .bind(call.as_str())
            .bind(attempt.as_str())
            .bind(digest)
            .execute(&mut tx.conn)
            .await?;
            Ok(())
        }
    }
}

async fn failed(
    tx: &mut Tx,
    fence: &Fence,
    kind: SequenceType,
    tier: ModelTier,
    what: String,
    detail: &str,
) -> Result<(), StoreError> {
    let detail: String = tx.text(detail).chars().take(DETAIL).collect();
    sqlx::query(
        "INSERT INTO healing_memory (repo_key, kind, tier, what, detail, failures, healed, \
         failed_at) SELECT repo_key, $2, $3, $4, $5, 1, 0, $6 FROM runs WHERE id = $1 \
         ON CONFLICT (repo_key, kind, tier, what) DO UPDATE SET detail = excluded.detail, \
         failures = healing_memory.failures + 1, failed_at = excluded.failed_at",
    )
    .bind(fence.run.as_str())
    .bind(kind.as_str())
    .bind(tier.as_str())
    .bind(what)
    .bind(detail)
    .bind(tx.now)
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}
