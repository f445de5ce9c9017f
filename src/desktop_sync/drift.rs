//! Drift: how a clone stands to its remote, and whether a merge is certainly safe.
//!
//! Looks and compares; what it cannot find out is `unknown`, and unknown is never safe.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::records::{DriftDetectionResult, DriftState};
use super::remote::{self, Route};
use super::{DesktopError, DesktopSync, Repository};
use crate::domain::ids::RepoName;
use crate::git::clone::{Comparison, LocalClone, MergeError, Outcome, Snapshot};

/// A look that takes longer is given up: the remote hangs, or the disk does.
const LONGEST_LOOK: Duration = Duration::from_secs(100);

/// What a look found, for who goes on from it.
pub(super) struct Looked {
    pub result: DriftDetectionResult,
    /// What a merge works from; none where the state is unknown.
    pub found: Option<Found>,
    /// The repository on GitHub, where the remote is one.
    pub repo: Option<RepoName>,
    pub branch_of_clone: Option<String>,
    /// What is wrong with the clone itself, known even where the remote is not reached.
    pub faults: Vec<String>,
    pub clean: bool,
    pub remote_took: Option<Duration>,
}

pub(super) struct Found {
    pub clone: LocalClone,
    pub snapshot: Snapshot,
    pub comparison: Comparison,
    pub address: String,
}

impl Looked {
    pub(super) fn unknown(id: &str, snapshot: Option<&Snapshot>, why: impl Into<String>) -> Self {
        let local = snapshot.and_then(Snapshot::commit).map(ToString::to_string);
        Self {
            result: DriftDetectionResult::unknown(id, local, why),
            found: None,
            repo: None,
            branch_of_clone: snapshot.and_then(Snapshot::branch).map(str::to_owned),
            faults: snapshot.map(|it| it.blockers.clone()).unwrap_or_default(),
            clean: false,
            remote_took: None,
        }
    }
}

impl DesktopSync {
    /// Holds a clone against its remote. Changes nothing in it, but for ending a merge of ours that
    /// was cut short. Where the clones are disabled nothing is looked at.
    pub async fn drift(&self, id: &str) -> Result<DriftDetectionResult, DesktopError> {
        let repository = self.repository(id)?;
        if !self.is_enabled() {
            let why = DesktopError::Disabled.to_string();
            return Ok(DriftDetectionResult::unknown(id, None, why));
        }
        let looked = match self.turn(repository).await {
            Ok(_turn) => self.look(repository).await,
            Err(error) => Looked::unknown(id, None, error.to_string()),
        };
        Ok(looked.result)
    }

    /// For who has the clone's turn.
    pub(super) async fn look(&self, repository: &Repository) -> Looked {
        self.look_until(repository, &CancellationToken::new()).await
    }

    /// The same; what goes on from it is given up when `cancel` is cancelled.
    pub(super) async fn look_until(
        &self,
        repository: &Repository,
        cancel: &CancellationToken,
    ) -> Looked {
        match tokio::time::timeout(LONGEST_LOOK, self.look_for_long(repository, cancel)).await {
            Ok(looked) => looked,
            Err(_) => {
                let why = format!("it took longer than {} s", LONGEST_LOOK.as_secs());
                Looked::unknown(&repository.id, None, why)
            }
        }
    }

    async fn look_for_long(&self, repository: &Repository, cancel: &CancellationToken) -> Looked {
        let id = repository.id.as_str();
        let clone = match self.open(repository, cancel) {
            Ok(clone) => clone,
            Err(error) => return Looked::unknown(id, None, error.to_string()),
        };
        self.end_leftovers(id, &clone).await;
        let snapshot = match clone.look().await {
            Ok(snapshot) => snapshot,
            Err(error) => return Looked::unknown(id, None, error.to_string()),
        };
        let settings = &self.inner.settings;
        let origin = snapshot.origin.as_deref();
        let route = match remote::route(&self.inner.github, &settings.api_url, origin, clone.root())
            .await
        {
            Ok(route) => route,
            Err(why) => return Looked::unknown(id, Some(&snapshot), why),
        };
        match self.hold_against(repository, clone.clone(), &snapshot, &route).await {
            Ok(looked) => looked,
            Err(why) => {
                let mut looked = Looked::unknown(id, Some(&snapshot), why);
                looked.repo = route.repo;
                if let Ok(dirt) = clone.dirt(&snapshot).await {
                    looked.clean = dirt.is_empty();
                    looked.faults.extend(dirt);
                }
                looked
            }
        }
    }

    async fn hold_against(
        &self,
        repository: &Repository,
        clone: LocalClone,
        snapshot: &Snapshot,
        route: &Route,
    ) -> Result<Looked, String> {
        let Some(local) = snapshot.commit() else {
            return Err("its branch has no commit yet; run `git pull`".to_owned());
        };
        let (url, token) = (route.url.as_str(), route.token.as_ref());
        let begun = std::time::Instant::now();
        let tip = clone.remote_tip(url, token, repository.branch.as_deref()).await;
        let took = begun.elapsed();
        let Some(tip) = tip.map_err(|error| error.to_string())? else {
            let what = match &repository.branch {
                Some(branch) => format!("its remote has no branch `{branch}`"),
                None => "its remote names no branch of its own, or has no commit".to_owned(),
            };
            return Err(format!("{what}; set `branch` in [[desktop.repositories]]"));
        };
        let (remote, seen) =
            clone.fetch(url, token, &tip, local).await.map_err(|error| error.to_string())?;
        let seen: Vec<_> = seen.into_iter().collect();
        let compared = clone.compare(snapshot, &remote, &tip.branch, &seen).await;
        let comparison = compared.map_err(|error| match snapshot.shallow {
            true => format!("the clone is shallow; run `git fetch --unshallow` ({error})"),
            false => error.to_string(),
        })?;
        if snapshot.shallow && comparison.outcome == Outcome::Unrelated {
            let why = "the clone is shallow and does not reach the common history; run `git fetch --unshallow`";
            return Err(why.to_owned());
        }
        let result =
            verdict(&repository.id, &tip.branch, &comparison, self.inner.settings.merge_diverged);
        let mut faults = snapshot.blockers.clone();
        faults.extend(comparison.misplaced.clone());
        faults.extend(comparison.dirt.clone());
        let clean = comparison.dirt.is_empty();
        let branch_of_clone = snapshot.branch().map(str::to_owned);
        let found =
            Found { clone, snapshot: snapshot.clone(), comparison, address: route.url.clone() };
        Ok(Looked {
            result,
            found: Some(found),
            repo: route.repo.clone(),
            branch_of_clone,
            faults,
            clean,
            remote_took: Some(took),
        })
    }

