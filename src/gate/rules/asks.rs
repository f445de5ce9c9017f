//! Code that asks whether it is under test, and so behaves for its judge.
//!
//! Pure. Looks at added lines that are not test code; comments aside.

use std::sync::LazyLock;

use regex::Regex;

use crate::domain::evidence::Violation;
use crate::gate::finding::{Where, high, quote};
use crate::gate::logs::pattern;
use crate::gate::look::{Look, View};
use crate::gate::scan::Language;

static RUST: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r#"cfg!\(\s*(?:any\(|all\()?\s*(?:not\()?test\b|cfg(?:_attr)?\([^\]]*\bnot\(\s*test\s*\)|"#,
        r#"\benv(?:::var(?:_os)?)?\s*!?\(\s*"(?:CI|GITHUB_\w+|RUST_TEST\w*|NEXTEST\w*|CARGO_TARGET_TMPDIR|FOREMAN\w*)"|"#,
        r#"env::var(?:_os)?\(\s*"CARGO(?:_\w+)?"|"#,
        r#"thread::current\(\)\s*\.name\(\)|current_exe\(\).*(?:test|deps)|"#,
        r#"args(?:_os)?\(\).*"--(?:test|nocapture|test-threads)"|Backtrace::\w*capture\(\).*test"#,
    ))
});
static PYTHON: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r#"PYTEST_\w+|["'](?:pytest|unittest|_pytest)["']\s*(?:not )?in\s+sys\.(?:modules|argv)|"#,
        r#"sys\.modules.*["'](?:pytest|unittest)|sys\.argv.*(?:pytest|\btest)|_called_from_test|"#,
        r#"(?:environ(?:\.get)?|getenv)\s*[\[(]\s*["'](?:CI|TESTING|TEST|GITHUB_ACTIONS|FOREMAN\w*|TOX_\w+)["']|"#,
        r#"(?:inspect\.stack|_getframe|extract_stack|currentframe)\(.*\btest|["']_?pytest["']|find_spec\(\s*["']unittest"#,
    ))
});
static JAVASCRIPT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"process\.env\.(?:CI|FOREMAN\w*|npm_lifecycle_event)\b|",
        r"\b(?:JEST_WORKER_ID|VITEST(?:_\w+)?|NODE_TEST_CONTEXT|MOCHA_\w+)\b|",
        r#"NODE_ENV\b["'`\]]*\s*[!=]==?\s*["'`]test|["'`]test["'`]\s*[!=]==?\s*process\.env|"#,
        r#"typeof\s+(?:jest|describe|it|test|vi|expect|mocha)\b|import\.meta\.vitest|"#,
        r#"process\.env\[["'`](?:CI|FOREMAN)|(?:process\.(?:argv|execArgv)|\.stack|main\.filename)\b.*["'`/].*\b(?:test|jest|mocha)\b|"#,
        r#"global(?:This)?\.(?:describe|it|jest|expect)\b|["'](?:describe|jest|expect)["']\s+in\s+global"#,
    ))
});
static GO: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r#"testing\.Testing\(\)|flag\.Lookup\(\s*"test\.|os\.Args.*(?:\.test|-test\.)|^\s*(?:import\s+)?"testing"|"#,
        r#"os\.(?:Getenv|LookupEnv)\(\s*"(?:CI|GO_TEST\w*|TESTING|FOREMAN\w*)""#,
    ))
});
static JAVA: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"getenv\(\s*"(?:CI|TEST\w*|FOREMAN\w*)"|(?:StackTrace|forName|java\.class\.path).*(?:junit|Test)|"org\.junit|surefire"#,
    )
});
static SHELL: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\$\{?(?:CI|GITHUB_ACTIONS|FOREMAN\w*|PYTEST_\w+)\b"));

/// Added code that asks whether it is under test.
#[must_use]
pub fn asks(look: &Look<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for view in look.views {
        let asks = match view.language {
            Language::Rust => &RUST,
            Language::Python if !is_packaging(view.change.name()) => &PYTHON,
            Language::JavaScript => &JAVASCRIPT,
            Language::Go => &GO,
            Language::Java => &JAVA,
            Language::Shell => &SHELL,
            Language::Python | Language::Other => continue,
        };
        in_file(view, asks, &mut found);
    }
    found
}

/// Files that name test runners in order to install or run them.
fn is_packaging(name: &str) -> bool {
    matches!(name, "setup.py" | "noxfile.py" | "tasks.py" | "conf.py")
}

fn in_file(view: &View<'_>, asks: &Regex, found: &mut Vec<Violation>) {
    for line in &view.change.added {
        let code = view.code(line.number);
        let build_script = view.change.name() == "build.rs" && code.contains("CARGO");
        // A crate without the standard library has it in its tests.
        let no_std = code.contains("no_std");
        let asked = (asks.is_match(code) && !build_script && !no_std)
            || (view.language == Language::Rust && test_branch(view, line.number));
        if asked && !view.new.is_test_line(line.number) {
            found.push(high(
                "asks_if_under_test",
                format!("the code asks whether it is under test: {}", quote(&line.text)),
                Where::line(&view.change.path, line.number),
            ));
        }
    }
}

/// `#[cfg(test)]` above a statement: the function does something else under test. Above an item
/// it is how helpers are written.
fn test_branch(view: &View<'_>, number: u32) -> bool {
    static ITEM: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"^(?:#!?\[|pub\b|mod\b|use\b|(?:async |const |unsafe |extern )*fn\b|impl\b|struct\b|enum\b|trait\b|static\b|const\b|type\b|macro_rules!|extern\b|\w+\s*:|\w+\s*[,({]|$)",
        )
    });
    let Some(rest) = view.code(number).trim().strip_prefix("#[cfg(test)]") else { return false };
    let below = view.code.iter().skip(number as usize).map(String::as_str);
    let next =
        std::iter::once(rest).chain(below).map(str::trim).find(|it| !it.is_empty()).unwrap_or("");
    !ITEM.is_match(next) || next.starts_with("return") || next.starts_with("if ")
}
