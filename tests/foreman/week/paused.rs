//! A key that dies in mid-night: the night waits for another one, and no issue fails by it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{foreman, heard};
use crate::support::{Server, Town, body, good_work, issue, row, script};
use foreman::demo::model::{Reply, Script};

const NEW_TOKEN: &str = "ghp_another_0123456789";

/// Good work; before the second issue is first answered, it waits to be told to go on.
struct Gate {
    asked: tokio::sync::watch::Receiver<bool>,
    go: Sender<()>,
}

fn gated() -> (Script, Gate) {
    let (asked, was_asked) = tokio::sync::watch::channel(false);
    let (go, wait): (Sender<()>, Receiver<()>) = channel();
    let wait = Mutex::new(wait);
    let answers = script(move |input| {
        if input.issue == Some(2) && !asked.send_replace(true) {
            // The stand-in answers on the story's own threads: others must go on meanwhile.
            tokio::task::block_in_place(|| wait.lock().expect("held").recv().expect("told"));
        }
        good_work(input)
    });
    (answers, Gate { asked: was_asked, go })
}

const THREE_ONCE: [&str; 9] = [
    "PUSH refs/heads/foreman/issue-1",
    "POST /pulls",
    "POST /issues/1/comments",
    "PUSH refs/heads/foreman/issue-2",
    "POST /pulls",
    "POST /issues/2/comments",
    "PUSH refs/heads/foreman/issue-3",
    "POST /pulls",
    "POST /issues/3/comments",
];

