//! When a tier cools down, when a provider's key is out, and for how long.
//!
//! Owns the arithmetic and the verdict over stored facts. Pure: the store keeps the facts and says
//! what time it is.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::errors::RETRY_AFTER_CAP;
use crate::domain::call::ErrorClass;
use crate::domain::tier::ModelTier;

/// Failures in a row, over all issues, that cool a tier down.
const TIER_FAILURES: u32 = 3;
/// Failures in a row, over all tiers of a key, that open its breaker: three tiers may cool down
/// before anybody blames the key.
const KEY_FAILURES: u32 = 10;
/// The first cool-down; each further failure without an answer doubles it.
const COOL_DOWN: Duration = Duration::from_secs(60);
const LONGEST_COOL_DOWN: Duration = Duration::from_secs(30 * 60);
/// A provider that asks for more than this is asked again all the same.
const LONGEST_ASKED: Duration = Duration::from_secs(3_600);
/// An empty account is not asked again before.
const QUOTA_OUT: Duration = Duration::from_secs(3_600);
/// A refused key may be let in again by a person; a new key has a breaker of its own.
const AUTH_OUT: Duration = Duration::from_secs(15 * 60);
/// Older failures are no sign of anything.
pub const FAILURES_FORGOTTEN: Duration = Duration::from_secs(3_600);

/// A model behind a tier at a provider under one key: what fails and cools down as one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Post {
    pub tier: ModelTier,
    pub model: String,
    /// The fingerprint of address and key.
    pub provider: String,
}

/// Why a provider's key is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyOut {
    /// Its money or quota is used up.
    Quota,
    /// It was refused.
    Auth,
    /// The provider fails whatever is asked.
    Outage,
}

impl KeyOut {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quota => "quota",
            Self::Auth => "auth",
            Self::Outage => "outage",
        }
    }

    /// Reads a stored name.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        [Self::Quota, Self::Auth, Self::Outage].into_iter().find(|why| why.as_str() == text)
    }
}

/// Why a post is not asked now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    KeyOut {
        why: KeyOut,
        until: DateTime<Utc>,
    },
    CoolingDown {
        until: DateTime<Utc>,
    },
    /// Its model does not exist, for the rest of this run.
    Dead,
}

/// An open breaker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenBreaker {
    pub provider: String,
    pub why: KeyOut,
    pub until: DateTime<Utc>,
}

/// A tier that cools down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CoolingTier {
    pub tier: ModelTier,
    pub model: String,
    #[serde(skip)]
    pub provider: String,
    pub failures: u32,
    pub until: DateTime<Utc>,
}

/// What stands in the way of calls now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    pub breakers: Vec<OpenBreaker>,
    pub cooling: Vec<CoolingTier>,
    /// Tiers and their models that do not exist, as this run found out.
    pub dead: Vec<(ModelTier, String)>,
    #[serde(skip)]
    pub now: DateTime<Utc>,
}

impl Health {
    /// What stands in the way of this post, the most lasting first.
    #[must_use]
    pub fn block(&self, post: &Post) -> Option<Block> {
        if let Some(open) = self.breakers.iter().find(|open| open.provider == post.provider) {
            return Some(Block::KeyOut { why: open.why, until: open.until });
        }
        if self.dead.iter().any(|(tier, model)| *tier == post.tier && *model == post.model) {
            return Some(Block::Dead);
        }
        let same = |cooling: &&CoolingTier| {
            cooling.tier == post.tier
                && cooling.model == post.model
                && cooling.provider == post.provider
        };
        self.cooling.iter().find(same).map(|cooling| Block::CoolingDown { until: cooling.until })
    }
}

/// Whether a failure of this class says something about the tier. What is wrong with the key, the
/// request or the content does not.
#[must_use]
pub const fn is_tier_failure(class: ErrorClass) -> bool {
    match class {
        ErrorClass::RateLimited
        | ErrorClass::Server
        | ErrorClass::Connection
        | ErrorClass::Timeout
        | ErrorClass::Malformed => true,
        ErrorClass::InsufficientQuota
        | ErrorClass::ContextLength
        | ErrorClass::Auth
        | ErrorClass::ModelNotFound
        | ErrorClass::Refused
        | ErrorClass::BadRequest => false,
    }
}

/// Whether a failure of this class says something about the whole provider.
#[must_use]
pub const fn is_provider_failure(class: ErrorClass) -> bool {
    matches!(class, ErrorClass::Server | ErrorClass::Connection | ErrorClass::Timeout)
}

