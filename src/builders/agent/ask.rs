//! One answer from a model: reserve, ask, settle; and after a failure, whatever the rules say.
//!
//! Owns the rows of the ledger for this round: every request is reserved before it is sent and
//! settled with the changes that follow from it. Never reads a tool call.

use std::time::Duration;

use super::detour::Way;
use super::tell::budget_sentence;
use super::walk::Post;
use super::{Agent, tools};
use crate::builders::BuildOutcome;
use crate::domain::call::{Answer, Charge, ErrorClass};
use crate::domain::ids::CallId;
use crate::domain::money::{Usage, Usd};
use crate::domain::plan::ReasonCode;
use crate::escalation::{HealingRules, Next, after_error};
use crate::models::{CallError, ChatRequest, PromptSize, Tier};
use crate::store::{Change, Reserve, Reserved, Scope, Settlement, StoreError};

/// The completion cap when money is short.
const SHORT_CAP: u64 = 1_024;
/// How often we look whether a call in flight elsewhere has been settled.
const SETTLEMENT_POLL: Duration = Duration::from_millis(250);

/// What came of asking.
pub(super) enum Asked {
    Answer {
        call: CallId,
        answer: Answer,
    },
    /// The next post is the local command.
    Command,
    End(BuildOutcome),
}

/// What came of reserving.
enum Booked {
    Yes { call: CallId, estimate: Usd, cap: u64 },
    End(BuildOutcome),
}

