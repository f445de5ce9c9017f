//! The real binary as a child process: started, asked over HTTP, stopped or killed.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const FOREMAN: &str = env!("CARGO_BIN_EXE_foreman");

/// Longest a story waits for anything; a test that reaches it fails.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Server {
    child: Child,
    pub url: String,
    log: Arc<Mutex<Vec<String>>>,
    client: reqwest::Client,
}

/// A status and a JSON body.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub json: Value,
    pub text: String,
}

impl Server {
    /// Starts `foreman serve` with just this environment and waits until it listens.
    pub async fn start(env: &BTreeMap<String, String>, cwd: &Path) -> Self {
        Self::listening(Command::new(FOREMAN), env, cwd).await
    }

    /// The same with a small disk of its own at `disk`, which nobody else sees but below
    /// `/proc/<pid>/root`.
    pub async fn start_on_a_disk(
        env: &BTreeMap<String, String>,
        cwd: &Path,
        disk: &Path,
        bytes: u32,
    ) -> Self {
        let mut command = Command::new("bwrap");
        command.args([
            "--die-with-parent",
            "--dev-bind",
            "/",
            "/",
            "--size",
            &bytes.to_string(),
            "--tmpfs",
        ]);
        command.arg(disk).args(["--", FOREMAN]);
        Self::listening(command, env, cwd).await
    }

    async fn listening(command: Command, env: &BTreeMap<String, String>, cwd: &Path) -> Self {
        let (child, log, address) = spawn(command, env, cwd).await;
        let url = address.unwrap_or_else(|| {
            panic!("foreman did not start:\n{}", log.lock().expect("log").join("\n"))
        });
        foreman::models::Models::new().expect("a TLS provider");
        Self { child, url, log, client: reqwest::Client::new() }
    }

    /// Starts it where it is expected to stop by itself; its exit code and standard error.
    pub async fn start_and_fail(
        env: &BTreeMap<String, String>,
        cwd: &Path,
    ) -> (Option<i32>, String) {
        let (mut child, log, address) = spawn(Command::new(FOREMAN), env, cwd).await;
        assert!(address.is_none(), "it started although it should not have");
        let status = child.wait().await.expect("it ends");
        let text = log.lock().expect("log").join("\n");
        (status.code(), text)
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    pub fn log(&self) -> String {
        self.log.lock().expect("log").join("\n")
    }

    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().expect("a method");
        self.client.request(method, format!("{}{path}", self.url)).timeout(PATIENCE)
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("a body");
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status, headers, json, text }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request("POST", path).json(body)).await
    }

    /// POSTs a night and says its id.
    pub async fn begin(&self, body: &Value) -> String {
        let answer = self.post("/api/foreman/overnight", body).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        answer.json["run"]["id"].as_str().expect("an id").to_owned()
    }

    /// The run once it has ended. Follows its event stream, which ends with the run.
    pub async fn ended(&self, id: &str) -> Value {
        let begun = Instant::now();
        loop {
            let path = format!("/api/foreman/overnight/runs/{id}");
            let events = self.request("GET", &format!("{path}/events")).send().await;
            if let Ok(events) = events {
                events.text().await.ok();
            }
            let run = self.get(&path).await.json["run"].clone();
            let status = run["status"].as_str().unwrap_or_default();
            if !["queued", "running"].contains(&status) {
                return run;
            }
            assert!(begun.elapsed() < PATIENCE, "the night does not end:\n{}", self.log());
        }
    }

    /// A whole night.
    pub async fn night(&self, config: &Value) -> Value {
        let mut body = super::body();
        if !config.is_null() {
            body["config"] = config.clone();
        }
        let id = self.begin(&body).await;
        self.ended(&id).await
    }

    /// Waits until the process has died by itself (a failpoint).
    pub async fn died(&mut self) {
        tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .unwrap_or_else(|_| {
                panic!("it did not die:\n{}", self.log.lock().expect("log").join("\n"))
            })
            .expect("a status");
    }

    /// `kill -9`, as a power cut would.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("killed");
    }

    /// SIGTERM; its exit code and how long it took.
    pub async fn terminate(mut self) -> (Option<i32>, Duration) {
        let begun = Instant::now();
        let pid = rustix::process::Pid::from_raw(self.pid().try_into().expect("a pid"));
        rustix::process::kill_process(pid.expect("a pid"), rustix::process::Signal::TERM)
            .expect("signalled");
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        (status.expect("it ends").expect("a status").code(), begun.elapsed())
    }

    /// Events of a run as the governance log has them, oldest first: their types.
    pub async fn event_types(&self, run: &str) -> Vec<String> {
        let path = format!("/api/foreman/governance/events?runId={run}&limit=1000");
        let answer = self.get(&path).await;
        let mut types: Vec<String> = answer.json["events"]
            .as_array()
            .expect("events")
            .iter()
            .map(|event| event["type"].as_str().expect("a type").to_owned())
            .collect();
        types.reverse();
        types
    }
}

async fn spawn(
    mut command: Command,
    env: &BTreeMap<String, String>,
    cwd: &Path,
) -> (Child, Arc<Mutex<Vec<String>>>, Option<String>) {
    let mut child = command
        .arg("serve")
        .env_clear()
        .envs(env)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", std::env::var_os("HOME").unwrap_or_default())
        .current_dir(cwd)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary starts");
    let log = Arc::new(Mutex::new(Vec::new()));
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let mut address = None;
    while let Ok(Ok(Some(line))) = tokio::time::timeout(PATIENCE, lines.next_line()).await {
        let parsed: Value = serde_json::from_str(&line).unwrap_or(json!({}));
        log.lock().expect("log").push(line);
        if let Some(found) = parsed["address"].as_str() {
            address = Some(format!("http://{found}"));
            break;
        }
    }
    if address.is_some() {
        let sink = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                sink.lock().expect("log").push(line);
            }
        });
    }
    (child, log, address)
}
