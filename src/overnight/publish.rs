//! What leaves the house: the branch, the pull request, the comment. Each is intent -> effect ->
//! observed, and each looks before it acts, so that a crash or a lost reply makes nothing twice.
//!
//! `open_pull` is the only caller of GitHub's pull request API, and takes `GatesPassed`.

use std::time::Duration;

use serde_json::{Value, json};

use super::branch::{is_unpublished, taken};
use super::hand::Hand;
use super::issue::{Came, Worker};
use super::labels;
use super::night::EngineError;
use super::texts;
use super::{copilot_mark, copilot_texts};
use crate::domain::attempt::{Candidate, Event, Outcome, PullRef};
use crate::domain::event::{EventType, Severity};
use crate::gate::{self, GatesPassed};
use crate::git::{Merge, Mirror, Push};
use crate::github::{Comment, GitHubError, NewPull, Pull};
use crate::store::{Change, EffectState, StoreError};

/// How often an effect is tried when GitHub or the connection fails; each try looks first.
const TRIES: u32 = 4;
/// The pause before the second try; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The stored proof, if it still holds: the evidence is this candidate's and its logs are there.
pub(super) async fn proof(worker: &Worker<'_>) -> Option<(GatesPassed, Candidate)> {
    let candidate = worker.state.candidate.clone()?;
    let of = gate::Attempt {
        run: &worker.context.fence.run,
        issue: worker.number(),
        attempt: &worker.attempt,
    };
    let stored = worker.state.evidence.as_ref()?;
    let passed = worker.context.parts.gate.recall(stored, of).await?;
    let same = passed.commit() == &candidate.commit
        && passed.tree() == &candidate.tree
        && passed.base() == &candidate.base;
    same.then_some((passed, candidate))
}

pub(super) async fn note(
    worker: &Worker<'_>,
    kind: &str,
    state: EffectState,
    value: Value,
) -> Result<(), EngineError> {
    // Each commit that is pushed is an effect of its own: by them we know our branches again.
    // So is each repair that Copilot is asked for, and what is said of each of its heads.
    let part = match kind {
        "push" => value.get("commit"),
        "repair" => value.get("round"),
        "mark" | "refusal" => value.get("head"),
        _ => None,
    };
    let key = match part {
        Some(Value::String(part)) => format!("{kind}:{}:{part}", worker.number().0),
        Some(part) => format!("{kind}:{}:{part}", worker.number().0),
        None => format!("{kind}:{}", worker.number().0),
    };
    let change =
        Change::Effect { key, kind: kind.to_owned(), issue: Some(worker.number()), state, value };
    Ok(worker.context.commit(vec![change]).await?)
}

pub(super) async fn push(worker: &mut Worker<'_>) -> Result<Came, EngineError> {
    let Some((passed, candidate)) = proof(worker).await else {
        return Ok(Came::Event(Event::JudgeAgain));
    };
    let mirror = &worker.live_mirror().await;
    let branch = worker.branch();
    let there = mirror.remote_tip(&branch).await?;
    if there.as_ref() != Some(passed.commit()) && base_conflicts(worker, mirror, &candidate).await?
    {
        return Ok(Came::Event(Event::JudgeAgain));
    }
    let expected = match there {
        Some(tip) if &tip != passed.commit() => {
            // The base moved since it was pushed and the new tree was judged; or it is not ours.
            if !is_unpublished(worker.context, worker.number(), &branch, &tip).await? {
                return Ok(Came::Event(Event::BranchTaken { reason: taken(&branch, &tip) }));
            }
            Some(tip)
        }
        Some(_) | None => None,
    };
    let intent = json!({"branch": branch, "commit": passed.commit(), "replaces": expected});
    note(worker, "push", EffectState::Intent, intent.clone()).await?;
    worker.context.parts.failpoints.hit("push.before");
    let mut pause = FIRST_PAUSE;
    for attempt in 1..=TRIES {
        match mirror.push(passed.commit(), &branch, expected.as_ref()).await {
            Ok(Push::Done | Push::AlreadyThere) => {
                worker.context.parts.failpoints.hit("push.after");
                note(worker, "push", EffectState::Observed, intent).await?;
                return Ok(Came::Event(Event::Pushed));
            }
            Ok(Push::Taken(tip)) => {
                return Ok(Came::Event(Event::BranchTaken { reason: taken(&branch, &tip) }));
            }
            Err(error) if attempt < TRIES && !worker.context.stop.is_cancelled() => {
                tracing::warn!(%branch, %error, "pushing {branch} failed, trying again");
                sleep_unless_stopped(worker, pause).await;
                pause *= 2;
            }
            Err(error) => {
                let message = format!("the branch could not be pushed: {error}");
                return failed_or_interrupted(worker, message);
            }
        }
    }
    failed_or_interrupted(worker, "the branch could not be pushed".to_owned())
}

