//! The plan of a night, put together.
//!
//! Owns which reason wins where several would keep an issue out: what was decided elsewhere, trust,
//! selection, a cycle, being a parent, its blockers, the night's number of issues. Never looks
//! anything up.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::domain::ids::{IssueNumber, RepoName};
use crate::domain::issue::{BlockerState, Issue, Trust};
use crate::domain::plan::{DependencyMode, Plan, PlannedIssue, ReasonCode, SequenceType, Skip};

use super::classify::classify_with;
use super::complexity::{estimate_with, requires_escalation};
use super::graph::{BlockerKey, Graph, Node, is_open_sub_issue};
use super::markdown;
use super::order::{Role, order, rank};
use super::readiness::{Progress, Standing, View, standing};
use crate::domain::labels::EscalationLabels;

/// Everything that a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct PlanInput<'a> {
    /// All open issues, pull requests left out; trust is decided.
    pub issues: &'a [Issue],
    pub repo: &'a RepoName,
    /// Sequence types in the order wanted; those missing go last in default order.
    pub order: &'a [SequenceType],
    pub mode: DependencyMode,
    /// Empty: all.
    pub select_issues: &'a [IssueNumber],
    /// Issues with any of these labels; empty: all.
    pub select_labels: &'a [String],
    /// How many issues are worked on at most.
    pub max_issues: u32,
    /// Decided elsewhere: an open pull request, the skip label, Foreman's own, unchanged ones.
    pub pre_skips: &'a BTreeMap<IssueNumber, Skip>,
    /// The state of blockers outside the set ([`super::outside_references`]).
    pub known: &'a BTreeMap<BlockerKey, BlockerState>,
    pub labels: &'a EscalationLabels,
    pub now: DateTime<Utc>,
}

/// Makes the plan. The same issues in any order give the same plan.
#[must_use]
pub fn plan(input: &PlanInput<'_>) -> Plan {
    let mut issues: Vec<&Issue> = input.issues.iter().collect();
    issues.sort_by_key(|issue| issue.number);
    // A page that shifted while it was read can bring an issue twice.
    issues.dedup_by_key(|issue| issue.number);
    let bodies: Vec<_> = issues.iter().map(|issue| markdown::read(&issue.body)).collect();

    let graph = Graph::new(&issues, &bodies, input.repo, input.known);
    let (mut skips, ready) = decide(input, &issues, &graph);
    let kinds: Vec<_> =
        issues.iter().zip(&bodies).map(|(issue, body)| classify_with(issue, body)).collect();

    let roles: Vec<_> =
        graph.nodes.iter().zip(&skips).map(|(node, skip)| role(node, skip.as_ref())).collect();
    let blockers = |at: usize| graph.nodes[at].blockers.len();
    let dependents: Vec<_> = graph.nodes.iter().map(|node| &node.dependents[..]).collect();
    let key =
        |at: usize| (rank(input.order, kinds[at]), graph.nodes[at].depth, graph.nodes[at].number);
    let mut places = order(&roles, key, blockers, &dependents);

    let most = usize::try_from(input.max_issues).unwrap_or(usize::MAX);
    for at in places.drain(most.min(places.len())..) {
        skips[at] = Some(Skip::new(
            ReasonCode::MaxIssues,
            format!("beyond the {most} issues that this night works on (maxIssuesPerRun)"),
        ));
    }
    places.extend((0..issues.len()).filter(|at| skips[*at].is_some()));

    let numbers = |list: &[usize]| list.iter().map(|at| graph.nodes[*at].number).collect();
    let planned = |at: usize| {
        let (issue, node) = (issues[at], &graph.nodes[at]);
        let complexity = estimate_with(issue, &bodies[at], input.labels);
        PlannedIssue {
            issue_number: issue.number,
            title: issue.title.clone(),
            labels: issue.labels.clone(),
            sequence_type: kinds[at],
            estimated_complexity: complexity,
            requires_escalation: requires_escalation(issue, complexity, input.labels, input.now),
            dependencies: node.edges.clone(),
            depends_on: numbers(&node.blockers),
            blocks: numbers(&node.dependents),
            depth: node.depth,
            can_execute_now: ready[at] && skips[at].is_none(),
            skip: skips[at].clone(),
            is_parent: node.is_parent,
        }
    };
    Plan { issues: places.into_iter().map(planned).collect(), cycles: graph.cycles.clone() }
}

