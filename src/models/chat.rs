//! The request: one call is one HTTP request, through async-openai's middleware service.
//!
//! Owns the client and what is kept of an exchange: status, `Retry-After`, request id, raw body.
//! async-openai shapes and addresses the request; its default service would repeat it up to three
//! times and drop the headers, so ours sends once, keeps the exchange and ends the crate's part.

use std::error::Error as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use async_openai::types::chat::CreateChatCompletionRequest;
use bytes::Bytes;
use chrono::Utc;
use http::{HeaderMap, StatusCode};
use secrecy::ExposeSecret;

use crate::domain::call::{Answer, Charge, ErrorClass, Message, ToolSpec};
use crate::domain::redact::Redactor;

use super::errors::{from_response, short};
use super::request::{Address, body};
use super::tiers::Tier;
use super::{CallError, ModelsError, reply};

/// A connection that is not there after this long will not come.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A body above this is not an answer.
const BODY_CAP: usize = 16 << 20;
/// Where servers put the id of a request.
const REQUEST_ID: &str = "x-request-id";

/// One request to one tier.
#[derive(Debug, Clone, Copy)]
pub struct ChatRequest<'a> {
    pub tier: &'a Tier,
    pub messages: &'a [Message],
    pub tools: &'a [ToolSpec],
    /// Sent with every request, so that what is reserved is what can be spent.
    pub max_completion_tokens: u64,
    pub timeout: Duration,
}

/// The client. One per process; cheap to clone.
#[derive(Debug, Clone)]
pub struct Models {
    http: reqwest::Client,
}

impl Models {
    /// Makes the client: no redirects, no repeats, no reused connections. A request on an idle
    /// connection that the server closes meanwhile cannot be told from one that was received.
    pub fn new() -> Result<Self, ModelsError> {
        // Somebody else may have installed it already.
        rustls::crypto::ring::default_provider().install_default().ok();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .pool_max_idle_per_host(0)
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("foreman/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http })
    }

    /// Asks a tier's model once.
    pub async fn chat(&self, request: ChatRequest<'_>) -> Result<Answer, CallError> {
        let endpoint = &request.tier.endpoint;
        let redactor = Redactor::new(endpoint.api_key.as_ref().map(ExposeSecret::expose_secret));
        let typed: CreateChatCompletionRequest = serde_json::from_value(body(&request))
            .map_err(|error| local_error(&format!("the request could not be made: {error}")))?;
        let slot: Slot = Arc::default();
        let client = async_openai::Client::build(self.http.clone(), Address::of(endpoint))
            .with_http_service(sender(self.http.clone(), Arc::clone(&slot)));
        let sending = async move {
            // What the crate makes of it does not matter: the exchange is in the slot.
            client.chat().create(typed).await.err().map(|error| error.to_string())
        };
        let Ok(complaint) = tokio::time::timeout(request.timeout, sending).await else {
            return Err(timed_out(request.timeout));
        };
        let exchange = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        match exchange {
            Some(Ok(reply)) => judge(reply, &redactor),
            Some(Err(error)) => Err(transport(&error, &redactor)),
            None => Err(local_error(&complaint.unwrap_or_else(|| "nothing was sent".to_owned()))),
        }
    }
}

type Slot = Arc<Mutex<Option<Result<Reply, reqwest::Error>>>>;

/// What came back.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Result<Bytes, String>,
}

/// The service that sends a request once and keeps everything.
fn sender(
    http: reqwest::Client,
    slot: Slot,
) -> impl tower::Service<
    HttpRequestFactory,
    Response = reqwest::Response,
    Error = OpenAIError,
    Future: Send + 'static,
> + Clone
+ Send
+ Sync
+ 'static {
    tower::service_fn(move |factory: HttpRequestFactory| {
        let (http, slot) = (http.clone(), Arc::clone(&slot));
        async move {
            let request = factory.build().await?;
            let exchange = match http.execute(request).await {
                Ok(response) => {
                    let (status, headers) = (response.status(), response.headers().clone());
                    Ok(Reply { status, headers, body: whole(response).await })
                }
                Err(error) => Err(error),
            };
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(exchange);
            // The crate would parse the body strictly and log it; we read it ourselves.
            Err(OpenAIError::InvalidArgument("the exchange was taken".to_owned()))
        }
    })
}

async fn whole(mut response: reqwest::Response) -> Result<Bytes, String> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > BODY_CAP => {
                return Err(format!("the answer is larger than {BODY_CAP} bytes"));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body.into()),
            Err(error) => return Err(format!("the answer was cut: {}", causes(&error))),
        }
    }
}

fn judge(reply: Reply, redactor: &Redactor) -> Result<Answer, CallError> {
    let request_id = reply
        .headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .map(|id| short(id, redactor).into_boxed_str());
    if !reply.status.is_success() {
        // The status says enough where the body was cut.
        let body = reply.body.unwrap_or_default();
        let error = from_response(reply.status, &reply.headers, &body, Utc::now(), redactor);
        return Err(CallError { request_id, ..error });
    }
    let failed = |class, message: &str, charge| CallError {
        class,
        status: Some(reply.status.as_u16()),
        code: None,
        retry_after: None,
        message: short(message, redactor),
        charge,
        request_id: request_id.clone(),
    };
    let body =
        reply.body.map_err(|message| failed(ErrorClass::Malformed, &message, Charge::Unknown))?;
    reply::read(&body, request_id.as_deref().map(str::to_owned))
        .map_err(|unusable| failed(unusable.class, &unusable.message, unusable.charge))
}

/// No answer at all. Only a connection that never stood proves that nothing was sent.
fn transport(error: &reqwest::Error, redactor: &Redactor) -> CallError {
    let timed_out = error.is_timeout() && !error.is_connect();
    let unsent = error.is_connect() || error.is_builder();
    CallError {
        class: if timed_out { ErrorClass::Timeout } else { ErrorClass::Connection },
        status: None,
        code: None,
        retry_after: None,
        message: short(&causes(error), redactor),
        charge: if unsent { Charge::None } else { Charge::Unknown },
        request_id: None,
    }
}

fn timed_out(after: Duration) -> CallError {
    CallError {
        class: ErrorClass::Timeout,
        status: None,
        code: None,
        retry_after: None,
        message: format!("no answer within {} s", after.as_secs_f64()),
        charge: Charge::Unknown,
        request_id: None,
    }
}

/// Our own mistake, found before anything was sent.
fn local_error(message: &str) -> CallError {
    CallError {
        class: ErrorClass::BadRequest,
        status: None,
        code: None,
        retry_after: None,
        message: short(message, &Redactor::default()),
        charge: Charge::None,
        request_id: None,
    }
}

/// An error with its causes in one line; reqwest's own text leaves them out.
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
