//! The log in memory answers what the store would, whatever of it is in memory.

use foreman::domain::event::{EventType, NewEvent, Severity};
use foreman::domain::ids::{IssueNumber, RunId};
use foreman::domain::time::from_micros;
use foreman::governance::EventLog;
use foreman::store::EventQuery;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use super::event;
use crate::store::lab::{Lab, NOON, SECOND};

crate::store::on_both!(
    memory_and_store_answer_alike,
    what_was_acknowledged_is_read,
    sums_survive_a_restart,
    a_gap_does_not_stop_reading,
);

const KINDS: [EventType; 4] =
    [EventType::PlanCreated, EventType::PrOpened, EventType::PrBlocked, EventType::GateJudged];

fn any_event(random: &mut SmallRng) -> NewEvent {
    let kind = *KINDS.choose(random).expect("some");
    let severity = *Severity::ALL.choose(random).expect("some");
    let text = ["Alpha 100%", "beta_x", "gamma"].choose(random).expect("some");
    let mut event = NewEvent::new(kind, *text).severity(severity);
    if random.random_bool(0.7) {
        event = event.run(&RunId::new(format!("run-{}", random.random_range(0..4))));
    }
    if random.random_bool(0.5) {
        event = event.issue(IssueNumber(random.random_range(1..5)));
    }
    event
}

fn any_query(random: &mut SmallRng) -> EventQuery {
    let mut query = EventQuery { limit: random.random_range(1..40), ..EventQuery::default() };
    let maybe = |random: &mut SmallRng| random.random_bool(0.35);
    for _ in 0..2 {
        if maybe(random) {
            query.types.push(*KINDS.choose(random).expect("some"));
        }
        if maybe(random) {
            query.severities.push(*Severity::ALL.choose(random).expect("some"));
        }
        if maybe(random) {
            query.runs.push(RunId::new(format!("run-{}", random.random_range(0..5))));
        }
        if maybe(random) {
            query.issues.push(IssueNumber(random.random_range(1..6)));
        }
    }
    let time = |random: &mut SmallRng| from_micros(NOON + random.random_range(-2..62) * SECOND);
    if maybe(random) {
        query.since = Some(time(random));
    }
    if maybe(random) {
        query.until = Some(time(random));
    }
    if maybe(random) {
        query.before_seq = Some(random.random_range(1..320));
    }
    if maybe(random) {
        query.after_seq = Some(random.random_range(0..320));
    }
    if maybe(random) {
        let text = ["ALPHA", "0%", "a_x", "%", "nothing"].choose(random).expect("some");
        query.text = Some((*text).to_owned());
    }
    query.ascending = random.random_bool(0.5);
    query
}

async fn memory_and_store_answer_alike(lab: &Lab) {
    let mut random = SmallRng::seed_from_u64(11);
    let early = EventLog::open(&lab.store, 64).await.expect("opened");
    for second in 0..60 {
        lab.set_clock(NOON + second * SECOND);
        let events = (0..5).map(|_| any_event(&mut random)).collect();
        lab.store.append(events).await.expect("written");
    }
    // One that followed all along, one that was opened late, one that holds everything.
    let late = EventLog::open(&lab.store, 64).await.expect("opened");
    let whole = EventLog::open(&lab.store, 1_000).await.expect("opened");
    let mut matched = 0;
    for _ in 0..400 {
        let query = any_query(&mut random);
        let stored = lab.store.events(query.clone()).await.expect("read");
        matched += stored.len();
        for (name, log) in [("early", &early), ("late", &late), ("whole", &whole)] {
            let found = log.query(&query).await.expect("read");
            let found: Vec<i64> = found.iter().map(|event| event.seq).collect();
            let expected: Vec<i64> = stored.iter().map(|event| event.seq).collect();
            assert_eq!(found, expected, "{name}: {query:?}");
        }
    }
    assert!(matched > 500, "the queries matched only {matched} events");
    assert_eq!(early.stats().await.expect("read"), late.stats().await.expect("read"));
}

async fn what_was_acknowledged_is_read(lab: &Lab) {
    let log = EventLog::open(&lab.store, 100).await.expect("opened");
    let other = lab.another().await.expect("another process");
    for n in 1..=20 {
        // By turns ours and, on a database that is shared, another process's.
        let writer = if n % 2 == 0 && lab.is_postgres() { &other } else { &lab.store };
        writer.append(vec![event(format!("{n}"))]).await.expect("written");
        let found = log.query(&EventQuery::default()).await.expect("read");
        assert_eq!(found[0].seq, n);
        assert_eq!(found.len(), usize::try_from(n).expect("small"));
    }
    // More than the announcements hold: read back, none lost.
    for _ in 0..3 {
        let events = (0..500).map(|n| event(format!("{n}"))).collect();
        lab.store.append(events).await.expect("written");
    }
    assert_eq!(log.event_stats().await.expect("read").total, 1_520);
    assert_eq!(log.query(&EventQuery::default()).await.expect("read")[0].seq, 1_520);
    other.close().await;
}

async fn sums_survive_a_restart(lab: &Lab) {
    let log = EventLog::open(&lab.store, 10).await.expect("opened");
    let run = RunId::new("r");
    lab.store.append(vec![event("a").run(&run), event("b")]).await.expect("written");
    lab.set_clock(NOON + 24 * 3_600 * SECOND);
    lab.store.append(vec![event("c").severity(Severity::High).run(&run)]).await.expect("written");
    let stats = log.stats().await.expect("read");
    assert_eq!(stats.events.total, 3);
    assert_eq!(stats.events.by_severity[&Severity::High], 1);
    assert_eq!(stats.by_day.values().copied().collect::<Vec<_>>(), [2, 1]);
    assert_eq!(stats.by_run[&run], 2);
    let again = EventLog::open(&lab.store, 1).await.expect("opened");
    assert_eq!(again.stats().await.expect("read"), stats);
}

async fn a_gap_does_not_stop_reading(lab: &Lab) {
    lab.store.append((0..9).map(|n| event(format!("{n}"))).collect()).await.expect("written");
    super::integrity::open_the_log(lab).await;
    lab.by_hand("DELETE FROM events WHERE seq = 5").await.expect("cut");
    let log = EventLog::open(&lab.store, 100).await.expect("opened");
    lab.store.append(vec![event("later")]).await.expect("written");
    let found = log.query(&EventQuery::default()).await.expect("read");
    let seqs: Vec<i64> = found.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, [10, 9, 8, 7, 6, 4, 3, 2, 1]);
}
