//! The tree in the pull request is, byte for byte, the tree that was judged: also when the base moves
//! while the gate works, and when the process dies between gate and push.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{SHELL_REPOSITORY, Server, Town, body, good_work, issue, repo, row, script};

fn git(town: &Town, args: &[&str]) -> String {
    let bare = town.github.bare(&repo()).expect("a repository");
    let output = Command::new("git").arg("-C").arg(bare).args(args).output().expect("git runs");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn move_base(town: &Town, path: &str, content: &str) -> String {
    town.github.commit(&repo(), "main", &[(path, Some(content))], "Meanwhile").expect("a commit");
    town.github.branches(&repo())["main"].clone()
}

/// What was published is what the gate last allowed, down to the bytes.
async fn assert_same(town: &Town, server: &Server, run: &Value) {
    let done = row(run, 1);
    assert_eq!(done["status"], "success", "{run:#}\n{}", server.log());
    let pulls = town.github.pulls(&repo());
    assert_eq!(pulls.len(), 1);
    let text = |key: &str| done[key].as_str().unwrap_or_default().to_owned();
    assert_eq!(text("headSha"), pulls[0].head_sha);
    assert_eq!(text("headSha"), town.github.branches(&repo())["foreman/issue-1"]);
    assert_eq!(
        text("treeSha"),
        git(town, &["rev-parse", &format!("{}^{{tree}}", text("headSha"))])
    );
    assert_eq!(text("baseSha"), git(town, &["rev-parse", &format!("{}~1", text("headSha"))]));
    // The last word of the gate, from the log that nobody can change.
    let path = "/api/foreman/governance/events?type=pr_allowed&limit=1";
    let allowed = server.get(path).await.json["events"][0]["metadata"].clone();
    for (key, wanted) in [("tree", "treeSha"), ("commit", "headSha"), ("base", "baseSha")] {
        assert_eq!(allowed[key], done[wanted], "{key}: {allowed}");
    }
    // The bytes as the mirror judged them and as the remote has them.
    let mirror = town.data.path().join("data/mirrors/octo/app.git");
    let listing = |folder: &std::path::Path| {
        let output = Command::new("git")
            .arg("-C")
            .arg(folder)
            .args(["archive", "--format=tar", &text("headSha")])
            .output()
            .expect("git runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    assert!(listing(&mirror) == listing(&town.github.bare(&repo()).expect("a repository")));
    town.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn whenever_it_dies_around_the_gate_and_the_base_moves() {
    for failpoint in ["gate.before", "gate.after", "gate.stored", "push.before", "push.after"] {
        let town = Town::new(script(good_work), vec![issue("Anything")]).await;
        let mut server = town.serve_dying_at(failpoint).await;
        let id = server.begin(&body()).await;
        server.died().await;
        let moved = move_base(&town, "elsewhere.txt", "meanwhile\n");
        let server = town.serve().await;
        let run = server.ended(&id).await;
        assert_same(&town, &server, &run).await;
        // Before there was a verdict, the new base is the one to judge on.
        if failpoint == "gate.before" {
            assert_eq!(row(&run, 1)["baseSha"], moved.as_str());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_that_moves_against_the_change_after_the_gate_is_judged_again() {
    let town = Town::new(script(good_work), vec![issue("Anything")]).await;
    let mut server = town.serve_dying_at("gate.stored").await;
    let id = server.begin(&body()).await;
    server.died().await;
    // The same file with other words: the judged tree no longer merges.
    let moved = move_base(&town, "notes/issue-1.txt", "somebody else's\n");
    let server = town.serve().await;
    let run = server.ended(&id).await;
    assert_same(&town, &server, &run).await;
    assert_eq!(row(&run, 1)["baseSha"], moved.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_that_moves_while_the_gate_works() {
    let slow = ".foreman.toml";
    let policy = "[gate]\nbuild = []\nlint = []\ntest = \"sleep 3; sh run-checks.sh\"\n";
    let town = Town::with_files(
        script(good_work),
        vec![issue("Anything")],
        &[SHELL_REPOSITORY, &[(slow, policy)]].concat(),
    )
    .await;
    let server = town.serve().await;
    let id = server.begin(&body()).await;
    // Follows the night until the work is built: the gate is at it from then on.
    let path = format!("/api/foreman/overnight/runs/{id}/events");
    let mut events = server.request("GET", &path).send().await.expect("a stream");
    let mut seen = String::new();
    while !seen.contains("build_finished") {
        let chunk = events.chunk().await.expect("more").expect("the night goes on");
        seen.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(!seen.contains("gate_judged"), "{seen}");
    move_base(&town, "elsewhere.txt", "meanwhile\n");
    let run = server.ended(&id).await;
    assert_same(&town, &server, &run).await;
    assert_eq!(run["status"], json!("completed"));
}
