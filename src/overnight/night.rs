//! One night from its first event to its last.
//!
//! Owns the run's own transitions: started, planned, working, ended. What happens to one issue is
//! `issue`'s business. A night that is interrupted writes nothing: it is taken up where it was.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::claims::Claims;
use super::context::{Context, EngineError, log};
use super::ending::{self, Ended, skip_all, skip_for_red_base};
use super::judge::BaseJudge;
use super::planning::{self, PlanError};
use super::rows::{Board, Notes};
use super::settings::Parts;
use super::{describe, dry, lanes, plan_report, vet};
use crate::domain::event::{EventType, NewEvent};
use crate::domain::ids::{IssueNumber, RunId};
use crate::domain::issue::Repository;
use crate::domain::plan::{ReasonCode, Skip};
use crate::domain::run::{IssueStatus, NightRequest, RunStatus};
use crate::gate::GateError;
use crate::github::{GitHub, Refused};
use crate::store::{Change, Fence, Night, StoreError};

/// A lease lives for 30 s: without a renewal for this long, its owner stops.
const LEASE_MARGIN: Duration = Duration::from_secs(20);

/// How work on a night came to an end without a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Worked {
    /// It is over, was interrupted, or is somebody else's.
    Through,
    /// It waits for a person and a restart.
    Paused,
}

/// Claims a night and works it to its end, its cancellation, a pause or an interruption.
pub(super) async fn work(
    parts: &Parts,
    id: &RunId,
    stop: &CancellationToken,
    last_try: bool,
) -> Result<Worked, EngineError> {
    let settings = &parts.settings;
    let Some(fence) = parts.store.claim_run(id, &settings.owner, settings.sole_owner).await? else {
        return Ok(Worked::Through);
    };
    let night = match parts.store.night(id).await {
        Ok(Some(night)) => night,
        Ok(None) => return Ok(Worked::Through),
        Err(error @ StoreError::Corrupt { .. }) => {
            ending::unreadable(parts, &fence, &error.to_string()).await?;
            return Ok(Worked::Through);
        }
        Err(error) => return Err(error.into()),
    };
    let refused = Refused::default();
    let working = async {
        match execute(parts, &fence, &night, stop, &refused, last_try).await {
            Err(EngineError::Interrupted) => Ok(()),
            Err(_) if stop.is_cancelled() => Ok(()),
            // What passes by itself ends nothing: the night is taken up again.
            Err(error @ EngineError::Store(_)) if error.is_passing() => Err(error),
            Err(error) if error.is_passing() && !last_try => Err(error),
            Err(error) if error.is_unreadable() => {
                ending::unreadable(parts, &fence, &error.to_string()).await
            }
            // Any other would meet the next try as well: the night says so and ends.
            Err(error) => ending::end_on(parts, &fence, &error.to_string()).await,
            Ok(()) => Ok(()),
        }
    };
    tokio::select! {
        ended = working => ended?,
        lost = keep_lease(parts, &fence, stop) => lost?,
    }
    // Interrupted by a person: that is an end. By shutdown: it is resumed. By a key that is no
    // longer taken: it waits for another.
    let stands = parts.store.night_status(id).await?.filter(|night| night.status.is_active());
    match (stands, refused.why()) {
        (Some(night), _) if night.cancel_requested => ending::cancelled(parts, &fence).await?,
        (Some(_), Some(why)) => {
            ending::paused(parts, &fence, &night.repo, why).await?;
            return Ok(Worked::Paused);
        }
        (Some(_) | None, _) => {}
    }
    Ok(Worked::Through)
}

