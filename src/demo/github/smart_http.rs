//! Git over HTTP: `git http-backend` as a CGI program, behind the stand-in's tokens.
//!
//! Owns authentication of git requests, the streaming to and from the program, and the record of
//! what a push moved. The program runs with an empty environment.

use std::collections::BTreeMap;
use std::io;
use std::process::Stdio;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio_util::io::ReaderStream;

use super::faults::Effect;
use super::origin::{Origin, git_environment};
use super::server::{Shared, bearer, with_headers};
use super::state::Role;

/// What a git request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    /// Lower-case `owner/name`.
    pub key: String,
    /// `/info/refs`, `/git-upload-pack` or `/git-receive-pack`.
    pub rest: &'static str,
}

/// Reads a git request's path: `/owner/name.git/info/refs`, with or without `/git` in front.
pub(super) fn service(path: &str) -> Option<Service> {
    let known = ["/info/refs", "/git-upload-pack", "/git-receive-pack"];
    let rest = known.into_iter().find(|rest| path.ends_with(rest))?;
    let name = path.strip_suffix(rest)?;
    let name = name.strip_prefix("/git/").unwrap_or_else(|| name.trim_start_matches('/'));
    let (owner, repo) = name.split_once('/')?;
    let repo = repo.strip_suffix(".git").unwrap_or(repo);
    if repo.contains('/') || owner == "repos" {
        return None;
    }
    Some(Service { key: format!("{owner}/{repo}").to_ascii_lowercase(), rest })
}

pub(super) async fn serve(
    shared: &Arc<Shared>,
    request: axum::extract::Request,
    answered: bool,
) -> Response {
    let Some(service) = service(request.uri().path()) else {
        return plain(StatusCode::NOT_FOUND, "no such service");
    };
    let writes = service.rest == "/git-receive-pack"
        || request.uri().query().is_some_and(|query| query.contains("git-receive-pack"));
    let (origin, actor) = match admit(shared, &service.key, request.headers(), writes) {
        Ok(admitted) => admitted,
        Err(refused) => return *refused,
    };
    let outcome = if service.rest == "/git-receive-pack" {
        receive(shared, &service, &origin, &actor, request, answered).await
    } else {
        converse(&service, &origin, &actor, request).await
    };
    outcome.unwrap_or_else(|error| {
        plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("git http-backend: {error}"))
    })
}

/// Whether this token may fetch from or push to this repository. Like a private repository on
/// GitHub, every one asks for a token: a clone without it must fail.
fn admit(
    shared: &Shared,
    key: &str,
    headers: &HeaderMap,
    writes: bool,
) -> Result<(Origin, String), Box<Response>> {
    let mut state = shared.state();
    state.compressed += usize::from(headers.contains_key(header::CONTENT_ENCODING));
    let refused = |status, message: &str| Err(Box::new(plain(status, message)));
    let login = bearer(headers).and_then(|token| state.tokens.get(&token).cloned());
    let Some(login) = login else {
        let mut response = plain(StatusCode::UNAUTHORIZED, "Authentication required");
        let basic = HeaderValue::from_static("Basic realm=\"GitHub\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
        return Err(Box::new(response));
    };
    let Some(repo) = state.repos.get(key) else {
        return refused(StatusCode::NOT_FOUND, "Repository not found.");
    };
    match repo.role(&login) {
        None if repo.private => refused(StatusCode::NOT_FOUND, "Repository not found."),
        role if writes && role.is_none_or(|role| role < Role::Write) => {
            refused(StatusCode::FORBIDDEN, "Write access to repository not granted.")
        }
        _ => Ok((repo.origin.clone(), login)),
    }
}

/// A fetch, streamed both ways.
async fn converse(
    service: &Service,
    origin: &Origin,
    actor: &str,
    request: axum::extract::Request,
) -> io::Result<Response> {
    let mut backend = Backend::start(service, origin, actor, &request)?;
    tokio::spawn(feed(backend.stdin.take(), request.into_body()));
    let (status, headers) = backend.read_head().await?;
    // The child lives as long as the stream that reads from it.
    let Backend { child, stdout, .. } = backend;
    let stream = ReaderStream::new(stdout).map(move |chunk| {
        let _alive = &child;
        chunk
    });
    Ok(answer(status, headers, Body::from_stream(stream)))
}

/// A push: runs to its end, then writes down which refs moved.
async fn receive(
    shared: &Arc<Shared>,
    service: &Service,
    origin: &Origin,
    actor: &str,
    request: axum::extract::Request,
    answered: bool,
) -> io::Result<Response> {
    let _one_at_a_time = shared.pushing.lock().await;
    let before = origin.refs("refs/");
    let mut backend = Backend::start(service, origin, actor, &request)?;
    let feeding = tokio::spawn(feed(backend.stdin.take(), request.into_body()));
    let (status, headers) = backend.read_head().await?;
    let mut body = Vec::new();
    backend.stdout.read_to_end(&mut body).await?;
    feeding.await.map_err(io::Error::other)?;
    backend.child.wait().await?;
    note_moved(shared, service, &before, &origin.refs("refs/"), actor, answered);
    Ok(answer(status, headers, Body::from(body)))
}

fn note_moved(
    shared: &Shared,
    service: &Service,
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
    actor: &str,
    answered: bool,
) {
    let mut state = shared.state();
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        let (old, new) = (before.get(name), after.get(name));
        if old != new {
            state.effects.push(Effect {
                method: "PUSH".to_owned(),
                path: format!("/{}.git {name}", service.key),
                body: json!({ "old": old, "new": new }),
                status: 200,
                processed: true,
                answered,
                actor: Some(actor.to_owned()),
            });
        }
    }
    let now = state.now();
    if let Some(repo) = state.repos.get_mut(&service.key) {
        repo.follow_branches(now);
    }
}

