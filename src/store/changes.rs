//! The words in which the rest of Foreman tells the store what happened.
//!
//! Plain values. What each does to the rows stands in `apply.rs` and `runs.rs`.

use serde_json::Value;

use super::healing::Sign;
use super::memory::Note;
use super::transcript::Telling;
use crate::domain::event::NewEvent;
use crate::domain::ids::{AttemptId, CallId, IssueNumber, RunId};
use crate::domain::plan::Plan;
use crate::domain::run::{IssueResult, NightRequest, Run, RunStatus};
use crate::domain::switch::{self, SwitchRules};

/// The right to write for a run. Lost as soon as somebody else claims the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    pub run: RunId,
    pub owner: String,
    pub epoch: i64,
}

/// A night to be stored, with its first events.
#[derive(Debug, Clone)]
pub struct NewRun {
    pub id: RunId,
    pub request: NightRequest,
    pub idempotency: Option<Idempotency>,
    pub events: Vec<NewEvent>,
}

/// The client's `Idempotency-Key` and what it was used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    pub key: String,
    /// SHA-256 of the request's body, hexadecimal.
    pub body_sha256: String,
}

/// What came of a request to create a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Created {
    New(Run),
    /// The same key and body as before: that run, whatever became of it.
    Replayed(Run),
    /// The key was used with another body, for this run.
    KeyReused {
        run: RunId,
    },
    /// The repository has an active run already.
    Active(RunId),
}

/// What came of a request to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelOutcome {
    Requested,
    AlreadyEnded,
    Unknown,
}

/// Where an effect on the outside stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EffectState {
    /// About to be done; after a crash: look first.
    Intent,
    /// Seen to be there.
    Observed,
    /// Refused for good.
    Failed,
}

impl EffectState {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Observed => "observed",
            Self::Failed => "failed",
        }
    }
}

/// One thing that changes; several are committed together.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "a handful at a time, moved once into the writer")]
pub enum Change {
    /// `errors` are appended. Start and end times come from the transaction's clock.
    RunStatus {
        status: RunStatus,
        errors: Vec<String>,
    },
    Plan(Plan),
    /// Facts of the run as a whole: base verdicts and the like. Replaces the notes.
    Notes(Value),
    /// Inserts or replaces the issue's row; its position is that of its first insert.
    IssueRow(IssueResult),
    /// The issue's content hash, to know whether it is unchanged another night. The row must exist.
    IssueDigest {
        issue: IssueNumber,
        digest: String,
    },
    /// Inserts or replaces. `ended` gives back its escalation slots. A `finishedTier` in `state`
    /// names the tier that finished the work where no call of ours shows it (a local command).
    Attempt {
        id: AttemptId,
        issue: IssueNumber,
        state: Value,
        ended: bool,
    },
    /// `value` is the intent, or what was observed. An intent never overwrites what was observed.
    Effect {
        key: String,
        kind: String,
        issue: Option<IssueNumber>,
        state: EffectState,
        value: Value,
    },
    /// A tool's result; the first one stored for a call and index stays.
    Tool {
        attempt: AttemptId,
        call: CallId,
        index: u32,
        tool_call_id: String,
        output: String,
        tree: Option<String>,
    },
    /// How a call's end speaks of its tier and key.
    Sign(Sign),
    /// For healing's memory.
    Note(Note),
    /// Of a builder's work, for the switch.
    Builder {
        sign: switch::Sign,
        rules: SwitchRules,
    },
    /// A piece of a round's transcript.
    Transcript(Telling),
    Event(NewEvent),
}
