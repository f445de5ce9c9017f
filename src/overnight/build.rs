//! One round of building: a fresh workspace, leave for the tier, the builder, and what it left.

use super::copilot;
use super::issue::{Came, Worker, select};
use super::learn;
use super::night::EngineError;
use crate::builders::{BuildOutcome, Keeper, Task};
use crate::domain::attempt::{Admission, CLIMB_TO, Event, Left, State};
use crate::domain::event::{EventType, Severity};
use crate::domain::ids::{CommitId, EscalationId};
use crate::domain::plan::{ReasonCode, Skip};
use crate::domain::tier::ModelTier;
use crate::escalation::{self, EscalationReason};
use crate::git::{self, GitError};
use crate::sandbox;
use crate::store::{self, Admitted, Ceilings};

/// What a round came to.
pub(super) enum Built {
    Came(Came),
    /// The quota said no: the round begins again at the lower tier now in the state.
    Lowered,
}

pub(super) async fn round(worker: &mut Worker<'_>) -> Result<Built, EngineError> {
    if let Some(built) = copilot::round(worker).await? {
        return Ok(built);
    }
    if let Some(lowered) = ensure_admitted(worker).await? {
        return Ok(lowered);
    }
    let chain = chain(worker);
    if chain.is_empty() {
        return Ok(Built::Came(Came::Event(Event::BuildFailed {
            code: ReasonCode::ModelsExhausted,
            message: format!("no model of the chain from {} down is available", worker.state.tier),
            stuck: false,
        })));
    }
    let parts = worker.context.parts;
    let dir =
        parts.settings.work_dir(&worker.attempt).join(format!("round-{}", worker.state.round));
    git::remove_workspace(&dir).await?;
    std::fs::create_dir_all(&dir)?;
    let workspace = dir.join("workspace");
    let from = start_commit(worker).await?;
    let identity = parts.sandbox.identity();
    worker.mirror.checkout(&from, &workspace, identity).await?;
    let mut place = sandbox::prepare_place(&workspace, &dir.join("private"), identity)?;
    place.dependencies = fetched(worker).await;
    parts.failpoints.hit("workspace.ready");

    let tier = chain[0];
    let text =
        format!("Building {} with {tier} (round {})", worker.number(), worker.state.round + 1);
    let event = worker
        .event(EventType::BuildStarted, text)
        .with("tier", tier.as_str())
        .with("round", worker.state.round)
        .with("base", worker.state.stand.base.as_str());
    worker.commit_transition(vec![event]).await?;

    let half_done = match &worker.state.left {
        Left::HalfDone(why) if from != worker.state.stand.base => Some(why.clone()),
        Left::HalfDone(_) | Left::Judged | Left::Circles => None,
    };
    let task = Task {
        run: worker.context.fence.run.clone(),
        issue: worker.number(),
        kind: worker.planned.sequence_type,
        title: worker.issue.title.clone(),
        body: super::texts::issue_text(&worker.issue),
        attempt: worker.attempt.clone(),
        round: worker.state.round + 1,
        feedback: worker.state.feedback.clone(),
        half_done,
        workspace: place,
        keeper: Some(Keeper {
            mirror: worker.mirror.clone(),
            base: worker.state.stand.base.clone(),
            name: State::progress_ref(&worker.attempt, worker.state.round),
            author: parts.settings.author.clone(),
        }),
        base: worker.state.stand.base.clone(),
        chain,
        escalation: worker.state.admission.as_ref().map(|admission| admission.id.clone()),
        auto_heal: worker.context.request.config.enable_auto_heal,
        ceilings: ceilings(worker),
        limits: parts.settings.limits,
    };
    let outcome = parts.builders.build(worker.context.fence, &task, worker.context.stop).await?;
    Ok(Built::Came(match outcome {
        BuildOutcome::Finished { tier, summary } => keep(worker, &workspace, tier, summary).await?,
        BuildOutcome::Failed { code, message, stuck } => {
            if stuck {
                leave_behind(worker, &workspace).await?;
                worker.state.left = Left::Circles;
            }
            Came::Event(Event::BuildFailed { code, message, stuck })
        }
        BuildOutcome::Unfinished { message } => {
            let kept = leave_behind(worker, &workspace).await?;
            worker.state.left = if kept { Left::HalfDone(message.clone()) } else { Left::Circles };
            let code = ReasonCode::BuilderFailed;
            Came::Event(Event::BuildFailed { code, message, stuck: true })
        }
        BuildOutcome::Budget { message } => Came::Halt(Skip::new(ReasonCode::Budget, message)),
        BuildOutcome::Cancelled => Came::Interrupted,
    }))
}

