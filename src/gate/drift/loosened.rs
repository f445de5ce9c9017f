//! Settings loosened, errors suppressed, thresholds relaxed.
//!
//! Pure. Counts a mark among the added lines against the removed ones, so that moving code is fine.

use std::sync::LazyLock;

use regex::Regex;

use crate::domain::evidence::Violation;
use crate::gate::change::{ChangeKind, Changed, Line};
use crate::gate::finding::{Where, high, quote};
use crate::gate::logs::pattern;
use crate::gate::look::{Look, View};
use crate::gate::scan::{Language, is_test_path};

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

/// Lines of the list that match, and how many more there are than in the other.
pub(super) fn surplus<'a>(mark: &Regex, added: &'a [Line], removed: &[Line]) -> Vec<&'a Line> {
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
            | "pom.xml"
            | "build.gradle"
            | "build.gradle.kts"
            | ".codecov.yml"
    ) || [
        "tsconfig",
        ".eslintrc",
        "eslint.config",
        "jest.config",
        "vitest.config",
        "karma.conf",
        ".mocharc",
        "babel.config",
        ".babelrc",
        ".swcrc",
    ]
    .iter()
    .any(|start| name.starts_with(start))
}

fn settings(change: &Changed, found: &mut Vec<Violation>) {
    static LOOSE: LazyLock<Regex> = LazyLock::new(|| {
        pattern(concat!(
            r#"(?i)=\s*"allow"|level\s*=\s*"allow"|["'](?:off|ignore)["']|:\s*0\s*,?$|"#,
            r#"\b(?:ignore|ignores|extend-ignore|per-file-ignores|disable|exclude[\w-]*|omit|skip|norecursedirs)\b["']?\s*[=:]|:\s*0\s*[,}]|"#,
            r#"\b(?:disallow|check|warn|strict|no)_\w+\s*=\s*(?i:false)|\bfollow_imports\s*=\s*(?:skip|silent)|usefixtures\s*=|pytest11|"#,
            r#"^\s*\[(?:patch|replace)\b|^\s*build\s*=\s*"|"#,
            r#"\b(?:testEnvironment|resolver|transform|testSequencer|runner|plugins|snapshotResolver|environment|dependencyExtractor)\b.*["'](?:\.|<rootDir>)|"#,
            r#"\balias\b["']?\s*:\s*\[?\{?\s*["']\.|^\s*["']\.\.?/[^"']*["']\s*:\s*["']|"#,
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
    let mut loose = surplus(&LOOSE, &change.added, &change.removed);
    loose.extend(narrowed(change));
    for line in loose {
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

/// Fewer of the tests there are, by the settings of a runner.
fn narrowed(change: &Changed) -> Vec<&Line> {
    static JAVASCRIPT: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r#"\b(?:include|spec|grep|fgrep|forbidPending|files)\b["']?\s*:"#)
    });
    static MAVEN: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"<(?:excludes?|includes?|groups|excludedGroups|test)>"));
    static GRADLE: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r#"^\s*(?:exclude|include)\s*\(?\s*["'*]|^\s*enabled\s*=\s*false|includeTestsMatching|excludeTestsMatching|(?:ex|in)cludeTags|(?:ex|in)cludeCategories"#,
        )
    });
    static CARGO: LazyLock<Regex> =
        LazyLock::new(|| pattern(r#"^\s*path\s*=\s*"|^\s*required-features"#));
    let name = change.name();
    let mark = match name {
        "pom.xml" => &MAVEN,
        "build.gradle" | "build.gradle.kts" => &GRADLE,
        "Cargo.toml" => &CARGO,
        _ if ["vitest.", "jest.", "karma.", ".mocharc"].iter().any(|it| name.starts_with(it)) => {
            &JAVASCRIPT
        }
        _ => return shrunk(change),
    };
    let found = surplus(mark, &change.added, &change.removed);
    // In a manifest a path says something of tests in a table of theirs alone.
    let of_tests = |line: &&Line| name != "Cargo.toml" || table_of(&change.new, line) == "[[test]]";
    found.into_iter().filter(of_tests).collect()
}

/// A list of what is checked that became shorter: `select = ["E", "F"]`.
fn shrunk(change: &Changed) -> Vec<&Line> {
    static LIST: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r#"^\s*["']?((?:extend-)?select|enable|lint|linters|rules)["']?\s*[=:]\s*\[(.*)\]"#)
    });
    let items = |text: &str| -> Vec<String> {
        text.split(',').map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()).collect()
    };
    let then: Vec<(String, Vec<String>)> = change
        .removed
        .iter()
        .filter_map(|line| LIST.captures(&line.text))
        .map(|list| (list[1].to_owned(), items(&list[2])))
        .collect();
    let less = |line: &&Line| {
        LIST.captures(&line.text).is_some_and(|list| {
            let now = items(&list[2]);
            let all = now.iter().any(|it| it.contains("ALL"));
            let gone = |old: &[String]| old.iter().any(|item| !now.contains(item));
            !all && then.iter().any(|(key, old)| *key == list[1] && gone(old))
        })
    };
    change.added.iter().filter(less).collect()
}

/// The table of a TOML file in which a line stands.
fn table_of<'t>(text: &'t str, line: &Line) -> &'t str {
    let before: Vec<&str> = text.lines().take(line.number as usize).collect();
    before.iter().rev().find(|it| it.trim_start().starts_with('[')).map_or("", |it| it.trim())
}

/// Benchmarks bring their own harness: nothing is loosened by saying so.
fn is_benchmark(manifest: &str, line: &Line) -> bool {
    table_of(manifest, line) == "[[bench]]"
}

fn is_manifest(name: &str) -> bool {
    matches!(
        name,
        "Cargo.toml"
            | "package.json"
            | "pyproject.toml"
            | "setup.cfg"
            | "pom.xml"
            | "build.gradle"
            | "build.gradle.kts"
    )
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
