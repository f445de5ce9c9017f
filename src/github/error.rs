//! What can go wrong when talking to GitHub, in words a person can act on.
//!
//! Owns the typed errors, their stable codes and hints. Never decides what to do about one.

use chrono::{DateTime, Utc};

/// A call to GitHub that did not do what it was asked. `doing` says what was tried, as in
/// `reading the open issues of octo/app`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitHubError {
    #[error(
        "there is no GitHub credential; set GITHUB_TOKEN, or GITHUB_APP_ID with GITHUB_APP_PRIVATE_KEY"
    )]
    NoCredential,
    /// The address or the credential cannot be used at all.
    #[error("{variable} cannot be used: {reason}")]
    Setup { variable: &'static str, reason: String },
    #[error(
        "GitHub does not accept the credential while {doing} (401: {message}); it is wrong or has expired, set GITHUB_TOKEN (or the App's key) anew"
    )]
    Unauthorized { doing: String, message: String },
    #[error(
        "GitHub forbids {doing} (403: {message}); the token lacks a permission: it needs read access to metadata, and write access to contents, issues and pull requests"
    )]
    Forbidden { doing: String, message: String },
    #[error(
        "GitHub found nothing while {doing} (404); the repository does not exist, or the token cannot see it: check OWNER/REPO, or give the token access"
    )]
    NotFound { doing: String },
    /// Understood and refused, mostly 422.
    #[error("GitHub refused {doing} ({status}: {message})")]
    Invalid { doing: String, status: u16, message: String },
    #[error("GitHub's rate limit stops {doing}{}; try again then, or use a credential of its own for Foreman", when(.until.as_ref()))]
    RateLimited { doing: String, until: Option<DateTime<Utc>> },
    #[error("GitHub failed while {doing} (status {status}); try again later")]
    Server { doing: String, status: u16 },
    /// No answer. Of a request that changes something it is not known whether it was carried out.
    #[error("no answer from GitHub while {doing}: {reason}; check GITHUB_API_URL and the network")]
    Transport { doing: String, reason: String },
    /// Foreman was told to stop. Of a change it is not known whether it was carried out.
    #[error("stopped while {doing}")]
    Stopped { doing: String },
    #[error(
        "GitHub's answer to {doing} cannot be read: {reason}; check that GITHUB_API_URL names a GitHub API"
    )]
    Unreadable { doing: String, reason: String },
}

impl GitHubError {
    /// The stable name of the cause.
    #[must_use]
    pub const fn reason_code(&self) -> &'static str {
        match self {
            Self::NoCredential => "github_no_credential",
            Self::Setup { .. } => "github_setup",
            Self::Unauthorized { .. } => "github_unauthorized",
            Self::Forbidden { .. } => "github_forbidden",
            Self::NotFound { .. } => "github_not_found",
            Self::Invalid { .. } => "github_refused",
            Self::RateLimited { .. } => "github_rate_limited",
            Self::Server { .. } => "github_server_error",
            Self::Transport { .. } => "github_unreachable",
            Self::Stopped { .. } => "github_stopped",
            Self::Unreadable { .. } => "github_unreadable",
        }
    }

    /// Whether a request that changes something may have been carried out although it failed:
    /// look before asking again.
    #[must_use]
    pub const fn may_have_happened(&self) -> bool {
        match self {
            Self::Server { .. }
            | Self::Transport { .. }
            | Self::Stopped { .. }
            | Self::Unreadable { .. } => true,
            Self::NoCredential
            | Self::Setup { .. }
            | Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::Invalid { .. }
            | Self::RateLimited { .. } => false,
        }
    }

    /// Whether the same request may well succeed later without anybody changing anything.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::RateLimited { .. }
            | Self::Server { .. }
            | Self::Transport { .. }
            | Self::Stopped { .. } => true,
            Self::NoCredential
            | Self::Setup { .. }
            | Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::Invalid { .. }
            | Self::Unreadable { .. } => false,
        }
    }
}

fn when(until: Option<&DateTime<Utc>>) -> String {
    until.map_or_else(String::new, |at| format!(" until {}", at.format("%Y-%m-%dT%H:%M:%SZ")))
}
