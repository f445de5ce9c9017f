//! How nights end, and how rows end that nobody works on: finished, halted, failed, cancelled.
//!
//! Each ending is one commit: rows, status and events together.

use super::context::{Context, EngineError, log};
use super::describe;
use super::labels;
use super::planning;
use super::rows::mark_skipped;
use super::settings::Parts;
use crate::domain::event::{EventType, NewEvent, Severity};
use crate::domain::ids::{IssueNumber, RepoName, RunId};
use crate::domain::plan::{ReasonCode, Skip};
use crate::domain::run::{IssueResult, IssueStatus, NightRequest, RunStatus, final_status};
use crate::github::intake::{LabelWord, People};
use crate::store::{Change, Fence, StoreError};

/// May be worked on although the base is red.
const REPAIR_BASE_LABEL: &str = "foreman:repair-base";

/// How a night's work ended.
pub(super) enum Ended {
    /// Everything was looked at.
    Through,
    /// A ceiling was reached, or the base is red: why.
    Halted(String),
    /// Nothing could be done: why.
    Failed(String),
}

/// Ends rows as skipped, each with its event.
pub(super) async fn skip_all(
    context: &Context<'_>,
    numbers: impl IntoIterator<Item = IssueNumber>,
    skip: &Skip,
) -> Result<(), EngineError> {
    let mut changes = Vec::new();
    let mut rows = Vec::new();
    for number in numbers {
        let Some(mut row) = context.board().row(number).cloned() else { continue };
        mark_skipped(&mut row, skip);
        changes.push(Change::IssueRow(row.clone()));
        changes.push(Change::Event(describe::skipped(&context.fence.run, &row)));
        rows.push(row);
    }
    if !changes.is_empty() {
        context.commit(changes).await?;
    }
    rows.into_iter().for_each(|row| context.board().put(row));
    Ok(())
}

/// On a red base only what repairs it may be worked on, where someone with write access says so.
pub(super) async fn skip_for_red_base(context: &Context<'_>, why: &str) -> Result<(), EngineError> {
    let candidates: Vec<(IssueNumber, bool)> = {
        let board = context.board();
        board
            .unfinished()
            .into_iter()
            .map(|number| {
                let labelled = board
                    .issue(number)
                    .is_some_and(|issue| planning::has_label(issue, REPAIR_BASE_LABEL));
                (number, labelled)
            })
            .collect()
    };
    let mut rest = Vec::new();
    for (number, labelled) in candidates {
        if !(labelled && set_with_write_access(context, number).await) {
            rest.push(number);
        }
    }
    skip_all(context, rest, &Skip::new(ReasonCode::BaseRed, why)).await
}

async fn set_with_write_access(context: &Context<'_>, number: IssueNumber) -> bool {
    let mut people = People::new(&context.github, &context.request.repo);
    matches!(people.label(number, REPAIR_BASE_LABEL).await, Ok(LabelWord::Counts { .. }))
}

pub(super) async fn finish(context: &Context<'_>, ended: Ended) -> Result<(), EngineError> {
    context.parts.failpoints.hit("run.ending");
    let rows = context.board().rows();
    let (status, errors, kind, severity) = match ended {
        Ended::Through => (
            final_status(&rows),
            Vec::new(),
            EventType::OvernightExecutionCompleted,
            Severity::Info,
        ),
        Ended::Halted(why) => {
            (RunStatus::Halted, vec![why], EventType::OvernightExecutionHalted, Severity::High)
        }
        Ended::Failed(why) => {
            (RunStatus::Failed, vec![why], EventType::OvernightExecutionFailed, Severity::High)
        }
    };
    if let (RunStatus::Failed, Some(why)) = (status, errors.first()) {
        let rest = context.board().unfinished();
        skip_all(context, rest, &Skip::new(ReasonCode::Internal, why.clone())).await?;
    }
    let rows = context.board().rows();
    let event = context
        .event(kind, describe::night_summary(&context.request.repo, status, &rows, &errors))
        .severity(severity)
        .with("status", status.as_str())
        .with("successfulIssues", describe::count(&rows, IssueStatus::Success))
        .with("failedIssues", describe::count(&rows, IssueStatus::Failed))
        .with("skippedIssues", describe::count(&rows, IssueStatus::Skipped));
    context.commit(vec![Change::RunStatus { status, errors }, Change::Event(event)]).await?;
    Ok(())
}

/// The night cannot go on: its open rows and itself end with the reason.
pub(super) async fn end_on(parts: &Parts, fence: &Fence, why: &str) -> Result<(), EngineError> {
    let Some(run) = parts.store.run(&fence.run).await? else { return Ok(()) };
    // Calls nobody will hear of any more must not look as if they were still under way.
    parts.store.recover_calls(fence).await?;
    let skip = Skip::new(ReasonCode::Internal, why);
    let mut changes = end_open_rows(&fence.run, run.issue_results, &skip);
    let text = format!("Night for {}/{} failed: {why}", run.owner, run.repo);
    let event = NewEvent::new(EventType::OvernightExecutionFailed, text)
        .severity(Severity::High)
        .run(&fence.run);
    changes.push(Change::Event(event));
    let errors = vec![why.to_owned()];
    changes.push(Change::RunStatus { status: RunStatus::Failed, errors });
    log(&parts.store.apply(fence, changes).await?);
    Ok(())
}

