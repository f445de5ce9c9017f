//! The scripted model: a Chat Completions server that answers by a script.
//!
//! Owns a real HTTP server on loopback, a record of every request and OpenAI's strictness about
//! conversations. Never thinks: the script, a function of the conversation so far, does.

mod check;
mod wire;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response};
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

/// What the script is told.
#[derive(Debug, Clone)]
pub struct ScriptInput {
    /// Which request to this server this is, from 0.
    pub index: usize,
    /// The model asked for.
    pub model: String,
    /// The issue named as `#<number>` in the first user message.
    pub issue: Option<u64>,
    /// How many answers of the model stand in the conversation.
    pub turn: usize,
    /// How often the gate has sent the work back: user messages after the first, before any answer.
    pub round: usize,
    /// The last message's text: a tool's answer, or what the user said.
    pub last: String,
    pub body: Value,
}

/// A tool call as the script wants it made; `arguments` is sent as it stands.
#[derive(Debug, Clone)]
pub struct ScriptedCall {
    pub name: String,
    pub arguments: String,
}

impl ScriptedCall {
    #[must_use]
    pub fn new(name: &str, arguments: &Value) -> Self {
        Self { name: name.to_owned(), arguments: arguments.to_string() }
    }
}

/// What the script answers.
#[derive(Debug, Clone)]
pub enum Reply {
    ToolCalls(Vec<ScriptedCall>),
    Text(String),
    /// A call of `finish` with this summary.
    Finish(String),
    /// A status with headers and a body, sent as they stand.
    Status(u16, Vec<(String, String)>, String),
    /// No answer, ever.
    Hang,
    /// Headers and half a body, then the connection is cut.
    CutStream,
    /// A 200 with this body.
    RawBody(String),
}

impl Reply {
    /// One tool call.
    #[must_use]
    pub fn call(name: &str, arguments: &Value) -> Self {
        Self::ToolCalls(vec![ScriptedCall::new(name, arguments)])
    }
}

/// The function that decides each answer.
pub type Script = Arc<dyn Fn(&ScriptInput) -> Reply + Send + Sync>;

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub model: String,
    pub issue: Option<u64>,
    pub authorization: Option<String>,
    pub body: Value,
    /// The status answered; `None` where the answer never came whole.
    pub status: Option<u16>,
}

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub struct FakeModel {
    base_url: Url,
    requests: Arc<Mutex<Vec<Recorded>>>,
    stop: CancellationToken,
}

#[derive(Clone)]
struct Shared {
    script: Script,
    requests: Arc<Mutex<Vec<Recorded>>>,
}

impl FakeModel {
    /// Starts on a free port of loopback.
    pub async fn start(script: Script) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let base_url =
            Url::parse(&format!("http://127.0.0.1:{port}/v1")).map_err(io::Error::other)?;
        let requests = Arc::new(Mutex::new(Vec::new()));
        let stop = CancellationToken::new();
        let app = Router::new()
            .route("/v1/chat/completions", post(complete))
            .with_state(Shared { script, requests: Arc::clone(&requests) });
        let stopped = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                served = axum::serve(listener, app) => {
                    if let Err(error) = served {
                        tracing::warn!(%error, "the scripted model stopped");
                    }
                }
                () = stopped.cancelled() => {}
            }
        });
        Ok(Self { base_url, requests, stop })
    }

    /// What to give as `OPENAI_BASE_URL`.
    #[must_use]
    pub fn base_url(&self) -> &Url {
        &self.base_url
    }

    /// Every request so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for FakeModel {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn complete(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let body: Value = match serde_json::from_slice(&body) {
        Ok(body) => body,
        Err(error) => return wire::refuse(&format!("the body is not JSON: {error}")),
    };
    let authorization = headers.get("authorization").and_then(|value| value.to_str().ok());
    let index = shared.record(&body, authorization);
    let (response, status) = match check::conversation(&body) {
        Err(complaint) => (wire::refuse(&complaint), Some(400)),
        Ok(()) => {
            let input = input(index, body);
            match (shared.script)(&input) {
                Reply::Hang => std::future::pending().await,
                Reply::CutStream => (wire::cut(), None),
                Reply::Status(status, headers, text) => {
                    (wire::raw(status, &headers, text), Some(status))
                }
                Reply::RawBody(text) => (wire::raw(200, &[], text), Some(200)),
                Reply::Text(text) => (wire::text(&input, &text), Some(200)),
                Reply::ToolCalls(calls) => (wire::calls(&input, &calls), Some(200)),
                Reply::Finish(summary) => {
                    let call =
                        ScriptedCall::new("finish", &serde_json::json!({"summary": summary}));
                    (wire::calls(&input, &[call]), Some(200))
                }
            }
        }
    };
    shared.answered(index, status);
    response
}

impl Shared {
    fn record(&self, body: &Value, authorization: Option<&str>) -> usize {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.push(Recorded {
            model: body["model"].as_str().unwrap_or_default().to_owned(),
            issue: issue_of(body),
            authorization: authorization.map(str::to_owned),
            body: body.clone(),
            status: None,
        });
        requests.len() - 1
    }

    fn answered(&self, index: usize, status: Option<u16>) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(request) = requests.get_mut(index) {
            request.status = status;
        }
    }
}

fn messages(body: &Value) -> &[Value] {
    body["messages"].as_array().map_or(&[], Vec::as_slice)
}

fn by_role<'a>(body: &'a Value, role: &'a str) -> impl Iterator<Item = &'a Value> {
    messages(body).iter().filter(move |message| message["role"] == role)
}

fn input(index: usize, body: Value) -> ScriptInput {
    ScriptInput {
        index,
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        issue: issue_of(&body),
        turn: by_role(&body, "assistant").count(),
        round: messages(&body)
            .iter()
            .take_while(|message| message["role"] != "assistant")
            .filter(|message| message["role"] == "user")
            .count()
            .saturating_sub(1),
        last: messages(&body)
            .last()
            .and_then(|message| message["content"].as_str())
            .unwrap_or_default()
            .to_owned(),
        body,
    }
}

/// The first `#<number>` of the first user message.
fn issue_of(body: &Value) -> Option<u64> {
    let first = by_role(body, "user").next()?["content"].as_str()?;
    first.split('#').skip(1).find_map(|rest| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    })
}
