//! The recipes of docs/deploy, as far as a machine without them can prove them: the unit read by
//! systemd, Vercel's function run by node against a real Foreman.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{Town, good_work, issue, script};

fn recipe(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/deploy").join(name)
}

#[tokio::test]
async fn systemd_knows_every_line_of_the_unit() {
    let folder = tempfile::tempdir().expect("a folder");
    let unit = std::fs::read_to_string(recipe("foreman.service")).expect("the unit");
    // Here are neither the binary nor the user.
    let unit = unit
        .replace("/usr/local/bin/foreman", "/bin/true")
        .replace("User=foreman", "User=root")
        .replace("Group=foreman", "Group=root");
    let verify = async |text: &str| {
        let file = folder.path().join("foreman.service");
        std::fs::write(&file, text).expect("written");
        Command::new("systemd-analyze").arg("verify").arg(&file).output().await
    };
    let Ok(output) = verify(&unit).await else {
        eprintln!("SKIPPED: this machine has no systemd-analyze");
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !said.contains("foreman.service"), "{said}");
    let wrong = verify(&unit.replace("LockPersonality=", "LokPersonality=")).await.expect("it ran");
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("LokPersonality"), "it sees a mistake");
}

/// Vercel's cron, as its function meets it: the answer's status and body.
async fn cron(url: &str, token: &str, authorization: Option<&str>) -> Option<(u64, Value)> {
    let script = "const { GET } = await import(process.argv[1]); \
        const headers = process.env.GIVEN ? { authorization: process.env.GIVEN } : {}; \
        const answer = await GET(new Request('http://front/api/night', { headers })); \
        console.log(JSON.stringify({ status: answer.status, body: await answer.json() }));";
    let output = Command::new("node")
        .args(["--input-type=module", "-e", script, "--"])
        .arg(recipe("vercel/api/night.mjs"))
        .env("CRON_SECRET", "the-secret-of-the-cron")
        .env("FOREMAN_URL", url)
        .env("FOREMAN_API_TOKEN", token)
        .env("FOREMAN_REPOSITORY", "octo/app")
        .env("GIVEN", authorization.unwrap_or_default())
        .stdin(Stdio::null())
        .output()
        .await
        .ok()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let said: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    Some((said["status"].as_u64().expect("a status"), said["body"].clone()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cron_at_vercel_starts_one_night_a_day_for_who_has_its_secret() {
    let token = "token-of-the-cron-0123456789";
    let town = Town::new(script(good_work), vec![issue("Anything")])
        .await
        .set("FOREMAN_API_TOKEN", &format!("cron:operator:{token}"))
        .set("FOREMAN_BASE_PATH", "/foreman");
    let server = town.serve().await;
    let url = format!("{}/foreman/", server.url);
    for wrong in [None, Some("Bearer the-secret-of-the-crow"), Some("the-secret-of-the-cron")] {
        match cron(&url, token, wrong).await {
            Some((status, body)) => assert_eq!(status, 401, "{wrong:?}: {body}"),
            None => return eprintln!("SKIPPED: this machine has no node"),
        }
    }
    let right = Some("Bearer the-secret-of-the-cron");
    let (status, first) = cron(&url, token, right).await.expect("node is there");
    assert_eq!(status, 202, "{first}");
    let (_, again) = cron(&url, token, right).await.expect("node is there");
    assert_eq!(again["run"]["id"], first["run"]["id"], "a cron that fires twice starts one night");
    let runs = server.request("GET", "/api/foreman/overnight/runs").bearer_auth(token);
    let runs = server.send(runs).await.json["runs"].clone();
    assert_eq!(runs.as_array().map(Vec::len), Some(1), "{runs:#}");

    let vercel: Value =
        serde_json::from_str(&std::fs::read_to_string(recipe("vercel/vercel.json")).expect("it"))
            .expect("JSON");
    assert_eq!(vercel["crons"], json!([{ "path": "/api/night", "schedule": "0 2 * * *" }]));
    assert!(
        vercel["rewrites"][0]["destination"].as_str().is_some_and(|it| it.contains("/foreman/"))
    );
}

/// What a first night is tried against.
#[tokio::test]
async fn the_stand_ins_alone_stay_up_and_say_where_they_are() {
    use tokio::io::AsyncBufReadExt as _;
    foreman::models::Models::new().expect("a TLS provider");
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = Command::new(env!("CARGO_BIN_EXE_foreman"))
        .args(["demo", "--stand-ins", "--json"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    let mut lines = tokio::io::BufReader::new(child.stdout.take().expect("piped")).lines();
    let line = lines.next_line().await.expect("read").expect("a line");
    let said: Value = serde_json::from_str(&line).expect("JSON");
    let said = |key: &str| said["serving"][key].as_str().expect("a place").to_owned();
    let asked = reqwest::Client::new()
        .get(format!("{}repos/{}", said("githubApiUrl"), said("repository")))
        // As strict as GitHub: who says no name is refused.
        .header("user-agent", "a-story")
        .bearer_auth(said("githubToken"));
    assert_eq!(asked.send().await.expect("an answer").status(), 200);
    assert!(said("openaiBaseUrl").ends_with("/v1"));
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    let pid = pid.and_then(rustix::process::Pid::from_raw).expect("it runs");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("signalled");
    assert_eq!(child.wait().await.expect("it ends").code(), Some(0));
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "nothing is left");
}
