//! Extractors whose every refusal is our own error: the body's bytes under its limit, and a run's
//! id from the path.

use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use axum::http::request::Parts;
use axum::response::IntoResponse as _;
use bytes::Bytes;

use super::error::ApiError;
use crate::domain::ids::{IssueNumber, RunId};

/// The largest body that is read. A night's configuration needs a few kilobytes at most.
pub const LARGEST_BODY: usize = 1 << 20;

/// A request's body, whatever content type it claims.
pub struct Body(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let declared = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        // Refused before it is sent, where the client says how much it is.
        if declared
            .and_then(|text| text.parse::<u64>().ok())
            .is_some_and(|n| n > LARGEST_BODY as u64)
        {
            return Err(ApiError::TooLarge);
        }
        match Bytes::from_request(request, state).await {
            Ok(bytes) => Ok(Self(bytes)),
            Err(rejection) => Err(unreadable(rejection)),
        }
    }
}

fn unreadable(rejection: BytesRejection) -> ApiError {
    if rejection.into_response().status() == StatusCode::PAYLOAD_TOO_LARGE {
        ApiError::TooLarge
    } else {
        ApiError::invalid("invalid_body", "The body could not be read to its end")
    }
}

/// The `{id}` of a run. What can be none is unknown, not malformed.
pub struct RunPath(pub RunId);

impl<S: Send + Sync> FromRequestParts<S> for RunPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Ok(Path(id)) = Path::<String>::from_request_parts(parts, state).await else {
            return Err(ApiError::unknown_run("?"));
        };
        run_id(&id).map(Self)
    }
}

fn run_id(id: &str) -> Result<RunId, ApiError> {
    let possible = (1..=64).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if possible { Ok(RunId::new(id)) } else { Err(ApiError::unknown_run("?")) }
}

/// The `{id}` of a run and the `{number}` of one of its issues.
pub struct IssuePath(pub RunId, pub IssueNumber);

impl<S: Send + Sync> FromRequestParts<S> for IssuePath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Ok(Path((id, number))) = path else { return Err(ApiError::unknown_run("?")) };
        let run = run_id(&id)?;
        // What is no number is no issue.
        let number = number.parse::<u32>().unwrap_or_default();
        Ok(Self(run, IssueNumber(u64::from(number))))
    }
}
