//! The event log: durable appends against the same batches by a bare sqlx loop in the same run, and
//! reading a million events from memory.
//!
//! `cargo bench --bench governance`

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use foreman::domain::event::{EventType, GENESIS_HASH, NewEvent, Severity};
use foreman::domain::ids::{IssueNumber, RunId};
use foreman::governance::EventLog;
use foreman::store::{DatabaseUrl, EventQuery, OpenOptions, Store, StoreClock};
use sqlx::{AnyConnection, Connection as _, Executor as _};
use tokio::runtime::Runtime;

const MILLION: i64 = 1_000_000;
/// Rounds of each side in turn: a disk's mood hits both alike.
const ROUNDS: usize = 5;

/// One thread, so that a caller and the writer's task meet as they do in the service, where one wakes
/// the other on the worker that it runs on. The database has a thread of its own all the same.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn main() {
    // Not where the tests only see whether it still runs.
    if std::env::args().any(|arg| arg == "--bench") {
        let runtime = runtime();
        for (writers, events) in [(1, 400), (8, 1_600), (64, 6_400)] {
            runtime.block_on(appends(writers, events));
        }
    }
    divan::main();
}

async fn store(folder: &Path) -> Store {
    let options = OpenOptions {
        url: DatabaseUrl::file(&folder.join("foreman.db")).expect("a path"),
        redactor: Arc::default(),
        clock: StoreClock::System,
        read_only: false,
    };
    Store::open(options).await.expect("a store")
}

fn event(n: i64) -> NewEvent {
    let kind = EventType::ALL[usize::try_from(n).expect("small") % EventType::ALL.len()];
    let severity = Severity::ALL[usize::try_from(n / 7).expect("small") % Severity::ALL.len()];
    NewEvent::new(kind, format!("Event {n} of a night, as a person reads it in the morning"))
        .severity(severity)
        .run(&RunId::new(format!("run-{}", n / 500)))
        .issue(IssueNumber(n.unsigned_abs() % 40 + 1))
        .with("step", "judging")
}

/// Events a second of `writers` at once, each waiting until its event is durable; and of one loop
/// that writes the same rows in batches of as many, one transaction each.
async fn appends(writers: usize, events: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path()).await;
    let mut bare = Bare::open(&folder.path().join("bare.db")).await;
    let (mut ours, mut theirs) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let each = events / ROUNDS / writers;
        let writing = (0..writers).map(|_| async {
            for n in 0..each {
                let n = i64::try_from(n).expect("small");
                store.append(vec![event(n)]).await.expect("written");
            }
        });
        futures_util::future::join_all(writing).await;
        ours += begun.elapsed();
        let begun = Instant::now();
        for _ in 0..each {
            bare.batch(writers).await;
        }
        theirs += begun.elapsed();
    }
    assert!(store.verify_chain().await.expect("verified").ok);
    store.close().await;
    let done = (events / ROUNDS / writers * writers * ROUNDS) as f64;
    let (ours, theirs) = (done / ours.as_secs_f64(), done / theirs.as_secs_f64());
    println!(
        "{writers:>2} writers: {ours:>7.0} durable events/s, bare loop {theirs:>7.0}/s, ratio {:.2}",
        ours / theirs
    );
}

/// The same table and indexes, without chain, redaction and triggers.
struct Bare {
    connection: AnyConnection,
    next: i64,
}

impl Bare {
    async fn open(path: &Path) -> Self {
        sqlx::any::install_default_drivers();
        let url = format!("sqlite://{}?mode=rwc", path.display());
        let mut connection = AnyConnection::connect(&url).await.expect("a connection");
        for sql in [
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = FULL",
            "CREATE TABLE events (seq BIGINT PRIMARY KEY, id TEXT NOT NULL UNIQUE, \
             at BIGINT NOT NULL, type TEXT NOT NULL, severity TEXT NOT NULL, run_id TEXT, \
             issue BIGINT, description TEXT NOT NULL, metadata TEXT NOT NULL, \
             prev_hash TEXT NOT NULL, hash TEXT NOT NULL)",
            "CREATE INDEX a ON events (run_id, seq)",
            "CREATE INDEX b ON events (type, seq)",
            "CREATE INDEX c ON events (severity, seq)",
            "CREATE INDEX d ON events (at)",
        ] {
            connection.execute(sqlx::raw_sql(sql)).await.expect("set up");
        }
        Self { connection, next: 1 }
    }

