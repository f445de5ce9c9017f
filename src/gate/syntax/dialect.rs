//! What a language has to say about its tests: the shape that each grammar's file fills in.
//!
//! Pure data and function pointers. Never walks a tree: `weigh` does.

use tree_sitter::Node;

use super::Source;

/// How tests, assertions and dead ends look in one language.
pub(super) struct Dialect {
    /// The tests that a runner would collect from the file.
    pub tests: for<'a> fn(&Source<'a>) -> Vec<Found<'a>>,
    /// What the node asserts, if it is an assertion.
    pub asserts: for<'a> fn(&Source<'a>, Node<'a>) -> Option<Assertion<'a>>,
    /// A statement after which the rest of its block is never reached.
    pub ends: fn(&Source<'_>, Node<'_>) -> bool,
    /// What is never executed (`if false`), or whose failures are swallowed (`try … except: pass`).
    pub void: fn(&Source<'_>, Node<'_>) -> bool,
    /// A named function within a function: counts only where it is called.
    pub nested: for<'a> fn(&Source<'a>, Node<'a>) -> Option<&'a str>,
    /// Rows of cases that the node lists (a table, a parametrised test).
    pub rows: fn(&Source<'_>, Node<'_>) -> usize,
    /// Blocks of statements.
    pub blocks: &'static [&'static str],
    /// Literals: what a test expects and feeds.
    pub literals: &'static [&'static str],
    /// Names; an assertion without any asserts nothing about the code.
    pub names: &'static [&'static str],
    /// A function that is not a test: its name, and its body.
    pub function: for<'a> fn(&Source<'a>, Node<'a>) -> Option<(&'a str, Node<'a>)>,
    /// Whether a node's lines are test code although its file is not (`#[cfg(test)] mod`).
    pub test_code: fn(&Source<'_>, Node<'_>) -> bool,
}

/// A test in the tree.
pub(super) struct Found<'a> {
    pub name: String,
    /// The test with its marks: decorators, attributes, annotations.
    pub whole: Node<'a>,
    /// What runs.
    pub body: Option<Node<'a>>,
    /// Marked so that it never runs.
    pub skipped: bool,
    /// Marked so that it runs only under a condition.
    pub conditional: bool,
    /// Expected to fail.
    pub expects_failure: bool,
    /// Marked so that only it runs.
    pub focused: bool,
    /// Rows of cases that its marks list.
    pub rows: usize,
}

/// One assertion.
pub(super) struct Assertion<'a> {
    /// It compares with an exact value.
    pub exact: bool,
    /// It can't fail.
    pub trivial: bool,
    /// Its words for people: no expectation.
    pub message: Option<Node<'a>>,
}

impl Assertion<'_> {
    pub const fn new(exact: bool, trivial: bool) -> Self {
        Self { exact, trivial, message: None }
    }
}

/// Two texts without white space are the same.
pub(super) fn same_text(left: &str, right: &str) -> bool {
    let bare = |text: &str| text.split_whitespace().collect::<String>();
    let (left, right) = (bare(left), bare(right));
    !left.is_empty() && left == right
}
