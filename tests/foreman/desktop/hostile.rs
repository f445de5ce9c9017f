//! A clone whose configuration, hooks and attributes are out to run something or to learn our
//! token: nothing of it ever runs, and the token goes to GitHub's host alone.

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use foreman::demo::github::{FakeGitHub, Options};
use foreman::desktop_sync::{DesktopSync, DriftState};
use foreman::git::Git;
use foreman::github::{Credential, GitHub};
use foreman::process::Children;
use secrecy::SecretString;

use super::scene::{Scene, git, write};

/// Every way known to us in which a repository makes git run a program. Each leaves a mark.
fn plant(scene: &Scene, marks: &Path) {
    std::fs::create_dir_all(marks).expect("made");
    let clone = scene.clone_dir();
    let run = |name: &str| format!("touch '{}/{name}'", marks.display());
    for hook in [
        "pre-commit",
        "post-checkout",
        "post-merge",
        "pre-merge-commit",
        "reference-transaction",
        "post-index-change",
        "pre-auto-gc",
        "post-rewrite",
        "fsmonitor-watchman",
        "pre-push",
        "post-update",
        "update",
        "sendemail-validate",
    ] {
        let path = clone.join(".git/hooks").join(hook);
        write(&clone, &format!(".git/hooks/{hook}"), &format!("#!/bin/sh\n{}\n", run(hook)));
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("set");
    }
    write(&clone, ".git/info/attributes", "* filter=evil diff=evil merge=evil\n");
    let included =
        format!("[core]\n\tfsmonitor = {}\n\tpager = {}\n", run("include"), run("pager"));
    write(&clone, ".git/more", &included);
    for (key, value) in [
        ("core.hooksPath", ".git/hooks".to_owned()),
        ("core.fsmonitor", run("fsmonitor")),
        ("core.sshCommand", run("ssh")),
        ("core.gitProxy", run("gitproxy")),
        ("core.askPass", run("askpass")),
        ("core.editor", run("editor")),
        ("core.alternateRefsCommand", run("alternate")),
        ("filter.evil.clean", run("clean")),
        ("filter.evil.smudge", run("smudge")),
        ("filter.evil.process", run("process")),
        ("filter.evil.required", "true".to_owned()),
        ("diff.evil.textconv", run("textconv")),
        ("diff.evil.command", run("diff")),
        ("diff.external", run("external")),
        ("merge.evil.driver", run("driver")),
        ("credential.helper", format!("!{}", run("credential"))),
        ("gpg.program", run("gpg")),
        ("commit.gpgSign", "true".to_owned()),
        ("remote.origin.uploadpack", run("uploadpack")),
        ("remote.origin.proxy", "http://127.0.0.1:9".to_owned()),
        ("http.proxy", "http://127.0.0.1:9".to_owned()),
        ("uploadpack.packObjectsHook", run("pack-hook")),
        ("gc.recentObjectsHook", run("recent")),
        ("fetch.recurseSubmodules", "true".to_owned()),
        ("submodule.recurse", "true".to_owned()),
        ("include.path", "more".to_owned()),
        ("includeIf.gitdir:/.path", "more".to_owned()),
        ("url./nowhere/.insteadOf", "../".to_owned()),
        ("alias.status", format!("!{}", run("alias"))),
    ] {
        git(&clone, &["config", "--add", key, &value]);
    }
}