/// What the base's setup step fetched. Without it a builder works on, with what this machine has.
async fn fetched(worker: &Worker<'_>) -> Option<sandbox::Dependencies> {
    let (gate, base) = (&worker.context.parts.gate, &worker.state.stand.base);
    match gate.dependencies(worker.mirror, base, worker.context.stop).await {
        Ok(dependencies) => dependencies,
        Err(error) => {
            tracing::warn!(%error, "{} is built without fetched dependencies", worker.number());
            None
        }
    }
}

/// A repair goes on from the round that left the least for the gate to say, the last one where
/// nothing was better, if that stands on the base as it is now; half-done work is gone on with;
/// everything else starts from the base.
async fn start_commit(worker: &mut Worker<'_>) -> Result<CommitId, EngineError> {
    let base = worker.state.stand.base.clone();
    let half_done = matches!(worker.state.left, Left::HalfDone(_));
    if (worker.state.feedback.is_some() || half_done) && worker.state.round > 0 {
        let last = worker.state.round - 1;
        let better = if half_done { None } else { learn::better_round(worker, last).await? };
        let last = (worker.state.left != Left::Circles).then_some(last);
        for round in better.iter().map(|it| it.round).chain(last) {
            if let Some(commit) = work_of(worker, round, &base).await? {
                if let Some(better) = better.as_ref().filter(|it| it.round == round) {
                    learn::roll_back(worker, better).await?;
                }
                return Ok(commit);
            }
        }
    }
    Ok(base)
}

/// What a round left, if it stands on this base.
async fn work_of(
    worker: &Worker<'_>,
    round: u32,
    base: &CommitId,
) -> Result<Option<CommitId>, EngineError> {
    for name in [State::merged_ref(&worker.attempt, round), State::work_ref(&worker.attempt, round)]
    {
        if let Some(id) = worker.mirror.read_ref(&name).await?
            && let Ok(commit) = id.parse::<CommitId>()
            && worker.mirror.is_ancestor(base, &commit).await?
        {
            return Ok(Some(commit));
        }
    }
    Ok(None)
}

/// Reads the workspace into a tree and keeps it under a private ref, so that the gate, and a
/// restart, find exactly what the builder left.
async fn keep(
    worker: &Worker<'_>,
    workspace: &std::path::Path,
    tier: ModelTier,
    summary: String,
) -> Result<Came, EngineError> {
    let mirror = worker.mirror;
    let base = &worker.state.stand.base;
    let captured = match mirror.capture(workspace, base).await {
        Ok(captured) => captured,
        Err(GitError::Refused(refusals)) => {
            let said: Vec<String> =
                refusals.iter().map(|it| format!("`{}` {}", it.path, it.why)).collect();
            return Ok(Came::Event(Event::TreeRefused { reason: said.join("; ") }));
        }
        Err(error) => return Err(error.into()),
    };
    worker.context.parts.failpoints.hit("work.captured");
    if captured.changes.is_empty() {
        return Ok(Came::Event(Event::NothingChanged));
    }
    save(worker, &captured, tier).await?;
    Ok(Came::Event(Event::Built { tier, summary }))
}

