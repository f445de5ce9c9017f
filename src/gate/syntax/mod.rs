//! Reading source with the languages' own grammars: which tests a file holds and what each asserts.
//!
//! Pure. Owns the tree-sitter grammars; a file each for Rust, Python, JavaScript and TypeScript, Go
//! and Java, all of the same shape (`Dialect`). Never judges: `drift` does.

mod dialect;
mod facts;
mod go;
mod java;
mod javascript;
mod python;
mod rust;
mod weigh;

use tree_sitter::{Language as Grammar, Node, Parser, Tree};

pub use facts::{Facts, Helper, TestCase};

use dialect::Dialect;

/// Levels below which a tree is not looked at: no hand-written test is nested that deep, and a
/// made-up one must not exhaust our stack.
const DEEPEST: usize = 300;

/// Whether there is a grammar for a file of this name.
#[must_use]
pub fn has_grammar(path: &str) -> bool {
    dialect_of(path).is_some()
}

fn dialect_of(path: &str) -> Option<(&'static Dialect, Grammar)> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let (_, extension) = name.rsplit_once('.')?;
    Some(match extension {
        "rs" => (&rust::DIALECT, tree_sitter_rust::LANGUAGE.into()),
        "py" | "pyi" => (&python::DIALECT, tree_sitter_python::LANGUAGE.into()),
        "js" | "jsx" | "mjs" | "cjs" => {
            (&javascript::DIALECT, tree_sitter_javascript::LANGUAGE.into())
        }
        "ts" | "mts" | "cts" => {
            (&javascript::DIALECT, tree_sitter_typescript::LANGUAGE_TYPESCRIPT.into())
        }
        "tsx" => (&javascript::DIALECT, tree_sitter_typescript::LANGUAGE_TSX.into()),
        "go" => (&go::DIALECT, tree_sitter_go::LANGUAGE.into()),
        "java" => (&java::DIALECT, tree_sitter_java::LANGUAGE.into()),
        _ => return None,
    })
}

fn parse(text: &str, grammar: &Grammar) -> Option<Tree> {
    let mut parser = Parser::new();
    parser.set_language(grammar).ok()?;
    parser.parse(text, None)
}

/// A parsed file with its text.
#[derive(Clone, Copy)]
struct Source<'a> {
    text: &'a str,
    path: &'a str,
    root: Node<'a>,
}

impl<'a> Source<'a> {
    fn of(&self, node: Node<'_>) -> &'a str {
        self.text.get(node.byte_range()).unwrap_or("")
    }

    fn field(&self, node: Node<'a>, name: &str) -> &'a str {
        node.child_by_field_name(name).map_or("", |child| self.of(child))
    }
}

/// A node's children, named or not.
fn children(node: Node<'_>) -> impl Iterator<Item = Node<'_>> {
    (0..node.child_count()).filter_map(move |index| node.child(index))
}

/// A node's named children.
fn named(node: Node<'_>) -> impl Iterator<Item = Node<'_>> {
    children(node).filter(Node::is_named)
}

/// A node's line, from 1.
fn line_of(node: Node<'_>) -> u32 {
    u32::try_from(node.start_position().row + 1).unwrap_or(u32::MAX)
}

fn last_line_of(node: Node<'_>) -> u32 {
    u32::try_from(node.end_position().row + 1).unwrap_or(u32::MAX)
}

/// Every node from `node` down, itself included, in order, as deep as we look.
fn each<'a>(node: Node<'a>, visit: &mut impl FnMut(Node<'a>)) {
    fn go<'a>(node: Node<'a>, depth: usize, visit: &mut impl FnMut(Node<'a>)) {
        if depth > DEEPEST {
            return;
        }
        visit(node);
        for child in children(node) {
            go(child, depth + 1, visit);
        }
    }
    go(node, 0, visit);
}

/// Whether a node of one of these kinds is at or below `node`.
fn holds(node: Node<'_>, kinds: &[&str]) -> bool {
    let mut found = false;
    each(node, &mut |inner| found |= kinds.contains(&inner.kind()));
    found
}
