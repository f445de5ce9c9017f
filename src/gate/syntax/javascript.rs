//! JavaScript's and TypeScript's tests: calls of `it` and `test` with a name and a function.
//!
//! Pure. Knows jest, vitest, mocha, node's runner, ava and Deno by how their calls look.

use tree_sitter::Node;

use super::dialect::{Assertion, Dialect, Found, same_text};
use super::weigh::names_something;
use super::{DEEPEST, Source, children, named};

pub(super) const DIALECT: Dialect = Dialect {
    tests,
    asserts,
    ends,
    void,
    nested,
    rows,
    blocks: &["statement_block", "program"],
    literals: &["number", "string", "template_string", "true", "false", "null", "regex"],
    names: &["identifier", "call_expression", "new_expression", "this"],
    function,
    test_code: |_, _| false,
};

/// What enclosing `describe` calls say.
#[derive(Clone, Copy, Default)]
struct Over {
    skipped: bool,
    conditional: bool,
    focused: bool,
}

fn tests<'a>(source: &Source<'a>) -> Vec<Found<'a>> {
    let mut found = Vec::new();
    if crate::gate::scan::is_test_path(source.path) {
        collect(source, source.root, Over::default(), 0, &mut found);
    }
    found
}

fn collect<'a>(
    source: &Source<'a>,
    node: Node<'a>,
    over: Over,
    depth: usize,
    found: &mut Vec<Found<'a>>,
) {
    if depth > DEEPEST || void(source, node) {
        return;
    }
    let mut over = over;
    if node.kind() == "call_expression" {
        let called: String = source.field(node, "function").split_whitespace().collect();
        let (root, chain) = called.split_once(['.', '(']).unwrap_or((&called, ""));
        let suite = matches!(root, "describe" | "xdescribe" | "fdescribe" | "suite" | "context");
        let test = matches!(
            root,
            "it" | "test" | "xit" | "xtest" | "fit" | "ftest" | "specify" | "Deno" | "t"
        ) && (root != "t" || chain == "test")
            && (root != "Deno" || chain.starts_with("test"));
        // `it.each(rows)` is called, and then its result.
        let table_only = node
            .parent()
            .is_some_and(|p| p.kind() == "call_expression" && p.child(0) == Some(node));
        if (suite || test) && !table_only {
            let arguments = node.child_by_field_name("arguments");
            let list: Vec<Node<'a>> = arguments.into_iter().flat_map(named).collect();
            let words: Vec<&str> = chain.split(['.', '(', ')']).collect();
            over.skipped |=
                root.starts_with('x') || words.iter().any(|word| matches!(*word, "skip" | "todo"));
            if words.iter().any(|word| matches!(*word, "skipIf" | "runIf")) {
                let never = chain.contains("skipIf(true)") || chain.contains("runIf(false)");
                over.skipped |= never;
                over.conditional |= !never;
            }
            over.focused |= root.starts_with('f') || words.contains(&"only");
            let options = list.iter().find(|one| one.kind() == "object").map(|one| source.of(*one));
            let options: String = options.unwrap_or("").split_whitespace().collect();
            over.focused |= options.contains("only:true");
            let off = ["skip:", "todo:"].iter().any(|key| {
                options.split_once(key).is_some_and(|(_, rest)| !rest.starts_with("false"))
            });
            over.skipped |= off;
            if test && let Some(name) = list.first() {
                found.push(self::test(source, node, *name, &list, over, &words));
                return;
            }
        }
    }
    for child in children(node) {
        collect(source, child, over, depth + 1, found);
    }
}

fn test<'a>(
    source: &Source<'a>,
    whole: Node<'a>,
    name: Node<'a>,
    list: &[Node<'a>],
    over: Over,
    words: &[&str],
) -> Found<'a> {
    let function = |one: &&Node<'a>| {
        matches!(
            one.kind(),
            "arrow_function"
                | "function_expression"
                | "function"
                | "identifier"
                | "member_expression"
        )
    };
    let body = list.iter().skip(1).rfind(function).copied();
    let first =
        body.and_then(|body| body.child_by_field_name("body")).into_iter().flat_map(named).take(3);
    let skips = first.into_iter().any(|node| {
        let text = source.of(node);
        ["t.skip(", "this.skip(", "ctx.skip(", "context.skip("].iter().any(|c| text.starts_with(c))
    });
    Found {
        name: source.of(name).trim_matches(['"', '\'', '`']).to_owned(),
        whole,
        body,
        skipped: over.skipped || skips || body.is_none(),
        conditional: over.conditional,
        expects_failure: words.iter().any(|word| matches!(*word, "fails" | "failing")),
        focused: over.focused,
        rows: whole.child_by_field_name("function").map_or(0, |callee| listed(source, callee)),
    }
}

