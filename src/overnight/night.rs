//! One night from its first event to its last.
//!
//! Owns the run's own transitions: started, planned, working, ended. What happens to one issue is
//! `issue`'s business. A night that is interrupted writes nothing: it is taken up where it was.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio_util::sync::CancellationToken;

use super::issue::{self, IssueEnd};
use super::judge::BaseJudge;
use super::planning::{self, PlanError};
use super::rows::{Board, Notes, mark_skipped};
use super::settings::Parts;
use super::{describe, dry};
use crate::domain::event::{EventType, NewEvent, Severity};
use crate::domain::ids::{IssueNumber, RunId};
use crate::domain::issue::Repository;
use crate::domain::plan::{ReasonCode, Skip};
use crate::domain::run::{IssueResult, IssueStatus, NightRequest, RunStatus, final_status};
use crate::gate::GateError;
use crate::git::{GitError, Mirror};
use crate::sequencing::{self, Readiness};
use crate::store::{Change, Fence, Night, StoreError};

/// May be worked on although the base is red.
const REPAIR_BASE_LABEL: &str = "foreman:repair-base";

/// Why a night stopped before its end; it is taken up again.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Git(#[from] GitError),
    #[error(transparent)]
    Gate(#[from] GateError),
    #[error("the workspace cannot be made: {0}")]
    Workspace(#[from] std::io::Error),
    #[error("the stored {what} of run {run} cannot be read: {why}")]
    Stored { what: &'static str, run: RunId, why: String },
    #[error("interrupted")]
    Interrupted,
}

/// What everybody who works on a night shares.
pub(super) struct Context<'a> {
    pub parts: &'a Parts,
    pub fence: &'a Fence,
    pub request: &'a NightRequest,
    /// Cancelled by a person, by shutdown, or because the lease was lost.
    pub stop: &'a CancellationToken,
    pub board: Mutex<Board>,
}

impl Context<'_> {
    pub fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn event(&self, kind: EventType, description: impl Into<String>) -> NewEvent {
        NewEvent::new(kind, description).run(&self.fence.run)
    }

    pub async fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.parts.store.apply(self.fence, changes).await.map(drop)
    }
}

/// How a night's work ended.
enum Ended {
    /// Everything was looked at.
    Through,
    /// A ceiling was reached, or the base is red: why.
    Halted(String),
    /// Nothing could be done: why.
    Failed(String),
}

/// Claims a night and works it to its end, its cancellation or an interruption.
pub(super) async fn work(
    parts: &Parts,
    id: &RunId,
    stop: &CancellationToken,
) -> Result<(), EngineError> {
    let settings = &parts.settings;
    let Some(fence) = parts.store.claim_run(id, &settings.owner, settings.sole_owner).await? else {
        return Ok(());
    };
    let Some(night) = parts.store.night(id).await? else { return Ok(()) };
    let working = async {
        match execute(parts, &fence, &night, stop).await {
            Err(EngineError::Interrupted) => Ok(()),
            // A fault of the store passes, or is not ours to judge: the night is taken up again.
            Err(EngineError::Store(error)) => Err(error.into()),
            // Any other would meet the next try as well: the night says so and ends.
            Err(error) => end_on(parts, &fence, &error.to_string()).await,
            Ok(()) => Ok(()),
        }
    };
    tokio::select! {
        ended = working => ended?,
        lost = keep_lease(parts, &fence, stop) => lost?,
    }
    // Interrupted by a person: that is an end. By shutdown: it is resumed.
    let asked = parts
        .store
        .night(id)
        .await?
        .is_some_and(|night| night.cancel_requested && night.status.is_active());
    if asked { cancelled(parts, &fence).await } else { Ok(()) }
}

/// Renews the lease and listens for a cancellation that came through another process. Returns only
/// when the lease is lost.
async fn keep_lease(
    parts: &Parts,
    fence: &Fence,
    stop: &CancellationToken,
) -> Result<(), EngineError> {
    loop {
        tokio::time::sleep(parts.settings.renew_every).await;
        if let Err(error) = parts.store.renew(fence).await {
            if error.is_fenced() {
                // Kill what runs before anybody else's work can meet it.
                stop.cancel();
                return Err(error.into());
            }
            tracing::warn!(run = %fence.run, %error, "could not renew the lease of {}", fence.run);
        }
        if let Ok(Some(night)) = parts.store.night(&fence.run).await
            && night.cancel_requested
        {
            stop.cancel();
        }
    }
}