/// While stopping, an effect that failed is left for the next start instead of ending the issue.
pub(super) fn failed_or_interrupted(
    worker: &Worker<'_>,
    message: String,
) -> Result<Came, EngineError> {
    if worker.context.stop.is_cancelled() {
        return Ok(Came::Interrupted);
    }
    Ok(Came::Event(Event::PublishFailed { message }))
}

/// Whether the base moved after the gate in a way that no longer merges cleanly.
async fn base_conflicts(
    worker: &Worker<'_>,
    mirror: &Mirror,
    candidate: &Candidate,
) -> Result<bool, EngineError> {
    let base_branch = &worker.state.stand.base_branch;
    let Some(tip) = mirror.remote_tip(base_branch).await? else { return Ok(false) };
    if tip == candidate.base {
        return Ok(false);
    }
    mirror.fetch().await?;
    Ok(match mirror.merge_onto(&tip, &candidate.commit).await? {
        Merge::Clean(_) => false,
        Merge::Conflict(_) => true,
    })
}

pub(super) async fn open_pull(worker: &mut Worker<'_>) -> Result<Came, EngineError> {
    let Some((passed, _)) = proof(worker).await else {
        return Ok(Came::Event(Event::JudgeAgain));
    };
    let new = new_pull(worker, &passed).await?;
    let intent = json!({"head": new.head, "base": new.base, "commit": passed.commit()});
    note(worker, "pull", EffectState::Intent, intent).await?;
    worker.context.parts.failpoints.hit("pull.before");
    let github = &worker.context.github;
    let repo = &worker.context.request.repo;
    // The branch must still be what was judged: somebody may have pushed to it since.
    match worker.live_mirror().await.remote_tip(&new.head).await? {
        Some(tip) if &tip == passed.commit() => {}
        Some(tip) => {
            return Ok(Came::Event(Event::BranchTaken { reason: taken(&new.head, &tip) }));
        }
        None => return Ok(Came::Event(Event::JudgeAgain)),
    }
    let mut pause = FIRST_PAUSE;
    let mut last = String::new();
    for attempt in 1..=TRIES {
        if attempt > 1 {
            sleep_unless_stopped(worker, pause).await;
            pause *= 2;
        }
        if worker.context.stop.is_cancelled() {
            return Ok(Came::Interrupted);
        }
        // Look first: the last try, or the process before us, may have made it.
        let opened = match there_already(worker, &new).await {
            Ok(Some(pull)) => Ok(pull),
            Ok(None) => github.open_pull(repo, &new).await,
            Err(Looked::Store(error)) => return Err(error.into()),
            Err(Looked::GitHub(error)) => Err(error),
        };
        match opened {
            Ok(pull) if pull.head_sha != passed.commit().as_str() => {
                let reason = format!(
                    "pull request #{} shows {} and not the commit that was judged: look at its branch `{}`",
                    pull.number.0, pull.head_sha, new.head
                );
                return Ok(Came::Event(Event::BranchTaken { reason }));
            }
            Ok(pull) => {
                worker.context.parts.failpoints.hit("pull.after");
                let observed = json!({
                    "number": pull.number, "url": pull.html_url, "author": pull.author,
                });
                note(worker, "pull", EffectState::Observed, observed).await?;
                let opened = PullRef { number: pull.number.0, url: pull.html_url };
                return Ok(Came::Event(Event::PullOpened(opened)));
            }
            Err(error) => {
                let passing = is_passing(&error);
                last = error.to_string();
                if !passing {
                    break;
                }
            }
        }
    }
    failed_or_interrupted(worker, format!("the pull request could not be opened: {last}"))
}

