//! A safe merge, from the look to its event.
//!
//! Owns the decision and what is said of it; `git::clone` carries it out and checks everything
//! again under the index's lock.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::drift::{Found, Looked};
use super::records::{DriftDetectionResult, DriftState};
use super::{DesktopError, DesktopSync, Repository};
use crate::domain::ids::{CommitId, RepoName};
use crate::git::clone::{CloneError, MergeError, Outcome};

/// What came of a merge that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MergeReport {
    /// False where there was nothing to merge, or for a dry run.
    pub merged: bool,
    pub dry_run: bool,
    /// Where the branch was.
    pub from: String,
    /// Where it is now, or for a dry run what it would bring in.
    pub to: String,
    /// The ref in the clone that keeps where the branch was.
    pub backup_ref: Option<String>,
    /// Files that were, or would be, changed.
    pub files: usize,
    /// What was found before.
    pub drift: DriftDetectionResult,
}

/// A merge that is wanted and safe.
struct Wanted {
    found: Found,
    drift: DriftDetectionResult,
    repo: Option<RepoName>,
}

impl DesktopSync {
    /// Brings the remote's commits into a clone where that is certainly safe. Asked again, it finds
    /// nothing left to do. A dry run changes nothing and leaves no event.
    pub async fn merge(&self, id: &str, dry_run: bool) -> Result<MergeReport, DesktopError> {
        self.merge_until(id, dry_run, &CancellationToken::new()).await
    }

    /// The same, until `cancel` is cancelled or the future dropped: a merge that has not moved the
    /// branch by then is undone exactly, which goes on to its end by itself.
    pub async fn merge_until(
        &self,
        id: &str,
        dry_run: bool,
        cancel: &CancellationToken,
    ) -> Result<MergeReport, DesktopError> {
        let repository = self.repository(id)?.clone();
        if !self.is_enabled() {
            return Err(DesktopError::Disabled);
        }
        let (desktop, cancel) = (self.clone(), cancel.child_token());
        let _asked = cancel.clone().drop_guard();
        // In a task of its own: files that trade places are not left half way by who asked.
        let merging =
            tokio::spawn(async move { desktop.merge_in_turn(&repository, dry_run, &cancel).await });
        let failed = |error: tokio::task::JoinError| DesktopError::Failed {
            id: id.to_owned(),
            why: error.to_string(),
        };
        merging.await.map_err(failed)?
    }

    async fn merge_in_turn(
        &self,
        repository: &Repository,
        dry_run: bool,
        cancel: &CancellationToken,
    ) -> Result<MergeReport, DesktopError> {
        let id = repository.id.as_str();
        let unknown =
            |error: CloneError| DesktopError::Unknown { id: id.to_owned(), why: error.to_string() };
        let _merging = self.turn_to_merge(repository).await.map_err(unknown)?;
        let turn = self.turn(repository).await.map_err(unknown)?;
        let looked = self.look_until(repository, cancel).await;
        let wanted = self.wanted(id, looked, dry_run).await?;
        let nothing = wanted.found.comparison.outcome == Outcome::Nothing;
        if nothing || dry_run {
            return Ok(not_merged(wanted, nothing, dry_run));
        }
        self.note_started(&wanted.drift, wanted.repo.as_ref()).await;
        let at = Utc::now();
        let to = match self.predict(&wanted.found, at).await {
            Ok(to) => to,
            Err(error) => return Err(self.failed(id, wanted, error).await),
        };
        let Some(check) = self.inner.checks.get().and_then(|checks| checks.of(id)) else {
            return self.carry_out(id, wanted, &to, at).await;
        };
        // Others may look at the clone while the check runs, and its owner works on.
        drop(turn);
        let folder = self.inner.settings.folder.join(format!("{id}.check"));
        if let Err(failure) = check.run(&folder, &wanted.found.clone, &to, cancel).await {
            let why = failure.to_string();
            self.note_check_failed(&wanted.drift, &failure).await;
            return Err(DesktopError::Failed { id: id.to_owned(), why });
        }
        let _turn = self.turn(repository).await.map_err(unknown)?;
        let looked = self.look_until(repository, cancel).await;
        let again = match self.wanted(id, looked, false).await {
            Ok(again) => again,
            Err(error) => {
                // What was begun ends, as an event too.
                self.note_failed(&wanted.drift, &error.to_string(), false).await;
                return Err(error);
            }
        };
        let facts = |it: &Wanted| {
            let it = &it.found.comparison;
            (it.local.clone(), it.remote.clone(), it.outcome.clone())
        };
        if facts(&again) != facts(&wanted) {
            let why = "the clone or its remote moved while the check ran; try again".to_owned();
            return Err(self.failed(id, again, MergeError::RolledBack(why)).await);
        }
        self.carry_out(id, again, &to, at).await
    }

