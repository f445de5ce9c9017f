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

/// The move after a failed call. `tries` counts the calls made to this tier for this request, the
/// failed one included; `jitter` is a number from 0 to 1. Without `auto_heal` nothing is tried
/// again.
#[must_use]
pub fn after_error(
    class: ErrorClass,
    retry_after: Option<Duration>,
    tries: u32,
    auto_heal: bool,
    jitter: f64,
) -> Next {
    if !auto_heal {
        return Next::Stop;
    }
    match class {
        ErrorClass::RateLimited | ErrorClass::Server | ErrorClass::Connection => {
            retry(retry_after, tries, 2, jitter)
        }
        ErrorClass::Timeout | ErrorClass::Malformed => retry(retry_after, tries, 1, jitter),
        ErrorClass::InsufficientQuota => Next::LocalOnly,
        ErrorClass::ContextLength => Next::LargerWindow,
        ErrorClass::ModelNotFound => Next::NextTier,
        // An invalid key or our own bug is the same everywhere; a refusal is not shopped around.
        ErrorClass::Auth | ErrorClass::Refused | ErrorClass::BadRequest => Next::Stop,
    }
}

/// At most `more` further tries of the same tier, then the next.
fn retry(retry_after: Option<Duration>, tries: u32, more: u32, jitter: f64) -> Next {
    let asked = retry_after.unwrap_or_default();
    if tries > more || asked > RETRY_AFTER_CAP {
        return Next::NextTier;
    }
    let ceiling = BACKOFF_BASE * 2_u32.saturating_pow(tries.saturating_sub(1));
    Next::RetryAfter(asked.max(ceiling.mul_f64(jitter.clamp(0.0, 1.0))))
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

    /// How many calls a tier that always fails this way gets, and what comes then.
    fn calls_until_move(class: ErrorClass) -> (u32, Next) {
        for tries in 1..10 {
            match after_error(class, None, tries, true, 0.5) {
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
            assert_eq!(after_error(class, None, 1, false, 0.5), Next::Stop, "{class:?}");
        }
    }

    #[test]
    fn the_wait_is_the_longer_of_the_asked_and_the_backoff() {
        let after = |asked: Option<u64>, tries, jitter| {
            let asked = asked.map(Duration::from_secs);
            after_error(ErrorClass::RateLimited, asked, tries, true, jitter)
        };
        assert_eq!(after(Some(2), 1, 1.0), Next::RetryAfter(Duration::from_secs(2)));
        assert_eq!(after(Some(60), 1, 0.0), Next::RetryAfter(Duration::from_secs(60)));
        assert_eq!(after(Some(61), 1, 0.0), Next::NextTier);
        assert_eq!(after(None, 1, 1.0), Next::RetryAfter(Duration::from_secs(1)));
        assert_eq!(after(None, 2, 0.5), Next::RetryAfter(Duration::from_secs(1)));
        assert_eq!(after(None, 1, 0.0), Next::RetryAfter(Duration::ZERO));
    }
}
