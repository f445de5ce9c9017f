//! The contract's event log and its streams.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Server, Town, good_work, issue, script};

const EVENTS: &str = "/api/foreman/governance/events";

async fn events(server: &Server, query: &str) -> Vec<Value> {
    let answer = server.get(&format!("{EVENTS}?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text);
    assert_eq!(answer.json["success"], true);
    answer.json["events"].as_array().expect("events").clone()
}

fn seqs(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["seq"].as_u64().expect("a seq")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_contiguous_and_can_be_cut_by_anything() {
    let town = Town::new(script(good_work), vec![issue("Anything"), issue("More")]).await;
    let server = town.serve().await;
    let first = server.night(&json!({"issues": [1]})).await;
    let second = server.night(&json!(null)).await;
    let all = events(&server, "limit=1000").await;
    let count = all.len() as u64;
    assert_eq!(seqs(&all), (1..=count).rev().collect::<Vec<_>>(), "newest first, from 1");
    for event in &all {
        for key in ["id", "seq", "timestamp", "type", "severity", "description", "metadata"] {
            assert!(event.get(key).is_some_and(|it| !it.is_null()), "{key}: {event}");
        }
    }
    for run in [&first, &second] {
        let id = run["id"].as_str().expect("an id");
        let of_run = events(&server, &format!("runId={id}&limit=1000")).await;
        assert!(!of_run.is_empty());
        assert!(of_run.iter().all(|event| event["metadata"]["runId"] == id), "{of_run:?}");
        let types: Vec<&str> = of_run.iter().filter_map(|event| event["type"].as_str()).collect();
        for kind in [
            "overnight_execution_started",
            "overnight_execution_completed",
            "issue_execution_completed",
            "pr_allowed",
        ] {
            assert!(types.contains(&kind), "{kind}: {types:?}");
        }
        assert_eq!(types[0], "overnight_execution_completed", "{types:?}");
    }
    assert!(events(&server, "runId=nobody").await.is_empty());

    // Pages join without a gap or a repeat.
    let mut paged = Vec::new();
    let mut query = "limit=3".to_owned();
    loop {
        let answer = server.get(&format!("{EVENTS}?{query}")).await;
        paged.extend(answer.json["events"].as_array().expect("events").clone());
        let Some(cursor) = answer.json["nextCursor"].as_str() else { break };
        query = format!("limit=3&cursor={cursor}");
    }
    assert_eq!(seqs(&paged), seqs(&all));

    // `since` is inclusive, `until` exclusive.
    let middle = &all[all.len() / 2];
    let at = middle["timestamp"].as_str().expect("a time");
    let (since, until) = (
        events(&server, &format!("since={at}&limit=1000")).await,
        events(&server, &format!("until={at}&limit=1000")).await,
    );
    assert!(since.contains(middle) && !until.contains(middle));
    assert_eq!(since.len() + until.len(), all.len());
    let kind = middle["type"].as_str().expect("a type");
    let of_type = events(&server, &format!("type={kind}&limit=1000")).await;
    assert_eq!(of_type.len(), all.iter().filter(|event| event["type"] == kind).count());
    let quiet = events(&server, "severity=info&limit=1000").await;
    assert_eq!(quiet.len(), all.iter().filter(|event| event["severity"] == "info").count());
    for bad in [
        "limit=1001",
        "limit=-1",
        "limit=x",
        "since=yesterday",
        "until=2026-13-01",
        "severity=awful",
        "type=nonsense",
        "cursor=zz",
        "unknown=1",
    ] {
        let answer = server.get(&format!("{EVENTS}?{bad}")).await;
        assert_eq!(answer.status, 400, "{bad}: {}", answer.text);
        assert!(answer.json["error"].as_str().is_some_and(|text| text.len() > 10), "{bad}");
    }

    let stats =
        server.get("/api/foreman/overnight").await.json["status"]["governanceStats"].clone();
    assert_eq!(stats["total"], count);
    for by in ["bySeverity", "byType"] {
        let sum: u64 =
            stats[by].as_object().expect("a map").values().filter_map(Value::as_u64).sum();
        assert_eq!(sum, count, "{by}");
    }
    // Looking has added nothing, and a restart goes on from here.
    assert_eq!(seqs(&events(&server, "limit=1000").await).len() as u64, count);
    server.terminate().await;
    let server = town.serve().await;
    let again = events(&server, "limit=1000").await;
    assert_eq!(seqs(&again), (1..=again.len() as u64).rev().collect::<Vec<_>>());
    assert_eq!(again[again.len() - all.len()..], all[..]);
}

/// The events of a stream that ends by itself: id, type, data.
async fn stream(server: &Server, path: &str, last: Option<&str>) -> Vec<(String, String, Value)> {
    let mut request = server.request("GET", path).timeout(Duration::from_secs(20));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let answer = server.send(request).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let kind = answer.headers["content-type"].to_str().expect("text");
    assert!(kind.starts_with("text/event-stream"), "{kind}");
    assert_eq!(answer.headers["x-accel-buffering"], "no");
    let field = |block: &str, name: &str| {
        let prefix = format!("{name}:");
        block
            .lines()
            .find_map(|line| line.strip_prefix(&prefix))
            .map(|text| text.trim().to_owned())
            .unwrap_or_default()
    };
    answer
        .text
        .split("\n\n")
        .filter(|block| block.contains("data:"))
        .map(|block| {
            let data = serde_json::from_str(&field(block, "data")).expect("JSON");
            (field(block, "id"), field(block, "event"), data)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_run_is_replayed_and_then_the_stream_ends() {
    let town = Town::new(script(good_work), vec![issue("Anything")]).await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    let id = run["id"].as_str().expect("an id");
    let path = format!("/api/foreman/overnight/runs/{id}/events");
    let whole = stream(&server, &path, None).await;
    let logged = events(&server, &format!("runId={id}&limit=1000")).await;
    let streamed: Vec<&(String, String, Value)> =
        whole.iter().filter(|(id, _, _)| !id.is_empty()).collect();
    assert_eq!(streamed.len(), logged.len(), "{whole:?}");
    for ((id, _, data), event) in streamed.iter().zip(logged.iter().rev()) {
        assert_eq!(id, &event["seq"].to_string());
        assert_eq!(data, event);
    }
    // From the middle on.
    let middle = streamed[streamed.len() / 2].0.clone();
    let rest = stream(&server, &path, Some(&middle)).await;
    let rest: Vec<String> =
        rest.into_iter().map(|(id, _, _)| id).filter(|id| !id.is_empty()).collect();
    let expected: Vec<String> =
        streamed.iter().map(|(id, _, _)| id.clone()).skip(streamed.len() / 2 + 1).collect();
    assert_eq!(rest, expected);
    // From its end there is nothing more, and it still ends.
    let last = streamed.last().expect("some").0.clone();
    let nothing = stream(&server, &path, Some(&last)).await;
    assert!(nothing.iter().all(|(id, _, _)| id.is_empty()), "{nothing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_itself_refuses_to_change_an_event() {
    let town = Town::new(script(good_work), vec![issue("Anything")]).await;
    let server = town.serve().await;
    server.night(&json!(null)).await;
    server.terminate().await;
    sqlx::any::install_default_drivers();
    let url = format!("sqlite://{}", town.data.path().join("data/foreman.db").display());
    let pool = sqlx::AnyPool::connect(&url).await.expect("the file opens");
    for sql in
        ["UPDATE events SET description = 'x' WHERE seq = 1", "DELETE FROM events WHERE seq = 1"]
    {
        assert!(sqlx::query(sql).execute(&pool).await.is_err(), "{sql}");
    }
    pool.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_listed_newest_first_with_a_cursor() {
    let town = Town::new(script(good_work), vec![]).await;
    let server = town.serve().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        let run = server.night(&json!(null)).await;
        assert_eq!((&run["status"], &run["totalIssues"]), (&json!("completed"), &json!(0)));
        ids.push(run["id"].as_str().expect("an id").to_owned());
    }
    ids.reverse();
    let mut seen = Vec::new();
    let mut query = "limit=2".to_owned();
    loop {
        let answer = server.get(&format!("/api/foreman/overnight/runs?{query}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        for run in answer.json["runs"].as_array().expect("runs") {
            seen.push(run["id"].as_str().expect("an id").to_owned());
        }
        let Some(cursor) = answer.json["nextCursor"].as_str() else { break };
        query = format!("limit=2&cursor={cursor}");
    }
    assert_eq!(seen, ids);
    let none = server.get("/api/foreman/overnight/runs?status=failed").await;
    assert_eq!(none.json["runs"], json!([]));
    let elsewhere = server.get("/api/foreman/overnight/runs?owner=octo&repo=other").await;
    assert_eq!(elsewhere.json["runs"], json!([]));
}
