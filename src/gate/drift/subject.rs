//! Tests that no longer test what they tested: a double stands in its place.
//!
//! Pure. Looks at what a test's own assertions call: where the name comes from now, and whether
//! something patches it. A module that moved is fine; one that lives among the tests is a double.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;

use crate::domain::evidence::Violation;
use crate::gate::finding::{Where, high, quote};
use crate::gate::logs::pattern;
use crate::gate::look::{Look, View};
use crate::gate::scan::{Language, is_test_path};

/// What tests asserted about and is now a double.
#[must_use]
pub fn replaced(look: &Look<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for view in look.views {
        let subjects = subjects(view);
        if !subjects.is_empty() {
            doubled(view, &subjects, &mut found);
            patched(view, &subjects, &mut found);
        }
    }
    found
}

/// Names that the assertions of the tests there were call, and that still stand in those tests.
fn subjects(view: &View<'_>) -> BTreeSet<String> {
    static CALLED: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b([A-Za-z_]\w*)!?(?:\(|\.\w+\()"));
    let kept = |name: &str| view.new.tests.iter().any(|test| test.name == name);
    let asserts = |line: &&String| {
        ["assert", "expect", "Errorf", "Fatalf", "!=", "raises"].iter().any(|it| line.contains(it))
    };
    let mut found = BTreeSet::new();
    for test in view.old.tests.iter().filter(|test| kept(&test.name)) {
        for line in test.body.iter().filter(asserts) {
            found.extend(CALLED.captures_iter(line).map(|it| it[1].to_owned()));
        }
    }
    found
}

/// A subject that came from the code and now comes from among the tests, or is written there.
fn doubled(view: &View<'_>, subjects: &BTreeSet<String>, found: &mut Vec<Violation>) {
    let path = view.change.path.as_str();
    let (old, new) = (imports(view, &view.change.old), imports(view, &view.change.new));
    let own = |helpers: &[crate::gate::syntax::Helper], name: &str| {
        helpers.iter().any(|helper| helper.name == name)
    };
    for name in subjects {
        let from_code = match old.get(name) {
            Some(source) => !among_tests(view, source),
            None => view.old.functions.contains(name),
        };
        if !from_code || own(&view.old.helpers, name) {
            continue;
        }
        let here = own(&view.new.helpers, name);
        let double = new.get(name).filter(|source| among_tests(view, source));
        if !here && double.is_none() {
            continue;
        }
        let whence = double.map_or_else(|| "written in the test".to_owned(), |it| quote(it));
        found.push(high(
            "subject_replaced",
            format!("the tests' subject `{name}` is another now: {whence}"),
            Where::file(path),
        ));
    }
}

/// Which name an import binds, and where from.
fn imports(view: &View<'_>, text: &str) -> BTreeMap<String, String> {
    static PYTHON: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?m)^from\s+(\S+)\s+import\s+\(?([^()\n]+)"));
    static JAVASCRIPT: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r#"(?m)^(?:import\s+|(?:const|let|var)\s+)([^=;'"]+?)\s*(?:from|=\s*(?:await\s+import|require)\()\s*["']([^"']+)["']"#,
        )
    });
    static RUST: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r"(?m)^\s*(?:pub\s+)?use\s+((?:\w+::)*)(?:\{([^}]*)\}|(\w+(?:\s+as\s+\w+)?))\s*;")
    });
    let mut found = BTreeMap::new();
    let mut bind = |names: &str, source: &str| {
        let words = names.split([',', '{', '}']).map(|name| {
            let alias = name.split(" as ").last().unwrap_or(name);
            alias.rsplit(':').next().unwrap_or(alias).trim().trim_start_matches("* ").to_owned()
        });
        found.extend(words.filter(|it| !it.is_empty()).map(|it| (it, source.to_owned())));
    };
    match view.language {
        Language::Python => {
            PYTHON.captures_iter(text).for_each(|it| bind(&it[2], &it[1]));
        }
        Language::JavaScript => {
            JAVASCRIPT.captures_iter(text).for_each(|it| bind(&it[1], &it[2]));
        }
        Language::Rust => {
            for it in RUST.captures_iter(text) {
                bind(it.get(2).or(it.get(3)).map_or("", |names| names.as_str()), &it[1]);
            }
        }
        Language::Go | Language::Java | Language::Shell | Language::Other => {}
    }
    found
}

/// Whether a source that a test file names lives among the tests.
fn among_tests(view: &View<'_>, source: &str) -> bool {
    let folder = view.change.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let end = view.change.path.rsplit('.').next().unwrap_or("");
    let path = match view.language {
        Language::JavaScript if source.starts_with('.') => joined(folder, source),
        Language::Python if source.starts_with('.') => {
            let up = source.chars().take_while(|c| *c == '.').count() - 1;
            let rest = source.trim_start_matches('.').replace('.', "/");
            joined(folder, &format!("{}{rest}", "../".repeat(up)))
        }
        Language::Python => source.replace('.', "/"),
        Language::Rust => {
            let first = source.split("::").next().unwrap_or("");
            let inside = matches!(first, "crate" | "self" | "super")
                || view.change.new.contains(&format!("mod {first}"));
            return inside && is_test_path(&view.change.path);
        }
        Language::JavaScript
        | Language::Go
        | Language::Java
        | Language::Shell
        | Language::Other => return false,
    };
    let doubles = ["fake", "mock", "double", "stub"];
    let named = path.to_lowercase();
    is_test_path(&format!("{path}.{end}")) || doubles.iter().any(|word| named.contains(word))
}

fn joined(folder: &str, relative: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// A subject that is now patched, or whose module is mocked.
fn patched(view: &View<'_>, subjects: &BTreeSet<String>, found: &mut Vec<Violation>) {
    static NAMED: LazyLock<Regex> = LazyLock::new(|| {
        pattern(concat!(
            r#"\bpatch\(\s*["'][\w.]*\.(\w+)["']|\bpatch\.object\([^,]+,\s*["'](\w+)["']|"#,
            r#"\b(?:setattr|setitem)\([^"']*["'](?:[\w.]*\.)?(\w+)["']|\b(?:spyOn|replaceProperty)\([^,]+,\s*["'](\w+)["']|"#,
            r"\bmockStatic\(\s*(\w+)\.class|globals\(\)\[\s*[\x22'](\w+)",
        ))
    });
    static MODULE: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r#"\b(?:jest|vi)\.(?:mock|doMock|setMock|unstable_mockModule)\(\s*["']([^"']+)["']"#,
        )
    });
    let old = imports(view, &view.change.old);
    for line in &view.change.added {
        let code = view.code(line.number);
        let name = NAMED
            .captures(code)
            .and_then(|it| it.iter().skip(1).flatten().next().map(|name| name.as_str().to_owned()))
            .filter(|name| subjects.contains(name));
        let module = MODULE.captures(code).filter(|it| {
            old.iter().any(|(name, source)| *source == it[1] && subjects.contains(name))
        });
        if name.is_some() || module.is_some() {
            found.push(high(
                "subject_replaced",
                format!("what the tests test is replaced by a double: {}", quote(&line.text)),
                Where::line(&view.change.path, line.number),
            ));
        }
    }
}
