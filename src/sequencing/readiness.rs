//! The one answer to "why isn't this ready?", for the plan, the status and the log.
//!
//! Owns the view of a whole plan at one moment of its night. A parent has no standing of its own: who
//! depends on it waits for its open sub-issues and for whatever the parent waits for. Never decides
//! what is worked on in the first place (`plan`).

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use crate::domain::ids::IssueNumber;
use crate::domain::plan::{
    DependencyMode, EdgeState, Plan, PlannedIssue, ReasonCode, SequenceType, Skip,
};

use super::order::rank;
use super::standing::{Standing, View, standing};

/// How far an issue is in the night.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    Pending,
    Running,
    /// Passed the gate: its branch exists, or would where nothing is published.
    Succeeded,
    /// Has an open pull request of an earlier night; dependents may stack on it.
    OpenPullRequest,
    Failed(ReasonCode),
    Skipped(ReasonCode),
}

/// Whether an issue can be worked on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// Nothing stands in the way. `stack_on`: blockers done but unmerged, the deepest first, which
    /// is the one most likely to contain the others.
    Ready { stack_on: Vec<IssueNumber> },
    /// Blockers whose work is still to be done tonight.
    Waiting { on: Vec<IssueNumber> },
    /// Not tonight.
    Never(Skip),
}

/// Whether an issue can be worked on, from its blockers' progress and the plan. Its own progress is
/// not looked at, so that a resumed attempt learns its `stack_on` the same way. Issues without an
/// entry in `progress` are pending, or skipped as planned.
#[must_use]
pub fn readiness(
    plan: &Plan,
    progress: &BTreeMap<IssueNumber, Progress>,
    number: IssueNumber,
    mode: DependencyMode,
) -> Readiness {
    let outlook = Outlook::new(plan, progress, mode);
    match outlook.index.get(&number) {
        Some(at) => outlook.readiness(*at),
        None => Readiness::Never(Skip::new(
            ReasonCode::NotSelected,
            format!("{number} is not in the plan"),
        )),
    }
}

/// The pending issues that can be worked on now, in the order they should be.
#[must_use]
pub fn next_ready(
    plan: &Plan,
    progress: &BTreeMap<IssueNumber, Progress>,
    mode: DependencyMode,
    order: &[SequenceType],
) -> Vec<IssueNumber> {
    let outlook = Outlook::new(plan, progress, mode);
    let mut ready: Vec<_> = outlook.pending().filter(|(_, view)| view.is_ready()).collect();
    ready.sort_by_key(|(issue, _)| {
        (rank(order, issue.sequence_type), issue.depth, issue.issue_number)
    });
    ready.into_iter().map(|(issue, _)| issue.issue_number).collect()
}

/// The pending issues that can't be worked on any more, each with its reason, blockers first.
/// Failures pass on: the dependents' dependents are named as well.
#[must_use]
pub fn never_ready(
    plan: &Plan,
    progress: &BTreeMap<IssueNumber, Progress>,
    mode: DependencyMode,
) -> Vec<(IssueNumber, Skip)> {
    let outlook = Outlook::new(plan, progress, mode);
    let mut never: Vec<_> =
        outlook.pending().filter_map(|(issue, view)| Some((issue, view.skip()?))).collect();
    never.sort_by_key(|(issue, _)| (issue.depth, issue.issue_number));
    never.into_iter().map(|(issue, skip)| (issue.issue_number, skip)).collect()
}

/// A planned issue that the night has not come to, and what its edges say.
type Pending<'o> = (&'o PlannedIssue, &'o View);

/// The whole plan seen at one moment.
struct Outlook<'a> {
    plan: &'a Plan,
    index: HashMap<IssueNumber, usize>,
    standings: Vec<Standing>,
    views: Vec<Option<View>>,
    /// Neither begun nor skipped.
    untouched: Vec<bool>,
}

