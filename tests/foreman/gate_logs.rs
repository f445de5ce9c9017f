//! Log readers against what the real tools printed: `tests/data/logs/make.sh` made these.

use foreman::gate::logs::{TestReport, plain, read_findings, read_tests};

fn log(name: &str) -> String {
    let path = format!("{}/tests/data/logs/{name}.log", env!("CARGO_MANIFEST_DIR"));
    plain(&std::fs::read_to_string(path).expect("a log"))
}

/// Name, format, passed, failed, skipped.
const RUNS: &[(&str, &str, u64, u64, u64)] = &[
    ("pytest-mixed", "pytest", 3, 1, 2),
    ("pytest-verbose", "pytest", 3, 1, 2),
    ("pytest-colour", "pytest", 3, 1, 2),
    ("pytest-quiet", "pytest", 3, 1, 2),
    ("pytest-none", "pytest", 0, 0, 0),
    ("pytest-skipped", "pytest", 0, 0, 1),
    ("unittest-mixed", "unittest", 1, 2, 2),
    ("unittest-verbose", "unittest", 1, 2, 2),
    ("unittest-none", "unittest", 0, 0, 0),
    ("unittest-skipped", "unittest", 0, 0, 1),
    ("jest-mixed", "jest", 1, 1, 1),
    ("jest-verbose", "jest", 1, 1, 1),
    ("jest-colour", "jest", 1, 1, 1),
    ("jest-skipped", "jest", 0, 0, 1),
    ("jest-none", "jest", 0, 0, 0),
];

#[test]
fn each_runner_is_read() {
    let mut wrong = Vec::new();
    for (name, format, passed, failed, skipped) in RUNS {
        let report = read_tests(&log(name));
        let seen = (report.passed, report.failed, report.skipped);
        let same = report.formats == [*format] && seen == (*passed, *failed, *skipped);
        if !same || report.broken.is_some() {
            wrong.push(format!("{name}: {:?} {seen:?} {:?}", report.formats, report.broken));
        }
        let quiet = name.starts_with("go-quiet");
        if *failed > 0 && !quiet && !report.failing.iter().any(|it| it.contains("rong")) {
            wrong.push(format!("{name}: does not name what failed: {:?}", report.failing));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn findings_have_file_and_line() {
    for (name, file, line) in [
        ("ruff", "lint.py", 1),
        ("ruff-full", "lint.py", 1),
        ("flake8", "lint.py", 1),
        ("mypy", "lint.py", 3),
    ] {
        let found = read_findings(&log(name));
        let there = found.iter().any(|it| it.file.ends_with(file) && it.line == line);
        assert!(there, "{name}: {found:?}");
    }
}

#[test]
fn an_unknown_format_is_said_not_guessed() {
    let report = read_tests("all 12 checks are fine\nok then\n");
    assert_eq!(report, TestReport::default());
    assert!(!report.known());
}
