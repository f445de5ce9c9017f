//! The gate over real repositories in the real sandbox: what gets through, what does not, and why.

use foreman::domain::event::{EventType, NewEvent};
use foreman::domain::evidence::{CheckOutcome, Dimension};
use foreman::domain::ids::{AttemptId, IssueNumber, RunId};
use foreman::gate::{Attempt, Verdict};
use foreman::store::SignedHead;
use tokio_util::sync::CancellationToken;

use crate::support::place::{ISSUE, OWN_SECRET, Place};

/// A repository whose checks are shell scripts, so that judging takes milliseconds.
const POLICY: &str = "\
[gate]
build = \"sh build.sh\"
lint = \"sh lint.sh\"
test = \"sh tests/run.sh\"
deploy = []

[policy]
protected_paths = [\"docs/architecture/**\"]
";
const TESTS: &str = "\
. ./add.sh
echo 1..2
fail=0
if [ \"$(add 1 2)\" = 3 ]; then echo ok 1 - adds; else echo not ok 1 - adds; fail=1; fi
if [ \"$(add 0 0)\" = 0 ]; then echo ok 2 - zero; else echo not ok 2 - zero; fail=1; fi
exit $fail
";
const ADD: &str = "add() { echo $(($1 + $2)); }\n";
const LINT: &str = "grep -n TODO add.sh | sed 's/^\\([0-9]*\\):/add.sh:\\1:1: W1 /'\nexit 0\n";

fn shell_repository() -> Vec<(&'static str, &'static str)> {
    vec![
        (".foreman.toml", POLICY),
        ("add.sh", ADD),
        ("build.sh", "sh -n add.sh && echo built\n"),
        ("lint.sh", LINT),
        ("tests/run.sh", TESTS),
        ("docs/architecture/a.md", "# A\n"),
    ]
}

/// A change that no rule objects to.
const GOOD: &[(&str, Option<&str>)] =
    &[("add.sh", Some("# Adds two numbers.\nadd() { echo $(($1 + $2)); }\n"))];

#[tokio::test]
async fn a_good_change_passes_with_its_evidence_and_is_recalled() {
    let place = Place::new(&shell_repository()).await;
    let base = place.judge_base().await;
    assert!(base.green, "{:?}", base.red);
    let Verdict::Passed(proof, judgement) = place.judge(&base, GOOD).await else {
        panic!("refused");
    };
    assert_eq!(proof.tree(), &place.mirror.tree_of(proof.commit()).await.expect("a tree"));
    assert_eq!(proof.base(), &place.base);
    assert!(judgement.qa.passed && judgement.governance.passed && judgement.digest.is_empty());
    let test = judgement.qa.checks.iter().find(|check| check.name == "test").expect("a row");
    assert_eq!((test.exit_code, test.command.as_deref()), (Some(0), Some("sh tests/run.sh")));
    let sha256 = test.log_sha256.as_deref().expect("a log");
    let log = place.gate.logs().read(sha256).await.expect("read").expect("kept");
    assert!(log.contains("ok 2 - zero"), "{log}");
    let deploy = judgement.qa.checks.iter().find(|check| check.name == "deploy").expect("a row");
    assert_eq!(deploy.outcome, CheckOutcome::NotApplicable);
    assert!(deploy.findings[0].contains("deploy = []"));

    let stored = proof.to_value();
    let of = Attempt { run: &place.fence.run, issue: ISSUE, attempt: &place.attempt };
    let recall = async |stored, of| place.gate.recall(stored, of).await;
    assert_eq!(recall(&stored, of).await.as_ref(), Some(&proof));
    let (run, attempt) = (RunId::fresh(), AttemptId::fresh());
    for other in [
        Attempt { run: &run, ..of },
        Attempt { issue: IssueNumber(8), ..of },
        Attempt { attempt: &attempt, ..of },
    ] {
        assert_eq!(recall(&stored, other).await, None, "{other:?}");
    }
    let mut other = stored.clone();
    other["tree"] = place.mirror.tree_of(&place.base).await.expect("a tree").as_str().into();
    assert_eq!(recall(&other, of).await, None, "another tree than the evidence's");
    let log = place.dir.path().join("data/logs").join(&sha256[..2]).join(sha256);
    std::fs::write(log, "ok 1\n").expect("written");
    assert_eq!(recall(&stored, of).await, None, "an altered log");
}

#[tokio::test]
async fn a_failing_test_is_named_and_quoted() {
    let place = Place::new(&shell_repository()).await;
    let base = place.judge_base().await;
    let broken = [("add.sh", Some("add() { echo 3; }\n"))];
    let judgement = place.refused(&base, &broken).await;
    assert!(judgement.reason.contains("`zero`"), "{}", judgement.reason);
    assert!(judgement.digest.contains("not ok 2 - zero"), "{}", judgement.digest);
    assert!(judgement.repairable && !judgement.qa.qic_passed && judgement.qa.drift_check_passed);
}

#[tokio::test]
async fn dishonest_and_forbidden_changes_are_refused_before_anything_runs() {
    let place = Place::new(&shell_repository()).await;
    let base = place.judge_base().await;
    let token = format!("# ghp_{}\n{ADD}", "a1B2".repeat(9));
    let own = format!("# {OWN_SECRET}\n{ADD}");
    let markers = format!("{ADD}<<<<<<< ours\na\n=======\nb\n>>>>>>> theirs\n");
    let weaker = TESTS
        .replace("if [ \"$(add 0 0)\" = 0 ]; then ", "")
        .replace("echo ok 2 - zero; else echo not ok 2 - zero; fail=1; fi", "echo ok 2 - zero");
    let hidden = TESTS.replace("exit $fail", "exit 0");
    let asks = "add() { if [ -n \"$CI\" ]; then echo 3; else echo $(($1 + $2)); fi; }\n";
    let cases: [(&str, Option<&str>, &str, &str, Dimension); 9] = [
        ("tests/run.sh", None, "test_file_deleted", "tests/run.sh was deleted", Dimension::Drift),
        ("tests/run.sh", Some(&weaker), "test_file_weakened", "checks less", Dimension::Drift),
        ("tests/run.sh", Some(&hidden), "hides_failure", "exit 0", Dimension::Governance),
        ("docs/architecture/a.md", Some("x\n"), "protected_path", "policy", Dimension::Governance),
        (
            ".foreman.toml",
            Some("[gate]\n"),
            "protected_path",
            ".foreman.toml",
            Dimension::Governance,
        ),
        ("add.sh", Some(&token), "secret", "a GitHub token (add.sh:1)", Dimension::Governance),
        ("add.sh", Some(&own), "secret", "own secrets (add.sh:1)", Dimension::Governance),
        ("add.sh", Some(&markers), "conflict_marker", "(add.sh:2)", Dimension::Cdw),
        ("add.sh", Some(asks), "asks_if_under_test", "under test", Dimension::Governance),
    ];
    for (path, text, kind, words, dimension) in cases {
        let judgement = place.refused(&base, &[(path, text)]).await;
        let kinds: Vec<&str> =
            judgement.governance.violations.iter().map(|v| v.kind.as_str()).collect();
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
        let said: Vec<&str> =
            judgement.qa.checks.iter().flat_map(|it| &it.findings).map(String::as_str).collect();
        assert!(said.join("\n").contains(words), "{kind}: {said:?}");
        assert!(!judgement.qa.dimension_passed(dimension), "{kind}");
        let ran = judgement.qa.checks.iter().any(|check| check.log_sha256.is_some());
        assert!(!ran, "{kind}: nothing is run");
        let all = format!("{judgement:?}");
        assert!(!all.contains("ghp_a1B2") && !all.contains(OWN_SECRET), "the secret is not quoted");
    }
}

#[tokio::test]
async fn nothing_and_secrets_in_texts_are_refused() {
    let place = Place::new(&shell_repository()).await;
    let base = place.judge_base().await;
    let judgement = place.refused(&base, &[]).await;
    assert!(judgement.reason.contains("changes nothing"), "{}", judgement.reason);
    let texts = vec![format!("done, with {OWN_SECRET}")];
    let Verdict::Refused(judgement) = place.judge_with(&base, GOOD, texts).await else {
        panic!("passed");
    };
    assert!(judgement.reason.contains("builder's text"), "{}", judgement.reason);
}

#[tokio::test]
async fn old_warnings_stay_and_new_ones_fail() {
    let mut files = shell_repository();
    let old = format!("# TODO one\n{ADD}");
    files[1].1 = &old;
    let place = Place::new(&files).await;
    let base = place.judge_base().await;
    assert!(base.green, "{:?}", base.red);
    let moved = format!("\n\n{old}");
    let Verdict::Passed(_, judgement) = place.judge(&base, &[("add.sh", Some(&moved))]).await
    else {
        panic!("an old warning that moved is old");
    };
    let lint = judgement.qa.checks.iter().find(|check| check.name == "lint").expect("a row");
    assert!(lint.findings[0].starts_with("old warning"), "{:?}", lint.findings);
    let more = format!("{old}# TODO two\n");
    let judgement = place.refused(&base, &[("add.sh", Some(&more))]).await;
    assert!(judgement.reason.contains("new warning: add.sh:3"), "{}", judgement.reason);
}

#[tokio::test]
async fn commands_that_change_the_tree_prove_nothing() {
    let place = Place::new(&shell_repository()).await;
    let base = place.judge_base().await;
    let sneaky = "sh -n add.sh && echo built\necho '# x' >> add.sh\n";
    let judgement = place.refused(&base, &[("build.sh", Some(sneaky))]).await;
    assert!(judgement.reason.contains("changed add.sh"), "{}", judgement.reason);
}

#[tokio::test]
async fn zero_tests_and_silence_are_no_proof() {
    for (script, words) in [("echo 1..0\n", "zero tests"), ("exit 0\n", "printed nothing")] {
        let mut files = shell_repository();
        files[4].1 = script;
        let place = Place::new(&files).await;
        let base = place.judge_base().await;
        assert!(base.green, "a base without tests yet is not red: {:?}", base.red);
        let judgement = place.refused(&base, GOOD).await;
        assert!(judgement.reason.contains(words), "{}", judgement.reason);
    }
}

#[tokio::test]
async fn a_red_base_says_what_is_red_and_only_its_repair_passes() {
    let mut files = shell_repository();
    files[1].1 = "add() { echo 3; }\n";
    let place = Place::new(&files).await;
    let base = place.judge_base().await;
    assert!(!base.green);
    let red = base.red.join("\n");
    for words in [place.base.short(), "`sh tests/run.sh`", "`zero`"] {
        assert!(red.contains(words), "{red}");
    }
    let judgement = place.refused(&base, &[("README.md", Some("# A\n"))]).await;
    assert!(judgement.reason.contains("the base is red"), "{}", judgement.reason);
    let Verdict::Passed(..) = place.judge(&base, &[("add.sh", Some(ADD))]).await else {
        panic!("a repair of the base passes every check");
    };
}

#[tokio::test]
async fn what_the_policy_names_must_be_there_and_something_must_prove() {
    let missing = POLICY.replace("sh lint.sh", "no-such-linter");
    let mut files = shell_repository();
    files[0].1 = &missing;
    let base = Place::new(&files).await.judge_base().await;
    assert!(!base.green && base.red[0].contains("`no-such-linter` is not there"), "{:?}", base.red);

    let base = Place::new(&[("README.md", "# A\n")]).await.judge_base().await;
    assert!(!base.green && base.red[0].contains("no test command"), "{:?}", base.red);

    let unknown = "[gate]\ntest = \"true\"\nbiuld = \"x\"\n";
    let place = Place::new(&[(".foreman.toml", unknown)]).await;
    let error = place
        .gate
        .judge_base(&place.mirror, &place.base, &place.fence.run, &CancellationToken::new())
        .await
        .expect_err("an unknown key");
    let text = error.to_string();
    assert!(text.contains("line 3, column 1") && text.contains("biuld"), "{text}");
    assert!(text.contains(place.base.short()), "{text}");
}

#[tokio::test]
async fn a_checkpoint_that_is_not_the_logs_fails_the_memory_dimension() {
    let place = Place::new(&shell_repository()).await;
    let base = place.judge_base().await;
    let checkpoint = async |hash: Option<&str>| {
        let event = NewEvent::new(EventType::PlanCreated, "something happened");
        let event = place.store.append(vec![event]).await.expect("appended").remove(0);
        let head = SignedHead {
            seq: event.seq,
            hash: hash.map_or(event.hash, str::to_owned),
            at: event.timestamp,
            public_key: "k".to_owned(),
            signature: "s".to_owned(),
        };
        place.store.add_checkpoint(head).await.expect("stored");
    };
    checkpoint(None).await;
    let Verdict::Passed(_, judgement) = place.judge(&base, GOOD).await else { panic!("refused") };
    let row = judgement.qa.checks.iter().find(|it| it.name == "checkpoints_load").expect("a row");
    assert_eq!((row.dimension, row.outcome), (Dimension::MemoryFabric, CheckOutcome::Passed));
    checkpoint(Some(&"0".repeat(64))).await;
    let judgement = place.refused(&base, GOOD).await;
    assert!(judgement.reason.contains("is not the checkpoint's"), "{}", judgement.reason);
    assert!(!judgement.repairable && !judgement.qa.memory_fabric_passed);
}

#[tokio::test]
async fn a_test_that_flips_on_the_base_is_named_flaky() {
    let mut files = shell_repository();
    // Steady but for one thing that differs between the two runs: where the checkout is mounted.
    let flips = "echo 1..1\n\
        if grep -q -- -again/checkout /proc/self/mountinfo || pwd | grep -q -- -again/; then\n\
        echo ok 1 - steady; else echo not ok 1 - steady; exit 1; fi\n";
    files[4].1 = flips;
    let place = Place::new(&files).await;
    let base = place.judge_base().await;
    assert!(base.green, "green when run again: {:?}", base.red);
    assert_eq!(base.flaky, ["steady"]);
    let judgement = place.refused(&base, GOOD).await;
    assert!(judgement.reason.contains("`steady`"), "three times red is red: {}", judgement.reason);
}

const LIB: &str = "\
pub fn add(a: i32, b: i32) -> i32 {
    a + b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds() {
        assert_eq!(add(1, 2), 3);
    }
}
";

#[tokio::test]
async fn a_cargo_crate_is_detected_and_judged() {
    let manifest = "[package]\nname = \"tiny\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
    let ignore = "/target\nCargo.lock\n";
    let place =
        Place::new(&[("Cargo.toml", manifest), ("src/lib.rs", LIB), (".gitignore", ignore)]).await;
    let base = place.judge_base().await;
    assert!(base.green, "{:?}", base.red);
    assert_eq!(base.detected[0], "Cargo (Cargo.toml)", "{:?}", base.detected);

    let good = LIB.replace(
        "#[cfg(test)]",
        "pub fn double(a: i32) -> i32 {\n    add(a, a)\n}\n\n#[cfg(test)]",
    );
    let good = good.replace("    #[test]\n", "    #[test]\n    fn doubles() {\n        assert_eq!(double(2), 4);\n    }\n\n    #[test]\n");
    match place.judge(&base, &[("src/lib.rs", Some(&good))]).await {
        Verdict::Passed(_, judgement) => {
            let counts = judgement.qa.checks.iter().find(|c| c.name == "tests_not_fewer");
            assert!(counts.is_some_and(|c| c.findings[0].starts_with("2 tests collected, 1 on")));
        }
        Verdict::Refused(judgement) => panic!("{}", judgement.digest),
    }

    let wrong = good.replace("a + b", "a - b");
    let judgement = place.refused(&base, &[("src/lib.rs", Some(&wrong))]).await;
    assert!(judgement.reason.contains("`tests::adds`"), "{}", judgement.reason);
    assert!(judgement.digest.contains("right: 3"), "{}", judgement.digest);

    let warns = good.replace("    a + b", "    let unused = 1;\n    a + b");
    let judgement = place.refused(&base, &[("src/lib.rs", Some(&warns))]).await;
    assert!(judgement.reason.contains("unused variable: `unused`"), "{}", judgement.reason);

    let deleted = &LIB[..LIB.find("\n#[cfg(test)]").expect("tests")];
    let judgement = place.refused(&base, &[("src/lib.rs", Some(deleted))]).await;
    assert!(
        judgement.reason.contains("the test `adds` was deleted (src/lib.rs:10)"),
        "{}",
        judgement.reason
    );
}
