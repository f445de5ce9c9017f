//! The logs behind a night's checks, opened by their hash.
//!
//! A log belongs to a night where one of its checks, on the base or on a change, names it, in the
//! last round or, by the round's event, in an earlier one. Reads
//! only; what is given out goes through the redactor once more.

use serde::Deserialize;
use serde_json::{Value, json};

use super::Overnight;
use super::rows::Notes;
use crate::domain::event::{EventType, GovernanceEvent, NewEvent};
use crate::domain::evidence::{Check, QaSummary};
use crate::domain::ids::{IssueNumber, RunId};
use crate::domain::run::Run;
use crate::gate::{GateError, Logs};
use crate::store::{EventQuery, Store, StoreError};

/// Events read at a time.
const PAGE: u32 = 1_000;

/// Why a log was not given.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    #[error("there is no run `{0}`")]
    UnknownRun(RunId),
    #[error("no check of this run has the log `{0}`")]
    NotOfThisRun(String),
    #[error("the log {0} is gone, or no longer what was written")]
    Gone(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Gate(#[from] GateError),
}

/// A check's log, for a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRef {
    /// `None` is the base.
    pub issue: Option<IssueNumber>,
    pub name: String,
    pub command: String,
    pub outcome: String,
    pub sha256: String,
}

/// The logs that a run's rows name.
#[must_use]
pub fn logs_of(run: &Run) -> Vec<LogRef> {
    let mut named = Vec::new();
    for row in &run.issue_results {
        for check in row.qa_results.iter().flat_map(|qa| &qa.checks) {
            named.extend(check.log_sha256.as_ref().map(|sha256| LogRef {
                issue: Some(row.issue_number),
                name: check.name.clone(),
                command: check.command.clone().unwrap_or_default(),
                outcome: check.outcome.as_str().to_owned(),
                sha256: sha256.clone(),
            }));
        }
    }
    named
}

/// The logs of the bases that a night judged, from its notes.
fn logs_of_bases(notes: &Value) -> Vec<String> {
    let Ok(notes) = Notes::deserialize(notes) else { return Vec::new() };
    notes
        .bases
        .values()
        .flat_map(|base| base.results.iter().map(|result| result.log_sha256.clone()))
        .collect()
}

/// Where a round's `gate_judged` event names the logs that the gate went by.
const LOGS: &str = "logs";

/// The logs of one judgement, for its event.
pub(super) fn logs_in(qa: &QaSummary) -> Value {
    let of = |check: &Check| {
        let sha256 = check.log_sha256.as_ref()?;
        Some(json!({"name": check.name, "outcome": check.outcome, "logSha256": sha256}))
    };
    qa.checks.iter().filter_map(of).collect()
}

/// Puts them into the event that tells of the judgement.
pub(super) fn name_logs(said: &mut [NewEvent], round: u32, logs: Value) {
    if let Some(event) = said.iter_mut().find(|event| event.kind == EventType::GateJudged) {
        event.metadata.insert("round".to_owned(), round.into());
        event.metadata.insert(LOGS.to_owned(), logs);
    }
}

/// Whether an event of the run, of whichever round, names the log.
async fn of_a_round(store: &Store, run: &RunId, sha256: &str) -> Result<bool, StoreError> {
    let mut query = EventQuery {
        types: vec![EventType::GateJudged],
        runs: vec![run.clone()],
        limit: PAGE,
        ..EventQuery::default()
    };
    loop {
        let events = store.events(query.clone()).await?;
        let names = |event: &GovernanceEvent| {
            let logs = event.metadata.get(LOGS).and_then(Value::as_array);
            logs.into_iter().flatten().any(|log| log["logSha256"] == sha256)
        };
        if events.iter().any(names) {
            return Ok(true);
        }
        match events.last() {
            Some(last) if events.len() == PAGE as usize => query.before_seq = Some(last.seq),
            Some(_) | None => return Ok(false),
        }
    }
}

/// A log of a run.
pub async fn read_log(
    store: &Store,
    logs: &Logs,
    run: &RunId,
    sha256: &str,
) -> Result<String, EvidenceError> {
    let Some(night) = store.night(run).await? else {
        return Err(EvidenceError::UnknownRun(run.clone()));
    };
    let of_base = logs_of_bases(&night.notes).iter().any(|known| known == sha256);
    let named = of_base
        || match store.run(run).await? {
            Some(run) => logs_of(&run).iter().any(|known| known.sha256 == sha256),
            None => false,
        }
        || of_a_round(store, run, sha256).await?;
    let shown: String = sha256.chars().take(64).filter(char::is_ascii_alphanumeric).collect();
    if !named {
        return Err(EvidenceError::NotOfThisRun(shown));
    }
    logs.show(sha256).await?.ok_or(EvidenceError::Gone(shown))
}

impl Overnight {
    /// A log of a run, by its hash.
    pub async fn log(&self, run: &RunId, sha256: &str) -> Result<String, EvidenceError> {
        let parts = &self.0.parts;
        read_log(&parts.store, parts.gate.logs(), run, sha256).await
    }
}
