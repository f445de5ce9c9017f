//! Test code that proves less, other than by what became of a named test: files of languages whose
//! tests we can't name, data that tests run through, new assertions that can't fail.
//!
//! Pure. Line by line where there is no grammar.

use std::sync::LazyLock;

use regex::Regex;

use super::loosened::surplus;
use crate::domain::evidence::Violation;
use crate::gate::change::{ChangeKind, Changed, Line};
use crate::gate::finding::{Where, high, quote};
use crate::gate::logs::pattern;
use crate::gate::look::{Asked, Look, View, tokens};
use crate::gate::scan::{Language, Strings, code_of, is_test_path};
use crate::gate::syntax::has_grammar;

/// What tests prove less, found without their names.
#[must_use]
pub fn hollow(look: &Look<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for view in look.views {
        unnamed_tests(view.change, look.asked, &mut found);
        cases_dropped(view.change, look.asked, &mut found);
        trivial(view, &mut found);
    }
    found
}

/// Tests in a language whose tests have no names we know: deleting one, or its checking lines, is
/// seen all the same.
fn unnamed_tests(change: &Changed, asked: &Asked, found: &mut Vec<Violation>) {
    static CHECKS: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"\bassert|\bexpect|\bexit [1-9]|\bfail\b|\bfalse\b|^\s*\[+ |\btest |\bdiff |\bcmp |\bgrep -|^\s*(?:if|&&|\|\|) ",
        )
    });
    let former = change.former();
    let prose = [".md", ".txt", ".rst", ".adoc", ".json", ".snap", ".png", ".svg", ".csv", ".html"]
        .iter()
        .any(|end| former.ends_with(end));
    if !is_test_path(former) || has_grammar(former) || prose || change.binary {
        return;
    }
    if change.kind == ChangeKind::Deleted {
        found.push(high(
            "test_file_deleted",
            format!("the test file {former} was deleted"),
            Where::file(former),
        ));
        return;
    }
    let count = |text: &str| {
        code_of(text, Language::Shell, Strings::Keep)
            .lines()
            .filter(|line| CHECKS.is_match(line))
            .count()
    };
    if !change.old.is_empty()
        && let Some(line) = cut_short(change, &CHECKS)
    {
        found.push(high(
            "test_file_weakened",
            "the test file now ends well before its checks".to_owned(),
            Where::line(&change.path, line),
        ));
        return;
    }
    let (before, after) = (count(&change.old), count(&change.new));
    if after < before {
        found.push(high(
            "test_file_weakened",
            format!("the test file checks less: {after} checking lines, {before} before"),
            Where::file(&change.path),
        ));
        return;
    }
    static SKIPS: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"^\s*(?:xit|xdescribe|xcontext|pending|skip)\b|@(?:Disabled|Ignore|tag\s+:skip)\b|Skip\s*=|\[Ignore|XCTSkip|markTestSkipped|markTestIncomplete|:\s*pending\b|\bskip:\s*true",
        )
    });
    if let Some(line) = surplus(&SKIPS, &change.added, &change.removed).first() {
        found.push(high(
            "test_file_weakened",
            format!("the test file leaves a test out: {}", quote(&line.text)),
            Where::line(&change.path, line.number),
        ));
        return;
    }
    let checks = |lines: &[Line]| -> Vec<Line> {
        lines.iter().filter(|line| CHECKS.is_match(&line.text)).cloned().collect()
    };
    expects_otherwise(change, &checks(&change.removed), &checks(&change.added), asked, found);
}

/// A checking line that is the same but for its values: fine where the issue asks for the new one.
fn expects_otherwise(
    change: &Changed,
    before: &[Line],
    after: &[Line],
    asked: &Asked,
    found: &mut Vec<Violation>,
) {
    static VALUE: LazyLock<Regex> =
        LazyLock::new(|| pattern(r#""[^"]*"|'[^']*'|=\s*[\w./-]+|\b\d[\w.]*"#));
    let shape = |line: &Line| VALUE.replace_all(line.text.trim(), "_").into_owned();
    let values = |line: &Line| -> Vec<String> {
        VALUE.find_iter(&line.text).flat_map(|it| tokens(it.as_str()).collect::<Vec<_>>()).collect()
    };
    let mut left: Vec<&Line> = after.iter().collect();
    for old in before {
        if let Some(same) = left.iter().position(|new| new.text.trim() == old.text.trim()) {
            left.swap_remove(same);
            continue;
        }
        let Some(at) = left.iter().position(|new| shape(new) == shape(old)) else { continue };
        let new = left.swap_remove(at);
        let (then, now) = (values(old), values(new));
        let fresh: Vec<&String> = now.iter().filter(|word| !then.contains(word)).collect();
        if !fresh.is_empty() && !fresh.iter().any(|word| asked.names(word)) {
            found.push(high(
                "expected_value_changed",
                format!(
                    "the test file now has {} where it had {}, and the issue does not ask for that",
                    quote(&new.text),
                    quote(&old.text)
                ),
                Where::line(&change.path, new.number),
            ));
        }
    }
}

/// Rows taken out of data that tests run through.
fn cases_dropped(change: &Changed, asked: &Asked, found: &mut Vec<Violation>) {
    let former = change.former();
    let data = [".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".yaml", ".yml", ".toml", ".txt"]
        .iter()
        .any(|end| former.ends_with(end));
    let rows = |lines: &[Line]| lines.iter().filter(|it| !it.text.trim().is_empty()).count();
    let (gone, come) = (rows(&change.removed), rows(&change.added));
    let stem = former.rsplit('/').next().unwrap_or(former).split('.').next().unwrap_or("");
    let manifest = ["requirements", "constraints", "package", "tsconfig", "Cargo", "pyproject"]
        .iter()
        .any(|start| stem.starts_with(start));
    let is_case = data
        && !manifest
        && is_test_path(former)
        && !change.new.is_empty()
        && !change.old.is_empty();
    if !is_case || gone <= come || asked.removes() || asked.names(stem) {
        return;
    }
    found.push(high(
        "cases_dropped",
        format!("the tests' data in {former} has {} lines less", gone - come),
        Where::file(&change.path),
    ));
}

/// A new line that ends the script with success while checks still follow it.
fn cut_short(change: &Changed, checks: &Regex) -> Option<u32> {
    static LEAVES: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?:^|[\s;&|{(])(?:exit|return)(?:\s+0)?\s*(?:$|[;&|})#])"));
    let code = code_of(&change.new, Language::Shell, Strings::Keep);
    let lines: Vec<&str> = code.lines().collect();
    change.added.iter().map(|line| line.number).find(|number| {
        let at = (*number as usize).saturating_sub(1);
        let leaves = lines.get(at).is_some_and(|line| LEAVES.is_match(line));
        leaves && lines.iter().skip(at + 1).any(|line| checks.is_match(line))
    })
}

/// New assertions that can't fail, in a test file or a test.
fn trivial(view: &View<'_>, found: &mut Vec<Violation>) {
    for line in &view.change.added {
        if view.new.trivial.contains(&line.number) {
            found.push(high(
                "trivial_assertion",
                format!("an assertion that can't fail: {}", quote(&line.text)),
                Where::line(&view.change.path, line.number),
            ));
        }
    }
}
