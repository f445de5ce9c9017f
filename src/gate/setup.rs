//! The setup step: the only commands with network, in a box of their own and towards the listed
//! registries alone; what they fetch is kept for each state of the lock files.
//!
//! Owns `data_dir/setup/`. Builders and checks see it read-only and have no network at all. Never
//! takes what a change's own files fetched for what the base needs: the key holds every file that
//! tells of packages, and the change's tree where its files differ from the base's.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::error::GateError;
use super::fetching::{adapt, is_lock, is_telling};
use super::policy::{CommandKind, Policy};
use super::run::{CommandResult, Runner};
use crate::domain::ids::CommitId;
use crate::domain::registry::Registry;
use crate::git::{Mirror, remove_workspace};
use crate::sandbox::{Dependencies, Door, Refusals, prepare_folder};

/// States of lock files that are kept; the ones used last.
const MOST_KEPT: usize = 32;
/// Packages come from far: at least this much, whatever a policy allows its checks.
const SHORTEST_TIME: Duration = Duration::from_secs(10 * 60);
/// Where a finished entry says what it holds.
const READY: &str = "ready.json";

/// The cache, and what may be reached to fill it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Setup {
    dir: PathBuf,
    allowed: Arc<[Registry]>,
    one_at_a_time: Arc<Mutex<()>>,
}

/// A commit whose commands are to be run, and the base whose policy they are.
#[derive(Clone, Copy)]
pub struct At<'a> {
    pub commit: &'a CommitId,
    pub base: &'a CommitId,
}

impl<'a> At<'a> {
    /// The base itself.
    pub(super) const fn base(base: &'a CommitId) -> Self {
        Self { commit: base, base }
    }
}

/// The setup step's results, and what it fetched unless it failed.
pub(super) struct Prepared {
    pub(super) results: Vec<CommandResult>,
    pub(super) dependencies: Option<Dependencies>,
}

/// What stands in an entry's `ready.json`.
#[derive(Serialize, Deserialize)]
struct Ready {
    results: Vec<CommandResult>,
    /// What the commands left in their checkout, by its place there.
    shown: Vec<PathBuf>,
}

impl Setup {
    /// Takes a folder of its own, by its whole path.
    pub(super) fn none(dir: PathBuf) -> Self {
        Self { dir, allowed: Arc::from(Vec::new()), one_at_a_time: Arc::default() }
    }

    pub(super) fn allow(&mut self, registries: &[Registry]) {
        self.allowed = Arc::from(registries.to_vec());
    }

    fn is_on(&self) -> bool {
        !self.allowed.is_empty()
    }
}

impl Runner {
    /// A base commit's policy with commands that fetch where they may.
    pub(super) async fn fetching(
        &self,
        mut policy: Policy,
        mirror: &Mirror,
        commit: &CommitId,
    ) -> Result<Policy, GateError> {
        if self.setup.is_on() {
            adapt(&mut policy, &mirror.list(commit.as_str()).await?);
        }
        Ok(policy)
    }

    /// What the policy's setup commands fetch for this commit: from the cache, or now. `None`
    /// where no registry may be reached or there is no such command.
    pub(super) async fn prepare(
        &self,
        mirror: &Mirror,
        at: At<'_>,
        policy: &Policy,
        cancel: &CancellationToken,
    ) -> Result<Option<Prepared>, GateError> {
        if !self.setup.is_on() || policy.to_run(CommandKind::Setup).is_empty() {
            return Ok(None);
        }
        let _one = self.setup.one_at_a_time.lock().await;
        let (key, from) = self.key(mirror, at, policy).await?;
        let entry = self.setup.dir.join(key);
        if let Some(ready) = self.recall(&entry).await {
            return Ok(Some(ready.prepared(&entry)));
        }
        self.fetch(mirror, from, policy, &entry, cancel).await.map(Some)
    }

