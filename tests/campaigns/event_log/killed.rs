//! `kill -9` at random moments while eight writers append: what was acknowledged is there, nothing
//! is there that nobody wrote, and the chain is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foreman::domain::event::{EventType, NewEvent};
use foreman::store::{EventQuery, Store, Verified};
use rand::RngExt as _;
use rand::rngs::SmallRng;
use tokio::io::AsyncReadExt as _;

use super::{CHILD, open};

const WRITERS: usize = 8;
/// A child lives at most so long.
const LONGEST_LIFE: u64 = 500;

/// The child: writes for ever, and says each event before it begins and after it was acknowledged.
pub async fn append(path: &Path) {
    let store = open(path).await.expect("a store");
    let next = Arc::new(AtomicU64::new(0));
    let round = std::process::id();
    let writing = (0..WRITERS).map(|_| {
        let (store, next) = (store.clone(), Arc::clone(&next));
        async move {
            loop {
                let text = format!("{round}-{}", next.fetch_add(1, Ordering::Relaxed));
                say(&format!("start {text}"));
                let event = NewEvent::new(EventType::PlanCreated, text.clone());
                let written = store.append(vec![event]).await.expect("written");
                say(&format!("ack {text} {} {}", written[0].seq, written[0].hash));
            }
        }
    });
    futures_util::future::join_all(writing).await;
}

fn say(line: &str) {
    // One write for one line: a kill cuts none in two that is taken for whole.
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).expect("the parent listens");
    out.flush().expect("the parent listens");
}

struct Told {
    started: BTreeSet<String>,
    acknowledged: BTreeMap<String, (i64, String)>,
}

pub async fn campaign(rounds: u32, random: &mut SmallRng) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let path = folder.path().join("foreman.db");
    let (mut events, mut acknowledged, mut unsure) = (0, 0, 0);
    let mut verified = Verified::default();
    for round in 1..=rounds {
        // Some die before they have opened the database.
        let early = random.random_range(0..6) == 0;
        let life = Duration::from_millis(random.random_range(0..LONGEST_LIFE));
        let told = killed(&path, early, life).await?;
        let store = open(&path).await?;
        let (report, reached) =
            store.verify_chain_after(&verified).await.map_err(|error| error.to_string())?;
        verified = reached.ok_or(format!("round {round}: the chain is broken: {report:?}"))?;
        let written =
            judge(&store, events, &told).await.map_err(|why| format!("round {round}: {why}"))?;
        // It goes on at once, with the next number.
        let one = NewEvent::new(EventType::PlanCreated, format!("parent-{round}"));
        let one = store.append(vec![one]).await.map_err(|error| error.to_string())?;
        if one[0].seq != events + written + 1 {
            return Err(format!(
                "round {round}: event {} follows {}",
                one[0].seq,
                events + written
            ));
        }
        store.close().await;
        events += written + 1;
        acknowledged += told.acknowledged.len();
        unsure += told.started.len() - told.acknowledged.len();
    }
    let store = open(&path).await?;
    let report = store.verify_chain().await.map_err(|error| error.to_string())?;
    store.close().await;
    if !report.ok || report.events != events.unsigned_abs() {
        return Err(format!("at the end: {report:?}, {events} events"));
    }
    println!(
        "{rounds} kills: {events} events, {acknowledged} acknowledged, {unsure} under way when killed, none lost, none invented"
    );
    Ok(())
}

async fn killed(path: &Path, early: bool, life: Duration) -> Result<Told, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut child = tokio::process::Command::new(program)
        .env(CHILD, format!("append:{}", path.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut out = child.stdout.take().ok_or("no pipe")?;
    let mut heard = vec![0_u8; 1];
    if !early {
        // Its life begins with its first word.
        out.read_exact(&mut heard).await.map_err(|error| format!("it said nothing: {error}"))?;
    } else {
        heard.clear();
    }
    let reading = tokio::spawn(async move {
        let mut rest = Vec::new();
        out.read_to_end(&mut rest).await.map(|_| rest)
    });
    tokio::time::timeout(if early { life / 10 } else { life }, child.wait()).await.ok();
    child.kill().await.map_err(|error| error.to_string())?;
    let rest = reading.await.map_err(|error| error.to_string())?;
    heard.extend(rest.map_err(|error| error.to_string())?);
    let text = String::from_utf8_lossy(&heard).into_owned();
    let mut told = Told { started: BTreeSet::new(), acknowledged: BTreeMap::new() };
    // What has no line end was cut.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    for line in whole.lines() {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["start", text] => drop(told.started.insert((*text).to_owned())),
            ["ack", text, seq, hash] => {
                let seq = seq.parse().map_err(|_| format!("it said `{line}`"))?;
                told.acknowledged.insert((*text).to_owned(), (seq, (*hash).to_owned()));
            }
            _ => return Err(format!("it said `{line}`")),
        }
    }
    Ok(told)
}

/// How many events the child left after the first `before`, all as it told.
async fn judge(store: &Store, before: i64, told: &Told) -> Result<i64, String> {
    let (mut found, mut after) = (BTreeMap::new(), before);
    loop {
        let query = EventQuery {
            after_seq: Some(after),
            ascending: true,
            limit: 1_000,
            ..Default::default()
        };
        let page = store.events(query).await.map_err(|error| error.to_string())?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        for event in page {
            if let Some(twice) = found.insert(event.description.clone(), (event.seq, event.hash)) {
                return Err(format!("`{}` is there twice, also as {}", event.description, twice.0));
            }
        }
    }
    for (text, wrote) in &told.acknowledged {
        if found.get(text) != Some(wrote) {
            return Err(format!(
                "acknowledged `{text}` as {wrote:?}, there is {:?}",
                found.get(text)
            ));
        }
    }
    match found.keys().find(|text| !told.started.contains(*text)) {
        Some(invented) => Err(format!("nobody wrote `{invented}`")),
        None => Ok(after - before),
    }
}
