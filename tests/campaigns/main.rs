//! The kill campaign: a night is killed at every named failpoint and at random moments, restarted,
//! and must end with the same branches, pull requests, comments and charges, none of them twice.
//!
//! `cargo test --test campaigns -- --rounds 10 [--seed 7] [--only push.after]`
//! `cargo test --test campaigns -- --campaign calls --rounds 10 [--only model.answered:3]`
//! `cargo test --test campaigns -- --campaign log|disk|forgery|followers --rounds 10`
//! `cargo test --test campaigns -- --campaign desktop --rounds 10` (local clones)

#![allow(clippy::print_stdout, reason = "a campaign prints its figures")]

#[path = "../foreman/support/mod.rs"]
mod support;

mod cancelled;
mod desktop;
#[path = "../foreman/desktop/scene.rs"]
#[allow(dead_code, reason = "the stories use more of it")]
mod desktop_scene;
mod event_log;
mod paid_calls;
mod scene;

use std::sync::Arc;
use std::time::{Duration, Instant};

use foreman::domain::ids::RunId;
use foreman::domain::redact::Redactor;
use foreman::failpoint;
use foreman::store::{CallStatus, DatabaseUrl, OpenOptions, Store, StoreClock};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use support::{Server, Town, body};

/// The longest a round's first process lives before it is killed at a random moment.
const LONGEST_LIFE: Duration = Duration::from_millis(9_000);

/// A night that nothing kills is over by then.
const LONGEST_NIGHT: Duration = Duration::from_secs(40);

struct Arguments {
    rounds: u32,
    seed: u64,
    only: Option<String>,
    /// `night`, `calls` (deaths inside paid calls alone) or `desktop` (merges into local clones).
    campaign: String,
}

fn arguments() -> Arguments {
    let mut arguments = Arguments { rounds: 10, seed: 7, only: None, campaign: "night".to_owned() };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().unwrap_or_default();
        match word.as_str() {
            "--rounds" => arguments.rounds = value.parse().expect("--rounds takes a number"),
            "--seed" => arguments.seed = value.parse().expect("--seed takes a number"),
            "--campaign" => arguments.campaign = value,
            "--only" => arguments.only = Some(value),
            other => panic!("unknown argument {other}"),
        }
    }
    arguments
}

/// Where a round kills.
enum Kill {
    Failpoint(String),
    /// There, and the night is cancelled before anybody goes on with it.
    Cancelled(&'static str),
    After(Duration),
}

impl std::fmt::Display for Kill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failpoint(name) => write!(f, "at {name}"),
            Self::Cancelled(name) => write!(f, "at {name} and cancelled"),
            Self::After(life) => write!(f, "after {} ms", life.as_millis()),
        }
    }
}

/// One killed night. Says what is wrong with its end, if anything.
async fn round(kill: &Kill) -> Result<(), String> {
    let town = scene::town().await;
    let mut server = match kill {
        Kill::Cancelled(place) => return cancelled::round(place).await,
        Kill::Failpoint(name) => town.serve_dying_at(name).await,
        Kill::After(_) => town.serve().await,
    };
    let id = server.begin(&body()).await;
    match kill {
        // A place that a night passes only once is never met again: the night just ends.
        Kill::Failpoint(name) if name.contains(':') => {
            tokio::select! {
                () = server.died() => {}
                () = over(LONGEST_NIGHT) => {}
            }
        }
        Kill::Failpoint(_) | Kill::Cancelled(_) => server.died().await,
        Kill::After(life) => {
            // The night may end before its time: then there was nothing to kill.
            tokio::time::timeout(*life, server.died()).await.ok();
        }
    }
    server.kill().await;
    nobody_is_left(&town).await?;
    let server = town.serve().await;
    let run = server.ended(&id).await;
    let verdict = judge(&town, &id, &run, &server).await;
    server.kill().await;
    nobody_is_left(&town).await?;
    verdict
}

async fn over(time: Duration) {
    tokio::time::timeout(time, std::future::pending::<()>()).await.ok();
}

