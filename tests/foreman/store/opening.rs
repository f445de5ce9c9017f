//! Opening: versions, reading only, the lock of the data folder, clocks.

use std::sync::Arc;

use foreman::domain::event::{EventType, NewEvent};
use foreman::domain::redact::Redactor;
use foreman::store::{
    DataLock, DatabaseUrl, EventQuery, OpenOptions, Store, StoreClock, StoreError,
};

use super::lab::{HOUR, Lab, NOON, SECOND};

super::on_both!(
    a_second_opening_finds_everything,
    a_newer_schema_is_refused,
    a_reader_reads_and_never_writes,
    the_clock_never_steps_back,
    a_failed_commit_answers_everybody_and_the_next_one_works,
);

async fn a_second_opening_finds_everything(lab: &Lab) {
    lab.store.append(vec![NewEvent::new(EventType::PlanCreated, "one")]).await.expect("written");
    let second = lab.another().await.expect("opens");
    second.append(vec![NewEvent::new(EventType::PlanCreated, "two")]).await.expect("written");
    let events = lab.store.events(EventQuery::default()).await.expect("read");
    let seen: Vec<_> = events.iter().map(|e| (e.seq, e.description.as_str())).collect();
    assert_eq!(seen, [(2, "two"), (1, "one")]);
    second.ping().await.expect("alive");
    let clone = second.clone();
    second.close().await;
    let late = clone.append(vec![NewEvent::new(EventType::PlanCreated, "three")]).await;
    assert!(matches!(late, Err(StoreError::Closed)), "{late:?}");
}

async fn a_newer_schema_is_refused(lab: &Lab) {
    lab.by_hand("INSERT INTO schema_version (version) VALUES (99)").await.expect("by hand");
    for opened in [lab.another().await, lab.reader().await] {
        let error = opened.err().expect("refused").to_string();
        assert!(error.contains("schema version 99") && error.contains("newer"), "{error}");
    }
}

async fn a_reader_reads_and_never_writes(lab: &Lab) {
    let fence = lab.night("o/r").await;
    let reader = lab.reader().await.expect("opens");
    assert!(reader.run(&fence.run).await.expect("read").is_some());
    let refused = reader.append(vec![NewEvent::new(EventType::PlanCreated, "no")]).await;
    assert!(matches!(refused, Err(StoreError::ReadOnly)), "{refused:?}");
    reader.close().await;
}

async fn the_clock_never_steps_back(lab: &Lab) {
    let mut times = Vec::new();
    for clock in [NOON, NOON + HOUR, NOON, NOON - HOUR, NOON + HOUR + SECOND] {
        lab.set_clock(clock);
        let event = NewEvent::new(EventType::PlanCreated, "tick");
        let written = lab.store.append(vec![event]).await.expect("written");
        times.push(written[0].timestamp.timestamp_micros() - NOON);
    }
    assert_eq!(times, [0, HOUR, HOUR, HOUR, HOUR + SECOND]);
}

/// A constraint that fails at the commit and not before, planted by hand.
async fn a_failed_commit_answers_everybody_and_the_next_one_works(lab: &Lab) {
    let plant = if lab.is_postgres() {
        "CREATE FUNCTION poisoned() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF NEW.description = 'poison' THEN RAISE EXCEPTION 'poisoned'; END IF; \
         RETURN NULL; END; $$; \
         CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON events \
         DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION poisoned()"
    } else {
        "CREATE TABLE parent (id BIGINT PRIMARY KEY); \
         CREATE TABLE child (id BIGINT REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED); \
         CREATE TRIGGER at_commit AFTER INSERT ON events WHEN NEW.description = 'poison' \
         BEGIN INSERT INTO child VALUES (1); END"
    };
    lab.by_hand(plant).await.expect("planted");
    let event = |text: &str| vec![NewEvent::new(EventType::PlanCreated, text)];
    let mut heard = lab.store.subscribe();
    // Polled in order without a pause, so that all three are in one commit behind the first.
    let first = lab.store.append(event("first"));
    let (first, a, poison, b) = futures_util::future::join4(
        first,
        lab.store.append(event("a")),
        lab.store.append(event("poison")),
        lab.store.append(event("b")),
    )
    .await;
    assert!(matches!(poison, Err(StoreError::NotCommitted(_))), "{poison:?}");
    let mut kept = Vec::new();
    for (text, result) in [("first", first), ("a", a), ("b", b)] {
        match result {
            Ok(written) => kept.push((written[0].seq, text.to_owned())),
            Err(StoreError::NotCommitted(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    let after = lab.store.append(event("after")).await.expect("written");
    kept.push((after[0].seq, "after".to_owned()));
    kept.sort();
    let query = EventQuery { ascending: true, ..EventQuery::default() };
    let stored = lab.store.events(query).await.expect("read");
    let stored: Vec<_> = stored.into_iter().map(|e| (e.seq, e.description)).collect();
    assert_eq!(stored, kept, "what was answered is what is there");
    for (seq, text) in kept {
        let event = heard.recv().await.expect("an event");
        assert_eq!((event.seq, event.description), (seq, text));
    }
    assert!(lab.store.verify_chain().await.expect("verified").ok);
}

#[tokio::test]
async fn the_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(OpenOptions {
        url: DatabaseUrl::parse("sqlite://foreman.db", dir.path()).expect("a URL"),
        redactor: Arc::new(Redactor::default()),
        clock: StoreClock::System,
        read_only: false,
    })
    .await
    .expect("a store");
    store.append(vec![NewEvent::new(EventType::PlanCreated, "x")]).await.expect("written");
    for name in ["foreman.db", "foreman.db-wal"] {
        let file = dir.path().join(name).metadata().expect("there");
        assert_eq!(file.permissions().mode() & 0o777, 0o600, "{name}");
    }
    store.close().await;
}

#[tokio::test]
async fn reading_where_nothing_ran_says_so() {
    let dir = tempfile::tempdir().expect("a folder");
    let opened = Store::open(OpenOptions {
        url: DatabaseUrl::parse("sqlite://foreman.db", dir.path()).expect("a URL"),
        redactor: Arc::new(Redactor::default()),
        clock: StoreClock::System,
        read_only: true,
    })
    .await;
    assert!(matches!(opened, Err(StoreError::NoDatabase(_))));
    assert!(!dir.path().join("foreman.db").exists());
}

#[test]
fn urls_that_are_no_database_are_refused_without_their_password() {
    let here = std::path::Path::new("/");
    for bad in ["mysql://root:hunter22@h/db", "foreman.db", "sqlite://", "sqlite://:memory:"] {
        let error = DatabaseUrl::parse(bad, here).expect_err(bad).to_string();
        assert!(error.contains("DATABASE_URL") && !error.contains("hunter22"), "{error}");
    }
    let url = DatabaseUrl::parse("postgres://me:hunter22@h:5/db", here).expect("fine");
    assert_eq!(format!("{url} {url:?}"), "postgres://h/db DatabaseUrl(postgres://h/db)");
}

#[test]
fn the_data_folder_has_one_worker() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("new");
    let held = DataLock::take(&folder).expect("free");
    let error = DataLock::take(&folder).expect_err("held").to_string();
    assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    drop(held);
    DataLock::take(&folder).expect("free again");
}
