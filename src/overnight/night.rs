//! One night from its first event to its last.
//!
//! Owns the run's own transitions: started, planned, working, ended. What happens to one issue is
//! `issue`'s business. A night that is interrupted writes nothing: it is taken up where it was.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::claims::Claims;
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
use crate::git::GitError;
use crate::github::{GitHub, GitHubError};
use crate::store::{Change, Fence, Night, StoreError};

/// A lease lives for 30 s: without a renewal for this long, its owner stops.
const LEASE_MARGIN: Duration = Duration::from_secs(20);

/// Why a night stopped before its end; it is taken up again.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Git(#[from] GitError),
    #[error(transparent)]
    GitHub(#[from] GitHubError),
    #[error(transparent)]
    Gate(#[from] GateError),
    #[error("the workspace cannot be made: {0}")]
    Workspace(#[from] std::io::Error),
    #[error("the stored {what} of run {run} cannot be read: {why}")]
    Stored { what: &'static str, run: RunId, why: String },
    #[error("interrupted")]
    Interrupted,
}

impl EngineError {
    /// Whether the same night may get further when it is taken up again.
    fn is_passing(&self) -> bool {
        match self {
            Self::Store(StoreError::Corrupt { .. }) => false,
            Self::Store(_) | Self::Interrupted => true,
            Self::Git(error) | Self::Gate(GateError::Git(error)) => error.is_transient(),
            Self::GitHub(error) => error.is_passing(),
            Self::Gate(_) | Self::Workspace(_) | Self::Stored { .. } => false,
        }
    }
}

/// What everybody who works on a night shares.
pub(super) struct Context<'a> {
    pub parts: &'a Parts,
    /// GitHub with a night's patience, until the night is to stop.
    pub github: GitHub,
    pub fence: &'a Fence,
    pub request: &'a NightRequest,
    /// Cancelled by a person, by shutdown, or because the lease was lost.
    pub stop: &'a CancellationToken,
    /// The night was taken up in vain often enough: what fails now ends it.
    pub last_try: bool,
    pub board: Mutex<Board>,
    /// What the lanes are about to publish.
    pub claims: Claims,
}

impl Context<'_> {
    pub fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a fault leaves the attempt as it is, for the next time the night is taken up.
    pub fn leaves_open(&self, error: &EngineError) -> bool {
        if self.stop.is_cancelled() {
            return true;
        }
        match error {
            EngineError::Store(_) | EngineError::Interrupted => error.is_passing(),
            EngineError::Git(_)
            | EngineError::GitHub(_)
            | EngineError::Gate(_)
            | EngineError::Workspace(_)
            | EngineError::Stored { .. } => error.is_passing() && !self.last_try,
        }
    }

    pub fn event(&self, kind: EventType, description: impl Into<String>) -> NewEvent {
        NewEvent::new(kind, description).run(&self.fence.run)
    }

    pub async fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.parts.store.apply(self.fence, changes).await.map(drop)
    }
}

/// Claims a night and works it to its end, its cancellation or an interruption.
pub(super) async fn work(
    parts: &Parts,
    id: &RunId,
    stop: &CancellationToken,
    last_try: bool,
) -> Result<(), EngineError> {
    let settings = &parts.settings;
    let Some(fence) = parts.store.claim_run(id, &settings.owner, settings.sole_owner).await? else {
        return Ok(());
    };
    let Some(night) = parts.store.night(id).await? else { return Ok(()) };
    let working = async {
        match execute(parts, &fence, &night, stop, last_try).await {
            Err(EngineError::Interrupted) => Ok(()),
            Err(_) if stop.is_cancelled() => Ok(()),
            // What passes by itself ends nothing: the night is taken up again.
            Err(error @ EngineError::Store(_)) if error.is_passing() => Err(error),
            Err(error) if error.is_passing() && !last_try => Err(error),
            // Any other would meet the next try as well: the night says so and ends.
            Err(error) => ending::end_on(parts, &fence, &error.to_string()).await,
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
        .night_status(id)
        .await?
        .is_some_and(|night| night.cancel_requested && night.status.is_active());
    if asked { ending::cancelled(parts, &fence).await } else { Ok(()) }
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
    let claims = Claims::default();
    let context =
        Context { parts, github, fence, request: &request, stop, last_try, board, claims };
    let ended = if request.dry_run {
        dry_rows(&context).await?;
        Ended::Through
    } else {
        work_through(&context).await?
    };
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
        return Ok(Ended::Failed(skip.reason));
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
        halted = Some(why);
    }
    let budget = lanes::work(context, &mirror, &bases).await?;
    Ok(match budget.or(halted) {
        Some(why) => Ended::Halted(why),
        None => Ended::Through,
    })
}
