//! Behind the real nginx and the real Caddy, with the recipes that `docs/deploy/` ships: a path
//! prefix, the client's own address, long requests, events as they come, bodies that are too large.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::support::{Server, Town, body, good_work, issue, script};

const TOKEN: &str = "tok_behind_a_proxy_0123456789";

/// A proxy in front of a Foreman.
struct Front {
    url: String,
    // Ends with the story.
    _child: Child,
    _folder: tempfile::TempDir,
}

fn recipe(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/deploy").join(name);
    std::fs::read_to_string(path).expect("a recipe")
}

/// The program, where the machine has it; CI always does.
fn program(name: &str) -> Option<PathBuf> {
    let found = ["/usr/sbin", "/usr/bin", "/usr/local/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.is_file());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{name} is not installed: .ci/run installs it");
        eprintln!("SKIPPED: {name} is not installed");
    }
    found
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

async fn start(mut command: Command, port: u16, folder: tempfile::TempDir) -> Front {
    let log = std::fs::File::create(folder.path().join("proxy.log")).expect("a log");
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::from(log))
        .kill_on_drop(true)
        .spawn()
        .expect("the proxy starts");
    let begun = Instant::now();
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        let said = std::fs::read_to_string(folder.path().join("proxy.log")).unwrap_or_default();
        assert!(begun.elapsed() < Duration::from_secs(30), "the proxy does not listen:\n{said}");
        tokio::task::yield_now().await;
    }
    Front { url: format!("http://127.0.0.1:{port}"), _child: child, _folder: folder }
}

async fn nginx(upstream: &str) -> Option<Front> {
    let program = program("nginx")?;
    let (port, folder) = (free_port(), tempfile::tempdir().expect("a folder"));
    let here = folder.path().display();
    let location = recipe("nginx.conf").replace("http://127.0.0.1:3000", upstream);
    let config = format!(
        "daemon off; master_process off; pid {here}/pid; error_log stderr;\n\
         events {{}}\n\
         http {{ access_log off; client_body_temp_path {here}/body; proxy_temp_path {here}/proxy; \
         fastcgi_temp_path {here}/f; uwsgi_temp_path {here}/u; scgi_temp_path {here}/s;\n\
         server {{ listen 127.0.0.1:{port};\n{location}}} }}\n"
    );
    let file = folder.path().join("nginx.conf");
    std::fs::write(&file, config).expect("written");
    let mut command = Command::new(program);
    command.arg("-c").arg(&file).arg("-p").arg(folder.path());
    Some(start(command, port, folder).await)
}

async fn caddy(upstream: &str) -> Option<Front> {
    let program = program("caddy")?;
    let (port, folder) = (free_port(), tempfile::tempdir().expect("a folder"));
    // Plain HTTP here: TLS is Caddy's own matter.
    let site = recipe("Caddyfile")
        .replace("foreman.example.org", &format!("http://127.0.0.1:{port}"))
        .replace("127.0.0.1:3000", upstream.trim_start_matches("http://"));
    let file = folder.path().join("Caddyfile");
    std::fs::write(&file, format!("{{\n\tadmin off\n}}\n{site}")).expect("written");
    let mut command = Command::new(program);
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&file);
    command.env("XDG_DATA_HOME", folder.path()).env("XDG_CONFIG_HOME", folder.path());
    Some(start(command, port, folder).await)
}

async fn foreman(town: &Town) -> Server {
    let file = "[server]\ntrusted_proxies = [\"127.0.0.1\"]\n";
    std::fs::write(town.data.path().join("foreman.toml"), file).expect("written");
    let mut env = town.env.clone();
    for (name, value) in [("FOREMAN_BASE_PATH", "/foreman"), ("FOREMAN_API_TOKEN", TOKEN)] {
        env.insert(name.to_owned(), value.to_owned());
    }
    Server::start(&env, town.data.path()).await
}

