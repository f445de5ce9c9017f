//! What holds for every night, tried on generated graphs.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::domain::ids::IssueNumber;
use crate::domain::issue::{Issue, Trust};
use crate::domain::plan::{DependencyMode, EdgeState, Plan, ReasonCode, SequenceType, Skip};

use super::testing::{Night, issue, open};
use super::{Progress, Readiness, never_ready, next_ready, readiness};

const MOST: u64 = 14;

/// Up to 14 issues; each edge is native, a sub-issue or words, and may name one that isn't there.
fn issues(untrusted: bool) -> impl Strategy<Value = Vec<Issue>> {
    let edges = proptest::collection::vec((1..=MOST, 1..=MOST + 1, 0..3_u8), 0..24);
    let labels = proptest::collection::vec(0..4_usize, MOST as usize);
    (1..=MOST, edges, labels, proptest::collection::vec(0..10_u8, MOST as usize)).prop_map(
        move |(count, edges, labels, trust)| {
            let mut issues: Vec<_> = (1..=count).map(issue).collect();
            for (from, to, kind) in edges {
                let Some(issue) = issues.get_mut(from as usize - 1) else { continue };
                match kind {
                    0 => issue.blocked_by.push(open(to)),
                    1 => issue.sub_issues.push(open(to)),
                    _ => issue.body.push_str(&format!("Depends on #{to}\n\n")),
                }
            }
            for ((issue, label), trust) in issues.iter_mut().zip(labels).zip(trust) {
                issue.labels = vec![["architecture", "qa", "deploy", "bug"][label].to_owned()];
                if untrusted && trust == 0 {
                    issue.trust = Trust::Untrusted("ann is NONE".to_owned());
                }
            }
            issues
        },
    )
}

/// Whom an issue waits for inside the set, over any number of edges, by a plain search.
fn below(plan: &Plan, number: IssueNumber) -> BTreeSet<IssueNumber> {
    let mut seen = BTreeSet::new();
    let mut open = vec![number];
    while let Some(at) = open.pop() {
        for blocker in &plan.get(at).expect("planned").depends_on {
            if seen.insert(*blocker) {
                open.push(*blocker);
            }
        }
    }
    seen
}

