//! The check that comes by itself: by a clock that the story holds, never two at once, and what it
//! merges and tells of.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use foreman::desktop_sync::{DesktopSync, Settings};
use foreman::domain::event::{EventType, Severity};
use foreman::governance::Governance;
use foreman::store::EventQuery;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::scene::{Scene, commit, git};
use crate::store::lab::Lab;
use crate::support::{SLUG, Town, body, good_work, issue, script};

/// The time between checks, which passes when the story says so.
struct Clock {
    rests: mpsc::UnboundedReceiver<(Duration, oneshot::Sender<()>)>,
    resting: Option<oneshot::Sender<()>>,
    stop: CancellationToken,
    checks: JoinHandle<()>,
}

impl Clock {
    fn start(desktop: &DesktopSync, randoms: &'static [f64]) -> Self {
        let (asked, rests) = mpsc::unbounded_channel();
        let (desktop, stop) = (desktop.clone(), CancellationToken::new());
        let stopping = stop.clone();
        let checks = tokio::spawn(async move {
            let rest = move |pause| {
                let (over, waits) = oneshot::channel();
                asked.send((pause, over)).ok();
                async move { waits.await.unwrap_or_default() }
            };
            let mut randoms = randoms.iter().cycle();
            let random = move || *randoms.next().expect("it goes round");
            desktop.run_by(stopping, rest, random).await;
        });
        Self { rests, resting: None, stop, checks }
    }

    /// Lets the pause be over, if there is one; the next check is over when this returns. How long
    /// the pause after it is to be.
    async fn check(&mut self) -> Duration {
        if let Some(over) = self.resting.take() {
            over.send(()).expect("it waits");
        }
        let (pause, over) = self.rests.recv().await.expect("it goes on");
        self.resting = Some(over);
        pause
    }

    async fn end(self) {
        self.stop.cancel();
        self.checks.await.expect("it ends when told to");
    }
}

#[tokio::test]
async fn it_checks_at_once_then_after_each_pause_until_it_is_told_to_stop() {
    let scene = Scene::new();
    let desktop = scene.desktop();
    let mut clock = Clock::start(&desktop, &[0.0, 0.5, 1.0]);
    let mut pauses = Vec::new();
    for checks in 1..=3 {
        pauses.push(clock.check().await.as_secs());
        assert_eq!(desktop.standing().checks, checks);
    }
    assert_eq!(pauses, [1_800, 1_890, 1_980]);
    assert!(desktop.standing().available);
    clock.end().await;
    assert_eq!(desktop.standing().checks, 3);
}

#[tokio::test]
async fn two_timers_never_check_at_once() {
    let scene = Scene::new();
    let (now, most, all) = <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let models = get({
        let (now, most, all) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&all));
        move || async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            all.fetch_add(1, Ordering::SeqCst);
            // Long enough for another check to come in.
            for _ in 0..2_000 {
                tokio::task::yield_now().await;
            }
            now.fetch_sub(1, Ordering::SeqCst);
            "[]"
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let app = Router::new().route("/models", models);
    tokio::spawn(async move { axum::serve(listener, app).await });
    let mut settings = scene.settings();
    settings.builder.server = Some(url.parse().expect("an address"));
    let desktop = scene.desktop_with(settings);
    let (mut one, mut two) = (Clock::start(&desktop, &[0.0]), Clock::start(&desktop, &[0.0]));
    for _ in 0..2 {
        tokio::join!(one.check(), two.check());
    }
    assert_eq!((all.load(Ordering::SeqCst), most.load(Ordering::SeqCst)), (4, 1));
    one.end().await;
    two.end().await;
}

/// A clone whose events are written down and looked at.
async fn told(scene: &Scene, lab: &Lab) -> (DesktopSync, Governance) {
    let settings = Settings { auto_merge: true, ..scene.settings() };
    let desktop = scene.desktop_telling(settings, Some(lab.store.clone()));
    let governance = crate::governance::governance(lab, &scene.at("governance")).await;
    (desktop, governance)
}

async fn open_causes(lab: &Lab, governance: &Governance) -> Vec<String> {
    governance.look().await.expect("looked");
    let open = lab.store.incidents(true).await.expect("read");
    open.into_iter().map(|incident| incident.cause).collect()
}

async fn count(lab: &Lab, kind: EventType) -> usize {
    let query = EventQuery { types: vec![kind], ..EventQuery::default() };
    lab.store.events(query).await.expect("read").len()
}

