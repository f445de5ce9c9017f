//! Who builds: GitHub's Copilot or Foreman's own builder, and when that changes.
//!
//! Pure: `step(state, sign, rules, now)` gives the next state and the switch that came of it. Never
//! asks anybody how they are, and never stores anything.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// A builder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Builder {
    /// GitHub's coding agent, on GitHub's machines.
    Copilot,
    /// Foreman's own: the chain of models and the local builder, on this machine.
    Desktop,
}

impl Builder {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Copilot => "copilot",
            Self::Desktop => "desktop",
        }
    }
}

impl fmt::Display for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Builder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Copilot, Self::Desktop]
            .into_iter()
            .find(|builder| builder.as_str() == text)
            .ok_or_else(|| format!("`{text}` is not a builder: copilot or desktop"))
    }
}

/// What the operator set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SwitchRules {
    /// `copilot.enabled`: without it the desktop builder is the only one.
    pub copilot: bool,
    /// `DESKTOP_BUILDER_ENABLED`: whether the desktop builder takes over by itself.
    pub desktop: bool,
    /// Failures, or failed checks, in a row until it does.
    pub after_failures: u32,
    /// Healthy checks in a row until Copilot is back.
    pub return_after: u32,
    /// Copilot is not back before so long.
    pub at_least: TimeDelta,
}

/// Where the switch stands. Stored after each sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwitchState {
    pub active: Builder,
    pub since: DateTime<Utc>,
    /// Why it stands so, as a sentence.
    pub reason: String,
    /// A person put it to the desktop builder: it stays there until a person puts it back.
    pub held: bool,
    /// Pieces of work in a row that Copilot failed.
    pub failures: u32,
    /// Checks in a row that found it unavailable.
    pub failed_checks: u32,
    /// Checks in a row that found it well, while it is away.
    pub healthy: u32,
}

/// Something that speaks for or against Copilot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sign {
    /// It finished a piece of work that passed.
    Worked,
    /// It failed a piece of work. `work` names it: the same one counts once.
    Failed { work: String, why: String },
    /// It cannot be had at all.
    Unavailable { why: String },
    /// A health check.
    Checked { ready: bool, why: String },
    /// A person's word.
    Asked { to: Builder, why: String },
}

/// A switch that took place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switched {
    pub from: Builder,
    pub to: Builder,
    pub reason: String,
}

/// A person asked for a builder that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Copilot is not set up as a builder; set copilot.enabled = true in foreman.toml")]
pub struct NoCopilot;

impl SwitchState {
    /// Before anything was ever stored.
    #[must_use]
    pub fn first(rules: SwitchRules, now: DateTime<Utc>) -> Self {
        let (active, reason) = if rules.copilot {
            (Builder::Copilot, "Copilot is the builder that is set up")
        } else {
            (Builder::Desktop, "Copilot is not set up")
        };
        let reason = reason.to_owned();
        Self { active, since: now, reason, held: false, failures: 0, failed_checks: 0, healthy: 0 }
    }

    /// A stored state under today's rules: what was set up or taken away since is honoured.
    #[must_use]
    pub fn under(self, rules: SwitchRules, now: DateTime<Utc>) -> Self {
        let never_chosen = !self.held && self.reason == Self::first(without(rules), now).reason;
        match (rules.copilot, self.active) {
            // Set up since: it begins.
            (true, Builder::Desktop) if never_chosen => Self::first(rules, now),
            // Taken away since.
            (false, Builder::Copilot) => Self::first(rules, now),
            (true | false, Builder::Copilot | Builder::Desktop) => self,
        }
    }

    /// The earliest time of a return; `None` where nothing returns by itself.
    #[must_use]
    pub fn returns_from(&self, rules: SwitchRules) -> Option<DateTime<Utc>> {
        let waits = rules.copilot && self.active == Builder::Desktop && !self.held;
        waits.then(|| self.since + rules.at_least)
    }