impl Agent<'_> {
    /// Asks until there is an answer, or an end.
    pub(super) async fn ask(&mut self) -> Result<Asked, StoreError> {
        loop {
            if self.cancel.is_cancelled() {
                return Ok(Asked::End(BuildOutcome::Cancelled));
            }
            let tier = match self.walk.here() {
                None if self.waited_for_one().await? => continue,
                None => return Ok(Asked::End(self.nobody_left().await?)),
                Some(Post::Command) => return Ok(Asked::Command),
                Some(Post::Model(name)) => self.builders.tiers.get(name).cloned(),
            };
            let Some(tier) = tier else {
                self.walk.down();
                continue;
            };
            if let Some(outcome) = self.out_of_bounds() {
                return Ok(Asked::End(outcome));
            }
            if let Some((call, answer)) = self.bought() {
                return Ok(Asked::Answer { call, answer });
            }
            match self.way_to(&tier).await? {
                Way::Free => {}
                Way::Left => continue,
                Way::End(outcome) => return Ok(Asked::End(outcome)),
            }
            let size = self.counter.size(&tier, &self.messages, &tools::specs()).await;
            if !size.fits(&tier) {
                if let Some(outcome) = self.too_large(&tier).await? {
                    return Ok(Asked::End(outcome));
                }
                continue;
            }
            self.builders.failpoints.hit("model.reserving");
            let (call, estimate, cap) = match self.book(&tier, size).await? {
                Booked::Yes { call, estimate, cap } => (call, estimate, cap),
                Booked::End(outcome) => return Ok(Asked::End(outcome)),
            };
            if let Some(asked) = self.send(&tier, call, estimate, cap, size.tokens).await? {
                return Ok(asked);
            }
        }
    }

    /// The prompt does not fit, and is not sent.
    async fn too_large(&mut self, tier: &Tier) -> Result<Option<BuildOutcome>, StoreError> {
        self.last_error = format!("the prompt is larger than {}'s window", tier.model.model);
        let before = self.walk.here();
        if !self.make_room() {
            return Ok(Some(self.nobody_left().await?));
        }
        let why = self.last_error.clone();
        let moved = self.moved(tier, before, &why, ErrorClass::ContextLength);
        self.builders.store.apply(self.fence, moved.into_iter().collect()).await?;
        Ok(None)
    }

    /// Sends what is booked. `None`: go round again.
    async fn send(
        &mut self,
        tier: &Tier,
        call: CallId,
        estimate: Usd,
        cap: u64,
        prompt: u64,
    ) -> Result<Option<Asked>, StoreError> {
        let specs = tools::specs();
        let request = ChatRequest {
            tier,
            messages: &self.messages,
            tools: &specs,
            max_completion_tokens: cap,
            timeout: self.task.limits.request_timeout.min(self.time_left()),
        };
        self.builders.failpoints.hit("model.dispatched");
        let result = tokio::select! {
            result = self.builders.models.chat(request) => result,
            () = self.cancel.cancelled() => {
                // Our own doing: no failure of the tier's, and none of the escalation's.
                let settlement = Settlement::Abandoned {
                    message: "cancelled while the answer was on its way".to_owned(),
                    cost: estimate,
                };
                self.settle(&call, settlement, Vec::new()).await?;
                return Ok(Some(Asked::End(BuildOutcome::Cancelled)));
            }
        };
        self.steps += 1;
        self.builders.failpoints.hit("model.answered");
        match result {
            Ok(answer) => {
                let (cost, unknown, mut changes) = match answer.usage {
                    Some(usage) => {
                        (tier.cost(usage, answer.service_tier.as_deref()), false, Vec::new())
                    }
                    // It may still be settled to what the provider says it cost.
                    None => (estimate, tier.paid, self.unknown_charge(tier, estimate)),
                };
                self.tokens += answer.usage.map_or(prompt, |usage| usage.total());
                self.tries = 0;
                changes.extend(self.learned(tier, &call, &answer));
                let settlement = Settlement::Answered { answer: answer.clone(), cost, unknown };
                self.settle(&call, settlement, changes).await?;
                self.builders.failpoints.hit("model.settled");
                Ok(Some(Asked::Answer { call, answer }))
            }
            Err(error) => self.failed(tier, &call, estimate, &error).await,
        }
    }

    async fn settle(
        &self,
        call: &CallId,
        settlement: Settlement,
        changes: Vec<Change>,
    ) -> Result<(), StoreError> {
        self.builders.store.settle(self.fence, call, settlement, changes).await
    }

    /// Reserves a call's most possible cost, waiting for settlements and shrinking once.
    async fn book(&mut self, tier: &Tier, size: PromptSize) -> Result<Booked, StoreError> {
        loop {
            let cap = self.cap.min(size.room(tier)).max(1);
            let most =
                Usage { prompt_tokens: size.bound, cached_tokens: 0, completion_tokens: cap };
            let estimate = tier.model.price.cost(most);
            let ask = Reserve {
                id: CallId::fresh(),
                attempt: self.task.attempt.clone(),
                issue: self.task.issue,
                escalation: self.task.escalation.clone(),
                tier: tier.model.tier,
                model: tier.model.model.clone(),
                estimate,
                ceilings: self.task.ceilings,
            };
            match self.builders.store.reserve(self.fence, ask).await? {
                Reserved::Dispatched(call) => return Ok(Booked::Yes { call, estimate, cap }),
                Reserved::Refused(refusal) if refusal.only_in_flight => {
                    if self.wait(SETTLEMENT_POLL).await {
                        return Ok(Booked::End(BuildOutcome::Cancelled));
                    }
                    if self.time_left().is_zero() {
                        // Waited for, not stuck: a dearer tier would wait for the same money.
                        let said = budget_sentence(&refusal);
                        let message = format!("{said}; what is in flight was waited for in vain");
                        return Ok(Booked::End(no_money(message)));
                    }
                }
                Reserved::Refused(_) if self.cap > SHORT_CAP => self.cap = SHORT_CAP,
                Reserved::Refused(refusal) => {
                    let message = budget_sentence(&refusal);
                    return Ok(Booked::End(match refusal.scope {
                        // One issue's ceiling ends that issue, not everybody's night.
                        Scope::Issue => no_money(message),
                        Scope::Night | Scope::Repository | Scope::Day | Scope::Month => {
                            BuildOutcome::Budget { message }
                        }
                    }));
                }
            }
        }
    }

    /// Books a failed call and moves as the rules say. `None`: go round again.
    async fn failed(
        &mut self,
        tier: &Tier,
        call: &CallId,
        estimate: Usd,
        error: &CallError,
    ) -> Result<Option<Asked>, StoreError> {
        self.tries += 1;
        self.last_error = format!("{}: {}", tier.model.tier, error.message);
        self.hurt.push((tier.model.tier, error.class));
        let rules = HealingRules {
            auto_heal: self.task.auto_heal,
            local_on_auth_failure: self.builders.healing.local_on_auth_failure,
        };
        let jitter = self.builders.healing.waits.jitter();
        let left = self.time_left();
        let next = after_error(error.class, error.retry_after, self.tries, rules, left, jitter);
        let before = self.walk.here();
        let mut end = None;
        let mut pause = Duration::ZERO;
        match next {
            Next::RetryAfter(wait) => pause = wait,
            Next::NextTier => self.walk.down(),
            Next::LocalOnly if error.class == ErrorClass::Auth => self.degrade(),
            Next::LocalOnly => self.local_or_other_key(&tier.endpoint.fingerprint()),
            Next::LargerWindow => {
                if !self.make_room() {
                    end = Some(self.nobody_left().await?);
                }
            }
            Next::Stop => end = Some(self.stopped(error.class)),
        }
        if self.walk.here() != before {
            self.tries = 0;
        }
        let (cost, unknown) = match &error.charge {
            Charge::None => (Usd::ZERO, false),
            Charge::Unknown => (estimate, tier.paid),
            Charge::Known(spent) => (tier.cost(spent.usage, spent.service_tier.as_deref()), false),
        };
        let mut changes = if unknown { self.unknown_charge(tier, estimate) } else { Vec::new() };
        // Longer than the work has time: this tier is left, and nobody else should wait for it.
        let too_long = error.retry_after.is_some_and(|asked| asked >= left);
        changes.extend(self.warned(tier, error, too_long));
        changes.extend(self.announce(tier, error, before, end.is_some()));
        let settlement = Settlement::Failed {
            class: error.class,
            message: error.message.clone(),
            cost,
            unknown,
        };
        self.settle(call, settlement, changes).await?;
        self.builders.failpoints.hit("model.failed");
        if let Some(outcome) = end {
            return Ok(Some(Asked::End(outcome)));
        }
        if self.wait(pause).await {
            return Ok(Some(Asked::End(BuildOutcome::Cancelled)));
        }
        Ok(None)
    }

    /// A larger window, else a smaller conversation once, else the local builder. Says whether
    /// anything is left to try.
    fn make_room(&mut self) -> bool {
        let today = chrono::Utc::now().date_naive();
        if self.task.auto_heal && self.walk.larger(&self.builders.tiers, today) {
            return true;
        }
        if self.compact() {
            return true;
        }
        self.walk.local();
        self.walk.here().is_some()
    }
}

/// This issue alone ends for want of money.
fn no_money(message: String) -> BuildOutcome {
    BuildOutcome::Failed { code: ReasonCode::Budget, message, stuck: false }
}
