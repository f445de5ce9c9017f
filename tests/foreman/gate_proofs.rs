//! The gate over small Python, JavaScript, Rust and shell repositories with their real runners: what
//! only running shows, and the proof that a fix's tests fail without it.

#![allow(clippy::print_stdout, reason = "the time that the gate adds is said")]

use foreman::domain::evidence::{Check, CheckOutcome, Dimension};
use foreman::gate::{Judgement, Verdict};

use crate::support::place::Place;

const PYTHON_TESTS: &str = "import unittest\n\nfrom calc import add\n\n\nclass AddTest(unittest.TestCase):\n    def test_adds(self):\n        self.assertEqual(add(2, 2), 4)\n\n    def test_zero(self):\n        self.assertEqual(add(0, 0), 0)\n";
const JS_TESTS: &str = "import test from 'node:test';\nimport assert from 'node:assert/strict';\nimport { add } from './calc.mjs';\n\ntest('adds', () => {\n  assert.equal(add(2, 2), 4);\n});\n";
const RUST_LIB: &str = "pub fn add(a: u8, b: u8) -> u8 {\n    a.wrapping_add(b)\n}\n\n#[cfg(test)]\nmod tests {\n    use super::*;\n\n    #[test]\n    fn adds() {\n        assert_eq!(add(2, 2), 4);\n    }\n}\n";

fn row<'a>(judgement: &'a Judgement, name: &str) -> &'a Check {
    judgement.qa.checks.iter().find(|check| check.name == name).expect(name)
}

async fn passed(place: &Place, files: &[(&str, Option<&str>)]) -> Judgement {
    let base = place.judge_base().await;
    assert!(base.green, "{:?}", base.red);
    match place.judge(&base, files).await {
        Verdict::Passed(_, judgement) => judgement,
        Verdict::Refused(judgement) => {
            panic!("refused: {}\n{}", judgement.reason, judgement.digest)
        }
    }
}

#[tokio::test]
async fn a_python_fix_is_proven_by_its_test() {
    let place = Place::new(&[
        (".foreman.toml", "[gate]\nbuild = []\nlint = []\ntest = \"python3 -B -m unittest -v\"\n"),
        ("calc.py", "def add(a, b):\n    return abs(a + b)\n"),
        ("test_calc.py", PYTHON_TESTS),
    ])
    .await;
    let fixed = "def add(a, b):\n    return a + b\n";
    let with_test = format!(
        "{PYTHON_TESTS}\n    def test_negative(self):\n        self.assertEqual(add(-2, -2), -4)\n"
    );
    let judgement =
        passed(&place, &[("calc.py", Some(fixed)), ("test_calc.py", Some(&with_test))]).await;
    let proof = row(&judgement, "regression_test");
    assert_eq!(proof.outcome, CheckOutcome::Passed, "{proof:?}");
    assert!(proof.findings[0].contains("test_negative") && proof.log_sha256.is_some(), "{proof:?}");

    let idle = format!(
        "{PYTHON_TESTS}\n    def test_one(self):\n        self.assertEqual(add(1, 0), 1)\n"
    );
    let base = place.judge_base().await;
    let judgement =
        place.refused(&base, &[("calc.py", Some(fixed)), ("test_calc.py", Some(&idle))]).await;
    assert!(judgement.reason.contains("pass on the base too"), "{}", judgement.reason);
    assert!(judgement.repairable && !judgement.qa.dimension_passed(Dimension::Qiel));
}

