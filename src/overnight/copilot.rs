//! A round that Copilot builds: the issue is given to it, its pull request is followed, and its
//! head is kept for the gate.
//!
//! Owns when Copilot has an attempt and when it loses it to the desktop builder. Never accepts what
//! it made: that takes the gate's proof (`copilot_mark`).

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::build::Built;
use super::copilot_give::{Given, book, give, take_back};
use super::copilot_texts as texts;
use super::hand::Hand;
use super::issue::{Came, Worker};
use super::night::EngineError;
use super::planning::PlanError;
use super::publish::note;
use super::settings::CopilotSettings;
use super::vet;
use crate::builders::{self, Errand, Followed};
use crate::domain::attempt::{CopilotWork, Event, PullRef, State};
use crate::domain::event::{EventType, Severity};
use crate::domain::ids::{CommitId, IssueNumber};
use crate::domain::plan::ReasonCode;
use crate::domain::switch::{Builder, Sign};
use crate::github::intake::People;
use crate::github::{CopilotPull, GitHubError};
use crate::store::{EffectState, Session};

/// How often GitHub is asked where it fails; each try looks first.
pub(super) const TRIES: u32 = 4;
/// The pause before the second try; it doubles.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Builds a round with Copilot where the attempt is its; `None`: it is the desktop builder's.
pub(super) async fn round(worker: &mut Worker<'_>) -> Result<Option<Built>, EngineError> {
    let Some(settings) = worker.context.parts.settings.copilot.clone() else {
        worker.state.copilot = None;
        return Ok(None);
    };
    if worker.state.copilot.is_none() {
        let left = !begins(worker).await?;
        worker.state.copilot = Some(CopilotWork { left, ..CopilotWork::default() });
    }
    let Some(work) = worker.state.copilot().cloned() else { return Ok(None) };
    if work.asked_at.is_none() {
        if let Some(halt) = book(worker, settings.session_usd).await? {
            return Ok(Some(Built::Came(halt)));
        }
        match give(worker).await? {
            Given::Yes => {
                set(worker, |work| work.asked_at = Some(Utc::now()));
                let text = format!("{} was given to Copilot", worker.number());
                let event = worker
                    .event(EventType::CopilotAssigned, text)
                    .with("base", worker.state.stand.base_branch.clone());
                worker.commit_transition(vec![event]).await?;
            }
            Given::No(why) => return unavailable(worker, why).await,
        }
    }
    if worker.context.stop.is_cancelled() {
        return Ok(Some(Built::Came(Came::Interrupted)));
    }
    match ask_for_repair(worker, &settings).await? {
        Asked::Yes => {}
        Asked::No(why) => return Ok(Some(failed(ReasonCode::CopilotFailed, why))),
        Asked::Came(came) => return Ok(Some(Built::Came(came))),
    }
    follow(worker, &settings).await
}

fn set(worker: &mut Worker<'_>, change: impl FnOnce(&mut CopilotWork)) {
    change(worker.state.copilot.get_or_insert_default());
}

fn failed(code: ReasonCode, message: String) -> Built {
    Built::Came(Came::Event(Event::BuildFailed { code, message, stuck: false }))
}

/// Whether this attempt begins with Copilot. What Copilot would be shown and we would leave out
/// keeps an issue from it: GitHub passes it on as it stands.
async fn begins(worker: &Worker<'_>) -> Result<bool, EngineError> {
    let parts = worker.context.parts;
    if worker.state.round > 0
        || !worker.context.request.config.create_prs_automatically
        || parts.switchboard.state().await?.active != Builder::Copilot
    {
        return Ok(false);
    }
    let Some(why) = kept_back(worker).await else { return Ok(true) };
    let text = format!("{} is not given to Copilot: {why}", worker.number());
    let event = worker.event(EventType::CopilotSkipped, text);
    worker.context.commit(vec![crate::store::Change::Event(event)]).await?;
    Ok(false)
}

async fn kept_back(worker: &Worker<'_>) -> Option<String> {
    let parts = worker.context.parts;
    let repo = &worker.context.request.repo;
    let now = match parts.github.issue_text(repo, worker.number()).await {
        Ok(now) => now,
        Err(error) => return Some(error.to_string()),
    };
    if now != (worker.issue.title.clone(), worker.issue.body.clone()) {
        return Some("it was edited since it was planned".to_owned());
    }
    let hand = match Hand::of::<PlanError>(&parts.github, &parts.store, repo).await {
        Ok(hand) => hand,
        Err(error) => return Some(error.to_string()),
    };
    let mut people = People::new(&parts.github, repo);
    let mut fresh = worker.issue.clone();
    fresh.vetting.comment_count = None;
    match vet::vet(parts, &mut people, repo, &hand, &mut fresh).await {
        Err(error) => Some(error.to_string()),
        Ok(()) if fresh.vetting.left_out > 0 => {
            Some("it has comments of people without write access".to_owned())
        }
        Ok(()) => None,
    }
}

