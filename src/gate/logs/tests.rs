//! Test runners' output: counts and the names of what failed.
//!
//! Pure. Each reader looks for its runner's own summary and says nothing where it finds none;
//! what several readers recognise is added up, because one command may call several runners.

mod java;
mod javascript;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

use super::pattern;
use java::{junit, junit_core, surefire};
use javascript::{jest, mocha, node, vitest};

/// Names kept of each kind; more would bloat what is stored, and nobody reads them.
const MOST_NAMES: usize = 20_000;

/// What a log says about tests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TestReport {
    /// The runners recognised; empty is an unknown format.
    pub formats: Vec<String>,
    pub passed: u64,
    pub failed: u64,
    pub skipped: u64,
    /// Failing tests, by name.
    pub failing: Vec<String>,
    /// Tests that ran and passed, where the runner names them.
    pub names: BTreeSet<String>,
    /// Why the log can't be a whole run's: it broke off, or its counts contradict one another.
    pub broken: Option<String>,
}

impl TestReport {
    /// Tests collected, skipped ones included.
    #[must_use]
    pub const fn collected(&self) -> u64 {
        self.passed + self.failed + self.skipped
    }

    /// Tests that really ran.
    #[must_use]
    pub const fn ran(&self) -> u64 {
        self.passed + self.failed
    }

    #[must_use]
    pub fn known(&self) -> bool {
        !self.formats.is_empty()
    }

    /// A report whose log had more telling lines than could be kept: its counts are too low.
    #[must_use]
    pub fn too_long(mut self) -> Self {
        self.broken = Some("the log is too long to be counted".to_owned());
        self
    }

    fn add(&mut self, other: Self) {
        self.formats.extend(other.formats);
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.failing.extend(other.failing);
        self.names.extend(other.names);
        self.broken = self.broken.take().or(other.broken);
    }

    /// One report of several commands.
    #[must_use]
    pub fn sum<'a>(reports: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sum = Self::default();
        for report in reports {
            sum.add(report.clone());
        }
        sum
    }
}

/// Reads a log that `plain` has cleaned.
#[must_use]
pub fn read_tests(text: &str) -> TestReport {
    let mut report = TestReport::default();
    for reader in
        [cargo, pytest, unittest, jest, vitest, mocha, go, node, tap, surefire, junit_core, junit]
    {
        // node's summary stands below TAP lines: whoever comes first has them.
        if let Some(found) = reader(text) {
            let tap_again = found.formats == ["tap"] && report.formats.iter().any(|f| f == "node");
            // A report that a runner writes beside its own words is the same run again.
            let xml_again = found.formats == ["junit"] && report.known();
            if !tap_again && !xml_again {
                report.add(found);
            }
        }
    }
    let mut seen = BTreeSet::new();
    report.failing.retain(|name| seen.insert(name.clone()));
    report.failing.truncate(MOST_NAMES);
    while report.names.len() > MOST_NAMES {
        report.names.pop_last();
    }
    report
}

fn number(captures: &regex::Captures<'_>, group: usize) -> u64 {
    captures.get(group).and_then(|found| found.as_str().parse().ok()).unwrap_or(0)
}

/// The number before a word, as in `3 passed, 1 failed`.
fn count(line: &str, words: &[&str]) -> u64 {
    static COUNT: LazyLock<Regex> = LazyLock::new(|| pattern(r"(\d+) ([a-z]+)"));
    COUNT
        .captures_iter(line)
        .filter(|found| words.contains(&&found[2]))
        .map(|found| number(&found, 1))
        .sum()
}

fn report(format: &str) -> TestReport {
    TestReport { formats: vec![format.to_owned()], ..TestReport::default() }
}

