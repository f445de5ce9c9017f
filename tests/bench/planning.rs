//! How long a plan takes, and how that grows: twice as many edges as issues, a tenth of the edges
//! each in words and as sub-issues, bodies of a few hundred characters with code in them.

use std::collections::BTreeMap;

use chrono::DateTime;
use divan::counter::ItemsCount;
use foreman::domain::ids::{IssueNumber, RepoName};
use foreman::domain::issue::{Association, Issue, IssueRef, Trust};
use foreman::domain::labels::EscalationLabels;
use foreman::domain::plan::{DependencyMode, SequenceType};
use foreman::sequencing::{PlanInput, next_ready, plan};

const SIZES: [u64; 3] = [1_000, 10_000, 100_000];

fn main() {
    divan::main();
}

/// All of it can be worked on.
#[divan::bench(args = SIZES, sample_count = 10, sample_size = 1)]
fn planning(bencher: divan::Bencher<'_, '_>, size: u64) {
    measure(bencher, &issues(size, false));
}

/// A few cycles, on which most of the rest depends: each such issue has its reason.
#[divan::bench(args = SIZES, sample_count = 10, sample_size = 1)]
fn planning_with_cycles(bencher: divan::Bencher<'_, '_>, size: u64) {
    measure(bencher, &issues(size, true));
}

/// One tracking issue holds half of all issues, and the other half depends on it.
#[divan::bench(args = SIZES, sample_count = 10, sample_size = 1)]
fn planning_around_one_parent(bencher: divan::Bencher<'_, '_>, size: u64) {
    let mut issues = issues(size, false);
    let reference = |number: u64| IssueRef { repo: None, number: IssueNumber(number), open: true };
    for issue in &mut issues {
        issue.body.clear();
        issue.sub_issues.clear();
        issue.blocked_by = if issue.number.0 > size / 2 { vec![reference(1)] } else { Vec::new() };
    }
    issues[0].sub_issues = (2..=size / 2).map(reference).collect();
    measure(bencher, &issues);
}

/// What the engine asks after each issue.
#[divan::bench(args = SIZES, sample_count = 10, sample_size = 1)]
fn ready_set(bencher: divan::Bencher<'_, '_>, size: u64) {
    let repo: RepoName = "acme/app".parse().expect("a valid name");
    let plan = plan(&input(&issues(size, false), &repo, &Rest::default()));
    bencher
        .counter(ItemsCount::new(size))
        .bench(|| next_ready(&plan, &BTreeMap::new(), DependencyMode::Stack, &SequenceType::ALL));
}

fn measure(bencher: divan::Bencher<'_, '_>, issues: &[Issue]) {
    let repo: RepoName = "acme/app".parse().expect("a valid name");
    let rest = Rest::default();
    bencher.counter(ItemsCount::new(issues.len())).bench(|| plan(&input(issues, &repo, &rest)));
}

#[derive(Default)]
struct Rest {
    skips: BTreeMap<IssueNumber, foreman::domain::plan::Skip>,
    known: BTreeMap<(Option<String>, IssueNumber), foreman::domain::issue::BlockerState>,
    labels: EscalationLabels,
}

fn input<'a>(issues: &'a [Issue], repo: &'a RepoName, rest: &'a Rest) -> PlanInput<'a> {
    PlanInput {
        issues,
        repo,
        order: &SequenceType::ALL,
        mode: DependencyMode::Stack,
        select_issues: &[],
        select_labels: &[],
        max_issues: u32::MAX,
        pre_skips: &rest.skips,
        known: &rest.known,
        labels: &rest.labels,
        now: DateTime::UNIX_EPOCH,
    }
}

/// The same issues each time: two edges each, to lower numbers but for one in a thousand.
fn issues(size: u64, cycles: bool) -> Vec<Issue> {
    let mut state = 42_u64;
    let mut next = |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let reference = |number: u64| IssueRef { repo: None, number: IssueNumber(number), open: true };
    let mut issues = Vec::new();
    for number in 1..=size {
        let (mut blocked_by, mut sub_issues) = (Vec::new(), Vec::new());
        let mut body = "The parser drops the last token of a line when it ends in a comma.\n\n\
            ```rust\nassert_eq!(parse(\"a,\"), [\"a\"]); // Depends on #1\n```\n\n\
            - keep the order\n- keep the spans\n\n"
            .to_owned();
        for _ in 0..2 {
            // Near, as in real trackers.
            let number_of = |distance: u64| number.saturating_sub(distance + 1);
            let forward = next(1_000) == 0 && cycles;
            let to = if forward { number + next(50) + 1 } else { number_of(next(200)) };
            if to == 0 || to > size {
                continue;
            }
            match next(10) {
                0 => body.push_str(&format!("Depends on #{to}.\n\n")),
                1 => sub_issues.push(reference(to)),
                _ => blocked_by.push(reference(to)),
            }
        }
        let label = ["architecture", "qa", "bug", "enhancement", "deployment"][next(5) as usize];
        issues.push(Issue {
            number: IssueNumber(number),
            title: format!("Keep the last token, part {number}"),
            body,
            labels: vec![label.to_owned()],
            author: "ann".to_owned(),
            association: Association::Member,
            milestone_due: None,
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
            html_url: format!("https://github.com/acme/app/issues/{number}"),
            blocked_by,
            sub_issues,
            trust: Trust::Author("MEMBER".to_owned()),
            vetting: foreman::domain::vetting::Vetting::default(),
        });
    }
    issues
}
