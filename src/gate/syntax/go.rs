//! Go's tests: `TestX`, `FuzzX` and `ExampleX` in `…_test.go`; `t.Error` and testify.
//!
//! Pure.

use tree_sitter::Node;

use super::dialect::{Assertion, Dialect, Found, same_text};
use super::weigh::names_something;
use super::{Source, named};

pub(super) const DIALECT: Dialect = Dialect {
    tests,
    asserts,
    ends,
    void,
    nested,
    rows,
    blocks: &["block", "statement_list"],
    literals: &[
        "int_literal",
        "float_literal",
        "interpreted_string_literal",
        "raw_string_literal",
        "rune_literal",
        "true",
        "false",
        "nil",
    ],
    names: &["identifier", "call_expression", "selector_expression"],
    function,
    test_code: |_, _| false,
};

fn tests<'a>(source: &Source<'a>) -> Vec<Found<'a>> {
    if !source.path.ends_with("_test.go") {
        return Vec::new();
    }
    let constraint = named(source.root)
        .take_while(|node| node.kind() == "comment")
        .map(|node| source.of(node))
        .find(|text| text.starts_with("//go:build") || text.starts_with("// +build"));
    let skipped = constraint.is_some_and(|text| text.contains("ignore"));
    let mut found = Vec::new();
    for item in named(source.root).filter(|node| node.kind() == "function_declaration") {
        let name = source.field(item, "name");
        let is = |start: &str| {
            name.strip_prefix(start)
                .is_some_and(|rest| rest.chars().next().is_none_or(|first| !first.is_lowercase()))
        };
        if !(is("Test") || is("Fuzz") || is("Example")) || name == "TestMain" {
            continue;
        }
        let body = item.child_by_field_name("body");
        let skips = statements(body).take(3).any(|node| {
            let text = source.of(node);
            ["t.Skip(", "t.Skipf(", "t.SkipNow("].iter().any(|call| text.starts_with(call))
        });
        found.push(Found {
            name: name.to_owned(),
            whole: item,
            body,
            skipped: skipped || skips,
            conditional: constraint.is_some(),
            expects_failure: false,
            focused: false,
            rows: 0,
        });
    }
    found
}

/// A block's statements: the grammar puts them into a list of their own.
fn statements(body: Option<Node<'_>>) -> impl Iterator<Item = Node<'_>> {
    body.into_iter().flat_map(named).flat_map(|node| {
        let list = node.kind() == "statement_list";
        named(node).filter(move |_| list).chain((!list).then_some(node))
    })
}

fn asserts<'a>(source: &Source<'a>, node: Node<'a>) -> Option<Assertion<'a>> {
    if node.kind() != "call_expression" {
        return None;
    }
    let called = source.field(node, "function");
    let (object, method) = called.split_once('.')?;
    let arguments = node.child_by_field_name("arguments")?;
    match object {
        "t" | "tb" | "b" | "f" => {
            let fails =
                matches!(method, "Error" | "Errorf" | "Fatal" | "Fatalf" | "Fail" | "FailNow");
            let exact = condition_above(node).is_some_and(|condition| {
                ["==", "!="].iter().any(|op| source.of(condition).contains(op))
            });
            let mut assertion = Assertion::new(exact, false);
            // What it says when it fails is for people.
            assertion.message = Some(arguments);
            fails.then_some(assertion)
        }
        "assert" | "require" | "is" | "qt" => {
            let values: Vec<Node<'_>> =
                named(arguments).filter(|one| !matches!(source.of(*one), "t" | "c")).collect();
            let pair = method.contains("Equal") || method.contains("Contains") || method == "Len";
            let same =
                pair && values.len() > 1 && same_text(source.of(values[0]), source.of(values[1]));
            let any = values.iter().any(|value| names_something(&DIALECT, *value));
            let calls = values.first().is_some_and(|value| source.of(*value).contains('('));
            let never = matches!(method, "Fail" | "FailNow");
            let trivial = !never && (!any || (same && !calls) || only_words(source, &values));
            Some(Assertion::new(pair && !same, trivial))
        }
        _ => None,
    }
}

/// `assert.True(t, true)`: `true` is a name to some grammars.
fn only_words(source: &Source<'_>, values: &[Node<'_>]) -> bool {
    values.first().is_some_and(|value| matches!(source.of(*value), "true" | "false" | "nil"))
        && values.len() < 2
}

/// The condition of the `if` in which a node stands.
fn condition_above(node: Node<'_>) -> Option<Node<'_>> {
    let mut above = node.parent();
    while let Some(parent) = above {
        if parent.kind() == "if_statement" {
            return parent.child_by_field_name("condition");
        }
        above = parent.parent();
    }
    None
}

fn ends(source: &Source<'_>, node: Node<'_>) -> bool {
    match node.kind() {
        "return_statement" | "break_statement" | "continue_statement" | "goto_statement" => true,
        "expression_statement" => {
            let text = source.of(node);
            ["os.Exit(", "runtime.Goexit(", "t.Skip(", "t.SkipNow("]
                .iter()
                .any(|call| text.starts_with(call))
        }
        _ => false,
    }
}

fn void(source: &Source<'_>, node: Node<'_>) -> bool {
    match node.kind() {
        "if_statement" => {
            let condition = node.child_by_field_name("condition");
            condition.is_some_and(|condition| {
                let text: String = source.of(condition).split_whitespace().collect();
                let constant = text == "false" || text == "!true";
                let same = text.split_once("!=").is_some_and(|(a, b)| a == b);
                constant || same || text.ends_with("&&false") || text.starts_with("false&&")
            })
        }
        // A goroutine that nobody waits for outlives its test.
        "go_statement" => {
            let text = source.of(node);
            !["Done()", "<-", "close(", "Signal()", "Broadcast()"]
                .iter()
                .any(|it| text.contains(it))
        }
        "for_statement" => {
            let text = source.of(node);
            let head: String = text.split('{').next().unwrap_or("").split_whitespace().collect();
            head == "forfalse"
        }
        _ => false,
    }
}

fn nested<'a>(source: &Source<'a>, node: Node<'a>) -> Option<&'a str> {
    if node.kind() != "short_var_declaration" {
        return None;
    }
    let value = node.child_by_field_name("right")?.named_child(0)?;
    (value.kind() == "func_literal").then(|| source.field(node, "left"))
}

/// Elements of a composite literal that are literals of their own: a table.
fn rows(_: &Source<'_>, node: Node<'_>) -> usize {
    if node.kind() != "literal_value" {
        return 0;
    }
    named(node)
        .filter(|child| {
            child.kind() == "literal_element"
                && child.named_child(0).is_some_and(|inner| {
                    matches!(inner.kind(), "literal_value" | "composite_literal")
                })
        })
        .count()
}

fn function<'a>(source: &Source<'a>, node: Node<'a>) -> Option<(&'a str, Node<'a>)> {
    matches!(node.kind(), "function_declaration" | "method_declaration")
        .then(|| Some((source.field(node, "name"), node.child_by_field_name("body")?)))?
}
