//! The memory fabric: scoped, versioned, kept to its schemas, and told of where it drifts.

use chrono::TimeDelta;
use foreman::domain::event::EventType;
use foreman::domain::memory::{DriftKind, NewEntry, Schema, Scope};
use foreman::domain::time::from_micros;
use foreman::store::{EventQuery, MemoryQuery, StoreError};
use serde_json::{Value, json};

use crate::store::lab::{Lab, NOON, SECRET};

crate::store::on_both!(
    entries_have_versions,
    what_keeps_to_no_schema_is_refused,
    drift_is_told_of_once,
);

fn entry(scope: Scope, key: &str, value: Value) -> NewEntry {
    NewEntry {
        scope,
        project: (scope == Scope::Project).then(|| "Octo/App".parse().expect("a repository")),
        key: key.to_owned(),
        schema: Schema::Fact,
        value,
        source: "ann".to_owned(),
        run: None,
        fresh_days: None,
    }
}

fn says(statement: &str, holds: bool) -> Value {
    json!({ "statement": statement, "holds": holds })
}

async fn recorded(lab: &Lab) -> usize {
    let types = vec![EventType::MemoryRecorded];
    lab.store.events(EventQuery { types, ..Default::default() }).await.expect("read").len()
}

async fn entries_have_versions(lab: &Lab) {
    let network = |holds| entry(Scope::Project, "tests/network", says("tests need it", holds));
    let first = lab.store.remember(network(true)).await.expect("remembered");
    assert_eq!((first.version, first.project.as_deref()), (1, Some("octo/app")));
    // Said again it is the same version, and no news.
    assert_eq!(lab.store.remember(network(true)).await.expect("again").version, 1);
    assert_eq!(recorded(lab).await, 1);
    assert_eq!(lab.store.remember(network(false)).await.expect("changed").version, 2);
    assert_eq!(recorded(lab).await, 2);
    let secret = entry(Scope::Global, "keys", says(&format!("the key is {SECRET}"), true));
    let kept = lab.store.remember(secret).await.expect("remembered");
    assert!(!kept.value.to_string().contains(SECRET), "{kept:?}");
    let query = MemoryQuery { prefix: Some("tests/".to_owned()), ..MemoryQuery::default() };
    let latest = lab.store.memory(query.clone()).await.expect("read");
    assert_eq!(latest.iter().map(|entry| entry.version).collect::<Vec<_>>(), [2]);
    let all = lab.store.memory(MemoryQuery { history: true, ..query }).await.expect("read");
    assert_eq!(all.iter().map(|entry| entry.version).collect::<Vec<_>>(), [2, 1]);
    let elsewhere = MemoryQuery { project: Some("octo/other".to_owned()), ..Default::default() };
    assert_eq!(lab.store.memory(elsewhere).await.expect("read"), []);
    // Twenty versions are kept.
    for n in 0..30 {
        let changed = entry(Scope::Foreman, "n", says(&format!("{n}"), true));
        lab.store.remember(changed).await.expect("remembered");
    }
    let query = MemoryQuery { scope: Some(Scope::Foreman), history: true, ..Default::default() };
    let kept = lab.store.memory(query).await.expect("read");
    assert_eq!((kept.len(), kept[0].version, kept[19].version), (20, 30, 11));
}

async fn what_keeps_to_no_schema_is_refused(lab: &Lab) {
    for bad in [
        entry(Scope::Global, "a", json!({ "statement": "no verdict" })),
        entry(Scope::Global, "No Key", says("s", true)),
        NewEntry { project: None, ..entry(Scope::Project, "a", says("s", true)) },
    ] {
        let refused = lab.store.remember(bad).await.expect_err("refused");
        assert!(matches!(refused, StoreError::Memory(_)), "{refused}");
    }
    assert_eq!(recorded(lab).await, 0);
}

async fn drift_is_told_of_once(lab: &Lab) {
    let folder = tempfile::tempdir().expect("a folder");
    let governance = super::governance(lab, folder.path()).await;
    let mut short = entry(Scope::Foreman, "short", says("s", true));
    short.fresh_days = Some(2);
    for new in [
        short.clone(),
        entry(Scope::Project, "offline", says("it builds offline", false)),
        entry(Scope::Global, "offline", says("it builds offline", true)),
    ] {
        lab.store.remember(new).await.expect("remembered");
    }
    lab.by_hand("UPDATE memory_entries SET value = '{}' WHERE key = 'short'")
        .await
        .expect("broken");
    let now = from_micros(NOON);
    let found = governance.memory_drift(now).await.expect("read");
    let kinds: Vec<DriftKind> = found.iter().map(|drift| drift.kind).collect();
    assert_eq!((kinds.len(), kinds.contains(&DriftKind::Malformed)), (2, true), "{found:?}");
    assert_eq!(governance.tell_drift(now).await.expect("told"), 2);
    assert_eq!(governance.tell_drift(now).await.expect("told"), 0, "once");
    // Said anew it is whole, and stale after its days.
    lab.store.remember(short.clone()).await.expect("remembered");
    let later = now + TimeDelta::days(3);
    assert_eq!(governance.tell_drift(now).await.expect("told"), 0);
    assert_eq!(governance.tell_drift(later).await.expect("told"), 1);
    lab.set_clock(NOON + 86_400_000_000 * 3);
    lab.store.remember(short).await.expect("said again");
    assert_eq!(governance.tell_drift(later).await.expect("told"), 0, "fresh again");
    let types = vec![EventType::MemoryDriftDetected];
    let events = lab.store.events(EventQuery { types, ..Default::default() }).await.expect("read");
    assert_eq!(events.len(), 3);
}
