//! The stand-in's server: takes a request apart, meets faults, answers, writes the effect down.
//!
//! Owns authentication and the effect log's order. Never decides what a route answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::extract::{ConnectInfo, State as Shares};
use axum::response::Response;
use base64::Engine as _;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::Value;

use super::api::{self, Refusal, Reply, Request};
use super::connection::Scissors;
use super::faults::{Effect, FaultKind, take};
use super::pages;
use super::smart_http;
use super::state::State;

/// Bytes of an API request's body: more than GitHub takes.
const LARGEST_BODY: usize = 8 << 20;

pub(super) struct Shared {
    pub state: Mutex<State>,
    /// `http://127.0.0.1:PORT`
    pub root: String,
    /// Pushes one at a time, so that what each moved can be told.
    pub pushing: tokio::sync::Mutex<()>,
}

impl Shared {
    pub fn state(&self) -> MutexGuard<'_, State> {
        // A panicking test still wants to look at the state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) async fn handle(
    Shares(shared): Shares<Arc<Shared>>,
    ConnectInfo(scissors): ConnectInfo<Scissors>,
    request: axum::extract::Request,
) -> Response {
    let method = request.method().as_str().to_owned();
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let fault = {
        let mut state = shared.state();
        state.requests.push((method.clone(), target.clone()));
        take(&mut state.faults, &method, &target)
    };
    let is_git = smart_http::service(request.uri().path()).is_some();
    let response = match &fault {
        Some(FaultKind::Status { status, headers, message }) => {
            let mut reply = Refusal::new(*status, message).into_reply();
            reply.headers.extend(headers.iter().cloned());
            note_unprocessed(&shared, &method, request, *status).await;
            respond(reply)
        }
        Some(FaultKind::Drop) => {
            note_unprocessed(&shared, &method, request, 0).await;
            scissors.cut();
            Response::default()
        }
        Some(FaultKind::Hang { processed: false }) => {
            note_unprocessed(&shared, &method, request, 0).await;
            std::future::pending().await
        }
        Some(
            FaultKind::LoseReply | FaultKind::Hang { processed: true } | FaultKind::Headers(_),
        )
        | None => {
            let lose = matches!(fault, Some(FaultKind::LoseReply | FaultKind::Hang { .. }));
            if is_git {
                // One connection each: on one that was used before, git's curl would repeat a
                // request whose reply is lost, and a lost push would heal itself.
                let close = vec![("connection".to_owned(), "close".to_owned())];
                with_headers(smart_http::serve(&shared, request, !lose).await, close)
            } else {
                respond(serve_api(&shared, &method, request, !lose).await)
            }
        }
    };
    match fault {
        Some(FaultKind::LoseReply) => {
            scissors.cut();
            response
        }
        Some(FaultKind::Headers(headers)) => with_headers(response, headers),
        Some(FaultKind::Hang { .. }) => std::future::pending().await,
        Some(FaultKind::Status { .. } | FaultKind::Drop) | None => response,
    }
}

