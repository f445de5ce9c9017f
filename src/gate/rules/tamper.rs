//! Code that asks whether it is under test, and scripts changed so that a failure is hidden.
//!
//! Pure. Looks at added lines only.

use std::sync::LazyLock;

use regex::Regex;

use crate::domain::evidence::Violation;
use crate::gate::change::{Changed, Line};
use crate::gate::drift::cases::test_lines;
use crate::gate::finding::{Where, high, quote};
use crate::gate::logs::pattern;
use crate::gate::scan::{Language, Strings, code_of, is_test_path};

/// All of this file's rules over all changed files. `commands` are the ones that the gate runs: a
/// script that they name is held to more than any other.
#[must_use]
pub fn tamper(changes: &[Changed], commands: &[&str]) -> Vec<Violation> {
    let mut found = Vec::new();
    for change in changes {
        let named = commands.iter().any(|command| command.contains(change.name()));
        let code = code_of(&change.new, Language::of(&change.path), Strings::Keep);
        let code: Vec<&str> = code.lines().collect();
        asks_about_tests(change, &code, &mut found);
        hidden_characters(change, &mut found);
        if named || is_test_path(&change.path) || Language::of(&change.path) != Language::Shell {
            hides_failure(change, &code, &mut found);
        }
        ends_the_runner(change, &code, &mut found);
        build_script(change, &code, &mut found);
    }
    found
}

/// An added line as code: comments blanked.
fn as_code<'a>(code: &[&'a str], line: &Line) -> &'a str {
    code.get(line.number as usize - 1).copied().unwrap_or("")
}

fn asks_about_tests(change: &Changed, code: &[&str], found: &mut Vec<Violation>) {
    static RUST: LazyLock<Regex> = LazyLock::new(|| {
        pattern(concat!(
            r#"cfg!\(\s*(?:any\(|all\()?\s*(?:not\()?test\b|cfg(?:_attr)?\([^\]]*\bnot\(\s*test\s*\)|"#,
            r#"env(?:::var(?:_os)?)?\s*!?\(\s*"(?:CI|GITHUB_\w+|RUST_TEST\w*|NEXTEST\w*|CARGO_TARGET_TMPDIR|FOREMAN\w*)"|"#,
            r#"thread::current\(\)\s*\.name\(\)|current_exe\(\).*(?:test|deps)|"#,
            r#"args(?:_os)?\(\).*"--(?:test|nocapture|test-threads)"#,
        ))
    });
    static PYTHON: LazyLock<Regex> = LazyLock::new(|| {
        pattern(concat!(
            r#"PYTEST_\w+|["'](?:pytest|unittest|_pytest)["']\s*(?:not )?in\s+sys\.(?:modules|argv)|"#,
            r#"sys\.modules.*["'](?:pytest|unittest)|sys\.argv.*pytest|"#,
            r#"(?:environ(?:\.get)?|getenv)\s*[\[(]\s*["'](?:CI|TESTING|TEST|GITHUB_ACTIONS)["']|"#,
            r"inspect\.stack\(\).*test",
        ))
    });
    static JAVASCRIPT: LazyLock<Regex> = LazyLock::new(|| {
        pattern(concat!(
            r"process\.env\.(?:CI|JEST_WORKER_ID|VITEST\w*|NODE_TEST_CONTEXT|MOCHA\w*)\b|",
            r#"NODE_ENV\s*[!=]==?\s*["'`]test|["'`]test["'`]\s*[!=]==?\s*process\.env|"#,
            r#"typeof\s+(?:jest|describe|it|test|vi|expect|mocha)\b|import\.meta\.vitest|"#,
            r#"process\.env\[["'`](?:CI|JEST_WORKER_ID|VITEST)"#,
        ))
    });
    static GO: LazyLock<Regex> = LazyLock::new(|| {
        pattern(concat!(
            r#"testing\.Testing\(\)|flag\.Lookup\(\s*"test\.|os\.Args.*(?:\.test|-test\.)|"#,
            r#"os\.(?:Getenv|LookupEnv)\(\s*"(?:CI|GO_TEST\w*|TESTING)""#,
        ))
    });
    static JAVA: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r#"getenv\(\s*"(?:CI|TEST\w*)"|org\.junit.*(?:StackTrace|forName)|forName\(\s*"org\.junit|surefire"#,
        )
    });
    static SHELL: LazyLock<Regex> = LazyLock::new(|| pattern(r"\$\{?(?:CI|GITHUB_ACTIONS)\b"));
    let asks = match Language::of(&change.path) {
        Language::Rust => &RUST,
        Language::Python => &PYTHON,
        Language::JavaScript => &JAVASCRIPT,
        Language::Go => &GO,
        Language::Java => &JAVA,
        Language::Shell => &SHELL,
        Language::Other => return,
    };
    let tests = test_lines(&change.path, &change.new);
    for line in &change.added {
        let index = line.number as usize - 1;
        let in_test = tests.get(index).copied().unwrap_or(false);
        let here = as_code(code, line);
        let asked = asks.is_match(here)
            || (Language::of(&change.path) == Language::Rust && test_branch(code, index));
        if !in_test && asked {
            found.push(high(
                "asks_if_under_test",
                format!("the code asks whether it is under test: {}", quote(&line.text)),
                Where::line(&change.path, line.number),
            ));
        }
    }
}

