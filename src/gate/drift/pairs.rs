//! Finds each old test again among the new ones, and says what became of it.
//!
//! Pure. A test that moved or was renamed with its module is fine; one that is gone, skipped,
//! emptied or asserts less is a violation.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use regex::Regex;

use super::values;
use crate::domain::evidence::Violation;
use crate::gate::change::Changed;
use crate::gate::finding::{Where, high, quote};
use crate::gate::logs::pattern;
use crate::gate::look::{Asked, View};
use crate::gate::syntax::TestCase;

struct Placed<'a> {
    /// The file's name after the change, for old and new alike, so that renames line up.
    file: &'a str,
    shown: &'a str,
    case: &'a TestCase,
    taken: bool,
}

/// What the change does to the tests there were, and how many it adds.
#[derive(Debug, Default)]
pub struct Fate {
    pub violations: Vec<Violation>,
    /// Names of tests that are new or were renamed.
    pub added: Vec<String>,
    /// Names of tests that were there and now feed or expect other values.
    pub altered: Vec<String>,
    /// Old name to new name of tests found again under another name.
    pub renamed: Vec<(String, String)>,
    /// Tests whose removal the issue asks for, with what they tested.
    pub retired: Vec<String>,
}

/// Compares the tests of all changed files.
#[must_use]
pub fn fate(views: &[View<'_>], changes: &[Changed], asked: &Asked) -> Fate {
    let mut old = Vec::new();
    let mut new = Vec::new();
    for view in views {
        let file = view.change.path.as_str();
        let place = |shown, case| Placed { file, shown, case, taken: false };
        old.extend(view.old.tests.iter().map(|case| place(view.change.former(), case)));
        new.extend(view.new.tests.iter().map(|case| place(file, case)));
    }
    let mut pairs = HashMap::new();
    pair(&mut old, &mut new, &mut pairs, |a, b| a.file == b.file && a.case.name == b.case.name);
    pair(&mut old, &mut new, &mut pairs, |a, b| {
        a.case.name == b.case.name && alike(a.case, b.case)
    });
    pair(&mut old, &mut new, &mut pairs, |a, b| a.file == b.file && alike(a.case, b.case));
    pair(&mut old, &mut new, &mut pairs, |a, b| alike(a.case, b.case));

    let retired = retired_functions(views, asked);
    let mut fate = Fate::default();
    for (index, before) in old.iter().enumerate() {
        let Some(after) = pairs.get(&index).map(|found: &usize| &new[*found]) else {
            let tests = |name: &String| before.case.body.iter().any(|line| line.contains(name));
            if asked.removes() && retired.iter().any(tests) {
                fate.retired.push(before.case.name.clone());
                continue;
            }
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
        if before.case.literals != after.case.literals || before.case.rows < after.case.rows {
            fate.altered.push(after.case.name.clone());
        }
        let known = fate.violations.len();
        weakened(before.case, after.case, after.shown, &mut fate.violations);
        if fate.violations.len() == known
            && let Some((then, now)) = values::unasked(before.case, after.case, asked, changes)
        {
            fate.violations.push(high(
                "expected_value_changed",
                format!(
                    "the test `{}` now has {now} where it had {then}, and the issue does not ask for that",
                    after.case.name
                ),
                Where::line(after.shown, after.case.line),
            ));
        }
    }
    for test in new.iter().filter(|test| !test.taken) {
        fate.added.push(test.case.name.clone());
        newcomer(test, &mut fate.violations);
    }
    fate
}

/// Functions that are gone from the code, and that the issue names.
fn retired_functions(views: &[View<'_>], asked: &Asked) -> BTreeSet<String> {
    let now: BTreeSet<&String> = views.iter().flat_map(|view| &view.new.functions).collect();
    views
        .iter()
        .flat_map(|view| &view.old.functions)
        .filter(|name| name.len() > 2 && !now.contains(name) && asked.names(name))
        .cloned()
        .collect()
}

fn newcomer(test: &Placed<'_>, found: &mut Vec<Violation>) {
    let at = || Where::line(test.shown, test.case.line);
    if test.case.skipped {
        let what = format!("the new test `{}` never runs", test.case.name);
        found.push(high("test_skipped", what, at()));
    }
    if test.case.focused {
        let what = format!("the test `{}` is marked so that no other runs", test.case.name);
        found.push(high("test_focused", what, at()));
    }
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

/// Whether a test in another place or under another name does the same: most of its body is there.
fn alike(before: &TestCase, after: &TestCase) -> bool {
    if before.body.is_empty() || after.body.is_empty() {
        return before.body.is_empty() && after.body.is_empty();
    }
    let mut left: Vec<&String> = after.body.iter().collect();
    let shared = before
        .body
        .iter()
        .filter(|line| {
            left.iter().position(|other| other == line).map(|at| left.swap_remove(at)).is_some()
        })
        .count();
    // A module's new name changes words within lines: compare those by their words too.
    shared * 2 >= before.body.len() || words_shared(before, after) >= 2
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
    let mut say = |kind: &str, what: String| found.push(high(kind, what, at()));
    if after.skipped && !before.skipped {
        say("test_skipped", format!("the test `{name}` is now skipped"));
    } else if after.conditional && !before.conditional {
        say("test_skipped", format!("the test `{name}` now runs only under a condition"));
    } else if after.focused && !before.focused {
        say("test_focused", format!("the test `{name}` is marked so that no other runs"));
    } else if after.body.is_empty() && !before.body.is_empty() {
        say("test_emptied", format!("the test `{name}` was emptied"));
    } else if after.expects_failure && !before.expects_failure {
        say("expects_failure", format!("the test `{name}` is now expected to fail"));
    } else if let Some(line) = after.body.iter().find(|l| leaves(l) && !before.body.contains(l)) {
        say("test_cut_short", format!("the test `{name}` now ends early: {}", quote(line)));
    } else if after.assertions < before.assertions {
        say(
            "assertions_fewer",
            format!(
                "the test `{name}` asserts less: {} assertions that can fail, {} before",
                after.assertions, before.assertions
            ),
        );
    } else if after.exact < before.exact {
        say(
            "assertions_weakened",
            format!(
                "the test `{name}` compares with an exact value {} times, {} before",
                after.exact, before.exact
            ),
        );
    } else if after.rows < before.rows {
        say(
            "cases_fewer",
            format!("the test `{name}` runs through {} cases, {} before", after.rows, before.rows),
        );
    }
}

/// A statement that ends a test before its assertions, or that lets the environment say whether
/// they are reached.
fn leaves(line: &str) -> bool {
    static LEAVES: LazyLock<Regex> = LazyLock::new(|| {
        pattern(concat!(
            r"(?:^|[{:)]\s*)return(?:\s+(?:Ok\(\(\)\)|nil|None|true))?\s*(?:[;}]|$)|",
            r"^(?:if false|if \(false\)|if 0:|if False:|if cfg!\(|sys\.exit\(|os\._exit\()|",
            r"\b(?:t|b|tb)\.Skip(?:f|Now)?\(|pytest\.skip\(|\.skipTest\(|this\.skip\(|",
            r"\bassum(?:e|ing)(?:True|False|That|NoException)\(|Assumptions\.abort|",
            r"^(?:\}?\s*else )?(?:if|match|switch|when|unless)\b.*(?:env::var|option_env!|os\.environ|getenv\(|process\.env|os\.Getenv|LookupEnv|testing\.Short\(\)|sys\.platform|runtime\.GOOS|process\.platform)",
        ))
    });
    LEAVES.is_match(line)
}
