//! The judgement over the diff alone: every rule that needs no command, in its dimension.
//!
//! Pure, so that a corpus of changes can be held against it in milliseconds.

use super::change::Changed;
use super::drift::{Fate, fate};
use super::finding::check_of;
use super::look::{Asked, Look, View};
use super::policy::{CommandKind, Policy};
use super::rules::overlap::{OpenWork, overlap};
use super::rules::{FAMILIES, Rules, coherence, instructions, secrets};
use crate::domain::evidence::{Check, Dimension, Violation};
use crate::domain::redact::Redactor;

/// A change with what binds it.
pub struct Given<'a> {
    pub changes: &'a [Changed],
    /// Every path of the new tree.
    pub paths: &'a [String],
    pub policy: &'a Policy,
    pub asked: &'a Asked,
    /// What would be published beside the change.
    pub texts: &'a [String],
    pub known: &'a Redactor,
    /// Other open pull requests of ours; `None` where nobody looked.
    pub open: Option<&'a [OpenWork]>,
    pub rules: &'a Rules,
}

/// What the rules over the diff said.
#[derive(Debug)]
pub struct Diff {
    pub checks: Vec<Check>,
    pub violations: Vec<Violation>,
    /// The change makes the checks say less.
    pub drift: bool,
    /// The issue asks for what the policy forbids.
    pub torn: bool,
    pub fate: Fate,
}

impl Diff {
    /// Whether nothing stands against the change so far.
    #[must_use]
    pub fn lets_pass(&self) -> bool {
        self.checks.iter().all(|check| check.outcome.lets_pass())
    }
}

/// Looks at a change.
#[must_use]
pub fn judge(given: &Given<'_>) -> Diff {
    let views: Vec<View<'_>> = given.changes.iter().map(View::of).collect();
    let fate = fate(&views, given.changes, given.asked);
    let commands: Vec<&str> = CommandKind::ALL
        .into_iter()
        .flat_map(|kind| given.policy.to_run(kind))
        .map(|planned| planned.command.as_str())
        .collect();
    let look = Look {
        changes: given.changes,
        views: &views,
        fate: &fate,
        paths: given.paths,
        commands: &commands,
        protected: &given.policy.protected,
        max_changed_files: given.policy.max_changed_files,
        max_changed_lines: given.policy.max_changed_lines,
        asked: given.asked,
        texts: given.texts,
        known: given.known,
    };
    let (mut checks, mut violations, mut drift) = (Vec::new(), Vec::new(), false);
    for family in FAMILIES {
        let mut found = given.rules.look(family, &look);
        for violation in &mut found {
            // A line may break two rules, and be quoted for the one while it leaks for the other.
            if secrets::secret_in(&violation.description, given.known).is_some() {
                violation.description = format!("{} (the line holds a secret)", violation.kind);
            }
        }
        drift |= family.dimension == Dimension::Drift
            && found.iter().any(|violation| violation.kind != "no_change");
        checks.push(check_of(family.dimension, family.check, &found));
        violations.extend(found);
    }
    checks.push(coherence::dependencies_named(given.changes));
    checks.push(overlap(given.changes, given.open));
    let (row, torn) = instructions::instructions(&violations, given.asked);
    checks.push(row);
    Diff { checks, violations, drift, torn, fate }
}
