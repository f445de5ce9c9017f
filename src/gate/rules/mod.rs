//! The rules over the diff that need no command: what may not be touched, hidden, leaked or weakened.
//!
//! Pure. Each file is one rule or a few of one kind, all of one shape: a `Look` in, violations out.
//! `FAMILIES` is the list of them with their dimension and the kinds of violation they make; a kind
//! is switched off by name (`Rules::without`), which is how the tests show that each is needed.

pub mod asks;
pub mod build_script;
pub mod coherence;
pub mod deceives;
pub mod hides;
pub mod instructions;
pub mod markers;
pub mod overlap;
pub mod protected;
pub mod runner;
pub mod secrets;
pub mod size;

use std::collections::BTreeSet;

use super::drift::{collected, helpers, loosened, snapshots, subject, unnamed};
use super::look::Look;
use crate::domain::event::Severity;
use crate::domain::evidence::{Dimension, Violation};
use crate::gate::finding::{Where, violation};

/// Rules that make one row of the evidence.
pub struct Family {
    pub dimension: Dimension,
    /// The check's name.
    pub check: &'static str,
    pub look: fn(&Look<'_>) -> Vec<Violation>,
    /// The kinds of violation it can find.
    pub kinds: &'static [&'static str],
}

/// Every rule over the diff.
pub const FAMILIES: &[Family] = &[
    Family {
        dimension: Dimension::Drift,
        check: "has_changes",
        look: nothing_changed,
        kinds: &["no_change"],
    },
    Family {
        dimension: Dimension::Drift,
        check: "tests_kept",
        look: |look| look.fate.violations.clone(),
        kinds: &[
            "test_deleted",
            "test_skipped",
            "test_focused",
            "test_emptied",
            "test_cut_short",
            "expects_failure",
            "assertions_fewer",
            "assertions_weakened",
            "cases_fewer",
            "expected_value_changed",
        ],
    },
    Family {
        dimension: Dimension::Drift,
        check: "tests_collected",
        look: collected::collected,
        kinds: &["test_not_collected"],
    },
    Family {
        dimension: Dimension::Drift,
        check: "test_helpers",
        look: helpers::helpers,
        kinds: &["helper_weakened"],
    },
    Family {
        dimension: Dimension::Drift,
        check: "tests_can_fail",
        look: unnamed::hollow,
        kinds: &["trivial_assertion", "test_file_deleted", "test_file_weakened", "cases_dropped"],
    },
    Family {
        dimension: Dimension::Drift,
        check: "tests_subject",
        look: subject::replaced,
        kinds: &["subject_replaced"],
    },
    Family {
        dimension: Dimension::Drift,
        check: "nothing_loosened",
        look: loosened::loosened,
        kinds: &["error_suppressed", "settings_loosened", "threshold_relaxed"],
    },
    Family {
        dimension: Dimension::Drift,
        check: "snapshots",
        look: snapshots::snapshots,
        kinds: &["snapshot_rewritten"],
    },
    Family {
        dimension: Dimension::Governance,
        check: "protected_paths",
        look: |look| protected::protected(look.changes, look.protected),
        kinds: &["protected_path", "lone_lock_file"],
    },
    Family {
        dimension: Dimension::Governance,
        check: "secrets",
        look: |look| secrets::secrets(look.changes, look.texts, look.known),
        kinds: &["secret"],
    },
    Family {
        dimension: Dimension::Governance,
        check: "size",
        look: |look| size::size(look.changes, look.max_changed_files, look.max_changed_lines),
        kinds: &[
            "too_large",
            "gitlink",
            "link_out_of_tree",
            "large_binary",
            "program_binary",
            "generated_code",
        ],
    },
    Family {
        dimension: Dimension::Governance,
        check: "honest_code",
        look: |look| {
            let rules = [asks::asks, deceives::hidden, deceives::always_equal];
            rules.iter().flat_map(|rule| rule(look)).collect()
        },
        kinds: &["asks_if_under_test", "hidden_characters", "always_equal"],
    },
    Family {
        dimension: Dimension::Governance,
        check: "honest_checks",
        look: |look| {
            let rules = [
                hides::hides,
                hides::replaced,
                runner::interferes,
                runner::shadows,
                build_script::build_script,
            ];
            rules.iter().flat_map(|rule| rule(look)).collect()
        },
        kinds: &[
            "hides_failure",
            "command_replaced",
            "runner_interfered",
            "runner_shadowed",
            "build_script",
        ],
    },
    Family {
        dimension: Dimension::Cdw,
        check: "conflict_markers",
        look: |look| markers::markers(look.changes),
        kinds: &["conflict_marker"],
    },
    Family {
        dimension: Dimension::Qiel,
        check: "lock_files",
        look: |look| coherence::coherence(look.changes, look.paths),
        kinds: &["lock_file_stale", "lock_file_source"],
    },
];

fn nothing_changed(look: &Look<'_>) -> Vec<Violation> {
    let nothing = look.changes.is_empty().then(|| {
        violation("no_change", Severity::Low, "the change changes nothing", Where::nowhere())
    });
    nothing.into_iter().collect()
}

/// Which rules are on: all, but for those named.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    off: BTreeSet<String>,
}

impl Rules {
    /// All of them.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// All but these kinds.
    #[must_use]
    pub fn without(kinds: &[&str]) -> Self {
        Self { off: kinds.iter().map(|kind| (*kind).to_owned()).collect() }
    }

    /// What one family of rules finds.
    #[must_use]
    pub fn look(&self, family: &Family, look: &Look<'_>) -> Vec<Violation> {
        let mut found = (family.look)(look);
        found.retain(|violation| !self.off.contains(&violation.kind));
        found
    }
}
