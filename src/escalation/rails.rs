//! The safety rails: whether an escalation passes, and why.
//!
//! Owns the order exempt, quota, justification, auto-approved, throttle, review, explicit approval;
//! the throttle's triggers, the alerts and the levels of a violation. Pure: the store reads the
//! facts under its lock and asks here; nothing here counts or writes.

use serde::{Deserialize, Serialize};

use crate::domain::money::Usd;

use super::quota::{QuotaLimits, QuotaRefusal, QuotaUsed, quota_allows};
use super::select::Justification;

/// From this part of a window on, only auto-approved tags pass: 40 of 50, 8 of 10.
const THROTTLE_PERCENT: u32 = 80;
/// From this part of any window on, somebody is told.
const ALERT_PERCENT: u32 = 90;
/// Failed escalations in an hour that throttle.
const FAILURES_AN_HOUR: u32 = 3;
/// Failures one after another that somebody is told of.
const FAILURES_IN_A_ROW: u32 = 5;
/// A day's average cost of a task above which escalations are throttled.
const DEAR_TASK: Usd = Usd::from_nanos(2_000_000_000);
/// More requests than this waiting for a person are worth an alert.
const MANY_WAITING: u32 = 10;
/// Violations within a day: from the second on refused with an alert, from the fifth on paused.
const REFUSE_FROM: u32 = 2;
const PAUSE_FROM: u32 = 5;

/// What the operator set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RailsPolicy {
    pub limits: QuotaLimits,
    /// `review = "before"`: beyond `review_per_day`, what needs review waits.
    pub review_before: bool,
    pub review_per_day: u32,
}

impl Default for RailsPolicy {
    fn default() -> Self {
        Self { limits: QuotaLimits::default(), review_before: false, review_per_day: 3 }
    }
}

/// Why work skips count limits and throttling. Never the money ceilings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exemption {
    Security,
    DataIntegrity,
    SystemFailure,
    GovernanceViolation,
    /// A person's word with a reason and an expiry of at most 24 hours.
    AdminOverride,
}

impl Exemption {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Security => "security",
            Self::DataIntegrity => "data_integrity",
            Self::SystemFailure => "system_failure",
            Self::GovernanceViolation => "governance_violation",
            Self::AdminOverride => "admin_override",
        }
    }
}

/// An escalation that asks to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RailsRequest {
    /// `None` is missing, or a word that is no justification.
    pub tag: Option<Justification>,
    /// Uses one of the day's and hour's counts.
    pub counted: bool,
    pub exemption: Option<Exemption>,
}

/// What the ledger knows at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    pub used: QuotaUsed,
    /// Escalations of the last hour whose tier never answered.
    pub failed_last_hour: u32,
    /// The latest escalations that failed, one after another.
    pub failures_in_row: u32,
    /// Money and tasks of the last 24 hours.
    pub spent: Usd,
    pub tasks: u32,
    /// Reviewed escalations that passed in the last 24 hours.
    pub reviewed: u32,
    /// Requests that wait for a person.
    pub waiting: u32,
    /// A person approved this very work, and that still holds.
    pub approved: bool,
    /// Violations paused escalations, and that still holds.
    pub paused: bool,
}

/// How an escalation passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Passage {
    Exempt(Exemption),
    AutoApproved,
    /// Passes and is listed for review.
    Reviewed,
    /// A person approved it before.
    Approved,
}

impl Passage {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exempt(_) => "exempt",
            Self::AutoApproved => "auto_approved",
            Self::Reviewed => "reviewed",
            Self::Approved => "approved",
        }
    }
}

/// Why only auto-approved tags pass now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Throttle {
    DayNearlyFull,
    HourNearlyFull,
    Failures,
    DearTasks,
}

impl Throttle {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DayNearlyFull => "80% of the day's escalations are used",
            Self::HourNearlyFull => "80% of the hour's escalations are used",
            Self::Failures => "3 escalations failed within an hour",
            Self::DearTasks => "a task costs more than 2.00 USD on average",
        }
    }
}

