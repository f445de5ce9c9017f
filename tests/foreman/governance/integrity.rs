//! Checkpoints, what they prove, and deleting under them.

use chrono::TimeDelta;
use foreman::domain::event::{Canonical, EventType};
use foreman::domain::time::from_micros;
use foreman::governance::VerifyError;
use foreman::store::EventQuery;

use super::{event, governance};
use crate::store::lab::{HOUR, Lab, NOON};

crate::store::on_both!(
    a_checkpoint_covers_what_stands_before_it,
    a_log_written_anew_is_found,
    a_tail_cut_cleanly_is_found_where_it_is_anchored,
    checkpoints_in_the_database_cannot_be_forged,
    only_what_is_covered_may_go,
    a_broken_chain_is_an_incident_and_no_obstacle,
);

/// What only the database's owner can do.
pub async fn open_the_log(lab: &Lab) {
    let sql = if lab.is_postgres() {
        "DROP TRIGGER events_refuse_change ON events"
    } else {
        "DROP TRIGGER events_refuse_update; DROP TRIGGER events_refuse_delete"
    };
    lab.by_hand(sql).await.expect("opened");
}

async fn write(lab: &Lab, count: usize) {
    let events = (0..count).map(|n| event(format!("event {n}"))).collect();
    lab.store.append(events).await.expect("written");
}

/// Writes an event anew with another text and gives every later one its new hash, as one can who
/// owns the database and knows our code.
pub async fn write_anew(lab: &Lab, from: i64) {
    let query = EventQuery { ascending: true, limit: 1_000, ..EventQuery::default() };
    let events = lab.store.events(query).await.expect("read");
    let mut sql = String::new();
    let mut hash = String::new();
    for event in &events {
        if event.seq < from {
            hash.clone_from(&event.hash);
            continue;
        }
        let text = if event.seq == from { "nothing happened" } else { &event.description };
        let metadata = serde_json::Value::Object(event.metadata.clone()).to_string();
        let new = Canonical {
            seq: event.seq,
            id: &event.id,
            at: event.timestamp,
            kind: event.kind.as_str(),
            severity: event.severity.as_str(),
            run: event.run.as_ref().map(|run| run.as_str()),
            issue: event.issue.map(|issue| issue.0),
            description: text,
            metadata: &metadata,
        }
        .hash(&hash);
        sql.push_str(&format!(
            "UPDATE events SET description = '{text}', prev_hash = '{hash}', hash = '{new}' WHERE seq = {};",
            event.seq
        ));
        hash = new;
    }
    sql.push_str(&format!("UPDATE log_head SET hash = '{hash}' WHERE id = 1"));
    lab.by_hand(&sql).await.expect("written anew");
}

async fn a_checkpoint_covers_what_stands_before_it(lab: &Lab) {
    let folder = tempfile::tempdir().expect("a folder");
    let governance = governance(lab, folder.path()).await;
    assert_eq!(governance.checkpoint().await.expect("nothing to sign"), None);
    write(lab, 5).await;
    let before = governance.verify().await.expect("verified");
    assert!(before.ok && before.anchored_through.is_none(), "{before:?}");
    let head = governance.checkpoint().await.expect("signed").expect("one");
    assert_eq!(head.seq, 5);
    assert_eq!(governance.checkpoint().await.expect("the same"), None, "nothing new to sign");
    write(lab, 3).await;
    let after = governance.verify().await.expect("verified");
    assert_eq!((after.ok, after.events, after.anchored_through), (true, 8, Some(5)));
    // Another process with another key: what it finds in the same place still counts.
    std::fs::remove_file(folder.path().join("governance/checkpoint.key")).expect("gone");
    let other = super::governance(lab, folder.path()).await;
    let seen = other.verify().await.expect("verified");
    assert_eq!((seen.anchored_through, seen.anchor.by_other_keys), (Some(5), 1));
}

async fn a_log_written_anew_is_found(lab: &Lab) {
    let folder = tempfile::tempdir().expect("a folder");
    let governance = governance(lab, folder.path()).await;
    write(lab, 6).await;
    governance.checkpoint().await.expect("signed");
    write(lab, 4).await;
    open_the_log(lab).await;
    // Behind the anchor it holds together, and the report says that this part is not covered.
    write_anew(lab, 8).await;
    let unanchored = governance.verify().await.expect("verified");
    assert_eq!((unanchored.ok, unanchored.anchored_through), (true, Some(6)));
    // Before it, it does not, although every hash fits.
    write_anew(lab, 3).await;
    assert!(lab.store.verify_chain().await.expect("verified").ok, "the chain alone is whole");
    let found = governance.verify().await.expect("verified");
    let bad = found.first_bad.expect("found");
    assert_eq!((found.ok, bad.seq, found.anchored_through), (false, 6, None));
    assert!(bad.reason.contains("events 1 to 6 were written anew"), "{bad:?}");
}