async fn judge(town: &Town, id: &str, run: &Value, server: &Server) -> Result<(), String> {
    let wrong = |what: &str, seen: String| Err(format!("{what}: {seen}\n{}", server.log()));
    // One issue is refused for good.
    if run["status"] != "partial" || run["successfulIssues"] != 3 {
        return wrong("status", format!("{run:#}"));
    }
    if town.changes() != scene::expected_changes(town) {
        return wrong("changes on GitHub", format!("{:#?}", town.changes()));
    }
    town.assert_clean();
    let path = town.data.path().join("data/foreman.db");
    let store = Store::open(OpenOptions {
        url: DatabaseUrl::file(&path).map_err(|error| error.to_string())?,
        redactor: Arc::new(Redactor::default()),
        clock: StoreClock::System,
        read_only: true,
    })
    .await
    .map_err(|error| error.to_string())?;
    let calls = store.calls(&RunId::new(id), None).await.map_err(|error| error.to_string())?;
    let chain = store.verify_chain().await.map_err(|error| error.to_string())?;
    store.close().await;
    if !chain.ok {
        return wrong("event chain", format!("{chain:?}"));
    }
    let requests = town.model.requests().len();
    let open = calls.iter().filter(|call| call.status == CallStatus::Dispatched).count();
    let unknown = calls.iter().filter(|call| call.status == CallStatus::Unknown).count();
    // Each request has its row; a row without a request is one that was killed before sending.
    let lost = calls.len().checked_sub(requests);
    if open > 0 || unknown > 1 || lost.is_none_or(|lost| lost > 1) {
        return wrong(
            "calls",
            format!("{} rows, {requests} requests, {unknown} unknown", calls.len()),
        );
    }
    let booked: i64 = calls.iter().map(|call| call.cost.nanos()).sum();
    let shown = run["costUsd"].as_f64().unwrap_or_default();
    #[allow(clippy::cast_precision_loss, reason = "nano-USD of a test night fit")]
    if (booked as f64 / 1e9 - shown).abs() > 1e-9 {
        return wrong("cost", format!("{booked} nano-USD booked, {shown} USD shown"));
    }
    Ok(())
}

/// No process of the killed night is alive: none names its folder. The kernel needs a moment to
/// end what died with its parent.
pub(crate) async fn nobody_is_left(town: &Town) -> Result<(), String> {
    let folder = town.data.path().display().to_string();
    let begun = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    loop {
        let left: Vec<String> = std::fs::read_dir("/proc")
            .map_err(|error| error.to_string())?
            .flatten()
            .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
            .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
            .filter(|line| line.contains(&folder))
            .collect();
        if left.is_empty() {
            return Ok(());
        }
        if begun.elapsed() > Duration::from_secs(5) {
            return Err(format!("processes left: {left:#?}"));
        }
        tick.tick().await;
    }
}

/// The kills of the night campaign: every failpoint, then random moments.
fn night_kills(arguments: &Arguments, random: &mut SmallRng) -> Vec<Kill> {
    let wanted = |name: &str| arguments.only.as_deref().is_none_or(|only| only == name);
    let small = arguments.rounds <= 10;
    let mut kills: Vec<Kill> = failpoint::ALL
        .iter()
        .filter(|name| wanted(name))
        // Later visits are those of other issues, of a repair, of a comment that is renewed.
        .flat_map(|name| [(*name).to_owned(), format!("{name}:2"), format!("{name}:3")])
        .filter(|place| !small || !place.contains(':') || is_outside(place))
        .map(Kill::Failpoint)
        .collect();
    kills.extend(cancelled::PLACES.into_iter().filter(|name| wanted(name)).map(Kill::Cancelled));
    if arguments.only.is_none() {
        let longest = u64::try_from(LONGEST_LIFE.as_millis()).unwrap_or(u64::MAX);
        kills.extend(
            (0..arguments.rounds)
                .map(|_| Kill::After(Duration::from_millis(random.random_range(0..longest)))),
        );
    }
    kills
}

/// The second visits that also the small campaign makes: around the effects on GitHub.
fn is_outside(place: &str) -> bool {
    place.ends_with(":2") && ["push.", "pull.", "comment."].iter().any(|it| place.starts_with(it))
}

#[tokio::main]
async fn main() {
    if event_log::child().await {
        return;
    }
    let arguments = arguments();
    let mut random = SmallRng::seed_from_u64(arguments.seed);
    if let Some(ended) = event_log::run(&arguments.campaign, arguments.rounds, &mut random).await {
        if let Err(why) = ended {
            println!("FAILED {}: {why}", arguments.campaign);
            std::process::exit(1);
        }
        return;
    }
    let calls = match arguments.campaign.as_str() {
        "night" => false,
        "calls" => true,
        "desktop" => {
            let harmed = desktop::campaign(arguments.rounds, arguments.seed);
            std::process::exit(i32::from(harmed > 0));
        }
        other => panic!(
            "--campaign takes night, calls, log, disk, forgery, followers or desktop, not {other}"
        ),
    };
    let kills: Vec<Kill> = if calls {
        let place = |_| arguments.only.clone().unwrap_or_else(|| paid_calls::place(&mut random));
        (0..arguments.rounds).map(place).map(Kill::Failpoint).collect()
    } else {
        night_kills(&arguments, &mut random)
    };
    let (mut passed, mut failed) = (0, 0);
    for kill in &kills {
        let begun = Instant::now();
        let result = match kill {
            Kill::Failpoint(place) if calls => paid_calls::round(place).await,
            kill => round(kill).await,
        };
        match result {
            Ok(()) => {
                passed += 1;
                println!("ok     killed {kill} ({:.1} s)", begun.elapsed().as_secs_f64());
            }
            Err(why) => {
                failed += 1;
                println!("FAILED killed {kill}: {why}");
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed > 0 {
        std::process::exit(1);
    }
}
