//! What an attempt knows of Copilot's part in it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{PullRef, State};

/// Copilot's work on an issue, as far as it has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CopilotWork {
    /// The desktop builder has this attempt: Copilot never had it, or has it no more.
    pub left: bool,
    /// When it was given the issue.
    pub asked_at: Option<DateTime<Utc>>,
    pub pull: Option<PullRef>,
    pub branch: Option<String>,
    /// The head that the gate looked at last.
    pub head: Option<String>,
    /// The round it was last asked to repair for, and when, by GitHub's clock.
    pub repair: Option<(u32, DateTime<Utc>)>,
}

impl State {
    /// Copilot's part, while the attempt is Copilot's.
    #[must_use]
    pub fn copilot(&self) -> Option<&CopilotWork> {
        self.copilot.as_ref().filter(|work| !work.left)
    }

    /// Whether Copilot builds this.
    #[must_use]
    pub fn by_copilot(&self) -> bool {
        self.copilot().is_some()
    }
}
