//! Death and resumption: whatever kills the process, the night ends with the same pull requests,
//! comments and charges, none of them twice.

use serde_json::json;

use crate::support::{Town, body, good_work, issue, row, script};
use foreman::demo::model::Reply;

#[tokio::test(flavor = "multi_thread")]
async fn a_death_between_push_and_pull_request_makes_neither_twice() {
    for failpoint in ["push.after", "pull.after", "comment.after", "gate.stored"] {
        let town = Town::new(script(good_work), vec![issue("Anything")]).await;
        let mut server = town.serve_dying_at(failpoint).await;
        let id = server.begin(&body()).await;
        server.died().await;
        let server = town.serve().await;
        let run = server.ended(&id).await;
        assert_eq!(run["status"], "completed", "{failpoint}: {run:#}\n{}", server.log());
        assert_eq!(
            town.changes(),
            ["PUSH refs/heads/foreman/issue-1", "POST /pulls", "POST /issues/1/comments"],
            "{failpoint}"
        );
        town.assert_clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_in_mid_build_ends_in_time_and_the_night_goes_on_after() {
    let first = std::sync::atomic::AtomicBool::new(true);
    let (asked, was_asked) = tokio::sync::watch::channel(false);
    let town = Town::new(
        script(move |input| {
            asked.send_replace(true);
            if first.swap(false, std::sync::atomic::Ordering::SeqCst) {
                Reply::Hang
            } else {
                good_work(input)
            }
        }),
        vec![issue("Anything")],
    )
    .await;
    let server = town.serve().await;
    let id = server.begin(&body()).await;
    was_asked.clone().wait_for(|asked| *asked).await.expect("the model is asked");
    let (code, took) = server.terminate().await;
    assert_eq!(code, Some(0));
    assert!(took < std::time::Duration::from_secs(25), "{took:?}");
    let server = town.serve().await;
    let run = server.ended(&id).await;
    assert_eq!(run["status"], "completed", "{run:#}");
    assert_eq!(row(&run, 1)["status"], "success");
    town.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_night_says_so_and_stays_cancelled() {
    let (asked, was_asked) = tokio::sync::watch::channel(false);
    let town = Town::new(
        script(move |_| {
            asked.send_replace(true);
            Reply::Hang
        }),
        vec![issue("Anything"), issue("More")],
    )
    .await;
    let server = town.serve().await;
    let id = server.begin(&body()).await;
    was_asked.clone().wait_for(|asked| *asked).await.expect("the model is asked");
    let answer = server.post(&format!("/api/foreman/overnight/runs/{id}/cancel"), &json!({})).await;
    assert!((200..300).contains(&answer.status), "{}", answer.text);
    let run = server.ended(&id).await;
    assert_eq!(run["status"], "cancelled", "{run:#}");
    assert_eq!(row(&run, 2)["reasonCode"], "cancelled");
    assert!(town.changes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_is_looked_up_and_not_repeated() {
    use foreman::demo::github::{Fault, FaultKind};
    let town = Town::new(script(good_work), vec![issue("Anything")]).await;
    town.github.fail_next(Fault::on("POST", "/pulls$", FaultKind::LoseReply));
    town.github.fail_next(Fault::on("POST", "/comments$", FaultKind::LoseReply));
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(run["status"], "completed", "{run:#}");
    assert_eq!(
        town.changes(),
        ["PUSH refs/heads/foreman/issue-1", "POST /pulls", "POST /issues/1/comments"]
    );
    town.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgresql_a_killed_night_is_taken_over_when_its_lease_ends() {
    let Some(schema) = crate::support::postgres::Schema::new().await else {
        eprintln!("skipped: TEST_DATABASE_URL is not set");
        return;
    };
    let town = Town::new(script(good_work), vec![issue("Anything")])
        .await
        .set("DATABASE_URL", &schema.url());
    let mut server = town.serve_dying_at("push.after").await;
    let id = server.begin(&body()).await;
    server.died().await;
    // Nobody proved the former owner dead, so its lease of 30 s has to end first: it does here.
    schema.execute("UPDATE runs SET lease_until = 0").await;
    let server = town.serve().await;
    let run = server.ended(&id).await;
    assert_eq!(run["status"], "completed", "{run:#}\n{}", server.log());
    assert_eq!(
        town.changes(),
        ["PUSH refs/heads/foreman/issue-1", "POST /pulls", "POST /issues/1/comments"]
    );
    town.assert_clean();
    server.kill().await;
    schema.drop().await;
}
