//! The one way out of a box that has no network: a port on its own loopback, answered by Foreman.
//!
//! Owns which door a command gets and how long it is open: as long as the command runs. What may
//! pass is `proxy`'s.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::proxy;
use crate::domain::registry::Registry;
use crate::process::{self, Children, Finished, ProcessError, Spec};

/// The port inside. Each box has a loopback of its own, so it is never taken by another; high and
/// odd, so that no test of a repository wants it.
pub(super) const PORT: u16 = 31_128;

/// Where a command may go.
#[derive(Debug, Clone)]
pub enum Door {
    /// Whoever connects to the port talks to this address and to nothing else.
    Address { host: String, port: u16 },
    /// The port is an HTTP proxy that lets through to these alone.
    Registries { allowed: Arc<[Registry]>, refused: Refusals },
}

impl Door {
    /// The port inside that leads out.
    #[must_use]
    pub const fn port() -> u16 {
        PORT
    }
}

/// What a command asked for and did not get, for people.
#[derive(Debug, Clone, Default)]
pub struct Refusals(Arc<Mutex<BTreeSet<String>>>);

/// A command in a loop may ask for thousands of names.
const MOST_REFUSALS: usize = 20;

impl Refusals {
    pub(super) fn add(&self, what: String) {
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() < MOST_REFUSALS {
            refused.insert(what);
        }
    }

    /// One sentence for each.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// Runs a command with its door open.
pub(super) async fn run(
    children: &Children,
    mut spec: Spec,
    door: &Door,
    cancel: &CancellationToken,
) -> Result<Finished, ProcessError> {
    let (to, mut listeners) = mpsc::unbounded_channel();
    spec.door = Some(process::Door { port: PORT, listener: to });
    let answering = async {
        if let Some(listener) = listeners.recv().await
            && let Err(error) = proxy::serve(listener, door).await
        {
            tracing::warn!(%error, "the way out of a box is closed");
        }
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        finished = children.run(spec, cancel) => finished,
        never = answering => match never {},
    }
}
