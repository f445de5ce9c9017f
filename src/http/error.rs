//! The one mapping from what went wrong to a status and `{"error", "code"}`. A 500 says only that
//! something failed; its cause travels in the response's extensions to be logged once.

use axum::Json;
use axum::http::header::{CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::desktop_sync::DesktopError;
use crate::domain::ids::{IssueNumber, RunId};
use crate::github::GitHubError;
use crate::governance::{GovernanceError, VerifyError};
use crate::overnight::{PlanError, StartError};
use crate::store::StoreError;

/// Why a request was not answered as asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// 400, with a code of its own.
    #[error("{message}")]
    Invalid { code: &'static str, message: String },
    /// 400; the contract fixes the words.
    #[error("Missing required parameters: {0}")]
    MissingParameters(&'static str),
    /// 401.
    #[error("{0}")]
    Unauthorized(&'static str),
    /// 403, with a code of its own.
    #[error("{message}")]
    Refused { code: &'static str, message: String },
    /// 404.
    #[error("{message}")]
    NotFound { code: &'static str, message: String },
    /// 405.
    #[error("This route does not answer {0}")]
    Method(String),
    /// 409: the repository has a night under way.
    #[error(
        "The run {0} is active for this repository; wait until it ends, or end it with `foreman cancel {0}`"
    )]
    RunActive(RunId),
    /// 409, with a code of its own.
    #[error("{message}")]
    Conflict { code: &'static str, message: String },
    /// 413.
    #[error("The body is larger than 1 MiB")]
    TooLarge,
    /// 422.
    #[error(
        "There is no GitHub credential; set GITHUB_TOKEN, or GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY"
    )]
    NoCredential,
    /// 502: GitHub did not do its part.
    #[error("{message}")]
    Upstream { message: String },
    /// 503.
    #[error("{message}")]
    Unavailable { code: &'static str, message: String },
    /// 504.
    #[error("The answer took too long; try again")]
    Timeout,
    /// 500: the cause is for the log.
    #[error("{0}")]
    Internal(String),
}

/// The cause of a 500, from the handler to the log.
#[derive(Debug, Clone)]
pub(super) struct Cause(pub String);

impl ApiError {
    /// A 400 that says what was got and what is taken.
    pub fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid { code, message: message.into() }
    }

    /// 404 for a run nobody knows.
    #[must_use]
    pub fn unknown_run(id: &str) -> Self {
        let shown: String = id.chars().take(64).collect();
        Self::NotFound { code: "unknown_run", message: format!("There is no run `{shown}`") }
    }

    pub fn unknown_issue(issue: IssueNumber) -> Self {
        Self::NotFound {
            code: "unknown_issue",
            message: format!("{issue} is no issue of this run"),
        }
    }

    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Invalid { .. } | Self::MissingParameters(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Refused { .. } => StatusCode::FORBIDDEN,
            Self::NotFound { .. } => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::RunActive(_) | Self::Conflict { .. } => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NoCredential => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Upstream { .. } => StatusCode::BAD_GATEWAY,
            Self::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The stable name of the error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Invalid { code, .. }
            | Self::Refused { code, .. }
            | Self::NotFound { code, .. }
            | Self::Conflict { code, .. }
            | Self::Unavailable { code, .. } => code,
            Self::MissingParameters(_) => "missing_parameters",
            Self::Unauthorized(_) => "unauthorized",
            Self::Method(_) => "method_not_allowed",
            Self::RunActive(_) => "run_active",
            Self::TooLarge => "body_too_large",
            Self::NoCredential => "no_github_credential",
            Self::Upstream { .. } => "github_failed",
            Self::Timeout => "timeout",
            Self::Internal(_) => "internal",
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = (self.status(), self.code());
        let mut body = json!({ "error": self.to_string(), "code": code });
        match &self {
            // The request layer fills in the request id.
            Self::Internal(cause) => {
                return (status, axum::Extension(Cause(cause.clone()))).into_response();
            }
            Self::RunActive(run) => body["runId"] = json!(run),
            Self::Invalid { .. }
            | Self::MissingParameters(_)
            | Self::Unauthorized(_)
            | Self::Refused { .. }
            | Self::NotFound { .. }
            | Self::Method(_)
            | Self::Conflict { .. }
            | Self::TooLarge
            | Self::NoCredential
            | Self::Upstream { .. }
            | Self::Unavailable { .. }
            | Self::Timeout => {}
        }
        let mut response = (status, Json(body)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let value = HeaderValue::from_static("Bearer realm=\"foreman\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, value);
        }
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            // The body is left unread, so the connection cannot carry another request.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if error.is_full() {
            tracing::error!(%error, "the database has no room left");
            return Self::Unavailable {
                code: "storage_full",
                message:
                    "The database has no room left; free some disk space, the rest goes by itself"
                        .to_owned(),
            };
        }
        if let StoreError::Memory(why) = error {
            return Self::invalid("invalid_entry", format!("That cannot be remembered: {why}"));
        }
        Self::Internal(with_sources(&error))
    }
}

impl From<StartError> for ApiError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Disabled => Self::Refused {
                code: "overnight_disabled",
                message:
                    "Overnight execution is off; set OVERNIGHT_EXECUTION_ENABLED=true and restart"
                        .to_owned(),
            },
            StartError::NoCredential => Self::NoCredential,
            StartError::RunActive(run) => Self::RunActive(run),
            StartError::KeyReused { key } => Self::Conflict {
                code: "idempotency_key_reused",
                message: format!("The Idempotency-Key `{key}` was used with another body"),
            },
            StartError::ShuttingDown => Self::Unavailable {
                code: "shutting_down",
                message: "Foreman is stopping; try again when it is back".to_owned(),
            },
            error @ StartError::DiskFull { .. } => {
                Self::Unavailable { code: "disk_full", message: error.to_string() }
            }
            StartError::Store(error) => error.into(),
        }
    }
}

