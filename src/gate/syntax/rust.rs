//! Rust's tests: functions with a test attribute, `assert…!` macros, `#[cfg(test)]` modules.
//!
//! Pure. Looks into macros' tokens too, since those are not parsed further by the grammar.

use tree_sitter::Node;

use super::dialect::{Assertion, Dialect, Found, same_text};
use super::{Source, children, each, named};

pub(super) const DIALECT: Dialect = Dialect {
    tests,
    asserts,
    ends,
    void,
    nested,
    rows,
    blocks: &["block"],
    literals: &[
        "integer_literal",
        "float_literal",
        "string_literal",
        "raw_string_literal",
        "char_literal",
        "boolean_literal",
    ],
    names: &["identifier", "field_identifier", "self", "macro_invocation"],
    function,
    test_code,
};

/// Attributes right above a node, as one text.
fn attributes<'a>(source: &Source<'a>, node: Node<'_>) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mut before = node.prev_sibling();
    while let Some(sibling) = before {
        match sibling.kind() {
            "attribute_item" => found.push(source.of(sibling)),
            "line_comment" | "block_comment" => {}
            _ => break,
        }
        before = sibling.prev_sibling();
    }
    found.reverse();
    found
}

/// The attribute's path: `tokio::test` of `#[tokio::test(flavor = "x")]`.
fn path_of(attribute: &str) -> &str {
    let inner = attribute.trim_start_matches("#[").trim_start_matches("#![").trim();
    inner.split(['(', ']', '=', ' ']).next().unwrap_or("")
}

fn is_test(attribute: &str) -> bool {
    let last = path_of(attribute).rsplit("::").next().unwrap_or("");
    matches!(last, "test" | "rstest" | "test_case" | "case" | "quickcheck" | "wasm_bindgen_test")
}

/// What an attribute does to what stands below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Built {
    Always,
    Sometimes,
    Never,
}

fn built(attribute: &str) -> Built {
    let bare: String = attribute.split_whitespace().collect();
    let bare = bare.trim_start_matches("#!").trim_start_matches('#');
    let inner = bare.trim_start_matches('[').trim_end_matches(']');
    let condition = inner.split_once('(').map_or("", |(_, rest)| rest);
    let condition = condition.strip_suffix(')').unwrap_or(condition);
    match path_of(attribute) {
        "ignore" => Built::Never,
        "cfg_attr" if condition.contains("ignore") => Built::Sometimes,
        "cfg" => match condition {
            "test" | "unix" | "debug_assertions" | "all(test)" => Built::Always,
            "any()" | "false" | "FALSE" | "not(test)" | "not(all())" => Built::Never,
            _ => Built::Sometimes,
        },
        _ => Built::Always,
    }
}

/// The strictest of several.
fn all_built<'a>(marks: impl IntoIterator<Item = &'a str>) -> Built {
    marks.into_iter().map(built).max().unwrap_or(Built::Always)
}

fn tests<'a>(source: &Source<'a>) -> Vec<Found<'a>> {
    let mut found = Vec::new();
    let whole = named(source.root)
        .filter(|node| node.kind() == "inner_attribute_item")
        .map(|node| source.of(node));
    collect(source, source.root, all_built(whole), 0, &mut found);
    found
}

fn collect<'a>(
    source: &Source<'a>,
    node: Node<'a>,
    over: Built,
    depth: usize,
    found: &mut Vec<Found<'a>>,
) {
    if depth > super::DEEPEST {
        return;
    }
    for child in named(node) {
        match child.kind() {
            "function_item" => {
                let marks = attributes(source, child);
                if marks.iter().any(|mark| is_test(mark)) {
                    let state = over.max(all_built(marks.iter().copied()));
                    found.push(Found {
                        name: source.field(child, "name").to_owned(),
                        whole: child,
                        body: child.child_by_field_name("body"),
                        skipped: state == Built::Never,
                        conditional: state == Built::Sometimes,
                        expects_failure: marks.iter().any(|m| path_of(m) == "should_panic"),
                        focused: false,
                        rows: marks.iter().filter(|m| is_case(m)).count(),
                    });
                }
            }
            "mod_item" => {
                let marks = attributes(source, child);
                let over = over.max(all_built(marks));
                if let Some(body) = child.child_by_field_name("body") {
                    collect(source, body, over, depth + 1, found);
                }
            }
            "impl_item" | "declaration_list" | "ERROR" => {
                collect(source, child, over, depth + 1, found);
            }
            "macro_invocation" | "expression_statement" => {
                each(child, &mut |inner| {
                    if inner.kind() == "token_tree" {
                        in_tokens(source, inner, over, found);
                    }
                });
            }
            _ => {}
        }
    }
}

