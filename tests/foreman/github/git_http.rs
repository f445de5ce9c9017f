//! Git over HTTP through the stand-in, with plain git.

use std::path::Path;
use std::process::Output;

use foreman::demo::github::{Fault, FaultKind, Role};
use serde_json::json;

use super::Scene;

/// Runs git without the host's configuration. The token, if any, is in the URL: this is a test.
async fn git(folder: &Path, args: &[&str]) -> Output {
    tokio::process::Command::new("git")
        .args(args)
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var("PATH").expect("set"))
        .env("HOME", folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .envs(["AUTHOR", "COMMITTER"].into_iter().flat_map(|who| {
            [(format!("GIT_{who}_NAME"), "T"), (format!("GIT_{who}_EMAIL"), "t@example.com")]
        }))
        .output()
        .await
        .expect("git runs")
}

fn with_token(url: &str, token: &str) -> String {
    url.replacen("http://", &format!("http://x-access-token:{token}@"), 1)
}

#[tokio::test]
async fn a_clone_needs_a_token_and_a_push_leaves_its_mark() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().expect("temporary");
    let url = scene.fake.clone_url(&scene.repo);
    for refused in [url.clone(), with_token(&url, "ghp_wrong")] {
        let output = git(folder.path(), &["clone", "-q", &refused, "no"]).await;
        assert!(!output.status.success(), "{refused}");
    }
    let ours = with_token(&url, scene.fake.token());
    let output = git(folder.path(), &["clone", "-q", &ours, "app"]).await;
    assert!(output.status.success(), "{output:?}");
    let work = folder.path().join("app");
    // Large enough that git sends it in chunks, and compresses what it negotiates.
    let noise: Vec<String> =
        (0..200_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_string()).collect();
    std::fs::write(work.join("noise"), noise.join("\n")).expect("written");
    assert!(git(&work, &["add", "."]).await.status.success());
    assert!(git(&work, &["commit", "-qm", "noise"]).await.status.success());
    let push = ["push", "-q", "origin", "HEAD:refs/heads/foreman/issue-1"];
    let output = git(&work, &push).await;
    assert!(output.status.success(), "{output:?}");

    let head = git(&work, &["rev-parse", "HEAD"]).await.stdout;
    let head = String::from_utf8(head).expect("text").trim().to_owned();
    assert_eq!(scene.fake.branches(&scene.repo)["foreman/issue-1"], head);
    let effects = scene.fake.effects();
    assert_eq!(effects.len(), 1);
    assert_eq!(effects[0].method, "PUSH");
    assert_eq!(effects[0].path, "/octo/app.git refs/heads/foreman/issue-1");
    assert_eq!(effects[0].body, json!({ "old": null, "new": head }));
    assert_eq!(effects[0].actor.as_deref(), Some("foreman-bot"));

    // Fetching it back works, also over the other path.
    let other = ours.replacen("/octo/", "/git/octo/", 1);
    let output =
        git(folder.path(), &["clone", "-q", "-b", "foreman/issue-1", &other, "again"]).await;
    assert!(output.status.success(), "{output:?}");
    assert!(folder.path().join("again/noise").exists());
    assert_eq!(scene.fake.unexpected(), Vec::<String>::new());
}

#[tokio::test]
async fn a_reader_may_not_push_and_a_stale_lease_moves_nothing() {
    let scene = Scene::new().await;
    scene.fake.add_token("ghp_reader", "rita");
    scene.fake.add_user(&scene.repo, "rita", Role::Read);
    let folder = tempfile::tempdir().expect("temporary");
    let url = scene.fake.clone_url(&scene.repo);
    let reader = with_token(&url, "ghp_reader");
    assert!(git(folder.path(), &["clone", "-q", &reader, "app"]).await.status.success());
    let work = folder.path().join("app");
    git(&work, &["commit", "-q", "--allow-empty", "-m", "x"]).await;
    let output = git(&work, &["push", "-q", "origin", "HEAD:refs/heads/topic"]).await;
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("403"), "{output:?}");

    let ours = with_token(&url, scene.fake.token());
    let lease = format!("--force-with-lease=refs/heads/main:{}", "1".repeat(40));
    let output = git(&work, &["push", "-q", &lease, &ours, "HEAD:refs/heads/main"]).await;
    assert!(!output.status.success());
    assert_eq!(scene.fake.branches(&scene.repo)["main"], scene.base);
    assert_eq!(scene.fake.effects(), []);
}

#[tokio::test]
async fn a_push_whose_reply_is_lost_has_happened() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().expect("temporary");
    let url = with_token(&scene.fake.clone_url(&scene.repo), scene.fake.token());
    assert!(git(folder.path(), &["clone", "-q", &url, "app"]).await.status.success());
    let work = folder.path().join("app");
    git(&work, &["commit", "-q", "--allow-empty", "-m", "x"]).await;
    scene.fake.fail_next(Fault::on("POST", "git-receive-pack$", FaultKind::LoseReply));
    let output = git(&work, &["push", "-q", "origin", "HEAD:refs/heads/topic"]).await;
    assert!(!output.status.success(), "git cannot know");
    assert!(scene.fake.branches(&scene.repo).contains_key("topic"));
    let effects = scene.fake.effects();
    assert!(effects.len() == 1 && effects[0].changed() && !effects[0].answered);

    scene.fake.fail_next(Fault::on("POST", "git-receive-pack$", FaultKind::Drop));
    let output = git(&work, &["push", "-q", "origin", "HEAD:refs/heads/other"]).await;
    assert!(!output.status.success());
    assert!(!scene.fake.branches(&scene.repo).contains_key("other"));
    assert_eq!(scene.fake.faults_left(), 0);
}

#[tokio::test]
async fn a_compressed_request_is_understood() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().expect("temporary");
    let url = with_token(&scene.fake.clone_url(&scene.repo), scene.fake.token());
    // A fetch that wants more than 1,024 bytes of names is sent with gzip.
    let bare = scene.fake.bare(&scene.repo).expect("there");
    let stream: String = (0..40)
        .map(|n| {
            format!("commit refs/heads/b{n}\ncommitter T <t@example.com> {n} +0000\ndata 0\n\n")
        })
        .collect();
    std::fs::write(folder.path().join("stream"), stream).expect("written");
    let import = format!("git -C '{}' fast-import --quiet <stream", bare.display());
    let output = git(folder.path(), &["-c", &format!("alias.feed=!{import}"), "feed"]).await;
    assert!(output.status.success(), "{output:?}");
    let output = git(folder.path(), &["clone", "-q", "--bare", &url, "all"]).await;
    assert!(output.status.success(), "{output:?}");
    let listed = git(&folder.path().join("all"), &["for-each-ref", "refs/heads/"]).await.stdout;
    assert_eq!(String::from_utf8(listed).expect("text").lines().count(), 41);
    assert!(scene.fake.compressed() > 0, "nothing was compressed: the test shows nothing");
}
