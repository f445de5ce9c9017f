//! Functions that tests call and that assert for them: one that asserts less weakens them all.
//!
//! Pure. What moved from a helper into the tests of its file is no loss.

use crate::domain::evidence::Violation;
use crate::gate::finding::{Where, high};
use crate::gate::look::{Look, View};

/// Helpers in test code that assert less than before.
#[must_use]
pub fn helpers(look: &Look<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for view in look.views {
        let sum = |facts: &crate::gate::syntax::Facts| -> usize {
            facts.helpers.iter().map(|helper| helper.assertions).sum::<usize>()
                + facts.tests.iter().map(|test| test.assertions).sum::<usize>()
        };
        if sum(&view.new) >= sum(&view.old) {
            continue;
        }
        weaker(view, &mut found);
    }
    found
}

fn weaker(view: &View<'_>, found: &mut Vec<Violation>) {
    for before in view.old.helpers.iter().filter(|helper| helper.assertions > 0) {
        let Some(after) = view.new.helpers.iter().find(|helper| helper.name == before.name) else {
            continue;
        };
        if after.assertions < before.assertions {
            let what = format!(
                "the tests' helper `{}` asserts less: {} assertions that can fail, {} before",
                after.name, after.assertions, before.assertions
            );
            found.push(high("helper_weakened", what, Where::line(&view.change.path, after.line)));
        }
    }
}
