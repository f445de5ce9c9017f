//! `/api/foreman/governance`: reading the event log, its sums, whether it is whole, and incidents.

use axum::Json;
use axum::extract::{RawQuery, State};
use serde_json::{Value, json};

use super::error::ApiError;
use super::{Api, query};

/// `GET …/events`, newest first, with a cursor to the older ones.
pub(super) async fn events(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let asked = query::events(&query.unwrap_or_default())?;
    let limit = asked.limit as usize;
    let events = api.governance.log().query(&asked).await?;
    // A full page may have more behind it; an empty next page says that it had not.
    let next = events
        .last()
        .filter(|event| events.len() == limit && event.seq > 1)
        .map(|event| event.seq.to_string());
    let events: Vec<&_> = events.iter().map(AsRef::as_ref).collect();
    Ok(Json(json!({ "success": true, "events": events, "nextCursor": next })))
}

/// `GET …/stats`.
pub(super) async fn stats(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    query::none(&query.unwrap_or_default())?;
    let stats = api.governance.log().stats().await?;
    Ok(Json(json!({ "success": true, "stats": stats })))
}

/// `GET …/verify`: 200 whatever is found; `ok` says it.
pub(super) async fn verify(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    query::none(&query.unwrap_or_default())?;
    let mut body = json!(api.governance.verify().await?);
    body["success"] = json!(true);
    Ok(Json(body))
}

/// `GET …/incidents`, newest first.
pub(super) async fn incidents(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    query::none(&query.unwrap_or_default())?;
    let incidents = api.governance.store().incidents(false).await?;
    Ok(Json(json!({ "success": true, "incidents": incidents })))
}
