//! The evidence is of this tree: it stands on the base, and its checks left its files alone.
//!
//! Pure.

use std::collections::BTreeSet;

use crate::domain::evidence::{Check, CheckOutcome, Dimension};
use crate::gate::Candidate;
use crate::gate::finding::check;
use crate::gate::run::Session;

/// The commit stands on the base it was judged against, and merges cleanly because of that.
pub(in crate::gate) fn stands_on(candidate: &Candidate<'_>, on_base: bool) -> Check {
    let base = candidate.base.short();
    let (outcome, finding) = if on_base {
        (CheckOutcome::Passed, format!("judged at {} on {base}", candidate.commit.short()))
    } else {
        (CheckOutcome::Failed, format!("the commit does not stand on the current base {base}"))
    };
    check(Dimension::Cdw, "merges_cleanly", outcome, vec![finding])
}

/// The commands judged the tree as it is: they did not change its files, other than on the base.
pub(in crate::gate) fn untouched(
    candidate: &Candidate<'_>,
    session: &Session,
    on_base: &BTreeSet<String>,
) -> Check {
    let new: Vec<&String> = session.altered.difference(on_base).collect();
    let outcome = if new.is_empty() { CheckOutcome::Passed } else { CheckOutcome::Failed };
    let mut findings: Vec<String> = new
        .iter()
        .map(|path| format!("running the checks changed {path}, which is the commit's own"))
        .collect();
    if findings.is_empty() {
        findings.push(format!(
            "every log is of the tree {} of commit {}",
            candidate.tree.short(),
            candidate.commit.short()
        ));
    }
    check(Dimension::Qiel, "evidence_of_this_tree", outcome, findings)
}