fn cargo(text: &str) -> Option<TestReport> {
    static RUNNING: LazyLock<Regex> = LazyLock::new(|| pattern(r"^running (\d+) tests?$"));
    static RESULT: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"^test result: (ok|FAILED)\. (\d+) passed; (\d+) failed; (\d+) ignored; (\d+) measured; (\d+) filtered out",
        )
    });
    static ONE: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^test (.+?)(?: - should panic)? \.\.\. (ok|FAILED|ignored)"));
    static DOC_LINE: LazyLock<Regex> = LazyLock::new(|| pattern(r" \(line \d+\)"));
    let mut found = report("cargo");
    let (mut open, mut results) = (None, 0);
    for line in text.lines() {
        if let Some(running) = RUNNING.captures(line) {
            if open.is_some() {
                found.broken = Some("a test binary ended without its result line".to_owned());
            }
            open = Some(number(&running, 1));
        } else if let Some(result) = RESULT.captures(line) {
            let counts: Vec<u64> = (2..=5).map(|group| number(&result, group)).collect();
            let total: u64 = counts.iter().sum();
            if open.take() != Some(total) {
                found.broken =
                    Some("a result line's counts are not those of the tests announced".to_owned());
            }
            results += 1;
            found.passed += counts[0];
            found.failed += counts[1];
            found.skipped += counts[2];
        } else if let Some(one) = ONE.captures(line) {
            let name = DOC_LINE.replace(&one[1], "").into_owned();
            match &one[2] {
                "FAILED" => found.failing.push(name),
                // A doc test's name is its item's, which may be renamed: only counted.
                "ok" if !name.contains(" - ") => {
                    found.names.insert(name);
                }
                _ => {}
            }
        }
    }
    if open.is_some() {
        found.broken = Some("a test binary ended without its result line".to_owned());
    }
    (results > 0 || open.is_some()).then_some(found)
}

fn pytest(text: &str) -> Option<TestReport> {
    static SUMMARY: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r"^=*\s*((?:\d+ [a-z]+(?:, )?)+|no tests ran) in [\d.]+s(?: \([^)]*\))?\s*=*$")
    });
    static BAD: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^(?:FAILED|ERROR) (\S+(?:::| )?\S*?)(?: - .*)?$"));
    static ONE: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(\S+::\S+) PASSED"));
    let mut found = report("pytest");
    let mut summaries = 0;
    for line in text.lines() {
        if let Some(summary) = SUMMARY.captures(line) {
            summaries += 1;
            let line = &summary[1];
            found.passed += count(line, &["passed", "xpassed"]);
            found.failed += count(line, &["failed", "error", "errors"]);
            found.skipped += count(line, &["skipped", "xfailed", "deselected"]);
        } else if let Some(bad) = BAD.captures(line) {
            found.failing.push(bad[1].to_owned());
        } else if let Some(one) = ONE.captures(line) {
            found.names.insert(one[1].to_owned());
        }
    }
    (summaries > 0).then_some(found)
}

