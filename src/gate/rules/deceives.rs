//! Code that reads or compares otherwise than it seems: hidden characters, equality that is
//! always true.
//!
//! Pure.

use std::sync::LazyLock;

use regex::Regex;

use crate::domain::evidence::Violation;
use crate::gate::finding::{Where, high};
use crate::gate::logs::pattern;
use crate::gate::look::Look;
use crate::gate::scan::Language;

/// Characters that make code read otherwise than it runs.
#[must_use]
pub fn hidden(look: &Look<'_>) -> Vec<Violation> {
    let bidirectional = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let unseen = |c: char| matches!(c, '\u{200b}' | '\u{2060}' | '\u{e0000}'..='\u{e007f}');
    let mut found = Vec::new();
    for view in look.views.iter().filter(|view| !view.change.binary) {
        let code = view.language != Language::Other;
        let hides = |c: char| bidirectional(c) || (code && unseen(c));
        if let Some(line) = view.change.added.iter().find(|line| line.text.contains(hides)) {
            found.push(high(
                "hidden_characters",
                "the line holds characters that are not seen (bidirectional or of no width)",
                Where::line(&view.change.path, line.number),
            ));
        }
    }
    found
}

/// Equality that holds for anything, so that every comparison in a test passes.
#[must_use]
pub fn always_equal(look: &Look<'_>) -> Vec<Violation> {
    static EQUAL: LazyLock<Regex> = LazyLock::new(|| {
        pattern(concat!(
            r"fn\s+eq\s*\([^)]*\)\s*->\s*bool\s*\{\s*(?:return\s+)?true\s*;?\s*\}|",
            r"def\s+__eq__\s*\([^)]*\)[^:]*:\s*(?:return\s+True|return\s+1)|",
            r"__eq__\s*=\s*lambda[^:]*:\s*True|",
            r"boolean\s+equals\s*\([^)]*\)\s*\{\s*return\s+true\s*;|",
            r"\bequals\s*\([^)]*\)\s*(?::\s*boolean\s*)?\{\s*return\s+true\s*;?",
        ))
    });
    let mut found = Vec::new();
    for view in look.views {
        let code = view.blank.join("\n");
        if EQUAL.find_iter(&code).count() <= EQUAL.find_iter(&view.change.old).count() {
            continue;
        }
        let line = EQUAL.find(&code).map_or(1, |hit| code[..hit.start()].matches('\n').count() + 1);
        found.push(high(
            "always_equal",
            "everything equals this type, so that a comparison with it can't fail",
            Where::line(&view.change.path, u32::try_from(line).unwrap_or(1)),
        ));
    }
    found
}
