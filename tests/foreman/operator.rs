//! The operator's week: doctor on a base, the gate without a night, why and status, disk, backup.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::command::{foreman, foreman_in};
use crate::support::{
    SHELL_REPOSITORY, Town, acts, body, good_work, issue, repo, run_command, script,
};
use foreman::demo::model::Reply;
use foreman::domain::redact::Redactor;
use foreman::gate::policy::{Detected, Policy};
use foreman::store::{DatabaseUrl, OpenOptions, Store, StoreClock};

fn quiet() -> foreman::demo::model::Script {
    script(|_| Reply::Hang)
}

async fn town_with(files: &[(&'static str, &'static str)]) -> Town {
    Town::with_files(quiet(), vec![], &[SHELL_REPOSITORY, files].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_runs_the_bases_checks_and_touches_nothing() {
    let town = town_with(&[(".foreman.toml", "[gate]\ntest = \"sh run-checks.sh\"\n")]).await;
    let (code, text) = foreman(&town, &["doctor", "octo/app"]).await;
    assert_eq!(code, Some(0), "{text}");
    for wanted in [
        "contents: ",
        "pull_requests: ",
        "test: `sh run-checks.sh`, named in .foreman.toml",
        "test: `sh run-checks.sh` passed",
        "1 tests collected",
        "is green",
        "A .foreman.toml that would pass:",
    ] {
        assert!(text.contains(wanted), "{wanted}:\n{text}");
    }
    let (_, proposal) = text.split_once("would pass:\n\n").expect("a proposal");
    let (proposal, _) = proposal.split_once("\nA night can run").expect("the end");
    let policy = Policy::parse(Some(proposal), Detected::default()).expect("it reads");
    assert_eq!(policy.commands.len(), 6, "{proposal}");
    assert!(town.changes().is_empty() && town.model.requests().is_empty());
    for room in ["mirrors", "gate", "work"] {
        assert!(!town.data.path().join("data").join(room).exists(), "{room}");
    }
    let (_, json) = foreman(&town, &["doctor", "octo/app", "--json"]).await;
    let json: Value = serde_json::from_str(&json).expect("one document");
    assert_eq!(json["policy"]["wouldPass"], true, "{json:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_says_what_a_night_would_meet() {
    let misread = town_with(&[(".foreman.toml", "[gate]\ntest = \"true\"\n tset = \"x\"\n")]).await;
    let (code, text) = foreman(&misread, &["doctor", "octo/app"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(".foreman.toml line 3, column 2: unknown field `tset`"), "{text}");

    let red = town_with(&[("tests/broken.sh", "false\n")]).await;
    let (code, text) = foreman(&red, &["doctor", "octo/app"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("red: ") && text.contains("tests/broken.sh"), "{text}");
    assert!(text.contains("fits once the base is repaired"), "{text}");
    assert!(text.contains("`sh run-checks.sh` is red on this base"), "{text}");

    let lacking = town_with(&[
        (".foreman.toml", "[gate]\nbuild = []\ntest = \"sh run-checks.sh\"\n"),
        ("go.mod", "module x\n"),
        (".golangci.yml", "\n"),
    ])
    .await;
    let (code, text) = foreman(&lacking, &["doctor", "octo/app"]).await;
    assert_eq!(code, Some(0), "{text}");
    let said = "`golangci-lint run` was detected from .golangci.yml, but this machine lacks it";
    assert!(text.contains(said), "{text}");
    assert!(text.contains("# `golangci-lint run` is not on this machine"), "{text}");
}

fn git(folder: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=D", "-c", "user.email=d@e.f", "-c", "init.defaultBranch=main"])
        .args(args)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("git runs");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gate_judges_a_local_branch_without_a_night() {
    let town = town_with(&[]).await;
    let folder = town.data.path().join("a clone");
    let bare = town.github.bare(&repo()).expect("a repository").display().to_string();
    git(town.data.path(), &["clone", "-q", &bare, "a clone"]);
    let write = |path: &str, text: &str| std::fs::write(folder.join(path), text).expect("written");
    git(&folder, &["checkout", "-q", "-b", "topic"]);
    write("notes.txt", "a note\n");
    write("tests/notes.sh", "test -f notes.txt\n");
    git(&folder, &["add", "-A"]);
    git(&folder, &["commit", "-q", "-m", "A note"]);
    write("not-committed.txt", "x\n");
    let refs = git(&folder, &["for-each-ref"]);
    let (code, text) = foreman_in(&town, &folder, &["gate"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("a night would open a pull request"), "{text}");
    for name in ["QIC", "QIEL", "CDW", "Memory fabric", "Drift", "Governance"] {
        assert!(text.contains(&format!("\n{name}")), "{name}: {text}");
    }
    git(&folder, &["rm", "-q", "tests/base.sh"]);
    git(&folder, &["commit", "-q", "-m", "Cheat"]);
    let (code, text) = foreman_in(&town, &folder, &["gate", "topic", "--base", "main"]).await;
    assert!(code == Some(1) && text.contains("tests/base.sh"), "{text}");
    let (_, json) = foreman_in(&town, &folder, &["gate", "--json"]).await;
    let json: Value = serde_json::from_str(&json).expect("one document");
    assert_eq!((&json["passed"], &json["qaResults"]["passed"]), (&json!(false), &json!(false)));
    let others = |refs: &str| -> Vec<String> {
        let kept = |line: &&str| !line.ends_with("refs/heads/topic");
        refs.lines().filter(kept).map(str::to_owned).collect()
    };
    assert_eq!(others(&git(&folder, &["for-each-ref"])), others(&refs));
    assert_eq!(git(&folder, &["status", "--short"]), "?? not-committed.txt\n");
    let (code, text) = foreman_in(&town, &folder, &["gate", "nowhere"]).await;
    assert!(code != Some(0) && text.contains("no commit or branch `nowhere`"), "{text}");

    git(&folder, &["checkout", "-q", "main"]);
    write("tests/broken.sh", "false\n");
    git(&folder, &["add", "tests"]);
    git(&folder, &["commit", "-q", "-m", "Break"]);
    git(&folder, &["push", "-q", "origin", "main"]);
    let (code, text) = foreman_in(&town, &folder, &["gate", "topic"]).await;
    assert!(code == Some(2) && text.contains("tests/broken.sh"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn why_gives_one_answer_with_and_without_a_server() {
    let town = Town::new(
        script(|input| match input.issue {
            Some(1) => good_work(input),
            _ => acts(input, vec![run_command("echo '* -diff' > .gitattributes")]),
        }),
        vec![issue("Good"), issue("Bad"), issue("Left").label("foreman:skip")],
    )
    .await;
    let server = town.serve().await;
    server.night(&json!({"enableAutoHeal": false})).await;
    let path = "/api/foreman/overnight/why?owner=octo&repo=app&issue=";
    for (number, state, word) in [
        (1, "proposed", "has the pull request"),
        (2, "failed", ".gitattributes"),
        (3, "skipped", "foreman:skip"),
        (9, "unseen", "No night has seen #9"),
    ] {
        let why = server.get(&format!("{path}{number}")).await.json["why"].clone();
        assert_eq!(why["state"], state, "{why:#}");
        assert!(why["answer"].as_str().is_some_and(|it| it.contains(word)), "{why:#}");
        assert!(why["whatToDo"].as_str().is_some_and(|it| it.len() > 5), "{why:#}");
        let (code, json) = foreman(&town, &["why", &format!("octo/app#{number}"), "--json"]).await;
        let json: Value = serde_json::from_str(&json).expect("one document");
        assert_eq!((code, &json["why"]), (Some(0), &why));
    }
    for odd in ["?owner=octo&repo=app", "?owner=octo&issue=1", "?owner=octo&repo=app&issue=0"] {
        let answer = server.get(&format!("/api/foreman/overnight/why{odd}")).await;
        assert_eq!((answer.status, &answer.json["code"]), (400, &json!("invalid_parameter")));
    }
    let (_, text) = foreman(&town, &["why", "octo/app#2"]).await;
    assert!(text.contains("#2 Bad\n") && text.contains("-> Read the findings"), "{text}");
    let (code, text) = foreman(&town, &["why", "octo/app"]).await;
    assert!(code != Some(0) && text.contains("OWNER/REPO#N"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_what_happens_now_and_watch_follows_it() {
    let (asked, was_asked) = tokio::sync::watch::channel(false);
    let town = Town::new(
        script(move |_| {
            asked.send_replace(true);
            Reply::Hang
        }),
        vec![issue("Slow")],
    )
    .await;
    let server = town.serve().await;
    let id = server.begin(&body()).await;
    was_asked.clone().wait_for(|asked| *asked).await.expect("the model is asked");
    let overview = server.get("/api/foreman/overnight").await.json;
    let doing = &overview["doing"][0];
    assert_eq!((&doing["issueNumber"], &doing["runId"]), (&json!(1), &json!(id)), "{overview:#}");
    assert!(doing["seconds"].is_i64() && doing["costUsd"].is_number(), "{doing}");
    let mut there = town.env.clone();
    there.insert("FOREMAN_URL".to_owned(), server.url.clone());
    let town = Town { env: there, ..town };
    let (_, text) = foreman(&town, &["status"]).await;
    assert!(text.contains("now  #1 Slow: ") && text.contains(" s, $"), "{text}");
    let (args, path) =
        (["watch", "--run", &id], format!("/api/foreman/overnight/runs/{id}/cancel"));
    let nothing = json!({});
    let (watch, cancel) = (foreman(&town, &args), server.post(&path, &nothing));
    let ((code, text), answer) = tokio::join!(watch, cancel);
    assert_eq!(answer.status, 202);
    assert!(code == Some(0) && text.contains("#1") && text.contains("cancelled"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_whole_while_a_server_works() {
    let town = Town::new(script(good_work), vec![issue("Anything")]).await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    let id = run["id"].as_str().expect("an id");
    let (code, text) = foreman(&town, &["backup", "copy.db"]).await;
    assert!(code == Some(0) && text.contains("copy.db holds the database"), "{text}");
    let copy = town.data.path().join("copy.db");
    let store = Store::open(OpenOptions {
        url: DatabaseUrl::file(&copy).expect("a path"),
        redactor: std::sync::Arc::new(Redactor::new([])),
        clock: StoreClock::System,
        read_only: true,
    })
    .await
    .expect("it opens");
    let copied = store.run(&foreman::domain::ids::RunId::new(id)).await.expect("read");
    assert_eq!(json!(copied.expect("the run")), run);
    store.close().await;
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(&copy).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (code, text) = foreman(&town, &["backup", "copy.db"]).await;
    assert!(code != Some(0) && text.contains("could not be made"), "{text}");
    let there = town.set("DATABASE_URL", "postgres://nobody@127.0.0.1:1/x");
    let (code, text) = foreman(&there, &["backup", "other.db"]).await;
    assert!(code != Some(0) && text.contains("pg_dump"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_database_is_kept_before_it_is_migrated() {
    use sqlx::Connection as _;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("foreman.db");
    let open = || async {
        Store::open(OpenOptions {
            url: DatabaseUrl::file(&path).expect("a path"),
            redactor: std::sync::Arc::new(Redactor::new([])),
            clock: StoreClock::System,
            read_only: false,
        })
        .await
    };
    open().await.expect("made").close().await;
    let copies = || {
        let entries = std::fs::read_dir(folder.path()).expect("a folder").flatten();
        let names = entries.map(|it| it.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.contains(".schema-")).collect::<Vec<_>>()
    };
    assert_eq!(copies(), Vec::<String>::new(), "a new database needs no copy");
    sqlx::any::install_default_drivers();
    let url = format!("sqlite://{}", path.display());
    let mut connection = sqlx::AnyConnection::connect(&url).await.expect("connected");
    let pretend = "DELETE FROM schema_version WHERE version > 1";
    sqlx::query(pretend).execute(&mut connection).await.expect("an older one");
    connection.close().await.expect("closed");
    // Its tables are newer than it says, so that it cannot be migrated; the copy comes before.
    assert!(open().await.is_err());
    assert_eq!(copies(), ["foreman.db.schema-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_a_night_before_it_starts() {
    let town = Town::new(script(good_work), vec![issue("Anything")]).await;
    let config = town.data.path().join("foreman.toml");
    std::fs::write(&config, "[disk]\nfloor_mb = 4000000000\n").expect("written");
    let server = town.serve().await;
    let answer = server.post("/api/foreman/overnight", &body()).await;
    assert_eq!((answer.status, &answer.json["code"]), (503, &json!("disk_full")), "{answer:?}");
    let said = answer.json["error"].as_str().expect("a sentence");
    assert!(said.contains("foreman clean") && said.contains("disk.floor_mb"), "{said}");
    let runs = server.get("/api/foreman/overnight/runs").await.json;
    assert_eq!(runs["runs"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn clean_says_what_would_go_and_takes_only_that() {
    let town = Town::new(script(good_work), vec![issue("Anything")]).await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    server.terminate().await;
    let data = town.data.path().join("data");
    let left = data.join("work/left-by-a-killed-night");
    std::fs::create_dir_all(left.join("round-0")).expect("made");
    std::fs::write(left.join("round-0/file"), "12345").expect("written");
    let (_, text) = foreman(&town, &["clean", "--dry-run"]).await;
    assert!(text.contains("0 folders"), "young leftovers stay: {text}");
    std::fs::write(town.data.path().join("foreman.toml"), "[disk]\nkeep_days = 0\n").expect("ok");
    let (code, text) = foreman(&town, &["clean", "--dry-run"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("left-by-a-killed-night  5 bytes, older than 0 days"), "{text}");
    assert!(left.exists());
    let (code, _) = foreman(&town, &["clean"]).await;
    assert!(code == Some(0) && !left.exists());
    assert!(data.join("mirrors/octo/app.git").exists() && data.join("logs").exists());
    let id = run["id"].as_str().expect("an id");
    let (code, _) = foreman(&town, &["logs", id]).await;
    assert_eq!(code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn clean_forgets_what_was_said_in_old_nights_and_keeps_the_latest() {
    let town = Town::new(script(good_work), vec![issue("First"), issue("Second")]).await;
    let server = town.serve().await;
    let old = server.night(&json!({"issues": [1]})).await;
    let new = server.night(&json!({"issues": [2]})).await;
    server.terminate().await;
    let said = async |run: &serde_json::Value, number: &str| {
        let id = run["id"].as_str().expect("an id");
        let (code, text) = foreman(&town, &["transcript", id, number]).await;
        assert_eq!(code, Some(0), "{text}");
        !text.contains("Nothing was said")
    };
    let refs = || {
        let mirror = town.data.path().join("data/mirrors/octo/app.git");
        let output = std::process::Command::new("git")
            .args(["for-each-ref", "--format=%(refname)", "refs/foreman/attempts"])
            .current_dir(mirror)
            .output()
            .expect("git");
        String::from_utf8_lossy(&output.stdout).lines().count()
    };
    assert!(said(&old, "1").await && said(&new, "2").await, "both nights were told of");
    let before = refs();
    let (code, text) = foreman(&town, &["clean"]).await;
    assert!(code == Some(0) && refs() == before, "nights of today stay: {text}");
    assert!(said(&old, "1").await);
    let config = town.data.path().join("foreman.toml");
    std::fs::write(config, "[disk]\ntranscript_days = 0\n").expect("written");
    let (_, text) = foreman(&town, &["clean", "--dry-run"]).await;
    assert!(text.contains("turns of old transcripts") && text.contains("would go"), "{text}");
    assert!(said(&old, "1").await, "a dry run takes nothing");
    let (code, text) = foreman(&town, &["clean"]).await;
    assert!(code == Some(0) && text.contains("private refs gone"), "{text}");
    assert!(!said(&old, "1").await && said(&new, "2").await, "the latest night keeps its own");
    assert!((1..before).contains(&refs()), "{before} refs before, {} now", refs());
}
