//! HTTP: the routes of the contract over the night engine and the store.
//!
//! Owns parsing, access, status codes and the form of answers. Never decides anything about a
//! night and holds no SQL: handlers extract, call and convert.

mod access;
mod body;
mod client_address;
mod desktop;
mod desktop_builder;
mod error;
mod escalation;
mod escalation_body;
mod extract;
mod governance;
mod governance_issues;
mod governance_memory;
mod governance_stream;
mod health;
mod layers;
mod logs;
#[cfg(test)]
mod malformed;
mod night_config;
mod overnight;
mod query;
mod runs;
mod serve;
mod stream;
#[cfg(test)]
mod tests;
mod transcript;
mod why;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use axum::{Extension, Router};
use tokio_util::sync::CancellationToken;

pub use access::{Access, Caller};
use client_address::TrustedProxies;
pub use error::ApiError;
pub use serve::{HEAD_WITHIN, serve};

use crate::config::Config;
use crate::desktop_sync::DesktopSync;
use crate::domain::run::NightConfig;
use crate::governance::Governance;
use crate::overnight::Overnight;

/// How long an ordinary answer may take: it reads the database and nothing else.
const QUICK: Duration = Duration::from_secs(30);
/// How long starting (with its wait) or planning may take: GitHub may make us wait a minute.
const PATIENT: Duration = Duration::from_secs(120);

/// What handlers work with.
#[derive(Clone)]
pub(crate) struct Api {
    overnight: Overnight,
    governance: Governance,
    desktop: DesktopSync,
    config: Arc<Config>,
    /// What a night is where the request says nothing.
    night_defaults: Arc<NightConfig>,
    /// Ends event streams and waits, so that the listener can stop.
    closing: CancellationToken,
}

/// The whole service. Routes answer at the root and under the base path: some proxies strip the
/// prefix and some do not.
pub fn router(
    overnight: Overnight,
    governance: Governance,
    desktop: DesktopSync,
    config: Arc<Config>,
    closing: CancellationToken,
) -> Router {
    let base_path = config.server.base_path.clone();
    let trusted = TrustedProxies::new(&config.server.trusted_proxies);
    let access = Access::new(&config.auth, &base_path);
    let night_defaults = Arc::new(config.night_defaults());
    let api = Api { overnight, governance, desktop, config, night_defaults, closing };
    let routes = routes().with_state(api);
    let all = if base_path.is_empty() {
        routes
    } else {
        Router::new().nest(&base_path, routes.clone()).merge(routes)
    };
    all.fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(access, access::require))
        .layer(from_fn(layers::observe))
        .layer(Extension(trusted))
        .layer(DefaultBodyLimit::max(extract::LARGEST_BODY))
}

fn routes() -> Router<Api> {
    let quick = Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/api/foreman/overnight/why", get(why::show))
        .route("/api/foreman/overnight/runs", get(runs::list))
        .route("/api/foreman/overnight/runs/{id}", get(runs::show))
        .route("/api/foreman/overnight/runs/{id}/cancel", post(runs::cancel))
        .route("/api/foreman/overnight/runs/{id}/report", get(runs::show_report))
        .route("/api/foreman/overnight/runs/{id}/logs/{sha256}", get(logs::show))
        .route("/api/foreman/overnight/runs/{id}/issues/{number}/transcript", get(transcript::show))
        .route("/api/foreman/governance/events", get(governance::events))
        .route("/api/foreman/governance/stats", get(governance::stats))
        .route("/api/foreman/escalation/select", post(escalation::select))
        .route("/api/foreman/escalation/quota", get(escalation::quota))
        .route("/api/foreman/escalation/costs", get(escalation::costs))
        .route("/api/foreman/escalation/events", get(escalation::events))
        .route("/api/foreman/escalation/healing", get(escalation::healing))
        .route(
            "/api/foreman/escalation/approvals",
            get(escalation::approvals).post(escalation::decide),
        )
        .route("/api/foreman/escalation/reports", get(escalation::reports))
        .route("/api/foreman/governance/incidents", get(governance::incidents))
        .route(
            "/api/foreman/governance/memory",
            get(governance_memory::list).post(governance_memory::remember),
        )
        .route("/api/foreman/governance/memory/drift", get(governance_memory::drift))
        .route(
            "/api/foreman/desktop/builder",
            get(desktop_builder::show).post(desktop_builder::switch),
        )
        .route_layer(from_fn_with_state(QUICK, layers::deadline));
    let patient = Router::new()
        .route("/api/foreman/overnight", get(overnight::overview).post(overnight::start))
        .route("/api/foreman/overnight/plan", post(overnight::plan))
        .route("/api/foreman/governance/verify", get(governance::verify))
        .route("/api/foreman/desktop/health", get(desktop::health))
        .route("/api/foreman/desktop/repositories/{id}/drift", get(desktop::drift))
        .route(
            "/api/foreman/governance/issues",
            get(governance_issues::list).post(governance_issues::create),
        )
        .route_layer(from_fn_with_state(PATIENT, layers::deadline));
    // As long as the run lasts, the reader reads, or a clone's own check runs.
    let endless = Router::new()
        .route("/api/foreman/desktop/repositories/{id}/merge", post(desktop::merge))
        .route("/api/foreman/overnight/runs/{id}/events", get(stream::events))
        .route("/api/foreman/governance/events/stream", get(governance_stream::follow))
        .route("/api/foreman/governance/export", get(governance_stream::export));
    quick.merge(patient).merge(endless)
}

async fn unknown_route(uri: Uri) -> ApiError {
    let path = body::shown(uri.path());
    ApiError::NotFound { code: "not_found", message: format!("There is no route `{path}`") }
}

async fn wrong_method(method: Method) -> ApiError {
    ApiError::Method(body::shown(method.as_str()))
}