    async fn batch(&mut self, size: usize) {
        self.connection.execute(sqlx::raw_sql("BEGIN IMMEDIATE")).await.expect("begun");
        for _ in 0..size {
            let event = event(self.next);
            let metadata = serde_json::Value::Object(event.metadata).to_string();
            sqlx::query(
                "INSERT INTO events (seq, id, at, type, severity, run_id, issue, description, \
                 metadata, prev_hash, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            )
            .bind(self.next)
            .bind(uuid::Uuid::now_v7().to_string())
            .bind(self.next)
            .bind(event.kind.as_str())
            .bind(event.severity.as_str())
            .bind(event.run.map(|run| run.as_str().to_owned()))
            .bind(1_i64)
            .bind(event.description)
            .bind(metadata)
            .bind(GENESIS_HASH)
            .bind(GENESIS_HASH)
            .execute(&mut self.connection)
            .await
            .expect("written");
            self.next += 1;
        }
        self.connection.execute(sqlx::raw_sql("COMMIT")).await.expect("committed");
    }
}

struct Filled {
    runtime: Runtime,
    log: EventLog,
    _folder: tempfile::TempDir,
}

/// A log of a million events, all of them in memory. Written once for all benchmarks; a hundredth
/// of it where the tests only see whether it still runs.
fn filled() -> &'static Filled {
    static FILLED: OnceLock<Filled> = OnceLock::new();
    FILLED.get_or_init(|| {
        let runtime = runtime();
        let folder = tempfile::tempdir().expect("a folder");
        let count = if std::env::args().any(|arg| arg == "--bench") { MILLION } else { 10_000 };
        let log = runtime.block_on(async {
            let store = store(folder.path()).await;
            let begun = Instant::now();
            for batch in 0..count / 1_000 {
                let events = (0..1_000).map(|n| event(batch * 1_000 + n)).collect();
                store.append(events).await.expect("written");
            }
            let written = begun.elapsed();
            let (before, begun) = (resident(), Instant::now());
            let log = EventLog::open(&store, usize::try_from(count).expect("small")).await;
            let log = log.expect("opened");
            println!(
                "{count} events written in {written:?}, read into memory in {:?}, {} bytes each",
                begun.elapsed(),
                (resident() - before) / count
            );
            log
        });
        Filled { runtime, log, _folder: folder }
    })
}

/// Our resident memory in bytes.
fn resident() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a figure");
    let kib: i64 = line.trim().trim_end_matches("kB").trim().parse().expect("a number");
    kib * 1_024
}

fn last(bencher: divan::Bencher<'_, '_>, query: &EventQuery) {
    let filled = filled();
    bencher.bench(|| {
        let found = filled.runtime.block_on(filled.log.query(query)).expect("read");
        assert_eq!(found.len(), 50);
    });
}

#[divan::bench]
fn last_fifty_of_a_type(bencher: divan::Bencher<'_, '_>) {
    let types = vec![EventType::GateJudged];
    last(bencher, &EventQuery { types, limit: 50, ..EventQuery::default() });
}

#[divan::bench]
fn last_fifty_of_a_type_and_a_severity(bencher: divan::Bencher<'_, '_>) {
    let types = vec![EventType::GateJudged];
    let severities = vec![Severity::High];
    last(bencher, &EventQuery { types, severities, limit: 50, ..EventQuery::default() });
}

#[divan::bench]
fn statistics(bencher: divan::Bencher<'_, '_>) {
    let filled = filled();
    bencher.bench(|| {
        let stats = filled.runtime.block_on(filled.log.stats()).expect("read");
        assert!(stats.events.total >= 10_000);
    });
}
