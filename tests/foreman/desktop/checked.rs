//! A clone's own check: what a merge would leave must pass it, in a checkout of its own, or the clone
//! stays exactly as it was.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use foreman::desktop_sync::{DesktopError, QuickCheck, QuickChecks};
use foreman::domain::event::EventType;
use foreman::process::Children;
use foreman::sandbox::{Mode, Sandbox};
use foreman::store::EventQuery;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::merging::environment;
use super::scene::{Scene, differences, fingerprint};
use crate::store::lab::Lab;
use crate::support::Server;

const MERGE: &str = "/api/foreman/desktop/repositories/app/merge";
const DRIFT: &str = "/api/foreman/desktop/repositories/app/drift";

/// A server over the scene's clone, which has this check.
async fn server(scene: &Scene, check: &str, seconds: u32) -> Server {
    let clone = scene.clone_dir();
    let toml = format!(
        "[[desktop.repositories]]\nid = \"app\"\npath = '{}'\ncheck = '''{check}'''\ncheck_seconds = {seconds}\n",
        clone.display()
    );
    std::fs::write(scene.at("foreman.toml"), toml).expect("written");
    let mut environment = environment(scene);
    environment.remove("LOCAL_FOREMAN_APP_PATH");
    Server::start(&environment, &scene.at("")).await
}

async fn newest(server: &Server, kind: &str) -> Value {
    let answer = server.get(&format!("/api/foreman/governance/events?type={kind}&limit=1")).await;
    answer.json["events"][0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_passes_in_the_merged_tree_is_merged() {
    let scene = Scene::new();
    scene.someone("other.txt", "theirs\n");
    scene.i_commit("mine.txt", "mine\n");
    scene.edit("untracked.txt", "in the clone alone\n");
    // Both sides' files are there, and nothing that only lies about in the clone.
    let check = "grep -q theirs other.txt && grep -q mine mine.txt && ! test -e untracked.txt \
                 && echo left > here.txt";
    let server = server(&scene, check, 60).await;
    let merged = server.post(MERGE, &json!({})).await;
    assert_eq!((merged.status, &merged.json["merged"]), (200, &json!(true)), "{}", merged.text);
    assert_eq!(scene.mine(&["rev-parse", "HEAD"]), merged.json["to"]);
    assert_eq!(scene.mine(&["status", "--porcelain"]), "?? untracked.txt");
    assert!(!scene.at("data/desktop/app.check").exists());
    let started = newest(&server, "desktop_sync_started").await;
    assert_eq!(started["metadata"]["eventType"], "sync_started");
    assert_eq!(started["metadata"]["repositoryId"], "app");
    let done = newest(&server, "desktop_sync").await;
    assert_eq!(done["metadata"]["eventType"], "sync_completed");
    assert!(started["seq"].as_i64() < done["seq"].as_i64(), "{started} {done}");
    server.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_leaves_the_clone_exactly_as_it_was() {
    let scene = Scene::new();
    super::merging::every_kind_of_step(&scene);
    scene.edit("untracked.txt", "mine\n");
    let check = "rm -rf ../../* .git src; echo 'the reason'; exit 3";
    let server = server(&scene, check, 60).await;
    server.get(DRIFT).await;
    let before = fingerprint(&scene.clone_dir(), &[]);
    let refused = server.post(MERGE, &json!({})).await;
    assert_eq!((refused.status, &refused.json["code"]), (409, &json!("merge_failed")));
    let said = refused.json["error"].as_str().expect("text");
    assert!(said.contains("failed with exit code 3"), "{said}");
    let after = fingerprint(&scene.clone_dir(), &[]);
    assert_eq!(differences(&before, &after), Vec::<String>::new());
    let event = newest(&server, "desktop_sync_failed").await;
    assert_eq!(event["metadata"]["eventType"], "sync_failed");
    assert_eq!(event["metadata"]["syncSuccess"], false);
    assert!(
        event["metadata"]["checkOutput"].as_str().is_some_and(|it| it.contains("the reason")),
        "{event}"
    );
    assert!(!scene.at("data/desktop/app.check").exists());
    // Nothing is in the way of the next one.
    assert_eq!(server.get(DRIFT).await.json["safeToMerge"], true);
    server.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_takes_too_long_has_failed() {
    let scene = Scene::new();
    scene.someone("src/lib.rs", "changed\n");
    let head = scene.mine(&["rev-parse", "HEAD"]);
    let server = server(&scene, "sleep 600", 1).await;
    let refused = server.post(MERGE, &json!({})).await;
    assert_eq!((refused.status, &refused.json["code"]), (409, &json!("merge_failed")));
    assert!(refused.text.contains("took longer than 1 s"), "{}", refused.text);
    assert_eq!(scene.mine(&["rev-parse", "HEAD"]), head);
    server.kill().await;
}

fn checks(sandbox: Result<Sandbox, String>, command: &str) -> QuickChecks {
    let check = QuickCheck { command: command.to_owned(), timeout: Duration::from_secs(600) };
    QuickChecks::new(sandbox, HashMap::from([("app".to_owned(), check)]))
}

#[tokio::test]
async fn without_a_sandbox_nothing_is_merged_unchecked() {
    let scene = Scene::new();
    scene.someone("src/lib.rs", "changed\n");
    let head = scene.mine(&["rev-parse", "HEAD"]);
    let desktop = scene.desktop().checked_by(checks(Err("none works".to_owned()), "true"));
    let failed = desktop.merge("app", false).await;
    let Err(DesktopError::Failed { why, .. }) = failed else { panic!("{failed:?}") };
    assert!(why.contains("no sandbox: none works"), "{why}");
    assert_eq!(scene.mine(&["rev-parse", "HEAD"]), head);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_runs_can_be_stopped() {
    let scene = Scene::new();
    scene.someone("src/lib.rs", "changed\n");
    let lab = Lab::sqlite().await;
    let helper = PathBuf::from(env!("CARGO_BIN_EXE_foreman"));
    let children = Children::start(helper.clone()).expect("started");
    let sandbox = Sandbox::detect(children, Mode::Auto, helper).await.expect("a sandbox");
    let desktop = scene
        .desktop_telling(scene.settings(), Some(lab.store.clone()))
        .checked_by(checks(Ok(sandbox), "sleep 600"));
    let stop = CancellationToken::new();
    let merging = tokio::spawn({
        let (desktop, stop) = (desktop.clone(), stop.clone());
        async move { desktop.merge_until("app", false, &stop).await }
    });
    while !scene.at("data/desktop/app.check/private").exists() {
        assert!(!merging.is_finished(), "it is not waited for");
        tokio::task::yield_now().await;
    }
    // Meanwhile others look, and its owner works on.
    assert!(desktop.drift("app").await.expect("known").safe_to_merge);
    scene.edit("untracked.txt", "mine\n");
    let before = fingerprint(&scene.clone_dir(), &[]);
    stop.cancel();
    let failed = merging.await.expect("no panic");
    assert!(matches!(failed, Err(DesktopError::Failed { .. })), "{failed:?}");
    let after = fingerprint(&scene.clone_dir(), &[]);
    assert_eq!(differences(&before, &after), Vec::<String>::new());
    let query = EventQuery { types: vec![EventType::DesktopSyncFailed], ..EventQuery::default() };
    assert_eq!(lab.store.events(query).await.expect("read").len(), 1);
}
