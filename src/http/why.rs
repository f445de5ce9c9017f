//! `GET /api/foreman/overnight/why`: why an issue stands as it does, and what would change that.

use axum::Json;
use axum::extract::{RawQuery, State};
use serde_json::{Value, json};

use super::error::ApiError;
use super::{Api, query};
use crate::overnight;

/// `?owner&repo&issue`, all needed.
pub(super) async fn show(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let (repo, issue) = query::issue_of_repository(&query.unwrap_or_default())?;
    let why = overnight::why(api.overnight.store(), &repo, issue).await?;
    Ok(Json(json!({ "success": true, "why": why })))
}