/// Copilot cannot be had: the desktop builder takes over where it may, else the issue fails.
async fn unavailable(worker: &mut Worker<'_>, why: String) -> Result<Option<Built>, EngineError> {
    if worker.context.stop.is_cancelled() {
        return Ok(Some(Built::Came(Came::Interrupted)));
    }
    let switchboard = worker.context.parts.switchboard.clone();
    let text = format!("Copilot is not available for {}: {why}", worker.number());
    let event = worker.event(EventType::CopilotFailed, text).severity(Severity::Medium);
    let sign = switchboard.change(Sign::Unavailable { why: why.clone() });
    worker.context.commit(vec![sign, crate::store::Change::Event(event)]).await?;
    match switchboard.state().await?.active {
        Builder::Desktop => {
            set(worker, |work| work.left = true);
            worker.commit_transition(Vec::new()).await?;
            Ok(None)
        }
        Builder::Copilot => Ok(Some(failed(
            ReasonCode::CopilotUnavailable,
            format!("Copilot is not available, and no other builder takes over: {why}"),
        ))),
    }
}

/// What came of asking for a repair.
enum Asked {
    Yes,
    /// Why it could not be asked.
    No(String),
    /// The round ends otherwise: there is no money for it.
    Came(Came),
}

/// Passes the gate's word on to Copilot, once per round, and notes when.
async fn ask_for_repair(
    worker: &mut Worker<'_>,
    settings: &CopilotSettings,
) -> Result<Asked, EngineError> {
    let Some(work) = worker.state.copilot().cloned() else { return Ok(Asked::Yes) };
    let (Some(feedback), Some(pull)) = (worker.state.feedback.clone(), work.pull) else {
        return Ok(Asked::Yes);
    };
    let round = worker.state.round;
    if round == 0 || work.repair.is_some_and(|(asked, _)| asked == round) {
        return Ok(Asked::Yes);
    }
    if let Some(halt) = book(worker, settings.session_usd).await? {
        return Ok(Asked::Came(halt));
    }
    let failpoints = &worker.context.parts.failpoints;
    let marker = texts::repair_marker(&worker.attempt, round);
    let body = texts::repair(&marker, &feedback, &worker.context.parts.redactor);
    let what = json!({ "round": round, "number": pull.number });
    note(worker, "repair", EffectState::Intent, what.clone()).await?;
    failpoints.hit("repair.before");
    match comment_once(worker, IssueNumber(pull.number), &marker, &body).await? {
        Ok(at) => {
            failpoints.hit("repair.after");
            note(worker, "repair", EffectState::Observed, what).await?;
            let session = Session::of(&worker.attempt, round);
            worker.context.parts.store.settle_session(worker.context.fence, &session, true).await?;
            failpoints.hit("repair.observed");
            set(worker, |work| work.repair = Some((round, at)));
            worker.commit_transition(Vec::new()).await?;
            Ok(Asked::Yes)
        }
        Err(error) => {
            // A reply that was lost may have begun a session: then its price stays booked.
            if !error.may_have_happened() {
                let session = Session::of(&worker.attempt, round);
                let store = &worker.context.parts.store;
                store.settle_session(worker.context.fence, &session, false).await?;
            }
            Ok(Asked::No(format!("Copilot could not be asked to repair: {error}")))
        }
    }
}