/// Who is skipped and why, and who has nothing in its way, by position.
fn decide(
    input: &PlanInput<'_>,
    issues: &[&Issue],
    graph: &Graph,
) -> (Vec<Option<Skip>>, Vec<bool>) {
    let mut skips: Vec<Option<Skip>> = vec![None; issues.len()];
    let mut ready = vec![false; issues.len()];
    let mut standings = vec![Standing::Pending; issues.len()];
    let position = |number| graph.nodes.binary_search_by_key(&number, |node| node.number).ok();
    for &at in &graph.sequence {
        let node = &graph.nodes[at];
        let view = node.cycle.is_none().then(|| {
            View::of(&node.edges, |number| {
                let blocker = position(number)?;
                Some((&standings[blocker], is_transparent(&graph.nodes[blocker])))
            })
        });
        skips[at] = kept_out(input, issues[at])
            .or_else(|| cycle_skip(node, graph))
            .or_else(|| parent_skip(node))
            .or_else(|| view.as_ref().and_then(View::skip));
        ready[at] = view.as_ref().is_some_and(View::is_ready);
        let own = skips[at].as_ref().map_or(Progress::Pending, |skip| Progress::Skipped(skip.code));
        standings[at] = match view {
            Some(view) if node.is_parent => view.as_parent(),
            Some(_) | None => standing(node.number, own, input.mode),
        };
    }
    (skips, ready)
}

/// Who waits for a parent waits for what the parent waits for; in a cycle that would not end.
const fn is_transparent(node: &Node) -> bool {
    node.is_parent && node.cycle.is_none()
}

fn role(node: &Node, skip: Option<&Skip>) -> Role {
    match skip {
        _ if is_transparent(node) => Role::Pass,
        None => Role::Work,
        Some(Skip { code: ReasonCode::OpenPullRequest, .. }) => Role::Done,
        Some(_) => Role::Out,
    }
}

/// What keeps an issue out whatever it waits for.
fn kept_out(input: &PlanInput<'_>, issue: &Issue) -> Option<Skip> {
    if let Some(skip) = input.pre_skips.get(&issue.number) {
        return Some(skip.clone());
    }
    if let Trust::Untrusted(why) = &issue.trust {
        return Some(Skip::new(ReasonCode::UntrustedAuthor, why.clone()));
    }
    if !input.select_issues.is_empty() && !input.select_issues.contains(&issue.number) {
        return Some(Skip::new(ReasonCode::NotSelected, "not among the issues asked for"));
    }
    let has = |name: &String| issue.labels.iter().any(|label| label.eq_ignore_ascii_case(name));
    if !input.select_labels.is_empty() && !input.select_labels.iter().any(has) {
        let wanted = input.select_labels.join("`, `");
        return Some(Skip::new(
            ReasonCode::NotSelected,
            format!("has none of the labels asked for: `{wanted}`"),
        ));
    }
    None
}

/// At most so many issues are named in one reason.
const NAMED: usize = 50;

fn cycle_skip(node: &Node, graph: &Graph) -> Option<Skip> {
    let members = &graph.cycles[node.cycle?];
    let others = members.iter().filter(|member| **member != node.number);
    Some(Skip::new(
        ReasonCode::Cycle,
        format!("in a dependency cycle with {}", list(others.map(ToString::to_string))),
    ))
}

fn parent_skip(node: &Node) -> Option<Skip> {
    let children = node.edges.iter().filter(|edge| is_open_sub_issue(edge));
    let children: Vec<_> = children.map(|edge| edge.on.display()).collect();
    let plural = match children.len() {
        0 => return None,
        1 => "sub-issue",
        _ => "sub-issues",
    };
    let names = list(children.into_iter());
    Some(Skip::new(ReasonCode::ParentIssue, format!("its work is in its {plural} {names}")))
}

fn list(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<_> = names.collect();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let mut text = names.join(", ");
    if more > 0 {
        text.push_str(" and ");
        text.push_str(&more.to_string());
        text.push_str(" more");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Night, eligible, issue, issues, open, skip};
    use super::*;

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
        assert_eq!(
            skip(&plan, 2),
            Skip::new(ReasonCode::Cycle, "in a dependency cycle with #1, #3")
        );
        assert_eq!(
            skip(&plan, 4),
            Skip::new(ReasonCode::BlockedByCycle, "blocked by #3, which is in a dependency cycle")
        );
        assert_eq!(
            skip(&plan, 5),
            Skip::new(
                ReasonCode::BlockedByCycle,
                "blocked by #4, which waits for a dependency cycle"
            )
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
}