fn is_case(attribute: &str) -> bool {
    matches!(path_of(attribute).rsplit("::").next(), Some("case" | "test_case"))
}

/// `#[test] fn name(…) { … }` among a macro's tokens (`proptest!`).
fn in_tokens<'a>(source: &Source<'a>, tree: Node<'a>, over: Built, found: &mut Vec<Found<'a>>) {
    let tokens: Vec<Node<'a>> = children(tree).collect();
    let mut marks: Vec<String> = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        let text = source.of(tokens[index]);
        let next = tokens.get(index + 1);
        if text == "#" && next.is_some_and(|next| next.kind() == "token_tree") {
            marks.push(format!("#{}", next.map_or("", |next| source.of(*next))));
            index += 2;
            continue;
        }
        if text == "fn" {
            let body = tokens[index..].iter().find(|t| source.of(**t).starts_with('{'));
            if let (Some(name), Some(body)) = (next, body)
                && marks.iter().any(|mark| is_test(mark))
            {
                let state = over.max(all_built(marks.iter().map(String::as_str)));
                found.push(Found {
                    name: source.of(*name).to_owned(),
                    whole: *body,
                    body: Some(*body),
                    skipped: state == Built::Never,
                    conditional: state == Built::Sometimes,
                    expects_failure: marks.iter().any(|mark| path_of(mark) == "should_panic"),
                    focused: false,
                    rows: 0,
                });
            }
            marks.clear();
        }
        index += 1;
    }
}

/// The macro's name and arguments: of an invocation, or of `name ! (…)` among tokens.
fn macro_of<'a>(source: &Source<'a>, node: Node<'a>) -> Option<(&'a str, Node<'a>)> {
    match node.kind() {
        "macro_invocation" => {
            let name = source.field(node, "macro").rsplit("::").next()?;
            Some((name, named(node).find(|child| child.kind() == "token_tree")?))
        }
        "identifier" => {
            let bang = node.next_sibling().filter(|next| source.of(*next) == "!")?;
            let tokens = bang.next_sibling().filter(|next| next.kind() == "token_tree")?;
            (node.parent()?.kind() == "token_tree").then(|| (source.of(node), tokens))
        }
        _ => None,
    }
}

fn asserts<'a>(source: &Source<'a>, node: Node<'a>) -> Option<Assertion<'a>> {
    if node.kind() == "call_expression" {
        let called = source.field(node, "function");
        let errs = called.ends_with(".unwrap_err") || called.ends_with(".expect_err");
        return errs.then(|| Assertion::new(false, false));
    }
    let (name, tokens) = macro_of(source, node)?;
    if matches!(name, "panic" | "unreachable") {
        return Some(Assertion::new(false, false));
    }
    let bare = name.trim_start_matches("debug_").trim_start_matches("prop_");
    if !bare.starts_with("assert") {
        return None;
    }
    let sides = split(source, tokens);
    let named_side = |index: usize| sides.get(index).is_some_and(|side| side.names);
    let text = |index: usize| sides.get(index).map_or("", |side| side.text);
    let pair = ["assert_eq", "assert_ne"].contains(&bare);
    let alone = text(0);
    let trivial = if pair {
        (!named_side(0) && !named_side(1))
            || (same_text(text(0), text(1)) && !text(0).contains('('))
    } else {
        !named_side(0) || always(alone)
    };
    let boolean = |text: &str| matches!(text.trim(), "true" | "false");
    // To differ from one value is to be anything else.
    let exact = if pair {
        bare == "assert_eq"
            && !boolean(text(0))
            && !boolean(text(1))
            && !same_text(text(0), text(1))
    } else if bare == "assert" {
        compares(alone)
    } else {
        true
    };
    Some(Assertion::new(exact, trivial))
}

/// `x || true`, `x == x`, `!false`.
fn always(text: &str) -> bool {
    let bare: String = text.split_whitespace().collect();
    let twice = bare.split_once("==").is_some_and(|(a, b)| a == b && !a.contains('('));
    bare.ends_with("||true") || bare.starts_with("true||") || twice
}

fn compares(text: &str) -> bool {
    let equal = text.contains("==") || text.contains("matches!");
    let halves = text.split_once("==");
    equal && !halves.is_some_and(|(a, b)| same_text(a, b))
}

