//! The check that comes by itself: every so often, never two at once, until told to stop.
//!
//! Owns how the local builder's health has been. Never switches anything: who builds follows from
//! Copilot's checks, which have a timer of their own (`builders::Switchboard`).

use std::collections::HashMap;
use std::sync::PoisonError;
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::records::{DesktopVerdict, DriftState, Health, RepositoryHealth};
use super::{DesktopSync, Settings};

/// How the local builder's health has been, check by check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    pub checks: u64,
    /// What the last check found.
    pub ready: bool,
    pub consecutive_failures: u32,
    pub consecutive_healthy: u32,
    /// Whether the local builder counts as there: lost after `switch_after_failures` failures in a
    /// row, back after `return_after_healthy` healthy checks. The first check decides by itself.
    pub available: bool,
}

impl Standing {
    /// After one more check. Pure.
    #[must_use]
    pub fn after(self, ready: bool, settings: &Settings) -> Self {
        let (failures, healthy) = match ready {
            true => (0, self.consecutive_healthy.saturating_add(1)),
            false => (self.consecutive_failures.saturating_add(1), 0),
        };
        let available = match (self.checks, self.available) {
            (0, _) => ready,
            (_, true) => failures < settings.switch_after_failures,
            (_, false) => healthy >= settings.return_after_healthy,
        };
        Self {
            checks: self.checks.saturating_add(1),
            ready,
            consecutive_failures: failures,
            consecutive_healthy: healthy,
            available,
        }
    }
}

/// What one check leaves for the next.
#[derive(Debug, Default)]
struct Known {
    last: HashMap<String, RepositoryHealth>,
    /// Checks in a row in which a clone could not be looked at.
    lost_for: HashMap<String, u32>,
}

/// How long to wait for the next check: the interval and up to a tenth of it, so that many Foremans
/// that start together do not ask their remotes together. `random` is from 0 to 1.
fn pause(interval: Duration, random: f64) -> Duration {
    interval + interval.mul_f64(random.clamp(0.0, 1.0) / 10.0)
}

impl DesktopSync {
    /// Checks now and then until told to stop. Nothing where the clones are disabled.
    pub async fn run(&self, stopping: CancellationToken) {
        self.run_by(stopping, tokio::time::sleep, || rand::random_range(0.0..1.0)).await;
    }

    /// The same by another clock: `rest` ends when the time it is given is over; `random` gives
    /// numbers from 0 to 1.
    pub async fn run_by<F: Future<Output = ()>>(
        &self,
        stopping: CancellationToken,
        mut rest: impl FnMut(Duration) -> F,
        mut random: impl FnMut() -> f64,
    ) {
        if !self.is_enabled() {
            return;
        }
        let mut known = Known::default();
        loop {
            tokio::select! {
                () = self.check(&mut known, &stopping) => {}
                () = stopping.cancelled() => return,
            }
            let pause = pause(self.inner.settings.interval, random());
            tokio::select! {
                () = rest(pause) => {}
                () = stopping.cancelled() => return,
            }
        }
    }

    /// One check of everything, with its events.
    async fn check(&self, known: &mut Known, stopping: &CancellationToken) {
        let _alone = self.inner.checking.lock().await;
        let (health, repos) = self.examine().await;
        for (now, repo) in health.repositories.iter().zip(&repos) {
            let lost_for = known.lost_for.entry(now.id.clone()).or_default();
            *lost_for = match now.drift.state {
                DriftState::Unknown => lost_for.saturating_add(1),
                DriftState::InSync
                | DriftState::Ahead
                | DriftState::Behind
                | DriftState::Diverged => 0,
            };
            let lost = *lost_for >= self.inner.settings.switch_after_failures;
            self.note_check(now, known.last.get(&now.id), repo.as_ref(), lost).await;
            known.last.insert(now.id.clone(), now.clone());
        }
        self.stand(&health);
        if self.inner.settings.auto_merge {
            self.merge_what_is_safe(&health, stopping).await;
        }
    }

    fn stand(&self, health: &Health) {
        let mut standing = self.inner.standing.lock().unwrap_or_else(PoisonError::into_inner);
        *standing = standing.after(health.ready, &self.inner.settings);
    }

    async fn merge_what_is_safe(&self, health: &Health, stopping: &CancellationToken) {
        for repository in &health.repositories {
            let brings = match repository.drift.state {
                DriftState::Behind | DriftState::Diverged => true,
                DriftState::InSync | DriftState::Ahead | DriftState::Unknown => false,
            };
            if brings && repository.drift.safe_to_merge && !stopping.is_cancelled() {
                // What fails is an event already.
                if let Err(error) = self.merge_until(&repository.id, false, stopping).await {
                    tracing::warn!(%error, "a merge by itself did not happen");
                }
            }
        }
    }

    /// One look before a night, for its plan; bounded, so that no clone keeps a night waiting.
    pub async fn before_a_night(&self, patience: Duration) -> DesktopVerdict {
        let Ok(health) = tokio::time::timeout(patience, self.health()).await else {
            return DesktopVerdict {
                ready: false,
                issues: vec![format!(
                    "the local clones did not answer in {} s",
                    patience.as_secs()
                )],
                repositories: Vec::new(),
            };
        };
        DesktopVerdict {
            ready: health.ready,
            issues: health.issues,
            repositories: health.repositories.into_iter().map(|it| it.drift).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::desktop_sync::LocalBuilder;
    use crate::git::Author;

    fn settings() -> Settings {
        Settings {
            enabled: true,
            repositories: Vec::new(),
            interval: Duration::from_secs(1),
            switch_after_failures: 3,
            return_after_healthy: 2,
            merge_diverged: true,
            auto_merge: false,
            builder: LocalBuilder::default(),
            api_url: "https://api.github.com".parse().expect("a url"),
            author: Author { name: "F".into(), email: "f@localhost".into() },
            folder: PathBuf::new(),
        }
    }

    #[test]
    fn each_pause_is_up_to_a_tenth_longer() {
        let half_an_hour = Duration::from_secs(1_800);
        let pauses = [0.0, 0.5, 1.0, 7.0].map(|random| pause(half_an_hour, random).as_secs());
        assert_eq!(pauses, [1_800, 1_890, 1_980, 1_980]);
    }

    #[test]
    fn it_is_lost_after_three_failures_and_back_after_two_healthy_checks() {
        let mut standing = Standing::default();
        let mut seen = Vec::new();
        for ready in [true, false, false, true, false, false, false, true, true] {
            standing = standing.after(ready, &settings());
            seen.push(standing.available);
        }
        assert_eq!(seen, [true, true, true, true, true, true, false, false, true]);
        assert!(!Standing::default().after(false, &settings()).available);
    }
}
