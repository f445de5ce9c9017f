//! What is told of a call: events for people and machines, and the sentences of an end.
//!
//! Writes nothing itself: the events are changes for the settlement to commit.

use super::Agent;
use super::walk::Post;
use crate::builders::{BuildOutcome, KEY_REFUSED};
use crate::domain::call::ErrorClass;
use crate::domain::event::{EventType, NewEvent, Severity};
use crate::domain::money::Usd;
use crate::domain::plan::ReasonCode;
use crate::models::{CallError, Tier};
use crate::store::{Change, Note, Refusal, StoreError};

/// Stands under the summary of degraded work.
const DEGRADED: &str = "Degraded: the provider of the selected model refused the key, and the \
local builder did this work in its stead.";

impl Agent<'_> {
    /// What people and machines are told of a failed call.
    pub(super) fn announce(
        &self,
        tier: &Tier,
        error: &CallError,
        before: Option<Post>,
        ended: bool,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        let name = tier.model.tier.as_str();
        let severity = match error.class {
            ErrorClass::Auth | ErrorClass::InsufficientQuota => Some(Severity::Critical),
            ErrorClass::ModelNotFound => Some(Severity::High),
            ErrorClass::RateLimited
            | ErrorClass::ContextLength
            | ErrorClass::Server
            | ErrorClass::Connection
            | ErrorClass::Timeout
            | ErrorClass::Refused
            | ErrorClass::BadRequest
            | ErrorClass::Malformed => ended.then_some(Severity::High),
        };
        if let Some(severity) = severity {
            let text = format!("{} of tier {name} failed: {error}", tier.model.model);
            let event = self
                .event(EventType::ProviderFailed, &text)
                .severity(severity)
                .with("tier", name)
                .with("model", tier.model.model.clone())
                .with("errorClass", error.class.as_str());
            changes.push(Change::Event(event));
        }
        if !ended {
            changes.extend(self.moved(tier, before, &error.to_string(), error.class));
        }
        changes
    }

    /// The event of a move from one post to another, if there was one.
    pub(super) fn moved(
        &self,
        from: &Tier,
        before: Option<Post>,
        why: &str,
        class: ErrorClass,
    ) -> Option<Change> {
        let now = self.walk.here().filter(|now| Some(*now) != before)?;
        let name = from.model.tier.as_str();
        let text = format!("{}: {name} gives way to {} ({why})", self.task.issue, now.tier());
        let event = self
            .event(EventType::ModelFallback, &text)
            .severity(Severity::Low)
            .with("fromModel", name)
            .with("toModel", now.tier().as_str())
            .with("errorClass", class.as_str())
            .with("degraded", self.degraded);
        Some(Change::Event(event))
    }

    /// The event of a charge that nobody told us.
    pub(super) fn unknown_charge(&self, tier: &Tier, estimate: Usd) -> Vec<Change> {
        if !tier.paid {
            return Vec::new();
        }
        let text = format!(
            "the charge of a call to {} is unknown and booked at its estimate of {estimate}",
            tier.model.model
        );
        let event = self
            .event(EventType::ChargeUnknown, &text)
            .severity(Severity::Medium)
            .with("tier", tier.model.tier.as_str())
            .with("estimateUsd", estimate.as_usd());
        vec![Change::Event(event)]
    }

    fn event(&self, kind: EventType, text: &str) -> NewEvent {
        NewEvent::new(kind, self.builders.redactor.redact(text))
            .run(&self.task.run)
            .issue(self.task.issue)
    }

    /// What the local builder made in the provider's stead says so.
    pub(super) fn marked(&self, outcome: BuildOutcome) -> BuildOutcome {
        match outcome {
            BuildOutcome::Finished { tier, summary } if self.degraded => {
                BuildOutcome::Finished { tier, summary: format!("{summary}\n\n{DEGRADED}") }
            }
            outcome @ (BuildOutcome::Finished { .. }
            | BuildOutcome::Failed { .. }
            | BuildOutcome::Unfinished { .. }
            | BuildOutcome::Budget { .. }
            | BuildOutcome::Cancelled) => outcome,
        }
    }

    /// The chain is exhausted: its plan is not followed again.
    pub(super) async fn nobody_left(&self) -> Result<BuildOutcome, StoreError> {
        let dropped = Change::Note(Note::PlanDropped { issue: self.task.issue });
        self.builders.store.apply(self.fence, vec![dropped]).await?;
        Ok(self.exhausted())
    }

    /// Nobody is left in the chain.
    fn exhausted(&self) -> BuildOutcome {
        let why = if self.last_error.is_empty() {
            "no tier of its chain has a living model, and no local builder is configured"
        } else {
            self.last_error.as_str()
        };
        BuildOutcome::Failed {
            code: ReasonCode::ModelsExhausted,
            message: format!("no model is left to ask: {why}"),
            stuck: false,
        }
    }

    pub(super) fn stopped(&self, class: ErrorClass) -> BuildOutcome {
        let what = match class {
            ErrorClass::Auth => format!("{KEY_REFUSED} ({})", class.as_str()),
            _ => format!("the model's provider failed ({})", class.as_str()),
        };
        let message = format!("{what}: {}", self.last_error);
        BuildOutcome::Failed { code: ReasonCode::ProviderRefused, message, stuck: false }
    }
}

/// Which ceiling is in the way, for people.
pub(super) fn budget_sentence(refusal: &Refusal) -> String {
    format!(
        "the {} ceiling of {} is reached: {} spent, {} reserved, and the next call may cost up to {}",
        refusal.scope.as_str(),
        refusal.limit,
        refusal.spent,
        refusal.reserved,
        refusal.estimate
    )
}
