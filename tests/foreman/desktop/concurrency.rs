//! A person at work in the clone while Foreman looks and merges: nobody's index breaks, nobody's
//! work is lost, and Foreman backs off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use foreman::desktop_sync::DesktopError;

use super::scene::{Scene, try_git, write};

/// A git that found a lock is no fault: that is what locks are for.
fn is_about_a_lock(error: &str) -> bool {
    error.contains(".lock") || error.contains("Another git process")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_works_on_while_foreman_merges() {
    let scene = Scene::new();
    let clone = scene.clone_dir();
    let stop = Arc::new(AtomicBool::new(false));
    let person = std::thread::spawn({
        let (clone, stop) = (clone.clone(), Arc::clone(&stop));
        move || {
            let (mut written, mut round) = (0, 0);
            while !stop.load(Ordering::Relaxed) {
                round += 1;
                write(&clone, "work.txt", &format!("{round}\n"));
                let done = ["add work.txt", "commit --quiet -m work", "status", "stash list"]
                    .iter()
                    .map(|line| try_git(&clone, &line.split(' ').collect::<Vec<_>>()))
                    .collect::<Vec<_>>();
                for error in done.iter().filter_map(|it| it.as_ref().err()) {
                    let fine = is_about_a_lock(error) || error.contains("nothing to commit");
                    assert!(fine || error.contains("no changes added"), "{error}");
                }
                written += usize::from(done[1].is_ok());
                std::thread::yield_now();
            }
            written
        }
    });
    let desktop = scene.desktop();
    let (mut merged, mut backed_off) = (0, 0);
    for round in 0..8 {
        scene.someone(&format!("theirs-{round}.txt"), "t\n");
        match desktop.merge("app", false).await {
            Ok(report) => merged += usize::from(report.merged),
            Err(DesktopError::NotSafe { .. } | DesktopError::Failed { .. }) => backed_off += 1,
            Err(error) => panic!("{error}"),
        }
    }
    stop.store(true, Ordering::Relaxed);
    let written = person.join().expect("the person's work went on");
    assert!(written > 0, "the person got nothing done");
    assert_eq!(merged + backed_off, 8);

    // Nothing is broken and nothing is lost.
    scene.mine(&["fsck", "--strict"]);
    let commits = scene.mine(&["log", "--format=%s", "--author=Dev"]);
    assert_eq!(commits.lines().filter(|line| *line == "work").count(), written);
    scene.mine(&["add", "--all"]);
    try_git(&clone, &["commit", "--quiet", "-m", "rest"]).ok();
    // With nobody in the way it goes through.
    desktop.merge("app", false).await.expect("merged");
    assert_eq!(scene.mine(&["status", "--porcelain"]), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_foremans_merge_once() {
    let scene = Scene::new();
    scene.someone("src/lib.rs", "changed\n");
    let mut other = scene.settings();
    other.folder = scene.at("other-data/desktop");
    let (one, two) = (scene.desktop(), scene.desktop_with(other));
    let (one, two) = tokio::join!(one.merge("app", false), two.merge("app", false));
    let merged = [&one, &two].iter().filter(|it| it.as_ref().is_ok_and(|it| it.merged)).count();
    assert_eq!(merged, 1, "{one:?} {two:?}");
    assert_eq!(scene.mine(&["status", "--porcelain"]), "");
    scene.mine(&["fsck", "--strict"]);
}
