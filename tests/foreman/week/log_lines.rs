//! The log of a night, read as a machine would: each line says what it is about.

use serde_json::{Value, json};

use crate::support::{Town, body, good_work, issue, script};

/// A field of a line, of its own or of what it stands in.
fn field(line: &Value, name: &str) -> Option<String> {
    let found = line.get(name).or_else(|| line["span"].get(name))?;
    Some(found.as_str().map_or_else(|| found.to_string(), str::to_owned))
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_say_which_run_issue_attempt_and_request() {
    let town = Town::new(script(good_work), vec![issue("One"), issue("Two")]).await;
    let server = town.serve().await;
    let start = server
        .request("POST", "/api/foreman/overnight")
        .header("x-request-id", "the-first-week")
        .json(&body());
    let answer = server.send(start).await;
    let id = answer.json["run"]["id"].as_str().expect("an id").to_owned();
    let run = server.ended(&id).await;
    assert_eq!(run["status"], "completed", "{run:#}");

    let log = server.log();
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    let of_the_request: Vec<&Value> = lines
        .iter()
        .filter(|line| field(line, "request_id").as_deref() == Some("the-first-week"))
        .collect();
    // Who has the id of a request finds the night that it started.
    assert!(of_the_request.iter().any(|line| field(line, "run").as_ref() == Some(&id)), "{log}");

    let events: Vec<&Value> = lines.iter().filter(|line| line.get("event").is_some()).collect();
    for kind in ["plan_created", "gate_judged", "branch_pushed", "pr_opened", "issue_commented"] {
        let told = events.iter().any(|line| line["event"] == kind);
        assert!(told, "{kind} is not in the log:\n{log}");
    }
    for line in &events {
        assert_eq!(field(line, "run").as_ref(), Some(&id), "{line}");
    }
    for row in run["issueResults"].as_array().expect("rows") {
        let number = row["issueNumber"].to_string();
        let of_it: Vec<&&Value> =
            events.iter().filter(|line| field(line, "issue") == Some(number.clone())).collect();
        assert!(of_it.len() > 5, "#{number}: {of_it:?}");
        for line in of_it {
            assert_eq!(field(line, "attempt").map(|it| json!(it)), Some(row["buildId"].clone()));
        }
    }
    // Whatever the engine says while it is at an issue names it, and not only its events.
    let nameless = lines.iter().filter(|line| {
        let target = line["target"].as_str().unwrap_or_default();
        target.starts_with("foreman::overnight") && field(line, "run").is_none()
    });
    assert_eq!(nameless.collect::<Vec<_>>(), Vec::<&Value>::new());
}
