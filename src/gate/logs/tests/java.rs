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
    // Each module says its own total; a class's line goes on with its time.
    let mut found = report("surefire");
    let mut totals = 0;
    for total in text.lines().filter_map(|line| TOTAL.captures(line)) {
        let (failed, skipped) = (number(&total, 2) + number(&total, 3), number(&total, 4));
        totals += 1;
        found.failed += failed;
        found.skipped += skipped;
        found.passed += number(&total, 1).saturating_sub(failed + skipped);
    }
    if totals == 0 && !text.contains("] No tests to run.") {
        return None;
    }
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

/// `JUnit` XML, whoever wrote it: its test cases are counted, not what its suites say of themselves.
pub(super) fn junit(text: &str) -> Option<TestReport> {
    static TAG: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r#"<(testsuites?|testcase|failure|error|skipped)\b([^>]*)>|</testcase>"#)
    });
    static NAME: LazyLock<Regex> = LazyLock::new(|| pattern(r#"\bname="([^"]*)""#));
    let mut found = report("junit");
    let (mut suites, mut name, mut wrong, mut left) = (0, None::<String>, false, false);
    let mut close = |name: Option<String>, wrong: bool, left: bool| {
        let Some(name) = name else { return };
        if wrong {
            found.failed += 1;
            found.failing.push(name);
        } else if left {
            found.skipped += 1;
        } else {
            found.passed += 1;
            found.names.insert(name);
        }
    };
    for tag in TAG.captures_iter(text) {
        let attributes = tag.get(2).map_or("", |it| it.as_str());
        match tag.get(1).map_or("", |it| it.as_str()) {
            "testcase" => {
                close(name.take(), wrong, left);
                (wrong, left) = (false, false);
                let own = NAME.captures(attributes).map_or_else(String::new, |it| it[1].to_owned());
                if attributes.ends_with('/') {
                    close(Some(own), false, false);
                } else {
                    name = Some(own);
                }
            }
            "failure" | "error" => wrong = true,
            "skipped" => left = true,
            "" => {
                close(name.take(), wrong, left);
                (wrong, left) = (false, false);
            }
            _ => suites += 1,
        }
    }
    close(name, wrong, left);
    (suites > 0).then_some(found)
}
