//! Ctrl-C and SIGTERM: the first asks for an end after the current effect, the second ends now.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::CliError;

/// How a process ended by a second Ctrl-C exits, as shells expect (128 + SIGINT).
const INTERRUPTED: i32 = 130;

pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From here on the signals do not end the process by themselves.
    pub fn listen() -> Result<Self, CliError> {
        let interrupt = signal(SignalKind::interrupt()).map_err(CliError::Signals)?;
        let terminate = signal(SignalKind::terminate()).map_err(CliError::Signals)?;
        Ok(Self { interrupt, terminate })
    }

    /// The next signal.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// From now on a signal ends the process at once.
    pub fn end_on_next(mut self) {
        tokio::spawn(async move {
            self.next().await;
            end_now()
        });
    }
}

/// Ends the process at once. What is unfinished is resumed at the next start: that is what the
/// store is for.
pub fn end_now() -> ! {
    std::process::exit(INTERRUPTED)
}