/// Why an escalation does not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RailRefusal {
    #[error(transparent)]
    Quota(#[from] QuotaRefusal),
    #[error("it has no justification")]
    NoJustification,
    #[error("escalations are paused after repeated violations")]
    Paused,
    #[error("escalations are throttled: {}", .0.as_str())]
    Throttled(Throttle),
    #[error("it waits for a review: {used} of {limit} reviews of the day are used")]
    ReviewFull { used: u32, limit: u32 },
    #[error("`{}` takes an explicit approval", .0.as_str())]
    NeedsApproval(Justification),
}

impl RailRefusal {
    /// A stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Quota(refusal) => refusal.window.as_str(),
            Self::NoJustification => "no_justification",
            Self::Paused => "paused",
            Self::Throttled(_) => "throttled",
            Self::ReviewFull { .. } => "review_full",
            Self::NeedsApproval(_) => "needs_approval",
        }
    }

    /// Whether a person can let it pass; the request is recorded as `pending_approval` then.
    #[must_use]
    pub const fn waits_for_a_person(self) -> bool {
        match self {
            Self::Throttled(_) | Self::ReviewFull { .. } | Self::NeedsApproval(_) => true,
            Self::Quota(_) | Self::NoJustification | Self::Paused => false,
        }
    }
}

/// What a tag needs.
enum Needs {
    Nothing,
    Review,
    Approval,
}

const fn needs(tag: Justification) -> Needs {
    match tag {
        Justification::ArchitectureUpdate
        | Justification::MemoryEvolution
        | Justification::GovernanceFix
        | Justification::MultiAgentCoordination
        | Justification::ProjectMilestone => Needs::Nothing,
        Justification::ComplexReasoning
        | Justification::HeavyRefactor
        | Justification::IntegrationComplexity => Needs::Review,
        Justification::Experimental | Justification::Optimization => Needs::Approval,
    }
}

/// Whether an escalation passes.
pub fn decide(
    policy: &RailsPolicy,
    request: RailsRequest,
    facts: &Facts,
) -> Result<Passage, RailRefusal> {
    if let Some(exemption) = request.exemption {
        return Ok(Passage::Exempt(exemption));
    }
    if request.counted {
        quota_allows(facts.used, policy.limits)?;
    }
    let Some(tag) = request.tag else { return Err(RailRefusal::NoJustification) };
    let needs = needs(tag);
    if let Needs::Nothing = needs {
        return Ok(Passage::AutoApproved);
    }
    if facts.paused {
        return Err(RailRefusal::Paused);
    }
    if facts.approved {
        return Ok(Passage::Approved);
    }
    if let Some(trigger) = throttled(policy.limits, facts) {
        return Err(RailRefusal::Throttled(trigger));
    }
    match needs {
        Needs::Nothing => Ok(Passage::AutoApproved),
        Needs::Review if policy.review_before && facts.reviewed >= policy.review_per_day => {
            Err(RailRefusal::ReviewFull { used: facts.reviewed, limit: policy.review_per_day })
        }
        Needs::Review => Ok(Passage::Reviewed),
        Needs::Approval => Err(RailRefusal::NeedsApproval(tag)),
    }
}

/// The throttle's first trigger that holds.
#[must_use]
pub fn throttled(limits: QuotaLimits, facts: &Facts) -> Option<Throttle> {
    if reaches(facts.used.daily, limits.daily, THROTTLE_PERCENT) {
        return Some(Throttle::DayNearlyFull);
    }
    if reaches(facts.used.hourly, limits.hourly, THROTTLE_PERCENT) {
        return Some(Throttle::HourNearlyFull);
    }
    if facts.failed_last_hour >= FAILURES_AN_HOUR {
        return Some(Throttle::Failures);
    }
    let bound = DEAR_TASK.nanos().saturating_mul(i64::from(facts.tasks));
    (facts.tasks > 0 && facts.spent.nanos() > bound).then_some(Throttle::DearTasks)
}

