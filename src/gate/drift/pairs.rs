//! Finds each old test again among the new ones, and says what became of it.
//!
//! Pure. A test that moved or was renamed with its module is fine; one that is gone, skipped,
//! emptied or asserts less is a violation.

use std::collections::HashMap;

use super::cases::{TestCase, cases};
use crate::domain::evidence::Violation;
use crate::gate::change::Changed;
use crate::gate::finding::{Where, high};

struct Placed<'a> {
    /// The file's name after the change, for old and new alike, so that renames line up.
    file: &'a str,
    shown: &'a str,
    case: TestCase,
    taken: bool,
}

/// What the change does to the tests there were, and how many it adds.
pub struct Fate {
    pub violations: Vec<Violation>,
    /// Names of tests that are new or were renamed.
    pub added: Vec<String>,
    /// Old name to new name of tests found again under another name.
    pub renamed: Vec<(String, String)>,
}

/// Compares the tests of all changed files.
#[must_use]
pub fn fate(changes: &[Changed]) -> Fate {
    let mut old = Vec::new();
    let mut new = Vec::new();
    for change in changes {
        for case in cases(change.former(), &change.old) {
            old.push(Placed { file: &change.path, shown: change.former(), case, taken: false });
        }
        for case in cases(&change.path, &change.new) {
            new.push(Placed { file: &change.path, shown: &change.path, case, taken: false });
        }
    }
    let mut pairs = HashMap::new();
    pair(&mut old, &mut new, &mut pairs, |a, b| a.file == b.file && a.case.name == b.case.name);
    pair(&mut old, &mut new, &mut pairs, |a, b| a.case.name == b.case.name);
    pair(&mut old, &mut new, &mut pairs, |a, b| alike(&a.case, &b.case));

    let mut fate = Fate { violations: Vec::new(), added: Vec::new(), renamed: Vec::new() };
    for (index, before) in old.iter().enumerate() {
        let Some(after) = pairs.get(&index).map(|found: &usize| &new[*found]) else {
            fate.violations.push(high(
                "test_deleted",
                format!("the test `{}` was deleted", before.case.name),
                Where::line(before.shown, before.case.line),
            ));
            continue;
        };
        if before.case.name != after.case.name {
            fate.renamed.push((before.case.name.clone(), after.case.name.clone()));
        }
        weakened(&before.case, &after.case, after.shown, &mut fate.violations);
    }
    for test in new.iter().filter(|test| !test.taken) {
        fate.added.push(test.case.name.clone());
        if test.case.skipped {
            fate.violations.push(high(
                "test_skipped",
                format!("the new test `{}` never runs", test.case.name),
                Where::line(test.shown, test.case.line),
            ));
        }
    }
    fate
}

