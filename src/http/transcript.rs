//! `/api/foreman/overnight/runs/{id}/issues/{number}/transcript`: what was said on an issue.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::Api;
use super::error::ApiError;
use super::extract::IssuePath;
use super::query::{self, ReportFormat};
use crate::overnight::transcript::{self, Found};

/// `GET …/transcript` as JSON or text.
pub(super) async fn show(
    State(api): State<Api>,
    IssuePath(run, issue): IssuePath,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let format = query::report_format(&query.unwrap_or_default(), &headers)?;
    let found = match transcript::find(api.overnight.store(), &run, issue).await? {
        Found::Transcript(found) => found,
        Found::NoRun => return Err(ApiError::unknown_run(run.as_str())),
        Found::NoIssue => return Err(ApiError::unknown_issue(issue)),
    };
    Ok(match format {
        ReportFormat::Json => Json(json!({ "success": true, "transcript": found })).into_response(),
        ReportFormat::Markdown | ReportFormat::Text => {
            let kind = "text/plain; charset=utf-8";
            ([(CONTENT_TYPE, kind)], transcript::text(&found)).into_response()
        }
    })
}
