//! Small nights and their plans.

use super::*;
use crate::sequencing::testing::{Night, eligible, issue, issues, open, skip};

#[test]
fn blockers_first_then_type_then_depth_then_number() {
    let mut night = Night::new(issues(&[
        (1, &[5], &[]),
        (2, &[], &[]),
        (3, &[], &[]),
        (4, &[], &[]),
        (5, &[], &[]),
    ]));
    night.issues[0].labels = vec!["architecture".into()];
    night.issues[3].labels = vec!["qa".into()];
    assert_eq!(eligible(&night.plan()), [4, 2, 3, 5, 1]);
    night.order = vec![SequenceType::Build];
    assert_eq!(eligible(&night.plan()), [2, 3, 5, 1, 4]);
    let plan = night.plan();
    let first = plan.get(IssueNumber(1)).expect("planned");
    assert_eq!((first.depth, first.can_execute_now), (1, false));
    assert_eq!(first.depends_on, [IssueNumber(5)]);
    let fifth = plan.get(IssueNumber(5)).expect("planned");
    assert_eq!((fifth.blocks.as_slice(), fifth.can_execute_now), (&[IssueNumber(1)][..], true));
}

#[test]
fn cycles_are_named_and_only_they_and_their_dependents_are_skipped() {
    let night = Night::new(issues(&[
        (1, &[2], &[]),
        (2, &[3], &[]),
        (3, &[1], &[]),
        (4, &[3], &[]),
        (5, &[4], &[]),
        (6, &[], &[]),
        (7, &[6], &[]),
    ]));
    let plan = night.plan();
    assert_eq!(plan.cycles, [[1, 2, 3].map(IssueNumber)]);
    assert_eq!(eligible(&plan), [6, 7]);
    assert_eq!(skip(&plan, 2), Skip::new(ReasonCode::Cycle, "in a dependency cycle with #1, #3"));
    assert_eq!(
        skip(&plan, 4),
        Skip::new(ReasonCode::BlockedByCycle, "blocked by #3, which is in a dependency cycle")
    );
    assert_eq!(
        skip(&plan, 5),
        Skip::new(ReasonCode::BlockedByCycle, "blocked by #4, which waits for a dependency cycle")
    );
    let order: Vec<_> = plan.issues.iter().map(|issue| issue.issue_number.0).collect();
    assert_eq!(order, [6, 7, 1, 2, 3, 4, 5]);
}

#[test]
fn a_parent_is_not_worked_on_and_its_dependents_wait_for_its_children() {
    let night = Night::new(issues(&[
        (1, &[2], &[]),
        (2, &[6], &[3, 4]),
        (3, &[], &[]),
        (4, &[], &[5]),
        (5, &[], &[]),
        (6, &[], &[]),
    ]));
    let plan = night.plan();
    assert_eq!(eligible(&plan), [3, 5, 6, 1]);
    assert_eq!(
        skip(&plan, 2),
        Skip::new(ReasonCode::ParentIssue, "its work is in its sub-issues #3, #4")
    );
    assert_eq!(skip(&plan, 4).reason, "its work is in its sub-issue #5");
    assert_eq!(plan.get(IssueNumber(1)).expect("planned").depth, 3);
}

#[test]
fn a_parent_whose_children_are_closed_is_ordinary_work() {
    let mut night = Night::new(issues(&[(1, &[], &[2])]));
    night.issues[0].sub_issues[0].open = false;
    let plan = night.plan();
    assert_eq!(eligible(&plan), [1]);
    assert!(plan.issues[0].can_execute_now && !plan.issues[0].is_parent);
}

#[test]
fn trouble_below_a_parent_names_who_is_in_trouble() {
    let mut night =
        Night::new(issues(&[(1, &[2], &[]), (2, &[], &[3]), (3, &[], &[4]), (4, &[], &[])]));
    night.issues[3].trust = Trust::Untrusted("ann is NONE".into());
    let plan = night.plan();
    assert_eq!(
        skip(&plan, 1),
        Skip::new(
            ReasonCode::BlockerSkipped,
            "blocked by #2, which waits for #4, which is skipped: its author isn't trusted"
        )
    );
}