/// Renews the lease and listens for a cancellation that came through another process. Returns only
/// when the lease is lost.
async fn keep_lease(
    parts: &Parts,
    fence: &Fence,
    stop: &CancellationToken,
) -> Result<(), EngineError> {
    let mut renewed = Instant::now();
    loop {
        tokio::time::sleep(parts.settings.renew_every).await;
        if let Err(error) = parts.store.renew(fence).await {
            // A lease that may have ended is as good as lost: another owner may be at work.
            if error.is_fenced() || renewed.elapsed() >= LEASE_MARGIN {
                // Kill what runs before anybody else's work can meet it.
                stop.cancel();
                return Err(error.into());
            }
            tracing::warn!(run = %fence.run, %error, "could not renew the lease of {}", fence.run);
        } else {
            renewed = Instant::now();
        }
        if let Ok(Some(status)) = parts.store.night_status(&fence.run).await
            && status.cancel_requested
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
    refused: &Refused,
    last_try: bool,
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

    let github = parts.github.for_a_night(stop.clone());
    let board = match stored_board(parts, night).await? {
        Some(board) => board,
        None => match make_plan(parts, &github, fence, &request, stop).await? {
            Some(board) => board,
            None => return Ok(()),
        },
    };
    let board = Mutex::new(board);
    // Where nothing is planned yet, a refused credential is a failed night: nothing is lost by it.
    let github = github.stopping_when_refused(refused.clone());
    let request = &request;
    let claims = Claims::default();
    let context = Context { parts, github, fence, request, stop, refused, last_try, board, claims };
    let ended = if request.dry_run {
        dry_rows(&context).await?;
        Ended::Through
    } else {
        match work_through(&context).await {
            Ok(ended) => ended,
            Err(error) => {
                context.ask_about(&error).await;
                return Err(error);
            }
        }
    };
    if context.refused.why().is_some() {
        return Err(EngineError::Interrupted);
    }
    ending::finish(&context, ended).await
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
        (
            EventType::OvernightExecutionResumed,
            "resumed where it was cut off: nothing is to be done",
        )
    };
    let text = format!("Night for {} {word}{}", request.repo, dry(request.dry_run));
    let event = NewEvent::new(kind, text)
        .run(&fence.run)
        .with("owner", request.repo.owner())
        .with("repo", request.repo.name())
        .with("unknownCharges", recovered.unknown.len());
    let running = Change::RunStatus { status: RunStatus::Running, errors: Vec::new() };
    log(&parts.store.apply(fence, vec![running, Change::Event(event)]).await?);
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
    github: &GitHub,
    fence: &Fence,
    request: &NightRequest,
    stop: &CancellationToken,
) -> Result<Option<Board>, EngineError> {
    parts.failpoints.hit("plan.before");
    let gathered = tokio::select! {
        gathered = plan_report::gather(parts, github, request) => gathered,
        () = stop.cancelled() => return Err(EngineError::Interrupted),
    };
    let gathered = match gathered {
        Ok(gathered) => gathered,
        Err(PlanError::Store(error)) => return Err(error.into()),
        Err(_) if stop.is_cancelled() => return Err(EngineError::Interrupted),
        Err(error) => {
            ending::failed(parts, fence, request, &error.to_string(), true).await?;
            return Ok(None);
        }
    };
    let eligible = gathered.plan.eligible().count();
    // With Copilot set up there is somebody to ask.
    let nobody = parts.live_tiers().is_empty() && parts.settings.copilot.is_none();
    if eligible > 0 && !request.dry_run && nobody {
        let error = "no model and no local builder is configured: set OPENAI_API_KEY, LOCAL_BUILDER_BASE_URL or LOCAL_BUILDER_COMMAND";
        ending::failed(parts, fence, request, error, false).await?;
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
    let event = match &board.plan.desktop {
        Some(verdict) => event.with("desktop", verdict.clone()),
        None => event,
    };
    changes.push(Change::Event(event));
    changes.extend(vet::events(&fence.run, &board.notes.issues).into_iter().map(Change::Event));
    for row in rows {
        if row.status == IssueStatus::Skipped {
            changes.push(Change::Event(describe::skipped(&fence.run, &row)));
        }
        changes.push(Change::IssueRow(row));
    }
    changes
        .extend(digests.into_iter().map(|(issue, digest)| Change::IssueDigest { issue, digest }));
    log(&parts.store.apply(fence, changes).await?);
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
        opened = planning::open_mirror(
            context.parts,
            &context.github,
            &context.request.repo,
            &repository,
        ) => opened,
        () = context.stop.cancelled() => return Err(EngineError::Interrupted),
    };
    let mirror = match opened {
        Ok(mirror) => mirror,
        Err(PlanError::Store(error)) => return Err(error.into()),
        Err(error) => {
            if let PlanError::Git(error) = &error {
                context.ask_about_git(error).await;
            }
            let why = format!("the repository cannot be cloned: {error}");
            return context.unless_stopped(Ended::Failed(why));
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
        Err(EngineError::Gate(error)) if !matches!(error, GateError::Git(_)) => {
            let why = format!("the base {tip} cannot be judged: {error}");
            let rest = context.board().unfinished();
            skip_all(context, rest, &Skip::new(ReasonCode::BaseRed, why.clone())).await?;
            return Ok(Ended::Halted(why));
        }
        Err(error) => return Err(error),
    };
    context.parts.failpoints.hit("base.judged");
    if !verdict.green && verdict.dependencies_unavailable {
        // Nothing was proven either way, and nothing can be until they are there again.
        let skip = describe::not_green(&repository.default_branch, &tip, &verdict);
        let rest = context.board().unfinished();
        skip_all(context, rest, &skip).await?;
        let what = "list what it names in `[setup] registries`, or make the packages available without network";
        return Ok(Ended::Failed(format!("{}; {what}", skip.reason)));
    }
    if !verdict.green {
        let why = describe::red_base(&repository.default_branch, &tip, &verdict);
        skip_for_red_base(context, &why).await?;
        let notes = {
            let mut board = context.board();
            board.notes.repair_only = true;
            notes_json(&board)
        };
        context.commit(vec![Change::Notes(notes)]).await?;
        halted = Some(format!(
            "{why}; repair it, install here what is missing, or let someone with write access label the issue that repairs it `foreman:repair-base`"
        ));
    }
    let budget = lanes::work(context, &mirror, &bases).await?;
    Ok(match budget.or(halted) {
        Some(why) => Ended::Halted(why),
        None => Ended::Through,
    })
}
