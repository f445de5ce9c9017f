//! The switch between Copilot and the desktop builder, as its callers see it.
//!
//! Owns the rules it is asked under; the state is a row of the store, the transitions are
//! `domain::switch`'s. Never builds, and never decides for a person.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::domain::ids::RepoName;
use crate::domain::switch::{Builder, NoCopilot, Sign, SwitchRules, SwitchState, Switched};
use crate::github::{GitHub, GitHubError};
use crate::store::{Change, RunFilter, Store, StoreError};

/// Repositories of the latest nights that a health check asks about.
const ASKED_ABOUT: usize = 5;

/// Why the switch was not put.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    #[error(transparent)]
    NoCopilot(#[from] NoCopilot),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The handle to the switch. Cheap to clone.
#[derive(Clone)]
pub struct Switchboard {
    store: Store,
    rules: SwitchRules,
    /// When these rules began to hold: what was never switched stands so since then.
    begun: DateTime<Utc>,
}

impl Switchboard {
    #[must_use]
    pub fn new(store: Store, rules: SwitchRules) -> Self {
        Self { store, rules, begun: Utc::now() }
    }

    #[must_use]
    pub const fn rules(&self) -> SwitchRules {
        self.rules
    }

    /// Where it stands.
    pub async fn state(&self) -> Result<SwitchState, StoreError> {
        self.store.switch_state(self.rules, self.begun).await
    }

    /// Puts it by a person's word. Put to the desktop builder it stays there until a person puts it
    /// back. Says whether anything changed, and where it stands then.
    pub async fn switch_builder(
        &self,
        to: Builder,
        reason: &str,
    ) -> Result<(bool, SwitchState), SwitchError> {
        let sign = Sign::Asked { to, why: reason.to_owned() };
        let (state, switched) = self.store.tell_switch(sign, self.rules).await??;
        Ok((switched.is_some(), state))
    }

    /// A health check's word on Copilot; `why` says what is wrong where it is not ready.
    pub async fn record_health(
        &self,
        ready: bool,
        why: &str,
    ) -> Result<Option<Switched>, SwitchError> {
        let sign = Sign::Checked { ready, why: why.to_owned() };
        Ok(self.store.tell_switch(sign, self.rules).await??.1)
    }

    /// A piece of work that Copilot failed. The same one in a row counts once.
    pub async fn record_failure(
        &self,
        work: &str,
        why: &str,
    ) -> Result<Option<Switched>, SwitchError> {
        let sign = Sign::Failed { work: work.to_owned(), why: why.to_owned() };
        Ok(self.store.tell_switch(sign, self.rules).await??.1)
    }

    /// A sign as part of a larger transaction.
    #[must_use]
    pub const fn change(&self, sign: Sign) -> Change {
        Change::Builder { sign, rules: self.rules }
    }

    /// Asks GitHub whether Copilot can be had where nights were lately, and records the answer.
    /// `None`: nobody could be asked about, so nothing was recorded.
    pub async fn check(&self, github: &GitHub) -> Result<Option<bool>, SwitchError> {
        if !self.rules.copilot || !github.has_credential() {
            return Ok(None);
        }
        let mut answers = Vec::new();
        for repo in self.lately().await? {
            answers.push((repo.clone(), github.copilot_available(&repo).await));
        }
        let Some((ready, why)) = verdict(&answers) else { return Ok(None) };
        self.record_health(ready, &why).await?;
        Ok(Some(ready))
    }

    /// Checks now and again until told to stop. Each pause is up to a tenth longer than `every`, so
    /// that many Foremans that start together do not ask together.
    pub async fn keep_checking(&self, github: GitHub, every: Duration, stop: CancellationToken) {
        let rest = || tokio::time::sleep(every + every.mul_f64(rand::random_range(0.0..0.1)));
        self.keep_checking_by(github, rest, stop).await;
    }

    /// The same by another clock: `rest` ends when the time between two checks is over.
    pub async fn keep_checking_by<F: Future<Output = ()>>(
        &self,
        github: GitHub,
        mut rest: impl FnMut() -> F,
        stop: CancellationToken,
    ) {
        loop {
            tokio::select! {
                () = rest() => {}
                () = stop.cancelled() => return,
            }
            if let Err(error) = self.check(&github).await {
                tracing::error!(%error, "the health of Copilot could not be recorded: {error}");
            }
        }
    }

    async fn lately(&self) -> Result<Vec<RepoName>, StoreError> {
        let filter = RunFilter { limit: 50, ..RunFilter::default() };
        let (runs, _) = self.store.runs(filter).await?;
        let mut repos: Vec<RepoName> = Vec::new();
        for run in runs {
            if let Ok(repo) = RepoName::new(&run.owner, &run.repo)
                && !repos.contains(&repo)
                && repos.len() < ASKED_ABOUT
            {
                repos.push(repo);
            }
        }
        Ok(repos)
    }

    /// The `builder` object of the routes.
    pub async fn describe(&self) -> Result<Value, StoreError> {
        let state = self.state().await?;
        Ok(described(&state, self.rules))
    }
}

/// Well where it can be had in one of them. A repository that has it switched off says nothing
/// against Copilot where another has it on.
fn verdict(answers: &[(RepoName, Result<bool, GitHubError>)]) -> Option<(bool, String)> {
    if answers.is_empty() {
        return None;
    }
    if answers.iter().any(|(_, answer)| matches!(answer, Ok(true))) {
        return Some((true, String::new()));
    }
    let why = answers.iter().find_map(|(_, answer)| answer.as_ref().err());
    Some((false, why.map_or_else(|| not_enabled(&answers[0].0), ToString::to_string)))
}

/// GitHub does not name Copilot among those who can be assigned.
#[must_use]
pub fn not_enabled(repo: &RepoName) -> String {
    format!(
        "Copilot's coding agent cannot be assigned in {repo}: it is not enabled there, or not for the token's user"
    )
}

fn described(state: &SwitchState, rules: SwitchRules) -> Value {
    let SwitchState { active, since, reason, held, failures, failed_checks, healthy } = state;
    json!({
        "active": active,
        "since": since,
        "reason": reason,
        "held": held,
        "copilotEnabled": rules.copilot,
        "switchesByItself": rules.copilot && rules.desktop,
        "failuresInARow": failures,
        "failedChecksInARow": failed_checks,
        "healthyChecksInARow": healthy,
        "switchAfterFailures": rules.after_failures,
        "returnAfterHealthy": rules.return_after,
        "returnNotBefore": state.returns_from(rules),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_repository_that_has_it_speaks_for_it() {
        let repo = |name: &str| name.parse::<RepoName>().expect("valid");
        assert_eq!(verdict(&[]), None);
        let both = [(repo("a/b"), Ok(false)), (repo("a/c"), Ok(true))];
        assert!(verdict(&both).is_some_and(|(ready, _)| ready));
        let off = [(repo("a/b"), Ok(false))];
        assert!(verdict(&off).is_some_and(|(ready, why)| !ready && why.contains("a/b")));
        let error = GitHubError::Server { doing: "asking".to_owned(), status: 502 };
        let broken = [(repo("a/b"), Err(error))];
        assert!(verdict(&broken).is_some_and(|(ready, why)| !ready && why.contains("502")));
    }
}
