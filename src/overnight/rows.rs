//! The night's board: the plan, the row of each issue, and what was noted of the run as a whole.
//!
//! Owns what is known in memory; every change to it is committed by whoever makes it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::planning::{Gathered, OpenPull};
use crate::domain::ids::{CommitId, IssueNumber, branch_for};
use crate::domain::issue::Issue;
use crate::domain::plan::{Plan, ReasonCode, Skip};
use crate::domain::run::{IssueResult, IssueStatus};
use crate::gate::BaseVerdict;
use crate::sequencing::Progress;

/// Facts of the run that a restart needs again. Stored as the run's notes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Notes {
    pub default_branch: String,
    pub clone_url: String,
    pub issues: Vec<Issue>,
    pub open_pulls: BTreeMap<IssueNumber, OpenPull>,
    /// What the gate said of each base commit; judged once per night and commit.
    pub bases: BTreeMap<CommitId, BaseVerdict>,
    /// The base was red from the start, and only what repairs it is worked on.
    #[serde(default)]
    pub repair_only: bool,
}

/// The state of the night.
#[derive(Debug)]
pub(super) struct Board {
    pub plan: Plan,
    pub notes: Notes,
    rows: BTreeMap<IssueNumber, IssueResult>,
}

impl Board {
    /// A fresh board: everybody pending but those the plan leaves out.
    pub fn new(gathered: Gathered) -> Self {
        let Gathered { repository, issues, plan, open_pulls } = gathered;
        let rows = plan.issues.iter().map(|planned| {
            let mut row =
                IssueResult::pending(planned.issue_number, &planned.title, planned.sequence_type);
            if let Some(skip) = &planned.skip {
                mark_skipped(&mut row, skip);
            }
            if let Some(pull) = open_pulls.get(&planned.issue_number) {
                row.pr_url = Some(pull.url.clone());
            }
            (planned.issue_number, row)
        });
        let rows = rows.collect();
        let notes = Notes {
            default_branch: repository.default_branch,
            clone_url: repository.clone_url,
            issues,
            open_pulls,
            bases: BTreeMap::new(),
            repair_only: false,
        };
        Self { plan, notes, rows }
    }

    /// The board as it was stored.
    pub fn load(plan: Plan, notes: Notes, rows: Vec<IssueResult>) -> Self {
        let rows = rows.into_iter().map(|row| (row.issue_number, row)).collect();
        Self { plan, notes, rows }
    }

    pub fn row(&self, number: IssueNumber) -> Option<&IssueResult> {
        self.rows.get(&number)
    }

    pub fn put(&mut self, row: IssueResult) {
        self.rows.insert(row.issue_number, row);
    }

    /// Rows in the plan's order.
    pub fn rows(&self) -> Vec<IssueResult> {
        self.plan
            .issues
            .iter()
            .filter_map(|planned| self.rows.get(&planned.issue_number).cloned())
            .collect()
    }

    pub fn issue(&self, number: IssueNumber) -> Option<&Issue> {
        self.notes.issues.iter().find(|issue| issue.number == number)
    }

    /// Issues not yet ended, in the plan's order.
    pub fn unfinished(&self) -> Vec<IssueNumber> {
        self.plan
            .issues
            .iter()
            .map(|planned| planned.issue_number)
            .filter(|number| self.row(*number).is_some_and(|row| !row.status.is_final()))
            .collect()
    }

    /// Issues somebody was working on when the board was stored.
    pub fn interrupted(&self) -> Vec<IssueNumber> {
        self.unfinished()
            .into_iter()
            .filter(|number| {
                self.row(*number).is_some_and(|row| row.status == IssueStatus::Running)
            })
            .collect()
    }

    /// The state of each issue in sequencing's words.
    pub fn progress(&self) -> BTreeMap<IssueNumber, Progress> {
        self.rows.iter().map(|(number, row)| (*number, progress_of(row))).collect()
    }

    /// The branch a dependent stacks on: this night's, or that of an earlier night's open pull
    /// request. `None` where the work was not published.
    pub fn branch_of(&self, number: IssueNumber) -> Option<String> {
        match self.notes.open_pulls.get(&number) {
            Some(pull) => Some(pull.branch.clone().unwrap_or_else(|| branch_for(number))),
            None => self.row(number).and_then(|row| row.branch.clone()),
        }
    }

    /// The tip a dependent stacks on: this night's, or that of an earlier night's open pull request.
    pub fn tip_of(&self, number: IssueNumber) -> Option<CommitId> {
        if let Some(pull) = self.notes.open_pulls.get(&number) {
            return pull.head.parse().ok();
        }
        self.row(number).and_then(|row| row.head_sha.clone())
    }
}

fn progress_of(row: &IssueResult) -> Progress {
    let code = row.reason_code.unwrap_or(ReasonCode::Internal);
    match row.status {
        IssueStatus::Pending => Progress::Pending,
        IssueStatus::Running => Progress::Running,
        IssueStatus::Success => Progress::Succeeded,
        IssueStatus::Failed => Progress::Failed(code),
        IssueStatus::Skipped if code == ReasonCode::OpenPullRequest => Progress::OpenPullRequest,
        IssueStatus::Skipped => Progress::Skipped(code),
    }
}

/// Ends a row as failed.
pub(super) fn mark_failed(row: &mut IssueResult, code: ReasonCode, reason: &str) {
    row.status = IssueStatus::Failed;
    row.step = None;
    row.reason = Some(reason.to_owned());
    row.reason_code = Some(code);
    row.error_message = Some(reason.to_owned());
}

/// Ends a row as skipped.
pub(super) fn mark_skipped(row: &mut IssueResult, skip: &Skip) {
    row.status = IssueStatus::Skipped;
    row.step = None;
    row.reason = Some(skip.reason.clone());
    row.reason_code = Some(skip.code);
}
