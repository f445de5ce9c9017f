//! Changes of the same files never stand side by side: whoever comes second is stacked on the first,
//! also when two lanes are judged at the same moment and when the process dies in between.

use serde_json::{Value, json};

use crate::support::write_file;
use crate::support::{SHELL_REPOSITORY, Server, Town, acts, body, issue, repo, row, script};
use foreman::demo::github::{Fault, FaultKind};
use foreman::demo::model::{Reply, ScriptInput};

/// Checks that take a while, so that both lanes are at it when the first comes through.
const SLOW: &str = "[gate]\nsetup = []\nbuild = []\nlint = []\ntest = \"sleep 2; sh run-checks.sh\"\ndeploy = []\nschema = []\n";
const LIST: &str = "a\nb\nc\nd\ne\nf\ng\nh\n";

async fn town(work: fn(&ScriptInput) -> Reply, issues: &[&str]) -> Town {
    let files = [SHELL_REPOSITORY, &[(".foreman.toml", SLOW), ("list.txt", LIST)]].concat();
    let issues = issues.iter().map(|title| issue(title)).collect();
    Town::with_files(script(work), issues, &files).await
}

fn writes(input: &ScriptInput, list: &str, says: &str) -> Reply {
    let number = input.issue.unwrap_or_default();
    acts(
        input,
        vec![
            write_file("list.txt", list),
            write_file(
                &format!("tests/issue-{number}.sh"),
                &format!("grep -q '{says}' list.txt\n"),
            ),
        ],
    )
}

/// The first issue changes the first line, the second the last.
fn far_apart(input: &ScriptInput) -> Reply {
    match input.issue {
        Some(1) => writes(input, &LIST.replace("a\n", "one\n"), "one"),
        _ => writes(input, &LIST.replace("h\n", "two\n"), "two"),
    }
}

/// Both change the same line; who is sent back keeps what the other wrote.
fn same_line(input: &ScriptInput) -> Reply {
    let own = if input.issue == Some(1) { "one" } else { "two" };
    let line = if input.round == 0 { format!("{own}\n") } else { "one two\n".to_owned() };
    writes(input, &LIST.replace("d\n", &line), own)
}

/// One stands on main and the other on the first.
fn assert_stacked(town: &Town, run: &Value, server: &Server) {
    let pulls = town.pulls();
    assert_eq!(pulls.len(), 2, "{pulls:?} {run:#}\n{}", server.log());
    let below = pulls.iter().filter(|(_, base)| base == "main").collect::<Vec<_>>();
    assert_eq!(below.len(), 1, "{pulls:?}\n{}", server.log());
    let above = pulls.iter().find(|(_, base)| base != "main").expect("another");
    assert_eq!(above.1, below[0].0, "{pulls:?}");
    town.assert_clean();
}

/// Both were built before either was published, so the lanes did meet.
async fn assert_they_met(server: &Server, id: &str) {
    let path = format!("/api/foreman/governance/events?runId={id}&limit=200");
    let events = server.get(&path).await.json["events"].clone();
    let mut kinds: Vec<String> = events
        .as_array()
        .expect("events")
        .iter()
        .map(|event| event["type"].as_str().unwrap_or_default().to_owned())
        .collect();
    kinds.reverse();
    let opened = kinds.iter().position(|kind| kind == "pr_opened").expect("a pull request");
    let built = kinds[..opened].iter().filter(|kind| *kind == "build_finished").count();
    assert_eq!(built, 2, "{kinds:?}");
}

fn two_lanes() -> Value {
    let mut night = body();
    night["config"] = json!({"lanes": 2});
    night
}

#[tokio::test(flavor = "multi_thread")]
async fn two_lanes_at_the_same_moment_are_stacked() {
    let works: [fn(&ScriptInput) -> Reply; 2] = [far_apart, same_line];
    for work in works {
        let town = town(work, &["Change the list", "Change the list too"]).await;
        let server = town.serve().await;
        let id = server.begin(&two_lanes()).await;
        let run = server.ended(&id).await;
        assert_eq!(run["status"], "completed", "{run:#}\n{}", server.log());
        assert_they_met(&server, &id).await;
        assert_stacked(&town, &run, &server);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_knows_what_was_about_to_be_published() {
    let town = town(far_apart, &["Change the list", "Change the list too"]).await;
    let mut server = town.serve_dying_at("gate.stored").await;
    let id = server.begin(&two_lanes()).await;
    server.died().await;
    // Whoever may publish is held up for longer than the other is judged.
    for _ in 0..3 {
        town.github.fail_next(Fault::status("POST", "/pulls$", 502));
    }
    let server = town.serve().await;
    let run = server.ended(&id).await;
    assert_eq!(run["status"], "completed", "{run:#}\n{}", server.log());
    assert_stacked(&town, &run, &server);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_another_open_pull_requests_file_is_stacked_on_it() {
    let town = town(far_apart, &["Change the list"]).await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["status"], "success", "{run:#}\n{}", server.log());
    // Another night, another issue, the same file; the first pull request is still open.
    town.github.add_issue(&repo(), issue("Change the list too").number(20));
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 20)["status"], "success", "{run:#}\n{}", server.log());
    assert_stacked(&town, &run, &server);
    let pulls = town.github.pulls(&repo());
    let second = pulls.iter().find(|pull| pull.head == "foreman/issue-20").expect("it is open");
    assert!(second.body.contains("foreman/issue-1"), "{}", second.body);
    assert_eq!(row(&run, 20)["baseSha"], town.github.branches(&repo())["foreman/issue-1"].as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_stacked_the_pull_request_in_the_way_is_named() {
    let town = town(far_apart, &["Change the list"]).await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    let first = row(&run, 1)["prUrl"].as_str().expect("a pull request").to_owned();
    town.github.add_issue(&repo(), issue("Change the list too").number(20));
    let run = server.night(&json!({"dependencyMode": "wait", "enableAutoHeal": false})).await;
    assert_eq!(row(&run, 20)["status"], "failed", "{run:#}\n{}", server.log());
    let reason = row(&run, 20)["reason"].as_str().expect("a reason");
    let name = first.rsplit('/').next().expect("a number");
    assert!(reason.contains(&format!("#{name} is open")), "{reason}");
    assert!(reason.contains("list.txt"), "{reason}");
    assert_eq!(town.pulls().len(), 1);
}

/// A fault that loses the reply keeps the claim until it is known what came of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_holds_the_other_lane_up_and_makes_nothing_twice() {
    let town = town(far_apart, &["Change the list", "Change the list too"]).await;
    town.github.fail_next(Fault::on("POST", "/pulls$", FaultKind::LoseReply));
    let server = town.serve().await;
    let id = server.begin(&two_lanes()).await;
    let run = server.ended(&id).await;
    assert_eq!(run["status"], "completed", "{run:#}\n{}", server.log());
    assert_stacked(&town, &run, &server);
}