    /// What a look found, where a merge of it is safe.
    async fn wanted(
        &self,
        id: &str,
        looked: Looked,
        dry_run: bool,
    ) -> Result<Wanted, DesktopError> {
        let (id, drift, repo) = (id.to_owned(), looked.result, looked.repo);
        match looked.found {
            Some(found) if drift.safe_to_merge => Ok(Wanted { found, drift, repo }),
            _ if drift.state == DriftState::Unknown => {
                let why = drift.error_message.unwrap_or_default();
                Err(DesktopError::Unknown { id, why })
            }
            Some(_) | None => {
                let reasons = drift.blockers.clone();
                if !dry_run {
                    self.note_refused(&drift, repo.as_ref()).await;
                }
                Err(DesktopError::NotSafe { id, reasons })
            }
        }
    }

    /// The commit that the branch would be at. Only Foreman's own repository has it so far.
    async fn predict(&self, found: &Found, at: DateTime<Utc>) -> Result<CommitId, MergeError> {
        let branch = found.snapshot.branch().unwrap_or_default();
        let message = format!("Merge branch '{branch}' of {}\n", found.address);
        let author = &self.inner.settings.author;
        found.clone.predict(&found.comparison, &message, author, at).await
    }

    async fn carry_out(
        &self,
        id: &str,
        wanted: Wanted,
        to: &CommitId,
        at: DateTime<Utc>,
    ) -> Result<MergeReport, DesktopError> {
        let (found, author) = (&wanted.found, &self.inner.settings.author);
        let merged = found.clone.merge(&found.snapshot, &found.comparison, to, author, at).await;
        let merged = match merged {
            Ok(merged) => merged,
            Err(error) => return Err(self.failed(id, wanted, error).await),
        };
        let report = MergeReport {
            merged: true,
            dry_run: false,
            from: merged.from.to_string(),
            to: merged.to.to_string(),
            backup_ref: Some(merged.backup),
            files: merged.files,
            drift: wanted.drift,
        };
        self.note_merged(&report, wanted.repo.as_ref()).await;
        Ok(report)
    }

    /// Says why a merge that was begun did not happen.
    async fn failed(&self, id: &str, wanted: Wanted, error: MergeError) -> DesktopError {
        let (id, Wanted { drift, repo, .. }) = (id.to_owned(), wanted);
        if let MergeError::Unsafe(reasons) = error {
            let blockers = reasons.clone();
            let drift = DriftDetectionResult { safe_to_merge: false, blockers, ..drift };
            self.note_refused(&drift, repo.as_ref()).await;
            self.note_failed(&drift, &reasons.join("; "), false).await;
            return DesktopError::NotSafe { id, reasons };
        }
        let why = error.to_string();
        self.note_failed(&drift, &why, matches!(error, MergeError::Stuck(_))).await;
        match error {
            MergeError::Busy => DesktopError::NotSafe { id, reasons: vec![why] },
            MergeError::Unsafe(_)
            | MergeError::RolledBack(_)
            | MergeError::Stuck(_)
            | MergeError::Clone(_) => DesktopError::Failed { id, why },
        }
    }
}

fn not_merged(wanted: Wanted, nothing: bool, dry_run: bool) -> MergeReport {
    let Wanted { found, drift, .. } = wanted;
    let (local, remote) = (found.comparison.local, found.comparison.remote);
    MergeReport {
        merged: false,
        dry_run,
        from: local.to_string(),
        to: if nothing { local.to_string() } else { remote.to_string() },
        backup_ref: None,
        files: if nothing { 0 } else { drift.diverged_files.len() },
        drift,
    }
}
