//! How much review a pull request needs, from its size, its risks and where it stands in a stack.
//!
//! Pure. The points are few and said with their reasons, so that a reader can disagree with them.

use std::collections::HashMap;

use serde::Serialize;

use crate::domain::evidence::{Check, CheckOutcome};
use crate::domain::plan::SequenceType;
use crate::domain::run::{IssueResult, IssueStatus, Run};

/// Lines up to which a change is read in one go.
const FEW_LINES: u64 = 40;
const MANY_LINES: u64 = 300;
const MANY_FILES: u64 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Low,
    Medium,
    High,
}

impl Level {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    const fn of(points: u32) -> Self {
        match points {
            0..=1 => Self::Low,
            2..=4 => Self::Medium,
            5.. => Self::High,
        }
    }
}

/// The review that a pull request needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReviewNeed {
    /// From 1: the order to review in. What needs least comes first, but nothing before what it
    /// stands on.
    pub rank: usize,
    pub level: Level,
    pub points: u32,
    pub reasons: Vec<String>,
    /// How many unmerged pull requests it stands on.
    pub stack_depth: u32,
}

/// The night's pull requests in the order to review them.
#[must_use]
pub fn ranked(run: &Run) -> Vec<(&IssueResult, ReviewNeed)> {
    let rows: Vec<&IssueResult> =
        run.issue_results.iter().filter(|row| row.status == IssueStatus::Success).collect();
    let below: HashMap<usize, usize> =
        (0..rows.len()).filter_map(|at| below(&rows, at).map(|below| (at, below))).collect();
    let depth = |at: usize| {
        let stack = std::iter::successors(below.get(&at), |at| below.get(*at));
        // No row is in a stack deeper than there are rows, whatever was stored.
        u32::try_from(stack.take(rows.len()).count()).unwrap_or(u32::MAX)
    };
    let mut left: Vec<(usize, ReviewNeed)> =
        (0..rows.len()).map(|at| (at, need(rows[at], depth(at)))).collect();
    left.sort_by_key(|(at, need)| (need.stack_depth, need.points, rows[*at].issue_number));
    let mut order: Vec<(&IssueResult, ReviewNeed)> = Vec::new();
    let mut placed: Vec<usize> = Vec::new();
    while !left.is_empty() {
        let ready = |at: usize| below.get(&at).is_none_or(|below| placed.contains(below));
        let next = left
            .iter()
            .enumerate()
            .filter(|(_, (at, _))| ready(*at))
            .min_by_key(|(_, (at, need))| (need.points, rows[*at].issue_number))
            .map_or(0, |(index, _)| index);
        let (at, mut need) = left.remove(next);
        placed.push(at);
        need.rank = placed.len();
        order.push((rows[at], need));
    }
    order
}

/// The row whose branch this one stands on.
fn below(rows: &[&IssueResult], at: usize) -> Option<usize> {
    let base = rows[at].base_sha.as_ref()?;
    (0..rows.len()).find(|other| *other != at && rows[*other].head_sha.as_ref() == Some(base))
}

fn need(row: &IssueResult, stack_depth: u32) -> ReviewNeed {
    let (mut points, mut reasons) = (0, Vec::new());
    let mut add = |more: u32, why: String| {
        points += more;
        reasons.push(why);
    };
    if let Some(size) = &row.change_size {
        let lines = size.added_lines + size.removed_lines;
        if lines <= FEW_LINES {
            add(0, format!("small: {size}"));
        } else if lines <= MANY_LINES {
            add(1, format!("of middle size: {size}"));
        } else {
            add(3, format!("large: {size}"));
        }
        if size.files > MANY_FILES {
            add(1, format!("touches {} files", size.files));
        }
    }
    match row.sequence_type {
        SequenceType::Architecture | SequenceType::Governance | SequenceType::Memory => {
            add(2, format!("{} work", row.sequence_type));
        }
        SequenceType::Deployment | SequenceType::SelfEvolution => {
            add(1, format!("{} work", row.sequence_type));
        }
        SequenceType::Qa | SequenceType::Build => {}
    }
    for check in row.qa_results.iter().flat_map(|qa| &qa.checks) {
        of_check(check, &mut add);
    }
    if stack_depth > 0 {
        add(1, format!("stands on {stack_depth} unmerged"));
    }
    ReviewNeed { rank: 0, level: Level::of(points), points, reasons, stack_depth }
}

/// What a check's own words say of the risk.
fn of_check(check: &Check, add: &mut impl FnMut(u32, String)) {
    let first = check.findings.first().map_or("", String::as_str);
    let unsure = check.outcome == CheckOutcome::NotApplicable && check.command.is_some();
    if let Some(allowed) = check.findings.iter().find(|it| it.starts_with("allowed by the label")) {
        add(3, allowed.clone());
    } else if unsure {
        add(1, format!("{} could not run: {first}", check.name));
    }
    match check.name.as_str() {
        "dependencies_named" if first.starts_with("new dependency") => {
            add(2, format!("new dependencies: {}", check.findings.join(", ")));
        }
        "regression_test" if first.starts_with("no test") => {
            add(2, "a fix without a test of its own".to_owned());
        }
        "test" if first.contains("unknown test log format") => {
            add(1, "its test log could not be read".to_owned());
        }
        _ => {}
    }
}
