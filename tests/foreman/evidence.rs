//! What people see of a night's evidence: logs by their hash, the pull request, the report, labels.

use serde_json::{Value, json};

use crate::support::{
    SHELL_REPOSITORY, Town, acts, body, good_work, issue, repo, row, run_command, script,
    write_file,
};

fn log_of<'a>(run: &'a Value, number: u64, name: &str) -> &'a str {
    let checks = row(run, number)["qaResults"]["checks"].as_array().expect("checks");
    let check = checks.iter().find(|it| it["name"] == name).expect("the check");
    check["logSha256"].as_str().expect("a log")
}

/// `foreman` as a person runs it, beside the server or without one.
async fn foreman(town: &Town, args: &[&str]) -> (bool, String) {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_foreman"))
        .args(args)
        .env_clear()
        .envs(&town.env)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .current_dir(town.data.path())
        .output()
        .await
        .expect("it runs");
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    (output.status.success(), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_log_is_opened_by_its_hash_and_holds_no_secret() {
    let town = Town::with_files(
        script(|input| {
            // The test's own output names the service's key.
            let leak = write_file("tests/leak.sh", "test -f README.md\n");
            acts(input, vec![leak, write_file("notes.txt", "x\n")])
        }),
        vec![issue("Anything")],
        &[
            SHELL_REPOSITORY,
            &[(
                ".foreman.toml",
                "[gate]\ntest = \"echo key sk-test-0123456789abcdef; sh run-checks.sh\"\nbuild = []\n",
            )],
        ]
        .concat(),
    )
    .await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(run["status"], "completed", "{run:#}");
    let id = run["id"].as_str().expect("an id");
    let hash = log_of(&run, 1, "test");
    let path = format!("/api/foreman/overnight/runs/{id}/logs");
    let log = server.get(&format!("{path}/{hash}")).await;
    assert_eq!(log.status, 200, "{}", log.text);
    assert!(log.text.contains("ok 1 - tests/base.sh"), "{}", log.text);
    assert!(log.text.contains("key ") && !log.text.contains("0123456789abcdef"), "{}", log.text);
    assert_eq!(log.headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(log.headers["x-content-type-options"], "nosniff");
    // The base's own log is named by its event.
    let events = server.get("/api/foreman/governance/events?type=base_judged").await.json;
    let base = &events["events"][0]["metadata"];
    let of_base = base["checks"][0]["logSha256"].as_str().expect("a log");
    assert_eq!(server.get(&format!("{path}/{of_base}")).await.status, 200);
    assert!(base["found"].to_string().contains("named in .foreman.toml"), "{base}");
    for (odd, code) in [
        (format!("{path}/{}", "0".repeat(64)), "unknown_log"),
        (format!("{path}/..%2f..%2fforeman.db"), "unknown_log"),
        (format!("/api/foreman/overnight/runs/nobody/logs/{hash}"), "unknown_run"),
    ] {
        let answer = server.get(&odd).await;
        assert_eq!((answer.status, &answer.json["code"]), (404, &json!(code)), "{odd}");
    }

    let with_server =
        town.env.clone().into_iter().chain([("FOREMAN_URL".to_owned(), server.url.clone())]);
    let there = Town { env: with_server.collect(), ..town };
    let (ok, list) = foreman(&there, &["logs", id]).await;
    assert!(ok && list.contains(&hash[..12]) && list.contains("#1"), "{list}");
    let (ok, text) = foreman(&there, &["logs", id, &hash[..10]]).await;
    assert!(ok && text.contains("ok 1 - tests/base.sh"), "{text}");
    server.kill().await;
    let (ok, text) = foreman(&there, &["logs", id, hash]).await;
    assert!(ok && text.contains("ok 1 - tests/base.sh"), "{text}");
    let (ok, text) = foreman(&there, &["logs", id, "ffff"]).await;
    assert!(!ok && text.contains("no check of this run has a log"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pull_request_tells_what_why_and_how_to_run_it_again() {
    let town = Town::new(script(good_work), vec![issue("Write the notes")]).await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    let id = run["id"].as_str().expect("an id");
    let pull = &town.github.pulls(&repo())[0];
    for wanted in [
        "Issue #1 asks for: Write the notes. This changes 2 files, +2 -0 lines.",
        "| Memory fabric |",
        "sh run-checks.sh\n",
        &format!("git checkout --detach {}", pull.head_sha),
        &format!("foreman logs {id}"),
        "test: `sh run-checks.sh`, named in .foreman.toml",
        "Tiers used: gpt-4.",
        "Models asked: ",
        log_of(&run, 1, "test"),
    ] {
        assert!(pull.body.contains(wanted), "{wanted}:\n{}", pull.body);
    }
    assert_eq!(row(&run, 1)["changeSize"], json!({"files": 2, "addedLines": 2, "removedLines": 0}));
    let report = server.get(&format!("/api/foreman/overnight/runs/{id}/report")).await;
    let need = &report.json["report"]["pullRequests"][0]["reviewNeed"];
    assert_eq!((&need["rank"], &need["level"]), (&json!(1), &json!("low")), "{need}");
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_labels_are_set_only_when_wanted() {
    let works = |input: &foreman::demo::model::ScriptInput| match input.issue {
        Some(1) => good_work(input),
        _ => acts(input, vec![run_command("echo '* -diff' > .gitattributes")]),
    };
    let issues = || vec![issue("Good"), issue("Bad")];
    let plain = Town::new(script(works), issues()).await;
    let server = plain.serve().await;
    server.night(&json!({"enableAutoHeal": false})).await;
    assert!(!plain.changes().iter().any(|it| it.contains("labels")), "{:?}", plain.changes());
    server.kill().await;

    let town = Town::new(script(works), issues()).await;
    let config = town.data.path().join("foreman.toml");
    std::fs::write(&config, "[labels]\nprogress = true\n").expect("written");
    let mut server = town.serve_dying_at("pull.after").await;
    let id = server.begin(&body()).await;
    server.died().await;
    assert_eq!(town.github.labels(&repo(), 1), ["foreman:in-progress"]);
    let server = town.serve().await;
    server.ended(&id).await;
    assert_eq!(town.github.labels(&repo(), 1), ["foreman:proposed"]);
    assert_eq!(town.github.labels(&repo(), 2), ["foreman:refused"]);
    town.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_of_the_policy_counts_when_a_maintainer_set_it() {
    const POLICY: &str = "[gate]\ntest = \"sh run-checks.sh\"\n[policy]\nmax_changed_files = 1\n\
        protected_paths = [\"docs/**\"]\n[policy.labels.sweeping]\noff = [\"protected_paths\"]\n\
        max_changed_files = 9\n";
    let town = Town::with_files(
        script(|input| {
            let number = input.issue.unwrap_or_default();
            let check = write_file(&format!("tests/of-{number}.sh"), "test -f README.md\n");
            acts(input, vec![check, write_file(&format!("docs/{number}.md"), "# X\n")])
        }),
        vec![
            issue("Wide").label("sweeping"),
            issue("A stranger's word").label_by("sweeping", "passer-by"),
            issue("No label"),
        ],
        &[SHELL_REPOSITORY, &[(".foreman.toml", POLICY)]].concat(),
    )
    .await;
    let server = town.serve().await;
    let run = server.night(&json!({"enableAutoHeal": false})).await;
    assert_eq!(row(&run, 1)["status"], "success", "{run:#}");
    for number in [2, 3] {
        assert_eq!(row(&run, number)["status"], "failed", "{run:#}");
        assert!(row(&run, number)["reason"].to_string().contains("the policy allows 1"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_policy_stands_above_the_repositorys() {
    let town = Town::new(script(good_work), vec![issue("Anything")]).await;
    let config = "[repositories.\"octo/app\".gate]\nlint = \"echo from the operator\"\n\
        [repositories.\"octo/app\".policy]\nmax_changed_files = 1\n";
    std::fs::write(town.data.path().join("foreman.toml"), config).expect("written");
    let server = town.serve().await;
    let run = server.night(&json!({"enableAutoHeal": false})).await;
    assert!(row(&run, 1)["reason"].to_string().contains("the policy allows 1"), "{run:#}");
    let events = server.get("/api/foreman/governance/events?type=base_judged").await.text;
    assert!(events.contains("`echo from the operator`, set by the operator"), "{events}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_an_earlier_round_is_opened_by_the_hash_in_its_event() {
    let town = Town::new(
        script(|input| {
            let says = if input.round == 0 { "test -f nowhere\n" } else { "test -f README.md\n" };
            acts(input, vec![write_file("tests/new.sh", says), write_file("notes.txt", "x\n")])
        }),
        vec![issue("Anything")],
    )
    .await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["status"], "success", "{run:#}");
    let events = server.get("/api/foreman/governance/events?type=gate_judged").await.json;
    let first = events["events"].as_array().and_then(|it| it.last()).expect("an event");
    assert_eq!(first["metadata"]["passed"], false, "{first}");
    assert_eq!(first["metadata"]["round"], 0, "{first}");
    let logs = first["metadata"]["logs"].as_array().expect("logs");
    let test = logs.iter().find(|log| log["name"] == "test").expect("the test's");
    let hash = test["logSha256"].as_str().expect("a hash");
    assert_ne!(hash, log_of(&run, 1, "test"), "the row holds the last round's");
    let id = run["id"].as_str().expect("an id");
    let log = server.get(&format!("/api/foreman/overnight/runs/{id}/logs/{hash}")).await;
    assert_eq!(log.status, 200, "{}", log.text);
    assert!(log.text.contains("not ok") && log.text.contains("tests/new.sh"), "{}", log.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_found_to_run_is_said_in_the_plan_and_the_pull_request() {
    // No policy: all of it follows from the Makefile.
    let makefile = "test:\n\tsh run-checks.sh\n";
    let files = [SHELL_REPOSITORY, &[("Makefile", makefile), (".foreman.toml", "[policy]\n")]];
    let town = Town::with_files(script(good_work), vec![issue("Anything")], &files.concat()).await;
    let server = town.serve().await;
    let plan = server.post("/api/foreman/overnight/plan", &body()).await;
    let checks = &plan.json["plan"]["checks"];
    let found = checks["found"].as_array().unwrap_or_else(|| panic!("{}", plan.text));
    let says = |word: &str| found.iter().any(|line| line.to_string().contains(word));
    assert!(says("Make (Makefile)") && says("`make test`"), "{checks:#}");
    assert!(checks["note"].is_null(), "{checks:#}");
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["status"], "success", "{run:#}\n{}", server.log());
    let pull = &town.github.pulls(&repo())[0];
    let (_, told) = pull.body.split_once("What was found to run").expect("it is told");
    for line in found {
        let line = line.as_str().expect("a text");
        assert!(told.contains(line.split('`').next().expect("a beginning")), "{line}:\n{told}");
    }
    assert!(told.contains("make test"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_that_nothing_names_go_and_evidence_stays() {
    let town = Town::new(script(good_work), vec![issue("Anything")]).await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(run["status"], "completed", "{run:#}");
    let hash = log_of(&run, 1, "test").to_owned();
    server.kill().await;
    let logs = town.data.path().join("data/logs");
    let stray = logs.join("ee").join("e".repeat(64));
    std::fs::create_dir_all(stray.parent().expect("a folder")).expect("made");
    std::fs::write(&stray, "ok 1\n").expect("written");
    // Everything is a year old.
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(365 * 24 * 3600);
    let evidence = logs.join(&hash[..2]).join(&hash);
    for path in [&stray, &evidence] {
        std::fs::File::open(path).and_then(|it| it.set_modified(then)).expect("set back");
    }
    let (ok, text) = foreman(&town, &["clean", "--dry-run"]).await;
    assert!(ok && text.contains("a log that nothing names") && stray.exists(), "{text}");
    assert!(!text.contains(&hash), "{text}");
    let (ok, text) = foreman(&town, &["clean"]).await;
    assert!(ok && !stray.exists() && evidence.exists(), "{text}");
    let (ok, text) = foreman(&town, &["logs", run["id"].as_str().expect("an id"), &hash]).await;
    assert!(ok && text.contains("ok 1 - tests/base.sh"), "{text}");
}
