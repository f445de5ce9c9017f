//! The event log: chained across group commits, unchangeable, and a forgery is found.

use foreman::domain::event::{EventType, NewEvent, Severity};
use foreman::domain::ids::{AttemptId, CallId};
use foreman::domain::time::from_micros;
use foreman::store::{Change, EventQuery};
use futures_util::future::join_all;

use super::lab::{HOUR, Lab, NOON, SECRET};

super::on_both!(
    a_failing_closure_leaves_no_gap,
    events_cannot_be_changed_or_deleted,
    a_forged_row_is_found,
    a_cut_tail_is_found,
    secrets_are_redacted_before_they_are_hashed,
    queries_filter_and_page,
    listeners_hear_events_after_their_commit,
);

fn event(text: impl Into<String>) -> NewEvent {
    NewEvent::new(EventType::PlanCreated, text)
}

async fn a_failing_closure_leaves_no_gap(lab: &Lab) {
    let fence = lab.night("o/r").await;
    // Queued together, so that they share commits; each fifth writes an event and then fails on a
    // tool result of a call that does not exist.
    let written = join_all((0..50).map(|n| {
        let mut changes = vec![Change::Event(event(format!("event {n}")))];
        if n % 5 == 2 {
            changes.push(Change::Tool {
                attempt: AttemptId::new("a"),
                call: CallId::new("nowhere"),
                index: 0,
                tool_call_id: "t".to_owned(),
                output: String::new(),
                tree: None,
            });
        }
        lab.store.apply(&fence, changes)
    }))
    .await;
    for (n, result) in written.iter().enumerate() {
        assert_eq!(result.is_err(), n % 5 == 2, "{n}: {result:?}");
    }
    let query = EventQuery { ascending: true, ..EventQuery::default() };
    let events = lab.store.events(query).await.expect("read");
    let seqs: Vec<i64> = events.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (1..=40).collect::<Vec<i64>>());
    let report = lab.store.verify_chain().await.expect("verified");
    assert!(report.ok && report.events == 40, "{report:?}");
}

async fn events_cannot_be_changed_or_deleted(lab: &Lab) {
    lab.store.append(vec![event("one")]).await.expect("written");
    let mut attacks =
        vec!["UPDATE events SET description = 'x' WHERE seq = 1", "DELETE FROM events"];
    if lab.is_postgres() {
        attacks.push("TRUNCATE events");
    } else {
        attacks.push(
            "INSERT OR REPLACE INTO events SELECT seq, id, at, type, severity, run_id, issue, \
             'x', metadata, prev_hash, hash FROM events",
        );
    }
    for sql in attacks {
        let error = lab.by_hand(sql).await.expect_err(sql).to_string();
        assert!(error.contains("events are never"), "{error}");
    }
    assert!(lab.store.verify_chain().await.expect("verified").ok);
}

/// What only the database's owner can do.
async fn open_the_log(lab: &Lab) {
    let sql = if lab.is_postgres() {
        "DROP TRIGGER events_refuse_change ON events"
    } else {
        "DROP TRIGGER events_refuse_update; DROP TRIGGER events_refuse_delete"
    };
    lab.by_hand(sql).await.expect("opened");
}

async fn a_forged_row_is_found(lab: &Lab) {
    lab.store.append((1..=5).map(|n| event(format!("{n}"))).collect()).await.expect("written");
    open_the_log(lab).await;
    lab.by_hand("UPDATE events SET metadata = '{\"a\":1}' WHERE seq = 3").await.expect("forged");
    let report = lab.store.verify_chain().await.expect("verified");
    let bad = report.first_bad.expect("found");
    assert!(!report.ok);
    assert_eq!((bad.seq, report.events), (3, 2));
    assert!(bad.id.is_some() && bad.reason.contains("hash"), "{bad:?}");
}

async fn a_cut_tail_is_found(lab: &Lab) {
    lab.store.append((1..=5).map(|n| event(format!("{n}"))).collect()).await.expect("written");
    open_the_log(lab).await;
    lab.by_hand("DELETE FROM events WHERE seq = 5").await.expect("cut");
    let report = lab.store.verify_chain().await.expect("verified");
    assert_eq!(report.first_bad.map(|bad| bad.seq), Some(5));
}

async fn secrets_are_redacted_before_they_are_hashed(lab: &Lab) {
    let fence = lab.night("o/r").await;
    let event = event(format!("pushed with {SECRET}\0")).run(&fence.run).with("header", SECRET);
    let written = lab.store.append(vec![event]).await.expect("written");
    assert_eq!(written[0].description, "pushed with [redacted]\u{fffd}");
    let stored = lab.store.events(EventQuery::default()).await.expect("read");
    assert_eq!(stored[0], written[0]);
    assert_eq!(stored[0].metadata["header"], "[redacted]");
    assert_eq!(stored[0].metadata["runId"], fence.run.as_str());
    assert!(lab.store.verify_chain().await.expect("verified").ok);
}

async fn queries_filter_and_page(lab: &Lab) {
    let fence = lab.night("o/r").await;
    let store = &lab.store;
    store.append(vec![event("a"), event("b").severity(Severity::High)]).await.expect("written");
    lab.set_clock(NOON + HOUR);
    let failed = NewEvent::new(EventType::ModelEscalationFailed, "c").run(&fence.run);
    let opened = NewEvent::new(EventType::ModelEscalation, "d").severity(Severity::Low);
    store.append(vec![failed, opened]).await.expect("written");

    let texts = async |query: EventQuery| -> String {
        let events = store.events(query).await.expect("read");
        events.iter().map(|event| event.description.as_str()).collect()
    };
    let all = EventQuery::default;
    assert_eq!(texts(all()).await, "dcba");
    assert_eq!(texts(EventQuery { ascending: true, limit: 3, ..all() }).await, "abc");
    let types = vec![EventType::ModelEscalation];
    assert_eq!(texts(EventQuery { types, ..all() }).await, "d");
    let types = vec![EventType::ModelEscalationFailed, EventType::PlanCreated];
    assert_eq!(texts(EventQuery { types, ..all() }).await, "cba");
    let severities = vec![Severity::High, Severity::Low];
    assert_eq!(texts(EventQuery { severities, ..all() }).await, "db");
    let edge = Some(from_micros(NOON + HOUR));
    assert_eq!(texts(EventQuery { since: edge, ..all() }).await, "dc");
    assert_eq!(texts(EventQuery { until: edge, ..all() }).await, "ba");
    let runs = vec![fence.run.clone()];
    assert_eq!(texts(EventQuery { runs, ..all() }).await, "c");
    assert_eq!(texts(EventQuery { before_seq: Some(3), ..all() }).await, "ba");
    assert_eq!(texts(EventQuery { after_seq: Some(3), ..all() }).await, "d");

    let stats = store.event_stats().await.expect("read");
    assert_eq!(stats.total, 4);
    assert_eq!(stats.by_severity.values().sum::<u64>(), 4);
    assert_eq!(stats.by_type.values().sum::<u64>(), 4);
    assert_eq!(stats.by_type[&EventType::PlanCreated], 2);
}

async fn listeners_hear_events_after_their_commit(lab: &Lab) {
    let mut heard = lab.store.subscribe();
    lab.store.append(vec![event("one"), event("two")]).await.expect("written");
    for seq in 1..=2 {
        assert_eq!(heard.recv().await.expect("an event").seq, seq);
    }
}