/// What stopped us from looking.
#[derive(Debug, thiserror::Error)]
enum Looked {
    #[error(transparent)]
    GitHub(#[from] GitHubError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Our open pull request of this branch, where there is one.
async fn there_already(worker: &Worker<'_>, new: &NewPull) -> Result<Option<Pull>, Looked> {
    let (github, repo) = (&worker.context.github, &worker.context.request.repo);
    let hand = Hand::of::<Looked>(github, &worker.context.parts.store, repo).await?;
    let pulls = github.pulls_of_branch(repo, &new.head).await?;
    // Where GitHub does not say who we are and we never made anything: what says word for word what
    // we would say, on the branch that we pushed, is the one whose reply was lost.
    let same = |pull: &Pull| pull.title == new.title && pull.body == new.body;
    Ok(pulls.into_iter().find(|pull| pull.open && (hand.made(pull, worker.number()) || same(pull))))
}

async fn sleep_unless_stopped(worker: &Worker<'_>, time: Duration) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = worker.context.stop.cancelled() => {}
    }
}

/// Whether trying again can help. A rate limit was waited out already, as long as a night can.
fn is_passing(error: &GitHubError) -> bool {
    matches!(
        error,
        GitHubError::Server { .. } | GitHubError::Transport { .. } | GitHubError::Unreadable { .. }
    )
}

async fn new_pull(worker: &Worker<'_>, passed: &GatesPassed) -> Result<NewPull, EngineError> {
    let cost = worker.cost().await?;
    let redactor = &worker.context.parts.redactor;
    let found = worker.context.board().notes.bases.get(passed.base()).map(|it| it.detected.clone());
    Ok(NewPull {
        title: texts::pull_title(&worker.issue, redactor),
        body: texts::pull_body(
            &texts::PullText {
                issue: &worker.issue,
                row: &worker.row,
                passed,
                stand: &worker.state.stand,
                summary: &worker.state.summary,
                tiers: &cost.tiers,
                models: &cost.models,
                cost: cost.usd,
                run: &worker.context.fence.run,
                found: found.as_deref().unwrap_or_default(),
                branch: &worker.branch(),
            },
            redactor,
        ),
        head: worker.branch(),
        base: worker.state.stand.base_branch.clone(),
    })
}

/// The one comment on the issue, made once and updated in place. A comment that cannot be made
/// changes nothing about the outcome: it is an event.
pub(super) async fn comment(worker: &mut Worker<'_>) -> Result<Came, EngineError> {
    let outcome = worker.state.outcome.clone().unwrap_or(Outcome::Success);
    copilot_mark::report(worker, &outcome).await?;
    let cost = worker.cost().await?;
    let redactor = &worker.context.parts.redactor;
    let body = match worker.state.copilot() {
        Some(work) => {
            copilot_texts::comment(worker.number(), &worker.row, work, &outcome, redactor)
        }
        None => texts::comment(
            &worker.issue,
            &worker.row,
            worker.state.pull.as_ref(),
            &outcome,
            cost.usd,
            redactor,
        ),
    };
    labels::ended(worker, &outcome).await;
    note(worker, "comment", EffectState::Intent, json!({})).await?;
    worker.context.parts.failpoints.hit("comment.before");
    let mut pause = FIRST_PAUSE;
    for attempt in 1..=TRIES {
        match upsert_comment(worker, &body).await {
            Ok(comment) => {
                worker.context.parts.failpoints.hit("comment.after");
                let observed = json!({"url": comment.html_url, "author": comment.author});
                note(worker, "comment", EffectState::Observed, observed).await?;
                return Ok(Came::Event(Event::Commented));
            }
            Err(_) if worker.context.stop.is_cancelled() => return Ok(Came::Interrupted),
            Err(Looked::Store(error)) => return Err(error.into()),
            Err(Looked::GitHub(error)) if is_passing(&error) && attempt < TRIES => {
                sleep_unless_stopped(worker, pause).await;
                pause *= 2;
            }
            Err(error) => {
                let text = format!("The comment on {} could not be made: {error}", worker.number());
                let event =
                    worker.event(EventType::IssueCommented, text).severity(Severity::Medium);
                worker.commit_transition(vec![event]).await?;
                return Ok(Came::Event(Event::Commented));
            }
        }
    }
    Ok(Came::Event(Event::Commented))
}

async fn upsert_comment(worker: &Worker<'_>, body: &str) -> Result<Comment, Looked> {
    let (github, repo) = (&worker.context.github, &worker.context.request.repo);
    let hand = Hand::of::<Looked>(github, &worker.context.parts.store, repo).await?;
    let comments = github.comments(repo, worker.number()).await?;
    let ours = comments.into_iter().find(|comment| {
        let marked = texts::has_marker(&comment.body, worker.number());
        comment.body == body || (marked && hand.wrote(comment.author.as_deref()))
    });
    Ok(match ours {
        Some(comment) if comment.body == body => comment,
        Some(comment) => github.update_comment(repo, comment.id, body).await?,
        None => github.create_comment(repo, worker.number(), body).await?,
    })
}
