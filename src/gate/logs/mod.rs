//! Reading what a command printed: how many tests ran, which failed, which warnings came.
//!
//! Pure. Knows the runners in `tests` and the tools in `warnings`; anything else is said to be of
//! an unknown format, never guessed.

pub mod tests;
pub mod warnings;

pub use tests::{TestReport, read_tests};
pub use warnings::{LintFinding, read_findings};

use std::sync::{Arc, LazyLock};

use regex::Regex;
use regex::bytes::RegexSet;

/// Compiles a pattern written in this source.
pub(crate) fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern in our own source, tried by the tests")
}

static ANSI: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()*+].|\x1b.")
});

/// The text without colours and cursor movements, with plain line ends.
#[must_use]
pub fn plain(text: &str) -> String {
    let text = ANSI.replace_all(text, "");
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// Patterns of the lines that any of our readers looks at, colours before them or not: of a log
/// that is too long to be kept, these are.
#[must_use]
pub fn telling_lines() -> Arc<RegexSet> {
    const TELLING: [&str; 24] = [
        r"running \d+ tests?",
        r"test .+ \.\.\. ",
        r"test result: ",
        r"=*.* in [\d.]+s",
        r"(?:FAILED|ERROR|FAIL|OK)(?:\W|$)",
        r"\S+::\S+ (?:PASSED|FAILED|SKIPPED)",
        r"(?:Ran \d+ tests?|NO TESTS RAN)",
        r"Tests:? ",
        r"(?:● |✖ |× )",
        r"No tests? (?:files )?found",
        r"\d+ (?:passing|failing|pending)",
        r"\d+\) ",
        r"(?:#|ℹ) (?:tests|pass|fail|cancelled|skipped|todo) \d+",
        r"(?:not )?ok\b",
        r"1\.\.\d+",
        r"Bail out!",
        r"--- (?:PASS|FAIL|SKIP): ",
        r"\?   \t",
        r".*(?:Tests run: |\] No tests to run)",
        r".*</?(?:testsuites?|testcase|failure|error|skipped)\b",
        r"(?:warning|error)\b",
        r"--> ",
        r"[\w./@+-]+\.\w+(?::\d+|\(\d+,\d+\)): ",
        r"\d+:\d+\s+(?:warning|error)",
    ];
    static SET: LazyLock<Arc<RegexSet>> = LazyLock::new(|| {
        let anchored = TELLING.map(|it| format!(r"^(?:\x1b\[[0-9;?]*[A-Za-z]|\s)*{it}"));
        Arc::new(RegexSet::new(anchored).expect("patterns in our own source"))
    });
    Arc::clone(&SET)
}

static UNREACHABLE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"(?i)failed to download|no matching package named|could not resolve host|",
        r"--offline was specified|ENOTFOUND|EAI_AGAIN|ENOTCACHED|No matching distribution found|",
        r"dial tcp: lookup|Temporary failure in name resolution|",
        r"Cannot access .* in offline mode|No cached version of",
    ))
});

/// The line that says a package could not be reached, if any.
#[must_use]
pub fn unreachable_dependency(text: &str) -> Option<&str> {
    text.lines().find(|line| UNREACHABLE.is_match(line)).map(str::trim)
}

static MISSING: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"error: no such command: `|is not installed for the toolchain|",
        r"No module named (?:pytest|unittest|mypy|ruff)\b",
    ))
});

static NOT_FOUND: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?:^|: )(?:command )?not found\s*$|env: .*No such file or directory")
});

/// The line that says the tool itself is not on this machine. `not_found`: the shell's own exit
/// code said so; without it a line that ends in "not found" may be about anything.
#[must_use]
pub fn missing_tool(text: &str, not_found: bool) -> Option<&str> {
    let says = |line: &&str| MISSING.is_match(line) || (not_found && NOT_FOUND.is_match(line));
    text.lines().rev().take(40).find(says).map(str::trim)
}

/// The last lines of a log, for people: at most `lines` and `bytes`.
#[must_use]
pub fn tail(text: &str, lines: usize, bytes: usize) -> String {
    let all: Vec<&str> = text.trim_end().lines().collect();
    let mut kept: Vec<&str> = Vec::new();
    let mut size = 0;
    for line in all.iter().rev().take(lines) {
        size += line.len() + 1;
        if size > bytes {
            break;
        }
        kept.push(line);
    }
    kept.reverse();
    kept.join("\n")
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn colours_go() {
        assert_eq!(plain("ok\x1b(B\x1b[m"), "ok");
        assert_eq!(plain("\x1b[1m\x1b[31merror\x1b[0m: x\r\ny\x1b]0;t\x07z"), "error: x\nyz");
    }

    #[test]
    fn what_is_missing() {
        assert!(missing_tool("error: no such command: `clippy`", false).is_some());
        assert!(missing_tool("sh: 1: pytest: not found", true).is_some());
        assert!(missing_tool("test user: not found", false).is_none());
        assert!(unreachable_dependency("npm ERR! code ENOTFOUND").is_some());
    }

    #[test]
    fn the_tail_is_bounded() {
        assert_eq!(tail("a\nb\nc\n", 2, 100), "b\nc");
        assert_eq!(tail("aaaa\nbbbb\n", 9, 6), "bbbb");
    }
}