/// What a person does through the proxy in a night.
async fn a_night_through(front: &Front, server: &Server) {
    let client = reqwest::Client::new();
    let root = format!("{}/foreman", front.url);
    let nobody = client.get(format!("{root}/api/foreman/overnight")).send().await;
    let nobody = nobody.expect("an answer");
    assert_eq!(nobody.status(), 401);
    assert!(nobody.headers().contains_key("x-request-id"));
    let alive = client.get(format!("{root}/healthz")).send().await.expect("an answer");
    assert_eq!(alive.status(), 200);

    let start = client
        .post(format!("{root}/api/foreman/overnight"))
        .bearer_auth(TOKEN)
        .header("x-forwarded-for", "198.51.100.7")
        .json(&body());
    let started = start.send().await.expect("an answer");
    assert_eq!(started.status(), 202);
    let location = started.headers()["location"].to_str().expect("text").to_owned();
    assert!(location.starts_with("/foreman/api/foreman/overnight/runs/"), "{location}");
    let id = location.rsplit('/').next().expect("an id").to_owned();

    // The stream comes piece by piece: the first event is here long before the last.
    let events = format!("{}{location}/events", front.url);
    let mut stream = client.get(events).bearer_auth(TOKEN).send().await.expect("a stream");
    assert_eq!(stream.status(), 200);
    let first = stream.chunk().await.expect("read").expect("a piece");
    assert!(!String::from_utf8_lossy(&first).contains("overnight_execution_completed"));
    let mut text = String::from_utf8_lossy(&first).into_owned();
    while let Some(piece) = stream.chunk().await.expect("read") {
        text.push_str(&String::from_utf8_lossy(&piece));
    }
    assert!(text.contains("overnight_execution_completed"), "{text}");

    let run = client.get(format!("{}{location}", front.url)).bearer_auth(TOKEN);
    let run: Value = run.send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!((&run["run"]["id"], &run["run"]["status"]), (&json!(id), &json!("completed")));

    let large = client
        .post(format!("{root}/api/foreman/overnight"))
        .bearer_auth(TOKEN)
        .body(vec![b' '; (1 << 20) + 1]);
    assert_eq!(large.send().await.expect("an answer").status(), 413);

    let told = server.log();
    assert!(!told.contains(TOKEN), "the token is in the log");
    assert!(told.contains("\"client\":\"127.0.0.1\""), "{told}");
}

/// Who sits before the proxy may say what he likes; it replaces or follows it, and we believe the
/// proxy alone.
async fn nobody_forges_an_address(front: &Front, server: &Server) {
    let asked = reqwest::Client::new()
        .get(format!("{}/foreman/api/foreman/overnight/runs", front.url))
        .bearer_auth(TOKEN)
        .header("x-forwarded-for", "6.6.6.6");
    assert_eq!(asked.send().await.expect("an answer").status(), 200);
    assert!(!server.log().contains("\"client\":\"6.6.6.6\""), "a forged address is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_behind_nginx() {
    let town = Town::new(script(good_work), vec![issue("Anything")]).await;
    let server = foreman(&town).await;
    let Some(front) = nginx(&server.url).await else { return };
    a_night_through(&front, &server).await;
    nobody_forges_an_address(&front, &server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_behind_caddy() {
    let town = Town::new(script(good_work), vec![issue("Anything")]).await;
    let server = foreman(&town).await;
    let Some(front) = caddy(&server.url).await else { return };
    a_night_through(&front, &server).await;
    nobody_forges_an_address(&front, &server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_a_proxy_is_told_what_is_missing() {
    let town = Town::new(script(good_work), vec![issue("Anything")]).await;
    let server = town.serve().await;
    let Some(front) = nginx(&server.url).await else { return };
    let answer = reqwest::get(format!("{}/foreman/api/foreman/overnight", front.url)).await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), 403);
    let told: Value = answer.json().await.expect("JSON");
    assert_eq!(told["code"], "proxied");
    assert!(told["error"].as_str().is_some_and(|it| it.contains("FOREMAN_API_TOKEN")), "{told}");
}
