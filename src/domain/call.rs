//! One upstream request to a model: its conversation, its answer, its error class.
//!
//! Owns our own shape of a conversation, so that what is stored does not depend on a client crate.

use serde::{Deserialize, Serialize};

use super::money::Usage;

/// A turn of the conversation, as stored and as sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Message {
    System { content: String },
    User { content: String },
    Assistant { content: Option<String>, tool_calls: Vec<ToolCall> },
    Tool { tool_call_id: String, content: String },
}

/// A tool the model asked for. `arguments` is the raw text it sent; it may not be JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    pub id: String,
    pub name: String,
    pub arguments: String,
}

/// A tool as it is offered: name, what it does, JSON schema of its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolSpec {
    pub name: String,
    pub description: String,
    pub parameters: serde_json::Value,
}

/// Why the model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    Stop,
    ToolCalls,
    Length,
    ContentFilter,
    Other,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub content: Option<String>,
    pub tool_calls: Vec<ToolCall>,
    pub finish: FinishReason,
    /// `None`: a 200 without readable usage; its charge is unknown and booked at the estimate.
    pub usage: Option<Usage>,
    pub service_tier: Option<String>,
    pub model: Option<String>,
    pub request_id: Option<String>,
}

/// What went wrong with a call, matched by `error.code`, then `type`, then status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// 429 `rate_limit_exceeded`, `slow_down`.
    RateLimited,
    /// 429 `insufficient_quota` and spend limits: the whole key is out.
    InsufficientQuota,
    /// The prompt is larger than the window.
    ContextLength,
    /// 500, 502, 503, 504, overloaded.
    Server,
    /// The connection failed before anything was answered.
    Connection,
    /// 408 or our own deadline.
    Timeout,
    /// 401, 403.
    Auth,
    /// 404 `model_not_found`.
    ModelNotFound,
    /// Content filter or refusal.
    Refused,
    /// Another 400 or 422: our bug.
    BadRequest,
    /// 200 that does not parse, a cut stream.
    Malformed,
}

impl ErrorClass {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RateLimited => "rate_limited",
            Self::InsufficientQuota => "insufficient_quota",
            Self::ContextLength => "context_length",
            Self::Server => "server",
            Self::Connection => "connection",
            Self::Timeout => "timeout",
            Self::Auth => "auth",
            Self::ModelNotFound => "model_not_found",
            Self::Refused => "refused",
            Self::BadRequest => "bad_request",
            Self::Malformed => "malformed",
        }
    }
}

/// Whether a failed call cost anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Charge {
    /// An HTTP error answer costs nothing.
    None,
    /// Sent, and no whole answer: booked at the estimate.
    Unknown,
    /// The answer was unusable but its usage was readable, and the service tier it was given by.
    Known(Box<Spent>),
}

/// What an answer used, and by which service it was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    pub usage: Usage,
    pub service_tier: Option<String>,
}
