//! What every request passes through: its id, its span and log line, the catching of panics, and
//! the time it may take. Here alone a 500's body is written.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use serde_json::json;
use tracing::Instrument as _;

use super::client_address;
use super::error::{ApiError, Cause};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives the request its id and span, logs how it ended, and turns causes and panics into a 500
/// that says nothing but the id.
pub(super) async fn observe(request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let span = tracing::info_span!(
        "request",
        request_id = %id,
        method = %request.method(),
        path = %request.uri().path(),
        client = %client_address::of(&request),
        caller = tracing::field::Empty,
    );
    async move {
        let begun = Instant::now();
        let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        let mut response = answered.unwrap_or_else(|panic| {
            ApiError::Internal(format!("a handler panicked: {}", words(&*panic))).into_response()
        });
        if let Some(Cause(cause)) = response.extensions_mut().remove::<Cause>() {
            tracing::error!(request_id = %id, %cause, "request {id} failed");
            response = failed(&id);
        }
        let (status, millis) = (response.status().as_u16(), begun.elapsed().as_millis());
        tracing::info!(request_id = %id, status, millis, "answered");
        if let Ok(value) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        response
    }
    .instrument(span)
    .await
}

/// Ends what takes longer than it may.
pub(super) async fn deadline(
    State(limit): State<Duration>,
    request: Request,
    next: Next,
) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::Timeout.into_response(),
    }
}

fn failed(id: &str) -> Response {
    let error = format!("Something failed here; the log has it under the request id {id}");
    let body = json!({ "error": error, "code": "internal", "requestId": id });
    (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response()
}

/// The caller's own id where it is one, else a fresh one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let valid = given.filter(|id| {
        (1..=128).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
    });
    valid.map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned)
}

fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "without words",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_harmless_id_is_taken_over() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_str(value).expect("a value"));
            request_id(&headers)
        };
        assert_eq!(with("abc-1.2_3:4"), "abc-1.2_3:4");
        for bad in ["", "a b", "<script>", &"x".repeat(129)] {
            assert_ne!(with(bad), bad);
            assert_eq!(with(bad).len(), 36);
        }
    }
}
