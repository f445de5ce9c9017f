//! The class of a failed call: by `error.code`, then `type`, then what the message says, then
//! status.
//!
//! Owns that one mapping and the reading of `Retry-After`. Never decides what follows from a class.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::domain::call::{Charge, ErrorClass};
use crate::domain::redact::Redactor;

/// A provider's message is cut here before it is stored.
const MESSAGE_CAP: usize = 400;

/// A call that gave no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", class.as_str())]
pub struct CallError {
    pub class: ErrorClass,
    pub status: Option<u16>,
    pub code: Option<String>,
    pub retry_after: Option<Duration>,
    /// Redacted and short.
    pub message: String,
    pub charge: Charge,
    pub request_id: Option<Box<str>>,
}

/// What an error body says, whatever its shape.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    code: Option<String>,
    kind: Option<String>,
    message: String,
}

/// The error of an answer that is not a success.
pub(super) fn from_response(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: DateTime<Utc>,
    redactor: &Redactor,
) -> CallError {
    let said = read_body(body);
    let class = classify(status, &said);
    CallError {
        class,
        status: Some(status.as_u16()),
        retry_after: parse_retry_after(headers, now),
        message: short(&format!("HTTP {}: {}", status.as_u16(), said.message), redactor),
        // An error answer costs nothing, but who timed out upstream may have been charged.
        charge: match class {
            ErrorClass::Timeout => Charge::Unknown,
            ErrorClass::RateLimited
            | ErrorClass::InsufficientQuota
            | ErrorClass::ContextLength
            | ErrorClass::Server
            | ErrorClass::Connection
            | ErrorClass::Auth
            | ErrorClass::ModelNotFound
            | ErrorClass::Refused
            | ErrorClass::BadRequest
            | ErrorClass::Malformed => Charge::None,
        },
        code: said.code.or(said.kind).map(|code| short(&code, redactor)),
        request_id: None,
    }
}

/// The class of an error object inside a 200, as some gateways send it.
pub(super) fn class_of_embedded(error: &Value) -> (ErrorClass, String) {
    let said = read_value(error);
    (classify(StatusCode::INTERNAL_SERVER_ERROR, &said), said.message)
}

/// A text cut and cleaned of known secrets.
pub(super) fn short(text: &str, redactor: &Redactor) -> String {
    let clean = redactor.redact(text);
    let mut out: String = clean.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = out.char_indices().nth(MESSAGE_CAP) {
        out.truncate(cut);
        out.push('…');
    }
    out
}

fn read_body(body: &[u8]) -> Said {
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => read_value(&value),
        Err(_) => Said { message: String::from_utf8_lossy(body).into_owned(), ..Said::default() },
    }
}

