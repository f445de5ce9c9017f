//! Python's tests: `def test…` as pytest and unittest collect them, `assert`, `self.assert…`.
//!
//! Pure. Of several functions with one name in one place the last is the one that runs.

use std::collections::HashSet;

use tree_sitter::Node;

use super::dialect::{Assertion, Dialect, Found, same_text};
use super::weigh::names_something;
use super::{Source, each, holds, named};

pub(super) const DIALECT: Dialect = Dialect {
    tests,
    asserts,
    ends,
    void,
    nested,
    rows,
    blocks: &["block", "module"],
    literals: &["integer", "float", "string", "true", "false", "none"],
    names: &["identifier", "call"],
    function,
    test_code: |_, _| false,
};

/// What decorators, a `pytestmark` or a base class say.
#[derive(Clone, Copy, Default)]
struct Marks {
    skipped: bool,
    conditional: bool,
    expects_failure: bool,
}

impl Marks {
    fn add(&mut self, text: &str) {
        let bare: String = text.split_whitespace().collect();
        let condition = |word: &str| {
            bare.split_once(word).map(|(_, rest)| rest.split([',', ')']).next().unwrap_or(""))
        };
        if let Some(when) = condition("skipif(").or_else(|| condition("skipIf(")) {
            let always = matches!(when, "True" | "1" | "notFalse");
            self.skipped |= always;
            self.conditional |= !always;
        } else if let Some(when) = condition("skipUnless(") {
            let never = matches!(when, "False" | "0" | "notTrue" | "None");
            self.skipped |= never;
            self.conditional |= !never;
        } else {
            let skips = ["mark.skip", "unittest.skip"].iter().any(|word| bare.contains(word));
            self.skipped |= skips || bare.starts_with("@skip");
        }
        self.skipped |= bare.contains("parametrize(") && bare.contains(",[]");
        self.expects_failure |= bare.contains("mark.xfail") || bare.contains("expectedFailure");
    }
}

fn tests<'a>(source: &Source<'a>) -> Vec<Found<'a>> {
    let in_test_file = crate::gate::scan::is_test_path(source.path);
    if !in_test_file && !source.text.contains("TestCase") {
        return Vec::new();
    }
    let mut marks = Marks::default();
    for node in named(source.root) {
        let text = source.of(node);
        if text.starts_with("pytestmark") {
            marks.add(text);
        }
        // `pytest.skip(…, allow_module_level=True)`, `raise unittest.SkipTest`.
        marks.skipped |= node.kind() == "raise_statement" && text.contains("SkipTest")
            || text.starts_with("pytest.skip(");
    }
    let mut found = Vec::new();
    collect(source, source.root, marks, in_test_file, &mut found);
    found
}

fn collect<'a>(
    source: &Source<'a>,
    scope: Node<'a>,
    over: Marks,
    plain: bool,
    found: &mut Vec<Found<'a>>,
) {
    let gone = taken_away(source, scope);
    let begin = found.len();
    for child in named(scope) {
        let (whole, marks) = decorated(source, child, over);
        let item = if child.kind() == "decorated_definition" {
            child.child_by_field_name("definition")
        } else {
            Some(child)
        };
        let Some(item) = item else { continue };
        let name = source.field(item, "name");
        match item.kind() {
            "function_definition" if plain && name.starts_with("test") => {
                // The later definition is the one that runs.
                let later = found.split_off(begin);
                found.extend(later.into_iter().filter(|other| other.name != name));
                if !gone.contains(name) {
                    found.push(test(source, name, whole, item, marks));
                }
            }
            "class_definition" => {
                let bases = item.child_by_field_name("superclasses");
                let bases = bases.map_or("", |bases| source.of(bases));
                let unit = bases.contains("TestCase");
                let collected = unit || name.starts_with("Test") || name.ends_with("Test");
                if let Some(body) = item.child_by_field_name("body").filter(|_| collected) {
                    let mut marks = marks;
                    let off = |text: &str| text.replace(' ', "").contains("__test__=False");
                    marks.skipped |= named(body).any(|node| off(source.of(node)));
                    let mut inner = Vec::new();
                    collect(source, body, marks, true, &mut inner);
                    found.extend(inner);
                }
            }
            "if_statement" if !void(source, item) => {
                for block in named(item).filter(|node| node.kind() == "block") {
                    let marks = Marks { conditional: true, ..over };
                    collect(source, block, marks, plain, found);
                }
            }
            "with_statement" | "block" => collect(source, item, over, plain, found),
            _ => {}
        }
    }
}

