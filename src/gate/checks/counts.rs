//! Tests collected on the branch are not fewer than on the base, and none that ran there is gone.
//!
//! Pure. Tests that the issue asks to retire are not missed.

use std::collections::BTreeSet;

use crate::domain::evidence::{Check, CheckOutcome, Dimension};
use crate::gate::base;
use crate::gate::drift::Fate;
use crate::gate::finding::check;
use crate::gate::logs::TestReport;
use crate::gate::policy::Policy;
use crate::gate::run::CommandResult;

const NAME: &str = "tests_not_fewer";
/// Names listed in a finding.
const MOST_NAMED: usize = 5;

pub(in crate::gate) fn counts(
    before: &TestReport,
    results: &[CommandResult],
    fate: &Fate,
    policy: &Policy,
) -> Check {
    let row = |outcome, finding: String| check(Dimension::Qiel, NAME, outcome, vec![finding]);
    if let Some(why) = base::nothing_proves(policy, results) {
        return row(CheckOutcome::Failed, why);
    }
    let now = TestReport::sum(results.iter().map(|result| &result.tests));
    if before.known() && !now.known() {
        let why = "the base's tests could be counted, and the branch's can't: its log has no known summary";
        return row(CheckOutcome::Failed, why.to_owned());
    }
    if !before.known() || !now.known() {
        let why = "the tests can't be counted: no log in a format that is known";
        return row(CheckOutcome::NotApplicable, why.to_owned());
    }
    let retired = fate.retired.len() as u64;
    if now.ran() + retired < before.ran() || now.collected() + retired < before.collected() {
        return row(
            CheckOutcome::Failed,
            format!(
                "fewer tests than on the base: {} ran of {} collected, {} of {} before",
                now.ran(),
                now.collected(),
                before.ran(),
                before.collected()
            ),
        );
    }
    let gone = missing(before, &now, fate);
    // Where another runner speaks now, names can't be compared.
    if !gone.is_empty() && (!now.names.is_empty() || now.formats == before.formats) {
        let named =
            gone.iter().take(MOST_NAMED).map(|name| format!("`{name}`")).collect::<Vec<_>>();
        return row(
            CheckOutcome::Failed,
            format!("tests that ran on the base no longer run: {}", named.join(", ")),
        );
    }
    row(
        CheckOutcome::Passed,
        format!("{} tests collected, {} on the base", now.collected(), before.collected()),
    )
}

/// Names that ran on the base, and here neither under their own name nor under a new one.
fn missing(before: &TestReport, now: &TestReport, fate: &Fate) -> Vec<String> {
    let last = |name: &str| name.rsplit([':', '/']).next().unwrap_or(name).to_owned();
    let kept: BTreeSet<String> =
        now.names.iter().chain(&now.failing).map(|name| last(name)).collect();
    // A test is named by its runner with more around its name (`suite > adds`).
    let is = |name: &str, known: &str| name.ends_with(known) || known.ends_with(name);
    before
        .names
        .iter()
        .map(|name| last(name))
        .filter(|name| !kept.contains(name))
        .filter(|name| !fate.renamed.iter().any(|(old, _)| is(name, old)))
        .filter(|name| !fate.retired.iter().any(|old| is(name, old)))
        .collect()
}
