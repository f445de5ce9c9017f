//! What waits for a person, what is listed for review, and what a person decided, by whom and
//! until when.
//!
//! Never lets anything pass itself: an approval or an override is a fact the rails read.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::changes::Fence;
use super::money::Admission;
use super::tx::{Tx, number};
use super::{Store, StoreError};
use crate::domain::event::{EventType, NewEvent, Severity};
use crate::domain::ids::{IssueNumber, RepoName};
use crate::domain::time::{from_micros, to_micros};
use crate::escalation::{Justification, RailRefusal};

/// The longest an admin's override holds.
pub const LONGEST_OVERRIDE: TimeDelta = TimeDelta::hours(24);
/// Rows of one list.
const LONGEST_LIST: i64 = 1_000;

/// A request, a listed review or an override, as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalRow {
    pub id: String,
    /// `approval`, `review` or `override`.
    pub kind: String,
    /// `pending_approval`, `listed`, `approved` or `rejected`.
    pub status: String,
    /// `owner/name`.
    pub repository: String,
    pub run_id: Option<String>,
    pub issue_number: Option<IssueNumber>,
    pub tier: Option<String>,
    pub reason: Option<String>,
    pub justification: Option<String>,
    /// Why it waits, or the override's reason.
    pub why: String,
    pub requested_at: DateTime<Utc>,
    pub decided_by: Option<String>,
    pub decided_at: Option<DateTime<Utc>>,
    /// What the person gave as reason.
    pub decision: Option<String>,
    pub valid_until: Option<DateTime<Utc>>,
}

/// A person's word on a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub id: String,
    pub approve: bool,
    pub by: String,
    /// Whether whoever decides may grant overrides: only such a person may take one back.
    pub admin: bool,
    pub reason: String,
    pub until: DateTime<Utc>,
}

/// What came of a [`Decision`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decided {
    Done(Box<ApprovalRow>),
    /// No request has this id.
    Unknown,
    /// An override is not prolonged by deciding on it, and taken back by an admin alone.
    IsOverride,
}

/// An admin's exemption of a repository, or of one of its issues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    pub repo: RepoName,
    pub issue: Option<IssueNumber>,
    pub by: String,
    pub reason: String,
    /// Cut to 24 hours from now.
    pub until: DateTime<Utc>,
}

/// The columns that [`row`] reads, in its order.
macro_rules! select_approvals {
    ($rest:literal) => {
        concat!(
            "SELECT id, kind, status, repo, run_id, issue, tier, reason, tag, why, requested_at, ",
            "decided_by, decided_at, decision, valid_until FROM approvals ",
            $rest
        )
    };
}

impl Store {
    /// What waits first, then the newest; `None` is all of them.
    pub async fn approvals(&self, status: Option<&str>) -> Result<Vec<ApprovalRow>, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let rows = sqlx::query(select_approvals!(
            "WHERE ($1 IS NULL OR status = $1) \
             ORDER BY CASE status WHEN 'pending_approval' THEN 0 WHEN 'listed' THEN 1 ELSE 2 END, \
             requested_at DESC, id LIMIT $2"
        ))
        .bind(status.map(str::to_owned))
        .bind(LONGEST_LIST)
        .fetch_all(&mut *connection)
        .await?;
        rows.iter().map(row).collect()
    }

    /// Stores a person's word. Deciding again replaces it.
    pub async fn decide_approval(&self, decision: Decision) -> Result<Decided, StoreError> {
        self.write(move |tx| Box::pin(async move { decide(tx, decision).await })).await
    }

    /// Exempts work from count limits and throttling, for at most 24 hours. Money stays bounded.
    pub async fn override_rails(&self, ask: Override) -> Result<ApprovalRow, StoreError> {
        self.write(move |tx| Box::pin(async move { overrule(tx, ask).await })).await
    }
}

async fn decide(tx: &mut Tx, decision: Decision) -> Result<Decided, StoreError> {
    let Decision { id, approve, by, admin, reason, until } = decision;
    match find(tx, &id).await? {
        None => return Ok(Decided::Unknown),
        Some(found) if found.kind == "override" && (approve || !admin) => {
            return Ok(Decided::IsOverride);
        }
        Some(_) => {}
    }
    let status = if approve { "approved" } else { "rejected" };
    let (by, reason) = (tx.text(&by), tx.text(&reason));
    sqlx::query(
        "UPDATE approvals SET status = $1, decided_by = $2, decided_at = $3, decision = $4, \
         valid_until = $5 WHERE id = $6",
    )
    .bind(status)
    .bind(by.clone())
    .bind(tx.now)
    .bind(reason.clone())
    .bind(approve.then(|| to_micros(until)))
    .bind(id.clone())
    .execute(&mut tx.conn)
    .await?;
    let Some(found) = find(tx, &id).await? else { return Ok(Decided::Unknown) };
    let event = NewEvent::new(
        EventType::EscalationDecided,
        format!("{by} {status} the escalation of {}", subject(&found)),
    )
    .with("approvalId", id)
    .with("by", by)
    .with("reason", reason)
    .with("validUntil", serde_json::json!(found.valid_until));
    tx.emit(event).await?;
    Ok(Decided::Done(Box::new(found)))
}