/// Names that are deleted or bound to something else after all: `del test_a`, `test_a = None`.
fn taken_away<'a>(source: &Source<'a>, scope: Node<'a>) -> HashSet<&'a str> {
    let mut gone = HashSet::new();
    for child in named(scope) {
        let text = source.of(child);
        if let Some(names) = text.strip_prefix("del ") {
            gone.extend(names.split(',').map(str::trim));
        } else if child.kind() == "expression_statement"
            && let Some((name, value)) = text.split_once('=')
            && name.trim().starts_with("test")
            && !value.contains("partial")
        {
            gone.insert(name.trim());
        }
    }
    gone
}

fn decorated<'a>(source: &Source<'a>, node: Node<'a>, over: Marks) -> (Node<'a>, Marks) {
    let mut marks = over;
    if node.kind() == "decorated_definition" {
        for decorator in named(node).filter(|child| child.kind() == "decorator") {
            marks.add(source.of(decorator));
        }
    }
    (node, marks)
}

fn test<'a>(
    source: &Source<'a>,
    name: &str,
    whole: Node<'a>,
    item: Node<'a>,
    marks: Marks,
) -> Found<'a> {
    let body = item.child_by_field_name("body");
    let first = body.into_iter().flat_map(named).take(3);
    let skips = first.into_iter().any(|node| {
        let text = source.of(node);
        text.starts_with("pytest.skip(")
            || text.starts_with("self.skipTest(")
            || (text.starts_with("raise") && text.contains("SkipTest"))
    });
    // Rows of `parametrize`.
    let mut listed = 0;
    if whole.id() != item.id() {
        for decorator in named(whole).filter(|child| child.kind() == "decorator") {
            if source.of(decorator).contains("parametrize") {
                each(decorator, &mut |inner| {
                    if inner.kind() == "list" && inner.parent().is_none_or(|p| p.kind() != "list") {
                        listed += inner.named_child_count();
                    }
                });
            }
        }
    }
    Found {
        name: name.to_owned(),
        whole,
        body,
        skipped: marks.skipped || skips,
        conditional: marks.conditional,
        expects_failure: marks.expects_failure
            || body.is_some_and(|body| marks_itself(source, body)),
        focused: false,
        rows: listed,
    }
}

/// `request.node.add_marker(pytest.mark.xfail)` within the test.
fn marks_itself(source: &Source<'_>, body: Node<'_>) -> bool {
    let mut found = false;
    each(body, &mut |node| {
        if node.kind() == "call" {
            let called = source.field(node, "function");
            let adds = called.ends_with(".add_marker") || called.ends_with(".applymarker");
            let text = source.of(node);
            found |= adds && (text.contains("xfail") || text.contains("skip"));
        }
    });
    found
}

