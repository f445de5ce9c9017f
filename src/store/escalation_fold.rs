//! Folds the ledger into the contract's `EscalationEvent`s: one for each attempt that was
//! escalated, fell back or failed; a plain success leaves none.
//!
//! The rows are the truth: nothing here is stored.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sqlx::AnyConnection;
use sqlx::Row as _;

use super::StoreError;
use super::rows::CallRow;
use crate::domain::ids::{IssueNumber, RunId};
use crate::domain::money::Usd;
use crate::domain::plan::ReasonCode;
use crate::domain::run::{IssueResult, IssueStatus, Run};
use crate::domain::time::from_micros;

/// The tier that every escalation is told from.
const DEFAULT_TIER: &str = "gpt-4";

struct Attempt {
    id: String,
    issue: IssueNumber,
    ended: bool,
    created_at: i64,
    finished_tier: Option<String>,
}

struct Admitted {
    id: String,
    tier: String,
    reason: String,
    tag: String,
    quota_remaining: i64,
    admitted_at: i64,
}

/// Each issue's events, oldest first.
pub(super) async fn of_run(
    connection: &mut AnyConnection,
    id: &RunId,
    run: &Run,
    calls: &[CallRow],
) -> Result<BTreeMap<IssueNumber, Vec<Value>>, StoreError> {
    let attempts = attempts(connection, id).await?;
    let admitted = admitted(connection, id).await?;
    let mut events: BTreeMap<IssueNumber, Vec<Value>> = BTreeMap::new();
    let mut latest = BTreeSet::new();
    // Newest first, so that the first seen of an issue is its latest, which its row speaks of.
    for attempt in attempts.iter().rev() {
        let result = run.issue_results.iter().find(|row| row.issue_number == attempt.issue);
        let is_latest = latest.insert(attempt.issue);
        let over = attempt.ended || result.is_some_and(|row| row.status.is_final());
        if !over {
            continue; // Written at its end.
        }
        let calls: Vec<&CallRow> =
            calls.iter().filter(|call| call.attempt.as_str() == attempt.id).collect();
        let failed = is_latest && result.is_some_and(builder_failed);
        let own = admitted.get(&attempt.id).map_or(&[][..], Vec::as_slice);
        let told = pieces(own, &calls, attempt.finished_tier.is_some());
        let last = told.len().saturating_sub(1);
        let told = told.into_iter().enumerate().filter_map(|(index, piece)| {
            // How the attempt ended says nothing about the pieces before its last.
            let outcome = (index == last).then_some(failed);
            event(run, attempt, &piece, outcome)
        });
        events.entry(attempt.issue).or_default().splice(0..0, told.collect::<Vec<_>>());
    }
    Ok(events)
}

/// Work at one selection of a tier: what was done before any admission, or for one of them.
struct Piece<'a> {
    escalation: Option<&'a Admitted>,
    calls: Vec<&'a CallRow>,
}

/// An attempt's pieces in order. An admission that nothing was sent for is no piece, unless a
/// local command finished the work (`finished`), which leaves no call.
fn pieces<'a>(admitted: &'a [Admitted], calls: &[&'a CallRow], finished: bool) -> Vec<Piece<'a>> {
    let of = |id: Option<&str>| -> Vec<&'a CallRow> {
        let belongs = |call: &&&CallRow| call.escalation.as_ref().map(|e| e.as_str()) == id;
        calls.iter().filter(belongs).copied().collect()
    };
    let mut pieces = vec![Piece { escalation: None, calls: of(None) }];
    pieces.extend(
        admitted.iter().map(|escalation| Piece {
            escalation: Some(escalation),
            calls: of(Some(&escalation.id)),
        }),
    );
    let last = pieces.len() - 1;
    let mut index = 0;
    pieces.retain(|piece| {
        let kept = !piece.calls.is_empty() || (finished && index == last);
        index += 1;
        kept
    });
    pieces
}

/// Whether the row says that the model's work came to nothing; what the gate refused was built.
fn builder_failed(row: &IssueResult) -> bool {
    row.status == IssueStatus::Failed
        && row.reason_code.is_some_and(|code| {
            matches!(
                code,
                ReasonCode::BuilderFailed
                    | ReasonCode::NoChange
                    | ReasonCode::ModelsExhausted
                    | ReasonCode::ProviderRefused
                    | ReasonCode::Internal
            )
        })
}

