//! The data folder's leftovers: what killed processes and old nights left, by age and by size.
//!
//! Workspaces go when their issue ends; what is here is the rest. Never touches the database, a log
//! that a stored night names, or what an unfinished night still needs.

mod logs;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::AppError;
use crate::config::{Config, Disk};
use crate::domain::ids::RepoName;
use crate::domain::time::to_micros;
use crate::git::{Git, GitError, remove_workspace};
use crate::process::Children;
use crate::store::{DataLock, Store, StoreError};

/// What may go, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Leftover {
    pub path: PathBuf,
    pub bytes: u64,
    pub days: u64,
    pub why: String,
}

const DAY: Duration = Duration::from_secs(24 * 3600);
const GIB: u64 = 1 << 30;

/// How often leftovers are looked for.
const TIDY_EVERY: Duration = Duration::from_secs(3600);

/// Why a folder could not be tidied.
#[derive(Debug, thiserror::Error)]
pub enum TidyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Git(#[from] GitError),
    #[error("{folder} cannot be read: {source}", folder = folder.display())]
    Io { folder: PathBuf, source: std::io::Error },
}

/// What is left over now. `store` says what is still needed; without one, nothing is.
pub async fn leftovers(
    data_dir: &Path,
    store: Option<&Store>,
    limits: Disk,
    now: SystemTime,
) -> Result<Vec<Leftover>, TidyError> {
    let (mut needed, mut repos) = (BTreeSet::new(), BTreeSet::new());
    if let Some(store) = store {
        needed.extend(store.open_attempts().await?.iter().map(ToString::to_string));
        for run in store.active_runs(None).await? {
            repos.insert(format!("{}/{}", run.owner, run.repo).to_ascii_lowercase());
            needed.insert(run.id.to_string());
        }
    }
    let named = match store {
        Some(store) => Some(logs::named(store).await?),
        // Nobody says which logs are evidence of something.
        None => None,
    };
    let data_dir = data_dir.to_owned();
    let looked = tokio::task::spawn_blocking(move || {
        let mut found = look(&data_dir, &needed, &repos, limits, now)?;
        if let Some(named) = named {
            found.extend(logs::unnamed(&data_dir, &named, limits, now)?);
        }
        Ok(found)
    });
    looked.await.unwrap_or_else(|error| {
        let source = std::io::Error::other(error);
        Err(TidyError::Io { folder: PathBuf::new(), source })
    })
}

/// Removes them; what could not be removed is said and left.
pub async fn remove(leftovers: &[Leftover]) -> Vec<GitError> {
    let mut failed = Vec::new();
    for leftover in leftovers {
        if let Err(error) = remove_workspace(&leftover.path).await {
            failed.push(error);
        }
    }
    failed
}

/// Takes away what old nights left, at the start and once an hour.
pub(super) async fn now_and_again(store: &Store, git: &Git, limits: Disk, data_dir: &Path) {
    loop {
        match leftovers(data_dir, Some(store), limits, SystemTime::now()).await {
            Ok(found) => {
                for Leftover { path, bytes, why, .. } in &found {
                    tracing::info!(bytes, "{} goes: {why}", path.display());
                }
                for error in remove(&found).await {
                    tracing::warn!(%error, "a leftover of an old night stays: {error}");
                }
            }
            Err(error) => tracing::warn!(%error, "the data folder could not be tidied: {error}"),
        }
        match forget(store, git, limits, Utc::now()).await {
            Ok(Forgotten { turns: 0, refs: 0 }) => {}
            Ok(Forgotten { turns, refs }) => {
                tracing::info!(turns, refs, "{turns} turns of transcripts and {refs} refs went");
            }
            Err(error) => tracing::warn!(%error, "old transcripts stay: {error}"),
        }
        tokio::time::sleep(TIDY_EVERY).await;
    }
}

/// What old nights said and kept that went, or would go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Forgotten {
    /// Turns of transcripts.
    pub turns: u64,
    /// Private refs of the mirrors.
    pub refs: u64,
}