/// `#[cfg(test)]` above a statement: the function does something else under test. Above an item
/// it is how helpers are written.
fn test_branch(code: &[&str], index: usize) -> bool {
    static ITEM: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"^(?:#!?\[|pub\b|mod\b|use\b|(?:async |const |unsafe |extern )*fn\b|impl\b|struct\b|enum\b|trait\b|static\b|const\b|type\b|macro_rules!|extern\b|\w+\s*:|\w+\s*[,({]|$)",
        )
    });
    let Some(rest) = code.get(index).and_then(|line| line.trim().strip_prefix("#[cfg(test)]"))
    else {
        return false;
    };
    let next = std::iter::once(rest)
        .chain(code.iter().skip(index + 1).copied())
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("");
    !ITEM.is_match(next) || next.starts_with("return") || next.starts_with("if ")
}

/// Scripts and runner settings whose exit code is what a check goes by.
fn is_script(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    Language::of(path) == Language::Shell
        || matches!(
            name.as_str(),
            "makefile"
                | "gnumakefile"
                | "justfile"
                | "package.json"
                | "tox.ini"
                | "noxfile.py"
                | "taskfile.yml"
                | "dockerfile"
                | "pyproject.toml"
                | "setup.cfg"
                | "cargo.toml"
                | "rakefile"
                | "build.gradle"
                | "build.gradle.kts"
                | "pom.xml"
        )
        || [".yml", ".yaml", ".mk"].iter().any(|end| name.ends_with(end))
}

fn hides_failure(change: &Changed, code: &[&str], found: &mut Vec<Violation>) {
    static HIDES: LazyLock<Regex> = LazyLock::new(|| {
        pattern(concat!(
            r"\|\|\s*(?:true|:|exit 0|echo|/bin/true)\b|\|\|\s*:|;\s*(?:true|exit 0)\s*[\x22']?,?\s*$|",
            r"^\s*set \+e|continue-on-error|--no-run\b|^\s*exit 0\s*$|ignoreFailures|",
            r"testFailureIgnore|skipTests|--passWithNoTests|--exit-zero|--no-fail\b|--collect-only|",
            r#""(?:test|lint|build)"\s*:\s*"\s*(?:echo|true|:|exit 0|node -e)|^-\t|^\t-\S|\.IGNORE:"#,
        ))
    });
    // A target or script whose whole work is to say something.
    static NAMES_TEST: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^(?:test|check|lint|build|ci)\s*:"));
    static SAYS_ONLY: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^\s*@?-?\s*(?:echo|printf|true|:|exit 0)\b?"));
    if !is_script(&change.path) && !is_runner_hook(&change.path) {
        return;
    }
    let gone = change.removed.iter().filter(|line| HIDES.is_match(&line.text)).count();
    let added = change.added.iter().filter(|line| HIDES.is_match(as_code(code, line)));
    let mut hits: Vec<&Line> = added.skip(gone).collect();
    let target = |index: usize| {
        code.iter()
            .take(index)
            .rev()
            .find(|line| !line.starts_with(['\t', ' ']) && !line.is_empty())
    };
    for line in &change.added {
        let index = line.number as usize - 1;
        let of_test = target(index).is_some_and(|head| NAMES_TEST.is_match(head));
        if change.name().to_ascii_lowercase().contains("makefile")
            && line.text.starts_with('\t')
            && of_test
            && SAYS_ONLY.is_match(line.text.trim_start())
            && !change.removed.is_empty()
        {
            hits.push(line);
        }
    }
    hits.dedup_by_key(|line| line.number);
    for line in hits {
        found.push(high(
            "hides_failure",
            format!("a failure could be hidden: {}", quote(&line.text)),
            Where::line(&change.path, line.number),
        ));
    }
    commands_replaced(change, found);
}