/// One piece as the contract shows it; `failed` is how the attempt ended, if this is its last.
fn event(
    run: &Run,
    attempt: &Attempt,
    Piece { escalation, calls }: &Piece<'_>,
    failed: Option<bool>,
) -> Option<Value> {
    let last = calls.last();
    let local = attempt.finished_tier.clone().filter(|_| failed.is_some());
    let finished = local.or_else(|| {
        last.filter(|call| call.answer.is_some()).map(|call| call.tier.as_str().to_owned())
    });
    let selected = escalation
        .map(|escalation| escalation.tier.clone())
        .or_else(|| calls.first().map(|call| call.tier.as_str().to_owned()))
        .or_else(|| finished.clone())?;
    let success = failed != Some(true) && finished.is_some();
    let fell_back = calls.iter().any(|call| call.tier.as_str() != selected)
        || finished.as_ref().is_some_and(|tier| *tier != selected);
    if escalation.is_none() && success && !fell_back {
        return None;
    }
    let actual = finished.filter(|_| success);
    let error =
        if success { None } else { calls.iter().rev().find_map(|call| call.error_message.clone()) };
    let cost: Usd = calls.iter().map(|call| call.cost).sum();
    let at = escalation.map_or(attempt.created_at, |escalation| escalation.admitted_at);
    let task = format!("{}/{}#{}", run.owner, run.repo, attempt.issue.0);
    let mut event = json!({
        "id": escalation.map_or(&attempt.id, |escalation| &escalation.id),
        "timestamp": from_micros(at),
        "taskId": task,
        "context": run.issue_results.iter().find(|row| row.issue_number == attempt.issue)
            .map_or("", |row| row.title.as_str()),
        "buildId": attempt.id,
        "sequenceId": run.id,
        "fromModel": DEFAULT_TIER,
        "toModel": selected,
        "reason": escalation.map(|escalation| &escalation.reason),
        "success": success,
        "fallbackUsed": fell_back,
        "actualModel": actual,
        "quotaRemaining": escalation.map(|escalation| escalation.quota_remaining),
        "costUsd": cost,
        "attempts": calls.iter().enumerate()
            .map(|(index, call)| upstream(index, call, calls.get(index + 1).is_some()))
            .collect::<Vec<_>>(),
    });
    if let Value::Object(map) = &mut event {
        if let Some(escalation) = escalation {
            map.insert("justification".to_owned(), json!(escalation.tag));
        }
        if let Some(error) = error {
            map.insert("errorMessage".to_owned(), json!(error));
        }
    }
    Some(event)
}

/// One upstream request as the contract shows it.
fn upstream(index: usize, call: &CallRow, another_follows: bool) -> Value {
    let success = call.answer.is_some();
    let mut value = json!({
        "attemptNumber": index + 1,
        "model": call.tier.as_str(),
        "modelId": call.model,
        "timestamp": call.created_at,
        "success": success,
        "tokens": call.usage.map_or(0, |usage| usage.total()),
        "costUsd": call.cost,
    });
    if let Value::Object(map) = &mut value
        && !success
    {
        if let Some(class) = call.error_class {
            map.insert("errorClass".to_owned(), json!(class.as_str()));
        }
        if let Some(message) = &call.error_message {
            map.insert("errorMessage".to_owned(), json!(message));
        }
        map.insert("retryScheduled".to_owned(), json!(another_follows));
    }
    value
}

async fn attempts(connection: &mut AnyConnection, id: &RunId) -> Result<Vec<Attempt>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, issue, ended, created_at, state FROM attempts WHERE run_id = $1 \
         ORDER BY issue, number",
    )
    .bind(id.as_str())
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let state: Value = serde_json::from_str(&row.try_get::<String, _>(4)?)
                .map_err(|why| StoreError::corrupt("state of an attempt", why))?;
            Ok(Attempt {
                id: row.try_get(0)?,
                issue: IssueNumber(row.try_get::<i64, _>(1)?.unsigned_abs()),
                ended: row.try_get::<i64, _>(2)? == 1,
                created_at: row.try_get(3)?,
                finished_tier: state["finishedTier"].as_str().map(str::to_owned),
            })
        })
        .collect()
}

/// The admissions of each attempt, oldest first.
async fn admitted(
    connection: &mut AnyConnection,
    id: &RunId,
) -> Result<BTreeMap<String, Vec<Admitted>>, StoreError> {
    let rows = sqlx::query(
        "SELECT attempt_id, id, tier, reason, tag, quota_remaining, admitted_at \
         FROM escalations WHERE run_id = $1 ORDER BY admitted_at, id",
    )
    .bind(id.as_str())
    .fetch_all(connection)
    .await?;
    let mut all: BTreeMap<String, Vec<Admitted>> = BTreeMap::new();
    for row in rows {
        all.entry(row.try_get(0)?).or_default().push(Admitted {
            id: row.try_get(1)?,
            tier: row.try_get(2)?,
            reason: row.try_get(3)?,
            tag: row.try_get(4)?,
            quota_remaining: row.try_get(5)?,
            admitted_at: row.try_get(6)?,
        });
    }
    Ok(all)
}
