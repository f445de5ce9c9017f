//! JavaScript's test runners: jest, vitest, mocha and node's own.
//!
//! Pure.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use super::{TestReport, count, number, pattern, report, tap_name};

pub(super) fn jest(text: &str) -> Option<TestReport> {
    let mut found = report("jest");
    let mut seen = text.contains("No tests found, exiting");
    for line in text.lines() {
        if let Some(counts) = line.strip_prefix("Tests:") {
            seen = true;
            found.passed += count(counts, &["passed"]);
            found.failed += count(counts, &["failed"]);
            found.skipped += count(counts, &["skipped", "todo", "pending"]);
        } else if let Some(name) = line.trim_start().strip_prefix("● ") {
            found.failing.push(name.trim().to_owned());
        }
    }
    seen.then_some(found)
}

pub(super) fn vitest(text: &str) -> Option<TestReport> {
    static SUMMARY: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r"^\s*Tests\s{2,}((?:\d+ [a-z]+(?: \| )?)+)\s*\(\d+\)|^\s*(No test files found)")
    });
    static BAD: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\s*FAIL\s+(\S+ > .+)$"));
    let mut found = report("vitest");
    let mut seen = false;
    for line in text.lines() {
        if let Some(summary) = SUMMARY.captures(line) {
            seen = true;
            let counts = summary.get(1).map_or("", |counts| counts.as_str());
            found.passed += count(counts, &["passed"]);
            found.failed += count(counts, &["failed"]);
            found.skipped += count(counts, &["skipped", "todo"]);
        } else if let Some(bad) = BAD.captures(line) {
            found.failing.push(bad[1].trim().to_owned());
        }
    }
    seen.then_some(found)
}

pub(super) fn mocha(text: &str) -> Option<TestReport> {
    static COUNT: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^\s+(\d+) (passing|failing|pending)\b(?: \(.*\))?$"));
    static BAD: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\s+\d+\) (.+?):?$"));
    let mut found = report("mocha");
    let mut seen = false;
    for line in text.lines() {
        if let Some(counts) = COUNT.captures(line) {
            let amount = number(&counts, 1);
            match &counts[2] {
                "passing" => {
                    seen = true;
                    found.passed += amount;
                }
                "failing" => found.failed += amount,
                _ => found.skipped += amount,
            }
        } else if let Some(bad) = BAD.captures(line) {
            found.failing.push(bad[1].to_owned());
        }
    }
    seen.then_some(found)
}

pub(super) fn node(text: &str) -> Option<TestReport> {
    static COUNT: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^(?:#|ℹ) (tests|pass|fail|cancelled|skipped|todo) (\d+)$"));
    // A file that registers no test counts as one that passed: names tell it from the real ones.
    static PASSED: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r"^\s*(?:ok \d+ - (.+?)|✔ (.+?) \([\d.]+ms\))(?: # (?:SKIP|TODO).*)?$")
    });
    let mut found = report("node");
    let (mut seen, mut suites, mut last) = (false, BTreeSet::new(), None::<String>);
    for line in text.lines() {
        if let Some(counts) = COUNT.captures(line) {
            let amount = number(&counts, 2);
            match &counts[1] {
                "tests" => seen = true,
                "pass" => found.passed += amount,
                "fail" | "cancelled" => found.failed += amount,
                _ => found.skipped += amount,
            }
        }
        let bare = line.trim_start();
        if let Some(name) = bare.strip_prefix("✖ ").filter(|name| *name != "failing tests:") {
            found.failing.push(name.to_owned());
        } else if let Some(name) = bare.strip_prefix("not ok ") {
            found.failing.push(tap_name(name).to_owned());
        } else if let Some(passed) = PASSED.captures(line).filter(|_| !line.contains("# SKIP")) {
            let name = passed.get(1).or(passed.get(2)).map_or("", |name| name.as_str());
            last = Some(name.to_owned());
            found.names.insert(name.to_owned());
        } else if let Some(suite) = bare.strip_prefix("▶ ") {
            suites.insert(suite.split(" (").next().unwrap_or(suite).to_owned());
        } else if bare == "type: 'suite'" {
            suites.extend(last.take());
        }
    }
    // A suite is named after what it tests: only tests are looked for again.
    found.names.retain(|name| !suites.contains(name));
    seen.then_some(found)
}
