//! Builders that get nowhere: what they leave, who goes on, and what is said of it.

use std::path::Path;

use serde_json::json;

use crate::support::{Town, good_work, issue, repo, row, run_command, script, write_file};
use foreman::demo::model::{Reply, ScriptInput};

const CHEAP: &str = "gpt-5-mini";

fn settings(town: &Town, text: &str) {
    std::fs::write(town.data.path().join("foreman.toml"), text).expect("written");
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = std::process::Command::new("git");
    let output = command.arg("--git-dir").arg(folder).args(arguments).output().expect("git runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The files of the one pull request.
fn published(town: &Town) -> Vec<String> {
    let pulls = town.github.pulls(&repo());
    assert_eq!(pulls.len(), 1, "{pulls:?}");
    let bare = town.github.bare(&repo()).expect("a repository");
    let listed = git(&bare, &["ls-tree", "-r", "--name-only", &pulls[0].head]);
    listed.lines().map(str::to_owned).collect()
}

fn circles(input: &ScriptInput) -> Reply {
    match input.turn {
        0 => Reply::ToolCalls(vec![write_file("junk.txt", "no use\n")]),
        _ => Reply::ToolCalls(vec![run_command("echo same")]),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_done_work_is_gone_on_with_by_the_dearer_tier() {
    let town = Town::new(
        script(|input| match input.model.as_str() {
            CHEAP if input.turn == 0 => {
                Reply::ToolCalls(vec![write_file("notes/half.txt", "done\n")])
            }
            CHEAP => Reply::ToolCalls(vec![run_command(&format!("echo {}", input.turn))]),
            _ if input.turn == 0 => {
                let told = input.body["messages"][1]["content"].as_str().unwrap_or_default();
                assert!(told.contains("used its 3 steps"), "{told}");
                Reply::ToolCalls(vec![write_file("tests/half.sh", "grep -q done notes/half.txt\n")])
            }
            _ => Reply::Finish("the rest".to_owned()),
        }),
        vec![issue("Long work")],
    )
    .await;
    settings(&town, "[limits]\nsteps = 3\n");
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["status"], "success", "{:#}", row(&run, 1));
    let files = published(&town);
    assert!(files.contains(&"notes/half.txt".to_owned()), "{files:?}");
    assert!(files.contains(&"tests/half.sh".to_owned()), "{files:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_builder_left_who_went_in_circles_is_kept_and_not_built_on() {
    let town = Town::new(
        script(|input| if input.model == CHEAP { circles(input) } else { good_work(input) }),
        vec![issue("Circles")],
    )
    .await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    let row = row(&run, 1);
    assert_eq!(row["status"], "success", "{row:#}");
    assert!(!published(&town).contains(&"junk.txt".to_owned()));
    let attempt = row["buildId"].as_str().expect("an attempt");
    let mirror = town.data.path().join("data/mirrors/octo/app.git");
    let kept = format!("refs/foreman/attempts/{attempt}/round-0:junk.txt");
    assert_eq!(git(&mirror, &["show", &kept]), "no use\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_climb_says_what_it_wanted_to_climb_for() {
    let town = Town::new(script(circles), vec![issue("Circles")]).await;
    settings(&town, "[limits]\ndaily = 0\n");
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    let row = row(&run, 1);
    assert_eq!(row["reasonCode"], "builder_failed", "{row:#}");
    let reason = row["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("same run_command call"), "{reason}");
    assert!(reason.contains("may not use gpt-4-turbo"), "{reason}");
    assert!(!reason.contains("gate refused"), "{reason}");
}

/// A change over this many files that fails the checks each time.
fn fails_over(files: usize, input: &ScriptInput) -> Reply {
    match input.turn {
        0 => Reply::ToolCalls(
            (0..files - 1)
                .map(|n| write_file(&format!("notes/{n}.txt"), "a note\n"))
                .chain([write_file("tests/broken.sh", "false\n")])
                .collect(),
        ),
        _ => Reply::Finish("done".to_owned()),
    }
}

/// The one escalation of a night whose change touches so many files: reason, justification, files.
async fn climbed_with(files: usize) -> (String, String, u64) {
    let town = Town::new(script(move |input| fails_over(files, input)), vec![issue("Hard")]).await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["reasonCode"], "gate_refused", "{:#}", row(&run, 1));
    let events = server.get("/api/foreman/governance/events?type=model_escalation").await.json;
    let events = events["events"].as_array().expect("events").clone();
    assert_eq!(events.len(), 1, "{events:#?}");
    let text = |name: &str| events[0]["metadata"][name].as_str().unwrap_or_default().to_owned();
    let files = events[0]["metadata"]["filesChanged"].as_u64().expect("a number");
    (text("reason"), text("justification"), files)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_climb_is_for_what_the_refused_change_turned_out_to_be() {
    let few = climbed_with(9).await;
    assert_eq!(few, ("complex_reasoning".to_owned(), "complex_reasoning".to_owned(), 9));
    let many = climbed_with(10).await;
    assert_eq!(many, ("multi_file_refactor".to_owned(), "heavy_refactor".to_owned(), 10));
}
