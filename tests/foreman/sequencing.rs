//! A plan over a real project's 704 issues.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use foreman::domain::ids::{IssueNumber, RepoName};
use foreman::domain::issue::{Association, Issue, IssueRef, Trust};
use foreman::domain::labels::EscalationLabels;
use foreman::domain::plan::{DependencyMode, EdgeSource, Plan, ReasonCode, SequenceType};
use foreman::sequencing::{BlockerKey, PlanInput, Progress, next_ready, outside_references, plan};
use serde::Deserialize;

#[derive(Deserialize)]
struct Recorded {
    issues: Vec<RecordedIssue>,
}

#[derive(Deserialize)]
struct RecordedIssue {
    number: u64,
    title: String,
    labels: Vec<String>,
    state: String,
    created_at: DateTime<Utc>,
    blocked_by: Vec<u64>,
    parent: Option<u64>,
    dangling: Vec<String>,
}

fn recorded() -> Vec<RecordedIssue> {
    let text = include_str!("../data/issue-graph.json");
    serde_json::from_str::<Recorded>(text).expect("the recorded issues").issues
}

fn repo() -> RepoName {
    "steveyegge/beads".parse().expect("a valid name")
}

/// The recorded issues as intake would hand them on. Every second blocking edge is said in words
/// instead of natively; dangling ones are words that name numbers from 100,000 on.
fn intake(recorded: &[RecordedIssue], is_open: impl Fn(&RecordedIssue) -> bool) -> Vec<Issue> {
    let open: HashMap<u64, bool> =
        recorded.iter().map(|issue| (issue.number, is_open(issue))).collect();
    let reference = |number: u64| IssueRef {
        repo: None,
        number: IssueNumber(number),
        open: open.get(&number).copied().unwrap_or(false),
    };
    let mut children: HashMap<u64, Vec<u64>> = HashMap::new();
    for issue in recorded {
        if let Some(parent) = issue.parent {
            children.entry(parent).or_default().push(issue.number);
        }
    }
    let mut issues = Vec::new();
    let mut dangling = 100_000;
    for (at, issue) in recorded.iter().enumerate().filter(|(_, issue)| is_open(issue)) {
        let mut body = String::from("Some words first.\n\n");
        let mut blocked_by = Vec::new();
        for (edge, blocker) in issue.blocked_by.iter().enumerate() {
            // A closed blocker said in words would have to be looked up.
            if (at + edge).is_multiple_of(2) || !open.get(blocker).copied().unwrap_or(false) {
                blocked_by.push(reference(*blocker));
            } else {
                body.push_str(&format!("- [ ] Depends on: #{blocker}\n"));
            }
        }
        for _ in &issue.dangling {
            body.push_str(&format!("\nBlocked by #{dangling}\n"));
            dangling += 1;
        }
        let sub_issues = children.get(&issue.number).into_iter().flatten();
        issues.push(Issue {
            number: IssueNumber(issue.number),
            title: issue.title.clone(),
            body,
            labels: issue.labels.clone(),
            author: "ann".to_owned(),
            association: Association::Member,
            milestone_due: None,
            created_at: issue.created_at,
            updated_at: issue.created_at,
            html_url: format!("https://github.com/steveyegge/beads/issues/{}", issue.number),
            blocked_by,
            sub_issues: sub_issues.map(|child| reference(*child)).collect(),
            trust: Trust::Author("MEMBER".to_owned()),
            vetting: foreman::domain::vetting::Vetting::default(),
        });
    }
    issues
}

fn planned(issues: &[Issue]) -> Plan {
    plan(&PlanInput {
        issues,
        repo: &repo(),
        order: &SequenceType::ALL,
        mode: DependencyMode::Stack,
        select_issues: &[],
        select_labels: &[],
        max_issues: 10_000,
        pre_skips: &BTreeMap::new(),
        known: &BTreeMap::new(),
        labels: &EscalationLabels::default(),
        now: DateTime::UNIX_EPOCH,
    })
}

fn skipped(plan: &Plan, code: ReasonCode) -> BTreeSet<u64> {
    let has = |skip: &foreman::domain::plan::Skip| skip.code == code;
    let issues = plan.issues.iter().filter(|issue| issue.skip.as_ref().is_some_and(has));
    issues.map(|issue| issue.issue_number.0).collect()
}

/// Every eligible issue stands behind its blockers, those of its parents included.
fn assert_ordered(plan: &Plan) {
    let place: HashMap<_, _> =
        plan.issues.iter().enumerate().map(|(at, issue)| (issue.issue_number, at)).collect();
    for (at, issue) in plan.issues.iter().enumerate().filter(|(_, issue)| issue.skip.is_none()) {
        let mut open = issue.depends_on.clone();
        let mut seen = BTreeSet::new();
        while let Some(blocker) = open.pop().filter(|blocker| seen.insert(*blocker)) {
            let behind = &plan.issues[place[&blocker]];
            if behind.is_parent {
                open.extend(&behind.depends_on);
            } else {
                assert!(behind.skip.is_none(), "{} before {blocker}", issue.issue_number);
                assert!(place[&blocker] < at, "{} before {blocker}", issue.issue_number);
            }
        }
    }
}

