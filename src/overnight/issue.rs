//! One issue in one night: the interpreter of the attempt's effects.
//!
//! Owns the loop `effect -> what came of it -> next state`, and the one commit per transition that
//! holds state, row and events together. What an effect does stands in `build`, `judge`, `publish`.

use std::time::Instant;

use serde_json::json;

use super::build::{self, Built};
use super::describe;
use super::judge::{self, BaseJudge};
use super::night::{Context, EngineError};
use super::publish;
use super::rows::mark_skipped;
use super::stand;
use crate::domain::attempt::{self, CLIMB_TO, Effect, Event, Outcome, Phase, Rules, State};
use crate::domain::event::{EventType, NewEvent, Severity};
use crate::domain::ids::{AttemptId, IssueNumber, branch_for};
use crate::domain::issue::Issue;
use crate::domain::money::Usd;
use crate::domain::plan::{PlannedIssue, ReasonCode, Skip};
use crate::domain::run::{IssueResult, IssueStatus};
use crate::domain::tier::ModelTier;
use crate::escalation;
use crate::gate::Judgement;
use crate::git::{self, Mirror};
use crate::store::{AttemptStatus, Change};

/// How work on an issue stopped.
pub(super) enum IssueEnd {
    /// Its row is final.
    Done,
    /// A ceiling was reached: the night ends.
    Budget(String),
    /// Stopped on request; nothing was written, the attempt is resumed.
    Interrupted,
}

/// What came of an effect.
pub(super) enum Came {
    Event(Event),
    /// The gate's word, for the row, with the event that follows from it.
    Judged(Box<Judgement>, Event),
    Budget(String),
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
    begun: Instant,
    /// Time spent before a restart.
    before: u64,
}

/// Money and tiers of one issue.
pub(super) struct IssueCost {
    pub usd: Usd,
    pub tiers: Vec<ModelTier>,
}

