//! What a stranger's review found: each story failed when it was written.

use std::sync::Mutex;
use std::sync::mpsc;

use serde_json::json;

use crate::support::{Town, body, good_work, issue, repo, row, script, write_file};
use foreman::demo::github::Fault;
use foreman::demo::model::Reply;

/// One git request that GitHub refuses, anywhere in a night, loses neither the night nor paid work.
#[tokio::test(flavor = "multi_thread")]
async fn one_failed_git_request_loses_nothing() {
    let mut lost = Vec::new();
    for after in 1..10 {
        let town = Town::new(script(good_work), vec![issue("One"), issue("Two")]).await;
        let fault = Fault::status("GET", "info/refs\\?service=git-upload-pack", 503);
        town.github.fail_next(fault.after(after));
        let server = town.serve().await;
        let run = server.night(&json!(null)).await;
        if run["status"] != "completed" {
            let why = |n| row(&run, n)["reason"].clone();
            lost.push(format!(
                "request {after}: {} {:?} errors {}; #1 {} #2 {}",
                run["status"],
                town.changes().len(),
                run["errors"],
                why(1),
                why(2)
            ));
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
}

/// A base that turns red in mid-night: nothing more is built on it.
#[tokio::test(flavor = "multi_thread")]
async fn a_base_that_turns_red_stops_the_night() {
    let (asked, was_asked) = mpsc::channel();
    let (go, wait) = mpsc::channel();
    let (asked, wait) = (Mutex::new(Some(asked)), Mutex::new(wait));
    let town = Town::new(
        script(move |input| {
            if let Some(asked) = asked.lock().expect("lock").take() {
                asked.send(()).expect("sent");
                wait.lock().expect("lock").recv().expect("told to go on");
            }
            good_work(input)
        }),
        vec![issue("One"), issue("Two")],
    )
    .await;
    let server = town.serve().await;
    let id = server.begin(&body()).await;
    tokio::task::spawn_blocking(move || was_asked.recv()).await.expect("joined").expect("asked");
    town.github
        .commit(&repo(), "main", &[("tests/red.sh", Some("exit 1\n"))], "break it")
        .expect("committed");
    go.send(()).expect("sent");
    let run = server.ended(&id).await;
    let second = town.model.requests().iter().filter(|request| request.issue == Some(2)).count();
    assert_eq!(row(&run, 2)["reasonCode"], "base_red", "{:#}", row(&run, 2));
    assert_eq!(second, 0, "requests for #2 on a red base");
}

/// Somebody pushes to our branch between our push and our pull request: none is opened for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_branch_altered_after_the_push_gets_no_pull_request() {
    let town = Town::new(script(good_work), vec![issue("Anything")]).await;
    let mut server = town.serve_dying_at("push.observed").await;
    let id = server.begin(&body()).await;
    server.died().await;
    town.github
        .commit(&repo(), "foreman/issue-1", &[("tests/base.sh", None)], "not judged")
        .expect("committed");
    let server = town.serve().await;
    let run = server.ended(&id).await;
    let judged = row(&run, 1)["headSha"].clone();
    let heads: Vec<String> =
        town.github.pulls(&repo()).into_iter().map(|pull| pull.head_sha).collect();
    assert!(heads.iter().all(|head| judged == *head.as_str()), "judged {judged}, opened {heads:?}");
}

/// One issue's ceiling ends that issue, not everybody's night.
#[tokio::test(flavor = "multi_thread")]
async fn an_issue_s_ceiling_ends_that_issue_alone() {
    let town = Town::new(
        script(|input| match input.issue {
            Some(1) => Reply::ToolCalls(vec![write_file("a.txt", &"x ".repeat(200 * input.turn))]),
            _ => good_work(input),
        }),
        vec![issue("Endless"), issue("Quick")],
    )
    .await;
    std::fs::write(town.data.path().join("foreman.toml"), "[limits]\nissue_usd = 0.03\n")
        .expect("written");
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["reasonCode"], "budget", "{:#}", row(&run, 1));
    assert_eq!(row(&run, 2)["status"], "success", "{:#}", row(&run, 2));
}

/// Taken over on a machine without the first one's mirror: the work is built again.
#[tokio::test(flavor = "multi_thread")]
async fn work_whose_mirror_is_gone_is_built_again() {
    let town = Town::new(script(good_work), vec![issue("Anything")]).await;
    let mut server = town.serve_dying_at("work.kept").await;
    let id = server.begin(&body()).await;
    server.died().await;
    std::fs::remove_dir_all(town.data.path().join("data/mirrors")).expect("removed");
    let server = town.serve().await;
    let run = server.ended(&id).await;
    assert_eq!(run["status"], "completed", "{:#}", row(&run, 1));
}

/// A GitHub App's token lives for an hour and nights live longer: git gets a fresh one.
#[tokio::test(flavor = "multi_thread")]
async fn git_gets_a_fresh_token_when_the_app_s_ends() {
    let (asked, was_asked) = mpsc::channel();
    let (go, wait) = mpsc::channel();
    let (asked, wait) = (Mutex::new(Some(asked)), Mutex::new(wait));
    let mut town = Town::new(
        script(move |input| {
            if let Some(asked) = asked.lock().expect("lock").take() {
                asked.send(()).expect("sent");
                wait.lock().expect("lock").recv().expect("told to go on");
            }
            good_work(input)
        }),
        vec![issue("Anything")],
    )
    .await;
    town.github.add_app(42, "foreman", include_str!("github/app_key.pub.pem"));
    town.env.remove("GITHUB_TOKEN");
    town.env.insert("GITHUB_APP_ID".to_owned(), "42".to_owned());
    town.env
        .insert("GITHUB_APP_PRIVATE_KEY".to_owned(), include_str!("github/app_key.pem").to_owned());
    let server = town.serve().await;
    let id = server.begin(&body()).await;
    tokio::task::spawn_blocking(move || was_asked.recv()).await.expect("joined").expect("asked");
    (0..100_000).for_each(|n| town.github.revoke(&format!("ghs_standin{n}")));
    // Another request finds the token ended and gets a fresh one, as the clock would have it.
    assert_eq!(server.post("/api/foreman/overnight/plan", &body()).await.status, 200);
    go.send(()).expect("sent");
    let run = server.ended(&id).await;
    assert_eq!(run["status"], "completed", "{:#}\n{}", run["errors"], row(&run, 1)["reason"]);
}

/// Cancelled after its pull request was opened, an issue is not told as left out.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_night_still_tells_of_its_pull_request() {
    let town = Town::new(script(good_work), vec![issue("Anything")]).await;
    town.github.fail_next(Fault::status("POST", "/issues/1/comments", 502).times(9));
    let server = town.serve().await;
    let id = server.begin(&body()).await;
    let path = format!("/api/foreman/overnight/runs/{id}");
    while server.get(&path).await.json["run"]["issueResults"][0]["prUrl"].is_null() {}
    server.post(&format!("{path}/cancel"), &json!({})).await;
    let run = server.ended(&id).await;
    assert_eq!(run["status"], "cancelled");
    assert_eq!(town.pulls().len(), 1);
    assert_eq!(
        row(&run, 1)["status"],
        "success",
        "{} {}",
        row(&run, 1)["reason"],
        row(&run, 1)["prUrl"]
    );
}
