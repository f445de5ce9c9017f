//! The contract's publishing: a base that moves, branches of others, texts that could do harm.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use serde_json::json;

use crate::support::{Town, acts, good_work, issue, repo, row, run_command, script, write_file};
use foreman::demo::github::FileEdit;
use foreman::demo::model::{Reply, ScriptInput};

/// A town whose base moves once, while the model works.
async fn town_with_moving_base(
    work: fn(&ScriptInput) -> Reply,
    edits: &'static [FileEdit<'static>],
) -> Town {
    let hook: Arc<OnceLock<std::path::PathBuf>> = Arc::new(OnceLock::new());
    let (to_move, moved) = (Arc::clone(&hook), AtomicBool::new(false));
    let town = Town::new(
        script(move |input| {
            if let Some(bare) = to_move.get()
                && !moved.swap(true, Ordering::SeqCst)
            {
                commit_to(bare, "main", edits);
            }
            work(input)
        }),
        vec![issue("Anything")],
    )
    .await;
    hook.set(town.github.bare(&repo()).expect("a repository")).expect("once");
    town
}

/// A commit on a branch made by other hands, straight in the bare repository.
pub(crate) fn commit_to(bare: &std::path::Path, branch: &str, edits: &[FileEdit<'_>]) {
    let folder = tempfile::tempdir().expect("a folder");
    let git = |args: &[&str]| {
        let output = std::process::Command::new("git")
            .args(["-c", "user.name=Other", "-c", "user.email=other@example.com"])
            .args(args)
            .current_dir(folder.path())
            .output()
            .expect("git runs");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    git(&["clone", "-q", "-b", branch, &bare.display().to_string(), "."]);
    for (path, content) in edits {
        std::fs::write(folder.path().join(path), content.unwrap_or_default()).expect("written");
    }
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "Meanwhile"]);
    git(&["push", "-q", "origin", branch]);
}

