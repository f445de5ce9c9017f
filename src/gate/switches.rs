//! Rules that a label switched off: their checks do not apply, and say by which label.
//!
//! Pure. What was found is still listed, so that whoever reviews the change sees it.

use std::collections::BTreeMap;

use super::finding::sentence;
use super::policy::Switchable;
use crate::domain::evidence::{Check, CheckOutcome, Violation};

/// Turns failed checks of switched-off rules into ones that do not apply.
pub(super) fn apply(
    off: &BTreeMap<Switchable, String>,
    checks: &mut [Check],
    violations: &mut Vec<Violation>,
) {
    for (rule, label) in off {
        let of_rule = |check: &&mut Check| {
            check.name == rule.as_str() && check.outcome == CheckOutcome::Failed
        };
        // The policy's own paths were taken out before; the built-in ones bind always.
        if *rule == Switchable::ProtectedPaths {
            continue;
        }
        for check in checks.iter_mut().filter(of_rule) {
            violations.retain(|violation| !check.findings.contains(&sentence(violation)));
            check.outcome = CheckOutcome::NotApplicable;
            for finding in &mut check.findings {
                *finding = format!("allowed by the label `{label}`: {finding}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::evidence::Dimension;
    use crate::gate::finding::{Where, check_of, high};

    #[test]
    fn only_the_named_rule_gives_way() {
        let deleted = high("test_deleted", "the test `a` was deleted", Where::line("a.rs", 3));
        let secret = high("secret", "a key", Where::line("b.rs", 4));
        let mut checks = vec![
            check_of(Dimension::Drift, "tests_kept", std::slice::from_ref(&deleted)),
            check_of(Dimension::Governance, "secrets", std::slice::from_ref(&secret)),
        ];
        let mut violations = vec![deleted, secret];
        let off = BTreeMap::from([(Switchable::TestsKept, "sweeping".to_owned())]);
        apply(&off, &mut checks, &mut violations);
        assert_eq!(checks[0].outcome, CheckOutcome::NotApplicable);
        assert!(checks[0].findings[0].starts_with("allowed by the label `sweeping`: the test"));
        assert_eq!(checks[1].outcome, CheckOutcome::Failed);
        assert_eq!(violations.len(), 1);
    }
}
