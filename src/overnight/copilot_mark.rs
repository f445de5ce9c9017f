//! What becomes visible of the gate's word on Copilot's pull request: its evidence as one comment,
//! a label on what passed, and the switch's knowledge of how Copilot does.
//!
//! A label takes the gate's proof, and holds for the head that was judged alone: a head that moved
//! is judged again. Never merges, approves or closes anything.

use std::time::Duration;

use serde_json::json;

use super::copilot_texts as texts;
use super::hand::Hand;
use super::issue::{Came, Worker};
use super::night::EngineError;
use super::publish::{failed_or_interrupted, note, proof};
use crate::domain::attempt::{Event, Outcome};
use crate::domain::ids::IssueNumber;
use crate::domain::plan::ReasonCode;
use crate::domain::switch::Sign;
use crate::github::GitHubError;
use crate::store::EffectState;

/// How often an effect is tried when GitHub or the connection fails; each try looks first.
const TRIES: u32 = 4;
/// The pause before the second try; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Where the marking came to.
enum Marked {
    Done,
    Moved,
    Closed,
}

/// Labels and comments Copilot's pull request with the evidence that it passed.
pub(super) async fn mark(worker: &mut Worker<'_>) -> Result<Came, EngineError> {
    if proof(worker).await.is_none() {
        return Ok(Came::Event(Event::JudgeAgain));
    }
    let work = worker.state.copilot().cloned().unwrap_or_default();
    let (Some(pull), Some(head)) = (work.pull, work.head) else {
        return Ok(Came::Event(Event::WorkLost));
    };
    note(worker, "mark", EffectState::Intent, json!({ "number": pull.number, "head": head }))
        .await?;
    let failpoints = &worker.context.parts.failpoints;
    failpoints.hit("mark.before");
    let (github, repo) = (&worker.context.parts.github, &worker.context.request.repo);
    let hand = Hand::of::<EngineError>(github, &worker.context.parts.store, repo).await?;
    let mut pause = FIRST_PAUSE;
    for attempt in 1..=TRIES {
        match try_to_mark(worker, &hand, IssueNumber(pull.number), &head).await {
            Ok(Marked::Done) => {
                failpoints.hit("mark.after");
                let observed = json!({ "number": pull.number, "head": head });
                note(worker, "mark", EffectState::Observed, observed).await?;
                failpoints.hit("mark.observed");
                return Ok(Came::Event(Event::PullOpened(pull)));
            }
            Ok(Marked::Moved) => return Ok(Came::Event(Event::HeadMoved)),
            Ok(Marked::Closed) => {
                let message = format!("#{} was closed or merged before it was judged", pull.number);
                return Ok(Came::Event(Event::PublishFailed { message }));
            }
            Err(error) if attempt < TRIES && (error.is_passing() || error.may_have_happened()) => {
                if worker.context.stop.is_cancelled() {
                    return Ok(Came::Interrupted);
                }
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            Err(error) => {
                let message = format!("#{} could not be marked: {error}", pull.number);
                return failed_or_interrupted(worker, message);
            }
        }
    }
    failed_or_interrupted(worker, format!("#{} could not be marked", pull.number))
}

async fn try_to_mark(
    worker: &Worker<'_>,
    hand: &Hand,
    pull: IssueNumber,
    head: &str,
) -> Result<Marked, GitHubError> {
    let (github, repo) = (&worker.context.parts.github, &worker.context.request.repo);
    let label = label(worker);
    let before = github.pull(repo, pull).await?;
    if !before.open {
        return Ok(Marked::Closed);
    }
    if before.head_sha != head {
        return Ok(Marked::Moved);
    }
    say(worker, hand, pull, head, true).await?;
    worker.context.parts.failpoints.hit("mark.commented");
    let labels = github.labels_of(repo, pull).await?;
    if !labels.iter().any(|it| it.eq_ignore_ascii_case(&label)) {
        github.add_label(repo, pull, &label).await?;
    }
    // Pushed to meanwhile: what is there now nobody judged.
    if github.pull(repo, pull).await?.head_sha != head {
        github.remove_label(repo, pull, &label).await?;
        return Ok(Marked::Moved);
    }
    Ok(Marked::Done)
}

fn label(worker: &Worker<'_>) -> String {
    worker.context.parts.settings.copilot.as_ref().map_or_else(String::new, |it| it.label.clone())
}

/// The one comment of ours on the pull request, made once and updated in place.
async fn say(
    worker: &Worker<'_>,
    hand: &Hand,
    pull: IssueNumber,
    head: &str,
    passed: bool,
) -> Result<(), GitHubError> {
    let (github, repo) = (&worker.context.parts.github, &worker.context.request.repo);
    let redactor = &worker.context.parts.redactor;
    let body = texts::verdict(worker.number(), &worker.row, head, passed, redactor);
    let comments = github.comments(repo, pull).await?;
    let ours = comments.into_iter().find(|comment| {
        hand.wrote(comment.author.as_deref())
            && super::texts::has_marker(&comment.body, worker.number())
    });
    match ours {
        Some(comment) if comment.body == body => {}
        Some(comment) => drop(github.update_comment(repo, comment.id, &body).await?),
        None => drop(github.create_comment(repo, pull, &body).await?),
    }
    Ok(())
}

/// What the outcome means for the pull request and the switch: a refusal is said where people look,
/// and Copilot's failures in a row are counted.
pub(super) async fn report(worker: &Worker<'_>, outcome: &Outcome) -> Result<(), EngineError> {
    let Some(work) = worker.state.copilot() else { return Ok(()) };
    if let Some(sign) = sign(worker, outcome) {
        let change = worker.context.parts.switchboard.change(sign);
        worker.context.commit(vec![change]).await?;
    }
    let (Outcome::Failed { .. }, Some(pull), Some(head)) = (outcome, &work.pull, &work.head) else {
        return Ok(());
    };
    if worker.row.qa_results.as_ref().is_none_or(|qa| qa.passed) {
        return Ok(());
    }
    let what = json!({ "number": pull.number, "head": head });
    note(worker, "refusal", EffectState::Intent, what.clone()).await?;
    let failpoints = &worker.context.parts.failpoints;
    failpoints.hit("refusal.before");
    let (github, repo) = (&worker.context.parts.github, &worker.context.request.repo);
    let hand = Hand::of::<EngineError>(github, &worker.context.parts.store, repo).await?;
    match say_refused(worker, &hand, IssueNumber(pull.number), head).await {
        Ok(()) => {
            failpoints.hit("refusal.after");
            note(worker, "refusal", EffectState::Observed, what).await?;
            failpoints.hit("refusal.observed");
        }
        // The outcome stands; the row and the issue's comment say it too.
        Err(error) => {
            tracing::warn!(%error, "the refusal of {} could not be said there", worker.number());
        }
    }
    Ok(())
}

/// What only Copilot can be blamed for counts against it.
fn sign(worker: &Worker<'_>, outcome: &Outcome) -> Option<Sign> {
    match outcome {
        Outcome::Success => Some(Sign::Worked),
        Outcome::Failed {
            code: ReasonCode::GateRefused | ReasonCode::NoChange | ReasonCode::CopilotFailed,
            reason,
        } => Some(Sign::Failed {
            work: worker.attempt.to_string(),
            why: format!("{}: {reason}", worker.number()),
        }),
        Outcome::Failed { .. } => None,
    }
}

async fn say_refused(
    worker: &Worker<'_>,
    hand: &Hand,
    number: IssueNumber,
    head: &str,
) -> Result<(), GitHubError> {
    say(worker, hand, number, head, false).await?;
    let (github, repo) = (&worker.context.parts.github, &worker.context.request.repo);
    let label = label(worker);
    let labels = github.labels_of(repo, number).await?;
    if labels.iter().any(|it| it.eq_ignore_ascii_case(&label)) {
        github.remove_label(repo, number, &label).await?;
    }
    Ok(())
}
