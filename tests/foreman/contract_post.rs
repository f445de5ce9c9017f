//! The contract's "POST" and "GET": starting a night, its configuration, and replays.

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::{Server, Town, acts, body, good_work, issue, repo, row, script, write_file};
use foreman::demo::model::{Reply, Script};

const OVERNIGHT: &str = "/api/foreman/overnight";

/// Bad at first, and good once the gate has sent it back.
fn learns(input: &foreman::demo::model::ScriptInput) -> Reply {
    if input.round > 0 {
        let number = input.issue.unwrap_or_default();
        let good = format!("grep -q {number} notes.txt\n");
        let notes = write_file("notes.txt", &format!("{number}\n"));
        return acts(input, vec![notes, write_file("tests/broken.sh", &good)]);
    }
    acts(input, vec![write_file("tests/broken.sh", "false\n")])
}

/// A model that never answers, and a way to see that it was asked.
fn hanging() -> (Script, watch::Receiver<bool>) {
    let (asked, was_asked) = watch::channel(false);
    let hang = script(move |_| {
        asked.send_replace(true);
        Reply::Hang
    });
    (hang, was_asked)
}

/// A POST with headers and a query.
async fn post(
    server: &Server,
    query: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> crate::support::server::Answer {
    let mut request = server.request("POST", &format!("{OVERNIGHT}{query}")).json(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    server.send(request).await
}

fn with_config(config: &Value) -> Value {
    let mut body = body();
    body["config"] = config.clone();
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_answers_with_the_ended_run_and_its_location_behind_a_proxy() {
    let town = Town::new(script(good_work), vec![issue("Anything")])
        .await
        .set("FOREMAN_BASE_PATH", "/foreman");
    let server = town.serve().await;
    for (query, headers) in [("?wait=true", vec![]), ("", vec![("prefer", "wait=40")])] {
        let answer = post(&server, query, &headers, &body()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.json["success"], true);
        assert_eq!(answer.json["run"]["status"], "completed", "{}", answer.text);
        let id = answer.json["run"]["id"].as_str().expect("an id").to_owned();
        let location = answer.headers["location"].to_str().expect("text").to_owned();
        assert_eq!(location, format!("/foreman/api/foreman/overnight/runs/{id}"));
        let shown = server.get(&location).await;
        assert_eq!(shown.status, 200, "{}", shown.text);
        assert_eq!(shown.json["run"], answer.json["run"]);
    }
    // Without waiting it is 202, with the same shape.
    let answer = post(&server, "", &[], &body()).await;
    assert_eq!(answer.status, 202);
    server.ended(answer.json["run"]["id"].as_str().expect("an id")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_gives_its_run_again_while_active_and_after() {
    let (hang, mut was_asked) = hanging();
    let town = Town::new(hang, vec![issue("Anything")]).await;
    let server = town.serve().await;
    let key = [("idempotency-key", "night-1")];
    let first = post(&server, "", &key, &body()).await;
    assert_eq!(first.status, 202, "{}", first.text);
    let id = first.json["run"]["id"].clone();
    was_asked.wait_for(|asked| *asked).await.expect("the model is asked");

    let again = post(&server, "", &key, &body()).await;
    assert_eq!((again.status, &again.json["run"]["id"]), (202, &id), "{}", again.text);
    let other = post(&server, "", &key, &with_config(&json!({"maxIssuesPerRun": 3}))).await;
    assert_eq!(other.status, 409, "{}", other.text);
    assert_ne!(other.json["code"], "run_active");
    for keyed in [vec![], vec![("idempotency-key", "night-2")]] {
        let refused = post(&server, "", &keyed, &body()).await;
        assert_eq!(refused.status, 409, "{}", refused.text);
        assert_eq!(refused.json["code"], "run_active");
        assert_eq!(refused.json["runId"], id);
    }

    let cancelled = server
        .post(&format!("{OVERNIGHT}/runs/{}/cancel", id.as_str().expect("text")), &json!({}))
        .await;
    assert_eq!(cancelled.status, 202, "{}", cancelled.text);
    server.ended(id.as_str().expect("text")).await;
    let after = post(&server, "", &key, &body()).await;
    assert_eq!((after.status, &after.json["run"]["id"]), (202, &id), "{}", after.text);
    let other = post(&server, "", &key, &with_config(&json!({"maxIssuesPerRun": 3}))).await;
    assert_eq!(other.status, 409, "{}", other.text);
    let runs = server.get(&format!("{OVERNIGHT}/runs")).await;
    assert_eq!(runs.json["runs"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_pull_requests_wanted_it_is_judged_and_nothing_leaves() {
    let town = Town::new(script(good_work), vec![issue("Anything")]).await;
    let server = town.serve().await;
    let run = server.night(&json!({"createPRsAutomatically": false})).await;
    assert_eq!(run["status"], "completed", "{run:#}");
    let done = row(&run, 1);
    assert_eq!(done["status"], "success", "{done:#}");
    assert!(done.get("prUrl").is_none_or(Value::is_null), "{done:#}");
    assert_eq!(done["qaResults"]["passed"], true);
    assert_eq!(town.changes(), Vec::<String>::new());
    assert_eq!(town.github.branches(&repo()).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_healing_there_is_no_second_round() {
    let town = Town::new(script(learns), vec![issue("Anything")]).await;
    let server = town.serve().await;
    let run = server.night(&json!({"enableAutoHeal": false})).await;
    assert_eq!(row(&run, 1)["status"], "failed", "{run:#}");
    // One action and one finish, and no conversation after the gate's word.
    assert_eq!(town.model.requests().len(), 2);
    assert!(town.pulls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_healing_a_failed_call_is_not_repeated() {
    let town = Town::new(
        script(|_| Reply::Status(500, vec![], "{\"error\":{\"message\":\"boom\"}}".to_owned())),
        vec![issue("Anything")],
    )
    .await;
    let server = town.serve().await;
    let run = server.night(&json!({"enableAutoHeal": false})).await;
    assert_eq!(row(&run, 1)["status"], "failed", "{run:#}");
    assert_eq!(town.model.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_escalation_the_model_stays_and_still_repairs_once() {
    let town =
        Town::new(script(learns), vec![issue("Architecture of it").label("architecture")]).await;
    let server = town.serve().await;
    let run = server.night(&json!({"enableModelEscalation": false})).await;
    assert_eq!(row(&run, 1)["status"], "success", "{run:#}");
    let mut models: Vec<String> =
        town.model.requests().into_iter().map(|request| request.model).collect();
    models.dedup();
    assert_eq!(models.len(), 1, "{models:?}");
    let overview = server.get(OVERNIGHT).await;
    assert_eq!(overview.json["status"]["quotaUsage"]["daily"], 0, "{}", overview.text);
    // The same issue with escalation allowed goes to another model.
    let other =
        Town::new(script(good_work), vec![issue("Architecture of it").label("architecture")]).await;
    other.serve().await.night(&json!(null)).await;
    assert_ne!(other.model.requests()[0].model, models[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_escalation_a_second_refusal_is_the_end() {
    let town = Town::new(
        script(|input| acts(input, vec![write_file("tests/broken.sh", "false\n")])),
        vec![issue("Anything")],
    )
    .await;
    let server = town.serve().await;
    let run = server.night(&json!({"enableModelEscalation": false})).await;
    assert_eq!(row(&run, 1)["status"], "failed", "{run:#}");
    let conversations = town
        .model
        .requests()
        .iter()
        .filter(|it| {
            it.body["messages"]
                .as_array()
                .is_some_and(|all| all.iter().all(|one| one["role"] != "assistant"))
        })
        .count();
    assert_eq!(conversations, 2, "one try and one repair");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_posted_budget_holds_for_that_night_alone() {
    let town = Town::new(script(good_work), vec![issue("Anything")]).await;
    let server = town.serve().await;
    let run = server.night(&json!({"budgetUsd": 0.000_001})).await;
    assert_eq!(run["status"], "halted", "{run:#}");
    assert!(town.model.requests().is_empty());
    assert!(run["errors"][0].is_string(), "{run:#}");
    let run = server.night(&json!(null)).await;
    assert_eq!(run["status"], "completed", "{run:#}");
    assert!(run["costUsd"].as_f64().is_some_and(|cost| cost > 0.0), "{run:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_issues_counts_those_worked_on() {
    let town = Town::new(script(good_work), vec![issue("One"), issue("Two"), issue("Three")]).await;
    let server = town.serve().await;
    let run = server.night(&json!({"maxIssuesPerRun": 1})).await;
    assert_eq!(run["status"], "completed", "{run:#}");
    assert_eq!((&run["totalIssues"], &run["skippedIssues"]), (&json!(3), &json!(2)));
    assert_eq!(row(&run, 1)["status"], "success");
    assert_eq!(row(&run, 2)["reasonCode"], "max_issues", "{run:#}");
    // The one with a pull request doesn't count.
    let run = server.night(&json!({"maxIssuesPerRun": 1})).await;
    assert_eq!(row(&run, 2)["status"], "success", "{run:#}");
    assert_eq!(row(&run, 3)["status"], "skipped");
    assert_eq!(run["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_and_labels_select() {
    let town = Town::new(
        script(good_work),
        vec![issue("One"), issue("Two").label("night"), issue("Three").label("Other")],
    )
    .await;
    let server = town.serve().await;
    let run = server.night(&json!({"labels": ["night"]})).await;
    assert_eq!(row(&run, 2)["status"], "success", "{run:#}");
    assert_eq!(row(&run, 1)["status"], "skipped");
    assert_eq!(run["status"], "completed", "{run:#}");
    let run = server.night(&json!({"issues": [3]})).await;
    assert_eq!(row(&run, 3)["status"], "success", "{run:#}");
    assert_eq!(row(&run, 1)["status"], "skipped");
    assert_eq!(run["totalIssues"], 3);
    assert_eq!(
        town.pulls().into_iter().map(|(head, _)| head).collect::<Vec<_>>(),
        ["foreman/issue-2", "foreman/issue-3"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_is_the_one_asked_for() {
    let town = Town::new(
        script(good_work),
        vec![issue("Deploy it").label("deployment"), issue("Architecture").label("architecture")],
    )
    .await;
    let server = town.serve().await;
    server.night(&json!({"sequenceOrder": ["deployment", "architecture"]})).await;
    let worked: Vec<Option<u64>> = town.model.requests().iter().map(|it| it.issue).collect();
    assert_eq!((worked.first(), worked.last()), (Some(&Some(1)), Some(&Some(2))), "{worked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_lanes_do_the_same_as_one() {
    let issues = (1..=4).map(|number| issue(&format!("Issue {number}"))).collect();
    let town = Town::new(script(good_work), issues).await;
    let server = town.serve().await;
    let run = server.night(&json!({"lanes": 3})).await;
    assert_eq!(run["status"], "completed", "{run:#}\n{}", server.log());
    assert_eq!(town.pulls().len(), 4);
    town.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_or_wrong_is_said() {
    let town = Town::new(script(good_work), vec![]).await;
    let server = town.serve().await;
    let answer = server.post(OVERNIGHT, &json!({"owner": "octo"})).await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.json,
        json!({"error": "Missing required parameters: owner, repo", "code": "missing_parameters"})
    );
    let mut env = town.env.clone();
    env.remove("GITHUB_TOKEN");
    let elsewhere = tempfile::tempdir().expect("a folder");
    env.insert("FOREMAN_DATA_DIR".to_owned(), elsewhere.path().display().to_string());
    let server = Server::start(&env, elsewhere.path()).await;
    assert_eq!(server.get("/readyz").await.status, 200);
    let answer = server.post(OVERNIGHT, &body()).await;
    assert_eq!(answer.status, 422, "{}", answer.text);
    assert!(answer.json["error"].as_str().is_some_and(|text| text.contains("GITHUB_TOKEN")));
    let plan = server.post(&format!("{OVERNIGHT}/plan"), &body()).await;
    assert_eq!(plan.status, 422, "{}", plan.text);
    assert_eq!(server.get(&format!("{OVERNIGHT}/runs")).await.json["runs"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn planning_and_looking_change_nothing() {
    let town = Town::new(
        script(good_work),
        vec![issue("Second").body("Depends on #2"), issue("First").label("architecture")],
    )
    .await;
    let server = town.serve().await;
    let plan = server.post(&format!("{OVERNIGHT}/plan"), &body()).await;
    assert_eq!(plan.status, 200, "{}", plan.text);
    let issues = plan.json["plan"]["issues"].as_array().expect("issues").clone();
    assert_eq!(issues[0]["issueNumber"], 2, "{}", plan.text);
    for key in [
        "issueNumber",
        "title",
        "labels",
        "sequenceType",
        "dependencies",
        "estimatedComplexity",
        "requiresEscalation",
    ] {
        assert!(issues[0].get(key).is_some(), "{key}: {}", issues[0]);
    }
    let before = server.get(OVERNIGHT).await;
    assert_eq!(before.json["success"], true);
    assert_eq!(before.json["run"], Value::Null);
    assert_eq!(before.json["scheduler"], "off");
    assert_eq!(before.json["activeRuns"], json!([]));
    for key in ["quotaUsage", "localBuilderHealth", "governanceStats"] {
        assert!(before.json["status"][key].is_object(), "{}", before.text);
    }
    assert_eq!(server.get(OVERNIGHT).await.json, before.json);
    assert_eq!(before.json["config"]["budgetUsd"].as_f64(), Some(10.0), "{}", before.text);
    assert!(before.json["tiers"].is_array() && before.json["sandbox"].is_object());
    // What it shows as a night's configuration can be sent back as one.
    let mut again = body();
    again["config"] = before.json["config"].clone();
    let plan = server.post(&format!("{OVERNIGHT}/plan"), &again).await;
    assert_eq!(plan.status, 200, "{}", plan.text);

    let mut dry = body();
    dry["dryRun"] = json!(true);
    let id = server.begin(&dry).await;
    let run = server.ended(&id).await;
    assert_eq!((&run["dryRun"], &run["totalIssues"]), (&json!(true), &json!(2)), "{run:#}");
    assert!(town.changes().is_empty() && town.model.requests().is_empty());
    assert!(town.github.branches(&repo()).len() == 1);
    let after = server.get(&format!("{OVERNIGHT}?owner=octo&repo=app")).await;
    assert_eq!(after.json["run"]["id"], id.as_str());
    let elsewhere = server.get(&format!("{OVERNIGHT}?owner=octo&repo=other")).await;
    assert_eq!(elsewhere.json["run"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn switched_off_nothing_starts_and_nothing_resumes() {
    let (hang, mut was_asked) = hanging();
    let town = Town::new(hang, vec![issue("Anything")]).await;
    let server = town.serve().await;
    let id = server.begin(&body()).await;
    was_asked.wait_for(|asked| *asked).await.expect("the model is asked");
    server.kill().await;
    let asked = town.model.requests().len();
    let town = town.set("OVERNIGHT_EXECUTION_ENABLED", "false");
    let server = town.serve().await;
    let answer = server.post(OVERNIGHT, &body()).await;
    assert_eq!((answer.status, answer.json["code"].as_str()), (403, Some("overnight_disabled")));
    let run = server.get(&format!("{OVERNIGHT}/runs/{id}")).await;
    assert_eq!(run.status, 200);
    let (code, _) = server.terminate().await;
    assert_eq!(code, Some(0));
    assert_eq!(town.model.requests().len(), asked, "it went on although it is switched off");
}
