//! Settings loosened, errors suppressed, thresholds relaxed, and test files of languages whose
//! tests we can't name.
//!
//! Pure. Counts a mark among the added lines against the removed ones, so that moving code is fine.

use std::sync::LazyLock;

use regex::Regex;

use crate::domain::evidence::Violation;
use crate::gate::change::{ChangeKind, Changed, Line};
use crate::gate::finding::{Where, high, quote};
use crate::gate::logs::pattern;
use crate::gate::look::{Look, View};
use crate::gate::scan::{Language, Strings, code_of, is_test_path};
use crate::gate::syntax::has_grammar;

/// Suppressions, settings, thresholds, and tests that have no names.
#[must_use]
pub fn loosened(look: &Look<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for view in look.views {
        suppressed(view, &mut found);
        settings(view.change, &mut found);
        thresholds(view.change, &mut found);
    }
    found
}

/// Test code that proves less, other than by what became of a test: shell tests, new assertions
/// that can't fail.
#[must_use]
pub fn hollow(look: &Look<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for view in look.views {
        unnamed_tests(view.change, &mut found);
        trivial(view, &mut found);
    }
    found
}

/// Lines of the list that match, and how many more there are than in the other.
fn surplus<'a>(mark: &Regex, added: &'a [Line], removed: &[Line]) -> Vec<&'a Line> {
    let hits: Vec<&Line> = added.iter().filter(|line| mark.is_match(&line.text)).collect();
    let gone = removed.iter().filter(|line| mark.is_match(&line.text)).count();
    let more = hits.len().saturating_sub(gone);
    // Which of them are the new ones can't be told: name the last.
    hits.into_iter().rev().take(more).rev().collect()
}

fn suppressed(view: &View<'_>, found: &mut Vec<Violation>) {
    let change = view.change;
    static RUST: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r"#!?\[(?:cfg_attr\([^\]]*)?\b(?:allow|expect)\(|#!?\[coverage\(off")
    });
    static PYTHON: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"#\s*(?:noqa|type:\s*ignore|pylint:\s*disable|pragma:\s*no cover|nosec|ruff:\s*noqa|mypy:\s*ignore|pyright:\s*ignore|pytype:\s*disable)|\bno_type_check\b|(?:filterwarnings|simplefilter)\(\s*[\x22']ignore",
        )
    });
    static JAVASCRIPT: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"eslint-disable|@ts-(?:ignore|nocheck|expect-error)|(?:istanbul|c8|v8) ignore|biome-ignore|tslint:disable",
        )
    });
    static GO: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"//\s*nolint|//\s*#nosec|//lint:(?:file-)?ignore"));
    static JAVA: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"@Suppress(?:Warnings)?\b|//\s*NOSONAR|CHECKSTYLE:OFF"));
    static SHELL: LazyLock<Regex> = LazyLock::new(|| pattern(r"#\s*shellcheck disable"));
    let mark = match view.language {
        Language::Rust => &RUST,
        Language::Python => &PYTHON,
        Language::JavaScript => &JAVASCRIPT,
        Language::Go => &GO,
        Language::Java => &JAVA,
        Language::Shell => &SHELL,
        Language::Other => return,
    };
    let added: Vec<Line> = if view.language == Language::Rust {
        // An attribute in a string or a comment allows nothing.
        let masked =
            |line: &Line| Line { number: line.number, text: view.bare(line.number).to_owned() };
        change.added.iter().map(masked).collect()
    } else {
        change.added.clone()
    };
    for line in surplus(mark, &added, &change.removed) {
        let written = change.added.iter().find(|other| other.number == line.number).unwrap_or(line);
        found.push(high(
            "error_suppressed",
            format!("a check is silenced: {}", quote(&written.text)),
            Where::line(&change.path, line.number),
        ));
    }
}

/// Files that set how strictly code is checked.
fn is_setting(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    matches!(
        name,
        "clippy.toml"
            | ".clippy.toml"
            | "deny.toml"
            | "ruff.toml"
            | ".ruff.toml"
            | ".flake8"
            | "mypy.ini"
            | ".pylintrc"
            | "pylintrc"
            | "setup.cfg"
            | "tox.ini"
            | "pytest.ini"
            | ".coveragerc"
            | "pyproject.toml"
            | "biome.json"
            | "tslint.json"
            | ".golangci.yml"
            | ".golangci.yaml"
            | "Cargo.toml"
            | "nextest.toml"
            | "package.json"
            | "checkstyle.xml"
            | ".mocharc.json"
            | ".nycrc"
            | "codecov.yml"
            | ".eslintignore"
            | ".stylelintrc"
            | "rustfmt.toml"
            | "pyrightconfig.json"
            | ".lintstagedrc"
            | ".codecov.yml"
    ) || ["tsconfig", ".eslintrc", "eslint.config", "jest.config", "vitest.config", "karma.conf"]
        .iter()
        .any(|start| name.starts_with(start))
}

