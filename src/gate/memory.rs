//! Memory fabric: this attempt's records were written and read back, the event chain holds, and the
//! signed checkpoints load.
//!
//! The chain is read from where the last candidate's check left off: a log that grows all its life
//! is not read from its beginning for each. `GET …/governance/verify` reads all of it.

use std::sync::{Mutex, PoisonError};

use super::error::GateError;
use super::finding::check;
use super::keep::Logs;
use crate::domain::event::EventType;
use crate::domain::evidence::{Check, CheckOutcome, Dimension};
use crate::domain::ids::{AttemptId, IssueNumber};
use crate::store::{ChainReport, EventQuery, Fence, Store, StoreError, Verified};

/// How far the event chain was found good, by all who judge with one gate.
#[derive(Debug, Default)]
pub(super) struct ChainMark(Mutex<Verified>);

impl ChainMark {
    async fn verify(&self, store: &Store) -> Result<ChainReport, GateError> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (report, reached) = store.verify_chain_after(&known).await?;
        if let Some(reached) = reached {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = reached;
        }
        Ok(report)
    }
}

/// Reads the attempt and the chain back from the store.
pub(super) async fn records(
    store: &Store,
    mark: &ChainMark,
    fence: &Fence,
    issue: IssueNumber,
    attempt: &AttemptId,
) -> Result<Vec<Check>, GateError> {
    let wrong = match store.attempt(&fence.run, issue).await? {
        None => Some(format!("no attempt for {issue} can be read back")),
        Some(row) if row.id != *attempt => {
            Some(format!("the latest attempt for {issue} is {}, not {attempt}", row.id))
        }
        Some(row) if row.epoch > fence.epoch => {
            Some(format!("the attempt {attempt} was taken over by another owner"))
        }
        Some(_) => None,
    };
    let attempt_check = one("attempt_read_back", wrong);
    let report = mark.verify(store).await?;
    let wrong = match (report.ok, report.first_bad) {
        (true, _) => None,
        (false, Some(bad)) => {
            Some(format!("the event chain breaks at event {}: {}", bad.seq, bad.reason))
        }
        (false, None) => Some("the event chain does not verify".to_owned()),
    };
    let checkpoints = one("checkpoints_load", checkpoints(store).await?);
    Ok(vec![attempt_check, one("event_chain", wrong), checkpoints])
}

/// What is wrong with the signed checkpoints: they cannot be read, or the log no longer holds what
/// the newest was made of. Whether the signatures are ours is `verify`'s business.
async fn checkpoints(store: &Store) -> Result<Option<String>, GateError> {
    let heads = match store.signed_heads().await {
        Ok(heads) => heads,
        Err(error @ StoreError::Corrupt { .. }) => {
            return Ok(Some(format!("the checkpoints cannot be loaded: {error}")));
        }
        Err(error) => return Err(error.into()),
    };
    let Some(newest) = heads.last() else { return Ok(None) };
    let query = EventQuery {
        after_seq: Some(newest.seq - 1),
        limit: 1,
        ascending: true,
        ..EventQuery::default()
    };
    let there = store.events(query).await?.into_iter().find(|event| event.seq == newest.seq);
    let wrong = match there {
        Some(event) if event.hash == newest.hash => None,
        Some(_) => Some(format!("the log's event {} is not the checkpoint's", newest.seq)),
        // Taken out by a retention of its own, which the chain's check goes by.
        None if store.retentions().await?.iter().any(|it| it.seq >= newest.seq) => None,
        None => Some(format!("the checkpoint's event {} is not in the log", newest.seq)),
    };
    Ok(wrong)
}

/// Every log that a check names is there and still hashes to its name.
pub(super) async fn logs_whole(logs: &Logs, checks: &[Check]) -> Result<Check, GateError> {
    let mut lost = Vec::new();
    for named in checks.iter().filter_map(|check| check.log_sha256.as_ref()) {
        if logs.read(named).await?.is_none() {
            lost.push(format!("the log {named} is gone or altered"));
        }
    }
    let outcome = if lost.is_empty() { CheckOutcome::Passed } else { CheckOutcome::Failed };
    Ok(check(Dimension::Qiel, "logs_whole", outcome, lost))
}

/// How many escalations of an issue stand in the log.
pub(super) async fn escalations(
    store: &Store,
    fence: &Fence,
    issue: IssueNumber,
) -> Result<u64, GateError> {
    let query = EventQuery {
        types: vec![EventType::ModelEscalation],
        runs: vec![fence.run.clone()],
        limit: 1000,
        ..EventQuery::default()
    };
    let events = store.events(query).await?;
    Ok(events.iter().filter(|event| event.issue == Some(issue)).count() as u64)
}

fn one(name: &str, wrong: Option<String>) -> Check {
    let outcome = if wrong.is_none() { CheckOutcome::Passed } else { CheckOutcome::Failed };
    check(Dimension::MemoryFabric, name, outcome, wrong.into_iter().collect())
}
