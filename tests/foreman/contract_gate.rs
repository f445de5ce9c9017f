//! The contract's gate: what is refused whatever the repository's tests say, and how that is said.

use serde_json::{Value, json};

use crate::support::{
    SHELL_REPOSITORY, Server, Town, acts, good_work, issue, row, run_command, script, write_file,
};
use foreman::demo::model::{Reply, ScriptInput};

/// The words in which a refusal must name its cause: reason, violations, findings of what failed.
fn said(row: &Value) -> String {
    let mut text = row["reason"].as_str().unwrap_or_default().to_owned();
    for violation in row["governanceResults"]["violations"].as_array().into_iter().flatten() {
        text.push_str(&format!("\n{violation}"));
    }
    for check in row["qaResults"]["checks"].as_array().into_iter().flatten() {
        if check["outcome"] != "passed" {
            text.push_str(&format!("\n{}", check["findings"]));
        }
    }
    text
}

/// Each issue does the work of its number; all are refused.
async fn refusals(works: Vec<fn(&ScriptInput) -> Reply>) -> (Town, Server, Value) {
    let issues = (1..=works.len()).map(|number| issue(&format!("Number {number}"))).collect();
    let works_of = works.clone();
    let town = Town::with_files(
        script(move |input| {
            let number = usize::try_from(input.issue.unwrap_or(1)).unwrap_or(1);
            works_of[number - 1](input)
        }),
        issues,
        &[SHELL_REPOSITORY, &[("scripts/tool.sh", "echo tool\n")]].concat(),
    )
    .await;
    let server = town.serve().await;
    let run = server.night(&json!({"enableAutoHeal": false})).await;
    for number in 1..=works.len() as u64 {
        assert_eq!(row(&run, number)["status"], "failed", "{number}: {:#}", row(&run, number));
    }
    assert_eq!(run["status"], "partial");
    assert!(town.pulls().is_empty());
    assert!(!town.changes().iter().any(|it| it.starts_with("PUSH")), "{:?}", town.changes());
    (town, server, run)
}

