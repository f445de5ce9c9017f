//! Checkpoints in a second place that is not on this machine: a branch, and a webhook.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use foreman::domain::event::EventType;
use foreman::github::{Credential, GitHub};
use foreman::governance::alerts::AlertForm;
use foreman::governance::delivery::{Webhook, signature};
use foreman::governance::{AnchorBranch, Governance, Settings, VerifyError};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::event;
use crate::store::lab::Lab;

crate::store::on_both!(checkpoints_are_commits_on_a_branch, checkpoints_are_posted_signed,);

/// The part of GitHub's contents API that is needed, as strict: a file is only replaced by who names
/// what it replaces, and a branch must be there.
#[derive(Clone, Default)]
struct Contents(Arc<Mutex<Repository>>);

#[derive(Default)]
struct Repository {
    branches: Vec<String>,
    files: BTreeMap<String, String>,
    commits: Vec<String>,
    /// The next write is carried out and its answer lost.
    lose_reply: bool,
}

fn sha(text: &str) -> String {
    format!("{:040x}", text.len())
}

fn refused(status: u16) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    (status, Json(json!({ "message": "refused" }))).into_response()
}

impl Contents {
    fn with<T>(&self, read: impl FnOnce(&mut Repository) -> T) -> T {
        read(&mut self.0.lock().expect("lock"))
    }

    async fn reference(State(this): State<Self>, Path(branch): Path<String>) -> Response {
        match this.with(|repo| repo.branches.contains(&branch)) {
            true => Json(json!({ "ref": branch, "object": { "sha": sha("tip") } })).into_response(),
            false => refused(404),
        }
    }

    async fn begin(State(this): State<Self>, Json(body): Json<Value>) -> Response {
        let name = body["ref"].as_str().and_then(|name| name.strip_prefix("refs/heads/"));
        let (Some(name), Some(_)) = (name, body["sha"].as_str()) else { return refused(422) };
        this.with(|repo| match repo.branches.iter().any(|branch| branch == name) {
            true => refused(422),
            false => {
                repo.branches.push(name.to_owned());
                (StatusCode::CREATED, Json(json!({}))).into_response()
            }
        })
    }

    async fn read(
        State(this): State<Self>,
        Path(path): Path<String>,
        Query(query): Query<BTreeMap<String, String>>,
    ) -> Response {
        this.with(|repo| {
            if !repo.branches.contains(&query["ref"]) {
                return refused(404);
            }
            if let Some(text) = repo.files.get(&path) {
                let mut content = STANDARD.encode(text);
                content.insert(content.len() / 2, '\n');
                return Json(json!({ "sha": sha(text), "content": content })).into_response();
            }
            let below = format!("{path}/");
            let names = repo.files.keys().filter_map(|name| name.strip_prefix(&below));
            let names: std::collections::BTreeSet<&str> =
                names.map(|name| name.split('/').next().unwrap_or(name)).collect();
            if names.is_empty() {
                return refused(404);
            }
            let entries: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
            Json(json!(entries)).into_response()
        })
    }

    async fn write(
        State(this): State<Self>,
        Path(path): Path<String>,
        Json(body): Json<Value>,
    ) -> Response {
        this.with(|repo| {
            let there = repo.files.get(&path).map(|text| sha(text));
            if !repo.branches.iter().any(|branch| body["branch"] == branch.as_str()) {
                return refused(404);
            }
            match (there, body["sha"].as_str()) {
                (None, None) => {}
                (Some(there), Some(given)) if there == given => {}
                (Some(_), Some(_)) => return refused(409),
                (Some(_), None) | (None, Some(_)) => return refused(422),
            }
            let content = STANDARD.decode(body["content"].as_str().expect("text")).expect("base64");
            repo.files.insert(path, String::from_utf8(content).expect("text"));
            repo.commits.push(body["message"].as_str().expect("a message").to_owned());
            if std::mem::take(&mut repo.lose_reply) {
                return refused(502);
            }
            Json(json!({ "content": {}, "commit": {} })).into_response()
        })
    }

    async fn serve(&self) -> String {
        let app = Router::new()
            .route("/repos/octo/log", get(|| async { Json(json!({ "default_branch": "main" })) }))
            .route("/repos/octo/log/git/ref/heads/{*branch}", get(Self::reference))
            .route("/repos/octo/log/git/refs", post(Self::begin))
            .route("/repos/octo/log/contents/{*path}", get(Self::read).put(Self::write))
            .with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    }
}

async fn write(lab: &Lab, count: usize) {
    lab.store.append((0..count).map(|n| event(format!("{n}"))).collect()).await.expect("written");
}