#[test]
fn the_real_graph_with_every_issue_open() {
    let recorded = recorded();
    let issues = intake(&recorded, |_| true);
    let dangling: BTreeSet<BlockerKey> = outside_references(&issues, &repo());
    let expected: usize = recorded.iter().map(|issue| issue.dangling.len()).sum();
    assert_eq!(dangling.len(), expected);
    assert!(dangling.iter().all(|(repo, number)| repo.is_none() && number.0 >= 100_000));

    let plan = planned(&issues);
    assert_eq!(plan.issues.len(), 704);
    assert!(plan.cycles.is_empty(), "{:?}", plan.cycles);
    assert_ordered(&plan);

    let edges: usize = plan
        .issues
        .iter()
        .flat_map(|issue| &issue.dependencies)
        .filter(|edge| !matches!(edge.sources[..], [EdgeSource::SubIssue]))
        .count();
    let blocking: usize = recorded.iter().map(|issue| issue.blocked_by.len()).sum();
    assert_eq!(edges, blocking + expected);

    let parents: BTreeSet<_> = recorded.iter().filter_map(|issue| issue.parent).collect();
    assert_eq!(skipped(&plan, ReasonCode::ParentIssue), parents);
    let unknown = recorded.iter().filter(|issue| !issue.dangling.is_empty());
    let unknown: BTreeSet<_> =
        unknown.map(|issue| issue.number).filter(|number| !parents.contains(number)).collect();
    assert!(unknown.is_subset(&skipped(&plan, ReasonCode::UnknownBlocker)));
    assert!(plan.eligible().count() > 400, "{}", plan.eligible().count());
}

#[test]
fn the_real_graph_as_it_was_recorded() {
    let recorded = recorded();
    let issues = intake(&recorded, |issue| issue.state == "open");
    let plan = planned(&issues);
    assert_eq!(plan.issues.len(), 301);
    assert!(plan.cycles.is_empty(), "{:?}", plan.cycles);
    assert_ordered(&plan);
    // Closed blockers are satisfied: an issue all of whose edges lead to closed ones is ready.
    let closed: BTreeSet<_> =
        recorded.iter().filter(|issue| issue.state != "open").map(|issue| issue.number).collect();
    for issue in &plan.issues {
        let satisfied = issue.dependencies.iter().all(|edge| closed.contains(&edge.on.number.0));
        assert_eq!(issue.can_execute_now, satisfied, "{}", issue.issue_number);
    }
    let now: Vec<_> =
        plan.issues.iter().filter(|i| i.can_execute_now).map(|i| i.issue_number).collect();
    let mode = DependencyMode::Stack;
    let ready = next_ready(&plan, &BTreeMap::new(), mode, &SequenceType::ALL);
    assert_eq!(ready.iter().collect::<BTreeSet<_>>(), now.iter().collect());
    let done = BTreeMap::from([(ready[0], Progress::Succeeded)]);
    let then = next_ready(&plan, &done, mode, &SequenceType::ALL);
    assert!(!then.contains(&ready[0]) && then.len() + 1 >= ready.len());
}

#[test]
fn cycles_added_to_the_real_graph_are_named_and_cost_no_other_issue() {
    let issues = intake(&recorded(), |_| true);
    let before = planned(&issues);
    // The deepest issues, and a blocker at the bottom of each one's chain.
    let mut deep: Vec<_> = before.eligible().filter(|issue| issue.depth >= 2).collect();
    deep.sort_by_key(|issue| (std::cmp::Reverse(issue.depth), issue.issue_number));
    let ends: Vec<(IssueNumber, IssueNumber)> = deep
        .iter()
        .take(3)
        .map(|top| {
            let mut bottom = top.issue_number;
            while let Some(next) = before.get(bottom).and_then(|issue| issue.depends_on.first()) {
                bottom = *next;
            }
            (top.issue_number, bottom)
        })
        .collect();
    assert_eq!(ends.len(), 3);
    let mut broken = issues;
    for (at, (top, bottom)) in ends.iter().enumerate() {
        let issue = broken.iter_mut().find(|issue| issue.number == *bottom).expect("recorded");
        if at == 0 {
            issue.blocked_by.push(IssueRef { repo: None, number: *top, open: true });
        } else {
            issue.body.push_str(&format!("\nRequires:\n\n* {top}\n"));
        }
    }
    let after = planned(&broken);
    assert!(!after.cycles.is_empty());
    assert_ordered(&after);

    let members: BTreeSet<_> = after.cycles.iter().flatten().copied().collect();
    for (top, bottom) in &ends {
        assert!(members.contains(top) && members.contains(bottom), "{top} and {bottom}");
    }
    for cycle in &after.cycles {
        for member in cycle {
            let skip = after.get(*member).and_then(|issue| issue.skip.as_ref()).expect("skipped");
            assert_eq!(skip.code, ReasonCode::Cycle);
            let others = cycle.iter().filter(|other| *other != member);
            assert!(others.into_iter().all(|o| skip.reason.contains(&o.to_string())), "{skip:?}");
        }
    }
    // Whoever is lost besides waits for a member, directly or not.
    let mut lost = members;
    loop {
        let reached: Vec<_> = after
            .issues
            .iter()
            .filter(|issue| !lost.contains(&issue.issue_number))
            .filter(|issue| issue.depends_on.iter().any(|blocker| lost.contains(blocker)))
            .map(|issue| issue.issue_number)
            .collect();
        if reached.is_empty() {
            break;
        }
        lost.extend(reached);
    }
    let still: BTreeSet<_> = after.eligible().map(|issue| issue.issue_number).collect();
    let expected: BTreeSet<_> = before
        .eligible()
        .map(|issue| issue.issue_number)
        .filter(|number| !lost.contains(number))
        .collect();
    assert_eq!(still, expected);
}