async fn execute(
    parts: &Parts,
    fence: &Fence,
    night: &Night,
    stop: &CancellationToken,
) -> Result<(), EngineError> {
    let request = NightRequest {
        repo: night.repo.clone(),
        config: night.config.clone(),
        dry_run: night.dry_run,
    };
    if night.cancel_requested {
        return Err(EngineError::Interrupted);
    }
    let first = night.status == RunStatus::Queued;
    announce(parts, fence, &request, first).await?;
    parts.failpoints.hit("run.started");

    let board = match stored_board(parts, night).await? {
        Some(board) => board,
        None => match make_plan(parts, fence, &request, stop).await? {
            Some(board) => board,
            None => return Ok(()),
        },
    };
    let context = Context { parts, fence, request: &request, stop, board: Mutex::new(board) };
    let ended = if request.dry_run {
        dry_rows(&context).await?;
        Ended::Through
    } else {
        work_through(&context).await?
    };
    finish(&context, ended).await
}

async fn announce(
    parts: &Parts,
    fence: &Fence,
    request: &NightRequest,
    first: bool,
) -> Result<(), EngineError> {
    let recovered = parts.store.recover_calls(fence).await?;
    let (kind, word) = if first {
        (EventType::OvernightExecutionStarted, "started")
    } else {
        (EventType::OvernightExecutionResumed, "resumed after an interruption")
    };
    let text = format!("Night for {} {word}{}", request.repo, dry(request.dry_run));
    let event = NewEvent::new(kind, text)
        .run(&fence.run)
        .with("owner", request.repo.owner())
        .with("repo", request.repo.name())
        .with("unknownCharges", recovered.unknown.len());
    let running = Change::RunStatus { status: RunStatus::Running, errors: Vec::new() };
    parts.store.apply(fence, vec![running, Change::Event(event)]).await?;
    Ok(())
}

async fn stored_board(parts: &Parts, night: &Night) -> Result<Option<Board>, EngineError> {
    let Some(plan) = night.plan.clone() else { return Ok(None) };
    let unreadable = |what, why: String| EngineError::Stored { what, run: night.id.clone(), why };
    let notes: Notes = serde_json::from_value(night.notes.clone())
        .map_err(|error| unreadable("notes", error.to_string()))?;
    let run = parts.store.run(&night.id).await?;
    let rows = run.ok_or_else(|| unreadable("rows", "the run is gone".to_owned()))?.issue_results;
    Ok(Some(Board::load(plan, notes, rows)))
}

/// Plans and stores the plan; `None` when the night failed instead.
async fn make_plan(
    parts: &Parts,
    fence: &Fence,
    request: &NightRequest,
    stop: &CancellationToken,
) -> Result<Option<Board>, EngineError> {
    parts.failpoints.hit("plan.before");
    let gathered = tokio::select! {
        gathered = planning::gather(parts, request) => gathered,
        () = stop.cancelled() => return Err(EngineError::Interrupted),
    };
    let gathered = match gathered {
        Ok(gathered) => gathered,
        Err(PlanError::Store(error)) => return Err(error.into()),
        Err(_) if stop.is_cancelled() => return Err(EngineError::Interrupted),
        Err(error) => {
            failed(parts, fence, request, &error.to_string(), true).await?;
            return Ok(None);
        }
    };
    let eligible = gathered.plan.eligible().count();
    if eligible > 0 && !request.dry_run && parts.live_tiers().is_empty() {
        let error = "no model and no local builder is configured: set OPENAI_API_KEY, LOCAL_BUILDER_BASE_URL or LOCAL_BUILDER_COMMAND";
        failed(parts, fence, request, error, false).await?;
        return Ok(None);
    }
    let digests: Vec<(IssueNumber, String)> = gathered
        .issues
        .iter()
        .map(|issue| (issue.number, planning::content_digest(issue)))
        .collect();
    let board = Board::new(gathered);
    let mut changes = vec![Change::Plan(board.plan.clone()), Change::Notes(notes_json(&board))];
    let rows = board.rows();
    let event = NewEvent::new(
        EventType::PlanCreated,
        format!("Planned {} open issues: {eligible} to work on", rows.len()),
    )
    .run(&fence.run)
    .with("totalIssues", rows.len())
    .with("eligibleIssues", eligible);
    changes.push(Change::Event(event));
    for row in rows {
        if row.status == IssueStatus::Skipped {
            changes.push(Change::Event(describe::skipped(&fence.run, &row)));
        }
        changes.push(Change::IssueRow(row));
    }
    changes
        .extend(digests.into_iter().map(|(issue, digest)| Change::IssueDigest { issue, digest }));
    parts.store.apply(fence, changes).await?;
    parts.failpoints.hit("plan.after");
    Ok(Some(board))
}

