//! `/api/foreman/overnight/runs`: the list, one run, its report, and cancelling it.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tracing::Instrument as _;

use super::error::ApiError;
use super::extract::{Body, RunPath};
use super::query::{self, ReportFormat};
use super::{Api, body};
use crate::domain::ids::RunId;
use crate::domain::run::Run;
use crate::overnight::report;
use crate::store::{CancelOutcome, StoreError};

/// `GET …/runs`, newest first.
pub(super) async fn list(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let filter = query::runs(&query.unwrap_or_default())?;
    let (runs, next) = api.overnight.store().runs(filter).await.map_err(|error| match error {
        StoreError::BadCursor(_) => ApiError::invalid(
            "invalid_parameter",
            "cursor takes the nextCursor of an earlier answer",
        ),
        other => other.into(),
    })?;
    Ok(Json(json!({ "success": true, "runs": runs, "nextCursor": next })))
}

/// `GET …/runs/{id}`.
pub(super) async fn show(
    State(api): State<Api>,
    RunPath(id): RunPath,
) -> Result<Json<Value>, ApiError> {
    let run = find(&api, &id).await?;
    Ok(Json(json!({ "success": true, "run": run })))
}

/// `POST …/runs/{id}/cancel`: 202 when asked, 409 when there is nothing left to cancel.
pub(super) async fn cancel(
    State(api): State<Api>,
    RunPath(id): RunPath,
    Body(bytes): Body,
) -> Result<Response, ApiError> {
    body::nothing(&bytes)?;
    let overnight = api.overnight.clone();
    let asked = id.clone();
    // In a task of its own: a client that hangs up must not stop it half way.
    let cancelled = tokio::spawn(async move { overnight.cancel(&asked).await }.in_current_span());
    let outcome = cancelled.await.map_err(|error| ApiError::Internal(error.to_string()))??;
    match outcome {
        CancelOutcome::Requested => {
            let run = find(&api, &id).await?;
            Ok((StatusCode::ACCEPTED, Json(json!({ "success": true, "run": run }))).into_response())
        }
        CancelOutcome::AlreadyEnded => {
            let run = find(&api, &id).await?;
            let message = format!("The run {id} has ended already ({})", run.status);
            Err(ApiError::Conflict { code: "run_ended", message })
        }
        CancelOutcome::Unknown => Err(ApiError::unknown_run(id.as_str())),
    }
}

/// `GET …/runs/{id}/report` as JSON, Markdown or text.
pub(super) async fn show_report(
    State(api): State<Api>,
    RunPath(id): RunPath,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let format = query::report_format(&query.unwrap_or_default(), &headers)?;
    let run = find(&api, &id).await?;
    let typed = |kind: &'static str, text: String| ([(CONTENT_TYPE, kind)], text).into_response();
    Ok(match format {
        ReportFormat::Json => {
            Json(json!({ "success": true, "report": report::json(&run) })).into_response()
        }
        ReportFormat::Markdown => typed("text/markdown; charset=utf-8", report::markdown(&run)),
        ReportFormat::Text => typed("text/plain; charset=utf-8", report::text(&run)),
    })
}

async fn find(api: &Api, id: &RunId) -> Result<Run, ApiError> {
    let run = api.overnight.store().run(id).await?;
    run.ok_or_else(|| ApiError::unknown_run(id.as_str()))
}