/// In `package.json`, a changed test, lint or build script: what the checks run is not theirs to say.
fn commands_replaced(change: &Changed, found: &mut Vec<Violation>) {
    static SCRIPT: LazyLock<Regex> =
        LazyLock::new(|| pattern(r#"^\s*"((?:pre|post)?(?:test|lint|build|check)(?::\w+)?)"\s*:"#));
    if change.name() != "package.json" || change.old.is_empty() {
        return;
    }
    for line in &change.removed {
        let Some(script) = SCRIPT.captures(&line.text) else { continue };
        let name = &script[1];
        let now = change.added.iter().find(|new| new.text.contains(&format!("\"{name}\"")));
        let same = now.is_some_and(|new| {
            new.text.trim().trim_end_matches(',') == line.text.trim().trim_end_matches(',')
        });
        if !same {
            found.push(high(
                "hides_failure",
                format!("the script `{name}` that the checks run was changed"),
                Where::line(&change.path, now.map_or(line.number, |new| new.number)),
            ));
        }
    }
}

/// Files that runners load of themselves.
fn is_runner_hook(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    matches!(name, "conftest.py" | "sitecustomize.py" | "usercustomize.py" | "pytest.ini")
        || ["jest.config", "jest.setup", "vitest.config", "vitest.setup", ".mocharc", "karma.conf"]
            .iter()
            .any(|start| name.starts_with(start))
}

/// Characters that make code read otherwise than it runs.
fn hidden_characters(change: &Changed, found: &mut Vec<Violation>) {
    let hidden = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if change.binary {
        return;
    }
    if let Some(line) = change.added.iter().find(|line| line.text.contains(hidden)) {
        found.push(high(
            "hidden_characters",
            "the line holds bidirectional control characters",
            Where::line(&change.path, line.number),
        ));
    }
}

fn ends_the_runner(change: &Changed, code: &[&str], found: &mut Vec<Violation>) {
    static ENDS: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"process::(?:exit|abort)\(|\bos\._exit\(|\bsys\.exit\(|\bprocess\.exit\(|\bos\.Exit\(|pytest\.exit\(|System\.exit\(|process\.exitCode\s*=|\bexit\(0\)",
        )
    });
    // A failure can't be hidden by failing; Go's TestMain hands on what its tests say.
    static FAILS: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)exit\(\s*(?:[1-9]|m\.Run\(\))"));
    static HOOKS: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"def pytest_(?:collection_modifyitems|runtest_\w+|sessionfinish|ignore_collect|collect\w*|pyfunc_call|report\w*|deselected|itemcollected)|collect_ignore|session\.exitstatus|report\.outcome|\.outcome\s*=|excinfo|\bpython_(?:files|functions|classes)\b",
        )
    });
    let tests = test_lines(&change.path, &change.new);
    let blank = code_of(&change.new, Language::of(&change.path), Strings::Blank);
    let blank: Vec<&str> = blank.lines().collect();
    for line in &change.added {
        let here = as_code(code, line);
        let bare = as_code(&blank, line);
        let in_test = tests.get(line.number as usize - 1).copied().unwrap_or(false);
        let hook = is_runner_hook(&change.path) && HOOKS.is_match(here);
        let script = Language::of(&change.path) == Language::Shell;
        if hook || (in_test && !script && ENDS.is_match(bare) && !FAILS.is_match(bare)) {
            found.push(high(
                "hides_failure",
                format!("the test runner is interfered with: {}", quote(&line.text)),
                Where::line(&change.path, line.number),
            ));
        }
    }
}

