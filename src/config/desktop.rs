//! `[desktop]` and `[[desktop.repositories]]`: the local clones as the file has them.

use std::path::PathBuf;

use serde::Deserialize;

/// `[desktop]` as the file has it; the variables come on top.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DesktopTable {
    /// Default false.
    pub enabled: bool,
    /// Between two checks. Default 30.
    pub interval_minutes: u32,
    /// Failed checks until the builder is switched. Default 3.
    pub switch_after_failures: u32,
    /// Healthy checks until it is switched back. Default 3.
    pub return_after_healthy: u32,
    /// Minutes that it is not switched back before. Default 60.
    pub return_after_minutes: u32,
    /// What a merge may do. Default `clean`.
    pub merge: DesktopMerge,
    /// Whether the check merges by itself what is safe. Default false.
    pub auto_merge: bool,
    pub repositories: Vec<LocalRepository>,
}

impl Default for DesktopTable {
    fn default() -> Self {
        Self {
            enabled: false,
            interval_minutes: 30,
            switch_after_failures: 3,
            return_after_healthy: 3,
            return_after_minutes: 60,
            merge: DesktopMerge::Clean,
            auto_merge: false,
            repositories: Vec::new(),
        }
    }
}

/// How far a merge into a local clone may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DesktopMerge {
    /// A fast-forward, or a merge without conflict.
    Clean,
    FastForward,
}

/// `[[desktop.repositories]]`: a local clone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalRepository {
    pub id: String,
    pub path: PathBuf,
    /// Default: the branch the remote calls its own.
    #[serde(default)]
    pub branch: Option<String>,
    /// A command that what a merge would leave must pass. Default none.
    #[serde(default)]
    pub check: Option<String>,
    /// Seconds that it may take. Default 600.
    #[serde(default = "ten_minutes")]
    pub check_seconds: u32,
}

pub(super) const fn ten_minutes() -> u32 {
    600
}
