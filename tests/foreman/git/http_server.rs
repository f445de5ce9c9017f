//! A small git server for tests: basic auth in front of `git http-backend`.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use tokio::io::AsyncWriteExt;

/// What the machine's other processes showed while git waited for an answer.
#[derive(Default)]
pub struct Seen {
    /// Command lines that name our server, as the proof that we looked at the right time.
    pub command_lines: Vec<String>,
    pub token_in_command_lines: Vec<String>,
    /// Programs with the token in their environment.
    pub token_holders: Vec<String>,
    pub paths: Vec<String>,
}

#[derive(Clone)]
pub struct GitServer {
    root: PathBuf,
    token: &'static str,
    pub address: std::net::SocketAddr,
    pub seen: Arc<Mutex<Seen>>,
    /// Done once, when a push begins: after the pusher looked, before it is told the branches.
    pub before_push: Arc<Mutex<Option<Deed>>>,
}

pub type Deed = Box<dyn FnOnce() + Send>;

impl GitServer {
    /// Serves the bare repositories below `root`.
    pub async fn start(root: PathBuf, token: &'static str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("an address");
        let server =
            Self { root, token, address, seen: Arc::default(), before_push: Arc::default() };
        let app = axum::Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        server
    }

    fn look_around(&self, path: &str) {
        let mut seen = self.seen.lock().expect("not poisoned");
        seen.paths.push(path.to_owned());
        for entry in std::fs::read_dir("/proc").expect("proc").flatten() {
            let own = entry.file_name().to_string_lossy() == std::process::id().to_string();
            if own || !entry.file_name().as_encoded_bytes()[0].is_ascii_digit() {
                continue;
            }
            let read = |what: &str| {
                let bytes = std::fs::read(entry.path().join(what)).unwrap_or_default();
                String::from_utf8_lossy(&bytes).replace('\0', " ")
            };
            let line = read("cmdline");
            if line.contains(self.token) {
                seen.token_in_command_lines.push(line.clone());
            }
            if line.contains(&self.address.to_string()) {
                seen.command_lines.push(line);
            }
            if read("environ").contains(self.token) {
                seen.token_holders.push(read("comm").trim().to_owned());
            }
        }
    }
}

async fn answer(
    State(server): State<GitServer>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    server.look_around(uri.path());
    if uri.query() == Some("service=git-receive-pack")
        && let Some(deed) = server.before_push.lock().expect("not poisoned").take()
    {
        deed();
    }
    let login = format!("x-access-token:{}", server.token);
    let expected = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(login));
    if uri.path().starts_with("/moved/") {
        // Another host name for the same server: the credential must not follow.
        let there = uri.to_string().replacen("/moved", "", 1);
        let location = format!("http://localhost:{}{there}", server.address.port());
        return (StatusCode::FOUND, [(header::LOCATION, location)]).into_response();
    }
    if headers
        .get(header::AUTHORIZATION)
        .is_none_or(|given| given.as_bytes() != expected.as_bytes())
    {
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=git")])
            .into_response();
    }
    backend(&server, &method, &uri, &headers, &body).await
}

async fn backend(
    server: &GitServer,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &Bytes,
) -> Response {
    let header =
        |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
    let mut child = tokio::process::Command::new("git")
        .arg("http-backend")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").expect("PATH"))
        .env("GIT_PROJECT_ROOT", &server.root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("REMOTE_USER", "someone")
        .env("PATH_INFO", uri.path())
        .env("QUERY_STRING", uri.query().unwrap_or(""))
        .env("REQUEST_METHOD", method.as_str())
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("git http-backend starts");
    let mut stdin = child.stdin.take().expect("piped");
    let input = body.clone();
    tokio::spawn(async move { stdin.write_all(&input).await });
    let output = child.wait_with_output().await.expect("git http-backend ends").stdout;
    let split = output.windows(4).position(|four| four == b"\r\n\r\n").expect("headers");
    let mut response = Response::builder();
    for line in String::from_utf8_lossy(&output[..split]).lines() {
        let (name, value) = line.split_once(": ").expect("a header");
        response = match name {
            "Status" => response.status(&value[..3]),
            _ => response.header(name, value),
        };
    }
    response.body(output[split + 4..].to_vec().into()).expect("a response")
}
