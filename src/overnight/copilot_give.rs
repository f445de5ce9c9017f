//! Giving an issue to Copilot and taking it back, and the price of each of its sessions.
//!
//! Each is intent -> effect -> observed and looks first, so that a crash or a lost reply assigns
//! nothing twice and books no session twice. Never follows what comes of it.

use serde_json::json;

use super::build::ceilings;
use super::copilot::{FIRST_PAUSE, TRIES};
use super::copilot_texts as texts;
use super::issue::{Came, Worker};
use super::night::EngineError;
use super::publish::note;
use crate::domain::money::Usd;
use crate::domain::plan::{ReasonCode, Skip};
use crate::github::GitHubError;
use crate::store::{EffectState, Session, SessionBooked};

/// What came of giving the issue to Copilot.
pub(super) enum Given {
    Yes,
    /// Why it cannot be had.
    No(String),
}

/// Books the session that this round is about to begin, under every ceiling; `Some`: there is no
/// money for it, and the night ends as it does where a model's call does not fit.
pub(super) async fn book(worker: &Worker<'_>, price: Usd) -> Result<Option<Came>, EngineError> {
    let session = Session::of(&worker.attempt, worker.state.round);
    let (store, fence) = (&worker.context.parts.store, worker.context.fence);
    let limits = ceilings(worker);
    match store.book_session(fence, &session, worker.number(), price, limits).await? {
        SessionBooked::Yes => {
            worker.context.parts.failpoints.hit("session.booked");
            Ok(None)
        }
        SessionBooked::Refused(refusal) => {
            let message = format!(
                "the {} ceiling of {} leaves no room for a session of Copilot's: {} spent, {} \
                 reserved, and it is booked at {price}",
                refusal.scope.as_str(),
                refusal.limit,
                refusal.spent,
                refusal.reserved,
            );
            Ok(Some(Came::Halt(Skip::new(ReasonCode::Budget, message))))
        }
    }
}

/// Looks for a pull request of Copilot's, or gives it the issue. Sent once: after a lost reply we
/// look whether it has it.
pub(super) async fn give(worker: &Worker<'_>) -> Result<Given, EngineError> {
    let mut unsure = false;
    let given = try_to_give(worker, &mut unsure).await?;
    let session = Session::of(&worker.attempt, worker.state.round);
    let (store, fence) = (&worker.context.parts.store, worker.context.fence);
    match &given {
        Given::Yes => {
            let base = &worker.state.stand.base_branch;
            note(worker, "assign", EffectState::Observed, json!({ "base": base })).await?;
            store.settle_session(fence, &session, true).await?;
            worker.context.parts.failpoints.hit("assign.observed");
        }
        // Nobody knows whether a session began, or it is asked for again: its price stays booked.
        Given::No(_) if unsure || worker.context.stop.is_cancelled() => {}
        Given::No(_) => store.settle_session(fence, &session, false).await?,
    }
    Ok(given)
}

/// `unsure`: the request was sent, and nobody could say afterwards whether it was taken.
async fn try_to_give(worker: &Worker<'_>, unsure: &mut bool) -> Result<Given, EngineError> {
    let parts = worker.context.parts;
    let (github, repo) = (&parts.github, &worker.context.request.repo);
    let number = worker.number();
    let mut pause = FIRST_PAUSE;
    let mut last = String::new();
    for attempt in 1..=TRIES {
        if attempt > 1 {
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        if worker.context.stop.is_cancelled() {
            return Ok(Given::No("stopped".to_owned()));
        }
        match has_it(worker).await {
            Ok(true) => return Ok(Given::Yes),
            Ok(false) => *unsure = false,
            Err(error) if error.is_passing() => {
                last = error.to_string();
                continue;
            }
            Err(error) => return Ok(Given::No(error.to_string())),
        }
        match github.copilot_available(repo).await {
            Ok(true) => {}
            Ok(false) => return Ok(Given::No(texts::not_enabled(repo))),
            Err(error) if error.is_passing() => {
                last = error.to_string();
                continue;
            }
            Err(error) => return Ok(Given::No(error.to_string())),
        }
        let base = &worker.state.stand.base_branch;
        note(worker, "assign", EffectState::Intent, json!({ "base": base })).await?;
        parts.failpoints.hit("assign.before");
        match github.assign_copilot(repo, number, base, texts::INSTRUCTIONS).await {
            Ok(true) => {
                parts.failpoints.hit("assign.after");
                return Ok(Given::Yes);
            }
            Ok(false) => {
                let why = "GitHub took the request and did not assign it: the token's user may not";
                return Ok(Given::No(why.to_owned()));
            }
            Err(error) if error.is_passing() || error.may_have_happened() => {
                *unsure = error.may_have_happened();
                last = error.to_string();
            }
            Err(error) => return Ok(Given::No(error.to_string())),
        }
    }
    Ok(Given::No(last))
}

/// Whether Copilot is at it already: asked by us before a crash, or by a person.
async fn has_it(worker: &Worker<'_>) -> Result<bool, GitHubError> {
    let (github, repo) = (&worker.context.parts.github, &worker.context.request.repo);
    let pulls = github.copilot_pulls(repo, worker.number()).await?;
    if pulls.iter().any(|it| it.pull.open) {
        return Ok(true);
    }
    // Assigned without a pull request counts only where none of an earlier time is closed already:
    // it does not begin anew by itself.
    Ok(pulls.is_empty() && github.copilot_assigned(repo, worker.number()).await?)
}

/// Takes the issue back, where Copilot has it. What could not be taken back is an intent without
/// its end, and a warning: the desktop builder goes on either way.
pub(super) async fn take_back(worker: &Worker<'_>) -> Result<(), EngineError> {
    let parts = worker.context.parts;
    let (github, repo, number) = (&parts.github, &worker.context.request.repo, worker.number());
    note(worker, "unassign", EffectState::Intent, json!({})).await?;
    parts.failpoints.hit("unassign.before");
    let taken = match github.copilot_assigned(repo, number).await {
        Ok(true) => github.unassign_copilot(repo, number).await,
        Ok(false) => Ok(()),
        Err(error) => Err(error),
    };
    match taken {
        Ok(()) => {
            parts.failpoints.hit("unassign.after");
            note(worker, "unassign", EffectState::Observed, json!({})).await?;
            parts.failpoints.hit("unassign.observed");
        }
        Err(error) => tracing::warn!(%error, "{number} could not be taken back from Copilot"),
    }
    Ok(())
}
