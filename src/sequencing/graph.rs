//! All edges of a night together: native ones, sub-issues and trusted words.
//!
//! Owns what each edge means (satisfied, in the set, open elsewhere, unknown), the cycles over all
//! kinds at once, and how deep each issue lies. Never decides who is skipped.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::domain::ids::{IssueNumber, RepoName};
use crate::domain::issue::{BlockerState, Issue, IssueRef};
use crate::domain::plan::{Edge, EdgeSource, EdgeState};

use super::markdown::{self, Prose};
use super::references::references_in;

/// An issue as an edge names it: lower-case `owner/name` (`None`: the same repository), number.
pub type BlockerKey = (Option<String>, IssueNumber);

/// What intake must look up before a plan can be made: open native blockers and sub-issues, and
/// trusted words, that name issues which are not in the set.
#[must_use]
pub fn outside_references(issues: &[Issue], repo: &RepoName) -> BTreeSet<BlockerKey> {
    let set: BTreeSet<_> = issues.iter().map(|issue| issue.number).collect();
    let own = repo.key();
    let mut outside = BTreeSet::new();
    for issue in issues {
        let native = issue.blocked_by.iter().chain(&issue.sub_issues);
        outside.extend(native.filter(|edge| edge.open).map(|edge| key_of(edge, &own)));
        if issue.trust.trusts_text() {
            let words = references_in(issue, &markdown::read(&issue.body), repo);
            outside.extend(words.into_iter().map(|found| (found.repo, found.number)));
        }
    }
    outside.retain(|(elsewhere, number)| elsewhere.is_some() || !set.contains(number));
    outside
}

/// One issue and its place.
pub(super) struct Node {
    pub number: IssueNumber,
    /// Every edge, by repository (ours first) and number.
    pub edges: Vec<Edge>,
    /// Open blockers inside the set, as positions; ascending.
    pub blockers: Vec<usize>,
    /// Who waits for this one, as positions; ascending.
    pub dependents: Vec<usize>,
    /// Has open sub-issues.
    pub is_parent: bool,
    /// The cycle that it is a member of.
    pub cycle: Option<usize>,
    /// Longest chain of open blockers below; a cycle counts as one.
    pub depth: u32,
}

pub(super) struct Graph {
    /// By ascending number.
    pub nodes: Vec<Node>,
    /// Positions, blockers before those who wait for them; the members of a cycle are neighbours.
    pub sequence: Vec<usize>,
    /// Members by ascending number; cycles by their first member.
    pub cycles: Vec<Vec<IssueNumber>>,
}

impl Graph {
    /// Builds the graph of issues that are sorted by number, each once. `bodies` are theirs.
    pub fn new(
        issues: &[&Issue],
        bodies: &[Prose],
        repo: &RepoName,
        known: &BTreeMap<BlockerKey, BlockerState>,
    ) -> Self {
        let index: HashMap<_, _> =
            issues.iter().enumerate().map(|(at, issue)| (issue.number, at)).collect();
        let mut nodes: Vec<_> = issues
            .iter()
            .zip(bodies)
            .map(|(issue, body)| {
                let edges =
                    edges_of(issue, body, repo, |number| index.contains_key(&number), known);
                let inside = edges.iter().filter(|edge| edge.state == EdgeState::InSet);
                let blockers = inside.filter_map(|edge| index.get(&edge.on.number).copied());
                Node {
                    number: issue.number,
                    blockers: blockers.collect(),
                    is_parent: edges.iter().any(is_open_sub_issue),
                    edges,
                    dependents: Vec::new(),
                    cycle: None,
                    depth: 0,
                }
            })
            .collect();
        for at in 0..nodes.len() {
            for blocker in nodes[at].blockers.clone() {
                nodes[blocker].dependents.push(at);
            }
        }
        let mut graph = Self { nodes, sequence: Vec::new(), cycles: Vec::new() };
        graph.find_cycles();
        graph
    }

