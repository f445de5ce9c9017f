//! What the process says to systemd: ready, stopping, and, where a watchdog is set, that it lives.
//!
//! Says it lives only after the database has answered: a service that cannot work is not alive.
//! Without `NOTIFY_SOCKET` nothing is said.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use crate::store::Store;

/// Requests are answered from now on.
pub(super) fn ready() {
    say(&[NotifyState::Ready]);
}

/// No new work; what is under way is being stopped.
pub(super) fn stopping() {
    say(&[NotifyState::Stopping]);
}

/// Feeds the watchdog twice in its time, until `closing`.
pub(super) async fn feed_watchdog(store: Store, closing: CancellationToken) {
    let Some(time) = sd_notify::watchdog_enabled() else { return };
    loop {
        tokio::select! {
            () = tokio::time::sleep(time / 2) => {}
            () = closing.cancelled() => return,
        }
        match tokio::time::timeout(patience(time), store.ping()).await {
            Ok(Ok(())) => say(&[NotifyState::Watchdog]),
            Ok(Err(error)) => tracing::error!(%error, "the database does not answer"),
            Err(_) => tracing::error!("the database does not answer in time"),
        }
    }
}

/// Short enough that a late answer still comes before the watchdog.
fn patience(time: Duration) -> Duration {
    time / 4
}

fn say(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd could not be told");
    }
}
