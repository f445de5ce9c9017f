//! One issue in one night: the interpreter of the attempt's effects.
//!
//! Owns the loop `effect -> what came of it -> next state`. What an effect does stands in `build`,
//! `judge`, `publish`; how a transition is written in `transition`.

use std::time::Instant;

use super::branch::{self, Place};
use super::build::{self, Built};
use super::context::{Context, EngineError};
use super::copilot_mark;
use super::describe;
use super::evidence;
use super::judge::{self, BaseJudge};
use super::labels;
use super::planning;
use super::publish;
use super::rows::{mark_failed, mark_skipped};
use super::stand::{self, Choice};
use crate::domain::attempt::{self, CLIMB_TO, Effect, Event, Phase, Rules, State};
use crate::domain::event::{EventType, NewEvent};
use crate::domain::ids::{AttemptId, IssueNumber, branch_for};
use crate::domain::issue::Issue;
use crate::domain::money::Usd;
use crate::domain::plan::{PlannedIssue, ReasonCode, Skip};
use crate::domain::run::IssueResult;
use crate::domain::tier::ModelTier;
use crate::escalation;
use crate::gate::Judgement;
use crate::git::Mirror;
use crate::store::{AttemptStatus, Change};

/// How work on an issue stopped.
pub(super) enum IssueEnd {
    /// Its row is final.
    Done,
    /// A ceiling was reached, or the base turned red: the night ends for this reason.
    Halt(Skip),
    /// Stopped on request; nothing was written, the attempt is resumed.
    Interrupted,
}

/// What came of an effect.
pub(super) enum Came {
    Event(Event),
    /// The gate's word, for the row, with the event that follows from it.
    Judged(Box<Judgement>, Event),
    /// The night ends for this reason.
    Halt(Skip),
    /// This issue ends for this reason, and nothing else does.
    Skip(Skip),
    Interrupted,
}

/// The issue being worked on.
pub(super) struct Worker<'a> {
    pub context: &'a Context<'a>,
    pub mirror: &'a Mirror,
    pub bases: &'a BaseJudge<'a>,
    pub planned: PlannedIssue,
    pub issue: Issue,
    pub attempt: AttemptId,
    pub state: State,
    pub row: IssueResult,
    pub begun: Instant,
    /// Time spent before a restart.
    pub before: u64,
}

/// Money and tiers of one issue.
pub(super) struct IssueCost {
    pub usd: Usd,
    pub tiers: Vec<ModelTier>,
    /// The models' own ids, as they were first asked.
    pub models: Vec<String>,
}

/// An issue about to be worked on, or why it is not.
enum Start<'a> {
    Worker(Box<Worker<'a>>, Effect, bool),
    Skip(Skip),
    Halt(Skip),
}

/// Works an issue from where it stands to its end.
pub(super) async fn work(
    context: &Context<'_>,
    mirror: &Mirror,
    bases: &BaseJudge<'_>,
    number: IssueNumber,
) -> Result<IssueEnd, EngineError> {
    let Some(row) = context.board().row(number).cloned() else { return Ok(IssueEnd::Done) };
    let mut worker = match start(context, mirror, bases, row.clone()).await {
        Ok(Start::Worker(worker, effect, resumed)) => {
            let mut worker = *worker;
            tracing::Span::current().record("attempt", worker.attempt.as_str());
            worker.announce(resumed).await?;
            labels::begun(&worker).await;
            context.parts.failpoints.hit("issue.started");
            match worker.run(effect).await {
                Ok(end) => return worker.leave(end).await,
                Err(error) => {
                    context.ask_about(&error).await;
                    if context.leaves_open(&error) {
                        return Err(error);
                    }
                    worker.fail(&error).await?;
                }
            }
            worker
        }
        Ok(Start::Skip(skip)) => {
            end_row(context, row, |row| mark_skipped(row, &skip)).await?;
            return Ok(IssueEnd::Done);
        }
        Ok(Start::Halt(skip)) => return Ok(IssueEnd::Halt(skip)),
        Err(error) => {
            context.ask_about(&error).await;
            if context.leaves_open(&error) {
                return Err(error);
            }
            let reason = could_not(&error);
            end_row(context, row, |row| mark_failed(row, ReasonCode::Internal, &reason)).await?;
            return Ok(IssueEnd::Done);
        }
    };
    worker.leave(IssueEnd::Done).await
}

pub(super) fn could_not(error: &EngineError) -> String {
    format!("Foreman could not go on: {error}")
}

