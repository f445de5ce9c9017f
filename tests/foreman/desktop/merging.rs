//! Merges: what is refused and said, what happens twice, and what a death in the middle leaves.

use foreman::desktop_sync::{DesktopError, DriftState};
use foreman::failpoint;
use serde_json::json;

use super::scene::{Scene, differences, fingerprint, git};
use crate::support::Server;

/// A server over the scene's clone.
pub fn environment(scene: &Scene) -> std::collections::BTreeMap<String, String> {
    [
        ("FOREMAN_DATA_DIR", scene.at("data").display().to_string()),
        ("DESKTOP_BUILDER_ENABLED", "true".to_owned()),
        ("LOCAL_FOREMAN_APP_PATH", scene.clone_dir().display().to_string()),
        ("GITHUB_API_URL", "http://127.0.0.1:9".to_owned()),
        ("FOREMAN_LOG_FORMAT", "json".to_owned()),
        ("PORT", "0".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

pub const MERGE: &str = "/api/foreman/desktop/repositories/foreman-app/merge";
pub const DRIFT: &str = "/api/foreman/desktop/repositories/foreman-app/drift";

/// Changed, new, deleted, a folder for a file: each kind of step.
pub fn every_kind_of_step(scene: &Scene) {
    scene.someone_does(|seed| {
        super::scene::write(seed, "src/lib.rs", "changed\n");
        super::scene::write(seed, "brand/new/file.txt", "new\n");
        std::fs::remove_dir_all(seed.join("alone")).expect("removed");
        std::fs::remove_file(seed.join("other.txt")).expect("removed");
        super::scene::write(seed, "other.txt/inside", "x\n");
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_at_any_place_leaves_the_old_or_the_new() {
    for place in failpoint::DESKTOP {
        let scene = Scene::new();
        every_kind_of_step(&scene);
        scene.edit("mine.txt", "not tracked\n");
        let clone = scene.clone_dir();
        // Without the index's times, which a look may not change and a merge does.
        let leave_out = [".git/refs/foreman", ".git/objects", ".git/logs", ".git/index"];
        let before = fingerprint(&clone, &leave_out);
        let mut environment = environment(&scene);
        environment.insert(failpoint::VARIABLE.to_owned(), (*place).to_owned());
        let mut server = Server::start(&environment, &scene.at("")).await;
        server.request("POST", MERGE).json(&json!({})).send().await.ok();
        server.died().await;
        environment.remove(failpoint::VARIABLE);
        let server = Server::start(&environment, &scene.at("")).await;
        let drift = server.get(DRIFT).await.json["drift"].clone();
        assert!(!clone.join(".git/index.lock").exists(), "{place}");
        assert!(!clone.join(".git/foreman-merge").exists(), "{place}");
        assert_eq!(scene.mine(&["status", "--porcelain"]), "?? mine.txt", "{place}");
        if drift["state"] == "behind" {
            let after = fingerprint(&clone, &leave_out);
            assert_eq!(differences(&before, &after), Vec::<String>::new(), "{place}");
            assert_eq!(drift["safeToMerge"], true, "{place}: {drift}");
            let merged = server.post(MERGE, &json!({})).await;
            assert_eq!((merged.status, &merged.json["merged"]), (200, &json!(true)), "{place}");
        } else {
            assert_eq!(drift["state"], "in_sync", "{place}: {drift}");
        }
        let recovered = super::routes::recovered(&server).await;
        let wanted: &[&str] = match *place {
            // Dead before anything was begun, or with all of it done.
            "desktop.finished" => &[],
            "desktop.moved" => &["sync_completed"],
            _ => &["sync_failed"],
        };
        assert_eq!(recovered, wanted, "{place}");
        let tip = git(&scene.at("seed"), &["rev-parse", "HEAD"]);
        assert_eq!(scene.mine(&["rev-parse", "HEAD"]), tip, "{place}");
        scene.mine(&["fsck", "--strict"]);
        server.kill().await;
    }
}

#[tokio::test]
async fn a_conflict_is_left_to_a_person() {
    let scene = Scene::new();
    scene.someone("other.txt", "theirs\n");
    scene.i_commit("other.txt", "mine\n");
    let head = scene.mine(&["rev-parse", "HEAD"]);
    let refused = scene.desktop().merge("app", false).await;
    let Err(DesktopError::NotSafe { reasons, .. }) = refused else { panic!("{refused:?}") };
    assert!(reasons[0].contains("`other.txt`"), "{reasons:?}");
    assert_eq!(scene.mine(&["rev-parse", "HEAD"]), head);
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let scene = Scene::new();
    scene.someone("other.txt", "theirs\n");
    let desktop = scene.desktop();
    desktop.drift("app").await.expect("known");
    let before = fingerprint(&scene.clone_dir(), &[]);
    let report = desktop.merge("app", true).await.expect("safe");
    assert!(!report.merged && report.from != report.to && report.backup_ref.is_none());
    assert_eq!(differences(&before, &fingerprint(&scene.clone_dir(), &[])), Vec::<String>::new());
}

#[tokio::test]
async fn a_merge_can_be_undone_by_its_backup() {
    let scene = Scene::new();
    every_kind_of_step(&scene);
    let before = fingerprint(&scene.clone_dir(), &[".git"]);
    let report = scene.desktop().merge("app", false).await.expect("merged");
    assert_eq!(report.drift.state, DriftState::Behind);
    assert!(!scene.clone_dir().join("alone").exists(), "an emptied folder is gone");
    let log = scene.mine(&["reflog", "-1", "--format=%gs"]);
    assert!(log.starts_with("foreman: merge"), "{log}");
    scene.mine(&["reset", "--quiet", "--hard", report.backup_ref.as_deref().expect("a backup")]);
    assert_eq!(
        differences(&before, &fingerprint(&scene.clone_dir(), &[".git"])),
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn unknown_ids_and_a_disabled_desktop_are_said() {
    let scene = Scene::new();
    let desktop = scene.desktop();
    assert!(matches!(desktop.drift("x").await, Err(DesktopError::UnknownRepository(_))));
    let mut settings = scene.settings();
    settings.enabled = false;
    let desktop = scene.desktop_with(settings);
    let drift = desktop.drift("app").await.expect("an answer");
    assert!(drift.error_message.expect("why").contains("DESKTOP_BUILDER_ENABLED"));
    assert!(matches!(desktop.merge("app", false).await, Err(DesktopError::Disabled)));
    let health = desktop.health().await;
    assert!(!health.ready && health.issues[0].contains("DESKTOP_BUILDER_ENABLED"));
}