fn build_script(change: &Changed, code: &[&str], found: &mut Vec<Violation>) {
    static REACHES: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"cargo::?(?:rustc-cfg|rustc-env|rustc-flags|rustc-link-arg|rustc-check-cfg)|Command::new|fs::(?:write|remove\w*|rename|copy|set_permissions|OpenOptions)|File::create|process::exit|CARGO_MANIFEST_DIR",
        )
    });
    if change.name() != "build.rs" || is_test_path(&change.path) {
        return;
    }
    let uses_out_dir = change.new.contains("OUT_DIR");
    for line in &change.added {
        let here = as_code(code, line);
        let writes_out =
            uses_out_dir && (here.contains("fs::write") || here.contains("File::create"));
        if REACHES.is_match(here) && !writes_out {
            found.push(high(
                "build_script",
                format!("a build script that can hide a failure: {}", quote(&line.text)),
                Where::line(&change.path, line.number),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(path: &str, old: &str, new: &str) -> Vec<String> {
        let old = (!old.is_empty()).then_some(old);
        tamper(&[Changed::text(path, None, old, Some(new))], &["sh test.sh"])
            .into_iter()
            .map(|violation| violation.kind)
            .collect()
    }

    #[test]
    fn code_that_asks() {
        for (path, line) in [
            ("src/lib.rs", "if cfg!(test) { return 3; }"),
            ("src/lib.rs", "#[cfg(not(test))]\nfn real() {}"),
            ("src/lib.rs", "fn f() {\n    #[cfg(test)]\n    return 3;\n}"),
            ("src/lib.rs", "if std::env::var(\"CI\").is_ok() {}"),
            ("src/lib.rs", "if std::thread::current().name() == Some(\"adds\") {}"),
            ("a.py", "if 'pytest' in sys.modules: return 3"),
            ("a.py", "if os.environ.get(\"PYTEST_CURRENT_TEST\"): return 3"),
            ("a.js", "if (process.env.NODE_ENV === 'test') return 3;"),
            ("a.ts", "if (process.env.JEST_WORKER_ID) return 3;"),
            ("a.js", "if (typeof describe === 'function') return 3;"),
            ("a.go", "if testing.Testing() { return 3 }"),
            ("a.sh", "if [ -n \"$CI\" ]; then echo 3; fi"),
        ] {
            assert_eq!(kinds(path, "", line), ["asks_if_under_test"], "{path}: {line}");
        }
    }

    #[test]
    fn code_that_does_not() {
        for (path, line) in [
            ("src/lib.rs", "#[cfg(test)]\nmod tests {\n    use super::*;\n}"),
            ("src/lib.rs", "#[cfg(test)]\nfn helper() {}"),
            ("src/lib.rs", "// cfg!(test) is not used"),
            ("tests/a.rs", "let ci = std::env::var(\"CI\");"),
            ("a.py", "mode = os.environ.get('MODE')"),
            ("a.js", "const latest = process.env.LATEST;"),
        ] {
            assert!(kinds(path, "", line).is_empty(), "{path}: {line}");
        }
    }

    #[test]
    fn failures_hidden() {
        for (path, old, new) in [
            ("Makefile", "test:\n\tcargo test\n", "test:\n\tcargo test || true\n"),
            ("Makefile", "test:\n\tcargo test\n", "test:\n\t@echo ok\n"),
            ("Makefile", "test:\n\tcargo test\n", "test:\n\t-cargo test\n"),
            ("test.sh", "set -e\n./a\n", "set +e\n./a\n"),
            ("test.sh", "./a\n", "./a\nexit 0\n"),
            ("ci/x.yml", "a: 1\n", "a: 1\ncontinue-on-error: true\n"),
            ("package.json", "\"test\": \"jest\"\n", "\"test\": \"jest src\"\n"),
            ("conftest.py", "", "def pytest_collection_modifyitems(items):\n    items.clear()\n"),
            ("tests/test_a.py", "", "import os\nos._exit(0)\n"),
            ("tests/a.rs", "", "#[test]\nfn a() {\n    std::process::exit(0);\n}\n"),
        ] {
            let found = kinds(path, old, new);
            assert_eq!(found.first().map(String::as_str), Some("hides_failure"), "{path}: {new}");
        }
        let build = "fn main() { std::fs::remove_file(\"tests/a.rs\"); }";
        assert_eq!(kinds("build.rs", "", build), ["build_script"]);
    }

    #[test]
    fn scripts_may_change() {
        assert!(
            kinds("Makefile", "test:\n\tcargo test\n", "test:\n\tcargo test\ndocs:\n\tcargo doc\n")
                .is_empty()
        );
        assert!(kinds("package.json", "\"version\": \"1\"\n", "\"version\": \"2\"\n").is_empty());
        assert!(kinds("run.sh", "./a\n", "./a || true\nexit 0\n").is_empty());
        assert_eq!(kinds("src/a.rs", "", "// \u{202e} x\n"), ["hidden_characters"]);
        let build =
            "fn main() {\n    let out = env(\"OUT_DIR\");\n    std::fs::write(out, \"\");\n}";
        assert!(kinds("build.rs", "", build).is_empty());
        assert!(
            kinds("a_test.go", "", "func TestMain(m *testing.M) { os.Exit(m.Run()) }").is_empty()
        );
        assert!(kinds("src/main.rs", "", "fn main() { std::process::exit(1); }").is_empty());
    }
}