/// The time before which a night has to have ended, in microseconds since 1970.
fn forgotten_before(limits: Disk, now: DateTime<Utc>) -> i64 {
    let kept = chrono::Duration::days(i64::from(limits.transcript_days));
    now.checked_sub_signed(kept).map_or(i64::MIN, to_micros)
}

/// How many turns of transcripts `forget` would take away.
pub async fn would_forget(
    store: &Store,
    limits: Disk,
    now: DateTime<Utc>,
) -> Result<u64, TidyError> {
    Ok(store.old_nights(forgotten_before(limits, now)).await?.turns)
}

/// Takes away the transcripts and the private refs of nights that are over for long. Refs go
/// first: who dies in between finds them again by the rows of the attempts, which stay.
pub async fn forget(
    store: &Store,
    git: &Git,
    limits: Disk,
    now: DateTime<Utc>,
) -> Result<Forgotten, TidyError> {
    let before = forgotten_before(limits, now);
    let old = store.old_nights(before).await?;
    let mut attempts: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (repo, attempt) in &old.attempts {
        attempts.entry(repo).or_default().insert(attempt.as_str());
    }
    let mut refs = 0;
    for (repo, attempts) in attempts {
        let Ok(repo) = repo.parse::<RepoName>() else { continue };
        let Some(mirror) = git.kept_mirror(&repo, CancellationToken::new())? else { continue };
        for name in mirror.private_refs("attempts/").await? {
            let of =
                name.strip_prefix("refs/foreman/attempts/").and_then(|it| it.split('/').next());
            if of.is_some_and(|of| attempts.contains(of)) {
                mirror.delete_ref(&name).await?;
                refs += 1;
            }
        }
    }
    let turns = if old.turns == 0 { 0 } else { store.forget_transcripts(before).await? };
    Ok(Forgotten { turns, refs })
}

/// What `forget` works with, for a command while no server runs.
pub async fn open(config: &Config) -> Result<(DataLock, Store, Git), AppError> {
    let (lock, store) = super::open_for_writing(config).await?;
    let children = Children::start(PathBuf::from("/proc/self/exe")).map_err(AppError::Children)?;
    Ok((lock, store, Git::new(children, &config.data_dir)?))
}

fn look(
    data_dir: &Path,
    needed: &BTreeSet<String>,
    repos: &BTreeSet<String>,
    limits: Disk,
    now: SystemTime,
) -> Result<Vec<Leftover>, TidyError> {
    let mut found = Vec::new();
    let mut rest = Vec::new();
    for room in ["work", "gate"] {
        for path in entries(&data_dir.join(room))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // A checkout of the gate carries the attempt's or the run's id in its name.
            if needed.iter().any(|id| name.contains(id.as_str())) {
                continue;
            }
            let age = age(&path, now);
            let leftover =
                Leftover { bytes: size(&path), days: days(age), path, why: String::new() };
            if age >= DAY * limits.keep_days {
                let why = format!("older than {} days", limits.keep_days);
                found.push(Leftover { why, ..leftover });
            } else {
                rest.push(leftover);
            }
        }
    }
    // The oldest go first until the rest fits.
    rest.sort_by_key(|leftover| std::cmp::Reverse(leftover.days));
    let most = u64::from(limits.keep_gb) * GIB;
    let mut total: u64 = rest.iter().map(|leftover| leftover.bytes).sum();
    for leftover in rest {
        if total <= most {
            break;
        }
        total -= leftover.bytes;
        let why = format!("all together are more than {} GiB", limits.keep_gb);
        found.push(Leftover { why, ..leftover });
    }
    found.extend(mirrors(data_dir, repos, limits, now)?);
    Ok(found)
}