struct Backend {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Backend {
    fn start(
        service: &Service,
        origin: &Origin,
        actor: &str,
        request: &axum::extract::Request,
    ) -> io::Result<Self> {
        let text = |name: &str| {
            request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        let mut command = Command::new("git");
        command
            .arg("http-backend")
            .env_clear()
            .envs(git_environment())
            .env("GATEWAY_INTERFACE", "CGI/1.1")
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("PATH_TRANSLATED", format!("{}{}", origin.bare.display(), service.rest))
            .env("REQUEST_METHOD", request.method().as_str())
            .env("QUERY_STRING", request.uri().query().unwrap_or_default())
            .env("CONTENT_TYPE", text("content-type"))
            .env("GIT_PROTOCOL", text("git-protocol"))
            .env("REMOTE_USER", actor)
            .env("REMOTE_ADDR", "127.0.0.1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        // Without a length (chunked) the program reads to the end of its input; of a compressed
        // body the length is the compressed one, and the program unpacks it.
        for (variable, name) in
            [("CONTENT_LENGTH", "content-length"), ("HTTP_CONTENT_ENCODING", "content-encoding")]
        {
            if !text(name).is_empty() {
                command.env(variable, text(name));
            }
        }
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
        Ok(Self { child, stdin, stdout: BufReader::new(stdout) })
    }

    /// The CGI headers, up to the empty line.
    async fn read_head(&mut self) -> io::Result<(StatusCode, Vec<(String, String)>)> {
        let (mut status, mut headers) = (StatusCode::OK, Vec::new());
        loop {
            let mut line = String::new();
            if self.stdout.read_line(&mut line).await? == 0 {
                return Err(io::Error::other("it ended before its headers did"));
            }
            let line = line.trim_end();
            if line.is_empty() {
                return Ok((status, headers));
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            if name.eq_ignore_ascii_case("status") {
                let code = value.trim().get(..3).unwrap_or_default();
                status = code.parse().unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            } else {
                headers.push((name.to_owned(), value.trim().to_owned()));
            }
        }
    }
}

/// Passes a request's body on and closes the program's input.
async fn feed(stdin: Option<ChildStdin>, body: Body) {
    let Some(mut stdin) = stdin else { return };
    let mut chunks = body.into_data_stream();
    while let Some(Ok(chunk)) = chunks.next().await {
        // A program that ended early has said why on its output.
        if stdin.write_all(&chunk).await.is_err() {
            return;
        }
    }
}

fn answer(status: StatusCode, headers: Vec<(String, String)>, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    with_headers(response, headers)
}

fn plain(status: StatusCode, message: &str) -> Response {
    let mut response = Response::new(Body::from(format!("{message}\n")));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_paths_are_told_from_the_api() {
        let key = |path: &str| service(path).map(|service| service.key);
        assert_eq!(key("/Octo/App.git/info/refs").as_deref(), Some("octo/app"));
        assert_eq!(key("/git/octo/app.git/git-receive-pack").as_deref(), Some("octo/app"));
        assert_eq!(key("/octo/app/git-upload-pack").as_deref(), Some("octo/app"));
        assert_eq!(key("/repos/octo/app/info/refs"), None);
        assert_eq!(key("/octo/app"), None);
    }
}
