//! Waiting because GitHub says so: how long, what ends the waiting, and the one moment before which
//! nobody who uses this credential asks again.
//!
//! Never sends anything.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::error::GitHubError;

/// How patient a client is.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Most that one call waits for rate limits in all; beyond it, the call fails with the time.
    pub rate_limit_cap: Duration,
    /// The same for a night, which has until the morning: GitHub's own limits are hourly.
    pub night_cap: Duration,
    /// First pause before a read is repeated; doubled and jittered after that.
    pub retry_pause: Duration,
    /// Bound of one request, its answer included.
    pub timeout: Duration,
    /// How long a change that was sent may still be answered once its night is to stop.
    pub stop_grace: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            rate_limit_cap: Duration::from_secs(60),
            night_cap: Duration::from_secs(65 * 60),
            retry_pause: Duration::from_millis(250),
            timeout: Duration::from_secs(60),
            stop_grace: Duration::from_secs(5),
        }
    }
}

/// How one handle waits.
#[derive(Debug, Clone)]
pub(super) struct Manner {
    /// Most that one call waits for rate limits in all.
    pub cap: Duration,
    /// Ends waiting, and requests under way.
    pub stop: CancellationToken,
    /// Told when GitHub no longer takes the credential.
    pub refused: Option<Refused>,
}

impl Manner {
    /// Nothing more is asked with a credential that GitHub does not take.
    pub fn refused(&self, failure: &GitHubError) {
        if let (Some(refused), GitHubError::Unauthorized { .. }) = (&self.refused, failure) {
            refused.say(failure.to_string());
            self.stop.cancel();
        }
    }
}

/// Why a night has to wait for a person: a key that is refused in its middle. The first word stays.
#[derive(Debug, Clone, Default)]
pub struct Refused(Arc<OnceLock<String>>);

impl Refused {
    pub fn say(&self, why: String) {
        // Whoever comes later met the same key.
        self.0.set(why).ok();
    }

    #[must_use]
    pub fn why(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

/// The moment before which GitHub wants no request of ours, whoever was told so.
#[derive(Debug, Default)]
pub(super) struct NotBefore(Mutex<Option<Instant>>);

impl NotBefore {
    /// GitHub asked to wait this long. An earlier word that reaches further stays.
    pub fn push_back(&self, wait: Duration) {
        let until = Instant::now().checked_add(wait);
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *held = (*held).max(until);
    }

    /// What is left of it, if anything.
    pub fn left(&self) -> Option<Duration> {
        let held = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held?.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_furthest_word_holds() {
        let gate = NotBefore::default();
        assert_eq!(gate.left(), None);
        gate.push_back(Duration::from_secs(3_600));
        gate.push_back(Duration::from_secs(5));
        assert!(gate.left().is_some_and(|left| left > Duration::from_secs(3_500)));
        let past = NotBefore::default();
        past.push_back(Duration::ZERO);
        assert_eq!(past.left(), None);
    }
}
