//! `/api/foreman/desktop/builder`: who builds, and putting the switch by hand.

use axum::Json;
use axum::extract::{Extension, RawQuery, State};
use serde_json::{Value, json};

use super::access::Caller;
use super::error::ApiError;
use super::extract::Body;
use super::{Api, body, query};
use crate::builders::SwitchError;
use crate::domain::switch::Builder;

/// Longest reason, in characters.
const LONGEST_REASON: usize = 500;

/// `GET`: which builder is active, since when and why, and what speaks for a switch.
pub(super) async fn show(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    query::none(&query.unwrap_or_default())?;
    let builder = api.overnight.switchboard().describe().await?;
    Ok(Json(json!({ "success": true, "builder": builder })))
}

/// `POST {builder, reason?}`: what a person puts to `desktop` stays until a person puts it back.
pub(super) async fn switch(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
    caller: Option<Extension<Caller>>,
    Body(bytes): Body,
) -> Result<Json<Value>, ApiError> {
    query::none(&query.unwrap_or_default())?;
    let (to, reason) = asked(&bytes)?;
    let who = caller.map_or_else(|| "an operator".to_owned(), |Extension(caller)| caller.name);
    let reason = match reason {
        Some(reason) => format!("{who} says: {reason}"),
        None => format!("{who} says so"),
    };
    let switchboard = api.overnight.switchboard();
    let (switched, _) = switchboard.switch_builder(to, &reason).await?;
    let builder = switchboard.describe().await?;
    Ok(Json(json!({ "success": true, "switched": switched, "builder": builder })))
}

fn asked(bytes: &[u8]) -> Result<(Builder, Option<String>), ApiError> {
    let body = body::object(bytes, "builder")?;
    if let Some(key) = body.keys().find(|key| !["builder", "reason"].contains(&key.as_str())) {
        let message = format!(
            "`{}` is not a key of this request; it takes builder, reason",
            body::shown(key)
        );
        return Err(ApiError::invalid("unknown_key", message));
    }
    let to = match body.get("builder") {
        None | Some(Value::Null) => return Err(ApiError::MissingParameters("builder")),
        Some(Value::String(text)) => text.parse().ok(),
        Some(_) => None,
    };
    let to = to.ok_or_else(|| {
        body::wrong("builder", body.get("builder").unwrap_or(&Value::Null), "copilot or desktop")
    })?;
    let reason = match body.get("reason") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.trim().is_empty() => None,
        Some(Value::String(text)) if text.chars().count() <= LONGEST_REASON => {
            Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
        }
        Some(other) => {
            let takes = format!("a text of at most {LONGEST_REASON} characters");
            return Err(body::wrong("reason", other, &takes));
        }
    };
    Ok((to, reason))
}

impl From<SwitchError> for ApiError {
    fn from(error: SwitchError) -> Self {
        match error {
            SwitchError::NoCopilot(why) => {
                Self::Conflict { code: "copilot_not_enabled", message: why.to_string() }
            }
            SwitchError::Store(error) => error.into(),
        }
    }
}
