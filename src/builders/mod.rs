//! Who works on an issue: the model agent and the local builder.
//!
//! Owns the conversation with a model, its tools and their bounds, and the walk down the chain of
//! tiers. Every request is one row of the ledger, reserved before it is sent. Never judges the
//! work, never commits and never chooses the tier to start at.

mod agent;
mod clean;
mod copilot;
mod keeper;
mod local_command;
mod switch;
mod waits;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use clean::{clean_output, clean_text};
pub use copilot::{CopilotLimits, Errand, Followed, follow};
pub use keeper::Keeper;
pub use switch::{SwitchError, Switchboard, not_enabled};
pub use waits::Waits;

use crate::domain::ids::{AttemptId, CommitId, EscalationId, IssueNumber, RunId};
use crate::domain::plan::{ReasonCode, SequenceType};
use crate::domain::redact::Redactor;
use crate::domain::tier::ModelTier;
use crate::failpoint::Failpoints;
use crate::models::{Models, TierTable};
use crate::sandbox::{Place, Sandbox};
use crate::store::{Ceilings, Fence, Store, StoreError};

/// One round of work on one issue.
#[derive(Debug, Clone)]
pub struct Task {
    pub run: RunId,
    pub issue: IssueNumber,
    /// What healing remembers is remembered by kind.
    pub kind: SequenceType,
    pub title: String,
    /// Cleaned again before a model sees it; cleaning twice changes nothing.
    pub body: String,
    pub attempt: AttemptId,
    /// From 1; the second follows the gate's refusal.
    pub round: u32,
    /// What the gate said of the round before.
    pub feedback: Option<String>,
    /// Half-done work stands in the workspace; why whoever did it stopped.
    pub half_done: Option<String>,
    pub workspace: Place,
    /// Where half-done work is kept while it is done.
    pub keeper: Option<Keeper>,
    pub base: CommitId,
    /// The selected tier, then the fallbacks that are allowed.
    pub chain: Vec<ModelTier>,
    pub escalation: Option<EscalationId>,
    /// Without it a failed call is not tried again.
    pub auto_heal: bool,
    pub ceilings: Ceilings,
    pub limits: WorkLimits,
}

/// The bounds of one round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkLimits {
    /// Requests to models, failed ones included.
    pub steps: u32,
    /// Tokens over all requests.
    pub tokens: u64,
    pub time: Duration,
    /// Completion tokens a request may take.
    pub completion_cap: u64,
    /// One command in the sandbox.
    pub command_timeout: Duration,
    /// One request to a model.
    pub request_timeout: Duration,
}

impl Default for WorkLimits {
    fn default() -> Self {
        Self {
            steps: 50,
            tokens: 2_000_000,
            time: Duration::from_secs(30 * 60),
            completion_cap: 8_192,
            command_timeout: Duration::from_secs(10 * 60),
            request_timeout: crate::models::DEFAULT_TIMEOUT,
        }
    }
}

/// How a round ended. Whether anything changed is for the caller to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildOutcome {
    Finished {
        /// The tier that finished the work.
        tier: ModelTier,
        summary: String,
    },
    Failed {
        code: ReasonCode,
        message: String,
        /// The builder went in circles: a dearer tier may do better.
        stuck: bool,
    },
    /// It ran out of its bounds. What stands in the workspace is worth going on from.
    Unfinished {
        message: String,
    },
    /// A ceiling is in the way.
    Budget {
        message: String,
    },
    Cancelled,
}

/// How the sentence begins where a provider refuses the key.
const KEY_REFUSED: &str = "the model's provider refused the key";

impl BuildOutcome {
    /// What was said where it ended because a provider does not take the key.
    #[must_use]
    pub fn refused_key(&self) -> Option<&str> {
        match self {
            Self::Failed { code: ReasonCode::ProviderRefused, message, .. } => {
                message.starts_with(KEY_REFUSED).then_some(message)
            }
            Self::Finished { .. }
            | Self::Failed { .. }
            | Self::Unfinished { .. }
            | Self::Budget { .. }
            | Self::Cancelled => None,
        }
    }
}

/// How a builder heals.
#[derive(Debug, Clone, Default)]
pub struct Healing {
    pub waits: Waits,
    /// `escalation.local_on_auth_failure`: the local builder stands in where the provider refuses
    /// the key, and what it makes is marked so.
    pub local_on_auth_failure: bool,
}

/// Everything a builder needs. Cheap to clone.
#[derive(Clone)]
pub struct Builders {
    pub store: Store,
    pub models: Models,
    pub tiers: Arc<TierTable>,
    pub sandbox: Sandbox,
    /// `LOCAL_BUILDER_COMMAND`.
    pub local_command: Option<String>,
    pub redactor: Arc<Redactor>,
    pub failpoints: Failpoints,
    pub healing: Healing,
}

impl Builders {
    /// Works on a task to its end. An error is the store's alone: whoever gets `Fenced` has lost
    /// the run and stops.
    pub async fn build(
        &self,
        fence: &Fence,
        task: &Task,
        cancel: &CancellationToken,
    ) -> Result<BuildOutcome, StoreError> {
        agent::work(self, fence, task, cancel).await
    }
}
