//! Compiler and linter findings in a log, and which of them are new.
//!
//! Pure. A finding is known by tool, message and file, not by line: lines move.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

use super::pattern;

/// One warning or lint error.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LintFinding {
    pub tool: String,
    /// The tool's code with its message, as far as it prints them.
    pub message: String,
    pub file: String,
    pub line: u32,
    pub column: u32,
}

impl LintFinding {
    /// What it is compared by.
    #[must_use]
    pub fn key(&self) -> (&str, &str, &str) {
        (&self.tool, &self.message, &self.file)
    }
}

impl std::fmt::Display for LintFinding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {} ({})", self.file, self.line, self.message, self.tool)
    }
}

/// Reads a log that `plain` has cleaned; each place once.
#[must_use]
pub fn read_findings(text: &str) -> BTreeSet<LintFinding> {
    let mut found = BTreeSet::new();
    rustc(text, &mut found);
    eslint(text, &mut found);
    one_line(text, &mut found);
    found
}

/// Findings of `now` that `before` did not have, each message of a file counted by its places.
/// `former` gives a file's name on the base where it was renamed.
#[must_use]
pub fn new_findings<'a>(
    now: &'a BTreeSet<LintFinding>,
    before: &BTreeSet<LintFinding>,
    former: impl Fn(&str) -> Option<String>,
) -> Vec<&'a LintFinding> {
    let mut known: BTreeMap<(String, String, String), usize> = BTreeMap::new();
    for finding in before {
        *known.entry(owned(finding.key())).or_default() += 1;
    }
    let mut fresh = Vec::new();
    for finding in now {
        let old_name = former(&finding.file);
        let (tool, message, file) = finding.key();
        let mut spend = |file: &str| {
            known.get_mut(&owned((tool, message, file))).is_some_and(|left| {
                let some = *left > 0;
                *left = left.saturating_sub(1);
                some
            })
        };
        if !spend(file) && !old_name.as_deref().is_some_and(&mut spend) {
            fresh.push(finding);
        }
    }
    fresh
}

fn owned((tool, message, file): (&str, &str, &str)) -> (String, String, String) {
    (tool.to_owned(), message.to_owned(), file.to_owned())
}

fn finding(tool: &str, message: &str, file: &str, line: &str, column: &str) -> LintFinding {
    LintFinding {
        tool: tool.to_owned(),
        message: message.trim().to_owned(),
        file: file.trim_start_matches("./").to_owned(),
        line: line.parse().unwrap_or(0),
        column: column.parse().unwrap_or(0),
    }
}

/// `warning: message` (or an error) with `  --> file:line:column` below it.
fn rustc(text: &str, found: &mut BTreeSet<LintFinding>) {
    static HEAD: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^(?:warning|error)(?:\[([A-Za-z0-9_:]+)\])?: (.+)$"));
    // ruff begins with the rule: `F401 [*] message`.
    static RULE: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^([A-Z]{1,4}\d{3,4}) (?:\[\*\] )?(.+)$"));
    static PLACE: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\s*--> (.+?):(\d+):(\d+)$"));
    let (mut head, mut tool): (Option<String>, &str) = (None, "rustc");
    for line in text.lines() {
        if let Some(begins) = HEAD.captures(line) {
            let code = begins.get(1).map(|code| format!("{}: ", code.as_str()));
            head = Some(format!("{}{}", code.unwrap_or_default(), &begins[2]));
            tool = "rustc";
        } else if let Some(begins) = RULE.captures(line) {
            head = Some(format!("{}: {}", &begins[1], &begins[2]));
            tool = "ruff";
        } else if let Some(place) = PLACE.captures(line) {
            if let Some(message) = head.take() {
                found.insert(finding(tool, &message, &place[1], &place[2], &place[3]));
            }
        } else if line.trim().is_empty() {
            head = None;
        }
    }
}

/// `ESLint`'s default: the file on its own line, then `  3:5  warning  message  rule`.
fn eslint(text: &str, found: &mut BTreeSet<LintFinding>) {
    static ROW: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^\s+(\d+):(\d+)\s+(?:warning|error)\s+(.+?)\s{2,}(\S+)\s*$"));
    static FILE: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^(\S+\.(?:[cm]?[jt]sx?|vue|svelte))$"));
    let mut file = None;
    for line in text.lines() {
        if let Some(name) = FILE.captures(line) {
            file = Some(name[1].to_owned());
        } else if let (Some(file), Some(row)) = (&file, ROW.captures(line)) {
            let message = format!("{}: {}", &row[4], &row[3]);
            found.insert(finding("eslint", &message, file, &row[1], &row[2]));
        }
    }
}

/// `file:line:column: message` (ruff, flake8, mypy, go vet, gcc) and `file(line,column): error TS…`.
fn one_line(text: &str, found: &mut BTreeSet<LintFinding>) {
    static COLONS: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r"^(?:vet: )?([\w./@+-]+\.\w+):(\d+)(?::(\d+))?: (?:(?:error|warning): )?(.+)$")
    });
    static TSC: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^([\w./@+-]+\.\w+)\((\d+),(\d+)\): (?:error|warning) (.+)$"));
    for line in text.lines() {
        if let Some(row) = TSC.captures(line) {
            found.insert(finding("tsc", &row[4], &row[1], &row[2], &row[3]));
        } else if let Some(row) = COLONS.captures(line).filter(|row| !row[4].starts_with("note:")) {
            let column = row.get(3).map_or("", |column| column.as_str());
            found.insert(finding("linter", &row[4], &row[1], &row[2], column));
        }
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    const RUSTC: &str = "warning: unused variable: `a`\n --> src/lib.rs:2:9\n  |\n2 | let a = 1;\n\n\
         warning: `x` (lib) generated 1 warning\nerror[E0425]: cannot find value `z`\n  --> src/m.rs:1:1\n";

    #[test]
    fn rustc_findings_have_places() {
        let found: Vec<_> = read_findings(RUSTC).into_iter().collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].message, "E0425: cannot find value `z`");
        assert_eq!((found[1].file.as_str(), found[1].line), ("src/lib.rs", 2));
    }

    #[test]
    fn a_moved_warning_is_old_and_a_second_one_is_new() {
        let before = read_findings("warning: unused `a`\n --> src/lib.rs:2:9\n");
        let moved = read_findings("warning: unused `a`\n --> src/lib.rs:7:9\n");
        assert!(new_findings(&moved, &before, |_| None).is_empty());
        let twice = read_findings(
            "warning: unused `a`\n --> a.rs:2:9\n\nwarning: unused `a`\n --> a.rs:4:9\n",
        );
        let once = read_findings("warning: unused `a`\n --> a.rs:2:9\n");
        assert_eq!(new_findings(&twice, &once, |_| None).len(), 1);
        let renamed = new_findings(&moved, &once, |_| Some("a.rs".to_owned()));
        assert!(renamed.is_empty());
    }

    #[test]
    fn other_tools() {
        let text = "src/a.py:3:1: F401 `os` imported but unused\n./x.go:4:2: unreachable code\n\
             a.ts(1,7): error TS2322: no\nsrc/b.js\n  3:5  warning  'x' is never used  no-unused-vars\n";
        let found = read_findings(text);
        let tools: Vec<_> =
            found.iter().map(|one| (one.tool.as_str(), one.file.as_str())).collect();
        assert_eq!(
            tools,
            [("eslint", "src/b.js"), ("linter", "src/a.py"), ("linter", "x.go"), ("tsc", "a.ts")]
        );
    }
}