async fn serve_api(
    shared: &Shared,
    method: &str,
    request: axum::extract::Request,
    answered: bool,
) -> Reply {
    let (parts, body) = request.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, LARGEST_BODY).await else {
        return Refusal::new(413, "Payload too large").into_reply();
    };
    let mut state = shared.state();
    let path = parts.uri.path();
    let bearer = bearer(&parts.headers);
    let caller = bearer.as_ref().and_then(|token| state.tokens.get(token).cloned());
    let body = serde_json::from_slice(&bytes);
    let request = Request {
        method,
        path,
        segments: segments(path.strip_prefix("/api/v3").unwrap_or(path)),
        query: query(parts.uri.query().unwrap_or_default()),
        body: body.as_ref().map_or(Value::Null, Value::clone),
        caller: caller.clone(),
        bearer: bearer.clone(),
        root: &shared.root,
    };
    if let Some(page) = pages::page(&state, &request) {
        let html = vec![("content-type".to_owned(), "text/html; charset=utf-8".to_owned())];
        return Reply { status: 200, headers: html, body: Value::String(page) };
    }
    let mut reply = if !parts.headers.contains_key(header::USER_AGENT) {
        let message = "Request forbidden by administrative rules. Please make sure your request has a User-Agent header";
        Refusal::new(403, message).into_reply()
    } else if bearer.is_some() && caller.is_none() && !for_app(&request) {
        Refusal::new(401, "Bad credentials").into_reply()
    } else if !bytes.is_empty() && body.is_err() {
        Refusal::new(400, "Problems parsing JSON").into_reply()
    } else {
        match api::route(&mut state, &request) {
            Some(outcome) => outcome.unwrap_or_else(Refusal::into_reply),
            None => {
                // Edges that are switched off are a server without them, not a stray request.
                if !request.path.ends_with("/blocked_by") && !request.path.ends_with("/sub_issues")
                {
                    state.unexpected.push(format!("{method} {path}"));
                }
                Refusal::not_found().into_reply()
            }
        }
    };
    // A query of GraphQL changes nothing.
    if method != "GET" && method != "HEAD" && path != "/graphql" {
        state.effects.push(Effect {
            method: method.to_owned(),
            path: path.to_owned(),
            body: request.body,
            status: reply.status,
            processed: true,
            answered,
            actor: caller,
        });
    }
    let spent = state.requests.len().min(4_999);
    let reset = (chrono::Utc::now() + chrono::Duration::hours(1)).timestamp();
    for (name, value) in [
        ("x-ratelimit-limit", "5000".to_owned()),
        ("x-ratelimit-remaining", (5_000 - spent).to_string()),
        ("x-ratelimit-reset", reset.to_string()),
        ("x-github-request-id", format!("STANDIN:{spent}")),
    ] {
        reply.headers.push((name.to_owned(), value));
    }
    reply
}

/// An App proves itself with a JWT, which its routes check.
fn for_app(request: &Request<'_>) -> bool {
    let first = request.segments.first().map(String::as_str);
    let last = request.segments.last().map(String::as_str);
    first == Some("app") || (request.segments.len() == 4 && last == Some("installation"))
}

async fn note_unprocessed(
    shared: &Shared,
    method: &str,
    request: axum::extract::Request,
    status: u16,
) {
    let (parts, body) = request.into_parts();
    if method == "GET" || method == "HEAD" || smart_http::service(parts.uri.path()).is_some() {
        return;
    }
    let bytes = axum::body::to_bytes(body, LARGEST_BODY).await.unwrap_or_default();
    let mut state = shared.state();
    let actor = bearer(&parts.headers).and_then(|token| state.tokens.get(&token).cloned());
    state.effects.push(Effect {
        method: method.to_owned(),
        path: parts.uri.path().to_owned(),
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
        status,
        processed: false,
        answered: status != 0,
        actor,
    });
}

/// The token of a request: `Bearer`, `token`, or the password of basic authentication.
pub(super) fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" | "token" => Some(rest.trim().to_owned()),
        "basic" => {
            let decoded = base64::engine::general_purpose::STANDARD.decode(rest.trim()).ok()?;
            let text = String::from_utf8(decoded).ok()?;
            text.split_once(':').map(|(_, password)| password.to_owned())
        }
        _ => Some(String::new()),
    }
}

fn segments(path: &str) -> Vec<String> {
    let decode = |part: &str| {
        // `+` is itself in a path; form decoding would make it a space.
        let part = part.replace('+', "%2B");
        url::form_urlencoded::parse(part.as_bytes())
            .next()
            .map_or_else(String::new, |(key, _)| key.into_owned())
    };
    path.split('/').filter(|part| !part.is_empty()).map(decode).collect()
}

fn query(text: &str) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

fn respond(reply: Reply) -> Response {
    let body = match reply.body {
        Value::Null => Body::empty(),
        // A page; no route of the API answers with a bare string.
        Value::String(page) => Body::from(page),
        json => Body::from(json.to_string()),
    };
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    with_headers(response, reply.headers)
}

pub(super) fn with_headers(mut response: Response, headers: Vec<(String, String)>) -> Response {
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(&value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
