//! Interference with the test runner: hooks, patched assertions, early exits, shadowed modules.
//!
//! Pure. Looks at added lines, and at files that runners load of themselves.

use std::sync::LazyLock;

use regex::Regex;

use crate::domain::evidence::Violation;
use crate::gate::change::{ChangeKind, Changed};
use crate::gate::finding::{Where, high, quote};
use crate::gate::logs::pattern;
use crate::gate::look::{Look, View};
use crate::gate::scan::{Language, is_test_path};

/// Added lines that interfere with the runner.
#[must_use]
pub fn interferes(look: &Look<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for view in look.views {
        in_file(look, view, &mut found);
    }
    found
}

/// Whether a Python module of this name is the repository's own.
fn is_ours(look: &Look<'_>, module: &str) -> bool {
    let file = format!("{module}.py");
    look.paths.iter().any(|path| path.split('/').any(|part| part == module || part == file))
}

/// Files that stand in for the runner, or that it obeys.
#[must_use]
pub fn shadows(look: &Look<'_>) -> Vec<Violation> {
    look.changes.iter().filter_map(shadow).collect()
}

/// Files that runners load of themselves.
pub(super) fn is_runner_hook(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    matches!(name, "conftest.py" | "sitecustomize.py" | "usercustomize.py" | "pytest.ini")
        || ["jest.config", "jest.setup", "vitest.config", "vitest.setup", ".mocharc", "karma.conf"]
            .iter()
            .any(|start| name.starts_with(start))
        || matches!(name, "setupTests.js" | "setupTests.ts")
}

static HOOKS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"def pytest_(?:collection_modifyitems|runtest_\w+|sessionfinish|ignore_collect|collect\w*|pyfunc_call|report\w*|deselected|itemcollected|configure|cmdline\w*|unconfigure|exception\w*|assertrepr\w*)|collect_ignore|session\.exitstatus|report\.outcome|\.outcome\s*=|excinfo|\bpython_(?:files|functions|classes)\b",
    )
});
/// A plugin's hooks work from any module that is named as one.
static PLUGIN: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^\s*(?:async )?def pytest_(?:collection_modifyitems|runtest_\w+|sessionfinish|ignore_collect|pyfunc_call|deselected|itemcollected|cmdline\w*|exception\w*)\(",
    )
});
/// What a fixture for every test may not do: skip it, or put a double in the place of what it tests.
static FOR_EVERY_TEST: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"pytest\.(?:skip|xfail|exit|importorskip)\(|add_marker\("));
static DOUBLE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"\b(?:setattr|patch|patch\.object|setitem)\(\s*["']?(\w+)"#));
/// A way to end well, whatever was found. Ending with a code that was counted hides nothing.
static ENDS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\b(?:exit|_exit|Exit|halt|reallyExit|quit)\(\s*(?:0|None|false)?\s*\)|process::abort\(|pytest\.exit\(|process\.exitCode\s*=\s*0|\bos\.kill\(|raise SystemExit\s*(?:\(\s*0?\s*\))?\s*$",
    )
});
/// What patches assertions or the runner, by language.
fn patches(language: Language) -> Option<&'static Regex> {
    static RUST: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"macro_rules!\s*(?:debug_)?(?:assert(?:_eq|_ne|_matches)?|panic|test)\b|\bas\s+(?:assert(?:_eq|_ne)?|test|panic)\s*[;,}]|panic::set_hook",
        )
    });
    static PYTHON: LazyLock<Regex> = LazyLock::new(|| {
        pattern(concat!(
            r"\bTestCase\.\w+\s*=[^=]|setattr\(\s*(?:unittest|pytest|builtins|\w*TestCase)|",
            r#"sys\.modules\[\s*["'](?:pytest|_pytest|unittest|sys|builtins)|"#,
            r"\b(?:pytest|unittest)\.\w+(?:\.\w+)*\s*=[^=]|atexit\.register|sys\.(?:excepthook|exit)\s*=[^=]|",
            r"\bbuiltins\.(?:exit|quit|__import__|isinstance|len|all|any)\s*=[^=]|def load_tests\(|",
            r"sys\.meta_path|globals\(\)(?:\.(?:clear|pop|update)\(|\[)|\bos\._exit\s*=[^=]",
        ))
    });
    static JAVASCRIPT: LazyLock<Regex> = LazyLock::new(|| {
        pattern(concat!(
            r"\b(?:global|globalThis|window)\.(?:it|test|describe|expect|assert|jest|vi|process)\s*=[^=]|",
            r"^\s*(?:expect|assert|it|test|describe)\s*=[^=>]|\bassert\.\w+\s*=[^=>]|",
            r"\bexpect\.extend\(|(?:const|let|var)\s+(?:it|test|describe|expect|assert)\s*=\s*(?:(?:async\s*)?\([^)]*\)\s*=>|function|new Proxy)|",
            r"function\s+(?:it|test|describe|expect|assert)\s*\(|process\.(?:exit|reallyExit)\s*=[^=]|process\.exitCode\s*=\s*0|",
            r#"process\.on\(\s*["'](?:exit|beforeExit|uncaughtException|unhandledRejection)|Object\.defineProperty\(\s*(?:assert|expect|globalThis|global)\b|"#,
            r"defineProperty\(\s*process\s*,|Object\.assign\(\s*(?:assert|expect)\b|Object\.is\s*=[^=]",
        ))
    });
    static GO: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"&testing\.T\{|new\(testing\.T\)|t\s*:?=\s*&?testing\.T\b"));
    static JAVA: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r"\b(?:class|interface)\s+Assert(?:ions)?\b|setSecurityManager|addShutdownHook")
    });
    static SHELL: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"^\s*(?:test|diff|cmp|grep|exit|cargo|pytest|node|npm|false)\s*\(\)|^\s*alias\s|^\s*trap\s",
        )
    });
    match language {
        Language::Rust => Some(&RUST),
        Language::Python => Some(&PYTHON),
        Language::JavaScript => Some(&JAVASCRIPT),
        Language::Go => Some(&GO),
        Language::Java => Some(&JAVA),
        Language::Shell => Some(&SHELL),
        Language::Other => None,
    }
}