    /// Strongly connected components give the cycles and, blockers first, the sequence. Kosaraju's
    /// algorithm rather than Tarjan's: petgraph's Tarjan recurses, and a chain of issues is as long
    /// as somebody cares to file.
    fn find_cycles(&mut self) {
        let edges = self.nodes.iter().map(|node| node.blockers.len()).sum();
        let mut graph = DiGraph::<(), (), usize>::with_capacity(self.nodes.len(), edges);
        for _ in &self.nodes {
            graph.add_node(());
        }
        for (at, node) in self.nodes.iter().enumerate() {
            for blocker in &node.blockers {
                graph.add_edge(NodeIndex::new(at), NodeIndex::new(*blocker), ());
            }
        }
        let mut cycles = Vec::new();
        for component in kosaraju_scc(&graph) {
            let mut members: Vec<_> = component.into_iter().map(NodeIndex::index).collect();
            members.sort_unstable();
            let below = members.iter().flat_map(|at| &self.nodes[*at].blockers);
            let below = below.filter(|blocker| members.binary_search(blocker).is_err());
            let depth = below.map(|blocker| self.nodes[*blocker].depth + 1).max().unwrap_or(0);
            for at in &members {
                self.nodes[*at].depth = depth;
            }
            self.sequence.extend(&members);
            if members.len() > 1 {
                cycles.push(members);
            }
        }
        cycles.sort_unstable();
        for (at, members) in cycles.iter().enumerate() {
            for member in members {
                self.nodes[*member].cycle = Some(at);
            }
        }
        let numbers =
            |members: Vec<usize>| members.into_iter().map(|at| self.nodes[at].number).collect();
        self.cycles = cycles.into_iter().map(numbers).collect();
    }
}

/// Whether an edge leads from a parent to a child that isn't closed.
pub(super) fn is_open_sub_issue(edge: &Edge) -> bool {
    match edge.state {
        EdgeState::Satisfied => false,
        EdgeState::InSet | EdgeState::OpenElsewhere | EdgeState::Unknown => {
            edge.sources.contains(&EdgeSource::SubIssue)
        }
    }
}

fn key_of(edge: &IssueRef, own: &str) -> BlockerKey {
    let repo = edge.repo.as_ref().map(|repo| repo.to_ascii_lowercase());
    (repo.filter(|repo| repo != own), edge.number)
}

/// An issue's edges, one for each blocker however often it is named; itself left out.
fn edges_of(
    issue: &Issue,
    body: &Prose,
    repo: &RepoName,
    in_set: impl Fn(IssueNumber) -> bool,
    known: &BTreeMap<BlockerKey, BlockerState>,
) -> Vec<Edge> {
    let own = repo.key();
    // Beside the sources: whether GitHub itself says, with the edge, that the blocker is open.
    let mut found: BTreeMap<BlockerKey, (BTreeSet<EdgeSource>, Option<bool>)> = BTreeMap::new();
    let native = issue.blocked_by.iter().map(|edge| (edge, EdgeSource::BlockedBy));
    let native = native.chain(issue.sub_issues.iter().map(|edge| (edge, EdgeSource::SubIssue)));
    for (edge, source) in native {
        let (sources, open) = found.entry(key_of(edge, &own)).or_default();
        sources.insert(source);
        *open = Some(edge.open);
    }
    if issue.trust.trusts_text() {
        for words in references_in(issue, body, repo) {
            let (sources, _) = found.entry((words.repo, words.number)).or_default();
            sources.insert(EdgeSource::Text { phrase: words.phrase });
        }
    }
    found.remove(&(None, issue.number));
    found
        .into_iter()
        .map(|(key, (sources, open))| {
            let state = if key.0.is_none() && in_set(key.1) {
                EdgeState::InSet
            } else {
                state_outside(open, known.get(&key).copied())
            };
            let on = IssueRef { repo: key.0, number: key.1, open: state != EdgeState::Satisfied };
            Edge { on, sources: sources.into_iter().collect(), state }
        })
        .collect()
}