/// Rows of `each([…])`.
fn listed(source: &Source<'_>, callee: Node<'_>) -> usize {
    if callee.kind() != "call_expression" || !source.of(callee).contains("each") {
        return 0;
    }
    let arguments = callee.child_by_field_name("arguments");
    arguments
        .into_iter()
        .flat_map(named)
        .filter(|one| one.kind() == "array")
        .map(|one| one.named_child_count())
        .sum()
}

fn asserts<'a>(source: &Source<'a>, node: Node<'a>) -> Option<Assertion<'a>> {
    let chained = node.kind() == "member_expression"
        && node.parent().is_some_and(|parent| parent.kind() == "expression_statement");
    if node.kind() != "call_expression" && !chained {
        return None;
    }
    let called = if chained { source.of(node) } else { source.field(node, "function") };
    let root = called.split(['.', '(', '[']).next().unwrap_or("").trim();
    let last = called.rsplit('.').next().unwrap_or("").trim();
    let values: Vec<Node<'_>> =
        node.child_by_field_name("arguments").into_iter().flat_map(named).collect();
    match root {
        "expect" => {
            // `expect(x)` alone expects nothing; the matcher is called on it.
            if !called.contains(").") || last == "not" {
                return None;
            }
            // `expect(x).toBe;` calls no matcher; chai's `.to.be.true` has none to call.
            let matcher = last
                .strip_prefix("to")
                .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_uppercase()));
            if chained && matcher {
                return None;
            }
            // A promise that nobody waits for fails nobody.
            let waits = [".resolves.", ".rejects."].iter().any(|word| called.contains(word));
            if waits && node.parent().is_some_and(|it| it.kind() == "expression_statement") {
                return None;
            }
            let subject = subject_of(node)?;
            let mut found = expectation(source, subject, &values, last);
            // To differ from one value is to be anything else.
            found.exact &= !called.contains(".not.");
            Some(found)
        }
        "assert" | "t" | "chai" => {
            if root == "t"
                && !matches!(
                    last,
                    "is" | "deepEqual"
                        | "truthy"
                        | "falsy"
                        | "throws"
                        | "not"
                        | "true"
                        | "false"
                        | "like"
                        | "regex"
                        | "fail"
                        | "equal"
                        | "ok"
                )
            {
                return None;
            }
            let left = values.first().copied()?;
            let pair = values.get(1).filter(|_| {
                !matches!(
                    last,
                    "assert"
                        | "ok"
                        | "isTrue"
                        | "isFalse"
                        | "truthy"
                        | "falsy"
                        | "true"
                        | "false"
                        | "fail"
                        | "throws"
                        | "rejects"
                )
            });
            let same = pair.is_some_and(|right| same_text(source.of(left), source.of(*right)));
            let any = |one: Node<'_>| names_something(&DIALECT, one);
            let throws = matches!(last, "throws" | "rejects" | "fail" | "doesNotThrow");
            let text = source.of(left);
            let trivial = !throws
                && ((!any(left) && !pair.is_some_and(|right| any(*right)))
                    || (same && !text.contains('('))
                    || always(text));
            let equal = text.contains("==");
            let mut assertion =
                Assertion::new((pair.is_some() && !same) || throws || equal, trivial);
            assertion.message = None;
            Some(assertion)
        }
        _ => (called.contains(".should.") && !called.contains('('))
            .then(|| Assertion::new(true, false)),
    }
}

