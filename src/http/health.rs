//! `/healthz`: the process answers. `/readyz`: it can do its work, the database included.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::Api;
use super::error::ApiError;

pub(super) async fn alive() -> Json<Value> {
    Json(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
}

pub(super) async fn ready(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    let unavailable =
        |code, message: &str| Err(ApiError::Unavailable { code, message: message.to_owned() });
    if api.closing.is_cancelled() {
        return unavailable("shutting_down", "Foreman is stopping");
    }
    if let Err(error) = api.overnight.store().ping().await {
        tracing::error!(%error, "the database does not answer");
        return unavailable("not_ready", "The database does not answer");
    }
    Ok(Json(json!({ "status": "ready" })))
}