fn pair(
    old: &mut [Placed<'_>],
    new: &mut [Placed<'_>],
    pairs: &mut HashMap<usize, usize>,
    same: impl Fn(&Placed<'_>, &Placed<'_>) -> bool,
) {
    for (index, before) in old.iter_mut().enumerate().filter(|(_, test)| !test.taken) {
        if let Some((found, after)) =
            new.iter_mut().enumerate().find(|(_, after)| !after.taken && same(before, after))
        {
            (before.taken, after.taken) = (true, true);
            pairs.insert(index, found);
        }
    }
}

/// Whether a test under another name does the same: most of its body is there.
fn alike(before: &TestCase, after: &TestCase) -> bool {
    if before.body.is_empty() || after.body.is_empty() {
        return false;
    }
    let mut left: Vec<&String> = after.body.iter().collect();
    let shared = before
        .body
        .iter()
        .filter(|line| {
            left.iter().position(|other| other == line).map(|at| left.swap_remove(at)).is_some()
        })
        .count();
    // A module's new name changes words within lines: compare those by their assertions too.
    let words = words_shared(before, after);
    shared * 2 >= before.body.len() || words >= 2
}

/// The share of the words of the old body that the new one has, in thirds (0 to 3).
fn words_shared(before: &TestCase, after: &TestCase) -> usize {
    let words = |case: &TestCase| -> Vec<String> {
        case.body
            .iter()
            .flat_map(|line| line.split(|c: char| !c.is_alphanumeric()))
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let (mine, mut theirs) = (words(before), words(after));
    let shared = mine
        .iter()
        .filter(|word| {
            theirs
                .iter()
                .position(|other| other == *word)
                .map(|at| theirs.swap_remove(at))
                .is_some()
        })
        .count();
    shared * 3 / mine.len().max(1)
}

fn weakened(before: &TestCase, after: &TestCase, file: &str, found: &mut Vec<Violation>) {
    let at = || Where::line(file, after.line);
    let name = &after.name;
    if after.skipped && !before.skipped {
        found.push(high("test_skipped", format!("the test `{name}` is now skipped"), at()));
    } else if after.body.is_empty() && !before.body.is_empty() {
        found.push(high("test_emptied", format!("the test `{name}` was emptied"), at()));
    } else if after.assertions < before.assertions {
        found.push(high(
            "assertions_weakened",
            format!(
                "the test `{name}` asserts less: {} assertions that can fail, {} before",
                after.assertions, before.assertions
            ),
            at(),
        ));
    } else if after.exact < before.exact {
        found.push(high(
            "assertions_weakened",
            format!(
                "the test `{name}` compares with an exact value {} times, {} before",
                after.exact, before.exact
            ),
            at(),
        ));
    } else if after.expects_failure && !before.expects_failure {
        found.push(high(
            "assertions_weakened",
            format!("the test `{name}` is now expected to fail"),
            at(),
        ));
    } else if let Some(line) = after.body.iter().find(|l| leaves(l) && !before.body.contains(l)) {
        found.push(high(
            "test_cut_short",
            format!("the test `{name}` now ends early: `{line}`"),
            at(),
        ));
    }
}

/// A statement that ends a test before its assertions.
fn leaves(line: &str) -> bool {
    matches!(line, "return;" | "return" | "return Ok(());" | "return nil" | "return None")
        || ["if false", "if (false)", "if 0:", "if False:", "if cfg!("]
            .iter()
            .any(|start| line.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rust(name: &str, body: &str) -> String {
        format!("#[test]\nfn {name}() {{\n{body}\n}}\n")
    }

    fn kinds(changes: &[Changed]) -> Vec<String> {
        fate(changes).violations.into_iter().map(|violation| violation.kind).collect()
    }

    fn modified(old: &str, new: &str) -> Vec<Changed> {
        vec![Changed::text("tests/a.rs", None, Some(old), Some(new))]
    }

    #[test]
    fn deleted_skipped_emptied_weakened() {
        let old = rust("adds", "    assert_eq!(add(1, 2), 3);\n    assert_eq!(add(0, 0), 0);");
        assert_eq!(kinds(&modified(&old, "")), ["test_deleted"]);
        let ignored = format!("#[ignore]\n{old}");
        assert_eq!(kinds(&modified(&old, &ignored)), ["test_skipped"]);
        assert_eq!(kinds(&modified(&old, &rust("adds", ""))), ["test_emptied"]);
        let fewer = rust("adds", "    assert_eq!(add(1, 2), 3);");
        assert_eq!(kinds(&modified(&old, &fewer)), ["assertions_weakened"]);
        let trivial = rust("adds", "    assert_eq!(add(1, 2), 3);\n    assert!(true);");
        assert_eq!(kinds(&modified(&old, &trivial)), ["assertions_weakened"]);
        let vague = rust("adds", "    assert_eq!(add(1, 2), 3);\n    assert!(add(0, 0) < 9);");
        assert_eq!(kinds(&modified(&old, &vague)), ["assertions_weakened"]);
        let early = old.replace("{\n", "{\n    return;\n");
        assert_eq!(kinds(&modified(&old, &early)), ["test_cut_short"]);
        let commented = format!("/*\n{old}*/\n");
        assert_eq!(kinds(&modified(&old, &commented)), ["test_deleted"]);
    }

    #[test]
    fn moved_renamed_changed_and_added_are_fine() {
        let old = rust("parser_reads", "    let p = parser::new();\n    assert_eq!(p.read(), 3);");
        let moved = [
            Changed::text("tests/a.rs", None, Some(&old), None),
            Changed::text("tests/b.rs", None, None, Some(&old)),
        ];
        assert!(kinds(&moved).is_empty());
        let renamed = old.replace("parser", "reader");
        let change =
            [Changed::text("tests/reader.rs", Some("tests/parser.rs"), Some(&old), Some(&renamed))];
        assert!(kinds(&change).is_empty());
        assert_eq!(fate(&change).renamed.len(), 1);
        assert!(kinds(&modified(&old, &old.replace("3)", "4)"))).is_empty());
        let more = format!("{old}{}", rust("more", "    assert!(f());"));
        assert!(kinds(&modified(&old, &more)).is_empty());
        assert_eq!(fate(&modified(&old, &more)).added, ["more"]);
        let plainer = old.replace("assert_eq!(p.read(), 3)", "assert_eq!(p.ok(), true)");
        let plain = old.replace("assert_eq!(p.read(), 3)", "assert!(p.ok())");
        assert!(kinds(&modified(&plainer, &plain)).is_empty());
    }

    #[test]
    fn another_test_in_its_place_is_no_excuse() {
        let old = rust("adds", "    assert_eq!(add(1, 2), 3);");
        let new = rust("other", "    let wholly = different();\n    assert!(wholly.is_some());");
        assert_eq!(kinds(&modified(&old, &new)), ["test_deleted"]);
    }
}
