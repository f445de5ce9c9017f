//! The escalation routes as a client meets them: a real night, and then what they say of it.

use serde_json::{Value, json};

use crate::support::{Server, Town, good_work, issue, script};

const ROOT: &str = "/api/foreman/escalation";

async fn get(server: &Server, path: &str) -> Value {
    let answer = server.get(&format!("{ROOT}/{path}")).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    assert_eq!(answer.json["success"], true);
    answer.json
}

async fn select(server: &Server, context: Value) -> Value {
    let answer = server.post(&format!("{ROOT}/select"), &context).await;
    assert_eq!(answer.status, 200, "{context}: {}", answer.text);
    answer.json["selection"].clone()
}

fn sum(amounts: &Value) -> f64 {
    amounts.as_object().expect("amounts").values().filter_map(Value::as_f64).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_is_told_by_every_route() {
    let town = Town::new(
        script(good_work),
        vec![
            issue("Architecture of notes").label("architecture"),
            issue("Rewrite the parser").label("complexity:high"),
            issue("Try another parser").label("complexity:high").label("experimental"),
            issue("Close the hole").label("complexity:high").label("security"),
            issue("Write notes"),
        ],
    )
    .await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(run["status"], "completed", "{run:#}\n{}", server.log());

    let quota = get(&server, "quota").await;
    // The rewrite alone counts: architecture skips the count, the experiment waits, security is exempt.
    assert_eq!(quota["quota"]["daily"]["used"], 1, "{quota:#}");
    assert_eq!(quota["quota"]["daily"]["limit"], 50);
    assert!(quota["quota"]["hourly"]["resetsAt"].is_string());
    let overview = server.get("/api/foreman/overnight").await.json;
    for window in ["daily", "hourly", "concurrent"] {
        assert_eq!(quota["quota"][window]["used"], overview["status"]["quotaUsage"][window]);
    }
    let night =
        quota["budgets"].as_array().expect("budgets").iter().find(|it| it["scope"] == "night");
    let night = night.expect("the latest night");
    assert_eq!((&night["spentUsd"], &night["limitUsd"]), (&run["costUsd"], &json!(10.0)));

    let costs = get(&server, "costs").await["costs"].clone();
    let total = costs["totalUsd"].as_f64().expect("a total");
    assert!(total > 0.0);
    for key in ["byRun", "byTier", "byTag", "byDay"] {
        assert!((sum(&costs[key]) - total).abs() < 1e-9, "{key}: {costs:#}");
    }
    assert_eq!(costs["byRun"][run["id"].as_str().expect("an id")], run["costUsd"]);

    let events = get(&server, "events").await["events"].clone();
    let told: Vec<(&str, &str)> = events
        .as_array()
        .expect("events")
        .iter()
        .map(|it| {
            (it["taskId"].as_str().expect("a task"), it["justification"].as_str().unwrap_or(""))
        })
        .collect();
    assert_eq!(told.len(), 3, "{events:#}");
    for expected in [
        ("octo/app#1", "architecture_update"),
        ("octo/app#2", "heavy_refactor"),
        ("octo/app#4", "heavy_refactor"),
    ] {
        assert!(told.contains(&expected), "{told:?}");
    }
    let id = run["id"].as_str().expect("an id");
    assert_eq!(get(&server, &format!("events?runId={id}")).await["events"], events);
    assert_eq!(get(&server, "events?runId=none").await["events"], json!([]));

    let approvals = get(&server, "approvals?status=pending_approval").await["approvals"].clone();
    assert_eq!(approvals.as_array().expect("approvals").len(), 1, "{approvals:#}");
    assert_eq!(approvals[0]["id"], "octo/app#3:experimental");
    let types = server.event_types(id).await;
    for kind in ["escalation_exempt", "escalation_pending_approval"] {
        assert_eq!(types.iter().filter(|it| *it == kind).count(), 1, "{kind}: {types:?}");
    }
    let listed = get(&server, "approvals?status=listed").await["approvals"].clone();
    assert_eq!(listed[0]["issueNumber"], 2, "{listed:#}");

    let report = get(&server, "reports?period=daily").await["report"].clone();
    assert_eq!((&report["totalUsd"], &report["escalations"]), (&costs["totalUsd"], &json!(3)));
    assert_eq!((&report["exempt"], &report["waiting"]), (&json!(1), &json!(1)));
    let text = server.get(&format!("{ROOT}/reports?period=weekly&format=text")).await;
    assert!(text.text.starts_with("Escalation, weekly report of"), "{}", text.text);
    assert_eq!(get(&server, "reports").await["reports"], json!([]));

    let quiet = |answer: &Value| {
        let mut answer = answer.clone();
        for window in ["daily", "hourly"] {
            if answer["quota"][window]["used"] == 0 {
                answer["quota"][window]["resetsAt"] = Value::Null; // "now"
            }
        }
        answer
    };
    assert_eq!(quiet(&said(&town, &server.url, &["quota"]).await), quiet(&quota));
    let plan = server.post("/api/foreman/overnight/plan", &crate::support::body()).await.json;
    let forecast = &plan["plan"]["forecast"];
    assert_eq!((&forecast["samples"], &forecast["source"]), (&json!(5), &json!("repository")));

    // Without a server the command line reads the store, and writes where a person decides.
    let gone = server.url.clone();
    server.terminate().await;
    assert_eq!(said(&town, &gone, &["costs"]).await["costs"], costs);
    assert_eq!(said(&town, &gone, &["events"]).await["events"], events);
    let day = said(&town, &gone, &["report", "--period", "daily"]).await;
    assert_eq!(day["report"]["totalUsd"], costs["totalUsd"]);
    let chosen = said(&town, &gone, &["select", "--complexity", "high"]).await;
    assert_eq!(chosen["selection"]["selectedModel"], "gpt-4-turbo");
    let id = "octo/app#3:experimental";
    let approved = said(&town, &gone, &["approvals", "approve", id, "--reason", "try it"]).await;
    assert_eq!(approved["approval"]["status"], "approved");
    let left = said(&town, &gone, &["approvals"]).await["approvals"].clone();
    let waits = |it: &&Value| it["status"] == "pending_approval";
    assert_eq!(left.as_array().expect("a list").iter().filter(waits).count(), 0, "{left:#}");
}

/// What `foreman escalation … --json` answers.
async fn said(town: &Town, url: &str, words: &[&str]) -> Value {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_foreman"))
        .args(["--json", "escalation"])
        .args(words)
        .env_clear()
        .envs(&town.env)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("FOREMAN_URL", url)
        .current_dir(town.data.path())
        .output()
        .await
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let why = String::from_utf8_lossy(&output.stderr);
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{words:?}: {text} {why}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn selecting_asks_nobody_and_leaves_nothing() {
    let town = Town::new(script(good_work), Vec::new()).await;
    let config = town.data.path().join("foreman.toml");
    std::fs::write(
        &config,
        "[escalation]\nfallback_chain = [\"gpt-5.1\", \"gpt-4-turbo\", \"gpt-4\"]\n\
         [escalation.rules]\nmulti_file_refactor = \"gpt-5.1\"\n",
    )
    .expect("written");
    let server = town.serve().await;
    let heavy = select(&server, json!({"taskType": "build", "complexity": "high"})).await;
    assert_eq!(
        heavy,
        json!({
            "selectedModel": "gpt-4-turbo", "escalated": true, "escalationReason": "heavy_task",
            "fallbackChain": ["gpt-4-turbo", "gpt-4"], "quotaImpact": 1,
            "requiresApproval": false, "rule": "high_complexity",
        })
    );
    let files = json!({"taskType": "build", "complexity": "low", "filesAffected": 10});
    let files = select(&server, files).await;
    assert_eq!((&files["selectedModel"], &files["quotaImpact"]), (&json!("gpt-5.1"), &json!(1)));
    let none_left = json!({"taskType": "build", "complexity": "high", "quotaRemaining": 0});
    let none_left = select(&server, none_left).await;
    assert_eq!(none_left["selectedModel"], "gpt-4");
    assert_eq!(
        (&none_left["escalated"], &none_left["rule"]),
        (&json!(false), &json!("quota_used_up"))
    );
    let full = json!({"taskType": "build", "complexity": "high", "existingEscalationsToday": 50});
    assert_eq!(select(&server, full).await["selectedModel"], "gpt-4");

    assert!(town.model.requests().is_empty());
    assert_eq!(get(&server, "quota").await["quota"]["daily"]["used"], 0);
    let stats = server.get("/api/foreman/governance/stats").await.json;
    assert_eq!(stats["stats"]["total"], 0);

    let path = format!("{ROOT}/select");
    for (body, code) in [
        ("", "missing_parameters"),
        ("{", "invalid_json"),
        ("[]", "invalid_body"),
        (r#"{"taskType":"build"}"#, "missing_parameters"),
        (r#"{"taskType":"build","complexity":"low","filesAffected":-1}"#, "invalid_value"),
        (r#"{"taskType":"build","complexity":"low","filesAffected":2.5}"#, "invalid_value"),
        (r#"{"taskType":"build","complexity":"low","model":"gpt-5.1"}"#, "unknown_key"),
    ] {
        let answer = server.send(server.request("POST", &path).body(body)).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text);
        assert_eq!(answer.json["code"], code, "{body}");
    }
    for (method, path, status) in [
        ("GET", "select", 405),
        ("GET", "quota?x=1", 400),
        ("GET", "events?limit=0", 400),
        ("GET", "events?limit=1001", 400),
        ("GET", "approvals?status=odd", 400),
        ("GET", "reports?period=yearly", 400),
        ("GET", "reports?date=2026-13-01", 400),
        ("GET", "reports?format=xml", 400),
    ] {
        let answer = server.send(server.request(method, &format!("{ROOT}/{path}"))).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
        assert!(answer.json["error"].is_string(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_decides_and_only_an_admin_overrides() {
    let tokens = "vic:viewer:token-of-vic,bob:operator:token-of-bob,ann:admin:token-of-ann";
    let town = Town::new(script(good_work), Vec::new()).await.set("FOREMAN_API_TOKEN", tokens);
    let server = town.serve().await;
    let path = format!("{ROOT}/approvals");
    let until = chrono::Utc::now() + chrono::TimeDelta::hours(2);
    let ask = async |token: &str, body: Value| {
        server.send(server.request("POST", &path).bearer_auth(token).json(&body)).await
    };
    let exempt = json!({"owner": "octo", "repo": "app", "reason": "the release", "until": until});
    assert_eq!(ask("token-of-vic", exempt.clone()).await.json["code"], "forbidden");
    assert_eq!(ask("token-of-bob", exempt.clone()).await.status, 403);
    let stored = ask("token-of-ann", exempt).await;
    assert_eq!(stored.status, 201, "{}", stored.text);
    assert_eq!(stored.json["approval"]["decidedBy"], "ann");
    let too_long = chrono::Utc::now() + chrono::TimeDelta::hours(25);
    let long = json!({"owner": "octo", "repo": "app", "reason": "x", "until": too_long});
    assert_eq!(ask("token-of-ann", long).await.json["code"], "invalid_value");
    let unknown = json!({"id": "nothing", "decision": "approve"});
    assert_eq!(ask("token-of-bob", unknown).await.status, 404);
    let list = server.send(server.request("GET", &path).bearer_auth("token-of-vic")).await;
    assert_eq!(list.json["approvals"].as_array().expect("a list").len(), 1);
    let log = server.request("GET", "/api/foreman/governance/events").bearer_auth("token-of-vic");
    assert_eq!(server.send(log).await.json["events"][0]["type"], "escalation_override");
}
