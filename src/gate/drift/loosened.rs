//! Settings loosened, errors suppressed, thresholds relaxed, and test files of languages whose
//! tests we can't name.
//!
//! Pure. Counts a mark among the added lines against the removed ones, so that moving code is fine.

use std::sync::LazyLock;

use regex::Regex;

use super::cases::is_trivial;
use crate::domain::evidence::Violation;
use crate::gate::change::{ChangeKind, Changed, Line};
use crate::gate::finding::{Where, high, quote};
use crate::gate::logs::pattern;
use crate::gate::scan::{Language, Strings, code_of, is_test_path};

/// All of this file's rules over all changed files.
#[must_use]
pub fn loosened(changes: &[Changed]) -> Vec<Violation> {
    let mut found = Vec::new();
    for change in changes {
        suppressed(change, &mut found);
        settings(change, &mut found);
        thresholds(change, &mut found);
        unnamed_tests(change, &mut found);
        trivial(change, &mut found);
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

fn suppressed(change: &Changed, found: &mut Vec<Violation>) {
    static RUST: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"#!?\[(?:cfg_attr\([^\]]*)?\b(?:allow|expect)\("));
    static PYTHON: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"#\s*(?:noqa|type:\s*ignore|pylint:\s*disable|pragma:\s*no cover|nosec|ruff:\s*noqa|mypy:\s*ignore)",
        )
    });
    static JAVASCRIPT: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"eslint-disable|@ts-(?:ignore|nocheck|expect-error)|(?:istanbul|c8|v8) ignore|biome-ignore|tslint:disable",
        )
    });
    static GO: LazyLock<Regex> = LazyLock::new(|| pattern(r"//\s*nolint|//\s*#nosec"));
    static JAVA: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"@Suppress(?:Warnings)?\b|//\s*NOSONAR|CHECKSTYLE:OFF"));
    static SHELL: LazyLock<Regex> = LazyLock::new(|| pattern(r"#\s*shellcheck disable"));
    let mark = match Language::of(&change.path) {
        Language::Rust => &RUST,
        Language::Python => &PYTHON,
        Language::JavaScript => &JAVASCRIPT,
        Language::Go => &GO,
        Language::Java => &JAVA,
        Language::Shell => &SHELL,
        Language::Other => return,
    };
    let code = (Language::of(&change.path) == Language::Rust)
        .then(|| code_of(&change.new, Language::Rust, Strings::Blank));
    let added: Vec<Line> = match &code {
        // An attribute in a string or a comment allows nothing.
        Some(code) => {
            let lines: Vec<&str> = code.lines().collect();
            let masked = |line: &Line| Line {
                number: line.number,
                text: lines.get(line.number as usize - 1).map_or("", |text| text).to_owned(),
            };
            change.added.iter().map(masked).collect()
        }
        None => change.added.clone(),
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
            r#"\bbail\b|--passWithNoTests|testMatch|addopts.*(?:-k|--deselect|--ignore)|retries\s*[=:]"#,
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
            r#"(?i)=\s*"(?:deny|forbid)"|["']error["']|\bstrict\w*["']?\s*[=:]\s*true|-D warnings|-Werror|\[lints"#,
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
    for (key, now, line) in change.added.iter().filter_map(read) {
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
    if !is_test_path(former) || Language::of(former).names_tests() || prose || change.binary {
        return;
    }
    if change.kind == ChangeKind::Deleted {
        found.push(high(
            "test_deleted",
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
    let (before, after) = (count(&change.old), count(&change.new));
    if after < before {
        found.push(high(
            "assertions_weakened",
            format!("the test file checks less: {after} checking lines, {before} before"),
            Where::file(&change.path),
        ));
    }
}

/// New assertions that can't fail, in a test file or a test.
fn trivial(change: &Changed, found: &mut Vec<Violation>) {
    let language = Language::of(&change.path);
    if !language.names_tests() {
        return;
    }
    let code = code_of(&change.new, language, Strings::Keep);
    let lines: Vec<&str> = code.lines().collect();
    // An assertion inside a string is data.
    let blank = code_of(&change.new, language, Strings::Blank);
    let blank: Vec<&str> = blank.lines().collect();
    let tests = super::cases::test_lines(&change.path, &change.new);
    for line in &change.added {
        let index = line.number as usize - 1;
        let in_test = tests.get(index).copied().unwrap_or(false);
        let asserts =
            blank.get(index).is_some_and(|text| text.contains("ssert") || text.contains("expect("));
        if in_test && asserts && lines.get(index).is_some_and(|text| is_trivial(text)) {
            found.push(high(
                "assertions_weakened",
                format!("an assertion that can't fail: {}", quote(&line.text)),
                Where::line(&change.path, line.number),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(path: &str, old: &str, new: &str) -> Vec<String> {
        let change = Changed::text(path, None, Some(old), Some(new));
        loosened(&[change]).into_iter().map(|violation| violation.kind).collect()
    }

    #[test]
    fn silenced_checks() {
        let cases = [
            ("src/lib.rs", "#[allow(dead_code)]\nfn a() {}\n"),
            ("src/lib.rs", "#![allow(warnings)]\n"),
            ("a.py", "import os  # noqa\n"),
            ("a.py", "x = 1  # type: ignore\n"),
            ("a.ts", "// eslint-disable-next-line\n"),
            ("a.ts", "// @ts-ignore\n"),
            ("a.go", "x() //nolint\n"),
            ("A.java", "@SuppressWarnings(\"all\")\n"),
        ];
        for (path, new) in cases {
            assert_eq!(kinds(path, "", new), ["error_suppressed"], "{path}: {new}");
            assert!(kinds(path, new, &format!("\n{new}")).is_empty(), "moved: {new}");
        }
        assert!(kinds("src/lib.rs", "", "// #[allow(x)]\nlet a = \"#[allow(x)]\";\n").is_empty());
        assert!(kinds("README.md", "", "use `# noqa`\n").is_empty());
    }

    #[test]
    fn settings_and_thresholds() {
        assert_eq!(
            kinds("Cargo.toml", "unused = \"deny\"\n", "unused = \"allow\"\n")[0],
            "settings_loosened"
        );
        assert_eq!(kinds("Cargo.toml", "[lib]\n", "[lib]\ntest = false\n"), ["settings_loosened"]);
        assert!(kinds("Cargo.toml", "", "[[bench]]\nname = \"a\"\nharness = false\n").is_empty());
        assert_eq!(kinds("tsconfig.json", "", "\"strict\": false\n"), ["settings_loosened"]);
        assert_eq!(
            kinds("pyproject.toml", "fail_under = 90\n", "fail_under = 50\n"),
            ["threshold_relaxed"]
        );
        assert!(kinds("pyproject.toml", "fail_under = 90\n", "fail_under = 95\n").is_empty());
        assert!(kinds("Cargo.toml", "version = \"0.1.0\"\n", "version = \"0.2.0\"\n").is_empty());
    }

    #[test]
    fn shell_tests() {
        let test = "set -e\n[ \"$(./add 1 2)\" = 3 ] || exit 1\ngrep -q x out\n";
        assert_eq!(kinds("tests/run.sh", test, "set -e\n"), ["assertions_weakened"]);
        let gone = Changed::text("tests/run.sh", None, Some(test), None);
        assert_eq!(loosened(&[gone])[0].kind, "test_deleted");
        assert!(kinds("tests/run.sh", test, &format!("{test}[ 1 = 1 ]\n")).is_empty());
    }

    #[test]
    fn an_assertion_that_cannot_fail() {
        let new = "#[test]\nfn a() {\n    assert!(true);\n}\n";
        assert_eq!(kinds("src/lib.rs", "", new), ["assertions_weakened"]);
        assert!(kinds("src/lib.rs", "", "fn a() { assert!(x); }\n").is_empty());
    }
}