async fn overrule(tx: &mut Tx, ask: Override) -> Result<ApprovalRow, StoreError> {
    let Override { repo, issue, by, reason, until } = ask;
    let (by, reason) = (tx.text(&by), tx.text(&reason));
    let id = uuid::Uuid::now_v7().to_string();
    let longest = to_micros(from_micros(tx.now) + LONGEST_OVERRIDE);
    sqlx::query(
        "INSERT INTO approvals (id, kind, status, repo_key, repo, issue, why, requested_at, \
         decided_by, decided_at, decision, valid_until) \
         VALUES ($1, 'override', 'approved', $2, $3, $4, $5, $6, $7, $6, $5, $8)",
    )
    .bind(id.clone())
    .bind(repo.key())
    .bind(repo.to_string())
    .bind(issue.map(|issue| number(issue.0)))
    .bind(reason.clone())
    .bind(tx.now)
    .bind(by.clone())
    .bind(to_micros(until).min(longest))
    .execute(&mut tx.conn)
    .await?;
    let found = find(tx, &id).await?;
    let found = found.ok_or_else(|| StoreError::corrupt("override", "it is not there"))?;
    let text = format!("{by} exempted {} from escalation limits: {reason}", subject(&found));
    let event = NewEvent::new(EventType::EscalationOverride, text)
        .severity(Severity::High)
        .with("approvalId", id)
        .with("by", by)
        .with("reason", reason)
        .with("validUntil", serde_json::json!(found.valid_until));
    tx.emit(event).await?;
    Ok(found)
}

fn subject(row: &ApprovalRow) -> String {
    row.issue_number.map_or_else(|| row.repository.clone(), |n| format!("{}{n}", row.repository))
}

async fn find(tx: &mut Tx, id: &str) -> Result<Option<ApprovalRow>, StoreError> {
    let found = sqlx::query(select_approvals!("WHERE id = $1"))
        .bind(id.to_owned())
        .fetch_optional(&mut tx.conn)
        .await?;
    found.as_ref().map(row).transpose()
}

/// An escalation that passed and is to be looked at.
pub(super) async fn list_for_review(
    tx: &mut Tx,
    fence: &Fence,
    ask: &Admission,
) -> Result<(), StoreError> {
    let why = "passed; listed for review";
    write(tx, fence, ask, (ask.id.as_str().to_owned(), "review", "listed", why.to_owned())).await
}

/// Records a request that waits for a person; says whether it is a new one. The same work asking
/// again is the same request, and one that a person rejected stays rejected.
pub(super) async fn ask(
    tx: &mut Tx,
    fence: &Fence,
    ask: &Admission,
    refusal: RailRefusal,
) -> Result<bool, StoreError> {
    let tag = ask.tag.map_or("", Justification::as_str);
    let row = sqlx::query("SELECT repo_key FROM runs WHERE id = $1")
        .bind(fence.run.as_str())
        .fetch_one(&mut tx.conn)
        .await?;
    let id = format!("{}{}:{tag}", row.try_get::<String, _>(0)?, ask.issue);
    let known = find(tx, &id).await?;
    if known.is_some_and(|known| known.status != "approved") {
        return Ok(false);
    }
    write(tx, fence, ask, (id.clone(), "approval", "pending_approval", refusal.to_string()))
        .await?;
    let text = format!("{} may not use {} yet: {refusal}", ask.issue, ask.tier);
    let event = NewEvent::new(EventType::EscalationPendingApproval, text)
        .severity(Severity::Medium)
        .run(&fence.run)
        .issue(ask.issue)
        .with("approvalId", id)
        .with("code", refusal.code())
        .with("justification", tag);
    tx.emit(event).await?;
    Ok(true)
}

async fn write(
    tx: &mut Tx,
    fence: &Fence,
    ask: &Admission,
    (id, kind, status, why): (String, &'static str, &'static str, String),
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO approvals (id, kind, status, repo_key, repo, run_id, issue, tier, reason, \
         tag, why, requested_at) \
         SELECT $1, $2, $3, repo_key, repo_owner || '/' || repo_name, id, $4, $5, $6, $7, $8, $9 \
         FROM runs WHERE id = $10 \
         ON CONFLICT (id) DO UPDATE SET status = excluded.status, run_id = excluded.run_id, \
         tier = excluded.tier, reason = excluded.reason, why = excluded.why, \
         requested_at = excluded.requested_at, decided_by = NULL, decided_at = NULL, \
         decision = NULL, valid_until = NULL",
    )
    .bind(id)
    .bind(kind)
    .bind(status)
    .bind(number(ask.issue.0))
    .bind(ask.tier.as_str())
    .bind(ask.reason.clone())
    .bind(ask.tag.map(Justification::as_str))
    .bind(why)
    .bind(tx.now)
    .bind(fence.run.as_str())
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}

fn row(row: &AnyRow) -> Result<ApprovalRow, StoreError> {
    let issue: Option<i64> = row.try_get(5)?;
    let time = |index: usize| -> Result<Option<DateTime<Utc>>, StoreError> {
        Ok(row.try_get::<Option<i64>, _>(index)?.map(from_micros))
    };
    Ok(ApprovalRow {
        id: row.try_get(0)?,
        kind: row.try_get(1)?,
        status: row.try_get(2)?,
        repository: row.try_get(3)?,
        run_id: row.try_get(4)?,
        issue_number: issue.map(|number| IssueNumber(number.unsigned_abs())),
        tier: row.try_get(6)?,
        reason: row.try_get(7)?,
        justification: row.try_get(8)?,
        why: row.try_get(9)?,
        requested_at: from_micros(row.try_get(10)?),
        decided_by: row.try_get(11)?,
        decided_at: time(12)?,
        decision: row.try_get(13)?,
        valid_until: time(14)?,
    })
}
