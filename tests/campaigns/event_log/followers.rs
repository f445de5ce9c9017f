//! Five hundred followers of the stream: none misses an event, memory stays bounded, and who takes
//! nothing is dropped and goes on where it was.

use std::time::{Duration, Instant};

use foreman::domain::event::{EventType, NewEvent};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use serde_json::json;

use super::open;
use crate::support::{Server, Town, good_work, script};

const FOLLOWERS: usize = 490;
const SLOW: usize = 10;
/// More than sockets hold by themselves, so that who reads nothing makes us wait.
const HISTORY: i64 = 30_000;
/// From here on the quick ones read.
const FROM: i64 = HISTORY - 100;
/// Much longer than a follower may take nothing.
const LONGEST_SILENCE: Duration = Duration::from_secs(180);
/// What all of them together may add, in bytes: the log itself is shared.
const MOST_MEMORY: u64 = 200 << 20;

/// `rounds` tens of events are written while everybody listens.
pub async fn campaign(rounds: u32) -> Result<(), String> {
    let town = Town::new(script(good_work), Vec::new()).await;
    let data = town.data.path().join("data");
    std::fs::create_dir_all(&data).map_err(|error| error.to_string())?;
    let store = open(&data.join("foreman.db")).await?;
    for batch in 0..HISTORY / 500 {
        let events = (0..500).map(|n| {
            let text = format!("{} {}", batch * 500 + n, "history ".repeat(100));
            NewEvent::new(EventType::PlanCreated, text)
        });
        store.append(events.collect()).await.map_err(|error| error.to_string())?;
    }
    store.close().await;
    let server = town.serve().await;
    let last = HISTORY + i64::from(rounds) * 10;
    let before = memory(&server)?;
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        slow.push(connect(&server, 0).await?);
    }
    let quick = join_all((0..FOLLOWERS).map(|_| connect(&server, FROM))).await;
    let quick = quick.into_iter().collect::<Result<Vec<_>, _>>()?;
    let begun = Instant::now();
    let reading = join_all(quick.into_iter().map(|stream| read_to(stream, FROM, Some(last))));
    let writing = async {
        for n in FROM + 100..last {
            let value = json!({ "statement": format!("event {n} is told"), "holds": true });
            let entry =
                json!({ "scope": "global", "key": "n", "schema": "fact.v1", "value": value });
            let answer = server.post("/api/foreman/governance/memory", &entry).await;
            if answer.status != 200 {
                return Err(answer.text);
            }
        }
        Ok(())
    };
    let (ends, written) = tokio::join!(reading, writing);
    written?;
    for end in ends {
        let end = end?;
        if end != last {
            return Err(format!("a follower got to event {end} of {last}"));
        }
    }
    let took = begun.elapsed();
    println!("{FOLLOWERS} followers have all in {:.1} s", took.as_secs_f64());
    let added = memory(&server)?.saturating_sub(before);
    if added > MOST_MEMORY {
        return Err(format!("memory grew by {} MiB", added >> 20));
    }
    // The slow ones take nothing until the server has given each of them up.
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    while server.log().matches("took nothing and is dropped").count() < SLOW {
        if begun.elapsed() > LONGEST_SILENCE {
            return Err(format!("the slow followers are not dropped:\n{}", server.log()));
        }
        tick.tick().await;
    }
    let mut dropped = 0;
    for stream in slow {
        let end = read_to(stream, 0, Some(last)).await?;
        if end < last {
            dropped += 1;
            let again = connect(&server, end).await?;
            let end = read_to(again, end, Some(last)).await?;
            if end != last {
                return Err(format!("taken up again it got to event {end} of {last}"));
            }
        }
    }
    if dropped != SLOW {
        return Err(format!("{dropped} of {SLOW} slow followers were dropped"));
    }
    println!(
        "{FOLLOWERS} followers got {} events each in {:.1} s, none missed; {SLOW} slow ones were dropped and went on; memory grew by {} MiB",
        last - FROM,
        took.as_secs_f64(),
        added >> 20
    );
    server.kill().await;
    Ok(())
}

async fn connect(server: &Server, after: i64) -> Result<reqwest::Response, String> {
    let response = server
        .request("GET", "/api/foreman/governance/events/stream")
        .timeout(Duration::from_secs(600))
        .header("last-event-id", after.to_string())
        .send()
        .await
        .map_err(|error| error.to_string())?;
    if response.status() != 200 { Err(response.status().to_string()) } else { Ok(response) }
}

/// Reads ids, each the next, until one is there or the stream ends; says the last.
async fn read_to(
    response: reqwest::Response,
    after: i64,
    until: Option<i64>,
) -> Result<i64, String> {
    let (mut stream, mut text, mut last) = (response.bytes_stream(), String::new(), after);
    while until != Some(last) {
        let Some(chunk) = stream.next().await else { break };
        let chunk =
            chunk.map_err(|error| format!("after event {last} (from {after}): {error:?}"))?;
        text.push_str(&String::from_utf8_lossy(&chunk));
        // What is whole is looked at once, and the rest kept for the next chunk.
        let whole = text.rfind("\n\n").map_or(0, |end| end + 2);
        for line in text[..whole].lines() {
            let id = line.strip_prefix("id: ").and_then(|id| id.trim().parse::<i64>().ok());
            match id {
                Some(id) if id == last + 1 => last = id,
                Some(id) => return Err(format!("event {id} came after event {last}")),
                None => {}
            }
        }
        text.drain(..whole);
    }
    Ok(last)
}

/// The server's resident memory.
fn memory(server: &Server) -> Result<u64, String> {
    let path = format!("/proc/{}/status", server.pid());
    let status = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no figure")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().map_err(|_| "no number")?;
    Ok(kib << 10)
}
