//! Weighing a test: how many of its assertions can be reached and can fail, and what they expect.
//!
//! Pure. The same walk for every language; what is dead, swallowed or trivial weighs nothing.

use tree_sitter::Node;

use super::dialect::Dialect;
use super::{DEEPEST, Source, children, named};

/// What a piece of code asserts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Weight {
    /// Assertions that could fail.
    pub assertions: usize,
    /// Those among them that compare with an exact value.
    pub exact: usize,
    /// Rows of cases in tables.
    pub rows: usize,
    /// The literals, in order; messages for people aside.
    pub literals: Vec<String>,
    /// Lines of assertions that can't fail.
    pub trivial: Vec<u32>,
}

/// Weighs what is below `node`.
pub(super) fn weigh<'a>(dialect: &Dialect, source: &Source<'a>, node: Node<'a>) -> Weight {
    let mut walk = Walk { dialect, source, all: source.of(node), weight: Weight::default() };
    walk.inside(node, 0);
    walk.weight
}

struct Walk<'s, 'a> {
    dialect: &'s Dialect,
    source: &'s Source<'a>,
    /// The whole text, to see whether a nested function is called.
    all: &'s str,
    weight: Weight,
}

impl<'a> Walk<'_, 'a> {
    fn inside(&mut self, node: Node<'a>, depth: usize) {
        if depth > DEEPEST || (self.dialect.void)(self.source, node) {
            return;
        }
        if depth > 0 && self.is_idle(node) {
            return;
        }
        self.weight.rows += (self.dialect.rows)(self.source, node);
        let mut message = None;
        if let Some(assertion) = (self.dialect.asserts)(self.source, node) {
            message = assertion.message;
            if assertion.trivial {
                self.weight.trivial.push(super::line_of(node));
            } else {
                self.weight.assertions += 1;
                self.weight.exact += usize::from(assertion.exact);
            }
        }
        if self.dialect.literals.contains(&node.kind()) {
            self.weight.literals.push(self.source.of(node).to_owned());
            return;
        }
        let block = self.dialect.blocks.contains(&node.kind());
        for child in children(node) {
            if message.is_some_and(|message| message.id() == child.id()) {
                continue;
            }
            self.inside(child, depth + 1);
            if block && (self.dialect.ends)(self.source, child) {
                return;
            }
        }
    }

    /// A nested function that nobody calls.
    fn is_idle(&self, node: Node<'a>) -> bool {
        let Some(name) = (self.dialect.nested)(self.source, node) else { return false };
        self.all.matches(name).count() < 2
    }
}

/// Whether the node names anything: a call, a variable.
pub(super) fn names_something(dialect: &Dialect, node: Node<'_>) -> bool {
    let mut stack = vec![(node, 0)];
    while let Some((node, depth)) = stack.pop() {
        if dialect.names.contains(&node.kind()) {
            return true;
        }
        if depth < DEEPEST {
            stack.extend(named(node).map(|child| (child, depth + 1)));
        }
    }
    false
}
