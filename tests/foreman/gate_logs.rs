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
    ("pytest-junit", "pytest", 3, 1, 2),
    ("vitest-mixed", "vitest", 1, 1, 1),
    ("vitest-colour", "vitest", 1, 1, 1),
    ("vitest-skipped", "vitest", 0, 0, 1),
    ("vitest-none", "vitest", 0, 0, 0),
    ("vitest-tap", "tap", 1, 1, 1),
    ("mocha-mixed", "mocha", 1, 1, 1),
    ("mocha-colour", "mocha", 1, 1, 1),
    ("mocha-skipped", "mocha", 0, 0, 1),
    ("mocha-none", "mocha", 0, 0, 0),
    ("node-tap", "node", 1, 1, 1),
    ("node-spec", "node", 1, 1, 1),
    ("node-junit", "junit", 1, 1, 1),
    ("node-skipped", "node", 0, 0, 1),
    ("node-none", "node", 0, 0, 0),
    ("cargo-mixed", "cargo", 3, 1, 2),
    ("cargo-colour", "cargo", 3, 1, 2),
    ("cargo-none", "cargo", 0, 0, 0),
    ("cargo-skipped", "cargo", 0, 0, 1),
    ("go-verbose", "go", 2, 1, 1),
    ("go-quiet", "go", 0, 1, 0),
    ("go-none", "go", 0, 0, 0),
    ("go-skipped", "go", 0, 0, 1),
    ("maven-mixed", "surefire", 1, 1, 1),
    ("maven-colour", "surefire", 1, 1, 1),
    ("maven-quiet", "surefire", 1, 1, 1),
    ("maven-passed", "surefire", 2, 0, 1),
    ("maven-skipped", "surefire", 0, 0, 1),
    ("maven-none", "surefire", 0, 0, 0),
    ("maven-junit", "junit", 1, 1, 1),
    ("junit4-mixed", "junit4", 1, 1, 0),
    ("junit4-passed", "junit4", 1, 0, 0),
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
        ("eslint", "lint.js", 1),
        ("tsc", "lint.ts", 1),
        ("cargo-warnings", "src/lib.rs", 4),
        ("go-vet", "bad.go", 5),
        ("javac", "SumTest.java", 7),
    ] {
        let found = read_findings(&log(name));
        let there = found.iter().any(|it| it.file.ends_with(file) && it.line == line);
        assert!(there, "{name}: {found:?}");
    }
}

/// A log of some 20 MB with its telling lines in the middle, where they are left out of what is
/// kept: the counts are whole, and so is a hundred times as much, because nothing else is held.
#[tokio::test]
async fn a_long_log_is_counted_in_bounded_memory() {
    use foreman::gate::LOG_CAP;
    use foreman::gate::logs::telling_lines;
    use foreman::process::{Children, KeepLines, Spec};

    let script = "noise() { yes 'a line that says nothing of interest' | head -n 230000; }; \
                  echo 1..3; noise; echo ok 1 - a; echo not ok 2 - b; noise; echo ok 3 - c";
    let helper = std::path::PathBuf::from(env!("CARGO_BIN_EXE_foreman"));
    let children = Children::start(helper).expect("children");
    let mut spec = Spec::new("/bin/sh", std::path::Path::new("/tmp")).args(["-c", script]);
    spec.env = vec![("PATH".into(), "/usr/bin:/bin".into())];
    spec.merge_output = true;
    spec.output_cap = 64 << 10;
    spec.keep_lines = Some(KeepLines { matching: telling_lines(), cap: LOG_CAP });
    let done = children.run(spec, &tokio_util::sync::CancellationToken::new()).await.expect("run");
    assert!(done.stdout.total() > 16 << 20 && done.stdout.left_out() > 16 << 20);
    let text = done.stdout.sifted().expect("few lines tell");
    assert!(text.len() < 128 << 10, "{} bytes are held", text.len());
    let report = read_tests(&text);
    assert_eq!((report.passed, report.failed, report.broken), (2, 1, None));
    assert!(read_tests(&done.stdout.text()).broken.is_some(), "without them it is broken");
}

/// Each runner's own words between two heaps of noise, 100 MB with the first and 10 MB with the others:
/// counted as by themselves, and nothing is held but them and the ends.
#[tokio::test]
async fn a_hundred_megabytes_are_read_in_bounded_memory_and_each_reader_finds_its_own() {
    use foreman::gate::LOG_CAP;
    use foreman::gate::logs::telling_lines;
    use foreman::process::{Children, KeepLines, Spec};

    const KEPT: usize = 64 << 10;
    let helper = std::path::PathBuf::from(env!("CARGO_BIN_EXE_foreman"));
    let children = Children::start(helper).expect("children");
    let noise = "x".repeat(4000);
    let mut heap_of = 52_000_000;
    for name in [
        "cargo-mixed",
        "pytest-colour",
        "unittest-verbose",
        "jest-verbose",
        "vitest-colour",
        "mocha-mixed",
        "go-verbose",
        "node-spec",
        "vitest-tap",
        "maven-colour",
        "junit4-mixed",
        "node-junit",
    ] {
        let file = format!("{}/tests/data/logs/{name}.log", env!("CARGO_MANIFEST_DIR"));
        let heap = format!("yes {noise} | head -c {heap_of}; echo");
        let script = format!("{heap}; cat {file}; echo; {heap}");
        let mut spec = Spec::new("/bin/sh", std::path::Path::new("/tmp")).args(["-c", &script]);
        spec.env = vec![("PATH".into(), "/usr/bin:/bin".into())];
        spec.merge_output = true;
        spec.output_cap = KEPT;
        spec.keep_lines = Some(KeepLines { matching: telling_lines(), cap: LOG_CAP });
        let stop = tokio_util::sync::CancellationToken::new();
        let done = children.run(spec, &stop).await.expect("run");
        assert!(done.stdout.total() > 2 * heap_of, "{name}: {}", done.stdout.total());
        let held = done.stdout.sifted().expect("few lines tell");
        assert!(held.len() < 2 * KEPT, "{name}: {} bytes are held", held.len());
        assert!(done.stdout.text().len() < 2 * KEPT, "{name}");
        let (whole, sifted) = (read_tests(&log(name)), read_tests(&plain(&held)));
        let counts = |it: &TestReport| (it.passed, it.failed, it.skipped, it.broken.clone());
        assert_eq!(counts(&sifted), counts(&whole), "{name}");
        assert!(whole.collected() > 0 && sifted.formats == whole.formats, "{name}");
        heap_of = 5_000_000;
    }
}

#[test]
fn modules_of_one_build_are_added_up() {
    let both = format!("{}{}", log("maven-mixed"), log("maven-passed"));
    let report = read_tests(&both);
    assert_eq!((report.passed, report.failed, report.skipped), (3, 1, 2));
    assert_eq!(report.failing, ["SumTest.wrong"]);
}

#[test]
fn an_unknown_format_is_said_not_guessed() {
    let report = read_tests("all 12 checks are fine\nok then\n");
    assert_eq!(report, TestReport::default());
    assert!(!report.known());
}
