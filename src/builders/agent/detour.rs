//! Around what is not asked now: open breakers, tiers that cool down, models found dead.
//!
//! Owns the move past such a post and the wait where nobody else is left. What stands in the way
//! was stored by whoever ran into it, in this issue, another one or another night.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Agent;
use crate::builders::BuildOutcome;
use crate::domain::call::ErrorClass;
use crate::domain::tier::ModelTier;
use crate::escalation::{Block, KeyOut, Post, RETRY_AFTER_CAP};
use crate::models::Tier;
use crate::store::StoreError;

/// The longest cool-down that is waited for where nobody else is left: what a provider's own
/// `Retry-After` may ask.
const LONGEST_WAIT: Duration = RETRY_AFTER_CAP;

/// Whether the post at hand may be asked.
pub(super) enum Way {
    Free,
    /// It was left.
    Left,
    End(BuildOutcome),
}

/// A tier as failures are counted.
pub(super) fn post(tier: &Tier) -> Post {
    Post {
        tier: tier.model.tier,
        model: tier.model.model.clone(),
        provider: tier.endpoint.fingerprint(),
    }
}

impl Agent<'_> {
    /// Leaves the post at hand where something stands in its way.
    pub(super) async fn way_to(&mut self, tier: &Tier) -> Result<Way, StoreError> {
        let health = self.builders.store.health(&self.task.run).await?;
        let post = post(tier);
        let Some(block) = health.block(&post) else { return Ok(Way::Free) };
        let name = tier.model.tier;
        let before = self.walk.here();
        let (why, class) = match block {
            Block::Dead => {
                self.walk.down();
                (format!("{} does not exist", tier.model.model), ErrorClass::ModelNotFound)
            }
            Block::CoolingDown { until } => {
                self.skipped.push((name, until));
                self.walk.down();
                let why = format!("it cools down until {}", clock(until));
                (why, ErrorClass::Server)
            }
            Block::KeyOut { why: KeyOut::Outage, until } => {
                self.skipped.push((name, until));
                self.leave_key(&post.provider);
                (format!("its provider fails until {}", clock(until)), ErrorClass::Server)
            }
            Block::KeyOut { why: KeyOut::Quota, until } => {
                self.local_or_other_key(&post.provider);
                let why = format!("its key is used up and not asked until {}", clock(until));
                (why, ErrorClass::InsufficientQuota)
            }
            Block::KeyOut { why: KeyOut::Auth, until } => {
                self.last_error = format!(
                    "{name}: the provider refused the key; it is not asked until {}",
                    clock(until)
                );
                if !self.may_degrade() {
                    return Ok(Way::End(self.stopped(ErrorClass::Auth)));
                }
                self.degrade();
                ("its key was refused".to_owned(), ErrorClass::Auth)
            }
        };
        self.last_error = format!("{name}: {why}");
        self.tries = 0;
        let moved = self.moved(tier, before, &why, class);
        self.builders.store.apply(self.fence, moved.into_iter().collect()).await?;
        Ok(Way::Left)
    }

    /// Whether the local builder may stand in where the provider refuses the key.
    pub(super) fn may_degrade(&self) -> bool {
        self.task.auto_heal && self.builders.healing.local_on_auth_failure
    }

    /// On to the local builder alone, and it will be said so.
    pub(super) fn degrade(&mut self) {
        self.degraded = true;
        self.walk.local();
    }

    /// On to the local builder; where there is none, to a post under another key.
    pub(super) fn local_or_other_key(&mut self, provider: &str) {
        if self.walk.has_local_below() {
            self.walk.local();
        } else {
            self.leave_key(provider);
        }
    }

    fn leave_key(&mut self, provider: &str) {
        let same = |tier: ModelTier| {
            let entry = self.builders.tiers.get(tier);
            entry.is_some_and(|entry| entry.endpoint.fingerprint() == provider)
        };
        self.walk.past(same);
    }

    /// Where nobody is left but a tier that was passed by: waits until it may be asked again, if
    /// that is soon. Says whether there is such a tier.
    pub(super) async fn waited_for_one(&mut self) -> Result<bool, StoreError> {
        let soonest = self.skipped.iter().min_by_key(|(_, until)| *until).copied();
        let Some((tier, until)) = soonest.filter(|_| self.task.auto_heal) else {
            return Ok(false);
        };
        let now = self.builders.store.health(&self.task.run).await?.now;
        let pause = (until - now).to_std().unwrap_or_default();
        if pause > LONGEST_WAIT || pause >= self.time_left() {
            return Ok(false);
        }
        self.skipped.retain(|(name, _)| *name != tier);
        // Cancelled meanwhile: the loop's next turn sees it.
        self.wait(pause).await;
        self.walk.again(tier);
        Ok(true)
    }
}

fn clock(until: DateTime<Utc>) -> String {
    until.format("%H:%M:%S UTC").to_string()
}
