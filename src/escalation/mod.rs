//! Pure: which tier a piece of work starts at and what to do after each class of error.
//!
//! Owns the rule table, the justification tags, the moves after an error and the quota arithmetic.
//! Never does I/O, never asks the clock and never rolls dice: `now` and the jitter are arguments.

mod context;
mod errors;
mod health;
mod quota;
mod select;

pub use context::context_for;
pub use errors::{HealingRules, Next, RETRY_AFTER_CAP, after_error};
pub use health::{
    Block, CoolingTier, FAILURES_FORGOTTEN, Health, KeyOut, OpenBreaker, Post, cool_down,
    is_provider_failure, is_tier_failure, key_out,
};
pub use quota::{QuotaLimits, QuotaRefusal, QuotaUsed, QuotaWindow, quota_allows};
pub use select::{EscalationReason, Justification, Selection, SelectionContext, select_model};
