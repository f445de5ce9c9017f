//! The command line as a person meets it: the real binary, its exit codes and what it prints.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::support::{Town, acts, good_work, issue, repo, run_command, script};
use foreman::demo::model::Reply;

const PATIENCE: Duration = Duration::from_secs(120);

type Env = BTreeMap<String, String>;

#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    /// Standard output as the one JSON document that it must be.
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

fn start(env: &Env, cwd: &Path, args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_foreman"))
        .args(args)
        .env_clear()
        .envs(env)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", std::env::var_os("HOME").unwrap_or_default())
        .current_dir(cwd)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary starts")
}

async fn foreman(env: &Env, cwd: &Path, args: &[&str]) -> Said {
    let ended = start(env, cwd, args).wait_with_output();
    let output = tokio::time::timeout(PATIENCE, ended).await.expect("it ends").expect("it ran");
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

impl Town {
    async fn foreman(&self, args: &[&str]) -> Said {
        foreman(&self.env, self.data.path(), args).await
    }
}

fn interrupt(child: &Child) {
    let pid =
        child.id().and_then(|pid| pid.try_into().ok()).and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.expect("it runs"), rustix::process::Signal::INT)
        .expect("signalled");
}

/// A script that hangs on its first request and says so; then it works well.
fn hangs_once() -> (foreman::demo::model::Script, tokio::sync::watch::Receiver<bool>) {
    let (asked, was_asked) = tokio::sync::watch::channel(false);
    let answer =
        script(move |input| if asked.send_replace(true) { good_work(input) } else { Reply::Hang });
    (answer, was_asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_is_talked_to() {
    let town = Town::new(script(good_work), vec![issue("First"), issue("Second")])
        .await
        .set("FOREMAN_API_TOKEN", "ann:viewer:token-of-ann,bob:operator:token-of-bob")
        .set("FOREMAN_BASE_PATH", "/foreman");
    let server = town.serve().await;
    let url = format!("{}/foreman", server.url);
    let town = town.set("FOREMAN_URL", &url);

    let plan = town.foreman(&["plan", "octo/app"]).await;
    assert_eq!(plan.code, Some(0), "{plan:#?}");
    assert!(
        plan.out.contains("2 of 2 open issues") && plan.out.contains("1. #1 First"),
        "{plan:#?}"
    );

    let run = town.foreman(&["run", "octo/app", "--issues", "1"]).await;
    assert_eq!(run.code, Some(0), "{run:#?}");
    let pull = format!("/octo/app/pull/{}", town.github.pulls(&repo())[0].number);
    for said in [
        "in the server at",
        "#1 ✓  passed every check",
        "Pull requests, in the order to review them\n  ✓ #1",
        &pull,
    ] {
        assert!(run.out.contains(said), "{said}: {run:#?}");
    }

    let run = town.foreman(&["--json", "run", "octo/app"]).await;
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{run:#?}");
    assert_eq!(run.json()["run"]["status"], "completed");
    let id = run.json()["run"]["id"].as_str().expect("an id").to_owned();

    let status = town.foreman(&["status", "octo/app"]).await;
    assert!(status.out.contains(&format!("From the server at {url}\n{id}")), "{status:#?}");
    let late = town.foreman(&["cancel", &id]).await;
    assert_eq!(late.code, Some(1));
    assert!(late.err.contains("has ended already"), "{late:#?}");
    let unknown = town.foreman(&["cancel", "nobody", "--json"]).await;
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.json()["error"].as_str().is_some_and(|why| why.contains("nobody")));

    let mut stranger = town.env.clone();
    stranger.insert("FOREMAN_API_TOKEN".to_owned(), "token-of-eve".to_owned());
    let refused = foreman(&stranger, town.data.path(), &["status"]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("set FOREMAN_API_TOKEN"), "{refused:#?}");
    town.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_says_how_a_night_ended() {
    let town = Town::new(
        script(good_work),
        vec![issue("Good"), issue("One").body("Depends on #3"), issue("Two").body("Depends on #2")],
    )
    .await;
    let whole = town.foreman(&["run", "octo/app", "--issues", "1", "--json"]).await;
    assert_eq!(whole.code, Some(0), "{whole:#?}");
    assert_eq!(whole.json()["run"]["successfulIssues"], 1);

    let partial = town.foreman(&["run", "octo/app"]).await;
    assert_eq!(partial.code, Some(2), "{partial:#?}");
    assert!(partial.out.contains("in a dependency cycle with #3"), "{partial:#?}");
    let planned = town.foreman(&["run", "octo/app", "--dry-run"]).await;
    assert_eq!(planned.code, Some(2), "{planned:#?}");

    let status = town.foreman(&["status", "--json"]).await;
    assert_eq!(status.code, Some(0));
    assert_eq!(status.json()["run"]["status"], "partial");
    assert_eq!(status.json()["activeRuns"], serde_json::json!([]));

    let town = town.set("GITHUB_TOKEN", "ghp_wrong_0123456789");
    let failed = town.foreman(&["run", "octo/app"]).await;
    assert_eq!(failed.code, Some(1), "{failed:#?}");
    assert!(failed.out.contains("set GITHUB_TOKEN"), "{failed:#?}");
    assert!(!format!("{failed:?}").contains("ghp_wrong"), "{failed:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_interrupt_stops_and_the_next_start_goes_on() {
    let (answer, mut was_asked) = hangs_once();
    let town = Town::new(answer, vec![issue("Anything")]).await;
    let child = start(&town.env, town.data.path(), &["run", "octo/app"]);
    was_asked.wait_for(|asked| *asked).await.expect("the model is asked");
    interrupt(&child);
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    let output = output.expect("it stops").expect("it ran");
    let said = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("Stopping") && said.contains("The night is not over"), "{said}");
    assert!(town.changes().is_empty());

    let status = town.foreman(&["status", "--json"]).await;
    let id = status.json()["activeRuns"][0]["id"].as_str().expect("an active run").to_owned();
    let again = town.foreman(&["run", "octo/app"]).await;
    assert_eq!(again.code, Some(0), "{again:#?}");
    assert!(again.out.contains(&format!("Going on with the unfinished night {id}")), "{again:#?}");
    assert_eq!(town.pulls().len(), 1);
    town.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_in_the_server_is_cancelled_from_another_terminal() {
    let (answer, mut was_asked) = hangs_once();
    let town = Town::new(answer, vec![issue("Anything")]).await;
    let server = town.serve().await;
    let town = {
        let url = server.url.clone();
        town.set("FOREMAN_URL", &url)
    };
    let watching = start(&town.env, town.data.path(), &["run", "octo/app"]);
    was_asked.wait_for(|asked| *asked).await.expect("the model is asked");
    let status = town.foreman(&["status", "--json"]).await;
    let id = status.json()["activeRuns"][0]["id"].as_str().expect("an active run").to_owned();
    let cancelled = town.foreman(&["cancel", &id]).await;
    assert_eq!(cancelled.code, Some(0), "{cancelled:#?}");
    let output = tokio::time::timeout(PATIENCE, watching.wait_with_output()).await;
    let output = output.expect("it ends").expect("it ran");
    let said = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(": cancelled\n"), "{said}");
    assert!(town.changes().is_empty());
}

#[tokio::test]
async fn mistakes_get_one_sentence_and_exit_code_1() {
    let folder = tempfile::tempdir().expect("a folder");
    let toml = folder.path().join("wrong.toml");
    std::fs::write(&toml, "[limits]\nnight_usd = \"ten\"\n").expect("written");
    let toml = toml.display().to_string();
    let cases: &[(&[&str], &str)] = &[
        (&["nonsense"], "unrecognized subcommand 'nonsense'"),
        (&["run"], "<OWNER/REPO>"),
        (&["run", "octo"], "not of the form OWNER/REPO"),
        (&["run", "o/r", "--budget", "-1"], "a number of USD"),
        (&["run", "o/r", "--issues", "x"], "issue numbers"),
        (&["cancel", "../etc"], "the id of a run"),
        (&["--config", &toml, "status"], "wrong.toml:2:13: "),
        (&["--config", "nowhere.toml", "plan", "o/r"], "FOREMAN_CONFIG names the file"),
        (&["--data-dir", "/dev/null/x", "run", "o/r"], "set FOREMAN_DATA_DIR"),
        (&["--data-dir", "/dev/null/x", "demo"], "set FOREMAN_DATA_DIR"),
        (&["run", "o/r"], "set GITHUB_TOKEN"),
        (&["cancel", "nobody"], "run nobody is not known"),
    ];
    let env = Env::from([
        ("FOREMAN_LOG_FORMAT".to_owned(), "human".to_owned()),
        ("PORT".to_owned(), "9".to_owned()),
    ]);
    for (args, sentence) in cases {
        let said = foreman(&env, folder.path(), args).await;
        assert_eq!(said.code, Some(1), "{args:?}: {said:#?}");
        assert!(said.err.contains(sentence) && said.out.is_empty(), "{args:?}: {said:#?}");
        assert!(!said.err.contains("panicked"), "{said:#?}");
    }
    let said = foreman(&env, folder.path(), &["--config", &toml, "status", "--json"]).await;
    assert_eq!(said.json()["code"], "configuration");
    for args in [&["--help"][..], &["help"], &["run", "--help"], &["--version"]] {
        assert_eq!(foreman(&env, folder.path(), args).await.code, Some(0), "{args:?}");
    }
    let status = foreman(&env, folder.path(), &["status"]).await;
    assert_eq!(status.code, Some(0), "{status:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_refused_with_a_sentence() {
    let town = Town::new(script(good_work), vec![]).await;
    let server = town.serve().await;
    let second = town.foreman(&["serve"]).await;
    assert_eq!(second.code, Some(1));
    let who = format!("another Foreman (process {})", server.pid());
    assert!(second.err.contains(&who), "{second:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_says_what_to_do_about_each_failure() {
    let town = Town::new(script(good_work), vec![]).await;
    let well = town.foreman(&["doctor", "octo/app"]).await;
    assert_eq!(well.code, Some(0), "{well:#?}");
    assert!(well.out.ends_with("A night can run.\n"), "{well:#?}");
    assert!(well.out.contains("may write to octo/app"), "{well:#?}");

    let cases = [
        ("GITHUB_TOKEN", None, "set GITHUB_TOKEN"),
        ("GITHUB_TOKEN", Some("ghp_wrong_0123456789"), "set GITHUB_TOKEN"),
        ("GITHUB_API_URL", Some("http://127.0.0.1:9"), "check GITHUB_API_URL"),
        ("OPENAI_API_KEY", None, "set OPENAI_API_KEY"),
        ("FOREMAN_DATA_DIR", Some("/dev/null/x"), "set FOREMAN_DATA_DIR"),
        ("OVERNIGHT_EXECUTION_ENABLED", Some("false"), "OVERNIGHT_EXECUTION_ENABLED=true"),
        ("HOST", Some("0.0.0.0"), "set FOREMAN_API_TOKEN"),
    ];
    for (name, value, advice) in cases {
        let mut env = town.env.clone();
        env.remove(name);
        env.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        let said = foreman(&env, town.data.path(), &["doctor", "octo/app", "--json"]).await;
        assert_eq!(said.code, Some(1), "{name}: {said:#?}");
        let checks = said.json();
        let fails: Vec<&Value> = checks["checks"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|it| it["level"] == "fail")
            .collect();
        assert_eq!(fails.len(), 1, "{name}: {checks:#}");
        let words = format!("{} {}", fails[0]["found"], fails[0]["advice"]);
        assert!(words.contains(advice), "{name}: {words}");
        assert!(!words.contains("ghp_wrong"), "{words}");
    }
    let elsewhere = town.foreman(&["doctor", "octo/nothing"]).await;
    assert_eq!(elsewhere.code, Some(1));
    assert!(elsewhere.out.contains("the repository does not exist"), "{elsewhere:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_wrote_does_not_steer_the_terminal() {
    let title = "Red \u{1b}[31m title";
    let refused = script(|input| acts(input, vec![run_command("rm tests/base.sh")]));
    let town = Town::new(refused, vec![issue(title)]).await;
    for args in [&["plan", "octo/app"][..], &["run", "octo/app"], &["status"]] {
        let said = town.foreman(args).await;
        assert!(said.out.contains("title") && !said.out.contains('\u{1b}'), "{said:#?}");
    }
}

/// The longest story here: the whole demo, as README's first command runs it.
#[tokio::test(flavor = "multi_thread")]
async fn the_demo_shows_what_a_night_can_meet_and_stays_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let env = Env::from([("PORT".to_owned(), "0".to_owned())]);
    let mut child = start(&env, folder.path(), &["demo", "--serve"]);
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut said = String::new();
    let mut curl = None;
    while let Ok(Ok(Some(line))) = tokio::time::timeout(PATIENCE, lines.next_line()).await {
        said.push_str(&line);
        said.push('\n');
        curl = line.trim().strip_prefix("curl ").map(str::to_owned).or(curl);
        if line.contains("--data-dir second run octo-shop/tally") {
            break;
        }
    }
    for shown in [
        "the model is scripted",
        "The plan for octo-shop/tally",
        "6 of 9 open issues would be worked on",
        "#4 ✗  did not pass",
        "#4 ✓  passed every check",
        "(stacked on #1)",
        "(stacked on #2)",
        "the test `the_mean_is_towards_zero` was deleted",
        "failing tests: `sums_add_up`",
        "author `passer-by` is NONE",
        "in a dependency cycle with #9",
        "4 succeeded, 2 failed, 3 skipped",
        "export GITHUB_API_URL=http://127.0.0.1:",
        "export OPENAI_BASE_URL=http://127.0.0.1:",
    ] {
        assert!(said.contains(shown), "{shown} is not in:\n{said}");
    }
    let url = curl.expect("an address to look at");
    let answer = reached(&url).await;
    assert_eq!(answer["run"]["status"], "partial", "{answer:#}");
    interrupt(&child);
    let status = tokio::time::timeout(PATIENCE, child.wait()).await.expect("it ends");
    let mut err = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut err).await.expect("text");
    assert_eq!(status.expect("a status").code(), Some(0), "{err}");
    assert_eq!(err, "");
}

/// The address is said just before it is served.
async fn reached(url: &str) -> Value {
    foreman::models::Models::new().expect("a TLS provider");
    let client = reqwest::Client::new();
    let begun = std::time::Instant::now();
    loop {
        match client.get(url).send().await {
            Ok(answer) => return answer.json().await.expect("JSON"),
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_keeps_to_its_bound_while_github_says_nothing() {
    use foreman::demo::github::{Fault, FaultKind};
    let town = Town::new(script(good_work), vec![issue("Anything")])
        .await
        .set("FOREMAN_SHUTDOWN_SECONDS", "4");
    town.github.fail_next(Fault::on("POST", "/pulls$", FaultKind::Hang { processed: false }));
    let child = start(&town.env, town.data.path(), &["run", "octo/app"]);
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    while town.github.faults_left() > 0 {
        tick.tick().await;
    }
    let begun = std::time::Instant::now();
    interrupt(&child);
    let ended = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    let output = ended.expect("it ends").expect("it ran");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?} {output:?}");
    // The next start goes on with it, and opens the one pull request.
    let said = town.foreman(&["run", "octo/app"]).await;
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert_eq!(
        town.changes(),
        ["PUSH refs/heads/foreman/issue-1", "POST /pulls", "POST /issues/1/comments"]
    );
}
