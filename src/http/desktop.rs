//! `/api/foreman/desktop`: the local clones' health, drift and merge. Decides nothing about them.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use serde_json::{Value, json};

use super::error::ApiError;
use super::extract::Body;
use super::{Api, body, query};

/// The id from the path; what cannot be one is unknown, not malformed.
type Id = Result<Path<String>, axum::extract::rejection::PathRejection>;

/// `GET …/health`, looked at now.
pub(super) async fn health(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    query::none(&query.unwrap_or_default())?;
    let health = api.desktop.health().await;
    Ok(Json(json!({
        "success": true,
        "ready": health.ready,
        "issues": health.issues,
        "repositories": health.repositories,
        "builder": health.builder,
        "checkedAt": health.checked_at,
        "standing": api.desktop.standing(),
    })))
}

/// `GET …/repositories/{id}/drift`: 200 also where the state is unknown.
pub(super) async fn drift(
    State(api): State<Api>,
    id: Id,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    query::none(&query.unwrap_or_default())?;
    let drift = api.desktop.drift(&name(id)?).await?;
    let mut answer = json!({ "success": true, "drift": drift });
    // The record stands beside `success` too, as health's does.
    if let (Value::Object(answer), Value::Object(record)) = (&mut answer, json!(drift)) {
        answer.extend(record);
    }
    Ok(Json(answer))
}

/// `POST …/repositories/{id}/merge {dryRun?}`.
pub(super) async fn merge(
    State(api): State<Api>,
    id: Id,
    RawQuery(query): RawQuery,
    Body(bytes): Body,
) -> Result<Json<Value>, ApiError> {
    query::none(&query.unwrap_or_default())?;
    let (id, dry_run) = (name(id)?, dry_run(&bytes)?);
    let desktop = api.desktop.clone();
    // In a task of its own: a client that hangs up must not stop a merge half way.
    let merged = tokio::spawn(async move { desktop.merge(&id, dry_run).await });
    let report = merged.await.map_err(|error| ApiError::Internal(error.to_string()))??;
    let mut answer = json!(report);
    answer["success"] = json!(true);
    Ok(Json(answer))
}

fn name(id: Id) -> Result<String, ApiError> {
    let unknown = |_| ApiError::NotFound {
        code: "unknown_repository",
        message: "There is no such local clone".to_owned(),
    };
    id.map(|Path(id)| id).map_err(unknown)
}

/// An empty body is no dry run.
fn dry_run(bytes: &[u8]) -> Result<bool, ApiError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(false);
    }
    let body = body::object(bytes, "dryRun")?;
    if let Some(key) = body.keys().find(|key| *key != "dryRun") {
        let message = format!("`{}` is not a key here; it takes dryRun", body::shown(key));
        return Err(ApiError::invalid("unknown_key", message));
    }
    match body.get("dryRun") {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(other) => Err(body::wrong("dryRun", other, "true or false")),
    }
}