/// Whether `used` is at least this part of the limit; nothing used reaches nothing.
fn reaches(used: u32, limit: u32, percent: u32) -> bool {
    used > 0 && u64::from(used) * 100 >= u64::from(limit) * u64::from(percent)
}

/// What somebody is told of, each once per window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Alert {
    DayNearlyFull,
    HourNearlyFull,
    SlotsNearlyFull,
    FailuresInARow,
    Throttling,
    ManyWaiting,
}

impl Alert {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DayNearlyFull => "day_nearly_full",
            Self::HourNearlyFull => "hour_nearly_full",
            Self::SlotsNearlyFull => "slots_nearly_full",
            Self::FailuresInARow => "failures_in_a_row",
            Self::Throttling => "throttling",
            Self::ManyWaiting => "many_waiting",
        }
    }

    /// Whether its window is the hour; the day otherwise.
    #[must_use]
    pub const fn hourly(self) -> bool {
        match self {
            Self::HourNearlyFull
            | Self::SlotsNearlyFull
            | Self::FailuresInARow
            | Self::Throttling => true,
            Self::DayNearlyFull | Self::ManyWaiting => false,
        }
    }

    /// A sentence for people.
    #[must_use]
    pub fn sentence(self, limits: QuotaLimits, facts: &Facts) -> String {
        let used = facts.used;
        match self {
            Self::DayNearlyFull => {
                format!("{} of the day's {} escalations are used", used.daily, limits.daily)
            }
            Self::HourNearlyFull => {
                format!("{} of the hour's {} escalations are used", used.hourly, limits.hourly)
            }
            Self::SlotsNearlyFull => {
                format!(
                    "{} of {} escalations at once are under way",
                    used.concurrent, limits.concurrent
                )
            }
            Self::FailuresInARow => {
                format!("{} escalations failed one after another", facts.failures_in_row)
            }
            Self::Throttling => format!(
                "Escalations are throttled: {}",
                throttled(limits, facts).map_or("a trigger holds", Throttle::as_str)
            ),
            Self::ManyWaiting => format!("{} escalations wait for a person", facts.waiting),
        }
    }
}

/// The alerts that these facts call for.
#[must_use]
pub fn alerts(limits: QuotaLimits, facts: &Facts) -> Vec<Alert> {
    let near = |used, limit| reaches(used, limit, ALERT_PERCENT);
    [
        (Alert::DayNearlyFull, near(facts.used.daily, limits.daily)),
        (Alert::HourNearlyFull, near(facts.used.hourly, limits.hourly)),
        (Alert::SlotsNearlyFull, near(facts.used.concurrent, limits.concurrent)),
        (Alert::FailuresInARow, facts.failures_in_row >= FAILURES_IN_A_ROW),
        (Alert::Throttling, throttled(limits, facts).is_some()),
        (Alert::ManyWaiting, facts.waiting > MANY_WAITING),
    ]
    .into_iter()
    .filter_map(|(alert, holds)| holds.then_some(alert))
    .collect()
}

/// How a violation is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ViolationLevel {
    /// Refused, and noted.
    Warn,
    /// Refused, and somebody is told.
    RefuseAndAlert,
    /// What is not auto-approved is refused for an hour.
    Pause,
}

impl ViolationLevel {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::RefuseAndAlert => "refuse_and_alert",
            Self::Pause => "pause",
        }
    }
}

/// The level of the day's `nth` violation, from 1.
#[must_use]
pub const fn violation_level(nth: u32) -> ViolationLevel {
    if nth >= PAUSE_FROM {
        ViolationLevel::Pause
    } else if nth >= REFUSE_FROM {
        ViolationLevel::RefuseAndAlert
    } else {
        ViolationLevel::Warn
    }
}

#[cfg(test)]
#[path = "rails_tests.rs"]
mod tests;