    fn to(mut self, to: Builder, reason: String, now: DateTime<Utc>) -> (Self, Option<Switched>) {
        let switched = Switched { from: self.active, to, reason: reason.clone() };
        self.active = to;
        self.since = now;
        self.reason = reason;
        self.held = false;
        (self.failures, self.failed_checks, self.healthy) = (0, 0, 0);
        (self, Some(switched))
    }
}

const fn without(rules: SwitchRules) -> SwitchRules {
    SwitchRules { copilot: false, ..rules }
}

/// The one transition function.
pub fn step(
    state: SwitchState,
    sign: Sign,
    rules: SwitchRules,
    now: DateTime<Utc>,
) -> Result<(SwitchState, Option<Switched>), NoCopilot> {
    let state = state.under(rules, now);
    Ok(match (sign, state.active) {
        (Sign::Asked { to: Builder::Copilot, .. }, _) if !rules.copilot => return Err(NoCopilot),
        (Sign::Asked { to, why }, active) => asked(state, active, to, why, now),
        (_, _) if !rules.copilot => (state, None),
        (Sign::Worked, _) => (SwitchState { failures: 0, ..state }, None),
        (Sign::Failed { work: _, why }, Builder::Copilot) => {
            let failures = state.failures.saturating_add(1);
            let reason = format!("Copilot failed {failures} times in a row, the last time: {why}");
            against(SwitchState { failures, ..state }, failures, reason, rules, now)
        }
        (Sign::Unavailable { why }, Builder::Copilot) => {
            let reason = format!("Copilot is not available: {why}");
            against(state, rules.after_failures, reason, rules, now)
        }
        (Sign::Checked { ready: true, why: _ }, Builder::Copilot) => {
            (SwitchState { failed_checks: 0, ..state }, None)
        }
        (Sign::Checked { ready: false, why }, Builder::Copilot) => {
            let failed_checks = state.failed_checks.saturating_add(1);
            let reason =
                format!("{failed_checks} health checks in a row found Copilot away: {why}");
            against(SwitchState { failed_checks, ..state }, failed_checks, reason, rules, now)
        }
        (Sign::Checked { ready: true, why: _ }, Builder::Desktop) => {
            let healthy = state.healthy.saturating_add(1);
            healthy_again(SwitchState { healthy, ..state }, rules, now)
        }
        (
            Sign::Checked { ready: false, why: _ } | Sign::Unavailable { why: _ },
            Builder::Desktop,
        ) => (SwitchState { healthy: 0, ..state }, None),
        // Late word of work that was given out before the switch.
        (Sign::Failed { .. }, Builder::Desktop) => (state, None),
    })
}

fn asked(
    mut state: SwitchState,
    active: Builder,
    to: Builder,
    why: String,
    now: DateTime<Utc>,
) -> (SwitchState, Option<Switched>) {
    let held = to == Builder::Desktop;
    if active == to {
        state.held = held;
        return (state, None);
    }
    let (state, switched) = state.to(to, why, now);
    (SwitchState { held, ..state }, switched)
}

/// Something speaks against Copilot: enough of it, and the desktop builder takes over.
fn against(
    state: SwitchState,
    times: u32,
    reason: String,
    rules: SwitchRules,
    now: DateTime<Utc>,
) -> (SwitchState, Option<Switched>) {
    if rules.desktop && times >= rules.after_failures {
        return state.to(Builder::Desktop, reason, now);
    }
    (state, None)
}

fn healthy_again(
    state: SwitchState,
    rules: SwitchRules,
    now: DateTime<Utc>,
) -> (SwitchState, Option<Switched>) {
    let long_enough = state.returns_from(rules).is_some_and(|from| now >= from);
    if long_enough && state.healthy >= rules.return_after {
        let reason = format!("{} health checks in a row found Copilot well", state.healthy);
        return state.to(Builder::Copilot, reason, now);
    }
    (state, None)
}

#[cfg(test)]
mod tests;
