//! What happens now, and why an issue stands as it does: the one answer behind the routes, `foreman
//! status` and `foreman why`.
//!
//! Folds of stored facts; asks neither GitHub nor any model, and changes nothing.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use super::report;
use crate::domain::ids::{IssueNumber, RepoName, RunId};
use crate::domain::money::Usd;
use crate::domain::plan::ReasonCode;
use crate::domain::run::{IssueResult, IssueStatus, Run, RunStatus};
use crate::store::{EventQuery, RunFilter, Store, StoreError};

/// Nights that are looked through for an issue.
const NIGHTS: u32 = 50;

/// One issue that is being worked on.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Doing {
    pub run_id: RunId,
    pub owner: String,
    pub repo: String,
    pub issue_number: IssueNumber,
    pub title: String,
    pub step: Option<String>,
    /// When this step began.
    pub since: Option<DateTime<Utc>>,
    /// How long it has been going on.
    pub seconds: Option<i64>,
    pub cost_usd: Usd,
}

/// What is worked on in these runs.
pub async fn doing(
    store: &Store,
    active: &[Run],
    now: DateTime<Utc>,
) -> Result<Vec<Doing>, StoreError> {
    let mut found = Vec::new();
    for run in active {
        for row in run.issue_results.iter().filter(|row| row.status == IssueStatus::Running) {
            let since = last_event(store, &run.id, row.issue_number).await?;
            found.push(Doing {
                run_id: run.id.clone(),
                owner: run.owner.clone(),
                repo: run.repo.clone(),
                issue_number: row.issue_number,
                title: row.title.clone(),
                step: row.step.clone(),
                since,
                seconds: since.map(|since| (now - since).num_seconds().max(0)),
                cost_usd: row.cost_usd,
            });
        }
    }
    Ok(found)
}

/// Each step's end is an event, so that the last one is the beginning of what goes on now.
async fn last_event(
    store: &Store,
    run: &RunId,
    issue: IssueNumber,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let query = EventQuery {
        runs: vec![run.clone()],
        issues: vec![issue],
        limit: 1,
        ..EventQuery::default()
    };
    Ok(store.events(query).await?.first().map(|event| event.timestamp))
}

/// Why an issue stands as it does.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Why {
    pub owner: String,
    pub repo: String,
    pub issue_number: IssueNumber,
    /// `unseen`, `waiting`, `running`, `proposed`, `passed`, `failed` or `skipped`.
    pub state: &'static str,
    /// One sentence.
    pub answer: String,
    /// What would change that.
    pub what_to_do: String,
    pub reason_code: Option<ReasonCode>,
    pub run_id: Option<RunId>,
    pub run_status: Option<RunStatus>,
    /// When that night began.
    pub night: Option<DateTime<Utc>>,
    pub title: Option<String>,
    pub step: Option<String>,
    pub since: Option<DateTime<Utc>>,
    pub pr_url: Option<String>,
    pub cost_usd: Usd,
    /// The checks that kept it from being published, with their logs.
    pub failed_checks: Value,
}

/// The newest night that has the issue, and what it says of it.
pub async fn why(store: &Store, repo: &RepoName, issue: IssueNumber) -> Result<Why, StoreError> {
    let filter = RunFilter {
        owner: Some(repo.owner().to_owned()),
        repo: Some(repo.name().to_owned()),
        limit: NIGHTS,
        ..RunFilter::default()
    };
    let (runs, _) = store.runs(filter).await?;
    for run in &runs {
        if let Some(row) = run.issue_results.iter().find(|row| row.issue_number == issue) {
            let since = last_event(store, &run.id, issue).await?;
            return Ok(of_row(run, row, since));
        }
    }
    Ok(unseen(repo, issue, runs.first()))
}

fn unseen(repo: &RepoName, issue: IssueNumber, latest: Option<&Run>) -> Why {
    let answer = match latest {
        None => format!("No night has run for {repo}."),
        Some(run) if run.issue_results.is_empty() => {
            let why = run.errors.first().map_or_else(String::new, |error| format!(": {error}"));
            format!("The last night ({}) has no plan{why}.", run.status)
        }
        Some(_) => format!(
            "No night has seen {issue}: it is closed, a pull request, or was opened since the last night."
        ),
    };
    Why {
        owner: repo.owner().to_owned(),
        repo: repo.name().to_owned(),
        issue_number: issue,
        state: "unseen",
        answer,
        what_to_do: format!("`foreman plan {repo}` shows what the next night would do."),
        reason_code: None,
        run_id: latest.map(|run| run.id.clone()),
        run_status: latest.map(|run| run.status),
        night: latest.map(|run| run.start_time),
        title: None,
        step: None,
        since: None,
        pr_url: None,
        cost_usd: Usd::ZERO,
        failed_checks: json!([]),
    }
}

fn of_row(run: &Run, row: &IssueResult, since: Option<DateTime<Utc>>) -> Why {
    let number = row.issue_number;
    let reason = row.reason.clone().unwrap_or_else(|| "no reason was stored".to_owned());
    let waits = run.waits_for().filter(|_| !row.status.is_final());
    let (state, answer) = match row.status {
        IssueStatus::Pending | IssueStatus::Running if waits.is_some() => {
            ("waiting", format!("{number} waits. {}.", waits.unwrap_or_default()))
        }
        IssueStatus::Pending if run.status.is_active() => {
            ("waiting", format!("{number} waits for its turn in the night that runs."))
        }
        IssueStatus::Pending => {
            ("waiting", format!("{number} was not begun when its night ended ({}).", run.status))
        }
        IssueStatus::Running => {
            let step = row.step.as_deref().unwrap_or("under way");
            ("running", format!("{number} is being worked on: {step}."))
        }
        IssueStatus::Success => match &row.pr_url {
            Some(url) => ("proposed", format!("{number} has the pull request {url}.")),
            None => ("passed", format!("{number} passed every check; nothing was published.")),
        },
        IssueStatus::Failed => ("failed", format!("{number} failed: {reason}.")),
        IssueStatus::Skipped => ("skipped", format!("{number} was skipped: {reason}.")),
    };
    let advice = match (row.status, row.reason_code) {
        (IssueStatus::Success, _) if row.pr_url.is_some() => "Review it: merge or close it.",
        (IssueStatus::Success, _) => {
            "Nothing was published because `createPRsAutomatically` was false."
        }
        _ if waits.is_some() => {
            "Set the key anew and start Foreman again: it goes on where it was."
        }
        (IssueStatus::Running, _) => "`foreman watch` follows it.",
        (IssueStatus::Pending, _) => "Wait for its turn, or start another night.",
        (IssueStatus::Failed | IssueStatus::Skipped, Some(code)) => code.advice(),
        (IssueStatus::Failed | IssueStatus::Skipped, None) => "Read the log of that run.",
    };
    Why {
        owner: run.owner.clone(),
        repo: run.repo.clone(),
        issue_number: number,
        state,
        answer,
        what_to_do: advice.to_owned(),
        reason_code: row.reason_code,
        run_id: Some(run.id.clone()),
        run_status: Some(run.status),
        night: Some(run.start_time),
        title: Some(row.title.clone()),
        step: row.step.clone(),
        since,
        pr_url: row.pr_url.clone(),
        cost_usd: row.cost_usd,
        failed_checks: report::failed_checks(row),
    }
}