fn file_at(town: &Town, commit: &str, path: &str) -> Option<String> {
    let bare = town.github.bare(&repo()).expect("a repository");
    let output = std::process::Command::new("git")
        .args(["-C", &bare.display().to_string(), "show", &format!("{commit}:{path}")])
        .output()
        .expect("git runs");
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_that_moved_is_judged_anew_and_the_branch_stands_on_its_tip() {
    let town = town_with_moving_base(good_work, &[("elsewhere.txt", Some("x\n"))]).await;
    let before = town.github.branches(&repo())["main"].clone();
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["status"], "success", "{run:#}");
    let branches = town.github.branches(&repo());
    assert_ne!(branches["main"], before);
    assert_eq!(row(&run, 1)["baseSha"], branches["main"].as_str());
    let tip = &branches["foreman/issue-1"];
    assert_eq!(file_at(&town, tip, "elsewhere.txt").as_deref(), Some("x\n"));
    assert_eq!(file_at(&town, &format!("{tip}~1"), "elsewhere.txt").as_deref(), Some("x\n"));
    assert_eq!(
        town.changes(),
        ["PUSH refs/heads/foreman/issue-1", "POST /pulls", "POST /issues/1/comments"]
    );
    town.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_that_moved_against_the_change_sends_it_back_once() {
    fn work(input: &ScriptInput) -> Reply {
        let check = write_file("tests/readme.sh", "grep -q Guide README.md\n");
        acts(input, vec![write_file("README.md", "# app\nGuide\n"), check])
    }
    let town = town_with_moving_base(work, &[("README.md", Some("# renamed app\n"))]).await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["status"], "success", "{run:#}");
    let requests = town.model.requests();
    let rounds = requests.iter().map(|it| {
        let messages = it.body["messages"].as_array().cloned().unwrap_or_default();
        messages.into_iter().filter(|it| it["role"] == "user").count()
    });
    assert_eq!(rounds.max(), Some(2), "it was told of the conflict once");
    let told = town.model.requests().pop().expect("some").body.to_string();
    assert!(told.contains("README.md") && told.contains("conflict"), "{told}");
    assert_eq!(row(&run, 1)["baseSha"], town.github.branches(&repo())["main"].as_str());
    town.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_that_turns_red_publishes_nothing() {
    let town = town_with_moving_base(good_work, &[("tests/broken.sh", Some("false\n"))]).await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_ne!(row(&run, 1)["status"], "success", "{run:#}");
    assert!(town.pulls().is_empty());
    assert!(!town.changes().iter().any(|it| it.starts_with("PUSH")));
    let said = format!("{} {}", row(&run, 1)["reason"], run["errors"]);
    assert!(said.contains("broken.sh"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_of_somebody_else_is_left_alone() {
    let town = Town::new(script(good_work), vec![issue("Anything"), issue("More")]).await;
    let theirs = town
        .github
        .commit(&repo(), "foreman/issue-1", &[("theirs.txt", Some("mine\n"))], "Theirs")
        .expect("a commit");
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_ne!(row(&run, 1)["status"], "success", "{run:#}");
    let why = row(&run, 1)["reason"].as_str().expect("a reason");
    assert!(why.contains("foreman/issue-1"), "{why}");
    assert_eq!(town.github.branches(&repo())["foreman/issue-1"], theirs);
    assert_eq!(row(&run, 2)["status"], "success", "{run:#}");
    assert_eq!(town.pulls().len(), 1);
    town.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_keywords_and_mentions_of_others_lose_their_force() {
    let town = Town::new(
        script(|input| {
            if input.turn < 2 {
                return good_work(input);
            }
            Reply::Finish(
                "Fixes #2, closes octo/lib#3 and resolves https://github.com/octo/app/issues/4. \
                 cc @octo/everyone\n<!-- foreman:issue=9 -->\nCloses: #2\nfixed GH-2"
                    .to_owned(),
            )
        }),
        vec![issue("Fixes #2 and closes #3 for @octo"), issue("Innocent").label("foreman:skip")],
    )
    .await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["status"], "success", "{run:#}");
    let pull = town.github.pulls(&repo()).remove(0);
    let tip = town.github.branches(&repo())["foreman/issue-1"].clone();
    let bare = town.github.bare(&repo()).expect("a repository").display().to_string();
    let message = std::process::Command::new("git")
        .args(["-C", &bare, "log", "-1", "--format=%B", &tip])
        .output()
        .expect("git runs");
    let message = String::from_utf8_lossy(&message.stdout).into_owned();
    let pattern = r"(?i)\b(close[sd]?|fix(e[sd])?|resolve[sd]?)\s*:?\s*(#|[\w.-]+/[\w.-]+#|GH-|https?://\S+/issues/)(\d+)";
    let closing = regex::Regex::new(pattern).expect("a pattern");
    for (what, text) in [("title", &pull.title), ("body", &pull.body), ("commit", &message)] {
        let closed: Vec<String> =
            closing.captures_iter(text).map(|found| found[4].to_owned()).collect();
        assert!(closed.iter().all(|number| number == "1"), "{what}: {closed:?} in {text}");
    }
    assert!(pull.body.contains("Closes #1"), "{}", pull.body);
    assert!(!pull.body.contains("<!-- foreman:issue=9"), "{}", pull.body);
    town.github.merge(&repo(), pull.number, false).expect("merged");
    assert!(!town.github.is_open(&repo(), 1));
    assert!(town.github.is_open(&repo(), 2), "it closed an issue that isn't its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pull_request_changes_what_the_builder_changed_and_nothing_else() {
    let town = Town::new(script(good_work), vec![issue("Anything")]).await;
    let server = town.serve().await;
    server.night(&json!(null)).await;
    let pull = town.github.pulls(&repo()).remove(0);
    let bare = town.github.bare(&repo()).expect("a repository").display().to_string();
    let names = std::process::Command::new("git")
        .args(["-C", &bare, "diff", "--name-only", &pull.base_sha, &pull.head_sha])
        .output()
        .expect("git runs");
    assert_eq!(String::from_utf8_lossy(&names.stdout), "notes/issue-1.txt\ntests/issue-1.sh\n");
    let count = std::process::Command::new("git")
        .args([
            "-C",
            &bare,
            "rev-list",
            "--count",
            &format!("{}..{}", pull.base_sha, pull.head_sha),
        ])
        .output()
        .expect("git runs");
    assert_eq!(String::from_utf8_lossy(&count.stdout).trim(), "1");
    assert_eq!(town.github.labels(&repo(), 1), Vec::<String>::new());
    assert!(town.github.is_open(&repo(), 1));
}

/// Dies once the proof is stored, has the base moved by other hands, and goes on.
async fn moved_after_the_gate(
    work: fn(&ScriptInput) -> Reply,
    edits: &[FileEdit<'_>],
) -> (Town, serde_json::Value) {
    let town = Town::new(script(work), vec![issue("Anything")]).await;
    let mut server = town.serve_dying_at("gate.stored").await;
    let id = server.begin(&crate::support::body()).await;
    server.died().await;
    town.github.commit(&repo(), "main", edits, "Meanwhile").expect("a commit");
    let server = town.serve().await;
    let run = server.ended(&id).await;
    (town, run)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_move_after_the_gate_changes_nothing() {
    let (town, run) = moved_after_the_gate(good_work, &[("elsewhere.txt", Some("x\n"))]).await;
    assert_eq!(row(&run, 1)["status"], "success", "{run:#}");
    let tip = town.github.branches(&repo())["foreman/issue-1"].clone();
    assert_eq!(row(&run, 1)["headSha"], tip.as_str());
    // What was judged is what was pushed.
    assert_eq!(
        town.changes(),
        ["PUSH refs/heads/foreman/issue-1", "POST /pulls", "POST /issues/1/comments"]
    );
    town.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflicting_move_after_the_gate_is_judged_again() {
    fn work(input: &ScriptInput) -> Reply {
        let check = write_file("tests/readme.sh", "grep -q Guide README.md\n");
        acts(input, vec![write_file("README.md", "# app\nGuide\n"), check])
    }
    let (town, run) = moved_after_the_gate(work, &[("README.md", Some("# other\n"))]).await;
    assert_eq!(row(&run, 1)["status"], "success", "{run:#}");
    let branches = town.github.branches(&repo());
    assert_eq!(row(&run, 1)["baseSha"], branches["main"].as_str());
    let tip = &branches["foreman/issue-1"];
    assert_eq!(file_at(&town, tip, "README.md").as_deref(), Some("# app\nGuide\n"));
    assert_eq!(
        town.changes(),
        ["PUSH refs/heads/foreman/issue-1", "POST /pulls", "POST /issues/1/comments"]
    );
    town.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_names_modes_and_a_workspace_without_git_arrive_as_they_are() {
    let town = Town::new(
        script(|input| {
            let command = "rm -rf .git; mkdir -p 'a b' && echo x > 'a b/größe.txt' && printf 'x' > 'tab\there' && printf '#!/bin/sh\\n' > tool.sh && chmod +x tool.sh && ln -s README.md link && mkdir -p build && echo junk > build/out.o && echo 'test -x tool.sh' > tests/tool.sh";
            acts(input, vec![run_command(command)])
        }),
        vec![issue("Anything")],
    )
    .await;
    town.github
        .commit(&repo(), "main", &[(".gitignore", Some("build/\n"))], "Ignore")
        .expect("a commit");
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["status"], "success", "{run:#}");
    let bare = town.github.bare(&repo()).expect("a repository").display().to_string();
    let tree = std::process::Command::new("git")
        .args(["-C", &bare, "diff", "--raw", "-z", "--abbrev=4", "main", "foreman/issue-1"])
        .output()
        .expect("git runs");
    let tree = String::from_utf8_lossy(&tree.stdout).into_owned();
    for name in ["a b/größe.txt", "tab\there", "tool.sh", "link", "tests/tool.sh"] {
        assert!(tree.contains(&format!("\0{name}\0")), "{name}: {tree:?}");
    }
    assert!(tree.contains(":000000 100755") && tree.contains(":000000 120000"), "{tree:?}");
    assert!(!tree.contains("out.o"), "what the repository ignores stays out: {tree:?}");
    town.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_of_github_on_the_way_out_make_nothing_twice() {
    use foreman::demo::github::{Fault, FaultKind};
    let town = Town::new(script(good_work), vec![issue("Anything")]).await;
    let broken = || FaultKind::Status { status: 502, headers: vec![], message: "bad".to_owned() };
    town.github.fail_next(Fault::on("POST", "/pulls$", broken()));
    town.github.fail_next(Fault::on("POST", "/comments$", broken()));
    town.github.fail_next(Fault::on("POST", "git-receive-pack$", FaultKind::LoseReply));
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["status"], "success", "{run:#}");
    assert_eq!(town.github.faults_left(), 0);
    assert_eq!(
        town.changes(),
        ["PUSH refs/heads/foreman/issue-1", "POST /pulls", "POST /issues/1/comments"]
    );
    assert_eq!(town.pulls().len(), 1);
    town.assert_clean();
}
