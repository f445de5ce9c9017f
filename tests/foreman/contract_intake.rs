//! The contract's intake: all pages, failures that are said, repositories apart from one another.

use serde_json::{Value, json};

use crate::support::{Server, Town, body, good_work, issue, row, script};
use foreman::demo::github::{Fault, FaultKind, IssueSeed};
use foreman::demo::model::Reply;
use foreman::domain::ids::RepoName;

const OVERNIGHT: &str = "/api/foreman/overnight";

fn broken(status: u16) -> FaultKind {
    FaultKind::Status { status, headers: vec![], message: "Something is wrong".to_owned() }
}

async fn night_of(server: &Server, owner: &str, repo: &str) -> Value {
    let id = server.begin(&json!({"owner": owner, "repo": repo})).await;
    server.ended(&id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_read_and_pull_requests_are_no_issues() {
    let town =
        Town::new(script(good_work), (1..=7).map(|number| issue(&format!("N {number}"))).collect())
            .await;
    town.github.set_page_cap(2);
    let server = town.serve().await;
    let run = server.night(&json!({"issues": [7]})).await;
    assert_eq!(run["totalIssues"], 7, "{run:#}");
    assert_eq!(row(&run, 7)["status"], "success", "{run:#}");
    // Now there is a pull request, #8, which is none of them.
    let run = server.night(&json!({"issues": [7]})).await;
    assert_eq!(run["totalIssues"], 7, "{run:#}");
    assert_eq!(run["issueResults"].as_array().map(Vec::len), Some(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_fetched_is_a_failed_night() {
    let town = Town::new(script(good_work), vec![issue("Anything")]).await;
    let server = town.serve().await;
    // A repository that isn't there, and one whose issues GitHub will not give.
    let run = night_of(&server, "octo", "missing").await;
    assert_eq!(run["status"], "failed", "{run:#}");
    let error = run["errors"][0].as_str().expect("an error");
    assert!(error.contains("octo/missing"), "{error}");
    town.github.fail_next(Fault::on("GET", r"/repos/octo/app/issues\?", broken(403)).times(9));
    let run = server.night(&json!(null)).await;
    assert_eq!(run["status"], "failed", "{run:#}");
    assert!(run["errors"][0].as_str().is_some_and(|text| text.len() > 20), "{run:#}");
    let types = server.event_types(run["id"].as_str().expect("an id")).await;
    assert!(types.contains(&"issue_fetch_failed".to_owned()), "{types:?}");
    assert!(types.contains(&"overnight_execution_failed".to_owned()), "{types:?}");
    assert!(town.model.requests().is_empty() && town.changes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_server_without_edges_is_enough() {
    let town =
        Town::new(script(good_work), vec![issue("One"), issue("Two").body("Depends on #1")]).await;
    town.github.set_edges(false);
    town.github.set_summaries(false);
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(run["status"], "completed", "{run:#}");
    assert!(town.pulls().contains(&("foreman/issue-2".to_owned(), "foreman/issue-1".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn repositories_are_apart_and_names_are_the_same_in_any_case() {
    let (asked, mut was_asked) = tokio::sync::watch::channel(false);
    let town = Town::new(
        script(move |input| {
            let hang = input.body.to_string().contains("Hangs");
            if hang {
                asked.send_replace(true);
                return Reply::Hang;
            }
            good_work(input)
        }),
        vec![issue("Hangs")],
    )
    .await;
    let other: RepoName = "octo/other".parse().expect("a name");
    town.github.create_repo(&other, crate::support::SHELL_REPOSITORY).expect("a repository");
    town.github.add_issue(&other, IssueSeed::new("Goes well").number(1));
    let server = town.serve().await;
    let id = server.begin(&body()).await;
    was_asked.wait_for(|asked| *asked).await.expect("the model is asked");
    let refused = server.post(OVERNIGHT, &json!({"owner": "OCTO", "repo": "App"})).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert_eq!(refused.json["runId"], id.as_str());
    let shown = server.get(&format!("{OVERNIGHT}/runs/{id}")).await.json["run"].clone();
    assert_eq!(shown["status"], "running");
    assert_eq!(row(&shown, 1)["status"], "running");
    assert!(row(&shown, 1)["step"].is_string(), "{shown:#}");

    let run = night_of(&server, "octo", "other").await;
    assert_eq!(run["status"], "completed", "{run:#}");
    let overview = server.get(OVERNIGHT).await.json;
    assert_eq!(overview["activeRuns"].as_array().map(Vec::len), Some(1), "{overview:#}");
    assert_eq!(overview["activeRuns"][0]["id"], id.as_str());
    let cancelled = server.post(&format!("{OVERNIGHT}/runs/{id}/cancel"), &json!({})).await;
    assert_eq!(cancelled.status, 202, "{}", cancelled.text);
    let run = server.ended(&id).await;
    assert_eq!(run["status"], "cancelled");
    let again = server.post(&format!("{OVERNIGHT}/runs/{id}/cancel"), &json!({})).await;
    assert_eq!(again.status, 409, "{}", again.text);
    // What was cancelled holds nothing back.
    let quota = server.get(OVERNIGHT).await.json["status"]["quotaUsage"].clone();
    assert_eq!(quota["concurrent"], 0, "{quota}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selected_issue_whose_blocker_is_not_selected_says_so() {
    let town =
        Town::new(script(good_work), vec![issue("One"), issue("Two").body("Depends on #1")]).await;
    let server = town.serve().await;
    let run = server.night(&json!({"issues": [2]})).await;
    assert_eq!(row(&run, 2)["status"], "skipped", "{run:#}");
    assert!(row(&run, 2)["reason"].as_str().is_some_and(|why| why.contains("#1")), "{run:#}");
    assert_eq!(run["status"], "partial", "{run:#}");
    assert!(town.model.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_escalation_uses_the_quota_once_and_leaves_no_slot_behind() {
    let town = Town::new(
        script(good_work),
        vec![
            issue("Hard").label("complexity:high"),
            issue("Architecture of it").label("architecture"),
            issue("Plain"),
        ],
    )
    .await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(run["status"], "completed", "{run:#}");
    // Architecture goes to the top tier and isn't counted; what is hard is.
    let quota = server.get(OVERNIGHT).await.json["status"]["quotaUsage"].clone();
    assert_eq!(quota, json!({"daily": 1, "hourly": 1, "concurrent": 0}));
    let sum: f64 = run["issueResults"]
        .as_array()
        .expect("rows")
        .iter()
        .filter_map(|row| row["costUsd"].as_f64())
        .sum();
    assert!((run["costUsd"].as_f64().expect("a cost") - sum).abs() < 1e-9, "{run:#}");
}
