//! Java's test reports: Maven's surefire and `JUnit` XML.
//!
//! Pure.

use std::sync::LazyLock;

use regex::Regex;

use super::{TestReport, number, pattern, report};

pub(super) fn surefire(text: &str) -> Option<TestReport> {
    static TOTAL: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r"Tests run: (\d+), Failures: (\d+), Errors: (\d+), Skipped: (\d+)\s*$")
    });
    static BAD: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\[ERROR\]\s+([A-Z]\w*[.#]\w+)[:( ]"));
    let total = text.lines().filter_map(|line| TOTAL.captures(line)).next_back()?;
    let mut found = report("surefire");
    found.failed = number(&total, 2) + number(&total, 3);
    found.skipped = number(&total, 4);
    found.passed = number(&total, 1).saturating_sub(found.failed + found.skipped);
    found.failing =
        text.lines().filter_map(|line| BAD.captures(line)).map(|bad| bad[1].to_owned()).collect();
    Some(found)
}

/// What `JUnitCore` itself prints, without a build tool.
pub(super) fn junit_core(text: &str) -> Option<TestReport> {
    static GOOD: LazyLock<Regex> = LazyLock::new(|| pattern(r"^OK \((\d+) tests?\)$"));
    static BAD: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^Tests run: (\d+),  Failures: (\d+)$"));
    static NAME: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\d+\) (\w+)\(([\w.]+)\)$"));
    let mut found = report("junit4");
    let mut seen = false;
    for line in text.lines() {
        if let Some(good) = GOOD.captures(line) {
            seen = true;
            found.passed += number(&good, 1);
        } else if let Some(bad) = BAD.captures(line) {
            seen = true;
            found.failed += number(&bad, 2);
            found.passed += number(&bad, 1).saturating_sub(number(&bad, 2));
        } else if let Some(name) = NAME.captures(line) {
            found.failing.push(name[1].to_owned());
        }
    }
    seen.then_some(found)
}

pub(super) fn junit(text: &str) -> Option<TestReport> {
    static SUITE: LazyLock<Regex> = LazyLock::new(|| pattern(r"<testsuite\b[^>]*>"));
    static FIELD: LazyLock<Regex> =
        LazyLock::new(|| pattern(r#"\b(tests|failures|errors|skipped|disabled)="(\d+)""#));
    static BAD: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r#"<testcase\b[^>]*?\bname="([^"]*)"[^>]*[^/]>\s*<(?:failure|error)\b"#)
    });
    let mut found = report("junit");
    let (mut seen, mut tests) = (false, 0);
    for suite in SUITE.find_iter(text) {
        seen = true;
        for field in FIELD.captures_iter(suite.as_str()) {
            match &field[1] {
                "tests" => tests += number(&field, 2),
                "failures" | "errors" => found.failed += number(&field, 2),
                _ => found.skipped += number(&field, 2),
            }
        }
    }
    found.passed = tests.saturating_sub(found.failed + found.skipped);
    found.failing = BAD.captures_iter(text).map(|bad| bad[1].to_owned()).collect();
    seen.then_some(found)
}