/// Mirrors of repositories that no night has looked at for long; each can be had again.
fn mirrors(
    data_dir: &Path,
    repos: &BTreeSet<String>,
    limits: Disk,
    now: SystemTime,
) -> Result<Vec<Leftover>, TidyError> {
    let mut found = Vec::new();
    for owner in entries(&data_dir.join("mirrors"))? {
        for path in entries(&owner)? {
            let part =
                |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let name = format!("{}/{}", part(&owner), part(&path).trim_end_matches(".git"));
            let age = age(&path, now);
            if !repos.contains(&name) && age >= DAY * limits.mirror_days {
                let why = format!("a mirror that no night used for {} days", limits.mirror_days);
                found.push(Leftover { bytes: size(&path), days: days(age), path, why });
            }
        }
    }
    Ok(found)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, TidyError> {
    let failed = |source| TidyError::Io { folder: folder.to_owned(), source };
    match std::fs::read_dir(folder) {
        Ok(entries) => {
            let paths: Result<Vec<_>, _> = entries.map(|it| it.map(|it| it.path())).collect();
            paths.map_err(failed)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        // A file beside the folders is nobody's leftover.
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Ok(Vec::new()),
        Err(error) => Err(failed(error)),
    }
}

/// Since anything in it, one level down, changed. What cannot be read is young.
fn age(path: &Path, now: SystemTime) -> Duration {
    let changed =
        |path: &Path| std::fs::symlink_metadata(path).and_then(|meta| meta.modified()).ok();
    let inside = entries(path).unwrap_or_default();
    let newest = inside.iter().filter_map(|path| changed(path)).chain(changed(path)).max();
    newest.and_then(|newest| now.duration_since(newest).ok()).unwrap_or_default()
}

const fn days(age: Duration) -> u64 {
    age.as_secs() / DAY.as_secs()
}

/// Bytes of what is in it; links are not followed.
fn size(path: &Path) -> u64 {
    let (mut total, mut todo) = (0, vec![path.to_owned()]);
    while let Some(path) = todo.pop() {
        let Ok(meta) = std::fs::symlink_metadata(&path) else { continue };
        if meta.is_dir() {
            todo.extend(entries(&path).unwrap_or_default());
        } else {
            total += meta.len();
        }
    }
    total
}

/// Bytes that are free where the data folder is.
#[must_use]
pub fn free_space(data_dir: &Path) -> Option<u64> {
    // A folder that is not made yet will be where its parent is.
    let there = data_dir.ancestors().find(|folder| folder.exists())?;
    let disk = rustix::fs::statvfs(there).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(folder: &Path, name: &str, bytes: usize) {
        std::fs::create_dir_all(folder.join(name)).expect("made");
        std::fs::write(folder.join(name).join("file"), vec![b'x'; bytes]).expect("written");
    }

    #[test]
    fn what_is_old_goes_and_what_is_needed_stays() {
        let data = tempfile::tempdir().expect("a folder");
        make(&data.path().join("work"), "attempt-1", 10);
        make(&data.path().join("work"), "attempt-2", 10);
        make(&data.path().join("gate"), "attempt-attempt-1", 10);
        make(&data.path().join("logs"), "ab", 10);
        make(&data.path().join("mirrors/octo"), "app.git", 10);
        make(&data.path().join("mirrors/octo"), "old.git", 10);
        let limits = Disk { keep_days: 3, mirror_days: 3, ..Disk::default() };
        let needed = BTreeSet::from(["attempt-1".to_owned()]);
        let repos = BTreeSet::from(["octo/app".to_owned()]);
        let names = |now: SystemTime| -> Vec<String> {
            look(data.path(), &needed, &repos, limits, now)
                .expect("looked")
                .iter()
                .map(|it| it.path.strip_prefix(data.path()).expect("inside").display().to_string())
                .collect()
        };
        assert!(names(SystemTime::now()).is_empty());
        let later = SystemTime::now() + DAY * 4;
        assert_eq!(names(later), ["work/attempt-2", "mirrors/octo/old.git"]);
        let none = Disk { keep_gb: 0, keep_days: 30, mirror_days: 30, ..limits };
        let now = SystemTime::now();
        let found = look(data.path(), &needed, &repos, none, now).expect("looked");
        assert_eq!(found.len(), 1);
        assert!(found[0].bytes == 10 && found[0].why.contains("0 GiB"), "{found:?}");
    }
}