async fn checkpoints_are_commits_on_a_branch(lab: &Lab) {
    rustls::crypto::ring::default_provider().install_default().ok();
    let contents = Contents::default();
    contents.with(|repo| repo.branches.push("main".to_owned()));
    let url = contents.serve().await;
    let token = Some(Credential::Token(SecretString::from("t")));
    let github = GitHub::new(&url.parse().expect("an address"), token).expect("usable");
    let folder = tempfile::tempdir().expect("a folder");
    let branch = AnchorBranch {
        repo: "octo/log".parse().expect("a repository"),
        branch: "foreman/checkpoints".to_owned(),
    };
    let settings = Settings { anchor_branch: Some(branch), ..Settings::in_folder(folder.path()) };
    let governance = Governance::open(lab.store.clone(), github, settings).await.expect("opened");
    write(lab, 3).await;
    governance.checkpoint().await.expect("signed");
    // Carried out, but the answer is lost: it is looked for, and not committed twice.
    write(lab, 1).await;
    contents.with(|repo| repo.lose_reply = true);
    governance.checkpoint().await.expect("signed").expect("one");
    assert_eq!(
        contents.with(|repo| repo.commits.clone()),
        ["checkpoint: event 3", "checkpoint: event 4"]
    );
    // With the file gone, the branch alone still proves it.
    std::fs::remove_file(folder.path().join("governance/anchors.jsonl")).expect("removed");
    let found = governance.verify().await.expect("verified");
    assert_eq!((found.ok, found.anchored_through), (true, Some(4)), "{found:?}");
    let places = &found.anchor.places;
    assert_eq!((places[0].checkpoints, places[1].checkpoints), (0, 2), "{places:?}");
    // A branch that does not answer proves nothing, and says so.
    contents.with(|repo| repo.branches.clear());
    contents.with(|repo| repo.files.clear());
    let found = governance.verify().await.expect("verified");
    assert_eq!((found.ok, found.anchored_through), (true, None));
}

async fn checkpoints_are_posted_signed(lab: &Lab) {
    type Bodies = Arc<Mutex<Vec<(String, String)>>>;
    let bodies = Bodies::default();
    let down = Arc::new(Mutex::new(false));
    let app = Router::new().route(
        "/",
        post({
            let (bodies, down) = (Arc::clone(&bodies), Arc::clone(&down));
            move |headers: axum::http::HeaderMap, body: String| async move {
                if *down.lock().expect("lock") {
                    return StatusCode::SERVICE_UNAVAILABLE;
                }
                let signed = headers["x-foreman-signature-256"].to_str().expect("text").to_owned();
                bodies.lock().expect("lock").push((signed, body));
                StatusCode::OK
            }
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let key = SecretString::from("k");
    let webhook =
        Webhook { url: SecretString::from(url), form: AlertForm::Json, key: Some(key.clone()) };
    let folder = tempfile::tempdir().expect("a folder");
    let settings = Settings { anchor_webhook: Some(webhook), ..Settings::in_folder(folder.path()) };
    let governance = super::with(lab, settings).await;
    write(lab, 2).await;
    governance.checkpoint().await.expect("signed");
    {
        let bodies = bodies.lock().expect("lock");
        assert_eq!(bodies[0].0, signature(&key, &bodies[0].1));
        let head: Value = serde_json::from_str(&bodies[0].1).expect("JSON");
        assert_eq!(head["seq"], 2);
    }
    *down.lock().expect("lock") = true;
    write(lab, 1).await;
    let error = governance.checkpoint().await.expect_err("it is down");
    assert!(matches!(error, VerifyError::Checkpoint(_)), "{error}");
    let events = governance.log().query(&Default::default()).await.expect("read");
    assert_eq!(events[0].kind, EventType::CheckpointFailed);
    governance.look().await.expect("looked");
    assert_eq!(lab.store.incidents(true).await.expect("read").len(), 1);
    // It is back: the next one covers what was left out, and nothing was lost.
    *down.lock().expect("lock") = false;
    governance.checkpoint().await.expect("signed").expect("one");
    assert!(governance.verify().await.expect("verified").ok);

    // With the file gone only the receiver holds them: that covers nothing until it is brought.
    std::fs::remove_file(folder.path().join("governance/anchors.jsonl")).expect("removed");
    let found = governance.verify().await.expect("verified");
    assert_eq!((found.ok, found.anchored_through), (true, None));
    let why = found.anchor.places[1].error.as_deref().expect("why");
    assert!(why.contains("--anchors FILE"), "{why}");
    let received: Vec<String> =
        bodies.lock().expect("lock").iter().map(|(_, body)| body.clone()).collect();
    let through =
        |line: &String| serde_json::from_str::<Value>(line).expect("JSON")["seq"].as_i64();
    let last = received.iter().filter_map(through).max();
    let found = governance.verify_with(Some(received.join("\n"))).await.expect("verified");
    assert_eq!((found.ok, found.anchored_through), (true, last), "{found:?}");
}
