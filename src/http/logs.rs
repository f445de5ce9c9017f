//! `GET /api/foreman/overnight/runs/{id}/logs/{sha256}`: what a check's command printed.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse as _, Response};

use super::Api;
use super::error::ApiError;
use crate::domain::ids::RunId;
use crate::overnight::EvidenceError;

/// The log as text. It holds what strangers' code printed, so no browser may take it for a page.
pub(super) async fn show(
    State(api): State<Api>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Response, ApiError> {
    let Ok(Path((id, sha256))) = path else { return Err(ApiError::unknown_run("?")) };
    let text = api.overnight.log(&RunId::new(id), &sha256).await.map_err(refusal)?;
    let headers =
        [(CONTENT_TYPE, "text/plain; charset=utf-8"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    Ok((headers, text).into_response())
}

fn refusal(error: EvidenceError) -> ApiError {
    match error {
        EvidenceError::UnknownRun(id) => ApiError::unknown_run(id.as_str()),
        EvidenceError::NotOfThisRun(_) | EvidenceError::Gone(_) => {
            let message = capital(&error.to_string());
            ApiError::NotFound { code: "unknown_log", message }
        }
        EvidenceError::Store(error) => error.into(),
        EvidenceError::Gate(error) => ApiError::Internal(error.to_string()),
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
