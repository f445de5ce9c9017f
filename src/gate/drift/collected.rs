//! Whether tests that are still there are still found by their runner.
//!
//! Pure, by the places where runners look. A file that never was in such a place is left alone.

use std::sync::LazyLock;

use regex::Regex;

use crate::domain::evidence::Violation;
use crate::gate::finding::{Where, high, quote};
use crate::gate::logs::pattern;
use crate::gate::look::{Look, View};
use crate::gate::scan::Language;

/// Test files moved to where no runner looks, and modules of tests that are no longer built.
#[must_use]
pub fn collected(look: &Look<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for view in look.views {
        moved_away(look, view, &mut found);
        module_dropped(look, view, &mut found);
        module_conditional(view, &mut found);
    }
    found
}

fn moved_away(look: &Look<'_>, view: &View<'_>, found: &mut Vec<Violation>) {
    let change = view.change;
    let names: Vec<&str> = view.new.tests.iter().map(|test| test.name.as_str()).collect();
    // Where the tests of this file were before: its old name, or files they were taken from.
    let before = look.views.iter().find(|other| {
        other.old.tests.iter().any(|test| names.contains(&test.name.as_str()))
            && (other.change.path != change.path || change.old_path.is_some())
            && is_found(look, other.language, other.change.former())
    });
    if let Some(before) = before
        && before.change.former() != change.path
        && !is_found(look, view.language, &change.path)
        && (std::ptr::eq(before, view)
            || !before.new.tests.iter().any(|test| names.contains(&test.name.as_str())))
    {
        let what = format!(
            "the tests of {} moved to {}, where their runner does not look",
            before.change.former(),
            change.path
        );
        found.push(high("test_not_collected", what, Where::file(&change.path)));
    }
}

/// Whether a runner finds tests in a file of this name.
fn is_found(look: &Look<'_>, language: Language, path: &str) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    match language {
        Language::Python => {
            name.starts_with("test_") || name.ends_with("_test.py") || name == "tests.py"
        }
        Language::JavaScript => {
            name.contains(".test.")
                || name.contains(".spec.")
                || name.starts_with("test-")
                || name.starts_with("test.")
                || name.contains("-test.")
                || name.contains("_test.")
                || folder
                    .split('/')
                    .any(|part| matches!(part, "__tests__" | "test" | "tests" | "spec"))
        }
        Language::Go => {
            name.ends_with("_test.go") && !of_another_system(name) && !is_unseen_by_go(folder)
        }
        Language::Java => {
            let stem = name.split('.').next().unwrap_or(name);
            let named = ["Test", "Tests", "IT", "TestCase"].iter().any(|end| stem.ends_with(end))
                || stem.starts_with("Test");
            named && (folder.contains("src/test/") || !folder.contains("src/"))
        }
        Language::Rust => {
            let stem = name.trim_end_matches(".rs");
            let root =
                folder == "tests" || folder.ends_with("/tests") || stem == "main" || stem == "lib";
            let declared = |text: &str| {
                text.lines().any(|line| {
                    let line = line.trim();
                    line.ends_with(&format!("mod {stem};")) || line.contains(&format!("{name}\""))
                })
            };
            // A module that was there before is declared in a file that did not change.
            let known = look
                .views
                .iter()
                .any(|view| view.change.former() == path && !view.change.old.is_empty());
            let dir_module = stem == "mod";
            root || known || dir_module || look.changes.iter().any(|change| declared(&change.new))
        }
        Language::Shell | Language::Other => true,
    }
}

/// `shop_windows_test.go` is built for Windows alone.
fn of_another_system(name: &str) -> bool {
    const OTHERS: [&str; 18] = [
        "windows",
        "darwin",
        "freebsd",
        "openbsd",
        "netbsd",
        "dragonfly",
        "solaris",
        "plan9",
        "aix",
        "js",
        "wasip1",
        "android",
        "ios",
        "wasm",
        "386",
        "arm",
        "mips",
        "s390x",
    ];
    let stem = name.trim_end_matches("_test.go");
    stem.split('_').skip(1).any(|part| OTHERS.contains(&part))
}

/// Folders that `./...` leaves out.
fn is_unseen_by_go(folder: &str) -> bool {
    folder.split('/').any(|part| {
        matches!(part, "testdata" | "vendor") || (part.len() > 1 && part.starts_with(['_', '.']))
    })
}

/// `mod tests;` is gone, and its file is not.
fn module_dropped(look: &Look<'_>, view: &View<'_>, found: &mut Vec<Violation>) {
    static MODULE: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^\s*(?:pub(?:\([^)]*\))?\s+)?mod\s+(\w+)\s*;"));
    if view.language != Language::Rust || view.change.new.is_empty() {
        return;
    }
    let (folder, name) =
        view.change.path.rsplit_once('/').map_or(("", view.change.path.as_str()), |split| split);
    let stem = name.trim_end_matches(".rs");
    for line in &view.change.removed {
        let Some(module) = MODULE.captures(&line.text) else { continue };
        let module = &module[1];
        let still = view
            .code
            .iter()
            .any(|line| MODULE.captures(line).is_some_and(|other| &other[1] == module));
        let inside = |path: &String| {
            let base = if matches!(stem, "mod" | "lib" | "main") || folder == "tests" {
                folder.to_owned()
            } else {
                format!("{folder}/{stem}")
            };
            let base = if base.is_empty() { String::new() } else { format!("{base}/") };
            *path == format!("{base}{module}.rs") || *path == format!("{base}{module}/mod.rs")
        };
        if !still && look.paths.iter().any(inside) {
            let what =
                format!("the module `{module}` is no longer built, but its file is still there");
            found.push(high("test_not_collected", what, Where::file(&view.change.path)));
        }
    }
}

/// A condition was put above `mod tests;`.
fn module_conditional(view: &View<'_>, found: &mut Vec<Violation>) {
    if view.language != Language::Rust {
        return;
    }
    for line in &view.change.added {
        let text: String = view.code(line.number).split_whitespace().collect();
        let condition = text.strip_prefix("#[cfg(");
        let harmless = condition.is_none_or(|it| {
            ["test)", "unix)", "all(test", "debug_assertions)"].iter().any(|ok| it.starts_with(ok))
        });
        if harmless {
            continue;
        }
        let next = (line.number..line.number + 4)
            .map(|number| view.code(number + 1).trim())
            .find(|text| !text.is_empty() && !text.starts_with("#["));
        let old = |text: &str| view.change.old.lines().any(|line| line.trim() == text);
        if let Some(next) = next
            && next.contains("mod ")
            && next.contains("test")
            && next.ends_with(';')
            && old(next)
        {
            let what = format!("tests are now built only under a condition: {}", quote(&line.text));
            let at = Where::line(&view.change.path, line.number);
            found.push(high("test_not_collected", what, at));
        }
    }
}