fn unittest(text: &str) -> Option<TestReport> {
    static RAN: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^(?:Ran (\d+) tests? in|NO TESTS RAN)"));
    static END: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^(?:OK|FAILED)(?: \(((?:[a-z ]+=\d+(?:, )?)+)\))?$"));
    static BAD: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(?:FAIL|ERROR): (\S+) \("));
    static PAIR: LazyLock<Regex> = LazyLock::new(|| pattern(r"([a-z ]+)=(\d+)"));
    let mut found = report("unittest");
    let mut ran = None;
    for line in text.lines() {
        if let Some(count) = RAN.captures(line) {
            ran = Some(ran.unwrap_or(0) + number(&count, 1));
        } else if let (Some(_), Some(end)) = (ran, END.captures(line)) {
            let details = end.get(1).map_or("", |details| details.as_str());
            for pair in PAIR.captures_iter(details) {
                match pair[1].trim() {
                    "failures" | "errors" | "unexpected successes" => {
                        found.failed += number(&pair, 2);
                    }
                    "skipped" | "expected failures" => found.skipped += number(&pair, 2),
                    _ => {}
                }
            }
        } else if let Some(bad) = BAD.captures(line) {
            found.failing.push(bad[1].to_owned());
        }
    }
    found.passed = ran?.saturating_sub(found.failed + found.skipped);
    Some(found)
}

fn go(text: &str) -> Option<TestReport> {
    static ONE: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^\s*--- (PASS|FAIL|SKIP): (\S+) \([\d.]+s\)"));
    static PACKAGE: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^(ok  |FAIL|\?   )\t(\S+)(?:\t(.*))?$"));
    let mut found = report("go");
    let (mut tests, mut packages_ok, mut packages_failed, mut seen) = (0, 0, 0, false);
    for line in text.lines() {
        if let Some(one) = ONE.captures(line) {
            (tests, seen) = (tests + 1, true);
            match &one[1] {
                "PASS" => {
                    found.passed += 1;
                    found.names.insert(one[2].to_owned());
                }
                "SKIP" => found.skipped += 1,
                _ => {
                    found.failed += 1;
                    found.failing.push(one[2].to_owned());
                }
            }
        } else if let Some(package) = PACKAGE.captures(line) {
            seen = true;
            let note = package.get(3).map_or("", |note| note.as_str());
            match package[1].trim() {
                "ok" if !note.contains("[no tests to run]") => packages_ok += 1,
                "FAIL" => {
                    packages_failed += 1;
                    found.failing.push(package[2].to_owned());
                }
                _ => {}
            }
        }
    }
    if tests == 0 {
        // Without -v only whole packages are named.
        (found.passed, found.failed) = (packages_ok, packages_failed);
    } else {
        found.failed = found.failed.max(packages_failed.min(1));
    }
    seen.then_some(found)
}

fn tap_name(rest: &str) -> &str {
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
    rest.strip_prefix("- ").unwrap_or(rest)
}

fn tap(text: &str) -> Option<TestReport> {
    static PLAN: LazyLock<Regex> = LazyLock::new(|| pattern(r"^1\.\.(\d+)(?:\s+#.*)?$"));
    static ONE: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(not )?ok\b(?: +(\d+))?(.*)$"));
    let mut found = report("tap");
    let mut planned = None;
    for line in text.lines() {
        if let Some(plan) = PLAN.captures(line) {
            planned = Some(number(&plan, 1));
        } else if let Some(one) = ONE.captures(line).filter(|one| one.get(2).is_some()) {
            let rest = one.get(3).map_or("", |rest| rest.as_str()).trim();
            let upper = rest.to_ascii_uppercase();
            if upper.contains("# SKIP") || upper.contains("# TODO") {
                found.skipped += 1;
            } else if one.get(1).is_some() {
                found.failed += 1;
                found.failing.push(tap_name(rest).to_owned());
            } else {
                // Its description is prose, which may be reworded: only counted.
                found.passed += 1;
            }
        } else if line.starts_with("Bail out!") {
            found.broken = Some("the TAP producer bailed out".to_owned());
        }
    }
    if planned.is_some_and(|planned| planned != found.collected()) {
        found.broken = Some("the TAP plan and its results differ in number".to_owned());
    }
    planned.map(|_| found)
}

#[cfg(test)]
mod unit {
    use super::*;

    fn counts(text: &str) -> (Vec<String>, u64, u64, u64) {
        let report = read_tests(text);
        assert_eq!(report.broken, None, "{text}");
        (report.formats, report.passed, report.failed, report.skipped)
    }

    #[test]
    fn cargo_sums_binaries_and_names_failures() {
        let text = "running 2 tests\ntest a::b ... ok\ntest a::c ... FAILED\n\nfailures:\n\n\
             test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
             running 1 test\ntest src/lib.rs - add (line 3) ... ignored\n\
             test result: ok. 0 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n";
        let report = read_tests(text);
        assert_eq!((report.passed, report.failed, report.skipped), (1, 1, 1));
        assert_eq!(report.failing, ["a::c"]);
        assert_eq!((report.collected(), report.ran()), (3, 2));
    }

    #[test]
    fn zero_failed_is_no_failure_and_zero_tests_are_zero() {
        let text = "running 0 tests\n\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(counts(text), (vec!["cargo".to_owned()], 0, 0, 0));
    }

    #[test]
    fn a_run_that_broke_off_is_no_run() {
        let text = "running 3 tests\ntest a ... ok\n";
        assert!(read_tests(text).broken.is_some());
        let forged = "running 3 tests\ntest result: ok. 9 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert!(read_tests(forged).broken.is_some());
    }

    #[test]
    fn python_runners() {
        let pytest = "FAILED tests/test_a.py::test_b - assert 1 == 2\n=== 1 failed, 2 passed, 1 skipped in 0.03s ===\n";
        assert_eq!(counts(pytest), (vec!["pytest".to_owned()], 2, 1, 1));
        assert_eq!(read_tests(pytest).failing, ["tests/test_a.py::test_b"]);
        assert_eq!(counts("no tests ran in 0.01s\n").1, 0);
        let unittest =
            "FAIL: test_b (test_a.T)\nRan 4 tests in 0.001s\n\nFAILED (failures=1, skipped=1)\n";
        assert_eq!(counts(unittest), (vec!["unittest".to_owned()], 2, 1, 1));
        assert_eq!(counts("Ran 0 tests in 0.000s\n\nOK\n").1, 0);
    }

    #[test]
    fn javascript_runners() {
        let jest = "  ● sum › adds\n\nTests:       1 failed, 2 skipped, 3 passed, 6 total\n";
        assert_eq!(counts(jest), (vec!["jest".to_owned()], 3, 1, 2));
        assert_eq!(read_tests(jest).failing, ["sum › adds"]);
        let vitest = " FAIL  a.test.ts > adds\n      Tests  1 failed | 2 passed (3)\n";
        assert_eq!(counts(vitest), (vec!["vitest".to_owned()], 2, 1, 0));
        let mocha = "  2 passing (10ms)\n  1 failing\n\n  1) adds:\n";
        assert_eq!(counts(mocha), (vec!["mocha".to_owned()], 2, 1, 0));
        let node = "not ok 1 - adds\n1..2\n# tests 2\n# suites 0\n# pass 1\n# fail 1\n# cancelled 0\n# skipped 0\n# todo 0\n";
        assert_eq!(counts(node), (vec!["node".to_owned()], 1, 1, 0));
        assert_eq!(read_tests(node).failing, ["adds"]);
    }

    #[test]
    fn go_tap_and_java() {
        let go =
            "=== RUN   TestA\n--- PASS: TestA (0.00s)\n--- FAIL: TestB (0.01s)\nFAIL\tx/y\t0.1s\n";
        assert_eq!(counts(go), (vec!["go".to_owned()], 1, 1, 0));
        let quiet = "ok  \tx/y\t0.003s\n?   \tx/z\t[no test files]\n";
        assert_eq!(counts(quiet), (vec!["go".to_owned()], 1, 0, 0));
        let tap = "TAP version 13\n1..3\nok 1 - a\nnot ok 2 - b\nok 3 - c # SKIP why\n";
        assert_eq!(counts(tap), (vec!["tap".to_owned()], 1, 1, 1));
        assert!(read_tests("1..3\nok 1 - a\n").broken.is_some());
        let maven =
            "[ERROR] AppTest.adds:12 expected\nTests run: 5, Failures: 1, Errors: 0, Skipped: 1\n";
        assert_eq!(counts(maven), (vec!["surefire".to_owned()], 3, 1, 1));
        let junit = "<testsuite name=\"a\" tests=\"3\">\n<testcase name=\"x\" time=\"0\">\n<failure>a</failure></testcase>\n\
             <testcase name=\"y\"/><testcase name=\"z\"><skipped/></testcase></testsuite>";
        assert_eq!(counts(junit), (vec!["junit".to_owned()], 1, 1, 1));
        assert_eq!(read_tests(junit).failing, ["x"]);
    }

    #[test]
    fn the_unknown_is_unknown() {
        assert!(!read_tests("all good\nok then\n").known());
        assert!(!read_tests("").known());
    }
}