/// The `expect(…)` call at the root of a chain.
fn subject_of(node: Node<'_>) -> Option<Node<'_>> {
    let mut inner = node;
    for _ in 0..DEEPEST {
        let next = match inner.kind() {
            "call_expression" => inner.child_by_field_name("function")?,
            "member_expression" => inner.child_by_field_name("object")?,
            "identifier" => return inner.parent()?.child_by_field_name("arguments"),
            _ => return None,
        };
        inner = next;
    }
    None
}

fn expectation<'a>(
    source: &Source<'a>,
    subject: Node<'a>,
    values: &[Node<'a>],
    matcher: &str,
) -> Assertion<'a> {
    let subject_text = source.of(subject).trim_start_matches('(').trim_end_matches(')');
    let value = values.first().map_or("", |value| source.of(*value));
    let same = same_text(subject_text, value);
    let any = names_something(&DIALECT, subject)
        || values.iter().any(|value| names_something(&DIALECT, *value));
    let trivial = !any || (same && !value.contains('(')) || always(subject_text);
    let exact = !same
        && matches!(
            matcher,
            "toBe"
                | "toEqual"
                | "toStrictEqual"
                | "toMatchObject"
                | "toMatchSnapshot"
                | "toMatchInlineSnapshot"
                | "toThrow"
                | "toThrowError"
                | "toHaveLength"
                | "toContain"
                | "toMatch"
                | "toHaveBeenCalledWith"
                | "toHaveProperty"
                | "toBeCloseTo"
                | "equal"
                | "eql"
                | "eq"
                | "equals"
                | "toThrowErrorMatchingSnapshot"
                | "toBeNull"
                | "toBeUndefined"
                | "toContainEqual"
                | "toHaveBeenCalledTimes"
        )
        && !matches!(value.trim(), "true" | "false");
    Assertion::new(exact, trivial)
}

fn always(text: &str) -> bool {
    let bare: String = text.split_whitespace().collect();
    bare.ends_with("||true") || bare.starts_with("true||")
}

fn ends(source: &Source<'_>, node: Node<'_>) -> bool {
    match node.kind() {
        "return_statement" | "throw_statement" | "break_statement" | "continue_statement" => true,
        "expression_statement" => source.of(node).starts_with("process.exit("),
        _ => false,
    }
}

fn void(source: &Source<'_>, node: Node<'_>) -> bool {
    match node.kind() {
        "if_statement" | "while_statement" => {
            let condition = source.field(node, "condition");
            let bare: String = condition.split_whitespace().collect();
            matches!(
                bare.as_str(),
                "(false)" | "(0)" | "(!true)" | "(!1)" | "(null)" | "(undefined)"
            )
        }
        "for_in_statement" => source.field(node, "right").trim() == "[]",
        "try_statement" => {
            let handler = node.child_by_field_name("handler");
            handler.is_some_and(|handler| {
                let text = source.of(handler);
                !["throw", "expect(", "assert", "fail(", "done(", "reject("]
                    .iter()
                    .any(|word| text.contains(word))
            })
        }
        "call_expression" => {
            let called: String = source.field(node, "function").split_whitespace().collect();
            // `promise.catch(() => {})` swallows what was expected before it.
            called.ends_with(".catch") && called.contains("expect(")
                || called.starts_with("[].")
                || (is_timer(&called) && !is_waited_for(source, node))
        }
        _ => false,
    }
}

fn is_timer(called: &str) -> bool {
    let last = called.rsplit('.').next().unwrap_or("");
    matches!(last, "setTimeout" | "setInterval" | "setImmediate" | "queueMicrotask" | "nextTick")
}

/// Whether the test ends only when the timer has: it is told, or awaits a promise.
fn is_waited_for(source: &Source<'_>, node: Node<'_>) -> bool {
    let text = source.of(node);
    let alone = node.parent().is_some_and(|it| it.kind() == "expression_statement");
    let tells = ["done", "resolve", "next", "end("].iter().any(|word| text.contains(word));
    !alone || tells
}

fn nested<'a>(source: &Source<'a>, node: Node<'a>) -> Option<&'a str> {
    match node.kind() {
        "function_declaration" => Some(source.field(node, "name")),
        "variable_declarator" => {
            let value = node.child_by_field_name("value")?;
            matches!(value.kind(), "arrow_function" | "function_expression")
                .then(|| source.field(node, "name"))
        }
        _ => None,
    }
}

fn rows(_: &Source<'_>, node: Node<'_>) -> usize {
    if node.kind() != "array" {
        return 0;
    }
    named(node).filter(|child| matches!(child.kind(), "array" | "object")).count()
}

fn function<'a>(source: &Source<'a>, node: Node<'a>) -> Option<(&'a str, Node<'a>)> {
    match node.kind() {
        "function_declaration" | "method_definition" => {
            Some((source.field(node, "name"), node.child_by_field_name("body")?))
        }
        "variable_declarator" => {
            let value = node.child_by_field_name("value")?;
            matches!(value.kind(), "arrow_function" | "function_expression").then_some(())?;
            Some((source.field(node, "name"), value.child_by_field_name("body")?))
        }
        _ => None,
    }
}
