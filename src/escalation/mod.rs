//! Pure: which tier a piece of work starts at and what to do after each class of error.
//!
//! Owns the rule table, the justification tags, the safety rails, the moves after an error and the
//! quota arithmetic.
//! Never does I/O, never asks the clock and never rolls dice: `now` and the jitter are arguments.

mod context;
mod errors;
mod forecast;
mod health;
mod policy;
mod quota;
mod rails;
mod report;
mod select;

pub use context::{climb_reason, context_for, exemption_for, tag_for};
pub use errors::{HealingRules, Next, RETRY_AFTER_CAP, after_error};
pub use forecast::{Forecast, Source, forecast};
pub use health::{
    Block, CoolingTier, FAILURES_FORGOTTEN, Health, KeyOut, OpenBreaker, Post, cool_down,
    is_provider_failure, is_tier_failure, key_out,
};
pub use policy::SelectionPolicy;
pub use quota::{QuotaLimits, QuotaRefusal, QuotaUsed, QuotaWindow, quota_allows};
pub use rails::{
    Alert, Exemption, Facts, Passage, RailRefusal, RailsPolicy, RailsRequest, Throttle,
    ViolationLevel, alerts, decide, throttled, violation_level,
};
pub use report::{Healing, Period, Report, ReportFacts};
pub use select::{EscalationReason, Justification, Selection, SelectionContext, select_model};
