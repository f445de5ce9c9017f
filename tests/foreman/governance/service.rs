//! Governance as a client meets it: over HTTP and by the command line, from the real binary.

use std::process::Stdio;

use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::support::{Server, Town, good_work, issue, repo, script};

pub const GOVERNANCE: &str = "/api/foreman/governance";

async fn night() -> (Town, Server, String) {
    let town = Town::new(script(good_work), vec![issue("First"), issue("Second")]).await;
    let server = town.serve().await;
    let run = server.night(&Value::Null).await;
    assert_eq!(run["status"], "completed", "{run:#}");
    (town, server, run["id"].as_str().expect("an id").to_owned())
}

fn seqs(answer: &Value) -> Vec<i64> {
    let events = answer["events"].as_array().expect("events");
    events.iter().map(|event| event["seq"].as_i64().expect("a seq")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_filtered_summed_exported_and_verified() {
    let (town, server, run) = night().await;
    let get = async |path: &str| {
        let answer = server.get(&format!("{GOVERNANCE}{path}")).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer
    };
    let all = seqs(&get("/events?limit=1000").await.json);
    let newest = *all.first().expect("events");
    assert_eq!(all, (1..=newest).rev().collect::<Vec<i64>>(), "newest first, from 1, no gap");
    // Page by page the same.
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = get(&format!("/events?limit=7&cursor={cursor}")).await.json;
        paged.extend(seqs(&page));
        let Some(next) = page["nextCursor"].as_str() else { break };
        next.clone_into(&mut cursor);
    }
    assert_eq!(paged, all);
    let of = async |query: &str| get(&format!("/events?limit=1000&{query}")).await.json;
    let first = of("issue=1").await;
    assert!(!seqs(&first).is_empty());
    assert!(
        first["events"]
            .as_array()
            .expect("events")
            .iter()
            .all(|e| e["metadata"]["issueNumber"] == 1)
    );
    assert!(seqs(&of("issue=1,2").await).len() > seqs(&first).len());
    assert_eq!(seqs(&of("type=pr_opened&type=branch_pushed").await).len(), 4);
    assert_eq!(seqs(&of(&format!("runId={run}&runId=nobody")).await), all);
    assert_eq!(seqs(&of("text=no+such+words").await), Vec::<i64>::new());
    assert!(!seqs(&of("text=NIGHT%20FOR%20OCTO").await).is_empty());
    for bad in ["issue=x", "type=x", "severity=x", "since=x", "limit=0", "cursor=x", "what=1"] {
        let answer = server.get(&format!("{GOVERNANCE}/events?{bad}")).await;
        assert_eq!(
            (answer.status, &answer.json["code"]),
            (400, &json!("invalid_parameter")),
            "{bad}"
        );
    }

    let stats = get("/stats").await.json["stats"].clone();
    assert_eq!(stats["total"], newest);
    for sums in ["bySeverity", "byType", "byDay"] {
        let sum: i64 =
            stats[sums].as_object().expect(sums).values().filter_map(Value::as_i64).sum();
        assert_eq!(sum, newest, "{sums}");
    }
    assert_eq!(stats["byRun"][&run], newest);
    let overview = server.get("/api/foreman/overnight").await.json;
    assert_eq!(overview["status"]["governanceStats"]["total"], newest);

    let lines = get("/export").await;
    assert_eq!(lines.headers["content-type"], "application/x-ndjson");
    let lines: Vec<Value> =
        lines.text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len() as i64, newest);
    assert!(lines.windows(2).all(|pair| pair[1]["prevHash"] == pair[0]["hash"]));
    let cloud = get("/export?format=cloudevents&type=pr_opened").await.json;
    let cloud = cloud.as_array().expect("a batch").clone();
    assert_eq!(cloud.len(), 2);
    assert!(cloud.iter().all(|event| event["specversion"] == "1.0"));
    let none = get("/export?format=cloudevents&text=no+such+words").await;
    assert_eq!(none.json, json!([]));

    let verified = get("/verify").await.json;
    assert_eq!((&verified["ok"], &verified["firstBad"]), (&json!(true), &Value::Null));
    assert_eq!(verified["events"], newest);
    assert!(verified["anchoredThrough"].is_i64() || verified["anchoredThrough"].is_null());
    let (code, cloud) = foreman(
        &town,
        &["governance", "export", "--format", "cloudevents", "--type", "pr_opened,branch_pushed"],
        &[],
    )
    .await;
    let cloud = cloud.as_array().expect("a batch").clone();
    assert_eq!((code, cloud.len()), (Some(0), 4));
    assert!(cloud.iter().all(|event| event["specversion"] == "1.0" && event["id"].is_string()));

    // What only a receiver holds is read from a file that somebody brings.
    server.terminate().await;
    let kept = town.data.path().join("data/governance/anchors.jsonl");
    let received = town.data.path().join("received.jsonl");
    std::fs::rename(&kept, &received).expect("a checkpoint was made at the night's end");
    let verify = async |more: &[&str]| {
        let words = [&["governance", "verify", "--json"], more].concat();
        foreman(&town, &words, &[]).await
    };
    let (code, alone) = verify(&[]).await;
    assert_eq!((code, &alone["anchoredThrough"]), (Some(0), &Value::Null), "{alone}");
    let path = received.display().to_string();
    let (code, brought) = verify(&["--anchors", &path]).await;
    assert_eq!(code, Some(0), "{brought}");
    let place = &brought["anchor"]["places"][1];
    assert_eq!(brought["anchoredThrough"], place["through"], "{brought}");
    assert!(place["through"].is_i64() && place["unreadable"] == 0, "{brought}");
    // One of another log contradicts this one.
    let text = std::fs::read_to_string(&received).expect("text");
    let line = text.lines().rfind(|line| !line.is_empty()).expect("a checkpoint");
    let mut other: Value = serde_json::from_str(line).expect("JSON");
    other["hash"] = json!("00");
    std::fs::write(&received, other.to_string()).expect("written");
    let (_, forged) = verify(&["--anchors", &path]).await;
    assert_eq!(forged["anchor"]["places"][1]["unreadable"], 1, "{forged}");
    assert_eq!(forged["anchoredThrough"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_taken_up_where_it_broke() {
    let (town, server, _) = night().await;
    let newest = seqs(&server.get(&format!("{GOVERNANCE}/events?limit=1")).await.json)[0];
    let path = format!("{GOVERNANCE}/events/stream");
    let read = async |after: i64, count: usize, path: &str| -> Vec<i64> {
        let request = server.request("GET", path).header("last-event-id", after.to_string());
        let response = request.send().await.expect("answered");
        assert_eq!(response.status(), 200);
        let mut stream = response.bytes_stream();
        let (mut text, mut ids) = (String::new(), Vec::new());
        while ids.len() < count {
            let chunk = stream.next().await.expect("more").expect("read");
            text.push_str(&String::from_utf8_lossy(&chunk));
            ids = text
                .lines()
                .filter_map(|line| line.strip_prefix("id: ")?.trim().parse().ok())
                .collect();
        }
        ids
    };
    let whole = usize::try_from(newest).expect("small");
    assert_eq!(read(0, whole, &path).await, (1..=newest).collect::<Vec<_>>());
    assert_eq!(read(newest - 3, 3, &path).await, (newest - 2..=newest).collect::<Vec<_>>());
    // What is written while somebody listens arrives, filtered.
    let filtered = format!("{path}?type=governance_issue_created");
    let listening = read(newest, 4, &filtered);
    let (route, body) = (format!("{GOVERNANCE}/issues"), json!({ "owner": "octo", "repo": "app" }));
    let creating = server.post(&route, &body);
    let (heard, created) = tokio::join!(listening, creating);
    assert_eq!(created.json["created"], 4, "{}", created.text);
    assert_eq!(heard.len(), 4);
    let refused = server.request("GET", &path).header("last-event-id", "x");
    assert_eq!(server.send(refused).await.status, 400);
    town.assert_clean();
    server.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn governance_issues_by_route_and_command() {
    let town = Town::new(script(good_work), vec![issue("First")]).await;
    let server = town.serve().await;
    let listed = server.get(&format!("{GOVERNANCE}/issues")).await.json;
    let issues = listed["issues"].as_array().expect("issues");
    assert_eq!(issues.len(), 4);
    for key in [
        "id",
        "title",
        "body",
        "labels",
        "priority",
        "sequenceType",
        "dependencies",
        "acceptanceCriteria",
    ] {
        assert!(issues.iter().all(|issue| !issue[key].is_null()), "{key}");
    }
    let path = format!("{GOVERNANCE}/issues");
    for (body, status) in [
        (json!({}), 400),
        (json!({ "owner": "octo" }), 400),
        (json!({ "owner": "octo", "repo": "app", "config": {} }), 400),
        (json!({ "owner": "octo", "repo": "app", "dryRun": 1 }), 400),
        (json!({ "owner": "octo", "repo": "nowhere" }), 502),
    ] {
        assert_eq!(server.post(&path, &body).await.status, status, "{body}");
    }
    let here = json!({ "owner": "octo", "repo": "app", "dryRun": true });
    let dry = server.post(&path, &here).await.json;
    assert_eq!((&dry["created"], town.changes().len()), (&json!(4), 0));
    server.kill().await;

    // By the command, without a server and then beside one.
    let first =
        foreman(&town, &["governance", "issues", "--create", "octo/app", "--json"], &[]).await;
    assert_eq!((first.0, &first.1["created"]), (Some(0), &json!(4)));
    let server = town.serve().await;
    let beside = [("FOREMAN_URL", server.url.as_str())];
    let again =
        foreman(&town, &["governance", "issues", "--create", "octo/app", "--json"], &beside).await;
    assert_eq!((again.0, &again.1["existing"]), (Some(0), &json!(4)));
    assert_eq!(again.1["issues"][0]["number"], 2);
    assert!(town.github.is_open(&repo(), 5));
    server.kill().await;
    let verified = foreman(&town, &["governance", "verify", "--json"], &[]).await;
    assert_eq!((verified.0, &verified.1["ok"]), (Some(0), &json!(true)));
    let tested = foreman(&town, &["governance", "alert-test", "--json"], &[]).await;
    let console = json!([{ "place": "console", "arrived": true }]);
    assert_eq!((tested.0, &tested.1["places"]), (Some(0), &console));
    let stats = foreman(&town, &["governance", "stats", "--json"], &[]).await;
    assert_eq!(stats.1["stats"]["byType"]["governance_issue_created"], 4);
    let words =
        ["governance", "events", "--type", "governance_issue_created", "--limit", "3", "--json"];
    let events = foreman(&town, &words, &[]).await;
    assert_eq!(seqs(&events.1).len(), 3);
    town.assert_clean();
}

#[tokio::test]
async fn without_a_credential_it_is_422() {
    let mut town = Town::new(script(good_work), Vec::new()).await;
    town.env.remove("GITHUB_TOKEN");
    let server = town.serve().await;
    let body = json!({ "owner": "octo", "repo": "app" });
    let answer = server.post(&format!("{GOVERNANCE}/issues"), &body).await;
    assert_eq!((answer.status, &answer.json["code"]), (422, &json!("no_github_credential")));
    server.kill().await;
}

async fn foreman(town: &Town, words: &[&str], env: &[(&str, &str)]) -> (Option<i32>, Value) {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_foreman"))
        .args(words)
        .env_clear()
        .envs(&town.env)
        .env("FOREMAN_URL", "http://127.0.0.1:9")
        .envs(env.iter().copied())
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .current_dir(town.data.path())
        .stdin(Stdio::null())
        .output()
        .await
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let json = serde_json::from_str(&text)
        .unwrap_or_else(|_| panic!("{text}\n{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), json)
}
