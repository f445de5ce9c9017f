//! Death around each effect of a night in which Copilot builds: assigned, asked to repair, marked,
//! refused, taken back, each once; and its sessions in the ledger, each booked once.

use std::sync::Arc;

use foreman::demo::github::{CopilotAct, CopilotTask, Fault, FaultKind};
use foreman::domain::ids::RunId;
use foreman::domain::redact::Redactor;
use foreman::failpoint;
use foreman::store::{DatabaseUrl, EffectState, OpenOptions, Store, StoreClock};
use serde_json::{Value, json};

use super::{CONFIG, broken, solved, town};
use crate::support::{Town, body, issue, row};

/// A town in which a session costs 0.04 USD.
async fn priced(desktop: bool, copilot: fn(&CopilotTask) -> CopilotAct) -> Town {
    let town = town(vec![issue("Write the guide")], desktop).await;
    let text = CONFIG
        .replace("DESKTOP", if desktop { "true" } else { "false" })
        .replace("enabled = true\nstart", "enabled = true\nsession_usd = 0.04\nstart");
    std::fs::write(town.data.path().join("foreman.toml"), text).expect("written");
    town.github.enable_copilot(copilot);
    town
}

/// A night that dies there and is gone on with.
async fn killed(town: &Town, place: &str) -> Value {
    let mut server = town.serve_dying_at(place).await;
    let id = server.begin(&body()).await;
    server.died().await;
    let server = town.serve().await;
    let run = server.ended(&id).await;
    server.terminate().await;
    run
}

/// Each effect of the night was observed, and so many of its sessions stand in the ledger.
async fn books(town: &Town, run: &Value, sessions: u64) -> Result<(), String> {
    let path = town.data.path().join("data/foreman.db");
    let store = Store::open(OpenOptions {
        url: DatabaseUrl::file(&path).expect("an address"),
        redactor: Arc::new(Redactor::default()),
        clock: StoreClock::System,
        read_only: true,
    })
    .await
    .expect("a store");
    let id = RunId::new(run["id"].as_str().expect("an id"));
    let effects = store.effects(&id).await.expect("effects");
    let open: Vec<_> = effects.iter().filter(|it| it.state != EffectState::Observed).collect();
    let booked = store.sessions(&id, None).await.expect("sessions");
    store.close().await;
    if !open.is_empty() || booked.0 != sessions {
        return Err(format!("open: {open:#?}, booked: {booked:?}"));
    }
    Ok(())
}

fn places(kinds: &[&str]) -> Vec<&'static str> {
    let of = |place: &&&str| kinds.iter().any(|kind| place.split('.').next() == Some(kind));
    failpoint::COPILOT.iter().filter(of).copied().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_around_assigning_repairing_and_marking_does_nothing_twice() {
    for place in places(&["session", "assign", "repair", "mark"]) {
        let town = priced(false, |task| match task.round {
            0 => broken(task.issue),
            _ => solved(task.issue),
        })
        .await;
        let run = killed(&town, place).await;
        assert_eq!(row(&run, 1)["status"], "success", "{place}: {run:#}");
        let expected = [
            "POST /issues/1/assignees",
            "POST /issues/2/comments",
            "POST /issues/2/comments",
            "POST /issues/2/labels",
            "POST /issues/1/comments",
        ];
        assert_eq!(town.changes(), expected, "{place}");
        assert_eq!(run["costUsd"], 0.08, "{place}: two sessions");
        books(&town, &run, 2).await.unwrap_or_else(|why| panic!("{place}: {why}"));
        town.assert_clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_around_a_refusal_says_it_once() {
    for place in places(&["refusal"]) {
        let town = priced(false, |task| broken(task.issue + u64::from(task.round))).await;
        let run = killed(&town, place).await;
        assert_eq!(row(&run, 1)["reasonCode"], "gate_refused", "{place}: {run:#}");
        let expected = [
            "POST /issues/1/assignees",
            "POST /issues/2/comments",
            "POST /issues/2/comments",
            "POST /issues/1/comments",
        ];
        assert_eq!(town.changes(), expected, "{place}");
        books(&town, &run, 2).await.unwrap_or_else(|why| panic!("{place}: {why}"));
        town.assert_clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_around_taking_the_issue_back_takes_it_back_once() {
    for place in places(&["unassign"]) {
        let town = priced(true, |_| CopilotAct::Nothing).await;
        let run = killed(&town, place).await;
        assert_eq!(row(&run, 1)["branch"], "foreman/issue-1", "{place}: {run:#}");
        let expected = [
            "POST /issues/1/assignees",
            "DELETE /issues/1/assignees",
            "PUSH refs/heads/foreman/issue-1",
            "POST /pulls",
            "POST /issues/1/comments",
        ];
        assert_eq!(town.changes(), expected, "{place}");
        books(&town, &run, 1).await.unwrap_or_else(|why| panic!("{place}: {why}"));
        town.assert_clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_does_not_fit_is_never_begun() {
    let town = priced(true, |task| solved(task.issue)).await;
    let server = town.serve().await;
    let run = server.night(&json!({"budgetUsd": 0.03})).await;
    assert_eq!(row(&run, 1)["reasonCode"], "budget", "{run:#}");
    let why = row(&run, 1)["reason"].as_str().unwrap_or_default().to_owned();
    assert!(why.contains("no room for a session of Copilot's"), "{why}");
    assert_eq!((town.changes(), &run["costUsd"]), (Vec::new(), &json!(0.0)));
    town.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_is_booked_as_its_own_kind_and_what_was_not_is_given_back() {
    let town = priced(false, |task| solved(task.issue)).await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!((&row(&run, 1)["status"], &run["costUsd"]), (&json!("success"), &json!(0.04)));
    let costs = server.get("/api/foreman/escalation/costs").await.json;
    assert_eq!(costs["costs"]["byTier"]["copilot"], 0.04, "{costs:#}");
    town.assert_clean();

    let town = priced(false, |task| solved(task.issue)).await;
    let message = "Validation Failed".to_owned();
    let kind = FaultKind::Status { status: 422, headers: Vec::new(), message };
    town.github.fail_next(Fault::on("POST", "/assignees$", kind));
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["reasonCode"], "copilot_unavailable", "{run:#}");
    assert_eq!(run["costUsd"], 0.0, "GitHub refused it: {run:#}");
}