fn place(plan: &Plan, number: IssueNumber) -> Option<usize> {
    plan.issues.iter().position(|issue| issue.issue_number == number)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_no_issue_comes_before_its_blockers(issues in issues(true)) {
        let night = Night::new(issues);
        let plan = night.plan();
        let numbers: BTreeSet<_> = plan.issues.iter().map(|issue| issue.issue_number).collect();
        prop_assert_eq!(plan.issues.len(), night.issues.len());
        prop_assert_eq!(numbers.len(), night.issues.len());
        for issue in plan.eligible() {
            for blocker in below(&plan, issue.issue_number) {
                let planned = plan.get(blocker).expect("planned");
                prop_assert!(planned.skip.is_none() || planned.is_parent, "{blocker} is skipped");
                if planned.skip.is_none() {
                    prop_assert!(place(&plan, blocker) < place(&plan, issue.issue_number));
                }
            }
            prop_assert!(issue.dependencies.iter().all(|edge| edge.state == EdgeState::InSet));
        }
        let skipped: Vec<_> = plan.issues.iter().skip_while(|issue| issue.skip.is_none()).collect();
        prop_assert!(skipped.iter().all(|issue| issue.skip.is_some()));
        prop_assert!(skipped.is_sorted_by_key(|issue| issue.issue_number));
    }

    #[test]
    fn the_same_input_gives_the_same_plan(issues in issues(true), seed in any::<u64>()) {
        let night = Night::new(issues);
        let mut shuffled = night.issues.clone();
        shuffled.sort_by_key(|issue| (issue.number.0.wrapping_mul(seed | 1)) % 97);
        prop_assert_eq!(night.plan(), Night::new(shuffled).plan());
    }

    #[test]
    fn cycles_are_named_and_only_they_and_their_dependents_are_skipped(issues in issues(false)) {
        let mut night = Night::new(issues);
        // Blockers outside the set are another matter.
        let count = night.issues.len() as u64;
        for issue in &mut night.issues {
            issue.blocked_by.retain(|edge| edge.number.0 <= count);
            issue.sub_issues.retain(|edge| edge.number.0 <= count);
            for outside in count + 1..=MOST + 1 {
                issue.body = issue.body.replace(&format!("#{outside}\n"), "nothing\n");
            }
        }
        let plan = night.plan();
        let cyclic: BTreeSet<_> = plan
            .issues
            .iter()
            .map(|issue| issue.issue_number)
            .filter(|number| below(&plan, *number).contains(number))
            .collect();
        prop_assert_eq!(&plan.cycles.iter().flatten().copied().collect::<BTreeSet<_>>(), &cyclic);
        for cycle in &plan.cycles {
            for member in cycle {
                prop_assert!(cycle.iter().all(|other| below(&plan, *member).contains(other)));
            }
        }
        for issue in &plan.issues {
            let waits = below(&plan, issue.issue_number).iter().any(|one| cyclic.contains(one));
            let code = issue.skip.as_ref().map(|skip| skip.code);
            let expected = if cyclic.contains(&issue.issue_number) {
                Some(ReasonCode::Cycle)
            } else if issue.is_parent {
                Some(ReasonCode::ParentIssue)
            } else if waits {
                Some(ReasonCode::BlockedByCycle)
            } else {
                None
            };
            prop_assert_eq!(code, expected, "{}", issue.issue_number);
        }
    }

    #[test]
    fn a_night_without_failures_follows_the_plan(
        issues in issues(true),
        pulls in proptest::collection::vec(1..=MOST, 0..3),
        reversed in any::<bool>(),
    ) {
        let mut night = Night::new(issues);
        if reversed {
            night.order.reverse();
        }
        for number in pulls {
            let skip = Skip::new(ReasonCode::OpenPullRequest, "has open pull request #45");
            night.pre_skips.insert(IssueNumber(number), skip);
        }
        let plan = night.plan();
        prop_assert_eq!(plan.issues.len(), night.issues.len());
        let mut progress = BTreeMap::new();
        let mut walked = Vec::new();
        let ready_at_start = next_ready(&plan, &progress, night.mode, &night.order);
        for issue in &plan.issues {
            let ready = ready_at_start.contains(&issue.issue_number);
            prop_assert_eq!(ready, issue.can_execute_now, "{}", issue.issue_number);
        }
        while let Some(next) = next_ready(&plan, &progress, night.mode, &night.order).first() {
            let ready = readiness(&plan, &progress, *next, night.mode);
            let is_ready = matches!(ready, Readiness::Ready { .. });
            prop_assert!(is_ready);
            progress.insert(*next, Progress::Succeeded);
            walked.push(*next);
        }
        let planned: Vec<_> = plan.eligible().map(|issue| issue.issue_number).collect();
        prop_assert_eq!(walked, planned);
        prop_assert!(never_ready(&plan, &progress, night.mode).is_empty());
    }

    #[test]
    fn a_night_with_failures_leaves_nobody_without_an_answer(
        issues in issues(true),
        outcomes in proptest::collection::vec(any::<bool>(), MOST as usize),
        mode in prop_oneof![Just(DependencyMode::Stack), Just(DependencyMode::Wait)],
    ) {
        let mut night = Night::new(issues);
        night.mode = mode;
        let plan = night.plan();
        let mut progress = BTreeMap::new();
        loop {
            for (number, skip) in never_ready(&plan, &progress, mode) {
                progress.insert(number, Progress::Skipped(skip.code));
            }
            let Some(next) = next_ready(&plan, &progress, mode, &SequenceType::ALL).first().copied()
            else { break };
            for blocker in below(&plan, next) {
                let parent = plan.get(blocker).is_some_and(|issue| issue.is_parent);
                prop_assert!(parent || progress.get(&blocker) == Some(&Progress::Succeeded));
            }
            let passed = outcomes[next.0 as usize - 1];
            let end = if passed { Progress::Succeeded } else { Progress::Failed(ReasonCode::GateRefused) };
            progress.insert(next, end);
        }
        for issue in plan.eligible() {
            prop_assert!(progress.contains_key(&issue.issue_number), "{}", issue.issue_number);
        }
    }
}