/// Ends the row of an issue that has no attempt.
async fn end_row(
    context: &Context<'_>,
    mut row: IssueResult,
    mark: impl FnOnce(&mut IssueResult),
) -> Result<(), EngineError> {
    mark(&mut row);
    let event = describe::ended_row(&context.fence.run, &row);
    context.commit(vec![Change::IssueRow(row.clone()), Change::Event(event)]).await?;
    context.board().put(row);
    Ok(())
}

/// Finds the attempt that was interrupted, or begins one.
async fn start<'a>(
    context: &'a Context<'a>,
    mirror: &'a Mirror,
    bases: &'a BaseJudge<'a>,
    row: IssueResult,
) -> Result<Start<'a>, EngineError> {
    let number = row.issue_number;
    let found = {
        let board = context.board();
        (board.plan.get(number).cloned(), board.issue(number).cloned())
    };
    let (Some(planned), Some(issue)) = found else {
        let reason = "it is no longer in the stored plan";
        return Ok(Start::Skip(Skip::new(ReasonCode::Internal, reason)));
    };
    let stored = context.parts.store.attempt(&context.fence.run, number).await?;
    let (attempt, state, effect, resumed) =
        match stored.filter(|attempt| attempt.status == AttemptStatus::Open) {
            Some(stored) => {
                let state = serde_json::from_value(stored.state).map_err(|error| {
                    let run = context.fence.run.clone();
                    EngineError::Stored { what: "attempt", run, why: error.to_string() }
                })?;
                let (state, effect) = attempt::step(state, Event::Restarted, rules(context));
                (stored.id, state, effect, true)
            }
            None => match begin(context, mirror, bases, &planned, &issue).await? {
                Begun::Work(attempt, state, effect) => (attempt, *state, effect, false),
                Begun::Skip(skip) => return Ok(Start::Skip(skip)),
                Begun::Halt(skip) => return Ok(Start::Halt(skip)),
            },
        };
    let before = row.execution_time;
    let begun = Instant::now();
    let worker =
        Worker { context, mirror, bases, planned, issue, attempt, state, row, begun, before };
    Ok(Start::Worker(Box::new(worker), effect, resumed))
}

/// An attempt that nobody began before, or why there is none.
enum Begun {
    Work(AttemptId, Box<State>, Effect),
    Skip(Skip),
    Halt(Skip),
}

async fn begin(
    context: &Context<'_>,
    mirror: &Mirror,
    bases: &BaseJudge<'_>,
    planned: &PlannedIssue,
    issue: &Issue,
) -> Result<Begun, EngineError> {
    let stand = match stand::choose(context, mirror, bases, issue.number).await? {
        Choice::On(stand) => stand,
        Choice::Skip(skip) => return Ok(Begun::Skip(skip)),
        Choice::Halt(skip) => return Ok(Begun::Halt(skip)),
    };
    let id = AttemptId::fresh();
    match branch::choose(context, mirror, issue, &stand).await? {
        Place::Free(branch) => {
            let mut state = State::new(first_tier(context, planned, issue), stand);
            state.branch = Some(branch);
            Ok(Begun::Work(id, Box::new(state), Effect::Build))
        }
        Place::Adopted { state, tip } => {
            let work = State::work_ref(&id, state.round);
            mirror.save_ref(&work, tip.as_str()).await?;
            Ok(Begun::Work(id, state, Effect::Judge))
        }
        Place::None(skip) => Ok(Begun::Skip(skip)),
    }
}

pub(super) fn rules(context: &Context<'_>) -> Rules {
    let config = &context.request.config;
    Rules {
        auto_heal: config.enable_auto_heal,
        escalation: config.enable_model_escalation
            && context.parts.live_tiers().contains(&CLIMB_TO),
        publish: config.create_prs_automatically,
    }
}

/// The tier the rules give this issue before anybody tried.
fn first_tier(context: &Context<'_>, planned: &PlannedIssue, issue: &Issue) -> ModelTier {
    if !context.request.config.enable_model_escalation {
        return context.parts.settings.selection.default_tier;
    }
    select(context, planned, issue).selected_model
}

pub(super) fn select(
    context: &Context<'_>,
    planned: &PlannedIssue,
    issue: &Issue,
) -> escalation::Selection {
    let facts = escalation::context_for(
        planned,
        &issue.spending_labels(),
        issue.milestone_due,
        chrono::Utc::now(),
        &context.parts.settings.labels,
    );
    context.parts.settings.selection.select(&facts, false)
}

