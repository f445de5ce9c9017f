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
use super::complexity::{estimate_files, estimate_with, requires_escalation};
use super::graph::{BlockerKey, Graph, Node, is_open_sub_issue};
use super::markdown;
use super::order::{Role, order, rank};
use super::readiness::Progress;
use super::standing::{Standing, View, standing};
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
            estimated_files: estimate_files(issue, &bodies[at]),
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
    Plan {
        issues: places.into_iter().map(planned).collect(),
        cycles: graph.cycles.clone(),
        desktop: None,
    }
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
mod tests;
