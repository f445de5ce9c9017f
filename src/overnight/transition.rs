//! How a transition of an attempt is written: state, row and events in one commit, and how the
//! attempt's row ends. Decides nothing about what comes next.

use serde_json::json;

use super::context::EngineError;
use super::describe;
use super::issue::{IssueEnd, Worker, could_not};
use super::rows::{mark_failed, mark_skipped};
use crate::domain::attempt::{Outcome, Phase};
use crate::domain::event::{EventType, NewEvent, Severity};
use crate::domain::plan::{ReasonCode, Skip};
use crate::domain::run::IssueStatus;
use crate::git;
use crate::store::Change;

impl Worker<'_> {
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
        let branch = self.branch();
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
            row.branch = Some(branch);
        }
    }

    pub async fn end(&mut self, outcome: &Outcome) -> Result<(), EngineError> {
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
                mark_failed(&mut self.row, *code, reason);
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

    pub async fn end_skipped(&mut self, skip: &Skip) -> Result<(), EngineError> {
        self.refresh_row();
        mark_skipped(&mut self.row, skip);
        self.state.phase = Phase::Ended;
        let mut changes = vec![self.attempt_change(true), Change::IssueRow(self.row.clone())];
        if skip.code == ReasonCode::Budget {
            let event = self.event(EventType::BudgetExhausted, skip.reason.as_str());
            changes.push(Change::Event(event.severity(Severity::High)));
        }
        changes.push(Change::Event(describe::ended_row(&self.context.fence.run, &self.row)));
        self.context.commit(changes).await?;
        self.context.board().put(self.row.clone());
        Ok(())
    }

    /// What broke ends the attempt, with its reason.
    pub async fn fail(&mut self, error: &EngineError) -> Result<(), EngineError> {
        let reason = could_not(error);
        self.end(&Outcome::Failed { code: ReasonCode::Internal, reason }).await
    }

    /// Stopped in good order: what begins again at the next start is not counted as a crash.
    pub async fn pause(&mut self) -> Result<IssueEnd, EngineError> {
        if self.state.phase == Phase::Building && !self.state.paused {
            self.state.paused = true;
            self.commit_transition(Vec::new()).await?;
        }
        Ok(IssueEnd::Interrupted)
    }

    /// The workspaces of an attempt that ended go.
    pub async fn leave(&mut self, end: IssueEnd) -> Result<IssueEnd, EngineError> {
        match end {
            IssueEnd::Done | IssueEnd::Halt(_) => {
                let dir = self.context.parts.settings.work_dir(&self.attempt);
                if let Err(error) = git::remove_workspace(&dir).await {
                    tracing::warn!(%error, "the workspace {} is left", dir.display());
                }
            }
            IssueEnd::Interrupted => {}
        }
        Ok(end)
    }
}