/// Another version of Foreman left what this one cannot read: the night ends, and says so.
pub(super) async fn unreadable(parts: &Parts, fence: &Fence, why: &str) -> Result<(), EngineError> {
    parts.store.recover_calls(fence).await?;
    let why = format!(
        "another version of Foreman left this night, and it cannot be gone on with ({why}); start another, which finds the branches and pull requests that are there"
    );
    // What of it can be read is ended too.
    let rows = match parts.store.run(&fence.run).await {
        Ok(run) => run.map(|run| run.issue_results).unwrap_or_default(),
        Err(StoreError::Corrupt { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let mut changes = end_open_rows(&fence.run, rows, &Skip::new(ReasonCode::Cancelled, &why));
    let text = format!("Night {} cancelled: {why}", fence.run);
    let event = NewEvent::new(EventType::OvernightExecutionCancelled, text)
        .severity(Severity::High)
        .run(&fence.run);
    changes.push(Change::Event(event));
    changes.push(Change::RunStatus { status: RunStatus::Cancelled, errors: vec![why] });
    log(&parts.store.apply(fence, changes).await?);
    Ok(())
}

/// A key is no longer taken: the night stays as it is until there is another and Foreman starts
/// again.
pub(super) async fn paused(
    parts: &Parts,
    fence: &Fence,
    repo: &RepoName,
    why: &str,
) -> Result<(), EngineError> {
    let said = format!(
        "The night for {repo} is paused: {why}. Then start Foreman again: it goes on where it was. `foreman cancel {}` ends it instead",
        fence.run
    );
    let event = NewEvent::new(EventType::OvernightExecutionPaused, said.as_str())
        .severity(Severity::High)
        .run(&fence.run)
        .with("owner", repo.owner())
        .with("repo", repo.name());
    let waiting = Change::RunStatus { status: RunStatus::Running, errors: vec![said] };
    log(&parts.store.apply(fence, vec![waiting, Change::Event(event)]).await?);
    Ok(())
}

/// The changes that end rows nobody will work on any more.
fn end_open_rows(run: &RunId, rows: Vec<IssueResult>, skip: &Skip) -> Vec<Change> {
    let mut changes = Vec::new();
    for mut row in rows {
        if row.status.is_final() {
            continue;
        }
        // Its pull request is there: only the comment is missing.
        if row.pr_url.is_some() {
            row.status = IssueStatus::Success;
            row.step = None;
        } else {
            mark_skipped(&mut row, skip);
            changes.push(Change::Event(describe::skipped(run, &row)));
        }
        changes.push(Change::IssueRow(row));
    }
    changes
}

/// Nothing could be done: the night says why and is over.
pub(super) async fn failed(
    parts: &Parts,
    fence: &Fence,
    request: &NightRequest,
    error: &str,
    fetching: bool,
) -> Result<(), EngineError> {
    let mut changes = Vec::new();
    if fetching {
        let text = format!("The open issues of {} could not be fetched: {error}", request.repo);
        let event = NewEvent::new(EventType::IssueFetchFailed, text);
        changes.push(Change::Event(event.severity(Severity::High).run(&fence.run)));
    }
    let text = format!("Night for {} failed: {error}", request.repo);
    let event = NewEvent::new(EventType::OvernightExecutionFailed, text)
        .severity(Severity::High)
        .run(&fence.run)
        .with("error", error);
    changes.push(Change::Event(event));
    changes.push(Change::RunStatus { status: RunStatus::Failed, errors: vec![error.to_owned()] });
    log(&parts.store.apply(fence, changes).await?);
    Ok(())
}

fn being_worked_on(rows: &[IssueResult]) -> Vec<IssueNumber> {
    let running = rows.iter().filter(|row| row.status == IssueStatus::Running);
    running.map(|row| row.issue_number).collect()
}

/// A person ended the night: rows that were not finished say so.
pub(super) async fn cancelled(parts: &Parts, fence: &Fence) -> Result<(), EngineError> {
    let Some(run) = parts.store.run(&fence.run).await? else { return Ok(()) };
    parts.store.recover_calls(fence).await?;
    let skip = Skip::new(ReasonCode::Cancelled, "the night was cancelled");
    let open = being_worked_on(&run.issue_results);
    let mut changes = end_open_rows(&fence.run, run.issue_results, &skip);
    let text = format!("Night for {}/{} cancelled", run.owner, run.repo);
    let event = NewEvent::new(EventType::OvernightExecutionCancelled, text).run(&fence.run);
    changes.push(Change::Event(event));
    changes.push(Change::RunStatus { status: RunStatus::Cancelled, errors: Vec::new() });
    log(&parts.store.apply(fence, changes).await?);
    if let Ok(repo) = format!("{}/{}", run.owner, run.repo).parse::<RepoName>() {
        labels::given_up(parts, &repo, open).await;
    }
    Ok(())
}
