//! A disk without room, on a small tmpfs of its own: clear errors, reading goes on, and writing too
//! as soon as there is room.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use foreman::domain::event::{EventType, NewEvent};
use foreman::governance::EventLog;
use foreman::store::{EventQuery, Store, StoreError};
use rand::RngExt as _;
use rand::rngs::SmallRng;

use super::{CHILD, open};

/// Bytes of the disk: SQLite's write-ahead log takes 4 MB before it is emptied for the first time.
const SIZES: std::ops::Range<u32> = 8_000_000..12_000_000;
/// A log ends somewhere: beyond this the disk was not as small as it should be.
const MOST: usize = 20_000;

pub async fn campaign(rounds: u32, random: &mut SmallRng) -> Result<(), String> {
    for round in 1..=rounds {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let size = random.random_range(SIZES);
        let output = tokio::process::Command::new("bwrap")
            .args(["--dev-bind", "/", "/", "--size", &size.to_string(), "--tmpfs"])
            .arg(folder.path())
            .arg("--")
            .arg(program)
            .env(CHILD, format!("disk:{}", folder.path().display()))
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(|error| format!("bwrap: {error}"))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            return Err(format!("round {round}, {size} bytes: {said}{why}"));
        }
        print!("round {round}, a disk of {size} bytes: {said}");
    }
    Ok(())
}

fn event(n: usize) -> NewEvent {
    NewEvent::new(EventType::PlanCreated, format!("event {n} {}", "x".repeat(400)))
}

async fn one(store: &Store, n: usize) -> Result<i64, StoreError> {
    Ok(store.append(vec![event(n)]).await?[0].seq)
}

/// The child, alone with its disk.
pub async fn fill(folder: &Path) {
    let path = folder.join("foreman.db");
    let store = open(&path).await.expect("a store");
    let log = EventLog::open(&store, 1_000).await.expect("a log");
    let mut acknowledged = Vec::new();
    for n in 0..50 {
        acknowledged.push(one(&store, n).await.expect("room yet"));
    }
    // Somebody else takes what is left, but for what a few events need.
    let (filler, mut blocks) = (folder.join("filler"), 0);
    let mut file = fs::File::create(&filler).expect("room for a name");
    while std::io::Write::write_all(&mut file, &[7; 4_096]).is_ok() {
        blocks += 1;
    }
    drop(file);
    let mut n = 50;
    let error = loop {
        match one(&store, n).await {
            Ok(seq) => acknowledged.push(seq),
            Err(error) => break error,
        }
        n += 1;
        assert!(n < MOST, "the disk is never full");
    };
    assert!(error.is_full(), "the error says what it is: {error}");
    println!("after {} events `{error}`; ", acknowledged.len());
    for again in 0..5 {
        let error = one(&store, n + 1 + again).await.expect_err("still full");
        assert!(error.is_full(), "{error}");
    }
    // Reading goes on, from memory and from the database.
    let last = *acknowledged.last().expect("some");
    let query = EventQuery { limit: 10, ..EventQuery::default() };
    assert_eq!(log.query(&query).await.expect("read")[0].seq, last);
    assert_eq!(store.events(query).await.expect("read")[0].seq, last);
    assert!(store.verify_chain().await.expect("verified").ok);
    // Room again: the same store goes on by itself.
    fs::remove_file(&filler).expect("removed");
    for later in 0..20 {
        acknowledged.push(one(&store, 100_000 + later).await.expect("it goes on by itself"));
    }
    assert_eq!(acknowledged, (1..=last + 20).collect::<Vec<_>>(), "no refused event is there");
    let report = store.verify_chain().await.expect("verified");
    assert!(report.ok && report.events == acknowledged.len() as u64, "{report:?}");
    store.close().await;
    let again = open(&path).await.expect("a store");
    assert!(again.verify_chain().await.expect("verified").ok);
    again.close().await;
    println!("{blocks} blocks freed, it went on to event {}", last + 20);
}