/// Comments unless our comment with this marker is there; when it was made.
async fn comment_once(
    worker: &Worker<'_>,
    pull: IssueNumber,
    marker: &str,
    body: &str,
) -> Result<Result<DateTime<Utc>, GitHubError>, EngineError> {
    let (github, repo) = (&worker.context.parts.github, &worker.context.request.repo);
    let hand = Hand::of::<EngineError>(github, &worker.context.parts.store, repo).await?;
    let mut pause = FIRST_PAUSE;
    let mut attempt = 1;
    loop {
        let said = async {
            let comments = github.comments(repo, pull).await?;
            let ours = comments
                .into_iter()
                .find(|it| hand.wrote(it.author.as_deref()) && it.body.contains(marker));
            match ours {
                Some(comment) => Ok(comment),
                None => github.create_comment(repo, pull, body).await,
            }
        };
        match said.await {
            Ok(comment) => return Ok(Ok(comment.created_at.unwrap_or_else(Utc::now))),
            Err(error) if attempt < TRIES && (error.is_passing() || error.may_have_happened()) => {
                if worker.context.stop.is_cancelled() {
                    return Err(EngineError::Interrupted);
                }
                attempt += 1;
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            Err(error) => return Ok(Err(error)),
        }
    }
}

async fn follow(
    worker: &mut Worker<'_>,
    settings: &CopilotSettings,
) -> Result<Option<Built>, EngineError> {
    let context = worker.context;
    let github = &context.parts.github;
    let followed = loop {
        let errand = errand(worker);
        match builders::follow(github, &errand, settings.limits, context.stop).await {
            Followed::Found(pull) => found(worker, &pull).await?,
            ended => break ended,
        }
    };
    match followed {
        Followed::Ready(pull) => take(worker, *pull).await.map(|came| Some(Built::Came(came))),
        Followed::Failed(why) => Ok(Some(failed(ReasonCode::CopilotFailed, why))),
        Followed::Unavailable(why) => {
            // What comes late would stand beside the desktop builder's work.
            take_back(worker).await?;
            unavailable(worker, why).await
        }
        Followed::Cancelled | Followed::Found(_) => Ok(Some(Built::Came(Came::Interrupted))),
    }
}

/// What is followed, as far as the attempt knows it.
fn errand<'a>(worker: &Worker<'a>) -> Errand<'a> {
    let work = worker.state.copilot().cloned().unwrap_or_default();
    Errand {
        repo: &worker.context.request.repo,
        issue: worker.number(),
        asked_at: work.repair.map(|(_, at)| at).or(work.asked_at).unwrap_or_else(Utc::now),
        pull: work.pull.as_ref().map(|pull| IssueNumber(pull.number)),
        since: work.repair.map(|(_, at)| at),
        judged: work.repair.and(work.head),
    }
}

async fn found(worker: &mut Worker<'_>, pull: &CopilotPull) -> Result<(), EngineError> {
    let (number, url) = (pull.pull.number, pull.pull.html_url.clone());
    let branch = pull.pull.head_branch.clone();
    let text = format!("Copilot works on {} in {number}", worker.number());
    let event = worker
        .event(EventType::CopilotPullFound, text)
        .with("number", number.0)
        .with("url", url.clone())
        .with("branch", branch.clone());
    set(worker, |work| {
        work.pull = Some(PullRef { number: number.0, url });
        work.branch = Some(branch);
    });
    worker.commit_transition(vec![event]).await
}

/// Keeps the head of Copilot's pull request for the gate, as the builder's work of this round.
async fn take(worker: &mut Worker<'_>, found: CopilotPull) -> Result<Came, EngineError> {
    let pull = found.pull;
    let refuse = |why: String| {
        Ok(Came::Event(Event::BuildFailed {
            code: ReasonCode::CopilotFailed,
            message: why,
            stuck: false,
        }))
    };
    let base_branch = worker.state.stand.base_branch.clone();
    if pull.base_branch != base_branch {
        let on = &pull.base_branch;
        return refuse(format!("{} is based on `{on}` and not on `{base_branch}`", pull.number));
    }
    let mirror = worker.live_mirror().await;
    mirror.fetch().await?;
    let tips = (mirror.tip(&pull.head_branch).await?, mirror.tip(&base_branch).await?);
    let (Some(head), Some(base)) = tips else {
        return refuse(format!("a branch of {} is gone", pull.number));
    };
    let Some(fork) = mirror.merge_base(&head, &base).await? else {
        return refuse(format!("{} has no history in common with its base", pull.number));
    };
    if mirror.tree_of(&fork).await? == mirror.tree_of(&head).await? {
        return Ok(Came::Event(Event::NothingChanged));
    }
    keep(worker, &head, fork).await?;
    let summary = format!("{}\n\n{}", pull.title, pull.body);
    Ok(Came::Event(Event::CopilotBuilt { summary }))
}

/// What stands on the base's tip is judged as it is, anything else merged with it.
async fn keep(worker: &mut Worker<'_>, head: &CommitId, fork: CommitId) -> Result<(), EngineError> {
    let name = State::work_ref(&worker.attempt, worker.state.round);
    worker.mirror.save_ref(&name, head.as_str()).await?;
    worker.state.stand.base = fork;
    set(worker, |work| work.head = Some(head.to_string()));
    Ok(())
}