/// Works an issue from where it stands to its end.
pub(super) async fn work(
    context: &Context<'_>,
    mirror: &Mirror,
    bases: &BaseJudge<'_>,
    number: IssueNumber,
) -> Result<IssueEnd, EngineError> {
    let found = {
        let board = context.board();
        (board.plan.get(number).cloned(), board.issue(number).cloned(), board.row(number).cloned())
    };
    let (Some(planned), Some(issue), Some(mut row)) = found else { return Ok(IssueEnd::Done) };
    let stored = context.parts.store.attempt(&context.fence.run, number).await?;
    let resumed = stored.filter(|attempt| attempt.status == AttemptStatus::Open);
    let (attempt, state) = match resumed {
        Some(stored) => {
            let state = serde_json::from_value(stored.state).map_err(|error| {
                let run = context.fence.run.clone();
                EngineError::Stored { what: "attempt", run, why: error.to_string() }
            })?;
            (stored.id, Some(state))
        }
        None => (AttemptId::fresh(), None),
    };
    let (state, effect, resumed) = match state {
        Some(state) => {
            let (state, effect) = attempt::step(state, Event::Restarted, rules(context));
            (state, effect, true)
        }
        None => match stand::choose(context, mirror, bases, number).await? {
            Ok(stand) => {
                (State::new(first_tier(context, &planned, &issue), stand), Effect::Build, false)
            }
            Err(skip) => {
                mark_skipped(&mut row, &skip);
                let event = describe::skipped(&context.fence.run, &row);
                context.commit(vec![Change::IssueRow(row.clone()), Change::Event(event)]).await?;
                context.board().put(row);
                return Ok(IssueEnd::Done);
            }
        },
    };
    let before = row.execution_time;
    let mut worker = Worker {
        context,
        mirror,
        bases,
        planned,
        issue,
        attempt,
        state,
        row,
        begun: Instant::now(),
        before,
    };
    worker.announce(resumed).await?;
    context.parts.failpoints.hit("issue.started");
    let end = match worker.run(effect).await {
        // The store's faults and interruptions end nothing: the attempt is taken up again.
        Err(error @ (EngineError::Store(_) | EngineError::Interrupted)) => return Err(error),
        Err(error) => {
            let reason = format!("Foreman could not go on: {error}");
            worker.end(&Outcome::Failed { code: ReasonCode::Internal, reason }).await?;
            Ok(IssueEnd::Done)
        }
        Ok(end) => Ok(end),
    };
    if let Ok(IssueEnd::Done | IssueEnd::Budget(_)) = &end {
        git::remove_workspace(&context.parts.settings.work_dir(&worker.attempt)).await.ok();
    }
    end
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
        &issue.labels,
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
        branch_for(self.issue.number)
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
        Ok(IssueCost { usd: calls.iter().map(|call| call.cost).sum(), tiers })
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
                return Ok(IssueEnd::Interrupted);
            }
            let came = match &effect {
                Effect::Build => match build::round(self).await? {
                    Built::Came(came) => came,
                    Built::Lowered => continue,
                },
                Effect::Judge => judge::candidate(self).await?,
                Effect::Push => publish::push(self).await?,
                Effect::OpenPull => publish::open_pull(self).await?,
                Effect::Comment => publish::comment(self).await?,
                Effect::End(outcome) => {
                    let outcome = outcome.clone();
                    self.end(&outcome).await?;
                    return Ok(IssueEnd::Done);
                }
            };
            let event = match came {
                Came::Event(event) => event,
                Came::Judged(judgement, event) => {
                    self.row.qa_results = Some(judgement.qa.clone());
                    self.row.governance_results = Some(judgement.governance.clone());
                    event
                }
                Came::Budget(why) => {
                    self.end_for_budget(&why).await?;
                    return Ok(IssueEnd::Budget(why));
                }
                Came::Interrupted => return Ok(IssueEnd::Interrupted),
            };
            let said = describe::transition(self, &event);
            let (state, next) = attempt::step(self.state.clone(), event, rules(self.context));
            self.state = state;
            self.commit_transition(said).await?;
            self.after_commit();
            effect = next;
        }
    }

    fn after_commit(&self) {
        let name = match self.state.phase {
            Phase::Building => return,
            Phase::Gating => "work.kept",
            Phase::Pushing => "gate.stored",
            Phase::OpeningPull => "push.observed",
            Phase::Commenting => "pull.observed",
            Phase::Ended => "comment.observed",
        };
        self.context.parts.failpoints.hit(name);
    }

    /// State, row and events, in one transaction.
    pub async fn commit_transition(&mut self, events: Vec<NewEvent>) -> Result<(), EngineError> {
        self.refresh_row();
        let mut changes = vec![self.attempt_change(false), Change::IssueRow(self.row.clone())];
        changes.extend(events.into_iter().map(Change::Event));
        self.context.commit(changes).await?;
        self.context.board().put(self.row.clone());
        Ok(())
    }

    fn attempt_change(&self, ended: bool) -> Change {
        Change::Attempt {
            id: self.attempt.clone(),
            issue: self.number(),
            state: serde_json::to_value(&self.state).unwrap_or_default(),
            ended,
        }
    }

    fn refresh_row(&mut self) {
        let spent = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let row = &mut self.row;
        row.status = IssueStatus::Running;
        row.step = Some(self.state.phase.label().to_owned());
        row.build_id = Some(self.attempt.to_string());
        row.sequence_id = Some(format!("{}{}", self.context.fence.run, self.issue.number));
        row.execution_time = self.before.saturating_add(spent);
        row.base_sha = Some(self.state.stand.base.clone());
        if let Some(candidate) = &self.state.candidate {
            row.base_sha = Some(candidate.base.clone());
            row.head_sha = Some(candidate.commit.clone());
            row.tree_sha = Some(candidate.tree.clone());
        }
        if let Some(pull) = &self.state.pull {
            row.pr_url = Some(pull.url.clone());
        }
        if matches!(self.state.phase, Phase::OpeningPull) || self.state.pull.is_some() {
            row.branch = Some(branch_for(self.issue.number));
        }
    }

    async fn end(&mut self, outcome: &Outcome) -> Result<(), EngineError> {
        self.state.phase = Phase::Ended;
        self.refresh_row();
        self.row.step = None;
        let event = match outcome {
            Outcome::Success => {
                self.row.status = IssueStatus::Success;
                self.row.reason = None;
                self.row.reason_code = None;
                let text = describe::success(&self.row);
                self.event(EventType::IssueExecutionCompleted, text)
                    .with("prUrl", json!(self.row.pr_url))
                    .with("tree", json!(self.row.tree_sha))
            }
            Outcome::Failed { code, reason } => {
                self.row.status = IssueStatus::Failed;
                self.row.reason = Some(reason.clone());
                self.row.reason_code = Some(*code);
                self.row.error_message = Some(reason.clone());
                if self.state.candidate.is_none() {
                    self.row.head_sha = None;
                }
                let text = format!("{} failed: {reason}", self.number());
                self.event(EventType::IssueExecutionFailed, text)
                    .severity(Severity::Medium)
                    .with("reasonCode", json!(code))
            }
        };
        self.context
            .commit(vec![
                self.attempt_change(true),
                Change::IssueRow(self.row.clone()),
                Change::Event(event),
            ])
            .await?;
        self.context.board().put(self.row.clone());
        self.context.parts.failpoints.hit("issue.ended");
        Ok(())
    }

    async fn end_for_budget(&mut self, why: &str) -> Result<(), EngineError> {
        self.refresh_row();
        mark_skipped(&mut self.row, &Skip::new(ReasonCode::Budget, why));
        self.state.phase = Phase::Ended;
        let event = self.event(EventType::BudgetExhausted, why).severity(Severity::High);
        let skipped = describe::skipped(&self.context.fence.run, &self.row);
        self.context
            .commit(vec![
                self.attempt_change(true),
                Change::IssueRow(self.row.clone()),
                Change::Event(event),
                Change::Event(skipped),
            ])
            .await?;
        self.context.board().put(self.row.clone());
        Ok(())
    }
}