#[test]
fn blockers_outside_the_set() {
    let mut night = Night::new((1..=4).map(issue).collect());
    night.issues[0].body = "Depends on #900".into();
    night.issues[1].body = "Depends on other/repo#3".into();
    night.issues[2].body = "Depends on #901".into();
    night.issues[3].body = "After #1".into();
    let other = Some("other/repo".to_owned());
    night.known.insert((other, IssueNumber(3)), BlockerState::Open);
    night.known.insert((None, IssueNumber(901)), BlockerState::Closed);
    let plan = night.plan();
    assert_eq!(eligible(&plan), [3]);
    assert_eq!(
        skip(&plan, 1),
        Skip::new(ReasonCode::UnknownBlocker, "blocked by #900, which GitHub does not know")
    );
    assert_eq!(
        skip(&plan, 2),
        Skip::new(
            ReasonCode::Blocked,
            "blocked by other/repo#3, which is open and not part of this night"
        )
    );
    assert_eq!(
        skip(&plan, 4),
        Skip::new(
            ReasonCode::BlockerSkipped,
            "blocked by #1, which is skipped: GitHub does not know one of its blockers"
        )
    );
}

#[test]
fn what_keeps_an_issue_out_comes_before_what_it_waits_for() {
    let mut night =
        Night::new(issues(&[(1, &[], &[]), (2, &[1], &[]), (3, &[], &[]), (4, &[3], &[])]));
    let pull = Skip::new(ReasonCode::OpenPullRequest, "has open pull request #45");
    night.pre_skips.insert(IssueNumber(1), pull.clone());
    night.issues[2].trust = Trust::Untrusted("ann is NONE".into());
    let plan = night.plan();
    assert_eq!(eligible(&plan), [2]);
    assert!(plan.issues[0].can_execute_now, "it may stack on the open pull request");
    assert_eq!(skip(&plan, 1), pull);
    assert_eq!(skip(&plan, 3), Skip::new(ReasonCode::UntrustedAuthor, "ann is NONE"));
    assert_eq!(skip(&plan, 4).code, ReasonCode::BlockerSkipped);
    night.mode = DependencyMode::Wait;
    assert_eq!(
        skip(&night.plan(), 2),
        Skip::new(ReasonCode::Blocked, "blocked by #1, whose pull request isn't merged")
    );
}

#[test]
fn waiting_leaves_dependents_to_another_night() {
    let mut night = Night::new(issues(&[(1, &[], &[]), (2, &[1], &[]), (3, &[], &[])]));
    night.mode = DependencyMode::Wait;
    night.max_issues = 2;
    let plan = night.plan();
    assert_eq!(eligible(&plan), [1, 3]);
    assert_eq!(skip(&plan, 2).code, ReasonCode::Blocked);
}

#[test]
fn selection_and_the_number_of_issues() {
    let mut night =
        Night::new(issues(&[(1, &[], &[]), (2, &[1], &[]), (3, &[], &[]), (4, &[], &[])]));
    night.max_issues = 2;
    let plan = night.plan();
    assert_eq!(eligible(&plan), [1, 3]);
    assert_eq!(skip(&plan, 2).code, ReasonCode::MaxIssues);
    assert_eq!(skip(&plan, 4).code, ReasonCode::MaxIssues);
    night.select_issues = [2, 4].map(IssueNumber).to_vec();
    let plan = night.plan();
    assert_eq!(eligible(&plan), [4]);
    assert_eq!(skip(&plan, 3).code, ReasonCode::NotSelected);
    assert_eq!(
        skip(&plan, 2),
        Skip::new(
            ReasonCode::BlockerSkipped,
            "blocked by #1, which is skipped: it isn't among those asked for"
        )
    );
    night.select_issues.clear();
    night.select_labels = vec!["Night".into()];
    night.issues[2].labels = vec!["night".into()];
    assert_eq!(eligible(&night.plan()), [3]);
}

#[test]
fn a_long_list_of_obstacles_is_cut() {
    let mut night = Night::new(vec![issue(1)]);
    night.issues[0].blocked_by = (2..=9).map(open).collect();
    let reason = skip(&night.plan(), 1).reason;
    assert!(reason.starts_with("blocked by #2, which is open"), "{reason}");
    assert!(reason.ends_with("; and 3 more"), "{reason}");
}

#[test]
fn an_issue_that_came_twice_is_planned_once() {
    let night = Night::new(vec![issue(2), issue(1), issue(2)]);
    assert_eq!(eligible(&night.plan()), [1, 2]);
}
