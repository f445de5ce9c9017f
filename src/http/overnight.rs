//! `/api/foreman/overnight`: starting a night, planning one, and the overview.

use std::time::Duration;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use chrono::Utc;
use serde_json::{Value, json};
use tracing::Instrument as _;

use super::body::{self, Kind};
use super::error::ApiError;
use super::extract::Body;
use super::{Api, query};
use crate::domain::run::{NightConfig, Run};
use crate::overnight;

/// The clones' health is shown as it was found at most so long ago.
const HEALTH_AGE: Duration = Duration::from_secs(15);

/// `POST`: 202 with the run, or 200 when the caller waited and it ended.
pub(super) async fn start(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    Body(bytes): Body,
) -> Result<Response, ApiError> {
    let wait = query::wait(&query.unwrap_or_default(), &headers)?;
    let night = body::parse(&bytes, Kind::Start, &api.night_defaults)?;
    let idempotency = query::idempotency(&headers, &night.sha256)?;
    let overnight = api.overnight.clone();
    // In a task of its own: a client that hangs up must not stop a start half way.
    let start = async move { overnight.start(night.request, idempotency).await };
    let started = tokio::spawn(start.in_current_span());
    let run = started.await.map_err(|error| ApiError::Internal(error.to_string()))??;
    let Some(limit) = wait else { return Ok(answer(&api, StatusCode::ACCEPTED, &run)) };
    let waited = tokio::select! {
        waited = api.overnight.wait(&run.id, limit) => waited?,
        () = api.closing.cancelled() => None,
    };
    let run = waited.unwrap_or(run);
    let status = if run.status.is_active() { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok(answer(&api, status, &run))
}

/// `POST …/plan`: the plan and nothing else.
pub(super) async fn plan(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
    Body(bytes): Body,
) -> Result<Json<Value>, ApiError> {
    query::none(&query.unwrap_or_default())?;
    let night = body::parse(&bytes, Kind::Plan, &api.night_defaults)?;
    let plan = api.overnight.plan(&night.request).await?;
    Ok(Json(json!({ "success": true, "plan": plan })))
}

/// `GET`: configuration, latest and active runs, and the figures beside them. Changes nothing.
pub(super) async fn overview(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let repo = query::repository(&query.unwrap_or_default())?;
    let store = api.overnight.store();
    let run = store.latest_run(repo.as_ref()).await?;
    let active = store.active_runs(repo.as_ref()).await?;
    let doing = overnight::doing(store, &active, Utc::now()).await?;
    let quota = store.quota_used().await?;
    let events = api.governance.log().event_stats().await?;
    // What a night is where its request says nothing: it may be sent back as it is.
    let mut config = NightConfig::clone(&api.night_defaults);
    config.enabled &= api.overnight.is_enabled();
    let machine = api.overnight.machine();
    let local = api.desktop.recent_health(HEALTH_AGE).await;
    Ok(Json(json!({
        "success": true,
        "config": config,
        "ceilings": machine["ceilings"],
        "tiers": machine["tiers"],
        "sandbox": machine["sandbox"],
        "scheduler": "off",
        "run": run,
        "activeRuns": active,
        "doing": doing,
        "status": {
            "quotaUsage": {
                "daily": quota.daily,
                "hourly": quota.hourly,
                "concurrent": quota.concurrent,
            },
            "localBuilderHealth": { "ready": local.ready, "issues": local.issues },
            "governanceStats": events,
            "builder": api.overnight.switchboard().describe().await?,
        },
    })))
}

fn answer(api: &Api, status: StatusCode, run: &Run) -> Response {
    let location = format!("{}/api/foreman/overnight/runs/{}", api.config.server.base_path, run.id);
    let mut response = (status, Json(json!({ "success": true, "run": run }))).into_response();
    if let Ok(value) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(LOCATION, value);
    }
    response
}
