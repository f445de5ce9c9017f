//! What the rules need to know of one file: its tests, its helpers, and which lines are test code.
//!
//! Pure. A file without a grammar has no tests that we can name.

use std::collections::BTreeSet;

use super::weigh::{Weight, weigh};
use super::{Source, dialect_of, each, last_line_of, line_of, parse};
use crate::gate::scan::is_test_path;

/// One test as it stands in a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TestCase {
    pub name: String,
    /// The line where it begins, and its last line; from 1.
    pub line: u32,
    pub end: u32,
    /// Marked so that it never runs.
    pub skipped: bool,
    /// Marked so that it runs only under a condition.
    pub conditional: bool,
    /// Expected to fail (`should_panic`, `xfail`).
    pub expects_failure: bool,
    /// Marked so that no other test runs (`it.only`).
    pub focused: bool,
    /// Assertions that can be reached and could fail.
    pub assertions: usize,
    /// Those among them that compare with an exact value.
    pub exact: usize,
    /// Rows of cases that it runs through.
    pub rows: usize,
    /// Literals it feeds and expects.
    pub literals: Vec<String>,
    /// Code lines of the body, trimmed.
    pub body: Vec<String>,
}

/// A function in test code that is no test, and what it asserts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Helper {
    pub name: String,
    pub line: u32,
    pub assertions: usize,
    pub exact: usize,
}

/// A file, read.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    pub tests: Vec<TestCase>,
    pub helpers: Vec<Helper>,
    /// Names of functions that are not test code.
    pub functions: BTreeSet<String>,
    /// For each line, from 0, whether it is test code.
    pub test_lines: Vec<bool>,
    /// Lines of assertions in test code that can't fail.
    pub trivial: Vec<u32>,
}

impl Facts {
    /// Reads a file.
    #[must_use]
    pub fn of(path: &str, text: &str) -> Self {
        let lines = text.lines().count();
        let mut facts = Self { test_lines: vec![is_test_path(path); lines], ..Self::default() };
        let Some((dialect, grammar)) = dialect_of(path) else { return facts };
        let Some(tree) = parse(text, &grammar) else { return facts };
        let source = Source { text, path, root: tree.root_node() };
        let mut inside = BTreeSet::new();
        for found in (dialect.tests)(&source) {
            let weight = found.body.map_or_else(Weight::default, |it| weigh(dialect, &source, it));
            let panics = usize::from(found.expects_failure && path.ends_with(".rs"));
            facts.mark(line_of(found.whole), last_line_of(found.whole));
            facts.trivial.extend(&weight.trivial);
            inside.insert(found.body.map_or(0, |body| body.start_byte()));
            facts.tests.push(TestCase {
                name: found.name,
                line: line_of(found.whole),
                end: last_line_of(found.whole),
                skipped: found.skipped,
                conditional: found.conditional,
                expects_failure: found.expects_failure,
                focused: found.focused,
                assertions: weight.assertions + panics,
                exact: weight.exact,
                rows: weight.rows + found.rows,
                literals: weight.literals,
                body: found.body.map_or_else(Vec::new, |body| lines_of(&source, body)),
            });
        }
        each(source.root, &mut |node| {
            if (dialect.test_code)(&source, node) {
                let mut first = node;
                while let Some(above) =
                    first.prev_sibling().filter(|above| above.kind() == "attribute_item")
                {
                    first = above;
                }
                facts.mark(line_of(first), last_line_of(node));
            }
        });
        each(source.root, &mut |node| {
            let Some((name, body)) = (dialect.function)(&source, node) else { return };
            if inside.contains(&body.start_byte()) {
                return;
            }
            let line = line_of(node);
            let in_test = facts.test_lines.get(line as usize - 1).copied().unwrap_or(false);
            if in_test {
                let weight = weigh(dialect, &source, body);
                facts.trivial.extend(&weight.trivial);
                let (assertions, exact) = (weight.assertions, weight.exact);
                facts.helpers.push(Helper { name: name.to_owned(), line, assertions, exact });
            } else {
                facts.functions.insert(name.to_owned());
            }
        });
        facts.add_helpers();
        facts.trivial.sort_unstable();
        facts.trivial.dedup();
        facts
    }

    /// What a test's helpers in its own file assert, it asserts.
    fn add_helpers(&mut self) {
        for helper in self.helpers.iter().filter(|helper| helper.assertions > 0) {
            let calls = [format!("{}(", helper.name), format!("{}!(", helper.name)];
            for test in &mut self.tests {
                let called: usize = test
                    .body
                    .iter()
                    .map(|line| {
                        calls.iter().map(|call| line.matches(call.as_str()).count()).sum::<usize>()
                    })
                    .sum();
                test.assertions += called * helper.assertions;
                test.exact += called * helper.exact;
            }
        }
    }

    fn mark(&mut self, first: u32, last: u32) {
        for line in first..=last {
            if let Some(slot) = self.test_lines.get_mut(line as usize - 1) {
                *slot = true;
            }
        }
    }

    /// Whether a line, from 1, is test code.
    #[must_use]
    pub fn is_test_line(&self, line: u32) -> bool {
        self.test_lines.get(line as usize - 1).copied().unwrap_or(false)
    }
}

/// The code lines below a body's head; comments, brackets and empty statements aside.
fn lines_of(source: &Source<'_>, body: tree_sitter::Node<'_>) -> Vec<String> {
    let mut comments = Vec::new();
    each(body, &mut |node| {
        if node.kind().contains("comment") {
            comments.push(node.byte_range());
        }
    });
    let mut text = String::new();
    let mut at = body.start_byte();
    for comment in comments {
        text.push_str(source.text.get(at..comment.start.max(at)).unwrap_or(""));
        at = comment.end.max(at);
    }
    text.push_str(source.text.get(at..body.end_byte()).unwrap_or(""));
    text.lines()
        .map(|line| line.trim().trim_start_matches('{').trim_end_matches(['{', '}']).trim())
        .filter(|line| !line.chars().all(|c| "{}()[];,=> ".contains(c)))
        .filter(|line| {
            !matches!(*line, "pass" | "..." | "async () =>" | "function ()" | "function()")
        })
        .map(str::to_owned)
        .collect()
}
