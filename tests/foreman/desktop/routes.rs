//! The desktop routes of the real server, their events, and the command line.

use serde_json::{Value, json};

use super::merging::{DRIFT, MERGE, environment};
use super::scene::Scene;
use crate::support::Server;

async fn events(server: &Server, kind: &str) -> Vec<Value> {
    let path = format!("/api/foreman/governance/events?type={kind}&limit=100");
    server.get(&path).await.json["events"].as_array().expect("events").clone()
}

/// How merges that were cut short ended, as events tell it.
pub async fn recovered(server: &Server) -> Vec<String> {
    let mut told = events(server, "desktop_sync").await;
    told.extend(events(server, "desktop_sync_failed").await);
    told.retain(|event| event["metadata"]["recovered"] == true);
    let word = |event: &Value| event["metadata"]["eventType"].as_str().map(str::to_owned);
    told.iter().filter_map(word).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drift_merge_and_health_as_the_contract_has_them() {
    let scene = Scene::new();
    let tip = scene.someone("src/lib.rs", "changed\n");
    let server = Server::start(&environment(&scene), &scene.at("")).await;

    let drift = server.get(DRIFT).await;
    assert_eq!((drift.status, &drift.json["success"]), (200, &json!(true)), "{}", drift.text);
    for key in [
        "repositoryId",
        "hasDrift",
        "state",
        "localCommit",
        "remoteCommit",
        "divergedFiles",
        "conflictResolutionRequired",
        "safeToMerge",
    ] {
        assert_eq!(drift.json[key], drift.json["drift"][key], "{key}");
        assert!(!drift.json[key].is_null(), "{key}");
    }
    assert_eq!(drift.json["state"], "behind");
    assert_eq!(drift.json["divergedFiles"], json!(["src/lib.rs"]));

    let dry = server.post(MERGE, &json!({ "dryRun": true })).await;
    assert_eq!((dry.status, &dry.json["merged"]), (200, &json!(false)), "{}", dry.text);
    let merged = server.post(MERGE, &json!({})).await;
    assert_eq!((merged.status, &merged.json["merged"]), (200, &json!(true)), "{}", merged.text);
    assert_eq!(
        (&merged.json["to"], &merged.json["from"]),
        (&json!(tip), &drift.json["localCommit"])
    );
    let backup = merged.json["backupRef"].as_str().expect("a ref");
    assert_eq!(json!(scene.mine(&["rev-parse", backup])), drift.json["localCommit"]);
    let again = server.post(MERGE, &json!({})).await;
    assert_eq!((again.status, &again.json["merged"]), (200, &json!(false)), "{}", again.text);
    let synced = events(&server, "desktop_sync").await;
    assert_eq!(synced.len(), 1);
    assert_eq!(synced[0]["metadata"]["repositoryId"], "foreman-app");
    assert_eq!(synced[0]["metadata"]["syncSuccess"], true);

    let health = server.get("/api/foreman/desktop/health").await;
    assert_eq!((health.status, &health.json["ready"]), (200, &json!(true)), "{}", health.text);
    assert!(health.json["standing"]["checks"].is_u64(), "{}", health.text);
    let overview = server.get("/api/foreman/overnight").await;
    assert_eq!(
        overview.json["status"]["localBuilderHealth"],
        json!({ "ready": true, "issues": [] })
    );
    assert!(!events(&server, "desktop_health_check").await.is_empty());
    server.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_says_why() {
    let scene = Scene::new();
    scene.someone("other.txt", "theirs\n");
    scene.i_commit("other.txt", "mine\n");
    let server = Server::start(&environment(&scene), &scene.at("")).await;
    let refused = server.post(MERGE, &json!({})).await;
    assert_eq!((refused.status, refused.json["code"].as_str()), (409, Some("not_safe_to_merge")));
    assert!(refused.json["error"].as_str().expect("text").contains("`other.txt`"));
    let drifted = events(&server, "repository_drift_detected").await;
    let task = drifted.iter().find(|event| event["metadata"]["refused"] == true).expect("an event");
    assert_eq!(task["metadata"]["conflicts"], json!(["other.txt"]));
    assert!(task["metadata"]["howToResolve"].as_array().is_some_and(|steps| steps.len() == 4));

    scene.edit("README.md", "dirty\n");
    let health = server.get("/api/foreman/desktop/health").await;
    assert_eq!(health.json["ready"], false);
    assert!(health.json["issues"][0].as_str().expect("text").contains("`README.md` is changed"));
    std::fs::remove_dir_all(scene.at("origin.git")).expect("removed");
    let unknown = server.get(DRIFT).await;
    assert_eq!((unknown.status, &unknown.json["state"]), (200, &json!("unknown")));
    assert!(unknown.json["errorMessage"].is_string() && unknown.json["safeToMerge"] == false);
    assert_eq!(server.post(MERGE, &json!({})).await.status, 409);

    let base = "/api/foreman/desktop/repositories";
    assert_eq!(server.get(&format!("{base}/nobody/drift")).await.status, 404);
    assert_eq!(server.get(&format!("{base}/%ff/drift")).await.status, 404);
    assert_eq!(server.post(&format!("{base}/nobody/merge"), &json!({})).await.status, 404);
    for (body, status) in
        [(json!({ "dryRun": 1 }), 400), (json!({ "force": true }), 400), (json!([]), 400)]
    {
        assert_eq!(server.post(MERGE, &body).await.status, status, "{body}");
    }
    assert_eq!(server.get(&format!("{DRIFT}?x=1")).await.status, 400);
    server.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_says_the_same_without_a_server() {
    let scene = Scene::new();
    scene.someone("src/lib.rs", "changed\n");
    let run = |words: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_foreman"))
            .args(words)
            .env_clear()
            .envs(environment(&scene))
            .env("FOREMAN_URL", "http://127.0.0.1:9")
            .env("PATH", std::env::var_os("PATH").expect("PATH"))
            .current_dir(scene.at(""))
            .output()
            .expect("it starts");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = run(&["desktop", "drift", "foreman-app"]);
    assert_eq!((code, said.contains("behind: 0 ahead, 1 behind, safe")), (Some(0), true), "{said}");
    let (code, said) = run(&["desktop", "merge", "foreman-app", "--json"]);
    assert_eq!((code, said.contains("\"merged\":true")), (Some(0), true), "{said}");
    let (code, said) = run(&["desktop", "health"]);
    assert_eq!((code, said.contains("Ready.")), (Some(0), true), "{said}");
    assert_eq!(run(&["desktop", "drift", "nobody"]).0, Some(1));
}
