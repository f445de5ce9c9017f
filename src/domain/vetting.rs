//! What was found out about the people around an issue: who approved it and when, which labels may
//! not spend, what trusted people said about it.
//!
//! Plain data from GitHub's own facts. Who looks and who decides is intake's and planning's business.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The people's part of an issue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Vetting {
    /// The approval that let a stranger's issue in.
    pub approval: Option<Approval>,
    /// Labels that may not spend, each with the reason: who set it has no write access.
    pub void_labels: Vec<VoidLabel>,
    /// Comments by people with write access, oldest first. All others are left out.
    pub comments: Vec<TrustedComment>,
    /// How many comments there are at all; `None` where GitHub does not say.
    pub comment_count: Option<u64>,
    /// Comments that were left out because their authors are not trusted.
    pub left_out: u32,
}

/// The setting of the approval label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    pub by: String,
    /// `None` where GitHub does not say.
    pub at: Option<DateTime<Utc>>,
    /// The title was changed after it.
    pub renamed_since: bool,
}

/// A label that spends, set by somebody who may not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoidLabel {
    pub name: String,
    pub why: String,
}

/// A comment of somebody with write access. Still text, and data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedComment {
    pub author: String,
    pub body: String,
}