impl<'a> Outlook<'a> {
    fn new(
        plan: &'a Plan,
        progress: &BTreeMap<IssueNumber, Progress>,
        mode: DependencyMode,
    ) -> Self {
        let issues = &plan.issues;
        let index: HashMap<_, _> =
            issues.iter().enumerate().map(|(at, issue)| (issue.issue_number, at)).collect();
        let cyclic: HashSet<_> = plan.cycles.iter().flatten().copied().collect();
        let mut outlook = Self {
            plan,
            index,
            standings: vec![Standing::Pending; issues.len()],
            views: vec![None; issues.len()],
            untouched: vec![false; issues.len()],
        };
        // Outside cycles an issue lies deeper than its blockers, so these come first.
        let mut by_depth: Vec<_> = (0..issues.len()).collect();
        by_depth.sort_by_key(|at| issues[*at].depth);
        for at in by_depth {
            let issue = &issues[at];
            let own = match (progress.get(&issue.issue_number), &issue.skip) {
                (Some(Progress::Pending) | None, Some(skip)) => Progress::Skipped(skip.code),
                (Some(own), _) => *own,
                (None, None) => Progress::Pending,
            };
            let weighed =
                (issue.is_parent || issue.skip.is_none()) && !cyclic.contains(&issue.issue_number);
            let view = weighed.then(|| View::of(&issue.dependencies, |n| outlook.standing_of(n)));
            outlook.untouched[at] = issue.skip.is_none() && own == Progress::Pending;
            outlook.standings[at] = match &view {
                Some(view) if issue.is_parent => view.as_parent(),
                Some(view) if own == Progress::Pending => {
                    let lost = view.skip().map(|skip| Progress::Skipped(skip.code));
                    standing(issue.issue_number, lost.unwrap_or(own), mode)
                }
                Some(_) | None => standing(issue.issue_number, own, mode),
            };
            outlook.views[at] = view;
        }
        outlook
    }

    fn standing_of(&self, number: IssueNumber) -> Option<(&Standing, bool)> {
        let at = *self.index.get(&number)?;
        Some((&self.standings[at], self.is_transparent(at)))
    }

    fn is_transparent(&self, at: usize) -> bool {
        self.plan.issues[at].is_parent && self.views[at].is_some()
    }