/// Shell commands, and an honest test beside them.
fn shell(input: &ScriptInput, command: &str) -> Reply {
    let honest = write_file("tests/honest.sh", "test -f README.md\n");
    acts(input, vec![honest, run_command(command)])
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_refused_by_kind_and_line_and_never_repeated() {
    let key = concat!("AKIA", "IOSFODNN7EXAMPLQ");
    let (town, server, run) = refusals(vec![
        |input| shell(input, "printf 'a\\nb\\nkey = AKIA%s\\n' IOSFODNN7EXAMPLQ > config.txt"),
        |input| shell(input, "printf -- '-----BEGIN %s PRIVATE KEY-----\\nMIIE\\n' RSA > id.pem"),
        |input| match input.turn {
            0 => Reply::ToolCalls(vec![write_file("tests/honest.sh", "test -f README.md\n")]),
            _ => {
                Reply::Finish(format!("Use {}{}.", "ghp_", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"))
            }
        },
    ])
    .await;
    let first = said(row(&run, 1));
    assert!(first.contains("AWS") && first.contains("config.txt"), "{first}");
    let violations = row(&run, 1)["governanceResults"]["violations"].as_array().expect("some");
    let secret = violations.iter().find(|it| it["type"] == "secret").expect("a secret");
    assert_eq!((&secret["file"], &secret["line"]), (&json!("config.txt"), &json!(3)), "{secret}");
    assert_eq!(secret["severity"], "critical");
    assert!(said(row(&run, 2)).contains("private key"), "{}", said(row(&run, 2)));
    assert!(said(row(&run, 3)).contains("GitHub token"), "{}", said(row(&run, 3)));
    let all = run.to_string();
    assert!(!all.contains(key) && !all.contains("a1B2c3D4e5F6"), "the row repeats the secret");
    let events = server.get("/api/foreman/governance/events?limit=1000").await.text;
    assert!(!events.contains(key) && !events.contains("a1B2c3D4e5F6"), "an event repeats it");
    let id = run["id"].as_str().expect("an id");
    let report = server.get(&format!("/api/foreman/overnight/runs/{id}/report")).await.text;
    assert!(!report.contains(key) && !report.contains("a1B2c3D4e5F6"), "the report repeats it");
    for number in 1..=3 {
        for comment in town.github.comments(&crate::support::repo(), number) {
            let body = comment.body;
            assert!(!body.contains(key) && !body.contains("a1B2c3D4e5F6"), "{body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn protected_paths_and_odd_trees_are_refused_by_name() {
    let (_town, _server, run) = refusals(vec![
        |input| shell(input, "mkdir -p .github/workflows; echo 'on: push' > .github/workflows/x.yml"),
        |input| shell(input, "printf '* -diff\\n' > .gitattributes"),
        |input| shell(input, "ln -s /etc/passwd leak.txt"),
        |input| shell(input, "ln -s ../../outside leak.txt"),
        |input| {
            shell(
                input,
                "git init -q sub && cd sub && git -c user.name=x -c user.email=x@y commit -q --allow-empty -m x && cd .. && git add -f sub; git status --short",
            )
        },
        |input| shell(input, "printf '[submodule \"x\"]\\n\\tpath = x\\n\\turl = ../x\\n' > .gitmodules"),
        |input| shell(input, "sed -i 's/timeout_seconds = 60/timeout_seconds = 61/' .foreman.toml"),
    ])
    .await;
    for (number, name) in [
        (1, ".github/workflows/x.yml"),
        (2, ".gitattributes"),
        (3, "leak.txt"),
        (4, "leak.txt"),
        (5, "sub"),
        (6, ".gitmodules"),
        (7, ".foreman.toml"),
    ] {
        let text = said(row(&run, number));
        assert!(text.contains(name), "{number}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dishonest_green_is_refused() {
    let (_town, _server, run) = refusals(vec![
        // The runner no longer fails.
        |input| shell(input, "sed -i 's/^exit $bad/exit 0/' run-checks.sh"),
        // The only check is emptied.
        |input| acts(input, vec![write_file("tests/base.sh", "true\n")]),
        // A test goes away, another comes.
        |input| acts(input, vec![run_command("git mv tests/base.sh tests/other.sh 2>/dev/null || mv tests/base.sh tests/other.sh; echo true > tests/other.sh")]),
        |input| shell(input, "printf '<<<<<<< HEAD\\na\\n=======\\nb\\n>>>>>>> other\\n' > notes.txt"),
        |input| shell(input, "head -c 3000000 /dev/urandom > blob.bin"),
        // Nothing at all.
        |_| Reply::Finish("It is fine as it is.".to_owned()),
    ])
    .await;
    for (number, name) in
        [(1, "run-checks.sh"), (2, "base.sh"), (3, "base.sh"), (4, "notes.txt"), (5, "blob.bin")]
    {
        let text = said(row(&run, number));
        assert!(text.contains(name), "{number}: {text}");
    }
    assert_eq!(row(&run, 6)["reasonCode"], "no_change");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_summary_holds_what_the_contract_promises() {
    let town = Town::new(script(good_work), vec![issue("Anything")]).await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    let done = row(&run, 1);
    let qa = &done["qaResults"];
    for key in [
        "passed",
        "qicPassed",
        "qielPassed",
        "cdwPassed",
        "memoryFabricPassed",
        "driftCheckPassed",
        "governanceCheckPassed",
    ] {
        assert_eq!(qa[key], true, "{key}: {qa:#}");
    }
    let checks = qa["checks"].as_array().expect("checks");
    assert_eq!((&qa["failedChecks"], &qa["totalChecks"]), (&json!(0), &json!(checks.len())));
    for dimension in ["qic", "qiel", "cdw", "memory_fabric", "drift", "governance"] {
        assert!(checks.iter().any(|it| it["dimension"] == dimension), "{dimension}");
    }
    let ran: Vec<&Value> = checks.iter().filter(|it| it["command"].is_string()).collect();
    assert!(!ran.is_empty());
    for check in ran {
        assert!(check["exitCode"].is_i64(), "{check}");
        let log = check["logSha256"].as_str().expect("a log");
        assert!(log.len() == 64 && log.bytes().all(|it| it.is_ascii_hexdigit()), "{log}");
    }
    let pull = &town.github.pulls(&crate::support::repo())[0];
    for name in ["QIC", "QIEL", "CDW", "Memory fabric", "Drift", "Governance"] {
        assert!(pull.body.contains(&format!("| {name} |")), "{name}: {}", pull.body);
    }
    assert!(pull.body.contains("USD") && pull.body.contains("gpt-4"), "{}", pull.body);
    assert_eq!(
        done["prUrl"].as_str().map(|it| it.ends_with(&format!("/pull/{}", pull.number))),
        Some(true)
    );
    assert_eq!(done["headSha"], pull.head_sha.as_str());
    assert_eq!(done["baseSha"], pull.base_sha.as_str());
    let cost = done["costUsd"].as_f64().expect("a cost");
    assert!(cost > 0.0 && (run["costUsd"].as_f64().expect("a cost") - cost).abs() < 1e-9);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_labelled_repair_is_worked_on_when_the_base_is_red() {
    let town = Town::new(
        script(|input| acts(input, vec![write_file("fixed.txt", "yes\n")])),
        vec![
            issue("Repair it").label("foreman:repair-base"),
            issue("Not a maintainer's word").label_by("foreman:repair-base", "passer-by"),
            issue("Anything"),
        ],
    )
    .await;
    town.github
        .commit(
            &crate::support::repo(),
            "main",
            &[("tests/broken.sh", Some("test -f fixed.txt\n"))],
            "break it",
        )
        .expect("a commit");
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["status"], "success", "{run:#}\n{}", server.log());
    for number in [2, 3] {
        assert_eq!(row(&run, number)["status"], "skipped", "{run:#}");
        assert_eq!(row(&run, number)["reasonCode"], "base_red");
    }
    assert_eq!(town.pulls().len(), 1);
    assert!(town.model.requests().iter().all(|it| it.issue == Some(1)));
    town.assert_clean();
}
