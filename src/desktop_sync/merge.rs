//! A safe merge, from the look to its event.
//!
//! Owns the decision and what is said of it; `git::clone` carries it out and checks everything
//! again under the index's lock.

use chrono::Utc;
use serde::{Deserialize, Serialize};

use super::drift::{Found, Looked};
use super::records::{DriftDetectionResult, DriftState};
use super::{DesktopError, DesktopSync, Repository};
use crate::git::clone::{MergeError, Merged, Outcome};

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

impl DesktopSync {
    /// Brings the remote's commits into a clone where that is certainly safe. Asked again, it finds
    /// nothing left to do. A dry run changes nothing and leaves no event.
    pub async fn merge(&self, id: &str, dry_run: bool) -> Result<MergeReport, DesktopError> {
        let repository = self.repository(id)?;
        if !self.is_enabled() {
            return Err(DesktopError::Disabled);
        }
        let turn = self.turn(repository).await;
        let _turn = turn
            .map_err(|error| DesktopError::Unknown { id: id.to_owned(), why: error.to_string() })?;
        let looked = self.look(repository).await;
        self.merge_looked(repository, looked, dry_run).await
    }

    async fn merge_looked(
        &self,
        repository: &Repository,
        looked: Looked,
        dry_run: bool,
    ) -> Result<MergeReport, DesktopError> {
        let id = repository.id.clone();
        let drift = looked.result;
        let repo = looked.repo;
        let found = match looked.found {
            Some(found) if drift.safe_to_merge => found,
            _ if drift.state == DriftState::Unknown => {
                let why = drift.error_message.unwrap_or_default();
                return Err(DesktopError::Unknown { id, why });
            }
            Some(_) | None => {
                let reasons = drift.blockers.clone();
                if !dry_run {
                    self.note_refused(&drift, repo.as_ref()).await;
                }
                return Err(DesktopError::NotSafe { id, reasons });
            }
        };
        let local = found.comparison.local.to_string();
        let nothing = found.comparison.outcome == Outcome::Nothing;
        if nothing || dry_run {
            let to = if nothing { local.clone() } else { found.comparison.remote.to_string() };
            return Ok(MergeReport {
                merged: false,
                dry_run,
                from: local,
                to,
                backup_ref: None,
                files: if nothing { 0 } else { drift.diverged_files.len() },
                drift,
            });
        }
        match self.carry_out(&found).await {
            Ok(merged) => {
                let report = MergeReport {
                    merged: true,
                    dry_run,
                    from: merged.from.to_string(),
                    to: merged.to.to_string(),
                    backup_ref: Some(merged.backup),
                    files: merged.files,
                    drift,
                };
                self.note_merged(&report, repo.as_ref()).await;
                Ok(report)
            }
            Err(MergeError::Unsafe(reasons)) => {
                let drift = DriftDetectionResult {
                    safe_to_merge: false,
                    blockers: reasons.clone(),
                    ..drift
                };
                self.note_refused(&drift, repo.as_ref()).await;
                Err(DesktopError::NotSafe { id, reasons })
            }
            Err(error) => {
                let why = error.to_string();
                self.note_failed(&drift, &why, matches!(error, MergeError::Stuck(_))).await;
                match error {
                    MergeError::Busy => Err(DesktopError::NotSafe { id, reasons: vec![why] }),
                    MergeError::Unsafe(_)
                    | MergeError::RolledBack(_)
                    | MergeError::Stuck(_)
                    | MergeError::Clone(_) => Err(DesktopError::Failed { id, why }),
                }
            }
        }
    }

    async fn carry_out(&self, found: &Found) -> Result<Merged, MergeError> {
        let branch = found.snapshot.branch().unwrap_or_default();
        let message = format!("Merge branch '{branch}' of {}\n", found.address);
        let author = &self.inner.settings.author;
        found.clone.merge(&found.snapshot, &found.comparison, &message, author, Utc::now()).await
    }
}