    async fn end_leftovers(&self, id: &str, clone: &LocalClone) {
        match clone.end_leftovers().await {
            Ok(None) | Err(MergeError::Busy) => {}
            Ok(Some(ended)) => {
                tracing::warn!(repository = id, "{id}: {}", ended.said);
                self.note_recovered(id, &ended).await;
            }
            Err(error) => {
                tracing::error!(repository = id, %error, "{id}: half a merge could not be ended");
            }
        }
    }
}

/// What a comparison means. Pure.
fn verdict(
    id: &str,
    branch: &str,
    comparison: &Comparison,
    merge_diverged: bool,
) -> DriftDetectionResult {
    let state = match (comparison.ahead, comparison.behind) {
        (0, 0) => DriftState::InSync,
        (_, 0) => DriftState::Ahead,
        (0, _) => DriftState::Behind,
        (_, _) => DriftState::Diverged,
    };
    let mut blockers: Vec<String> = comparison
        .blockers
        .iter()
        .chain(&comparison.misplaced)
        .chain(&comparison.dirt)
        .cloned()
        .collect();
    let (mut conflicts, mut required) = (Vec::new(), false);
    if comparison.rewritten {
        blockers.push(format!(
            "the remote's `{branch}` was rewritten: it no longer holds commits that it held; look at both before you merge"
        ));
    }
    match &comparison.outcome {
        Outcome::Nothing | Outcome::FastForward => {}
        Outcome::Clean(_) if merge_diverged => {}
        Outcome::Clean(_) => blockers.push(
            "both sides have commits, and desktop.merge allows only a fast-forward".to_owned(),
        ),
        Outcome::Conflict(paths) => {
            conflicts.clone_from(paths);
            required = true;
            blockers.push(format!(
                "both sides changed {}: merge by hand, resolve, and commit",
                paths
                    .iter()
                    .map(|path| format!("`{}`", path.escape_debug()))
                    .collect::<Vec<_>>()
                    .join(", ")
            ));
        }
        Outcome::Unrelated => {
            required = true;
            blockers.push("the two histories have no commit in common".to_owned());
        }
    }
    DriftDetectionResult {
        repository_id: id.to_owned(),
        has_drift: state != DriftState::InSync,
        state,
        local_commit: Some(comparison.local.to_string()),
        remote_commit: Some(comparison.remote.to_string()),
        diverged_files: comparison.files.iter().map(|file| file.path.clone()).collect(),
        conflict_resolution_required: required,
        safe_to_merge: blockers.is_empty(),
        error_message: None,
        branch: Some(branch.to_owned()),
        merge_base: comparison.base.as_ref().map(ToString::to_string),
        ahead: comparison.ahead,
        behind: comparison.behind,
        changes: comparison.files.clone(),
        conflicts,
        blockers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(ahead: u64, behind: u64, outcome: Outcome) -> Comparison {
        let id = |digit: &str| digit.repeat(40).parse().expect("an id");
        Comparison {
            local: id("a"),
            remote: id("b"),
            base: None,
            ahead,
            behind,
            files: Vec::new(),
            outcome,
            rewritten: false,
            misplaced: None,
            dirt: Vec::new(),
            blockers: Vec::new(),
        }
    }

    fn tree() -> Outcome {
        Outcome::Clean("c".repeat(40).parse().expect("an id"))
    }

    #[test]
    fn only_what_is_certainly_safe_is_safe() {
        let seen = |comparison: &Comparison, diverged| {
            let result = verdict("x", "main", comparison, diverged);
            (result.state, result.safe_to_merge, result.conflict_resolution_required)
        };
        use DriftState::{Ahead, Behind, Diverged, InSync};
        assert_eq!(seen(&comparison(0, 0, Outcome::Nothing), true), (InSync, true, false));
        assert_eq!(seen(&comparison(2, 0, Outcome::Nothing), true), (Ahead, true, false));
        assert_eq!(seen(&comparison(0, 2, Outcome::FastForward), false), (Behind, true, false));
        assert_eq!(seen(&comparison(1, 2, tree()), true), (Diverged, true, false));
        assert_eq!(seen(&comparison(1, 2, tree()), false), (Diverged, false, false));
        let conflict = Outcome::Conflict(vec!["a".to_owned()]);
        assert_eq!(seen(&comparison(1, 1, conflict), true), (Diverged, false, true));
        assert_eq!(seen(&comparison(1, 1, Outcome::Unrelated), true), (Diverged, false, true));
        let mut dirty = comparison(0, 1, Outcome::FastForward);
        dirty.dirt.push("`a` is changed".to_owned());
        assert_eq!(seen(&dirty, true), (Behind, false, false));
        let rewritten = Comparison { rewritten: true, ..comparison(0, 1, Outcome::FastForward) };
        assert_eq!(seen(&rewritten, true), (Behind, false, false));
    }
}
