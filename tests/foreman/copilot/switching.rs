//! The switch through all its transitions, with a new process between any two of them: only what is
//! stored counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::TimeDelta;
use foreman::builders::{SwitchError, Switchboard};
use foreman::demo::github::{CopilotAct, FakeGitHub, Options};
use foreman::domain::event::EventType;
use foreman::domain::ids::RunId;
use foreman::domain::redact::Redactor;
use foreman::domain::run::{NightConfig, NightRequest};
use foreman::domain::switch::{Builder, SwitchRules, SwitchState};
use foreman::github::{Credential, GitHub};
use foreman::store::{DatabaseUrl, EventQuery, NewRun, OpenOptions, Store, StoreClock};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::town;
use crate::support::{Town, good_work, issue, repo, script};

/// 2026-11-22 12:00:00 UTC.
const NOON: i64 = 1_795_348_800_000_000;
const MINUTE: i64 = 60_000_000;

const RULES: SwitchRules = SwitchRules {
    copilot: true,
    desktop: true,
    after_failures: 3,
    return_after: 2,
    at_least: TimeDelta::minutes(30),
};

struct Desk {
    dir: tempfile::TempDir,
    clock: Arc<AtomicI64>,
}

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        Self { dir, clock: Arc::new(AtomicI64::new(NOON)) }
    }

    async fn store(&self) -> Store {
        let url = format!("sqlite://{}", self.dir.path().join("foreman.db").display());
        let options = OpenOptions {
            url: DatabaseUrl::parse(&url, self.dir.path()).expect("a url"),
            redactor: Arc::new(Redactor::new(["ghp_verysecretvalue"])),
            clock: StoreClock::Fixed(Arc::clone(&self.clock)),
            read_only: false,
        };
        Store::open(options).await.expect("a store")
    }

    /// One process: it opens, does its one thing and is gone.
    async fn process<T>(
        &self,
        rules: SwitchRules,
        act: impl AsyncFnOnce(&Switchboard) -> T,
    ) -> (T, SwitchState) {
        let store = self.store().await;
        let board = Switchboard::new(store.clone(), rules);
        let done = act(&board).await;
        let state = board.state().await.expect("a state");
        store.close().await;
        (done, state)
    }

    fn after(&self, minutes: i64) {
        self.clock.fetch_add(minutes * MINUTE, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn every_transition_is_stored_and_goes_on_in_the_next_process() {
    let desk = Desk::new();
    let fail = async |work: &str| {
        let work = work.to_owned();
        let act = async move |board: &Switchboard| {
            board.record_failure(&work, "no pull request, ghp_verysecretvalue").await.expect("told")
        };
        desk.process(RULES, act).await
    };
    let health = async |ready: bool| {
        let act = async move |board: &Switchboard| {
            board.record_health(ready, "GitHub says no").await.expect("told")
        };
        desk.process(RULES, act).await
    };
    let (_, state) = desk.process(RULES, async |_| ()).await;
    assert_eq!(state.active, Builder::Copilot, "set up, so it begins");

    // Copilot -> desktop by failures; the same work told twice counts once.
    fail("a").await;
    let (_, state) = fail("a").await;
    assert_eq!((state.active, state.failures), (Builder::Copilot, 1));
    fail("b").await;
    let (switched, state) = fail("c").await;
    assert_eq!((state.active, switched.is_some()), (Builder::Desktop, true));
    assert!(!state.reason.contains("ghp_verysecretvalue"), "{}", state.reason);

    // Not before the time, not with a bad check between, then back.
    for (minutes, ready, active) in [
        (10, true, Builder::Desktop),
        (10, true, Builder::Desktop),
        (5, false, Builder::Desktop),
        (10, true, Builder::Desktop),
        (1, true, Builder::Copilot),
    ] {
        desk.after(minutes);
        let (_, state) = health(ready).await;
        assert_eq!(state.active, active, "after {minutes} more minutes");
    }

    // Copilot -> desktop by failed checks, and back by a person.
    health(false).await;
    health(false).await;
    let (switched, state) = health(false).await;
    assert_eq!((state.active, switched.is_some()), (Builder::Desktop, true));
    let put = |to| async move |board: &Switchboard| board.switch_builder(to, "a person").await;
    let (put_back, state) = desk.process(RULES, put(Builder::Copilot)).await;
    assert!(put_back.is_ok_and(|(switched, _)| switched) && state.active == Builder::Copilot);

    // Held by a person: no check brings it back.
    desk.process(RULES, put(Builder::Desktop)).await.0.expect("put");
    desk.after(600);
    health(true).await;
    health(true).await;
    let (_, state) = health(true).await;
    assert_eq!((state.active, state.held), (Builder::Desktop, true));
    desk.process(RULES, put(Builder::Copilot)).await.0.expect("put");

    // Copilot taken out of the configuration, and asked for all the same.
    let without = SwitchRules { copilot: false, ..RULES };
    let (asked, state) = desk.process(without, put(Builder::Copilot)).await;
    assert!(matches!(asked, Err(SwitchError::NoCopilot(_))));
    assert_eq!(state.active, Builder::Desktop);
    let (_, state) = desk.process(RULES, async |_| ()).await;
    assert_eq!(state.active, Builder::Copilot, "set up again");

    // Each switch left its event, and nothing else did.
    let store = desk.store().await;
    let query = EventQuery { types: vec![EventType::BuilderSwitch], ..EventQuery::default() };
    let events = store.events(query).await.expect("events");
    let mut told: Vec<String> = events
        .iter()
        .map(|event| event.metadata["to"].as_str().unwrap_or_default().to_owned())
        .collect();
    told.reverse();
    assert_eq!(told, ["desktop", "copilot", "desktop", "copilot", "desktop", "copilot"]);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_asks_github_about_the_repositories_of_the_latest_nights() {
    let fake = FakeGitHub::start(Options::default()).await.expect("it starts");
    fake.create_repo(&repo(), &[("README.md", "x\n")]).expect("a repository");
    let credential = Credential::Token(fake.token().to_owned().into());
    let github = GitHub::new(&fake.api_url(), Some(credential)).expect("a client");
    let desk = Desk::new();
    let store = desk.store().await;
    let board = Switchboard::new(store.clone(), RULES);
    assert_eq!(
        board.check(&github).await.expect("checked"),
        None,
        "no night, nothing to ask about"
    );
    let request = NightRequest { repo: repo(), config: NightConfig::default(), dry_run: true };
    let id = RunId::fresh();
    store
        .create_run(NewRun { id, request, idempotency: None, events: Vec::new() })
        .await
        .expect("a run");
    for _ in 0..3 {
        assert_eq!(board.check(&github).await.expect("checked"), Some(false));
    }
    assert_eq!(board.state().await.expect("a state").active, Builder::Desktop);
    fake.enable_copilot(|_| CopilotAct::Nothing);
    desk.after(31);
    for _ in 0..2 {
        assert_eq!(board.check(&github).await.expect("checked"), Some(true));
    }
    assert_eq!(board.state().await.expect("a state").active, Builder::Copilot);
    store.close().await;
}

#[tokio::test]
async fn the_timers_checks_move_the_switch_until_it_is_told_to_stop() {
    let fake = FakeGitHub::start(Options::default()).await.expect("it starts");
    fake.create_repo(&repo(), &[("README.md", "x\n")]).expect("a repository");
    let credential = Credential::Token(fake.token().to_owned().into());
    let github = GitHub::new(&fake.api_url(), Some(credential)).expect("a client");
    let desk = Desk::new();
    let store = desk.store().await;
    let board = Switchboard::new(store.clone(), RULES);
    let request = NightRequest { repo: repo(), config: NightConfig::default(), dry_run: true };
    let night = NewRun { id: RunId::fresh(), request, idempotency: None, events: Vec::new() };
    store.create_run(night).await.expect("a run");
    let (asked, mut rests) = mpsc::unbounded_channel::<oneshot::Sender<()>>();
    let stop = CancellationToken::new();
    let checking = tokio::spawn({
        let (board, stop) = (board.clone(), stop.clone());
        let rest = move || {
            let (over, waits) = oneshot::channel();
            asked.send(over).ok();
            async move { waits.await.unwrap_or_default() }
        };
        async move { board.keep_checking_by(github, rest, stop).await }
    });
    let mut resting = rests.recv().await.expect("it rests first");
    let mut seen = Vec::new();
    for available in [false, false, false, true, true] {
        if available {
            fake.enable_copilot(|_| CopilotAct::Nothing);
            desk.after(31);
        }
        resting.send(()).expect("it waits");
        resting = rests.recv().await.expect("it goes on");
        seen.push(board.state().await.expect("a state").active);
    }
    use Builder::{Copilot, Desktop};
    assert_eq!(seen, [Copilot, Copilot, Desktop, Desktop, Copilot]);
    stop.cancel();
    checking.await.expect("it ends");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_route_and_the_command_say_and_do_the_same() {
    let town = town(vec![issue("Write the guide")], true).await;
    let path = "/api/foreman/desktop/builder";
    let command = async |town: &Town, args: &[&str]| {
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_foreman"))
            .args(args)
            .env_clear()
            .envs(&town.env)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .current_dir(town.data.path())
            .output()
            .await
            .expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = command(&town, &["builder", "desktop", "--reason", "a quiet night"]).await;
    assert!(code == Some(0) && said.contains("desktop, held there since"), "{said}");
    let server = town.serve().await;
    let shown = server.get(path).await.json["builder"].clone();
    assert_eq!((&shown["active"], &shown["reason"]), (&json!("desktop"), &json!("a quiet night")));
    let again = server.post(path, &json!({"builder": "desktop"})).await;
    assert_eq!(again.json["switched"], false, "{}", again.text);
    for (body, code) in [
        (json!({}), "missing_parameters"),
        (json!({"builder": "cursor"}), "invalid_value"),
        (json!({"builder": 1}), "invalid_value"),
        (json!({"builder": "copilot", "force": true}), "unknown_key"),
        (json!({"builder": "copilot", "reason": "x".repeat(501)}), "invalid_value"),
        (json!([]), "invalid_body"),
    ] {
        let answer = server.post(path, &body).await;
        assert_eq!((answer.status, answer.json["code"].as_str()), (400, Some(code)), "{body}");
    }

    let plain = Town::new(script(good_work), vec![]).await;
    let server = plain.serve().await;
    let answer = server.post(path, &json!({"builder": "copilot"})).await;
    assert_eq!((answer.status, &answer.json["code"]), (409, &json!("copilot_not_enabled")));
    assert_eq!(server.get(path).await.json["builder"]["active"], "desktop");
}
