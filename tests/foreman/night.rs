//! One real night, end to end: over HTTP, real git, a real sandbox; GitHub and the model stand in.

use serde_json::json;

use crate::support::{Town, acts, good_work, issue, repo, row, run_command, script, write_file};
use foreman::demo::github::IssueSeed;

#[tokio::test(flavor = "multi_thread")]
async fn a_night_opens_pull_requests_in_order_and_touches_nothing_else() {
    let town = Town::new(
        script(good_work),
        vec![
            issue("Write the guide").body("Depends on #2"),
            issue("Architecture of notes").label("architecture"),
            issue("Unrelated"),
        ],
    )
    .await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;

    assert_eq!(run["status"], "completed", "{run:#}\n{}", server.log());
    assert_eq!(run["totalIssues"], 3);
    assert_eq!(run["successfulIssues"], 3);
    // The architecture comes first; of what is ready then, the shallower; what depends stacks.
    assert_eq!(
        town.changes(),
        [
            "PUSH refs/heads/foreman/issue-2",
            "POST /pulls",
            "POST /issues/2/comments",
            "PUSH refs/heads/foreman/issue-3",
            "POST /pulls",
            "POST /issues/3/comments",
            "PUSH refs/heads/foreman/issue-1",
            "POST /pulls",
            "POST /issues/1/comments",
        ]
    );
    assert_eq!(
        town.pulls(),
        [
            ("foreman/issue-1".to_owned(), "foreman/issue-2".to_owned()),
            ("foreman/issue-2".to_owned(), "main".to_owned()),
            ("foreman/issue-3".to_owned(), "main".to_owned()),
        ]
    );
    let pull = &town.github.pulls(&repo())[0];
    for dimension in ["QIC", "QIEL", "CDW", "Memory fabric", "Drift", "Governance"] {
        assert!(pull.body.contains(&format!("| {dimension} |")), "{}", pull.body);
    }
    let second = row(&run, 2);
    assert_eq!(second["headSha"], town.github.branches(&repo())["foreman/issue-2"]);
    assert_eq!(second["qaResults"]["passed"], true);
    assert!(run["costUsd"].as_f64().is_some_and(|cost| cost > 0.0));
    town.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_change_is_repaired_once() {
    let town = Town::new(
        script(|input| {
            let content = if input.round == 0 { "wrong\n" } else { "right\n" };
            acts(
                input,
                vec![
                    write_file("notes.txt", content),
                    write_file("tests/notes.sh", "grep -q right notes.txt\n"),
                ],
            )
        }),
        vec![issue("Take notes")],
    )
    .await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(run["status"], "completed", "{run:#}");
    let id = run["id"].as_str().expect("an id");
    let types = server.event_types(id).await;
    assert_eq!(types.iter().filter(|kind| *kind == "build_started").count(), 2, "{types:?}");
    assert_eq!(types.iter().filter(|kind| *kind == "pr_blocked").count(), 1);
    town.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dishonest_change_opens_nothing() {
    let town = Town::new(
        script(|input| {
            acts(
                input,
                vec![run_command(
                    "rm tests/base.sh && echo hi > note.txt && echo true > tests/other.sh",
                )],
            )
        }),
        vec![issue("Make the checks pass")],
    )
    .await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(run["status"], "partial", "{run:#}");
    let refused = row(&run, 1);
    assert_eq!(refused["status"], "failed");
    assert_eq!(refused["qaResults"]["passed"], false);
    assert!(refused["reason"].as_str().is_some_and(|why| why.contains("base.sh")), "{refused:#}");
    assert!(town.pulls().is_empty());
    assert!(!town.changes().iter().any(|change| change.starts_with("PUSH")));
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_cycles_and_blocked_ones_are_skipped_with_their_reason() {
    let town = Town::new(
        script(good_work),
        vec![
            issue("From a stranger").author("passer-by"),
            issue("One").body("Depends on #3"),
            issue("Two").body("Blocked by #2"),
            issue("Waits for the unknown").body("Requires #99"),
        ],
    )
    .await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(run["status"], "partial");
    assert_eq!(row(&run, 1)["reasonCode"], "untrusted_author");
    assert!(row(&run, 2)["reason"].as_str().is_some_and(|why| why.contains("#3")));
    assert!(row(&run, 3)["reason"].as_str().is_some_and(|why| why.contains("#2")));
    assert!(row(&run, 4)["reason"].as_str().is_some_and(|why| why.contains("#99")));
    assert!(town.model.requests().is_empty(), "no model was asked");
    assert!(town.changes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_night_asks_no_model_for_what_has_a_pull_request() {
    let town = Town::new(script(good_work), vec![issue("First")]).await;
    let server = town.serve().await;
    server.night(&json!(null)).await;
    let asked = town.model.requests().len();
    town.github.add_issue(&repo(), IssueSeed::new("Second").number(10).body("Depends on #1"));
    let run = server.night(&json!({"issues": [1]})).await;
    assert_eq!(run["status"], "completed", "{run:#}");
    assert!(row(&run, 1)["reason"].as_str().is_some_and(|why| why.contains("open pull request #")));
    assert_eq!(town.model.requests().len(), asked);
    // And its dependent stacks on it.
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 10)["status"], "success", "{run:#}");
    assert!(town.pulls().contains(&("foreman/issue-10".to_owned(), "foreman/issue-1".to_owned())));
    town.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_red_base_halts_the_night_before_any_model_is_asked() {
    let town = Town::new(script(good_work), vec![issue("Anything")]).await;
    let base = town
        .github
        .commit(&repo(), "main", &[("tests/broken.sh", Some("false\n"))], "break it")
        .expect("a commit");
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(run["status"], "halted", "{run:#}");
    let error = run["errors"][0].as_str().expect("an error");
    assert!(error.contains(&base) && error.contains("sh run-checks.sh"), "{error}");
    assert!(error.contains("broken.sh"), "{error}");
    assert!(town.model.requests().is_empty());
    assert!(town.changes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_money_no_paid_call_is_made_and_the_night_says_so() {
    let town = Town::new(script(good_work), vec![issue("Anything"), issue("More")]).await;
    let server = town.serve().await;
    let run = server.night(&json!({"budgetUsd": 0})).await;
    assert_eq!(run["status"], "halted", "{run:#}");
    assert_eq!(run["costUsd"], 0.0);
    assert!(town.model.requests().is_empty());
    assert_eq!(row(&run, 2)["reasonCode"], "budget");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_plans_and_changes_nothing() {
    let town = Town::new(script(good_work), vec![issue("Anything")]).await;
    let server = town.serve().await;
    let mut body = crate::support::body();
    body["dryRun"] = json!(true);
    let id = server.begin(&body).await;
    let run = server.ended(&id).await;
    assert_eq!(run["status"], "completed", "{run:#}");
    assert_eq!(run["dryRun"], true);
    assert!(town.model.requests().is_empty() && town.changes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_a_failed_night_with_a_clear_error() {
    let town = Town::new(script(good_work), vec![issue("Anything")])
        .await
        .set("GITHUB_TOKEN", "ghp_wrong_0123456789");
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(run["status"], "failed", "{run:#}");
    assert!(run["errors"][0].as_str().is_some_and(|why| why.contains("GITHUB_TOKEN")), "{run:#}");
    let types = server.event_types(run["id"].as_str().expect("an id")).await;
    assert!(types.contains(&"issue_fetch_failed".to_owned()), "{types:?}");
}