#[tokio::test]
async fn what_is_safe_is_merged_and_a_conflict_is_one_incident_until_it_is_resolved() {
    let (scene, lab) = (Scene::new(), Lab::sqlite().await);
    let (desktop, governance) = told(&scene, &lab).await;
    let tip = scene.someone("src/lib.rs", "changed\n");
    let mut clock = Clock::start(&desktop, &[0.0]);
    clock.check().await;
    assert_eq!(scene.mine(&["rev-parse", "HEAD"]), tip);
    for kind in [EventType::DesktopSyncStarted, EventType::DesktopSync] {
        assert_eq!(count(&lab, kind).await, 1, "{kind}");
    }
    assert_eq!(open_causes(&lab, &governance).await, Vec::<String>::new());

    scene.someone("other.txt", "theirs\n");
    let mine = scene.i_commit("other.txt", "mine\n");
    clock.check().await;
    assert_eq!(open_causes(&lab, &governance).await, ["desktop_conflict:app"]);
    clock.check().await;
    assert_eq!(open_causes(&lab, &governance).await, ["desktop_conflict:app"]);
    assert_eq!(scene.mine(&["rev-parse", "HEAD"]), mine, "nothing was forced");
    // What does not change is told at the lowest severity.
    let types = vec![EventType::DesktopHealthCheck];
    let checks = lab.store.events(EventQuery { types, ..EventQuery::default() }).await;
    assert_eq!(checks.expect("read")[0].severity, Severity::Info);

    // A person merges and pushes.
    scene.mine(&["fetch", "--quiet", "origin", "main"]);
    scene.mine(&["merge", "--quiet", "-X", "ours", "FETCH_HEAD"]);
    scene.mine(&["push", "--quiet", "origin", "HEAD:main"]);
    clock.check().await;
    assert_eq!(open_causes(&lab, &governance).await, Vec::<String>::new());
    assert_eq!(count(&lab, EventType::IncidentClosed).await, 1);
    clock.end().await;
}

#[tokio::test]
async fn a_remote_that_is_away_three_times_is_an_incident_until_it_is_back() {
    let (scene, lab) = (Scene::new(), Lab::sqlite().await);
    let (desktop, governance) = told(&scene, &lab).await;
    let mut clock = Clock::start(&desktop, &[0.0]);
    clock.check().await;
    std::fs::rename(scene.at("origin.git"), scene.at("away.git")).expect("moved");
    for _ in 0..2 {
        clock.check().await;
        assert_eq!(open_causes(&lab, &governance).await, Vec::<String>::new());
    }
    assert!(desktop.standing().available, "twice is no loss");
    clock.check().await;
    assert_eq!(open_causes(&lab, &governance).await, ["desktop_unreachable:app"]);
    assert!(!desktop.standing().available);
    std::fs::rename(scene.at("away.git"), scene.at("origin.git")).expect("moved");
    // Known again is enough, in step or not.
    scene.i_commit("mine.txt", "ahead\n");
    clock.check().await;
    assert_eq!(open_causes(&lab, &governance).await, Vec::<String>::new());
    clock.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nights_plan_has_the_clones_verdict() {
    let scene = Scene::new();
    scene.someone("src/lib.rs", "changed\n");
    git(&scene.clone_dir(), &["checkout", "--quiet", "-b", "aside"]);
    commit(&scene.clone_dir(), "aside");
    git(&scene.clone_dir(), &["checkout", "--quiet", "main"]);
    let town = Town::new(script(good_work), vec![issue("Write a note")])
        .await
        .set("DESKTOP_BUILDER_ENABLED", "true")
        .set("LOCAL_FOREMAN_APP_PATH", &scene.clone_dir().display().to_string());
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    let path = format!(
        "/api/foreman/governance/events?type=plan_created&runId={}",
        run["id"].as_str().expect("an id")
    );
    let planned = server.get(&path).await.json["events"].clone();
    assert_eq!(planned.as_array().map(Vec::len), Some(1), "{planned}");
    let verdict = &planned[0]["metadata"]["desktop"];
    assert_eq!(verdict["ready"], true, "{verdict}");
    assert_eq!(verdict["repositories"][0]["repositoryId"], "foreman-app");
    assert_eq!(verdict["repositories"][0]["state"], "behind");
    assert_eq!(verdict["repositories"][0]["safeToMerge"], true);
    // Looked at, not merged: nobody asked for that.
    assert_eq!(
        server.get("/api/foreman/governance/events?type=desktop_sync").await.json["events"],
        json!([])
    );

    let mut wanted = body();
    let plan = server.post("/api/foreman/overnight/plan", &wanted).await;
    assert!(plan.text.contains("\"state\":\"behind\""), "{}", plan.text);
    wanted["config"] = json!({ "enableDesktopSync": false });
    let plan = server.post("/api/foreman/overnight/plan", &wanted).await;
    assert!(!plan.text.contains("foreman-app"), "{}", plan.text);
    assert!(plan.text.contains(SLUG.split('/').next().expect("an owner")), "{}", plan.text);
    server.kill().await;
    town.assert_clean();
}
