//! Java's tests: methods with a `JUnit` or `TestNG` annotation.
//!
//! Pure.

use tree_sitter::Node;

use super::dialect::{Assertion, Dialect, Found, same_text};
use super::weigh::names_something;
use super::{DEEPEST, Source, children, each, named};

pub(super) const DIALECT: Dialect = Dialect {
    tests,
    asserts,
    ends,
    void,
    nested,
    rows,
    blocks: &["block"],
    literals: &[
        "decimal_integer_literal",
        "hex_integer_literal",
        "decimal_floating_point_literal",
        "string_literal",
        "character_literal",
        "true",
        "false",
        "null_literal",
    ],
    names: &["identifier", "method_invocation", "object_creation_expression", "this"],
    function,
    test_code: |_, _| false,
};

#[derive(Clone, Copy, Default)]
struct Over {
    skipped: bool,
    conditional: bool,
}

impl Over {
    fn add(&mut self, annotation: &str) {
        let name = annotation.trim_start_matches('@').split('(').next().unwrap_or("").trim();
        let last = name.rsplit('.').next().unwrap_or(name);
        let bare: String = annotation.split_whitespace().collect();
        self.skipped |= matches!(last, "Disabled" | "Ignore") || bare.contains("enabled=false");
        self.conditional |= last.starts_with("EnabledIf")
            || last.starts_with("DisabledIf")
            || last.starts_with("EnabledOn")
            || last.starts_with("DisabledOn");
    }
}

fn annotations<'a>(source: &Source<'a>, node: Node<'a>) -> Vec<(&'a str, Node<'a>)> {
    let modifiers = named(node).find(|child| child.kind() == "modifiers");
    modifiers
        .into_iter()
        .flat_map(named)
        .filter(|child| child.kind().contains("annotation"))
        .map(|child| (source.of(child), child))
        .collect()
}

fn tests<'a>(source: &Source<'a>) -> Vec<Found<'a>> {
    let mut found = Vec::new();
    collect(source, source.root, Over::default(), 0, &mut found);
    found
}

fn collect<'a>(
    source: &Source<'a>,
    node: Node<'a>,
    over: Over,
    depth: usize,
    found: &mut Vec<Found<'a>>,
) {
    if depth > DEEPEST {
        return;
    }
    for child in children(node) {
        match child.kind() {
            "class_declaration" | "class_body" | "record_declaration" => {
                let mut over = over;
                for (text, _) in annotations(source, child) {
                    over.add(text);
                }
                collect(source, child, over, depth + 1, found);
            }
            "method_declaration" => {
                let marks = annotations(source, child);
                let is = |text: &str| {
                    let name = text.trim_start_matches('@').split('(').next().unwrap_or("");
                    matches!(
                        name.rsplit('.').next().unwrap_or(""),
                        "Test" | "ParameterizedTest" | "RepeatedTest" | "TestFactory" | "Property"
                    )
                };
                if marks.iter().any(|(text, _)| is(text)) {
                    found.push(test(source, child, over, &marks));
                }
            }
            _ => {}
        }
    }
}

fn test<'a>(
    source: &Source<'a>,
    whole: Node<'a>,
    over: Over,
    marks: &[(&'a str, Node<'a>)],
) -> Found<'a> {
    let mut over = over;
    let mut rows = 0;
    for (text, node) in marks {
        over.add(text);
        if text.contains("Source") {
            each(*node, &mut |inner| {
                if inner.kind() == "element_value_array_initializer" {
                    rows += inner.named_child_count();
                }
            });
        }
    }
    let body = whole.child_by_field_name("body");
    let skips = body.into_iter().flat_map(named).take(3).any(|node| {
        let text: String = source.of(node).split_whitespace().collect();
        text.contains("assumeTrue(false")
            || text.contains("assumeFalse(true")
            || text.contains("Assumptions.abort(")
    });
    Found {
        name: source.field(whole, "name").to_owned(),
        whole,
        body,
        skipped: over.skipped || skips,
        conditional: over.conditional,
        expects_failure: marks.iter().any(|(text, _)| text.contains("expected")),
        focused: false,
        rows,
    }
}

fn asserts<'a>(source: &Source<'a>, node: Node<'a>) -> Option<Assertion<'a>> {
    if node.kind() == "assert_statement" {
        let condition = node.named_child(0)?;
        let exact = source.of(condition).contains("==");
        return Some(Assertion::new(exact, !names_something(&DIALECT, condition)));
    }
    if node.kind() != "method_invocation" {
        return None;
    }
    let name = source.field(node, "name");
    let arguments = node.child_by_field_name("arguments")?;
    let values: Vec<Node<'_>> = named(arguments).collect();
    if name == "assertThat" {
        // Alone it asserts nothing: Hamcrest brings a matcher, AssertJ a call on it.
        let chained = node.parent().is_some_and(|parent| parent.kind() == "method_invocation");
        let any = values.iter().any(|value| names_something(&DIALECT, *value));
        return (values.len() > 1 || chained).then(|| Assertion::new(true, !any));
    }
    if !(name.starts_with("assert") || matches!(name, "fail" | "verify")) {
        return None;
    }
    let pair = name.contains("Equals") || name.contains("Same") || name.contains("Iterable");
    let same = pair && values.len() > 1 && same_text(source.of(values[0]), source.of(values[1]));
    let any = values.iter().any(|value| names_something(&DIALECT, *value));
    let calls = values.first().is_some_and(|value| source.of(*value).contains('('));
    let trivial = name != "fail" && (!any || (same && !calls));
    let exact =
        (pair && !same && !name.contains("Not")) || name.contains("Throws") || name == "verify";
    Some(Assertion::new(exact, trivial))
}

fn ends(source: &Source<'_>, node: Node<'_>) -> bool {
    match node.kind() {
        "return_statement" | "throw_statement" | "break_statement" | "continue_statement" => true,
        "expression_statement" => source.of(node).starts_with("System.exit("),
        _ => false,
    }
}

fn void(source: &Source<'_>, node: Node<'_>) -> bool {
    match node.kind() {
        "if_statement" | "while_statement" => {
            let text: String = source.field(node, "condition").split_whitespace().collect();
            matches!(text.as_str(), "(false)" | "(!true)" | "(Boolean.FALSE)")
        }
        "try_statement" => named(node).any(|clause| {
            if clause.kind() != "catch_clause" {
                return false;
            }
            let text = source.of(clause);
            let head = text.split('{').next().unwrap_or("");
            let catches =
                ["AssertionError", "Throwable", "Error "].iter().any(|w| head.contains(w));
            let body = text.split_once('{').map_or("", |(_, body)| body);
            catches && !["throw", "fail(", "assert"].iter().any(|word| body.contains(word))
        }),
        _ => false,
    }
}

/// A lambda in a variable that nobody calls.
fn nested<'a>(source: &Source<'a>, node: Node<'a>) -> Option<&'a str> {
    let value = node.child_by_field_name("value")?;
    let lambda = node.kind() == "variable_declarator" && value.kind() == "lambda_expression";
    lambda.then(|| source.field(node, "name"))
}

fn rows(_: &Source<'_>, node: Node<'_>) -> usize {
    if node.kind() != "array_initializer" {
        return 0;
    }
    named(node)
        .filter(|child| matches!(child.kind(), "array_initializer" | "object_creation_expression"))
        .count()
}

fn function<'a>(source: &Source<'a>, node: Node<'a>) -> Option<(&'a str, Node<'a>)> {
    (node.kind() == "method_declaration")
        .then(|| Some((source.field(node, "name"), node.child_by_field_name("body")?)))?
}
