//! `/api/foreman/escalation`: selection, quota, costs, events, approvals and reports.

use axum::Json;
use axum::extract::{Extension, RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use chrono::Utc;
use serde_json::{Value, json};

use super::access::Caller;
use super::error::ApiError;
use super::escalation_body::{self, Word};
use super::extract::Body;
use super::query::ReportFormat;
use super::{Api, query};
use crate::config::Role;
use crate::store::{Decided, Decision, Override};

/// `POST …/select`: which tier, and by which rule. Asks nothing of any model, uses no quota.
pub(super) async fn select(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
    Body(bytes): Body,
) -> Result<Json<Value>, ApiError> {
    query::none(&query.unwrap_or_default())?;
    let context = escalation_body::context(&bytes)?;
    let selection = api.overnight.desk().select(&context).await?;
    Ok(Json(json!({ "success": true, "selection": selection })))
}

/// `GET …/quota`.
pub(super) async fn quota(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    query::none(&query.unwrap_or_default())?;
    Ok(Json(api.overnight.desk().quota().await?))
}

/// `GET …/costs`.
pub(super) async fn costs(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    query::none(&query.unwrap_or_default())?;
    Ok(Json(api.overnight.desk().costs().await?))
}

/// `GET …/events`, newest first.
pub(super) async fn events(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let (run, limit) = query::escalation_events(&query.unwrap_or_default())?;
    Ok(Json(api.overnight.desk().events(run.as_ref(), limit).await?))
}

/// `GET …/approvals`, what waits first.
pub(super) async fn approvals(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let status = query::approvals(&query.unwrap_or_default())?;
    Ok(Json(api.overnight.desk().approvals(status.as_deref()).await?))
}

/// `GET …/healing`: what failed before, and how often what came after put it right.
pub(super) async fn healing(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    query::none(&query.unwrap_or_default())?;
    Ok(Json(api.overnight.desk().healing().await?))
}

/// `POST …/approvals`: a person's word on a request, or an admin's override.
pub(super) async fn decide(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
    caller: Option<Extension<Caller>>,
    Body(bytes): Body,
) -> Result<Response, ApiError> {
    query::none(&query.unwrap_or_default())?;
    // Without tokens whoever reaches us sits at this machine and may do everything.
    let (by, role) = caller.map_or_else(
        || ("local".to_owned(), Role::Admin),
        |Extension(caller)| (caller.name, caller.role),
    );
    let store = api.overnight.store();
    match escalation_body::word(&bytes, &by, Utc::now())? {
        Word::Decision(decision) => {
            let decision = Decision { admin: role >= Role::Admin, ..decision };
            let id = super::body::shown(&decision.id);
            match store.decide_approval(decision).await? {
                Decided::Done(approval) => {
                    Ok(Json(json!({ "success": true, "approval": approval })).into_response())
                }
                Decided::Unknown => Err(ApiError::NotFound {
                    code: "unknown_approval",
                    message: format!("There is no request `{id}`"),
                }),
                Decided::IsOverride => Err(ApiError::Refused {
                    code: "forbidden",
                    message: format!(
                        "`{id}` is an override: an admin may reject it, and makes a new one to prolong it"
                    ),
                }),
            }
        }
        Word::Override(Override { .. }) if role < Role::Admin => Err(ApiError::Refused {
            code: "forbidden",
            message: format!("The token `{by}` is a {role}'s; an override takes the role admin"),
        }),
        Word::Override(ask) => {
            let approval = store.override_rails(ask).await?;
            let body = json!({ "success": true, "approval": approval });
            Ok((StatusCode::CREATED, Json(body)).into_response())
        }
    }
}

/// `GET …/reports`: the stored ones, or with a period the one around a day.
pub(super) async fn reports(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let asked = query::escalation_report(&query.unwrap_or_default())?;
    let desk = api.overnight.desk();
    let Some((period, day, format)) = asked else {
        return Ok(Json(desk.reports().await?).into_response());
    };
    let now = Utc::now();
    let report = desk.report(period, day.unwrap_or_else(|| now.date_naive()), now).await?;
    Ok(match format {
        ReportFormat::Json => Json(json!({ "success": true, "report": report })).into_response(),
        ReportFormat::Markdown | ReportFormat::Text => {
            ([(CONTENT_TYPE, "text/plain; charset=utf-8")], report.text()).into_response()
        }
    })
}
