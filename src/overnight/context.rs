//! What everybody who works on a night shares, and what can stop one before its end.
//!
//! Owns the commit of a night's changes with its line in the log, and the pause. Decides nothing about
//! an issue.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::claims::Claims;
use super::ending::Ended;
use super::rows::Board;
use super::settings::Parts;
use crate::domain::event::{EventType, GovernanceEvent, NewEvent};
use crate::domain::ids::RunId;
use crate::domain::run::NightRequest;
use crate::gate::GateError;
use crate::git::GitError;
use crate::github::{GitHub, GitHubError, Refused};
use crate::store::{Change, Fence, StoreError};

/// Why a night stopped before its end; it is taken up again.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Git(#[from] GitError),
    #[error(transparent)]
    GitHub(#[from] GitHubError),
    #[error(transparent)]
    Gate(#[from] GateError),
    #[error("the workspace cannot be made: {0}")]
    Workspace(#[from] std::io::Error),
    #[error("the stored {what} of run {run} cannot be read: {why}")]
    Stored { what: &'static str, run: RunId, why: String },
    #[error("interrupted")]
    Interrupted,
}

impl EngineError {
    /// Whether what was stored is not what this version reads.
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Self::Stored { .. } | Self::Store(StoreError::Corrupt { .. }))
    }

    /// Whether the same night may get further when it is taken up again.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Store(StoreError::Corrupt { .. }) => false,
            Self::Store(_) | Self::Interrupted => true,
            Self::Git(error) | Self::Gate(GateError::Git(error)) => error.is_transient(),
            Self::GitHub(error) => error.is_passing(),
            Self::Gate(_) | Self::Workspace(_) | Self::Stored { .. } => false,
        }
    }
}

/// What everybody who works on a night shares.
pub(super) struct Context<'a> {
    pub parts: &'a Parts,
    /// GitHub with a night's patience, until the night is to stop.
    pub github: GitHub,
    pub fence: &'a Fence,
    pub request: &'a NightRequest,
    /// Cancelled by a person, by shutdown, or because the lease was lost.
    pub stop: &'a CancellationToken,
    /// A key is refused in the middle of the night: why, and the night waits for a person.
    pub refused: &'a Refused,
    /// The night was taken up in vain often enough: what fails now ends it.
    pub last_try: bool,
    pub board: Mutex<Board>,
    /// What the lanes are about to publish.
    pub claims: Claims,
}

impl Context<'_> {
    pub fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a fault leaves the attempt as it is, for the next time the night is taken up.
    pub fn leaves_open(&self, error: &EngineError) -> bool {
        if self.stop.is_cancelled() {
            return true;
        }
        match error {
            EngineError::Store(_) | EngineError::Interrupted => error.is_passing(),
            EngineError::Git(_)
            | EngineError::GitHub(_)
            | EngineError::Gate(_)
            | EngineError::Workspace(_)
            | EngineError::Stored { .. } => error.is_passing() && !self.last_try,
        }
    }

    pub fn event(&self, kind: EventType, description: impl Into<String>) -> NewEvent {
        NewEvent::new(kind, description).run(&self.fence.run)
    }

    /// Where git's credential was refused: asks GitHub whether it takes it at all. If not, the night
    /// is stopped, as after any 401.
    pub async fn ask_about(&self, error: &EngineError) {
        if let EngineError::Git(error) | EngineError::Gate(GateError::Git(error)) = error {
            self.ask_about_git(error).await;
        }
    }

    pub async fn ask_about_git(&self, error: &GitError) {
        if matches!(error, GitError::AuthRefused { .. }) && !self.stop.is_cancelled() {
            // Its answer is of no interest: a 401 stops the night by itself.
            self.github.repository(&self.request.repo).await.ok();
        }
    }

    /// What ends because the night is to stop is no end of it.
    pub fn unless_stopped(&self, ended: Ended) -> Result<Ended, EngineError> {
        if self.stop.is_cancelled() { Err(EngineError::Interrupted) } else { Ok(ended) }
    }

    /// The night waits for a person.
    pub fn pause(&self, why: String) {
        self.refused.say(why);
        self.stop.cancel();
    }

    pub async fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let events = self.parts.store.apply(self.fence, changes).await?;
        log(&events);
        Ok(())
    }
}

/// What was committed, for whoever reads the log: the span says of which run, issue and attempt.
pub(super) fn log(events: &[GovernanceEvent]) {
    for event in events {
        tracing::info!(event = %event.kind, "{}", event.description);
    }
}