/// What was looked up is newer than what came with the edge; what came with the edge helps where
/// the blocker itself may not be seen.
fn state_outside(native: Option<bool>, looked_up: Option<BlockerState>) -> EdgeState {
    match (looked_up, native) {
        (Some(BlockerState::Closed), _) => EdgeState::Satisfied,
        (Some(BlockerState::Open), _) => EdgeState::OpenElsewhere,
        (Some(BlockerState::Unknown) | None, Some(true)) => EdgeState::OpenElsewhere,
        (Some(BlockerState::Unknown) | None, Some(false)) => EdgeState::Satisfied,
        (Some(BlockerState::Unknown) | None, None) => EdgeState::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{issue, open, repo};
    use super::*;
    use crate::domain::issue::Trust;

    fn graph(issues: &[Issue], known: &BTreeMap<BlockerKey, BlockerState>) -> Graph {
        let issues: Vec<_> = issues.iter().collect();
        let bodies: Vec<_> = issues.iter().map(|issue| markdown::read(&issue.body)).collect();
        Graph::new(&issues, &bodies, &repo(), known)
    }

    #[test]
    fn an_edge_keeps_all_its_sources() {
        let mut first = issue(1);
        first.blocked_by = vec![open(2)];
        first.sub_issues =
            vec![IssueRef { repo: Some("ACME/app".into()), number: IssueNumber(2), open: true }];
        first.body = "Depends on #2.".to_owned();
        let graph = graph(&[first, issue(2)], &BTreeMap::new());
        let [edge] = &graph.nodes[0].edges[..] else { panic!("one edge") };
        assert_eq!(edge.on, open(2));
        let words = EdgeSource::Text { phrase: "Depends on #2".into() };
        assert_eq!(edge.sources, [EdgeSource::BlockedBy, EdgeSource::SubIssue, words]);
        assert!(graph.nodes[0].is_parent);
        assert_eq!((graph.nodes[0].depth, graph.nodes[1].depth), (1, 0));
    }

    #[test]
    fn words_count_only_where_the_author_is_trusted() {
        let mut first = issue(1);
        first.body = "Depends on #2 and #900".to_owned();
        first.trust = Trust::Untrusted("NONE".to_owned());
        let mut third = issue(3);
        third.body = "Depends on #901, x/Y#7".to_owned();
        third.blocked_by = vec![IssueRef { open: false, ..open(902) }, open(903), open(1)];
        let issues = [first, issue(2), third];
        assert_eq!(
            outside_references(&issues, &repo()),
            BTreeSet::from([
                (None, IssueNumber(901)),
                (None, IssueNumber(903)),
                (Some("x/y".to_owned()), IssueNumber(7)),
            ])
        );
        assert!(graph(&issues, &BTreeMap::new()).nodes[0].edges.is_empty());
    }

    #[test]
    fn blockers_outside_the_set_are_as_they_were_looked_up() {
        let mut first = issue(1);
        first.body = "Depends on #2, #3, #4, #5".to_owned();
        first.blocked_by = vec![open(6), open(7), IssueRef { open: false, ..open(8) }];
        let known = [
            (2, BlockerState::Open),
            (3, BlockerState::Closed),
            (4, BlockerState::Unknown),
            (6, BlockerState::Closed),
            (7, BlockerState::Unknown),
        ];
        let known =
            known.map(|(number, state)| ((None, IssueNumber(number)), state)).into_iter().collect();
        let graph = graph(&[first], &known);
        let states: Vec<_> =
            graph.nodes[0].edges.iter().map(|edge| (edge.on.number.0, edge.state)).collect();
        assert_eq!(
            states,
            [
                (2, EdgeState::OpenElsewhere),
                (3, EdgeState::Satisfied),
                (4, EdgeState::Unknown),
                (5, EdgeState::Unknown),
                (6, EdgeState::Satisfied),
                (7, EdgeState::OpenElsewhere),
                (8, EdgeState::Satisfied),
            ]
        );
    }

    #[test]
    fn cycles_are_found_over_all_kinds_of_edges() {
        let mut issues: Vec<_> = (1..=6).map(issue).collect();
        issues[0].blocked_by = vec![open(2)]; // 1 -> 2, native
        issues[1].sub_issues = vec![open(3)]; // 2 -> 3, parent
        issues[2].body = "After #1".to_owned(); // 3 -> 1, words
        issues[3].blocked_by = vec![open(3), open(4)]; // 4 -> the cycle, and itself
        issues[4].body = "After #6".to_owned();
        let graph = graph(&issues, &BTreeMap::new());
        assert_eq!(graph.cycles, [[1, 2, 3].map(IssueNumber)]);
        assert_eq!(graph.nodes[3].cycle, None);
        let depths: Vec<_> = graph.nodes.iter().map(|node| node.depth).collect();
        assert_eq!(depths, [0, 0, 0, 1, 1, 0]);
    }

    #[test]
    fn a_chain_of_twenty_thousand_does_not_overflow() {
        let issues: Vec<_> = (1..=20_000)
            .map(|number| {
                let mut issue = issue(number);
                issue.blocked_by = vec![open(number + 1)];
                issue
            })
            .collect();
        let graph = graph(&issues, &BTreeMap::new());
        assert_eq!(graph.nodes[0].depth, 19_999);
    }
}
