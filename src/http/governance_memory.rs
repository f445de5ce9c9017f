//! `/api/foreman/governance/memory`: the memory fabric, read and told.

use axum::extract::{RawQuery, State};
use axum::{Extension, Json};
use chrono::Utc;
use serde_json::{Value, json};

use super::access::Caller;
use super::error::ApiError;
use super::extract::Body;
use super::{Api, body, query};
use crate::domain::memory::{NewEntry, Scope};

/// `GET`: entries, the latest first.
pub(super) async fn list(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let asked = query::memory(&query.unwrap_or_default())?;
    let entries = api.governance.store().memory(asked).await?;
    Ok(Json(json!({ "success": true, "entries": entries })))
}

/// `POST {scope, owner?, repo?, key, schema, value, freshDays?}`.
pub(super) async fn remember(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
    caller: Option<Extension<Caller>>,
    Body(bytes): Body,
) -> Result<Json<Value>, ApiError> {
    query::none(&query.unwrap_or_default())?;
    let source = caller.map_or_else(|| "local".to_owned(), |Extension(caller)| caller.name);
    let entry = read(&bytes, source)?;
    let entry = api.governance.store().remember(entry).await?;
    Ok(Json(json!({ "success": true, "entry": entry })))
}

/// `GET …/drift`: what of it is stale, contradicted or malformed now.
pub(super) async fn drift(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    query::none(&query.unwrap_or_default())?;
    let drift = api.governance.memory_drift(Utc::now()).await?;
    Ok(Json(json!({ "success": true, "drift": drift })))
}

fn read(bytes: &[u8], source: String) -> Result<NewEntry, ApiError> {
    const KNOWN: [&str; 7] = ["scope", "owner", "repo", "key", "schema", "value", "freshDays"];
    let body = body::object(bytes, "scope, key, schema, value")?;
    if let Some(key) = body.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        let key = body::shown(key);
        let message =
            format!("`{key}` is not a key of this request; it takes {}", KNOWN.join(", "));
        return Err(ApiError::invalid("unknown_key", message));
    }
    let text = |key: &str| match body.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(other) => Err(body::wrong(key, other, "text")),
    };
    let (Some(scope), Some(key), Some(schema), Some(value)) =
        (text("scope")?, text("key")?, text("schema")?, body.get("value"))
    else {
        return Err(ApiError::MissingParameters("scope, key, schema, value"));
    };
    let scope: Scope = scope.parse().map_err(|why| ApiError::invalid("invalid_value", why))?;
    let project = match (text("owner")?, text("repo")?) {
        (Some(owner), Some(repo)) => Some(body::repository(owner, repo)?),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            return Err(ApiError::MissingParameters("owner, repo"));
        }
    };
    let fresh_days = match body.get("freshDays") {
        None | Some(Value::Null) => None,
        Some(given) => {
            let days = given.as_u64().and_then(|days| u32::try_from(days).ok());
            let days = days.filter(|days| (1..=36_500).contains(days));
            Some(days.ok_or_else(|| body::wrong("freshDays", given, "a number from 1 to 36500"))?)
        }
    };
    Ok(NewEntry {
        scope,
        project,
        key: key.to_owned(),
        schema: schema.parse().map_err(|why| ApiError::invalid("invalid_value", why))?,
        value: value.clone(),
        source,
        run: None,
        fresh_days,
    })
}