impl Worker<'_> {
    pub fn number(&self) -> IssueNumber {
        self.issue.number
    }

    pub fn branch(&self) -> String {
        let of_copilot = self.state.copilot().and_then(|work| work.branch.clone());
        let ours = || self.state.branch.clone();
        of_copilot.or_else(ours).unwrap_or_else(|| branch_for(self.issue.number))
    }

    pub fn event(&self, kind: EventType, description: impl Into<String>) -> NewEvent {
        self.context.event(kind, description).issue(self.number())
    }

    /// What this issue has cost so far, and which tiers worked on it.
    pub async fn cost(&self) -> Result<IssueCost, EngineError> {
        let run = &self.context.fence.run;
        let calls = self.context.parts.store.calls(run, Some(self.number())).await?;
        let mut tiers: Vec<ModelTier> = calls.iter().map(|call| call.tier).collect();
        tiers.extend(self.state.finished_by);
        tiers.sort_unstable();
        tiers.dedup();
        let mut models: Vec<String> = Vec::new();
        for call in &calls {
            if !models.contains(&call.model) {
                models.push(call.model.clone());
            }
        }
        let (_, sessions) = self.context.parts.store.sessions(run, Some(self.number())).await?;
        let usd = calls.iter().map(|call| call.cost).sum::<Usd>() + sessions;
        Ok(IssueCost { usd, tiers, models })
    }

    async fn announce(&mut self, resumed: bool) -> Result<(), EngineError> {
        let (kind, word) = if resumed {
            (EventType::IssueExecutionResumed, "resumed")
        } else {
            (EventType::IssueExecutionStarted, "started")
        };
        let text = format!("Work on {} `{}` {word}", self.number(), self.issue.title);
        let event = self
            .event(kind, text)
            .with("attemptId", self.attempt.as_str())
            .with("tier", self.state.tier.as_str())
            .with("base", self.state.stand.base.as_str());
        self.commit_transition(vec![event]).await
    }

    async fn run(&mut self, first: Effect) -> Result<IssueEnd, EngineError> {
        let mut effect = first;
        loop {
            if self.context.stop.is_cancelled() {
                return self.pause().await;
            }
            let came = match &effect {
                Effect::Build => match build::round(self).await? {
                    Built::Came(came) => came,
                    Built::Lowered => continue,
                },
                Effect::Judge => judge::candidate(self).await?,
                Effect::Push => publish::push(self).await?,
                Effect::OpenPull => publish::open_pull(self).await?,
                Effect::Mark => copilot_mark::mark(self).await?,
                Effect::Comment => publish::comment(self).await?,
                Effect::End(outcome) => {
                    let outcome = outcome.clone();
                    self.end(&outcome).await?;
                    return Ok(IssueEnd::Done);
                }
            };
            let mut judged = None;
            let event = match came {
                Came::Event(event) => event,
                Came::Judged(judgement, event) => {
                    judged = Some(evidence::logs_in(&judgement.qa));
                    self.row.qa_results = Some(judgement.qa.clone());
                    self.row.governance_results = Some(judgement.governance.clone());
                    event
                }
                Came::Halt(skip) => {
                    self.end_skipped(&skip).await?;
                    return Ok(IssueEnd::Halt(skip));
                }
                Came::Skip(skip) => {
                    self.end_skipped(&skip).await?;
                    return Ok(IssueEnd::Done);
                }
                Came::Interrupted => return self.pause().await,
            };
            let mut said = describe::transition(self, &event);
            // The row holds the last round alone; of earlier ones this is what is left.
            if let Some(logs) = judged {
                evidence::name_logs(&mut said, self.state.round, logs);
            }
            let (state, next) = attempt::step(self.state.clone(), event, rules(self.context));
            self.state = state;
            self.commit_transition(said).await?;
            self.context.claims.follow(self.number(), &self.state);
            self.after_commit();
            effect = next;
        }
    }

    fn after_commit(&self) {
        let name = match self.state.phase {
            Phase::Building => return,
            Phase::Gating => "work.kept",
            Phase::Pushing | Phase::Marking => "gate.stored",
            Phase::OpeningPull => "push.observed",
            Phase::Commenting => "pull.observed",
            Phase::Ended => "comment.observed",
        };
        self.context.parts.failpoints.hit(name);
    }

    /// The mirror with a token that still lives: a round may take longer than one of an App does.
    pub async fn live_mirror(&self) -> Mirror {
        let repo = &self.context.request.repo;
        let live = planning::with_live_token(&self.context.github, repo, self.mirror).await;
        live.unwrap_or_else(|error| {
            tracing::warn!(%error, "no fresh token for git, going on with the last one");
            self.mirror.clone()
        })
    }
}