/// `{"error": {…}}`, `{"error": "…"}`, `{"message": …}`, `{"detail": …}`, a list of any, a string.
fn read_value(value: &Value) -> Said {
    let inner = match value {
        Value::Array(items) => items.first().unwrap_or(value),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            value
        }
    };
    let inner = inner.get("error").filter(|error| !error.is_null()).unwrap_or(inner);
    let text = |key: &str| match inner.get(key) {
        Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(_) | None => None,
    };
    let message = text("message").or_else(|| text("detail")).unwrap_or_else(|| match inner {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    Said { code: text("code"), kind: text("type").or_else(|| text("status")), message }
}

fn classify(status: StatusCode, said: &Said) -> ErrorClass {
    // One request above a minute's allowance is refused as a rate limit, and will be every time.
    if status == StatusCode::TOO_MANY_REQUESTS
        && said.message.to_ascii_lowercase().starts_with("request too large")
    {
        return ErrorClass::ContextLength;
    }
    said.code
        .as_deref()
        .and_then(by_word)
        .or_else(|| said.kind.as_deref().and_then(by_word))
        .or_else(|| by_message(status, &said.message))
        .unwrap_or_else(|| by_status(status))
}

/// Codes and types that say what happened. `invalid_request_error` says too little to be here.
fn by_word(word: &str) -> Option<ErrorClass> {
    Some(match word.to_ascii_lowercase().as_str() {
        "rate_limit_exceeded"
        | "slow_down"
        | "rate_limit_error"
        | "rate_limited"
        | "too_many_requests" => ErrorClass::RateLimited,
        "insufficient_quota"
        | "billing_hard_limit_reached"
        | "billing_not_active"
        | "billing_error"
        | "quota_exceeded"
        | "spend_limit_exceeded"
        | "spend_limit_reached"
        | "project_spend_limit_reached"
        | "organization_spend_limit_reached"
        | "insufficient_credits"
        | "insufficient_funds"
        | "credit_balance_too_low"
        | "usage_limit_reached"
        | "usage_not_included"
        | "budget_exceeded"
        | "payment_required" => ErrorClass::InsufficientQuota,
        "context_length_exceeded"
        | "exceed_context_size_error"
        | "context_window_exceeded"
        | "prompt_too_long"
        | "request_too_large"
        | "string_above_max_length" => ErrorClass::ContextLength,
        "invalid_api_key"
        | "incorrect_api_key"
        | "authentication_error"
        | "authentication_failed"
        | "permission_error"
        | "permission_denied"
        | "account_deactivated"
        | "unauthorized"
        | "unauthenticated"
        | "organization_deactivated"
        | "invalid_organization"
        | "mismatched_organization"
        | "ip_not_authorized"
        | "unsupported_country_region_territory" => ErrorClass::Auth,
        "model_not_found"
        | "deploymentnotfound"
        | "model_not_available"
        | "model_not_supported"
        | "unsupported_model"
        | "model_deprecated"
        | "model_decommissioned" => ErrorClass::ModelNotFound,
        "content_filter"
        | "content_filtered"
        | "invalid_prompt"
        | "content_policy_violation"
        | "moderation_blocked"
        | "responsibleaipolicyviolation"
        | "refusal" => ErrorClass::Refused,
        "server_error"
        | "internal_error"
        | "internal_server_error"
        | "overloaded"
        | "overloaded_error"
        | "engine_overloaded"
        | "server_overloaded"
        | "service_unavailable"
        | "unavailable_error"
        | "bad_gateway" => ErrorClass::Server,
        "timeout" | "request_timeout" | "timeout_error" | "request_timed_out"
        | "deadline_exceeded" => ErrorClass::Timeout,
        _ => return None,
    })
}

/// Servers without codes: Ollama, vLLM, old llama.cpp. Only where the status agrees.
fn by_message(status: StatusCode, message: &str) -> Option<ErrorClass> {
    let message = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    match status.as_u16() {
        400 | 413 | 422 | 500
            if says(&[
                "maximum context length",
                "exceeds the available context size",
                "context length exceeded",
                "context window",
                "prompt is too long",
            ]) =>
        {
            Some(ErrorClass::ContextLength)
        }
        429 if says(&["exceeded your current quota", "check your plan and billing"]) => {
            Some(ErrorClass::InsufficientQuota)
        }
        400 if says(&["content management policy", "content filter"]) => Some(ErrorClass::Refused),
        _ => None,
    }
}

fn by_status(status: StatusCode) -> ErrorClass {
    match status.as_u16() {
        401 | 403 => ErrorClass::Auth,
        402 => ErrorClass::InsufficientQuota,
        404 => ErrorClass::ModelNotFound,
        408 => ErrorClass::Timeout,
        413 => ErrorClass::ContextLength,
        429 => ErrorClass::RateLimited,
        // 409 is OpenAI's "try again", 425 HTTP's.
        409 | 425 | 500..=599 => ErrorClass::Server,
        _ => ErrorClass::BadRequest,
    }
}

/// How long the provider asks us to wait: `retry-after-ms`, seconds, or an HTTP date.
#[must_use]
pub fn parse_retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).ok();
    if let Some(millis) = header("retry-after-ms").and_then(|text| text.trim().parse::<f64>().ok())
    {
        return seconds(millis / 1_000.0);
    }
    let text = header("retry-after")?.trim();
    if let Ok(number) = text.parse::<f64>() {
        return seconds(number);
    }
    let at = DateTime::parse_from_rfc2822(text).ok()?;
    // A date already past asks for no wait.
    Some((at.with_timezone(&Utc) - now).to_std().unwrap_or_default())
}

#[cfg(test)]
#[path = "errors_tests.rs"]
mod tests;
