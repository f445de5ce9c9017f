//! Issues and nights for the tests of this room.

use std::collections::BTreeMap;

use chrono::DateTime;

use crate::domain::ids::{IssueNumber, RepoName};
use crate::domain::issue::{Association, BlockerState, Issue, IssueRef, Trust};
use crate::domain::plan::{DependencyMode, Plan, SequenceType, Skip};

use super::{BlockerKey, PlanInput, plan};
use crate::domain::labels::EscalationLabels;

pub(super) fn repo() -> RepoName {
    "Acme/App".parse().expect("a valid name")
}

/// A plain trusted issue.
pub(super) fn issue(number: u64) -> Issue {
    Issue {
        number: IssueNumber(number),
        title: format!("Do thing {number}"),
        body: String::new(),
        labels: Vec::new(),
        author: "ann".to_owned(),
        association: Association::Owner,
        milestone_due: None,
        created_at: DateTime::UNIX_EPOCH,
        updated_at: DateTime::UNIX_EPOCH,
        html_url: format!("https://forge.example/Acme/App/issues/{number}"),
        blocked_by: Vec::new(),
        sub_issues: Vec::new(),
        trust: Trust::Author("OWNER".to_owned()),
        vetting: crate::domain::vetting::Vetting::default(),
    }
}

/// An open issue of the same repository.
pub(super) fn open(number: u64) -> IssueRef {
    IssueRef { repo: None, number: IssueNumber(number), open: true }
}

/// What a night is asked for, to be changed by a test.
pub(super) struct Night {
    pub issues: Vec<Issue>,
    pub order: Vec<SequenceType>,
    pub mode: DependencyMode,
    pub select_issues: Vec<IssueNumber>,
    pub select_labels: Vec<String>,
    pub max_issues: u32,
    pub pre_skips: BTreeMap<IssueNumber, Skip>,
    pub known: BTreeMap<BlockerKey, BlockerState>,
}

impl Night {
    pub fn new(issues: Vec<Issue>) -> Self {
        Self {
            issues,
            order: SequenceType::ALL.to_vec(),
            mode: DependencyMode::Stack,
            select_issues: Vec::new(),
            select_labels: Vec::new(),
            max_issues: 50,
            pre_skips: BTreeMap::new(),
            known: BTreeMap::new(),
        }
    }

    pub fn plan(&self) -> Plan {
        plan(&PlanInput {
            issues: &self.issues,
            repo: &repo(),
            order: &self.order,
            mode: self.mode,
            select_issues: &self.select_issues,
            select_labels: &self.select_labels,
            max_issues: self.max_issues,
            pre_skips: &self.pre_skips,
            known: &self.known,
            labels: &EscalationLabels::default(),
            now: DateTime::UNIX_EPOCH,
        })
    }
}

/// Issues from their edges: number, blockers, sub-issues.
pub(super) fn issues(edges: &[(u64, &[u64], &[u64])]) -> Vec<Issue> {
    edges
        .iter()
        .map(|(number, blocked_by, sub_issues)| Issue {
            blocked_by: blocked_by.iter().copied().map(open).collect(),
            sub_issues: sub_issues.iter().copied().map(open).collect(),
            ..issue(*number)
        })
        .collect()
}

/// The numbers to be worked on, in order.
pub(super) fn eligible(plan: &Plan) -> Vec<u64> {
    plan.eligible().map(|issue| issue.issue_number.0).collect()
}

/// The code and reason of a skipped issue.
pub(super) fn skip(plan: &Plan, number: u64) -> Skip {
    plan.get(IssueNumber(number)).and_then(|issue| issue.skip.clone()).expect("a skipped issue")
}
