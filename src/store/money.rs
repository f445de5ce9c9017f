//! The ledger's words: what is asked of it and what it answers. The decisions are in `ledger.rs`.

use crate::domain::call::{Answer, ErrorClass};
use crate::domain::ids::{AttemptId, CallId, EscalationId, IssueNumber};
use crate::domain::money::Usd;
use crate::domain::tier::ModelTier;
use crate::escalation::{Exemption, Justification, Passage, RailRefusal, RailsPolicy};

/// The money ceilings a call has to fit under; `None` is no ceiling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ceilings {
    /// Of this run.
    pub night: Option<Usd>,
    /// Of everything ever spent on the repository.
    pub repository: Option<Usd>,
    /// Of this issue in this run.
    pub issue: Option<Usd>,
    /// Of the calendar day, UTC, over all repositories.
    pub day: Option<Usd>,
    /// Of the calendar month, UTC, over all repositories.
    pub month: Option<Usd>,
}

/// A request for the money of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserve {
    pub id: CallId,
    pub attempt: AttemptId,
    pub issue: IssueNumber,
    pub escalation: Option<EscalationId>,
    pub tier: ModelTier,
    /// The model's id as the provider names it.
    pub model: String,
    /// The most the call can cost.
    pub estimate: Usd,
    pub ceilings: Ceilings,
}

/// Which ceiling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    Night,
    Repository,
    Issue,
    Day,
    Month,
}

impl Scope {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Night => "night",
            Self::Repository => "repository",
            Self::Issue => "issue",
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

/// Why there is no money for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    pub scope: Scope,
    pub limit: Usd,
    /// Settled, and unknown at its estimate.
    pub spent: Usd,
    /// In flight.
    pub reserved: Usd,
    pub estimate: Usd,
    /// It would fit if nothing were in flight: wait for a settlement.
    pub only_in_flight: bool,
}

/// What came of a [`Reserve`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserved {
    /// Booked and marked as sent: send it now.
    Dispatched(CallId),
    Refused(Refusal),
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    Answered {
        answer: Answer,
        cost: Usd,
        /// Its usage could not be read: booked at the estimate until the real cost is known.
        unknown: bool,
    },
    Failed {
        class: ErrorClass,
        message: String,
        cost: Usd,
        /// Sent without a whole answer: booked at the estimate until the real cost is known.
        unknown: bool,
    },
    /// We took back what was asked while its answer was on its way: booked at `cost` until the real
    /// one is known, and nobody's failure.
    Abandoned { message: String, cost: Usd },
}

/// A request to work on a dearer tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    pub id: EscalationId,
    pub attempt: AttemptId,
    pub issue: IssueNumber,
    pub tier: ModelTier,
    /// `heavy_task` …
    pub reason: String,
    /// The justification; without one it is refused.
    pub tag: Option<Justification>,
    /// Uses one of the day's and hour's counts, unless it turns out to be exempt.
    pub counted: bool,
    /// From a trusted label; an admin's override is found by the store.
    pub exemption: Option<Exemption>,
    pub rails: RailsPolicy,
}

/// What came of an [`Admission`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    Yes(Passage),
    Refused(RailRefusal),
}

/// What a restart found in flight.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecoveredCalls {
    /// Reserved and never sent: given back.
    pub released: Vec<CallId>,
    /// Sent, and nobody heard the answer: booked at the estimate.
    pub unknown: Vec<CallId>,
}
