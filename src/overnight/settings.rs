//! What the engine is made of and set to: the rooms below, and the operator's settings.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use serde_json::json;

use super::StartError;
use crate::builders::{Builders, CopilotLimits, Switchboard, WorkLimits};
use crate::desktop_sync::DesktopSync;
use crate::domain::labels::EscalationLabels;
use crate::domain::money::Usd;
use crate::domain::redact::Redactor;
use crate::domain::tier::ModelTier;
use crate::escalation::{RailsPolicy, SelectionPolicy};
use crate::failpoint::Failpoints;
use crate::gate::Gate;
use crate::git::{Author, Git};
use crate::github::GitHub;
use crate::github::intake::TrustPolicy;
use crate::models::TierTable;
use crate::sandbox::Sandbox;
use crate::store::{Ceilings, Store};

/// The rooms the engine works with.
pub struct Parts {
    pub store: Store,
    pub github: GitHub,
    pub git: Git,
    pub gate: Gate,
    pub builders: Builders,
    pub switchboard: Switchboard,
    pub tiers: Arc<TierTable>,
    pub sandbox: Sandbox,
    pub redactor: Arc<Redactor>,
    pub failpoints: Failpoints,
    /// The local clones, looked at before a night.
    pub desktop: DesktopSync,
    pub settings: Settings,
}

/// The operator's settings, as far as the engine needs them.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `OVERNIGHT_EXECUTION_ENABLED`.
    pub enabled: bool,
    /// This process's identity in leases.
    pub owner: String,
    /// The data folder's lock proves every former owner dead (SQLite).
    pub sole_owner: bool,
    pub trust: TrustPolicy,
    /// The ceiling of a night whose request names none.
    pub night_usd: Option<Usd>,
    pub repository_usd: Option<Usd>,
    pub issue_usd: Option<Usd>,
    pub day_usd: Option<Usd>,
    pub month_usd: Option<Usd>,
    pub limits: WorkLimits,
    pub labels: EscalationLabels,
    pub author: Author,
    /// The first line of a commit message; `{title}` and `{number}` are filled in.
    pub message: String,
    /// Which tier work starts at, and the chain.
    pub selection: SelectionPolicy,
    pub rails: RailsPolicy,
    /// A command-line builder is configured.
    pub local_command: bool,
    /// `None`: Copilot is not set up as a builder.
    pub copilot: Option<CopilotSettings>,
    /// Show on the issue how its work goes, by labels of ours.
    pub progress_labels: bool,
    pub data_dir: PathBuf,
    /// Bytes that must be free for a night to start.
    pub disk_floor: u64,
    /// How often a lease is renewed.
    pub renew_every: Duration,
}

/// `[copilot]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopilotSettings {
    pub limits: CopilotLimits,
    /// What one of its sessions is booked at.
    pub session_usd: Usd,
    /// On its pull requests that passed.
    pub label: String,
}

impl Settings {
    pub(super) fn ceilings_json(&self) -> serde_json::Value {
        json!({
            "nightUsd": self.night_usd,
            "repositoryUsd": self.repository_usd,
            "issueUsd": self.issue_usd,
            "dayUsd": self.day_usd,
            "monthUsd": self.month_usd,
        })
    }

    /// The ceilings of everything but a night, whose own comes from its request.
    pub(super) const fn ceilings(&self) -> Ceilings {
        Ceilings {
            night: self.night_usd,
            repository: self.repository_usd,
            issue: self.issue_usd,
            day: self.day_usd,
            month: self.month_usd,
        }
    }

    /// Why no night may start for want of space, where that can be seen.
    pub(super) fn disk_full(&self) -> Option<StartError> {
        let disk = rustix::fs::statvfs(&self.data_dir).ok()?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        (free < self.disk_floor).then(|| StartError::DiskFull {
            folder: self.data_dir.clone(),
            free_mb: free >> 20,
            floor_mb: self.disk_floor >> 20,
        })
    }

    /// Where an attempt's workspaces are.
    pub(super) fn work_dir(&self, attempt: &crate::domain::ids::AttemptId) -> PathBuf {
        self.data_dir.join("work").join(attempt.as_str())
    }
}

impl Parts {
    /// The tiers that can be asked today, from the top of the chain down.
    pub(super) fn live_tiers(&self) -> Vec<ModelTier> {
        let mut live = self.tiers.live(Utc::now().date_naive());
        if self.settings.local_command && !live.contains(&ModelTier::LocalBuilder) {
            live.push(ModelTier::LocalBuilder);
        }
        live
    }

    pub(super) fn tiers_json(&self) -> serde_json::Value {
        let live = self.live_tiers();
        let tiers = ModelTier::CHAIN.iter().map(|tier| {
            let model = self.tiers.get(*tier).map(|entry| entry.model.model.clone());
            json!({"tier": tier, "model": model, "live": live.contains(tier)})
        });
        tiers.collect()
    }
}