/// Keeps what a builder left that did not finish. Says whether there was anything to keep.
async fn leave_behind(
    worker: &Worker<'_>,
    workspace: &std::path::Path,
) -> Result<bool, EngineError> {
    match worker.mirror.capture(workspace, &worker.state.stand.base).await {
        Ok(captured) if captured.changes.is_empty() => Ok(false),
        Ok(captured) => {
            save(worker, &captured, worker.state.tier).await?;
            Ok(true)
        }
        // Nobody is going to publish this: what cannot be kept is only not kept.
        Err(GitError::Refused(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A commit of the tree, a private ref to it, and the note of both.
async fn save(
    worker: &Worker<'_>,
    captured: &git::Captured,
    tier: ModelTier,
) -> Result<(), EngineError> {
    let (mirror, base) = (worker.mirror, &worker.state.stand.base);
    let message = super::texts::commit_message(
        &worker.context.parts.settings.message,
        &worker.issue,
        &worker.context.parts.redactor,
    );
    let author = &worker.context.parts.settings.author;
    let commit = mirror.commit(&captured.tree, base, &message, author, chrono::Utc::now()).await?;
    let name = State::work_ref(&worker.attempt, worker.state.round);
    mirror.save_ref(&name, commit.as_str()).await?;
    learn::checkpoint(worker, tier, name).await
}

fn chain(worker: &Worker<'_>) -> Vec<ModelTier> {
    let config = &worker.context.request.config;
    let live = worker.context.parts.live_tiers();
    let mut chain = worker.context.parts.settings.selection.chain_from(worker.state.tier);
    chain.retain(|tier| live.contains(tier));
    if !config.enable_auto_heal || !config.enable_model_escalation {
        chain.truncate(1);
    }
    chain
}

pub(super) fn ceilings(worker: &Worker<'_>) -> Ceilings {
    let night = worker.context.request.config.budget_usd;
    Ceilings { night, ..worker.context.parts.settings.ceilings() }
}

/// Asks the ledger for leave where the tier needs it. A first choice that is refused goes on at
/// the ordinary tier; a climb that is refused ends the attempt with what the gate said.
async fn ensure_admitted(worker: &mut Worker<'_>) -> Result<Option<Built>, EngineError> {
    let settings = &worker.context.parts.settings;
    let ordinary = settings.selection.default_tier;
    if worker.state.admission.is_some() || worker.state.tier >= ordinary {
        return Ok(None);
    }
    let Some((reason, counted)) = ground(worker) else { return Ok(None) };
    let (kind, labels) = (worker.planned.sequence_type, &worker.issue.spending_labels());
    let tag = escalation::tag_for(reason, kind, labels, &settings.labels);
    let admission = Admission {
        // Deterministic, so that a crash between here and the commit below counts it once.
        id: EscalationId::new(format!("{}:{}", worker.attempt, u8::from(worker.state.climbed))),
        reason: reason.as_str().to_owned(),
        tag: tag.as_str().to_owned(),
        counted,
    };
    let ask = store::Admission {
        id: admission.id.clone(),
        attempt: worker.attempt.clone(),
        issue: worker.number(),
        tier: worker.state.tier,
        reason: admission.reason.clone(),
        tag: Some(tag),
        counted,
        exemption: escalation::exemption_for(labels, &settings.labels),
        rails: settings.rails,
    };
    match worker.context.parts.store.admit(worker.context.fence, ask).await? {
        Admitted::Yes(passage) => {
            worker.context.parts.failpoints.hit("escalation.admitted");
            let text = format!(
                "{} goes to {}: {}",
                worker.number(),
                worker.state.tier,
                admission.reason.replace('_', " ")
            );
            let event = worker
                .event(EventType::ModelEscalation, text)
                .with("tier", worker.state.tier.as_str())
                .with("reason", admission.reason.clone())
                .with("justification", admission.tag.clone())
                .with("counted", counted)
                .with("passage", passage.as_str())
                .with("filesChanged", files_changed(worker));
            worker.state.admission = Some(admission);
            worker.commit_transition(vec![event]).await?;
            Ok(None)
        }
        Admitted::Refused(refusal) => {
            let text = format!("{} may not use {}: {refusal}", worker.number(), worker.state.tier);
            let event = worker
                .event(EventType::ModelEscalationFailed, text.clone())
                .severity(Severity::Medium)
                .with("code", refusal.code());
            if worker.state.climbed {
                worker.commit_transition(vec![event]).await?;
                return Ok(Some(Built::Came(Came::Event(no_climb(worker, &text)))));
            }
            worker.state.tier = ordinary;
            worker.commit_transition(vec![event]).await?;
            Ok(Some(Built::Lowered))
        }
    }
}

/// The attempt ends with what it wanted to climb for, and why it may not.
fn no_climb(worker: &Worker<'_>, refusal: &str) -> Event {
    let grounds = worker.state.climbed_for.as_ref();
    let (code, why) = match grounds {
        Some(grounds) if grounds.code != ReasonCode::GateRefused => {
            (grounds.code, grounds.reason.as_str())
        }
        Some(_) | None => (ReasonCode::GateRefused, "the gate refused the change twice"),
    };
    Event::BuildFailed { code, message: format!("{why}, and {refusal}"), stuck: false }
}

/// The files of the change that was judged last; none where there was nothing to judge.
fn files_changed(worker: &Worker<'_>) -> u64 {
    worker.row.change_size.map_or(0, |size| size.files)
}

/// Why this round is above `gpt-4`, and whether that counts.
fn ground(worker: &Worker<'_>) -> Option<(EscalationReason, bool)> {
    if worker.state.climbed && worker.state.tier == CLIMB_TO {
        let reason = escalation::climb_reason(files_changed(worker));
        return Some((reason, reason.counted()));
    }
    let selection = select(worker.context, &worker.planned, &worker.issue);
    let reason = selection.escalation_reason?;
    Some((reason, selection.quota_impact > 0))
}
