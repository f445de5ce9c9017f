//! From a POST's bytes to a night's request: every mistake becomes a sentence. Pure.
//!
//! The body is read by hand, not by a derive, so that each error names the key, what it got and
//! what it takes.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::error::ApiError;
use super::night_config;
use crate::domain::ids::{NameError, RepoName};
use crate::domain::run::{NightConfig, NightRequest};

/// A request to start or plan a night.
#[derive(Debug, Clone, PartialEq)]
pub struct NightBody {
    pub request: NightRequest,
    /// Hex SHA-256 of the body's canonical form: the same for the same JSON value, however it is
    /// spaced and ordered.
    pub sha256: String,
}

/// Which route the body was sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Start,
    /// Knows no `dryRun`: it never does anything.
    Plan,
}

/// Parses a body; `defaults` stand where `config` says nothing.
pub fn parse(bytes: &[u8], kind: Kind, defaults: &NightConfig) -> Result<NightBody, ApiError> {
    let value = json(bytes)?;
    let Value::Object(body) = &value else {
        let message = format!("The body is {}; it takes a JSON object", describe(&value));
        return Err(ApiError::invalid("invalid_body", message));
    };
    // The contract fixes these words, whichever of the two is missing.
    let (Some(owner), Some(repo)) = (name(body, "owner")?, name(body, "repo")?) else {
        return Err(ApiError::MissingParameters("owner, repo"));
    };
    let known: &[&str] = match kind {
        Kind::Start => &["owner", "repo", "config", "dryRun"],
        Kind::Plan => &["owner", "repo", "config"],
    };
    if let Some(key) = body.keys().find(|key| !known.contains(&key.as_str())) {
        let message =
            format!("`{}` is not a key of this request; it takes {}", shown(key), known.join(", "));
        return Err(ApiError::invalid("unknown_key", message));
    }
    let repo = repository(owner, repo)?;
    let config = match body.get("config") {
        None => defaults.clone(),
        Some(Value::Object(given)) => night_config::merge(defaults, given)?,
        Some(other) => return Err(wrong("config", other, "an object")),
    };
    let dry_run = match body.get("dryRun") {
        None => false,
        Some(Value::Bool(dry_run)) => *dry_run,
        Some(other) => return Err(wrong("dryRun", other, "true or false")),
    };
    let sha256 = hex::encode(Sha256::digest(canonical(&value).as_bytes()));
    Ok(NightBody { request: NightRequest { repo, config, dry_run }, sha256 })
}

/// `{owner, repo, dryRun?}` of `POST …/governance/issues`.
pub fn target(bytes: &[u8]) -> Result<(RepoName, bool), ApiError> {
    let value = json(bytes)?;
    let Value::Object(body) = &value else {
        let message = format!("The body is {}; it takes a JSON object", describe(&value));
        return Err(ApiError::invalid("invalid_body", message));
    };
    let (Some(owner), Some(repo)) = (name(body, "owner")?, name(body, "repo")?) else {
        return Err(ApiError::MissingParameters("owner, repo"));
    };
    let known = ["owner", "repo", "dryRun"];
    if let Some(key) = body.keys().find(|key| !known.contains(&key.as_str())) {
        let message =
            format!("`{}` is not a key of this request; it takes {}", shown(key), known.join(", "));
        return Err(ApiError::invalid("unknown_key", message));
    }
    let dry_run = match body.get("dryRun") {
        None => false,
        Some(Value::Bool(dry_run)) => *dry_run,
        Some(other) => return Err(wrong("dryRun", other, "true or false")),
    };
    Ok((repository(owner, repo)?, dry_run))
}

/// For routes that take nothing: an empty body or an empty object.
pub fn nothing(bytes: &[u8]) -> Result<(), ApiError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(());
    }
    match json(bytes)? {
        Value::Object(body) if body.is_empty() => Ok(()),
        _ => Err(ApiError::invalid("unknown_key", "This request takes no body")),
    }
}

/// A body that is an object; `needed` are the parameters that an empty one misses.
pub(super) fn object(bytes: &[u8], needed: &'static str) -> Result<Map<String, Value>, ApiError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(ApiError::MissingParameters(needed));
    }
    match json(bytes)? {
        Value::Object(body) => Ok(body),
        other => {
            let message = format!("The body is {}; it takes a JSON object", describe(&other));
            Err(ApiError::invalid("invalid_body", message))
        }
    }
}

fn json(bytes: &[u8]) -> Result<Value, ApiError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(ApiError::MissingParameters("owner, repo"));
    }
    let value = serde_json::from_slice(bytes).map_err(|error| {
        ApiError::invalid("invalid_json", format!("The body is not JSON: {error}"))
    })?;
    if holds_nul(&value) {
        return Err(ApiError::invalid("invalid_value", NUL));
    }
    Ok(value)
}

/// No database takes it in a text, and no name or label has one.
pub(super) const NUL: &str = "A text holds the character NUL (U+0000); leave it out";

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(map) => map.iter().any(|(key, it)| key.contains('\0') || holds_nul(it)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A name that is there: `null` and an empty text are as good as none.
fn name<'a>(body: &'a Map<String, Value>, key: &str) -> Result<Option<&'a str>, ApiError> {
    match body.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(wrong(key, other, "a name as text")),
    }
}

/// A repository by names that GitHub would accept.
pub(super) fn repository(owner: &str, repo: &str) -> Result<RepoName, ApiError> {
    RepoName::new(owner, repo).map_err(|error| {
        let error = match error {
            NameError::Owner(text) => NameError::Owner(shown(&text)),
            NameError::Repository(text) => NameError::Repository(shown(&text)),
            NameError::Slug(text) => NameError::Slug(shown(&text)),
            NameError::ObjectId(text) => NameError::ObjectId(shown(&text)),
        };
        ApiError::invalid("invalid_name", error.to_string())
    })
}

/// A 400 for a value of the wrong kind or out of its bounds.
pub(super) fn wrong(key: &str, got: &Value, takes: &str) -> ApiError {
    ApiError::invalid("invalid_value", format!("{key} is {}; it takes {takes}", describe(got)))
}

/// A value as it may stand in a sentence.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("`{}`", shown(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// A client's text, short and without control characters.
pub(super) fn shown(text: &str) -> String {
    let short: String = text.chars().filter(|c| !c.is_control()).take(60).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}

/// The same text for the same JSON value: keys sorted, no blanks.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<_> = map.iter().collect();
            keys.sort_by_key(|(key, _)| key.as_str());
            let parts: Vec<_> = keys
                .into_iter()
                .map(|(key, item)| format!("{}:{}", Value::from(key.as_str()), canonical(item)))
                .collect();
            format!("{{{}}}", parts.join(","))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}