fn said_once(run: &Value) -> String {
    let errors = run["errors"].as_array().expect("errors");
    assert_eq!(errors.len(), 1, "{run:#}");
    errors[0].as_str().expect("a sentence").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_revoked_in_mid_night_pauses_it_until_there_is_another() {
    let (answers, mut gate) = gated();
    let town = Town::new(answers, vec![issue("One"), issue("Two"), issue("Three")]).await;
    let file = town.data.path().join("token");
    std::fs::write(&file, town.github.token()).expect("written");
    let mut town = town.set("GITHUB_TOKEN_FILE", &file.display().to_string());
    town.env.remove("GITHUB_TOKEN");
    let server = town.serve().await;
    let id = server.begin(&body()).await;
    gate.asked.wait_for(|asked| *asked).await.expect("the second issue is built");
    town.github.revoke(town.github.token());
    gate.go.send(()).expect("it waits");
    heard(&server, &id, "overnight_execution_paused").await;

    let path = format!("/api/foreman/overnight/runs/{id}");
    let run = server.get(&path).await.json["run"].clone();
    assert_eq!((&run["status"], &run["failedIssues"]), (&json!("running"), &json!(0)), "{run:#}");
    let said = said_once(&run);
    for part in ["is paused", "401", "set GITHUB_TOKEN", "start Foreman again", "foreman cancel"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(row(&run, 1)["status"], "success");
    for number in [2, 3] {
        let path = format!("/api/foreman/overnight/why?owner=octo&repo=app&issue={number}");
        let why = server.get(&path).await.json["why"].clone();
        assert_eq!((&why["state"], &why["reasonCode"]), (&json!("waiting"), &Value::Null));
        assert!(why["answer"].as_str().is_some_and(|it| it.contains(&said)), "{why:#}");
        assert!(why["whatToDo"].as_str().is_some_and(|it| it.contains("start Foreman again")));
    }
    let report = server.get(&format!("{path}/report?format=text")).await.text;
    assert!(report.contains("octo/app: paused") && report.contains(&said), "{report}");
    let there = Town {
        env: [town.env.clone(), [("FOREMAN_URL".to_owned(), server.url.clone())].into()]
            .into_iter()
            .flatten()
            .collect(),
        ..town
    };
    let (_, status) = foreman(&there, &["status"]).await;
    assert!(status.contains("octo/app  paused  ") && status.contains(&said), "{status}");
    server.terminate().await;
    let town = there;

    // A restart with the same token pauses it again, and nothing is lost by that.
    let server = town.serve().await;
    heard_again(&server, &id, 2).await;
    server.terminate().await;

    town.github.add_token(NEW_TOKEN, town.github.login());
    std::fs::write(&file, NEW_TOKEN).expect("written");
    let server = town.serve().await;
    let run = server.ended(&id).await;
    assert_eq!(run["status"], "completed", "{run:#}\n{}", server.log());
    assert_eq!(run["errors"], json!([]), "what it waited for is over");
    assert_eq!(town.changes(), THREE_ONCE);
    assert_eq!(town.model.requests().len(), 9, "nothing is bought twice");
    town.assert_clean();
}

/// Until the log of events has this many pauses of the run.
async fn heard_again(server: &Server, id: &str, times: usize) {
    let path = format!("/api/foreman/overnight/runs/{id}/events");
    let mut stream = server.request("GET", &path).send().await.expect("a stream");
    let mut text = String::new();
    while text.matches("\"type\":\"overnight_execution_paused\"").count() < times {
        let piece = stream.chunk().await.expect("read").expect("the run goes on");
        text.push_str(&String::from_utf8_lossy(&piece));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_a_server_says_it_and_goes_on_when_asked_again() {
    let (answers, mut gate) = gated();
    let mut town = Town::new(answers, vec![issue("One"), issue("Two"), issue("Three")]).await;
    let running = {
        let (town, args) = (&town, ["run", "octo/app"]);
        let work = foreman(town, &args);
        let revoke = async {
            gate.asked.wait_for(|asked| *asked).await.expect("the second issue is built");
            town.github.revoke(town.github.token());
            gate.go.send(()).expect("it waits");
        };
        tokio::join!(work, revoke).0
    };
    let (code, text) = running;
    assert!(code == Some(2) && text.contains("is paused: GitHub does not accept"), "{text}");
    town.github.add_token(NEW_TOKEN, town.github.login());
    town.env.insert("GITHUB_TOKEN".to_owned(), NEW_TOKEN.to_owned());
    let (code, text) = foreman(&town, &["run", "octo/app"]).await;
    assert!(code == Some(0) && text.contains("Going on with the unfinished night"), "{text}");
    assert_eq!(town.changes(), THREE_ONCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_night_can_be_cancelled() {
    let (answers, mut gate) = gated();
    let town = Town::new(answers, vec![issue("One"), issue("Two")]).await;
    let server = town.serve().await;
    let id = server.begin(&body()).await;
    gate.asked.wait_for(|asked| *asked).await.expect("the second issue is built");
    town.github.revoke(town.github.token());
    gate.go.send(()).expect("it waits");
    heard(&server, &id, "overnight_execution_paused").await;
    let answer = server.post(&format!("/api/foreman/overnight/runs/{id}/cancel"), &json!({})).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let run = server.ended(&id).await;
    assert_eq!(run["status"], "cancelled", "{run:#}");
    assert_eq!(row(&run, 2)["reasonCode"], "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_key_that_worked_and_is_refused_pauses_too() {
    let dead = Arc::new(Mutex::new(true));
    let is_dead = Arc::clone(&dead);
    let town = Town::new(
        script(move |input| match input.issue {
            Some(2) if *is_dead.lock().expect("held") => Reply::Status(
                401,
                vec![],
                r#"{"error":{"message":"Incorrect API key provided","code":"invalid_api_key"}}"#
                    .to_owned(),
            ),
            _ => good_work(input),
        }),
        vec![issue("One"), issue("Two"), issue("Three")],
    )
    .await;
    let server = town.serve().await;
    let id = server.begin(&body()).await;
    heard(&server, &id, "overnight_execution_paused").await;
    let run = server.get(&format!("/api/foreman/overnight/runs/{id}")).await.json["run"].clone();
    let said = said_once(&run);
    assert!(said.contains("refused the key") && said.contains("OPENAI_API_KEY"), "{said}");
    assert_eq!(run["failedIssues"], 0, "{run:#}");
    server.terminate().await;
    *dead.lock().expect("held") = false;
    let town = town.set("OPENAI_API_KEY", "sk-test-another-0123456789");
    let server = town.serve().await;
    let run = server.ended(&id).await;
    assert_eq!(run["status"], "completed", "{run:#}\n{}", server.log());
    assert_eq!(town.changes(), THREE_ONCE);
}

/// A mistake of the setup stops nothing half-way: each issue says so, and the night ends.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_never_worked_end_the_night_as_before() {
    let town = Town::new(
        script(|_| Reply::Status(401, vec![], "{}".to_owned())),
        vec![issue("One"), issue("Two")],
    )
    .await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!((&run["status"], &run["failedIssues"]), (&json!("partial"), &json!(2)), "{run:#}");
    let town = town.set("GITHUB_TOKEN", "ghp_unknown_0123456789");
    server.terminate().await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(run["status"], "failed", "{run:#}");
    assert!(said_once(&run).contains("401"), "{run:#}");
}

/// So that any of them can be changed by changing a file.
#[tokio::test]
async fn each_secret_may_come_from_a_file() {
    let town = Town::new(script(good_work), vec![]).await;
    let secrets = foreman::config::VARIABLES.iter().filter(|variable| variable.secret);
    let mut seen = 0;
    for variable in secrets {
        let mut env = town.env.clone();
        env.remove(variable.name);
        env.insert(format!("{}_FILE", variable.name), "/nowhere/secret".to_owned());
        let (code, text) = Server::start_and_fail(&env, town.data.path()).await;
        let named = text.contains(variable.name) && text.contains("/nowhere/secret");
        assert!(code.is_some_and(|code| code != 0) && named, "{}: {text}", variable.name);
        seen += 1;
    }
    assert!(seen >= 5, "{seen}");
}