struct Side<'a> {
    text: &'a str,
    names: bool,
}

/// A macro's arguments: what stands between its commas.
fn split<'a>(source: &Source<'a>, tokens: Node<'a>) -> Vec<Side<'a>> {
    let mut sides = Vec::new();
    let (mut start, mut names) = (tokens.start_byte() + 1, false);
    let end = tokens.end_byte().saturating_sub(1);
    for child in children(tokens) {
        if source.of(child) == "," {
            let text = source.text.get(start..child.start_byte()).unwrap_or("");
            sides.push(Side { text, names });
            (start, names) = (child.end_byte(), false);
        } else {
            each(child, &mut |inner| {
                names |= DIALECT.names.contains(&inner.kind())
                    && !matches!(source.of(inner), "Some" | "Ok" | "None" | "Err");
            });
        }
    }
    if start < end {
        sides.push(Side { text: source.text.get(start..end).unwrap_or(""), names });
    }
    sides
}

fn ends(source: &Source<'_>, node: Node<'_>) -> bool {
    let inner = if node.kind() == "expression_statement" { node.child(0) } else { Some(node) };
    inner.is_some_and(|inner| match inner.kind() {
        "return_expression" | "break_expression" | "continue_expression" => true,
        "call_expression" => source.of(inner).contains("process::exit("),
        _ => false,
    })
}

fn void(source: &Source<'_>, node: Node<'_>) -> bool {
    match node.kind() {
        "if_expression" => {
            let condition = node.child_by_field_name("condition").map_or("", |c| source.of(c));
            let bare: String = condition.split_whitespace().collect();
            matches!(bare.as_str(), "false" | "!true") || bare.starts_with("cfg!(")
        }
        "while_expression" => {
            node.child_by_field_name("condition").is_some_and(|c| source.of(c) == "false")
        }
        // Whatever panics inside is swallowed, unless somebody looks at the outcome.
        "let_declaration" => {
            let name = node.child_by_field_name("pattern").map_or("", |name| source.of(name));
            let text = source.of(node);
            name.starts_with('_') && (text.contains("catch_unwind(") || spawns(text))
        }
        "expression_statement" => {
            let text = source.of(node);
            let caught = text.contains("catch_unwind(") && node.named_child_count() == 1;
            caught && (text.ends_with(".ok();") || text.ends_with(".is_err();")) || spawns(text)
        }
        _ => false,
    }
}

/// Something is started that nobody waits for: its failures are nobody's.
fn spawns(text: &str) -> bool {
    let starts = ["thread::spawn(", "tokio::spawn(", "task::spawn("];
    let begins = |start: &&str| text.find(*start).is_some_and(|at| !text[..at].contains('{'));
    let waits = text.trim_end_matches(';').ends_with(".await") || text.contains(".join()");
    starts.iter().any(begins) && !waits
}

fn nested<'a>(source: &Source<'a>, node: Node<'a>) -> Option<&'a str> {
    match node.kind() {
        "function_item" => Some(source.field(node, "name")),
        "let_declaration" => {
            let value = node.child_by_field_name("value")?;
            (value.kind() == "closure_expression").then(|| source.field(node, "pattern"))
        }
        _ => None,
    }
}

/// Elements of an array of tuples, structs or arrays.
fn rows(_: &Source<'_>, node: Node<'_>) -> usize {
    if node.kind() != "array_expression" {
        return 0;
    }
    let row = |child: &Node<'_>| {
        matches!(child.kind(), "tuple_expression" | "struct_expression" | "array_expression")
    };
    named(node).filter(row).count()
}

fn function<'a>(source: &Source<'a>, node: Node<'a>) -> Option<(&'a str, Node<'a>)> {
    match node.kind() {
        "function_item" => Some((source.field(node, "name"), node.child_by_field_name("body")?)),
        "macro_definition" => Some((source.field(node, "name"), node)),
        _ => None,
    }
}

fn test_code(source: &Source<'_>, node: Node<'_>) -> bool {
    let item = matches!(
        node.kind(),
        "mod_item" | "function_item" | "impl_item" | "use_declaration" | "macro_definition"
    );
    item && attributes(source, node).iter().any(|mark| {
        let bare: String = mark.split_whitespace().collect();
        bare.starts_with("#[cfg(test)") || bare.starts_with("#[cfg(all(test")
    })
}
