//! A night's transcripts, and its progress, as people read them.

use std::path::Path;

use serde_json::json;

use crate::support::{Server, Town, acts, issue, row, run_command, script, write_file};

const CANARY: &str = "ghp_0123456789abcdefghijABCDEFGHIJ012345";

async fn foreman(town: &Town, url: Option<&str>, args: &[&str]) -> (Option<i32>, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_foreman"));
    command.args(args).env_clear().envs(&town.env).current_dir(town.data.path());
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    // Nobody listens on port 1.
    command.env("FOREMAN_URL", url.unwrap_or("http://127.0.0.1:1"));
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("joined");
    let output = output.expect("it ran");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = std::process::Command::new("git");
    let output = command.arg("--git-dir").arg(folder).args(arguments).output().expect("git runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn night() -> (Town, Server, serde_json::Value) {
    let town = Town::new(
        script(|input| {
            let mut actions = vec![
                write_file("notes/a.txt", "a\n"),
                write_file("tests/a.sh", "grep -q a notes/a.txt\n"),
            ];
            actions.extend((0..4).map(|n| run_command(&format!("echo {n} {CANARY}"))));
            acts(input, actions)
        }),
        vec![issue("Told")],
    )
    .await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["status"], "success", "{:#}", row(&run, 1));
    (town, server, run)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_is_read_by_route_and_by_command() {
    let (town, server, run) = night().await;
    let id = run["id"].as_str().expect("an id");
    let path = format!("/api/foreman/overnight/runs/{id}/issues/1/transcript");
    let answer = server.get(&path).await;
    assert_eq!((answer.status, &answer.json["success"]), (200, &json!(true)));
    let turns = answer.json["transcript"]["turns"].as_array().expect("turns").clone();
    let roles: Vec<&str> = turns.iter().filter_map(|turn| turn["role"].as_str()).collect();
    assert_eq!(roles[..4], ["system", "user", "assistant", "tool"]);
    assert_eq!(roles.last(), Some(&"note"));
    assert_eq!(turns[2]["toolCalls"][0]["name"], "write_file");
    assert_eq!((&turns[2]["tier"], &turns[2]["round"]), (&json!("gpt-4"), &json!(1)));
    assert_eq!(turns[3]["toolCallId"], turns[2]["toolCalls"][0]["id"]);
    assert!(!answer.text.contains(CANARY), "nobody's secret is shown");

    let text = server.get(&format!("{path}?format=text")).await;
    assert!(
        text.text.contains("==== round 1") && text.text.contains("> write_file {"),
        "{}",
        text.text
    );
    for (path, code) in [
        (format!("/api/foreman/overnight/runs/{id}/issues/9/transcript"), "unknown_issue"),
        (format!("/api/foreman/overnight/runs/{id}/issues/x/transcript"), "unknown_issue"),
        ("/api/foreman/overnight/runs/nope/issues/1/transcript".to_owned(), "unknown_run"),
    ] {
        let refused = server.get(&path).await;
        assert_eq!((refused.status, &refused.json["code"]), (404, &json!(code)), "{path}");
    }

    let url = server.url.clone();
    let (code, by_server) = foreman(&town, Some(&url), &["transcript", id, "1"]).await;
    assert_eq!(code, Some(0));
    assert!(by_server.contains("==== round 1") && by_server.contains("finished by gpt-4"));
    drop(server);
    let (code, by_store) = foreman(&town, None, &["transcript", id, "1"]).await;
    assert_eq!((code, by_store), (Some(0), by_server), "the same without a server");
    let (code, said) = foreman(&town, None, &["transcript", id, "9", "--json"]).await;
    assert_ne!(code, Some(0));
    assert!(said.contains("\"error\""), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_stands_in_the_nights_events_and_the_work_in_a_private_ref() {
    let (town, server, run) = night().await;
    let id = run["id"].as_str().expect("an id");
    let path = format!("/api/foreman/governance/events?runId={id}&type=build_progress");
    let events = server.get(&path).await.json["events"].as_array().expect("events").clone();
    assert_eq!(events.len(), 1, "{events:#?}");
    let kept = events[0]["metadata"]["workInProgress"].as_str().expect("a commit").to_owned();
    let attempt = row(&run, 1)["buildId"].as_str().expect("an attempt").to_owned();
    let mirror = town.data.path().join("data/mirrors/octo/app.git");
    let name = format!("refs/foreman/attempts/{attempt}/progress-0");
    assert_eq!(git(&mirror, &["rev-parse", &name]).trim(), kept);
    assert_eq!(git(&mirror, &["show", &format!("{name}:notes/a.txt")]), "a\n");
    town.assert_clean();
}