pub(super) fn notes_json(board: &Board) -> serde_json::Value {
    serde_json::to_value(&board.notes).unwrap_or_default()
}

/// A dry run ends here: what would be worked on is said.
async fn dry_rows(context: &Context<'_>) -> Result<(), EngineError> {
    let unfinished = context.board().unfinished();
    let skip = Skip::new(ReasonCode::DryRun, "dry run: would be worked on");
    skip_all(context, unfinished, &skip).await
}

/// Ends rows as skipped, each with its event.
async fn skip_all(
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

async fn work_through(context: &Context<'_>) -> Result<Ended, EngineError> {
    if context.board().unfinished().is_empty() {
        return Ok(Ended::Through);
    }
    let repository = {
        let board = context.board();
        Repository {
            name: context.request.repo.clone(),
            default_branch: board.notes.default_branch.clone(),
            clone_url: board.notes.clone_url.clone(),
        }
    };
    let opened = tokio::select! {
        opened = planning::open_mirror(context.parts, &context.request.repo, &repository) => opened,
        () = context.stop.cancelled() => return Err(EngineError::Interrupted),
    };
    let mirror = match opened {
        Ok(mirror) => mirror,
        Err(PlanError::Store(error)) => return Err(error.into()),
        Err(error) => {
            return Ok(Ended::Failed(format!("the repository cannot be cloned: {error}")));
        }
    };
    let bases = BaseJudge::new(context, &mirror);
    let mut halted = None;
    let Some(tip) = mirror.tip(&repository.default_branch).await? else {
        let why = format!("the base branch `{}` has no commit", repository.default_branch);
        return Ok(Ended::Failed(why));
    };
    let verdict = match bases.verdict(&tip).await {
        Ok(verdict) => verdict,
        Err(EngineError::Gate(error)) => {
            let why = format!("the base {tip} cannot be judged: {error}");
            skip_for_red_base(context, &why).await?;
            return Ok(Ended::Halted(why));
        }
        Err(error) => return Err(error),
    };
    context.parts.failpoints.hit("base.judged");
    if !verdict.green {
        let why = describe::red_base(&repository.default_branch, &tip, &verdict);
        skip_for_red_base(context, &why).await?;
        halted = Some(why);
    }
    let budget = lanes(context, &mirror, &bases).await?;
    Ok(match budget.or(halted) {
        Some(why) => Ended::Halted(why),
        None => Ended::Through,
    })
}

/// Hands out what is ready, as many at once as there are lanes. Says why it had to stop early.
async fn lanes(
    context: &Context<'_>,
    mirror: &Mirror,
    bases: &BaseJudge<'_>,
) -> Result<Option<String>, EngineError> {
    let lanes = usize::try_from(context.request.config.lanes).unwrap_or(1).max(1);
    let mut working = FuturesUnordered::new();
    let mut busy = BTreeSet::new();
    let mut waiting: Vec<IssueNumber> = context.board().interrupted();
    let mut halt: Option<String> = None;
    loop {
        if halt.is_none() && !context.stop.is_cancelled() {
            settle_hopeless(context, &busy).await?;
            let ready = ready_now(context);
            waiting.retain(|number| !busy.contains(number));
            waiting.extend(ready.into_iter().filter(|it| !busy.contains(it)));
            waiting.dedup();
            for number in waiting.drain(..) {
                if busy.len() < lanes && busy.insert(number) {
                    working.push(async move {
                        (number, issue::work(context, mirror, bases, number).await)
                    });
                }
            }
        }
        let Some((number, end)) = working.next().await else { break };
        busy.remove(&number);
        match end? {
            IssueEnd::Done => {}
            IssueEnd::Budget(why) => halt = halt.or(Some(why)),
            IssueEnd::Interrupted => {}
        }
    }
    if context.stop.is_cancelled() {
        return Err(EngineError::Interrupted);
    }
    if let Some(why) = &halt {
        let rest = context.board().unfinished();
        skip_all(context, rest, &Skip::new(ReasonCode::Budget, why.clone())).await?;
    }
    Ok(halt)
}

fn ready_now(context: &Context<'_>) -> Vec<IssueNumber> {
    let board = context.board();
    let config = &context.request.config;
    sequencing::next_ready(
        &board.plan,
        &board.progress(),
        config.dependency_mode,
        &config.sequence_order,
    )
}

/// Ends the rows of those that can never become ready any more, with the reason.
async fn settle_hopeless(
    context: &Context<'_>,
    busy: &BTreeSet<IssueNumber>,
) -> Result<(), EngineError> {
    loop {
        let hopeless: Vec<(IssueNumber, Skip)> = {
            let board = context.board();
            let progress = board.progress();
            let mode = context.request.config.dependency_mode;
            board
                .unfinished()
                .into_iter()
                .filter(|number| !busy.contains(number))
                .filter_map(|number| {
                    match sequencing::readiness(&board.plan, &progress, number, mode) {
                        Readiness::Never(skip) => Some((number, skip)),
                        Readiness::Ready { .. } | Readiness::Waiting { .. } => None,
                    }
                })
                .collect()
        };
        if hopeless.is_empty() {
            return Ok(());
        }
        for (number, skip) in hopeless {
            skip_all(context, [number], &skip).await?;
        }
    }
}

/// On a red base only what repairs it may be worked on, where someone with write access says so.
async fn skip_for_red_base(context: &Context<'_>, why: &str) -> Result<(), EngineError> {
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
    let github = &context.parts.github;
    let repo = &context.request.repo;
    let Ok(Some(set)) = github.label_set_by(repo, number, REPAIR_BASE_LABEL).await else {
        return false;
    };
    let Some(actor) = set.actor else { return false };
    let permission = github.permission(repo, &actor).await;
    permission.is_ok_and(|permission| permission >= crate::github::Permission::Write)
}

async fn finish(context: &Context<'_>, ended: Ended) -> Result<(), EngineError> {
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
async fn end_on(parts: &Parts, fence: &Fence, why: &str) -> Result<(), EngineError> {
    let Some(run) = parts.store.run(&fence.run).await? else { return Ok(()) };
    let skip = Skip::new(ReasonCode::Internal, why);
    let mut changes = end_open_rows(&fence.run, run.issue_results, &skip);
    let text = format!("Night for {}/{} failed: {why}", run.owner, run.repo);
    let event = NewEvent::new(EventType::OvernightExecutionFailed, text)
        .severity(Severity::High)
        .run(&fence.run);
    changes.push(Change::Event(event));
    let errors = vec![why.to_owned()];
    changes.push(Change::RunStatus { status: RunStatus::Failed, errors });
    parts.store.apply(fence, changes).await?;
    Ok(())
}

/// The changes that end rows nobody will work on any more.
fn end_open_rows(run: &RunId, rows: Vec<IssueResult>, skip: &Skip) -> Vec<Change> {
    let mut changes = Vec::new();
    for mut row in rows {
        if row.status.is_final() {
            continue;
        }
        mark_skipped(&mut row, skip);
        changes.push(Change::Event(describe::skipped(run, &row)));
        changes.push(Change::IssueRow(row));
    }
    changes
}

/// Nothing could be done: the night says why and is over.
async fn failed(
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
    parts.store.apply(fence, changes).await?;
    Ok(())
}

/// A person ended the night: rows that were not finished say so.
async fn cancelled(parts: &Parts, fence: &Fence) -> Result<(), EngineError> {
    let Some(run) = parts.store.run(&fence.run).await? else { return Ok(()) };
    let skip = Skip::new(ReasonCode::Cancelled, "the night was cancelled");
    let mut changes = end_open_rows(&fence.run, run.issue_results, &skip);
    let text = format!("Night for {}/{} cancelled", run.owner, run.repo);
    let event = NewEvent::new(EventType::OvernightExecutionCancelled, text).run(&fence.run);
    changes.push(Change::Event(event));
    changes.push(Change::RunStatus { status: RunStatus::Cancelled, errors: Vec::new() });
    parts.store.apply(fence, changes).await?;
    Ok(())
}