fn marks(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[tokio::test]
async fn nothing_that_a_clone_names_ever_runs() {
    let scene = Scene::new();
    scene.someone("src/lib.rs", "changed\n");
    scene.someone("new/file.txt", "new\n");
    let folder = scene.at("marks");
    plant(&scene, &folder);
    // Files whose time changed are compared by content, which is where a filter would run.
    let readme = std::fs::read_to_string(scene.clone_dir().join("README.md")).expect("read");
    scene.edit("README.md", &readme);
    let desktop = scene.desktop();
    let drift = desktop.drift("app").await.expect("known");
    assert_eq!((drift.state, drift.safe_to_merge), (DriftState::Behind, true), "{drift:?}");
    let report = desktop.merge("app", false).await.expect("merged");
    assert!(report.merged && desktop.health().await.ready);
    assert_eq!(marks(&folder), Vec::<String>::new());

    // The control: a person's own git runs what is planted.
    std::process::Command::new("git")
        .args(["status"])
        .current_dir(scene.clone_dir())
        .output()
        .expect("git");
    assert!(!marks(&folder).is_empty(), "the traps do not work");
}

#[tokio::test]
async fn a_divergence_is_merged_without_the_clones_programs_too() {
    let scene = Scene::new();
    let text = std::fs::read_to_string(scene.clone_dir().join("src/lib.rs")).expect("read");
    scene.someone("src/lib.rs", &text.replace("line 1\n", "theirs\n"));
    scene.i_commit("src/lib.rs", &text.replace("line 35\n", "mine\n"));
    let folder = scene.at("marks");
    plant(&scene, &folder);
    let report = scene.desktop().merge("app", false).await.expect("merged");
    let merged = std::fs::read_to_string(scene.clone_dir().join("src/lib.rs")).expect("read");
    assert!(report.merged && merged.contains("theirs") && merged.contains("mine"));
    assert_eq!(marks(&folder), Vec::<String>::new());
}

/// A server that takes down every credential it is shown.
async fn listener() -> (String, Arc<Mutex<Vec<String>>>) {
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    async fn note(
        State(heard): State<Arc<Mutex<Vec<String>>>>,
        headers: HeaderMap,
        uri: Uri,
    ) -> StatusCode {
        let shown = headers.get("authorization").map(|it| format!("{it:?}")).unwrap_or_default();
        heard.lock().expect("not poisoned").push(format!("{uri} {shown}"));
        StatusCode::UNAUTHORIZED
    }
    let app = axum::Router::new().fallback(note).with_state(Arc::clone(&heard));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, app).await });
    (format!("http://{address}"), heard)
}

fn desktop_of(scene: &Scene, github: &FakeGitHub) -> DesktopSync {
    rustls::crypto::ring::default_provider().install_default().ok();
    let mut settings = scene.settings();
    settings.api_url = github.api_url().to_string().parse().expect("a url");
    let token = Credential::Token(SecretString::from(github.token().to_owned()));
    let client = GitHub::new(&settings.api_url, Some(token)).expect("a client");
    let children = Children::start(env!("CARGO_BIN_EXE_foreman").into()).expect("started");
    let git = Git::new(children, &scene.at("data")).expect("git");
    DesktopSync::new(settings, git, client, None)
}

#[tokio::test]
async fn the_token_goes_to_githubs_host_alone() {
    let github = FakeGitHub::start(Options::default()).await.expect("the stand-in");
    let repo: foreman::domain::ids::RepoName = "octo/app".parse().expect("a name");
    github.create_repo(&repo, &[("README.md", "# app\n")]).expect("a repository");
    let (evil, heard) = listener().await;
    let scene = Scene::new();
    let desktop = desktop_of(&scene, &github);

    // Straight at another host, by the name of a repository that GitHub knows.
    scene.mine(&["remote", "set-url", "origin", &format!("{evil}/octo/app.git")]);
    let drift = desktop.drift("app").await.expect("an answer");
    assert_eq!(drift.state, DriftState::Unknown, "{drift:?}");
    assert!(!heard.lock().expect("not poisoned").is_empty(), "nobody asked there");

    // At GitHub, with the clone's configuration sending it elsewhere.
    let api: url::Url = github.api_url().to_string().parse().expect("a url");
    let web = api.origin().ascii_serialization();
    scene.mine(&["remote", "set-url", "origin", &format!("{web}/octo/app.git")]);
    for (key, value) in [
        (format!("url.{evil}/.insteadOf"), format!("{web}/")),
        ("http.proxy".to_owned(), evil.clone()),
        ("remote.origin.proxy".to_owned(), evil.clone()),
        ("http.extraHeader".to_owned(), "X-Evil: 1".to_owned()),
    ] {
        scene.mine(&["config", "--add", &key, &value]);
    }
    heard.lock().expect("not poisoned").clear();
    let drift = desktop.drift("app").await.expect("an answer");
    // Another history, but fetched, and so with the token.
    assert_eq!(drift.state, DriftState::Diverged, "{drift:?}");
    let heard = heard.lock().expect("not poisoned").clone();
    assert_eq!(heard, Vec::<String>::new());
    use base64::Engine as _;
    let basic = base64::engine::general_purpose::STANDARD
        .encode(format!("x-access-token:{}", github.token()));
    for line in &heard {
        assert!(!line.contains(&basic) && !line.contains(github.token()), "{line}");
    }
}
