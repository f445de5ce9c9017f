//! How a builder waits and rolls its dice.
//!
//! Both are given, so that a test can read how long was waited instead of waiting.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

type Sleep = dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync;
type Jitter = dyn Fn() -> f64 + Send + Sync;

/// The waiting and the jitter. Cheap to clone.
#[derive(Clone)]
pub struct Waits {
    sleep: Arc<Sleep>,
    jitter: Arc<Jitter>,
}

impl Waits {
    #[must_use]
    pub fn new(
        sleep: impl Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync + 'static,
        jitter: impl Fn() -> f64 + Send + Sync + 'static,
    ) -> Self {
        Self { sleep: Arc::new(sleep), jitter: Arc::new(jitter) }
    }

    pub(super) fn sleep(&self, pause: Duration) -> BoxFuture<'static, ()> {
        (self.sleep)(pause)
    }

    /// From 0 to 1.
    pub(super) fn jitter(&self) -> f64 {
        (self.jitter)()
    }
}

impl Default for Waits {
    fn default() -> Self {
        Self::new(|pause| Box::pin(tokio::time::sleep(pause)), rand::random)
    }
}

impl fmt::Debug for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waits")
    }
}