async fn a_tail_cut_cleanly_is_found_where_it_is_anchored(lab: &Lab) {
    let folder = tempfile::tempdir().expect("a folder");
    let governance = governance(lab, folder.path()).await;
    write(lab, 6).await;
    governance.checkpoint().await.expect("signed");
    open_the_log(lab).await;
    lab.by_hand(
        "DELETE FROM events WHERE seq > 4; UPDATE log_head SET seq = 4, \
         hash = (SELECT hash FROM events WHERE seq = 4) WHERE id = 1",
    )
    .await
    .expect("cut");
    assert!(lab.store.verify_chain().await.expect("verified").ok, "the chain alone is whole");
    let bad = governance.verify().await.expect("verified").first_bad.expect("found");
    assert_eq!(bad.seq, 5);
    assert!(bad.reason.contains("ends at event 4"), "{bad:?}");
}

async fn checkpoints_in_the_database_cannot_be_forged(lab: &Lab) {
    let folder = tempfile::tempdir().expect("a folder");
    let governance = governance(lab, folder.path()).await;
    write(lab, 3).await;
    governance.checkpoint().await.expect("signed");
    for sql in ["UPDATE log_checkpoints SET hash = 'x'", "DELETE FROM log_checkpoints"] {
        lab.by_hand(sql).await.expect_err(sql);
    }
    lab.by_hand(
        "INSERT INTO log_checkpoints (seq, hash, at, public_key, signature) \
         SELECT 2, hash, 0, 'ab', 'cd' FROM events WHERE seq = 2",
    )
    .await
    .expect("written");
    let found = governance.verify().await.expect("verified");
    assert_eq!(found.first_bad.map(|bad| bad.seq), Some(2));
}

async fn only_what_is_covered_may_go(lab: &Lab) {
    let folder = tempfile::tempdir().expect("a folder");
    let governance = governance(lab, folder.path()).await;
    let later = from_micros(NOON + 100 * HOUR);
    let day = TimeDelta::days(1);
    write(lab, 4).await;
    let refused = governance.retain(day, later).await.expect_err("nothing covers it");
    assert!(matches!(refused, VerifyError::NoCheckpoint), "{refused}");
    governance.checkpoint().await.expect("signed");
    lab.set_clock(NOON + HOUR);
    write(lab, 3).await;
    lab.set_clock(NOON + 99 * HOUR);
    write(lab, 2).await;
    // By hand nothing goes, and a policy row without a checkpoint neither.
    lab.by_hand("DELETE FROM events WHERE seq <= 4").await.expect_err("refused");
    let by_hand = "INSERT INTO retention (seq, hash, at, public_key, signature) \
         SELECT seq, hash, 0, '', '' FROM events WHERE seq = 6";
    lab.by_hand(by_hand).await.expect_err("refused");

    // Events 5 to 7 are old enough, but no checkpoint covers them.
    assert_eq!(governance.retain(day, later).await.expect("deleted"), 4);
    let found = governance.verify().await.expect("verified");
    assert_eq!((found.ok, found.starts_at, found.events), (true, 5, 6), "{found:?}");
    let events = governance.log().query(&EventQuery::default()).await.expect("read");
    assert_eq!(events.last().map(|event| event.seq), Some(5));
    assert_eq!(events[0].kind, EventType::EventsRetained);
    assert_eq!(governance.log().event_stats().await.expect("read").total, 6);
    lab.by_hand("DELETE FROM events WHERE seq = 5").await.expect_err("still refused");
    lab.by_hand("DELETE FROM retention").await.expect_err("still refused");
    assert_eq!(governance.retain(day, later).await.expect("nothing more"), 0);
    // The log goes on.
    write(lab, 1).await;
    governance.checkpoint().await.expect("signed");
    assert_eq!(governance.verify().await.expect("verified").anchored_through, Some(11));
}

async fn a_broken_chain_is_an_incident_and_no_obstacle(lab: &Lab) {
    let folder = tempfile::tempdir().expect("a folder");
    let governance = governance(lab, folder.path()).await;
    write(lab, 4).await;
    assert!(governance.look_at_the_chain().await.expect("whole"));
    open_the_log(lab).await;
    lab.by_hand("UPDATE events SET description = 'x' WHERE seq = 2").await.expect("forged");
    for _ in 0..2 {
        assert!(!governance.look_at_the_chain().await.expect("broken"));
        governance.look().await.expect("looked");
    }
    let open = lab.store.incidents(true).await.expect("read");
    assert_eq!((open.len(), open[0].times), (1, 1), "told of once: {open:?}");
    assert!(open[0].detail.contains("event 2"), "{open:?}");
    write(lab, 1).await;
    lab.by_hand("UPDATE events SET description = 'event 1' WHERE seq = 2").await.expect("undone");
    assert!(governance.look_at_the_chain().await.expect("whole"));
    assert_eq!(lab.store.incidents(true).await.expect("read"), []);
}