#[tokio::test]
async fn a_javascript_feature_passes_and_a_lost_test_does_not() {
    let place = Place::new(&[
        (".foreman.toml", "[gate]\nbuild = []\nlint = []\ntest = \"node --test\"\n"),
        ("calc.mjs", "export const add = (a, b) => a + b;\n"),
        ("calc.test.mjs", JS_TESTS),
    ])
    .await;
    let code = "export const add = (a, b) => a + b;\nexport const sub = (a, b) => a - b;\n";
    let tests = format!(
        "{}\ntest('subtracts', () => {{\n  assert.equal(sub(3, 1), 2);\n}});\n",
        JS_TESTS.replace("{ add }", "{ add, sub }")
    );
    let judgement =
        passed(&place, &[("calc.mjs", Some(code)), ("calc.test.mjs", Some(&tests))]).await;
    assert_eq!(row(&judgement, "regression_test").outcome, CheckOutcome::Passed);
    assert!(row(&judgement, "tests_not_fewer").findings[0].contains("2 tests collected, 1 on"));

    // The file stays, and what it imports ends the process before a test is registered.
    let base = place.judge_base().await;
    let leaves = "export const add = (a, b) => a + b;\nprocess.exit(0);\n";
    let judgement = place.refused(&base, &[("calc.mjs", Some(leaves))]).await;
    assert!(judgement.reason.contains("no longer run: `adds`"), "{}", judgement.reason);
}

#[tokio::test]
async fn a_rust_fix_beside_its_test_is_proven() {
    let manifest = "[package]\nname = \"calc\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
    let lock = "version = 3\n\n[[package]]\nname = \"calc\"\nversion = \"0.1.0\"\n";
    let place = Place::new(&[
        (".foreman.toml", "[gate]\nbuild = []\nlint = []\ntest = \"cargo test --locked --lib\"\n"),
        ("Cargo.toml", manifest),
        ("Cargo.lock", lock),
        ("src/lib.rs", RUST_LIB),
    ])
    .await;
    let fixed = RUST_LIB.replace("wrapping_add", "saturating_add").replace(
        "        assert_eq!(add(2, 2), 4);\n    }\n",
        "        assert_eq!(add(2, 2), 4);\n    }\n\n    #[test]\n    fn stays_at_the_end() {\n        assert_eq!(add(250, 10), 255);\n    }\n",
    );
    let judgement = passed(&place, &[("src/lib.rs", Some(&fixed))]).await;
    let proof = row(&judgement, "regression_test");
    assert_eq!(proof.outcome, CheckOutcome::Passed, "{proof:?}");
    assert!(proof.findings[0].contains("stays_at_the_end"), "{proof:?}");
}

#[tokio::test]
async fn a_row_names_a_command_only_with_its_exit_code_and_log() {
    let place = Place::new(&[
        (".foreman.toml", "[gate]\nbuild = \"sh build.sh\"\nlint = []\ntest = \"sh tests/run.sh\"\ntimeout_seconds = 1\n"),
        ("build.sh", "echo built\n"),
        ("tests/run.sh", "echo 1..1\necho ok 1 - a\n"),
        ("notes.md", "a\n"),
    ])
    .await;
    let base = place.judge_base().await;
    for (script, code) in [("sleep 30\n", 124), ("kill -9 $$\n", 137), ("exit 3\n", 3)] {
        let judgement = place.refused(&base, &[("build.sh", Some(script))]).await;
        let build = row(&judgement, "build");
        assert_eq!(build.exit_code, Some(code), "{build:?}");
        for check in &judgement.qa.checks {
            let whole = check.exit_code.is_some()
                && check.log_sha256.as_ref().is_some_and(|it| it.len() == 64);
            assert!(check.command.is_none() || whole, "{check:?}");
        }
        assert!(row(&judgement, "test").findings[0].contains("`sh tests/run.sh`"));
    }
}

#[tokio::test]
async fn the_gate_adds_little_to_the_commands() {
    let place = Place::new(&[
        (".foreman.toml", "[gate]\nbuild = []\nlint = []\ntest = \"sh tests/run.sh\"\n"),
        ("tests/run.sh", "sleep 2\necho 1..1\necho ok 1 - a\n"),
        ("notes.md", "a\n"),
    ])
    .await;
    let base = place.judge_base().await;
    let begun = std::time::Instant::now();
    let verdict = place.judge(&base, &[("notes.md", Some("b\n"))]).await;
    let all = begun.elapsed();
    assert!(matches!(verdict, Verdict::Passed(..)));
    let shell = std::time::Duration::from_millis(
        verdict.judgement().qa.checks.iter().map(|check| check.duration_ms).sum(),
    );
    println!("commands {shell:?}, judgement {all:?}, added {:?}", all.saturating_sub(shell));
    assert!(all < shell * 5, "the gate took {all:?} for commands of {shell:?}");
}