    /// Names a state of everything that decides what is fetched, and the commit to fetch it in.
    async fn key<'a>(
        &self,
        mirror: &Mirror,
        at: At<'a>,
        policy: &Policy,
    ) -> Result<(String, &'a CommitId), GateError> {
        let planned = policy.to_run(CommandKind::Setup);
        let telling = async |commit: &CommitId| {
            let mut ids = mirror.ids(commit.as_str()).await?;
            ids.retain(|path, _| is_telling(path, planned));
            Ok::<_, GateError>(ids)
        };
        let files = telling(at.commit).await?;
        let as_the_base = at.commit == at.base || files == telling(at.base).await?;
        let from = if as_the_base { at.base } else { at.commit };
        let mut hash = Sha256::new();
        let mut add = |part: &str| {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        };
        planned.iter().for_each(|command| add(&command.command));
        for entry in &*self.setup.allowed {
            add(&entry.to_string());
        }
        for (path, id) in &files {
            add(path);
            add(id);
        }
        if files.is_empty() || !as_the_base {
            // Nothing says what the commands look at; or a change may have altered more than its
            // lock file, and what it fetched is for that very tree.
            add(mirror.tree_of(from).await?.as_str());
        }
        Ok((hex::encode(hash.finalize()), from))
    }

    /// A finished entry whose evidence is still there.
    async fn recall(&self, entry: &Path) -> Option<Ready> {
        let text = tokio::fs::read(entry.join(READY)).await.ok()?;
        let ready: Ready = serde_json::from_slice(&text).ok()?;
        for result in &ready.results {
            self.logs.read(&result.log_sha256).await.ok()??;
        }
        // Used now: what is used least goes first.
        let used = std::fs::File::open(entry.join(READY)).ok()?;
        used.set_modified(SystemTime::now()).ok();
        Some(ready)
    }

    async fn fetch(
        &self,
        mirror: &Mirror,
        commit: &CommitId,
        policy: &Policy,
        entry: &Path,
        cancel: &CancellationToken,
    ) -> Result<Prepared, GateError> {
        make_room(&self.setup.dir, entry).await?;
        let owner = self.sandbox.identity();
        let mut bench = self.open(mirror, commit, &entry.join("bench")).await?;
        let store = entry.join("store");
        prepare_folder(&store, owner).map_err(GateError::io("make", &store))?;
        let store = store.canonicalize().map_err(GateError::io("find", &store))?;
        bench.place.dependencies = Some(Dependencies { store, shown: Vec::new(), writable: true });
        let mut results = Vec::new();
        for planned in policy.to_run(CommandKind::Setup) {
            let door = Door::Registries {
                allowed: Arc::clone(&self.setup.allowed),
                refused: Refusals::default(),
            };
            let time = policy.timeout.max(SHORTEST_TIME);
            let result = self.run(&bench, planned, time, Some(door), cancel).await?;
            let failed = !result.succeeded() && result.missing.is_none();
            results.push(result);
            if failed {
                remove_workspace(entry).await?;
                return Ok(Prepared { results, dependencies: None });
            }
        }
        let tracked = mirror.list(commit.as_str()).await?;
        let checkout = bench.place.workspace.clone();
        let shown = keep_new(&checkout, &tracked, entry)
            .map_err(GateError::io("keep what was fetched in", &checkout))?;
        remove_workspace(&bench.root).await?;
        let ready = Ready { results, shown };
        let file = entry.join(READY);
        let text = serde_json::to_vec(&ready)?;
        tokio::fs::write(&file, text).await.map_err(GateError::io("write", &file))?;
        tracing::info!(
            commit = %commit,
            "dependencies of {} are fetched and kept for builders and checks",
            commit.short()
        );
        Ok(ready.prepared(entry))
    }
}

impl Ready {
    fn prepared(self, entry: &Path) -> Prepared {
        let shown = self.shown.into_iter().enumerate();
        Prepared {
            results: self.results,
            dependencies: Some(Dependencies {
                store: entry.join("store"),
                shown: shown.map(|(number, path)| (path, kept(entry, number))).collect(),
                writable: false,
            }),
        }
    }
}

fn kept(entry: &Path, number: usize) -> PathBuf {
    entry.join("shown").join(number.to_string())
}

/// Takes what the commands made out of their checkout: the uppermost new folders and files. Links
/// are left behind, for a mount would follow them.
fn keep_new(checkout: &Path, tracked: &[String], entry: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut shown = Vec::new();
    let mut open = vec![PathBuf::new()];
    std::fs::create_dir_all(entry.join("shown"))?;
    while let Some(folder) = open.pop() {
        for found in std::fs::read_dir(checkout.join(&folder))? {
            let found = found?;
            let path = folder.join(found.file_name());
            let (Some(text), kind) = (path.to_str(), found.file_type()?) else { continue };
            if text == ".git" || kind.is_symlink() || !(kind.is_dir() || kind.is_file()) {
                continue;
            }
            let below = format!("{text}/");
            if kind.is_dir() && tracked.iter().any(|path| path.starts_with(&below)) {
                open.push(path);
            } else if !tracked.iter().any(|path| path == text) && !is_lock(text) {
                std::fs::rename(found.path(), kept(entry, shown.len()))?;
                shown.push(path);
            }
        }
    }
    Ok(shown)
}

/// Removes what a former attempt at this entry left, and the entries used least.
async fn make_room(dir: &Path, entry: &Path) -> Result<(), GateError> {
    tokio::fs::create_dir_all(dir).await.map_err(GateError::io("make", dir))?;
    remove_workspace(entry).await?;
    let mut known: Vec<(SystemTime, PathBuf)> = Vec::new();
    for found in std::fs::read_dir(dir).map_err(GateError::io("read", dir))?.flatten() {
        let used = std::fs::metadata(found.path().join(READY)).and_then(|facts| facts.modified());
        known.push((used.unwrap_or(SystemTime::UNIX_EPOCH), found.path()));
    }
    known.sort();
    let excess = (known.len() + 1).saturating_sub(MOST_KEPT);
    for (_, path) in known.into_iter().take(excess) {
        remove_workspace(&path).await?;
    }
    Ok(())
}