impl From<DesktopError> for ApiError {
    fn from(error: DesktopError) -> Self {
        let message = error.to_string();
        match error {
            DesktopError::UnknownRepository(_) => {
                Self::NotFound { code: "unknown_repository", message }
            }
            DesktopError::Disabled => Self::Refused { code: "desktop_disabled", message },
            DesktopError::NotSafe { .. } => Self::Conflict { code: "not_safe_to_merge", message },
            DesktopError::Unknown { .. } => Self::Conflict { code: "drift_unknown", message },
            DesktopError::Failed { .. } => Self::Conflict { code: "merge_failed", message },
            DesktopError::Store(error) => error.into(),
        }
    }
}

impl From<VerifyError> for ApiError {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Store(error) => error.into(),
            other @ (VerifyError::Checkpoint(_)
            | VerifyError::NoCheckpoint
            | VerifyError::Broken(_)) => Self::Internal(with_sources(&other)),
        }
    }
}

impl From<GovernanceError> for ApiError {
    fn from(error: GovernanceError) -> Self {
        match error {
            GovernanceError::GitHub(GitHubError::NoCredential) => Self::NoCredential,
            GovernanceError::GitHub(error) => Self::Upstream { message: error.to_string() },
            GovernanceError::Store(error) => error.into(),
            other @ (GovernanceError::Checkpoint(_)
            | GovernanceError::Template(_)
            | GovernanceError::Sender(_)) => Self::Internal(with_sources(&other)),
        }
    }
}

impl From<PlanError> for ApiError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::NoCredential => Self::NoCredential,
            PlanError::GitHub(error) => Self::Upstream { message: error.to_string() },
            PlanError::Git(error) => Self::Upstream { message: error.to_string() },
            PlanError::Store(error) => error.into(),
        }
    }
}

/// An error with what caused it, for the log.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
