//! When Copilot does not do its part: away, silent, giving up, three times in a row; and when we
//! die or a reply is lost in between.

use foreman::demo::github::{CopilotAct, CopilotTask, Fault, FaultKind};
use serde_json::json;

use super::{builder, pulls, solved, town};
use crate::support::{issue, repo, row};

#[tokio::test(flavor = "multi_thread")]
async fn not_enabled_hands_the_same_issue_to_the_desktop_builder_across_a_restart() {
    let town = town(vec![issue("Write the guide"), issue("And another")], true).await;
    let server = town.serve().await;
    let overview = server.get("/api/foreman/overnight").await.json;
    assert_eq!(overview["status"]["builder"]["active"], "copilot", "{overview:#}");
    let run = server.night(&json!({"issues": [1]})).await;
    assert_eq!(row(&run, 1)["branch"], "foreman/issue-1", "{run:#}");
    let now = builder(&server).await;
    assert_eq!(now["active"], "desktop");
    assert!(
        now["reason"].as_str().is_some_and(|why| why.contains("cannot be assigned in octo/app"))
    );
    let types = server.event_types(run["id"].as_str().expect("an id")).await;
    assert_eq!(types.iter().filter(|kind| *kind == "builder_switch").count(), 1, "{types:?}");
    server.terminate().await;

    // Back on, and a new process: still the desktop builder, until checks or a person say so.
    town.github.enable_copilot(|task: &CopilotTask| solved(task.issue));
    let server = town.serve().await;
    assert_eq!(builder(&server).await["active"], "desktop");
    let doctor = tokio::process::Command::new(env!("CARGO_BIN_EXE_foreman"))
        .arg("doctor")
        .env_clear()
        .envs(&town.env)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .current_dir(town.data.path())
        .output()
        .await
        .expect("it runs");
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(said.contains("desktop since") && said.contains("Copilot is back after"), "{said}");
    let path = "/api/foreman/desktop/builder";
    let put = server.post(path, &json!({"builder": "copilot", "reason": "it is on again"})).await;
    assert_eq!((put.status, &put.json["switched"]), (200, &json!(true)), "{}", put.text);
    assert_eq!(put.json["builder"]["reason"], "an operator says: it is on again");
    let run = server.night(&json!({"issues": [2]})).await;
    assert_eq!(row(&run, 2)["branch"], json!(pulls(&town)[0].head), "{run:#}");
    town.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_desktop_builder_the_issue_fails_and_says_so() {
    let town = town(vec![issue("Write the guide")], false).await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    let row = row(&run, 1);
    assert_eq!(row["reasonCode"], "copilot_unavailable", "{run:#}");
    assert!(row["reason"].as_str().is_some_and(|why| why.contains("is not enabled there")));
    assert!(town.model.requests().is_empty() && town.github.pulls(&repo()).is_empty());
    town.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_comes_in_time_is_unavailable_and_the_issue_is_taken_back() {
    let town = town(vec![issue("Write the guide")], true).await;
    town.github.enable_copilot(|_: &CopilotTask| CopilotAct::Nothing);
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["branch"], "foreman/issue-1", "{run:#}");
    assert_eq!(town.github.assignees(&repo(), 1), Vec::<String>::new());
    let now = builder(&server).await;
    assert!(
        now["reason"].as_str().is_some_and(|why| why.contains("nothing came within 3 seconds"))
    );
    town.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn three_failures_in_a_row_switch_and_the_fourth_issue_is_the_desktop_builders() {
    let issues = (1..=4).map(|number| issue(&format!("Thing {number}"))).collect();
    let town = town(issues, true).await;
    town.github.enable_copilot(|_: &CopilotTask| CopilotAct::GiveUp);
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    for number in 1..=3 {
        let row = row(&run, number);
        assert_eq!(row["reasonCode"], "copilot_failed", "{run:#}");
        assert!(row["reason"].as_str().is_some_and(|why| why.contains("gave up")), "{row:#}");
    }
    assert_eq!(row(&run, 4)["branch"], "foreman/issue-4", "{run:#}");
    let now = builder(&server).await;
    assert_eq!(now["active"], "desktop");
    assert!(now["reason"].as_str().is_some_and(|why| why.contains("3 times in a row")), "{now:#}");
    town.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_assigns_once() {
    let town = town(vec![issue("Write the guide")], false).await;
    town.github.enable_copilot(|task: &CopilotTask| solved(task.issue));
    town.github.fail_next(Fault::on("POST", "/assignees$", FaultKind::LoseReply));
    town.github.fail_next(Fault::on("POST", "/issues/2/comments$", FaultKind::LoseReply));
    town.github.fail_next(Fault::on("POST", "/labels$", FaultKind::LoseReply));
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["status"], "success", "{run:#}");
    let posts = |path: &str| town.changes().iter().filter(|it| it.contains(path)).count();
    assert_eq!((posts("/assignees"), posts("/issues/2/comments"), posts("/labels")), (1, 1, 1));
    assert_eq!((pulls(&town).len(), town.github.faults_left()), (1, 0));
    town.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_night_goes_on_with_the_same_pull_request() {
    for place in ["gate.before", "comment.before"] {
        let town = town(vec![issue("Write the guide")], false).await;
        town.github.enable_copilot(|task: &CopilotTask| solved(task.issue));
        let mut server = town.serve_dying_at(place).await;
        let id = server.begin(&crate::support::body()).await;
        server.died().await;
        let server = town.serve().await;
        let run = server.ended(&id).await;
        assert_eq!(row(&run, 1)["status"], "success", "{place}: {run:#}");
        let pull = pulls(&town).remove(0);
        assert_eq!(town.github.comments(&repo(), pull.number).len(), 1, "{place}");
        assert_eq!(town.github.labels(&repo(), pull.number), ["foreman:passed"], "{place}");
        let assigned = town.changes().iter().filter(|it| it.contains("/assignees")).count();
        assert_eq!((assigned, pulls(&town).len()), (1, 1), "{place}");
        town.assert_clean();
    }
}
