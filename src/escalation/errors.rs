//! What to do after a failed call, by its class.
//!
//! Owns the error table of the design. Never waits itself: it says how long.

use std::time::Duration;

use crate::domain::call::ErrorClass;

/// A provider that asks for a longer wait than this is left for the next tier.
pub const RETRY_AFTER_CAP: Duration = Duration::from_secs(60);

/// The first full-jitter backoff is at most this long; it doubles with each try.
const BACKOFF_BASE: Duration = Duration::from_secs(1);

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The same request to the same tier after this wait.
    RetryAfter(Duration),
    /// The next tier down the chain.
    NextTier,
    /// A tier with a larger window, else a smaller prompt.
    LargerWindow,
    /// The paid key is out: only the local builder is left.
    LocalOnly,
    /// The issue fails; no other builder is tried.
    Stop,
}

/// What the operator and the night allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealingRules {
    /// Without it nothing is tried again.
    pub auto_heal: bool,
    /// Whether the local builder takes over where the provider refuses the key.
    pub local_on_auth_failure: bool,
}

/// The move after a failed call. `tries` counts the calls made to this tier for this request, the
/// failed one included; `left` is the time left for the work; `jitter` is a number from 0 to 1.
#[must_use]
pub fn after_error(
    class: ErrorClass,
    retry_after: Option<Duration>,
    tries: u32,
    rules: HealingRules,
    left: Duration,
    jitter: f64,
) -> Next {
    if !rules.auto_heal {
        return Next::Stop;
    }
    match class {
        ErrorClass::RateLimited | ErrorClass::Server | ErrorClass::Connection => {
            retry(retry_after, tries, 2, left, jitter)
        }
        ErrorClass::Timeout | ErrorClass::Malformed => retry(retry_after, tries, 1, left, jitter),
        ErrorClass::InsufficientQuota => Next::LocalOnly,
        ErrorClass::ContextLength => Next::LargerWindow,
        ErrorClass::ModelNotFound => Next::NextTier,
        ErrorClass::Auth if rules.local_on_auth_failure => Next::LocalOnly,
        // An invalid key or our own bug is the same everywhere; a refusal is not shopped around.
        ErrorClass::Auth | ErrorClass::Refused | ErrorClass::BadRequest => Next::Stop,
    }
}

/// At most `more` further tries of the same tier, then the next.
fn retry(
    retry_after: Option<Duration>,
    tries: u32,
    more: u32,
    left: Duration,
    jitter: f64,
) -> Next {
    let asked = retry_after.unwrap_or_default();
    if tries > more || asked > RETRY_AFTER_CAP {
        return Next::NextTier;
    }
    let ceiling = BACKOFF_BASE * 2_u32.saturating_pow(tries.saturating_sub(1));
    let wait = asked.max(ceiling.mul_f64(jitter.clamp(0.0, 1.0)));
    if wait >= left { Next::NextTier } else { Next::RetryAfter(wait) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [ErrorClass; 11] = [
        ErrorClass::RateLimited,
        ErrorClass::InsufficientQuota,
        ErrorClass::ContextLength,
        ErrorClass::Server,
        ErrorClass::Connection,
        ErrorClass::Timeout,
        ErrorClass::Auth,
        ErrorClass::ModelNotFound,
        ErrorClass::Refused,
        ErrorClass::BadRequest,
        ErrorClass::Malformed,
    ];

    const HEAL: HealingRules = HealingRules { auto_heal: true, local_on_auth_failure: false };
    const LONG: Duration = Duration::from_secs(1_800);

    /// How many calls a tier that always fails this way gets, and what comes then.
    fn calls_until_move(class: ErrorClass) -> (u32, Next) {
        for tries in 1..10 {
            match after_error(class, None, tries, HEAL, LONG, 0.5) {
                Next::RetryAfter(_) => {}
                next => return (tries, next),
            }
        }
        unreachable!("{class:?} retries for ever")
    }

    #[test]
    fn the_table() {
        for class in ALL {
            let expected = match class {
                ErrorClass::RateLimited | ErrorClass::Server | ErrorClass::Connection => {
                    (3, Next::NextTier)
                }
                ErrorClass::Timeout | ErrorClass::Malformed => (2, Next::NextTier),
                ErrorClass::InsufficientQuota => (1, Next::LocalOnly),
                ErrorClass::ContextLength => (1, Next::LargerWindow),
                ErrorClass::ModelNotFound => (1, Next::NextTier),
                ErrorClass::Auth | ErrorClass::Refused | ErrorClass::BadRequest => (1, Next::Stop),
            };
            assert_eq!(calls_until_move(class), expected, "{class:?}");
            let off = HealingRules { auto_heal: false, local_on_auth_failure: true };
            assert_eq!(after_error(class, None, 1, off, LONG, 0.5), Next::Stop, "{class:?}");
        }
    }

    #[test]
    fn a_refused_key_leaves_the_local_builder_only_where_the_operator_says_so() {
        let rules = HealingRules { local_on_auth_failure: true, ..HEAL };
        let next = after_error(ErrorClass::Auth, None, 1, rules, LONG, 0.0);
        assert_eq!(next, Next::LocalOnly);
    }

    #[test]
    fn a_wait_beyond_the_deadline_goes_to_the_next_tier() {
        let wait = Some(Duration::from_secs(30));
        let after = |left| after_error(ErrorClass::RateLimited, wait, 1, HEAL, left, 0.0);
        assert_eq!(after(Duration::from_secs(31)), Next::RetryAfter(Duration::from_secs(30)));
        assert_eq!(after(Duration::from_secs(30)), Next::NextTier);
    }

    #[test]
    fn the_wait_is_the_longer_of_the_asked_and_the_backoff() {
        let after = |asked: Option<u64>, tries, jitter| {
            let asked = asked.map(Duration::from_secs);
            after_error(ErrorClass::RateLimited, asked, tries, HEAL, LONG, jitter)
        };
        assert_eq!(after(Some(2), 1, 1.0), Next::RetryAfter(Duration::from_secs(2)));
        assert_eq!(after(Some(60), 1, 0.0), Next::RetryAfter(Duration::from_secs(60)));
        assert_eq!(after(Some(61), 1, 0.0), Next::NextTier);
        assert_eq!(after(None, 1, 1.0), Next::RetryAfter(Duration::from_secs(1)));
        assert_eq!(after(None, 2, 0.5), Next::RetryAfter(Duration::from_secs(1)));
        assert_eq!(after(None, 1, 0.0), Next::RetryAfter(Duration::ZERO));
    }
}
