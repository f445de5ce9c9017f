//! `/api/foreman/governance/issues`: what they say, and creating them on GitHub.

use axum::Json;
use axum::extract::{RawQuery, State};
use serde_json::{Value, json};
use tracing::Instrument as _;

use super::error::ApiError;
use super::extract::Body;
use super::{Api, body, query};

/// `GET`: the definitions.
pub(super) async fn list(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    query::none(&query.unwrap_or_default())?;
    Ok(Json(json!({ "success": true, "issues": api.governance.issues() })))
}

/// `POST {owner, repo, dryRun?}`: creates those that are not there.
pub(super) async fn create(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
    Body(bytes): Body,
) -> Result<Json<Value>, ApiError> {
    query::none(&query.unwrap_or_default())?;
    let (repo, dry_run) = body::target(&bytes)?;
    let governance = api.governance.clone();
    // In a task of its own: a client that hangs up must not stop it half way.
    let created = tokio::spawn(
        async move { governance.create_issues(&repo, dry_run).await }.in_current_span(),
    );
    let created = created.await.map_err(|error| ApiError::Internal(error.to_string()))??;
    let mut body = json!(created);
    body["success"] = json!(true);
    body["dryRun"] = json!(dry_run);
    Ok(Json(body))
}