    fn pending(&self) -> impl Iterator<Item = Pending<'_>> {
        let views = self.plan.issues.iter().zip(&self.views).zip(&self.untouched);
        views.filter(|(_, untouched)| **untouched).filter_map(|((i, v), _)| Some((i, v.as_ref()?)))
    }

    fn readiness(&self, at: usize) -> Readiness {
        if let Some(skip) = &self.plan.issues[at].skip {
            return Readiness::Never(skip.clone());
        }
        if let Some(skip) = self.views[at].as_ref().and_then(View::skip) {
            return Readiness::Never(skip);
        }
        let (on, stack_on) = self.leaves(at);
        if on.is_empty() { Readiness::Ready { stack_on } } else { Readiness::Waiting { on } }
    }

    /// The issues behind an issue's edges, parents replaced by what they wait for: those pending,
    /// and those done but unmerged.
    fn leaves(&self, at: usize) -> (Vec<IssueNumber>, Vec<IssueNumber>) {
        let (mut pending, mut done) = (Vec::new(), Vec::new());
        let (mut open, mut seen) = (vec![at], HashSet::from([at]));
        while let Some(at) = open.pop() {
            let edges = &self.plan.issues[at].dependencies;
            for edge in edges.iter().filter(|edge| edge.state == EdgeState::InSet) {
                let Some(&blocker) = self.index.get(&edge.on.number) else { continue };
                if !seen.insert(blocker) {
                    continue;
                }
                if self.is_transparent(blocker) {
                    open.push(blocker);
                    continue;
                }
                match self.standings[blocker] {
                    Standing::Done => done.push(blocker),
                    Standing::Pending | Standing::Never(_) => pending.push(blocker),
                }
            }
        }
        let number = |at: usize| self.plan.issues[at].issue_number;
        done.sort_by_key(|at| (Reverse(self.plan.issues[*at].depth), number(*at)));
        pending.sort_by_key(|at| number(*at));
        (pending.into_iter().map(number).collect(), done.into_iter().map(number).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Night, issues};
    use super::*;

    const STACK: DependencyMode = DependencyMode::Stack;

    fn at(entries: &[(u64, Progress)]) -> BTreeMap<IssueNumber, Progress> {
        entries.iter().map(|(number, progress)| (IssueNumber(*number), *progress)).collect()
    }

    fn numbers<const N: usize>(numbers: [u64; N]) -> Vec<IssueNumber> {
        numbers.map(IssueNumber).to_vec()
    }

    /// 4 waits for 3, which waits for 2, which waits for 1; 5 waits for the parent 6 of 7 and 8.
    fn plan() -> Plan {
        Night::new(issues(&[
            (1, &[], &[]),
            (2, &[1], &[]),
            (3, &[2], &[]),
            (4, &[3, 1], &[]),
            (5, &[6], &[]),
            (6, &[], &[7, 8]),
            (7, &[], &[]),
            (8, &[7], &[]),
        ]))
        .plan()
    }

    #[test]
    fn ready_waiting_and_stacked() {
        let plan = plan();
        let of = |progress: &BTreeMap<_, _>, number| {
            readiness(&plan, progress, IssueNumber(number), STACK)
        };
        assert_eq!(of(&at(&[]), 1), Readiness::Ready { stack_on: vec![] });
        assert_eq!(of(&at(&[]), 2), Readiness::Waiting { on: numbers([1]) });
        assert_eq!(of(&at(&[(1, Progress::Running)]), 2), Readiness::Waiting { on: numbers([1]) });
        let done =
            at(&[(1, Progress::Succeeded), (2, Progress::Succeeded), (3, Progress::Succeeded)]);
        assert_eq!(of(&done, 4), Readiness::Ready { stack_on: numbers([3, 1]) });
        assert_eq!(of(&at(&[]), 5), Readiness::Waiting { on: numbers([7, 8]) });
        let done = at(&[(7, Progress::Succeeded), (8, Progress::OpenPullRequest)]);
        assert_eq!(of(&done, 5), Readiness::Ready { stack_on: numbers([8, 7]) });
        assert!(matches!(
            of(&done, 6),
            Readiness::Never(Skip { code: ReasonCode::ParentIssue, .. })
        ));
        assert!(matches!(of(&done, 99), Readiness::Never(_)));
    }

    #[test]
    fn a_failure_is_passed_on_with_its_reason() {
        let plan = plan();
        let failed = at(&[
            (1, Progress::Failed(ReasonCode::GateRefused)),
            (7, Progress::Skipped(ReasonCode::Budget)),
        ]);
        let never: Vec<_> = never_ready(&plan, &failed, STACK)
            .into_iter()
            .map(|(number, skip)| (number.0, skip.code, skip.reason))
            .collect();
        let first = "blocked by #1, which failed: the gate refused its change";
        let expected = [
            (2, ReasonCode::BlockerFailed, first.to_owned()),
            (
                8,
                ReasonCode::BlockerSkipped,
                "blocked by #7, which is skipped: the budget is used up".to_owned(),
            ),
            (
                3,
                ReasonCode::BlockerSkipped,
                "blocked by #2, which is skipped: one of its blockers failed".to_owned(),
            ),
            (
                4,
                ReasonCode::BlockerFailed,
                format!("{first}; blocked by #3, which is skipped: one of its blockers is skipped"),
            ),
            (
                5,
                ReasonCode::BlockerSkipped,
                "blocked by #6, which waits for #7, which is skipped: the budget is used up"
                    .to_owned(),
            ),
        ];
        assert_eq!(never, expected);
        assert_eq!(next_ready(&plan, &failed, STACK, &SequenceType::ALL), []);
        for (number, skip) in never_ready(&plan, &failed, STACK) {
            assert_eq!(readiness(&plan, &failed, number, STACK), Readiness::Never(skip));
        }
    }

    #[test]
    fn the_ready_set_is_ordered_afresh() {
        let plan = plan();
        let next =
            |progress: &BTreeMap<_, _>| next_ready(&plan, progress, STACK, &SequenceType::ALL);
        assert_eq!(next(&at(&[])), numbers([1, 7]));
        assert_eq!(next(&at(&[(1, Progress::Running)])), numbers([7]));
        assert_eq!(next(&at(&[(1, Progress::Succeeded)])), numbers([7, 2]));
    }

    #[test]
    fn an_open_pull_request_may_be_stacked_on_but_not_waited_for() {
        let plan = plan();
        let progress = at(&[(1, Progress::OpenPullRequest)]);
        assert_eq!(
            readiness(&plan, &progress, IssueNumber(2), STACK),
            Readiness::Ready { stack_on: numbers([1]) }
        );
        assert_eq!(
            readiness(&plan, &progress, IssueNumber(2), DependencyMode::Wait),
            Readiness::Never(Skip::new(
                ReasonCode::Blocked,
                "blocked by #1, whose pull request isn't merged"
            ))
        );
    }
}