fn settings(change: &Changed, found: &mut Vec<Violation>) {
    static LOOSE: LazyLock<Regex> = LazyLock::new(|| {
        pattern(concat!(
            r#"(?i)=\s*"allow"|level\s*=\s*"allow"|["'](?:off|ignore)["']|:\s*0\s*,?$|"#,
            r#"\b(?:ignore|extend-ignore|per-file-ignores|disable|exclude|omit|skip|norecursedirs)\b\s*[=:]|"#,
            r#"\bignore_errors\b|ignore_missing_imports|["']?(?:strict\w*|noImplicitAny|no\w+)["']?\s*:\s*false|"#,
            r#"\b(?:test|doctest|autotests|harness)\s*=\s*false|testPathIgnorePatterns|passWithNoTests|"#,
            r#"\bbail\b|--passWithNoTests|testMatch|testRegex|addopts.*(?:-k|--deselect|--ignore|-m|-p |-W|--co\b|--collect|--continue|--maxfail|--lf)|"#,
            r#"moduleNameMapper|setupFiles|globalSetup|globalTeardown|testRunner|filterwarnings\s*=|xfail_strict\s*=\s*(?i:false)|"#,
            r#"retries\s*[=:]|\b(?:testpaths|python_files|python_functions|python_classes)\s*=|"#,
            r#"(?:overflow-checks|debug-assertions)\s*=\s*false|"(?:roots|modulePathIgnorePatterns)"|"#,
            r#"^\s*(?:autobins|autoexamples)\s*=\s*false"#,
        ))
    });
    if !is_setting(&change.path) {
        return;
    }
    if change.kind == ChangeKind::Deleted && !is_manifest(change.name()) {
        found.push(high(
            "settings_loosened",
            format!("the checks' settings in {} were deleted", change.path),
            Where::file(&change.path),
        ));
        return;
    }
    for line in surplus(&LOOSE, &change.added, &change.removed) {
        if is_benchmark(&change.new, line) {
            continue;
        }
        found.push(high(
            "settings_loosened",
            format!("a check's setting is loosened: {}", quote(&line.text)),
            Where::line(&change.path, line.number),
        ));
    }
    static STRICT: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r#"(?i)=\s*"(?:deny|forbid)"|["']error["']|\b(?:strict|no[A-Z])\w*["']?\s*[=:]\s*true|-D warnings|-Werror|\[lints|\b(?:disallow|warn|check)_\w+\s*=\s*true"#,
        )
    });
    for line in surplus(&STRICT, &change.removed, &change.added) {
        found.push(high(
            "settings_loosened",
            format!("a strict setting was removed: {}", quote(&line.text)),
            Where::file(&change.path),
        ));
    }
}

/// Benchmarks bring their own harness: nothing is loosened by saying so.
fn is_benchmark(manifest: &str, line: &Line) -> bool {
    let before: Vec<&str> = manifest.lines().take(line.number as usize).collect();
    let table = before.iter().rev().find(|line| line.trim_start().starts_with('['));
    table.is_some_and(|table| table.trim() == "[[bench]]")
}

fn is_manifest(name: &str) -> bool {
    matches!(name, "Cargo.toml" | "package.json" | "pyproject.toml" | "setup.cfg")
}

/// `key = 80` became `key = 60`: lower for a minimum, higher for a maximum.
fn thresholds(change: &Changed, found: &mut Vec<Violation>) {
    static VALUE: LazyLock<Regex> = LazyLock::new(|| {
        pattern(concat!(
            r#"(?i)([\w-]*(?:threshold|fail[_-]under|min[_-]?coverage|max[_-]warnings|statements|"#,
            r#"branches|functions|timeout[_-]factor)[\w-]*)["']?\s*[=: ]\s*(\d+(?:\.\d+)?)"#,
        ))
    });
    let setting = is_setting(&change.path) || is_test_path(&change.path) || is_runner(&change.path);
    if !setting {
        return;
    }
    let read = |line: &Line| {
        VALUE.captures(&line.text).and_then(|value| {
            Some((value[1].to_ascii_lowercase(), value[2].parse::<f64>().ok()?, line.number))
        })
    };
    let before: Vec<_> = change.removed.iter().filter_map(read).collect();
    let after: Vec<_> = change.added.iter().filter_map(read).collect();
    for (key, then, _) in before.iter().filter(|(key, ..)| !after.iter().any(|(k, ..)| k == key)) {
        found.push(high(
            "threshold_relaxed",
            format!("the threshold `{key}` of {then} was removed"),
            Where::file(&change.path),
        ));
    }
    if change.name().contains("clippy") {
        for (key, now, line) in
            after.iter().filter(|(key, ..)| !before.iter().any(|(k, ..)| k == key))
        {
            found.push(high(
                "threshold_relaxed",
                format!("the threshold `{key}` is now {now} instead of the tool's own"),
                Where::line(&change.path, *line),
            ));
        }
    }
    for (key, now, line) in after {
        let Some((_, then, _)) = before.iter().find(|(old, ..)| *old == key) else { continue };
        let maximum = key.contains("max") || change.name().contains("clippy");
        if (maximum && now > *then) || (!maximum && now < *then) {
            found.push(high(
                "threshold_relaxed",
                format!("the threshold `{key}` went from {then} to {now}"),
                Where::line(&change.path, line),
            ));
        }
    }
}

fn is_runner(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    matches!(name.as_str(), "makefile" | "gnumakefile" | "justfile" | "package.json")
        || Language::of(path) == Language::Shell
}

/// Tests in a language whose tests have no names we know: deleting one, or its checking lines, is
/// seen all the same.
fn unnamed_tests(change: &Changed, found: &mut Vec<Violation>) {
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
    }
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