fn in_file(look: &Look<'_>, view: &View<'_>, found: &mut Vec<Violation>) {
    let change = view.change;
    let hook_file = is_runner_hook(&change.path);
    let python = view.language == Language::Python;
    let every_test = hook_file && python && view.code.iter().any(|it| it.contains("autouse"));
    let shell = view.language == Language::Shell;
    let patches = patches(view.language);
    for line in &change.added {
        let (code, bare) = (view.code(line.number), view.bare(line.number));
        let test = view.new.is_test_line(line.number) || is_test_path(&change.path);
        let hook = (hook_file && HOOKS.is_match(code))
            || (python && PLUGIN.is_match(code))
            || (every_test && FOR_EVERY_TEST.is_match(code))
            || (every_test && DOUBLE.captures(code).is_some_and(|it| is_ours(look, &it[1])));
        let ends = test && !shell && ENDS.is_match(bare);
        let idle_main = view.language == Language::Go
            && bare.contains("func TestMain(")
            && !view.code.iter().any(|line| line.contains("m.Run()"));
        // A library may install hooks; tests and what runners load may not.
        let patched = (test || hook_file)
            && (!shell || is_test_path(&change.path))
            && patches.is_some_and(|it| it.is_match(code));
        let macros = view.language == Language::Rust
            && !test
            && bare.contains("macro_rules!")
            && patches.is_some_and(|it| it.is_match(bare));
        if hook || ends || patched || macros || idle_main {
            found.push(high(
                "runner_interfered",
                format!("the test runner is interfered with: {}", quote(&line.text)),
                Where::line(&change.path, line.number),
            ));
        }
    }
}

fn shadow(change: &Changed) -> Option<Violation> {
    let name = change.name();
    let parts: Vec<&str> = change.path.split('/').collect();
    let folder = |names: &[&str]| parts[..parts.len() - 1].iter().any(|part| names.contains(part));
    let module = matches!(
        name,
        "pytest.py"
            | "_pytest.py"
            | "unittest.py"
            | "sitecustomize.py"
            | "usercustomize.py"
            | "doctest.py"
    ) || std::path::Path::new(name).extension().is_some_and(|end| end == "pth");
    let package = folder(&["pytest", "_pytest", "unittest"]) && name == "__init__.py";
    let installed = folder(&["node_modules", "site-packages"]);
    let tool = matches!(
        name,
        "cargo"
            | "rustc"
            | "npm"
            | "npx"
            | "node"
            | "pytest"
            | "python"
            | "python3"
            | "go"
            | "make"
            | "mvn"
            | "jest"
            | "sh"
    );
    let obeyed = matches!(
        name,
        ".npmrc" | ".yarnrc" | ".yarnrc.yml" | ".pnpmfile.cjs" | ".envrc" | ".noderc" | "pip.conf"
    );
    let toolchain = matches!(name, "rust-toolchain" | "rust-toolchain.toml")
        && change.added.iter().any(|line| line.text.contains("path"));
    let what = if change.kind == ChangeKind::Deleted {
        return None;
    } else if module || package || installed || tool {
        format!("{} would stand in for what runs the checks", change.path)
    } else if obeyed || toolchain {
        format!("{} tells the tools that run the checks what to do", change.path)
    } else {
        return None;
    };
    Some(high("runner_shadowed", what, Where::file(&change.path)))
}