fn asserts<'a>(source: &Source<'a>, node: Node<'a>) -> Option<Assertion<'a>> {
    if node.kind() == "assert_statement" {
        let condition = node.named_child(0)?;
        let text = source.of(condition);
        // `assert (a == b, "…")` asserts that a tuple is not empty.
        let trivial = !names_something(&DIALECT, condition)
            || condition.kind() == "tuple"
            || always(text)
            || (condition.kind() == "comparison_operator" && twice(text) && !text.contains('('));
        let exact =
            holds(condition, &["==", "is", "in"]) && !twice(text) || text.contains("isinstance(");
        let mut assertion = Assertion::new(exact, trivial);
        assertion.message = node.named_child(1);
        return Some(assertion);
    }
    if node.kind() != "call" {
        return None;
    }
    let called = source.field(node, "function");
    let last = called.rsplit('.').next().unwrap_or("");
    let known = matches!(last, "raises" | "fail" | "warns") && called.contains('.')
        || (last.starts_with("assert") && called.contains('.'));
    if !known {
        return None;
    }
    let arguments = node.child_by_field_name("arguments")?;
    let values: Vec<Node<'_>> =
        named(arguments).filter(|one| one.kind() != "keyword_argument").collect();
    let pair = (last.contains("Equal") && !last.contains("NotEqual"))
        || matches!(last, "assertIs" | "assertIn");
    let texts: Vec<&str> = values.iter().map(|value| source.of(*value)).collect();
    let same = pair && texts.len() > 1 && same_text(texts[0], texts[1]);
    let anything = values.iter().any(|value| names_something(&DIALECT, *value));
    let calls = texts.first().is_some_and(|text| text.contains('('));
    let trivial = match last {
        "fail" | "raises" | "warns" => false,
        _ if last.starts_with("assert_") => false,
        _ => !anything || (same && !calls),
    };
    let exact = (pair && !same)
        || matches!(last, "raises")
        || last.starts_with("assert_")
        || last.starts_with("assertRaises")
        || last.contains("Count");
    Some(Assertion::new(exact, trivial))
}

fn always(text: &str) -> bool {
    let text = text.trim();
    text.ends_with("or True") || text.starts_with("True or") || text.ends_with("or 1")
}

fn twice(text: &str) -> bool {
    text.split_once("==").is_some_and(|(left, right)| same_text(left, right))
}

fn ends(source: &Source<'_>, node: Node<'_>) -> bool {
    match node.kind() {
        "return_statement" | "raise_statement" | "break_statement" | "continue_statement" => true,
        "expression_statement" => {
            let text = source.of(node);
            ["sys.exit(", "os._exit(", "exit(", "quit(", "pytest.skip(", "pytest.exit("]
                .iter()
                .any(|call| text.starts_with(call))
        }
        _ => false,
    }
}

fn void(source: &Source<'_>, node: Node<'_>) -> bool {
    match node.kind() {
        "if_statement" | "while_statement" => {
            let condition = node.child_by_field_name("condition").map_or("", |c| source.of(c));
            let never = matches!(condition.trim(), "False" | "0" | "None" | "not True" | "\"\"");
            never || condition.contains("TYPE_CHECKING")
        }
        "for_statement" => {
            let over = node.child_by_field_name("right").map_or("", |right| source.of(right));
            matches!(over.trim(), "[]" | "()" | "range(0)" | "{}")
        }
        "try_statement" => named(node).any(|clause| {
            if clause.kind() != "except_clause" {
                return false;
            }
            let (head, body) = source.of(clause).split_once(':').unwrap_or(("", ""));
            let catches = head.trim() == "except"
                || ["Exception", "AssertionError"].iter().any(|name| head.contains(name));
            let speaks = body.lines().map(str::trim).any(|line| {
                ["raise", "self.fail", "pytest.fail", "assert ", "self.assert"]
                    .iter()
                    .any(|start| line.starts_with(start))
            });
            catches && !speaks
        }),
        "with_statement" => {
            let head = source.of(node).lines().next().unwrap_or("");
            head.contains("suppress(")
        }
        _ => false,
    }
}

fn nested<'a>(source: &Source<'a>, node: Node<'a>) -> Option<&'a str> {
    (node.kind() == "function_definition").then(|| source.field(node, "name"))
}

/// Elements of a list of tuples, lists or dictionaries.
fn rows(_: &Source<'_>, node: Node<'_>) -> usize {
    if !matches!(node.kind(), "list" | "tuple") {
        return 0;
    }
    named(node).filter(|child| matches!(child.kind(), "tuple" | "list" | "dictionary")).count()
}

fn function<'a>(source: &Source<'a>, node: Node<'a>) -> Option<(&'a str, Node<'a>)> {
    (node.kind() == "function_definition")
        .then(|| Some((source.field(node, "name"), node.child_by_field_name("body")?)))?
}
