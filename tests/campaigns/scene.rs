//! The night that is killed: every kind of effect happens in it, most of them several times.
//!
//! #1 goes well. #2 stacks on it, and its first round is refused. #3 is refused for good and gets a
//! failure comment. #4 has a comment of ours already, which is renewed, and the base moves while it
//! is built.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use foreman::demo::model::{Reply, ScriptInput};

use crate::support::{Town, acts, good_work, issue, repo, script, write_file};

/// The town before its night.
pub async fn town() -> Town {
    let place: Arc<OnceLock<PathBuf>> = Arc::new(OnceLock::new());
    let (bare, moved) = (Arc::clone(&place), AtomicBool::new(false));
    let town = Town::new(
        script(move |input| {
            // Other hands, once, whatever dies and begins again.
            if input.issue == Some(4)
                && let Some(bare) = bare.get()
                && !moved.swap(true, Ordering::SeqCst)
            {
                move_base(bare);
            }
            work(input)
        }),
        vec![
            issue("First"),
            issue("Second").body("Depends on #1"),
            issue("Third"),
            issue("Fourth"),
        ],
    )
    .await;
    place.set(town.github.bare(&repo()).expect("a repository")).expect("once");
    town.github.comment(&repo(), 4, "foreman-bot", "<!-- foreman:issue=4 -->\nFrom another night.");
    town
}

fn work(input: &ScriptInput) -> Reply {
    let refused = match input.issue {
        Some(3) => true,
        // The gate's digest is a second word of the user.
        Some(2) => !input.body["messages"].to_string().contains("broken.sh"),
        Some(_) | None => false,
    };
    if refused {
        return acts(input, vec![write_file("tests/broken.sh", "false\n")]);
    }
    if input.issue == Some(2) {
        return acts(
            input,
            vec![
                write_file("tests/broken.sh", "true\n"),
                write_file("notes/issue-2.txt", "done 2\n"),
            ],
        );
    }
    good_work(input)
}

/// A commit on `main`, straight in the bare repository.
fn move_base(bare: &Path) {
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
    git(&["clone", "-q", "-b", "main", &bare.display().to_string(), "."]);
    std::fs::write(folder.path().join("elsewhere.txt"), "x\n").expect("written");
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "Meanwhile"]);
    git(&["push", "-q", "origin", "main"]);
}

/// What such a night changes on GitHub, in this order, each once.
pub fn expected_changes(town: &Town) -> Vec<String> {
    let renewed = town.github.comments(&repo(), 4)[0].id;
    let published = |n: u32, comment: String| {
        [format!("PUSH refs/heads/foreman/issue-{n}"), "POST /pulls".to_owned(), comment]
    };
    let mut changes: Vec<String> = Vec::new();
    changes.extend(published(1, "POST /issues/1/comments".to_owned()));
    changes.push("POST /issues/3/comments".to_owned());
    changes.extend(published(4, format!("PATCH /issues/comments/{renewed}")));
    changes.extend(published(2, "POST /issues/2/comments".to_owned()));
    changes
}
