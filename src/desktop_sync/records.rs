//! What is said of local clones, in the contract's words. Plain data.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use crate::git::clone::FileDrift;

/// How a clone stands to its remote's branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftState {
    InSync,
    /// It has commits that the remote has not.
    Ahead,
    /// The remote has commits that it has not.
    Behind,
    Diverged,
    /// It could not be found out. Never safe.
    Unknown,
}

impl DriftState {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InSync => "in_sync",
            Self::Ahead => "ahead",
            Self::Behind => "behind",
            Self::Diverged => "diverged",
            Self::Unknown => "unknown",
        }
    }
}

/// A clone held against its remote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftDetectionResult {
    pub repository_id: String,
    pub has_drift: bool,
    pub state: DriftState,
    /// What is checked out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub local_commit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub remote_commit: Option<String>,
    /// Paths that differ from the merge base on either side.
    pub diverged_files: Vec<String>,
    /// A merge would conflict, or there is no common history to merge on.
    pub conflict_resolution_required: bool,
    /// A merge would certainly harm nothing; also where there is nothing to merge.
    pub safe_to_merge: bool,
    /// Why the state is not known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error_message: Option<String>,
    /// The remote's branch that it was held against.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub branch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub merge_base: Option<String>,
    /// Commits that only the clone has.
    pub ahead: u64,
    /// Commits that only the remote has.
    pub behind: u64,
    /// What happened to each diverged file, on which side.
    pub changes: Vec<FileDrift>,
    /// The files that conflict.
    pub conflicts: Vec<String>,
    /// Why a merge is not safe, each with how to mend it.
    pub blockers: Vec<String>,
}

impl DriftDetectionResult {
    /// Nothing is known but why.
    #[must_use]
    pub fn unknown(id: &str, local: Option<String>, why: impl Into<String>) -> Self {
        Self {
            repository_id: id.to_owned(),
            has_drift: false,
            state: DriftState::Unknown,
            local_commit: local,
            remote_commit: None,
            diverged_files: Vec::new(),
            conflict_resolution_required: false,
            safe_to_merge: false,
            error_message: Some(why.into()),
            branch: None,
            merge_base: None,
            ahead: 0,
            behind: 0,
            changes: Vec::new(),
            conflicts: Vec::new(),
            blockers: Vec::new(),
        }
    }
}

/// What kind of thing happened to a clone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncEventType {
    HealthCheck,
    DriftDetected,
    SyncStarted,
    SyncCompleted,
    SyncFailed,
}

/// One thing that happened to a clone. Stands in the metadata of its governance event, whose id and
/// time are these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DesktopSyncEvent {
    pub id: String,
    pub timestamp: DateTime<Utc>,
    pub event_type: SyncEventType,
    pub repository_id: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub drift_result: Option<DriftDetectionResult>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sync_success: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error_message: Option<String>,
}

/// Whether one can build on this machine, and what to mend where not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    pub ready: bool,
    /// Each a sentence that says how to mend it.
    pub issues: Vec<String>,
    pub repositories: Vec<RepositoryHealth>,
    pub builder: BuilderHealth,
    pub checked_at: DateTime<Utc>,
}

/// One clone's health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryHealth {
    pub id: String,
    pub path: String,
    pub ready: bool,
    pub issues: Vec<String>,
    /// The branch it is on; none where its HEAD is detached.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub branch: Option<String>,
    pub clean: bool,
    pub remote_reachable: bool,
    /// How long the remote took to say where its branch is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub remote_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub free_bytes: Option<u64>,
    /// How it stands to its remote.
    pub drift: DriftDetectionResult,
}

/// The local builder's health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuilderHealth {
    /// `command`, `server` or `none`.
    pub kind: String,
    pub ready: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub issue: Option<String>,
}

/// What a night's plan says of the clones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DesktopVerdict {
    pub ready: bool,
    pub issues: Vec<String>,
    pub repositories: Vec<DriftDetectionResult>,
}