/// How long a tier cools down after this many failures in a row; the last one may have come with a
/// wait the provider asked for, `too_long` for the work that was left.
#[must_use]
pub fn cool_down(failures: u32, asked: Option<Duration>, too_long: bool) -> Option<Duration> {
    let asked =
        asked.filter(|asked| too_long || *asked > RETRY_AFTER_CAP).map(|it| it.min(LONGEST_ASKED));
    let counted = doubled(failures, TIER_FAILURES);
    asked.max(counted)
}

/// Whether a failure puts the key out, and for how long; `failures` are those in a row that say
/// something about the provider.
#[must_use]
pub fn key_out(class: ErrorClass, failures: u32) -> Option<(KeyOut, Duration)> {
    match class {
        ErrorClass::InsufficientQuota => Some((KeyOut::Quota, QUOTA_OUT)),
        ErrorClass::Auth => Some((KeyOut::Auth, AUTH_OUT)),
        ErrorClass::Server | ErrorClass::Connection | ErrorClass::Timeout => {
            doubled(failures, KEY_FAILURES).map(|out| (KeyOut::Outage, out))
        }
        ErrorClass::RateLimited
        | ErrorClass::ContextLength
        | ErrorClass::ModelNotFound
        | ErrorClass::Refused
        | ErrorClass::BadRequest
        | ErrorClass::Malformed => None,
    }
}

fn doubled(failures: u32, from: u32) -> Option<Duration> {
    let beyond = failures.checked_sub(from)?;
    Some((COOL_DOWN * 2_u32.saturating_pow(beyond.min(10))).min(LONGEST_COOL_DOWN))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(minutes * 60)
    }

    #[test]
    fn three_failures_cool_a_tier_down_and_each_further_one_longer() {
        assert_eq!(cool_down(2, None, false), None);
        assert_eq!(cool_down(3, None, false), Some(minutes(1)));
        assert_eq!(cool_down(4, None, false), Some(minutes(2)));
        assert_eq!(cool_down(400, None, false), Some(minutes(30)));
    }

    #[test]
    fn a_long_wait_asked_for_cools_down_at_once_within_a_bound() {
        assert_eq!(cool_down(1, Some(RETRY_AFTER_CAP), false), None);
        assert_eq!(cool_down(1, Some(RETRY_AFTER_CAP), true), Some(RETRY_AFTER_CAP));
        assert_eq!(cool_down(1, Some(minutes(2)), false), Some(minutes(2)));
        assert_eq!(
            cool_down(3, Some(Duration::from_secs(61)), false),
            Some(Duration::from_secs(61))
        );
        assert_eq!(cool_down(1, Some(minutes(60 * 24)), false), Some(minutes(60)));
    }

    #[test]
    fn only_quota_and_key_put_a_key_out_at_once() {
        assert_eq!(key_out(ErrorClass::InsufficientQuota, 0), Some((KeyOut::Quota, minutes(60))));
        assert_eq!(key_out(ErrorClass::Auth, 0), Some((KeyOut::Auth, minutes(15))));
        assert_eq!(key_out(ErrorClass::Server, 9), None);
        assert_eq!(key_out(ErrorClass::Server, 10), Some((KeyOut::Outage, minutes(1))));
        assert_eq!(key_out(ErrorClass::RateLimited, 99), None);
    }

    #[test]
    fn a_key_goes_before_a_tier_and_others_are_not_touched() {
        let post = |tier: ModelTier, provider: &str| Post {
            tier,
            model: "m".to_owned(),
            provider: provider.to_owned(),
        };
        let until = DateTime::<Utc>::MAX_UTC;
        let health = Health {
            breakers: vec![OpenBreaker { provider: "a".to_owned(), why: KeyOut::Quota, until }],
            cooling: vec![CoolingTier {
                tier: ModelTier::Gpt4,
                model: "m".to_owned(),
                provider: "b".to_owned(),
                failures: 3,
                until,
            }],
            dead: vec![(ModelTier::Gpt51, "m".to_owned())],
            now: DateTime::<Utc>::MIN_UTC,
        };
        let quota = Some(Block::KeyOut { why: KeyOut::Quota, until });
        assert_eq!(health.block(&post(ModelTier::Gpt51, "a")), quota);
        assert_eq!(health.block(&post(ModelTier::Gpt51, "b")), Some(Block::Dead));
        let cooling = Some(Block::CoolingDown { until });
        assert_eq!(health.block(&post(ModelTier::Gpt4, "b")), cooling);
        assert_eq!(health.block(&post(ModelTier::Gpt4, "c")), None);
        assert_eq!(health.block(&post(ModelTier::Gpt4Turbo, "b")), None);
    }
}
