//! Whether one can build here: each clone, the disk, git, and the local builder.
//!
//! Looks only. Each issue is a sentence that says how to mend it.

use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use chrono::Utc;
use futures_util::future::join_all;
use rustix::fs::Access;

use super::drift::Looked;
use super::records::{BuilderHealth, Health, RepositoryHealth};
use super::{DesktopError, DesktopSync, LocalBuilder, Repository};
use crate::domain::ids::RepoName;

/// Below this a merge may fill the disk.
const LITTLE_DISK: u64 = 512 << 20;
/// A remote slower than this will keep nights waiting.
const SLOW_REMOTE: Duration = Duration::from_secs(10);
/// How long an overview waits for a fresh look.
const OVERVIEW_PATIENCE: Duration = Duration::from_secs(20);
/// How long a local server may take to answer at all.
const SERVER_PATIENCE: Duration = Duration::from_secs(3);

impl DesktopSync {
    /// Everything, looked at now.
    pub async fn health(&self) -> Health {
        self.examine().await.0
    }

    /// What was found at most `age` ago, else looked at now; where that takes long, what was known
    /// before, while the look goes on.
    pub async fn recent_health(&self, age: Duration) -> Health {
        if let Some(health) = self.known_health(Some(age)) {
            return health;
        }
        let desktop = self.clone();
        let looking = tokio::spawn(async move {
            let _one_at_a_time = desktop.inner.refreshing.lock().await;
            match desktop.known_health(Some(age)) {
                Some(health) => health,
                None => desktop.health().await,
            }
        });
        match tokio::time::timeout(OVERVIEW_PATIENCE, looking).await {
            Ok(Ok(health)) => health,
            Ok(Err(_)) | Err(_) => self.known_health(None).unwrap_or_else(|| Health {
                ready: false,
                issues: vec!["the local clones are still being looked at; ask again".to_owned()],
                repositories: Vec::new(),
                builder: BuilderHealth { kind: "none".to_owned(), ready: false, issue: None },
                checked_at: Utc::now(),
            }),
        }
    }

    fn known_health(&self, age: Option<Duration>) -> Option<Health> {
        let known = self.inner.health.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |at: &Instant| age.is_none_or(|age| at.elapsed() <= age);
        known.as_ref().filter(|(at, _)| fresh(at)).map(|(_, health)| health.clone())
    }

    /// The health, and which repository of GitHub each clone is of.
    pub(super) async fn examine(&self) -> (Health, Vec<Option<RepoName>>) {
        let builder = self.builder_health().await;
        if !self.is_enabled() {
            let issues = vec![DesktopError::Disabled.to_string()];
            let health = Health {
                ready: false,
                issues,
                repositories: Vec::new(),
                builder,
                checked_at: Utc::now(),
            };
            return (health, Vec::new());
        }
        let looks = self.repositories().iter().map(|repository| self.repository_health(repository));
        let (repositories, repos): (Vec<_>, Vec<_>) = join_all(looks).await.into_iter().unzip();
        let mut issues = Vec::new();
        if let Err(error) = self.inner.git.version().await {
            issues.push(error.to_string());
        }
        if repositories.is_empty() {
            issues.push(
                "no local clone is configured; set LOCAL_FOREMAN_APP_PATH, LOCAL_MATURION_ISMS_PATH or [[desktop.repositories]]"
                    .to_owned(),
            );
        }
        issues.extend(repositories.iter().flat_map(|it| {
            it.issues.iter().map(|issue| format!("{}: {issue}", it.id)).collect::<Vec<_>>()
        }));
        issues.extend(builder.issue.clone());
        let health = Health {
            ready: issues.is_empty(),
            issues,
            repositories,
            builder,
            checked_at: Utc::now(),
        };
        *self.inner.health.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((Instant::now(), health.clone()));
        (health, repos)
    }

    async fn repository_health(
        &self,
        repository: &Repository,
    ) -> (RepositoryHealth, Option<RepoName>) {
        let looked = match self.turn(repository).await {
            Ok(_turn) => self.look(repository).await,
            Err(error) => Looked::unknown(&repository.id, None, error.to_string()),
        };
        let mut issues = looked.faults;
        issues.extend(looked.result.error_message.clone());
        issues.extend(closed(&repository.path));
        let free_bytes = free(&repository.path);
        if free_bytes.is_some_and(|free| free < LITTLE_DISK) {
            issues.push("its disk has less than 512 MiB free; free some space".to_owned());
        }
        if let Some(took) = looked.remote_took.filter(|took| *took > SLOW_REMOTE) {
            issues.push(format!(
                "its remote took {} s to answer; look at the network",
                took.as_secs()
            ));
        }
        issues.dedup();
        let health = RepositoryHealth {
            id: repository.id.clone(),
            path: repository.path.display().to_string(),
            ready: issues.is_empty(),
            issues,
            branch: looked.branch_of_clone,
            clean: looked.clean,
            remote_reachable: looked.remote_took.is_some(),
            remote_ms: looked.remote_took.and_then(|took| u64::try_from(took.as_millis()).ok()),
            free_bytes,
            drift: looked.result,
        };
        (health, looked.repo)
    }

    async fn builder_health(&self) -> BuilderHealth {
        let LocalBuilder { command, server } = &self.inner.settings.builder;
        let (kind, issue) = match (command, server) {
            (Some(command), _) => ("command", missing_program(command)),
            (None, Some(url)) => ("server", self.silent_server(url).await),
            (None, None) => ("none", None),
        };
        BuilderHealth { kind: kind.to_owned(), ready: kind != "none" && issue.is_none(), issue }
    }

    /// Why a local server counts as away. Any answer below 500 is one: some ask for a key.
    async fn silent_server(&self, base: &url::Url) -> Option<String> {
        let url = format!("{}/models", base.as_str().trim_end_matches('/'));
        let Some(http) = &self.inner.http else { return Some("no HTTP client".to_owned()) };
        match http.get(&url).timeout(SERVER_PATIENCE).send().await {
            Ok(answer) if answer.status().as_u16() < 500 => None,
            Ok(answer) => {
                let status = answer.status();
                Some(format!("the local server answers {status} at {url}; look at its log"))
            }
            Err(_) => Some(format!(
                "no local server answers at {url}; start it, or mend LOCAL_BUILDER_BASE_URL"
            )),
        }
    }
}

/// Why a clone cannot be worked in by us, if it cannot.
fn closed(path: &Path) -> Option<String> {
    // What is not there was said already.
    path.metadata().ok()?;
    let wanted = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    [path.to_owned(), path.join(".git")].into_iter().filter(|folder| folder.is_dir()).find_map(
        |folder| match rustix::fs::access(&folder, wanted) {
            Ok(()) => None,
            Err(error) => Some(format!(
                "{} cannot be read and written by Foreman ({error}); change its owner or mode",
                folder.display()
            )),
        },
    )
}

fn free(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Why the builder's command cannot start: its program is not found. What only a shell could tell
/// is taken to be there.
fn missing_program(command: &str) -> Option<String> {
    let word = command.split_whitespace().find(|word| !word.contains('='))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if !word.chars().all(plain) {
        return None;
    }
    let runs = |path: &Path| path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok();
    let found = if word.contains('/') {
        runs(Path::new(word))
    } else {
        // A shell's own words are no files.
        ["exec", "cd", "set", "if", "for", "while", "true", "test", "eval"].contains(&word)
            || std::env::var_os("PATH").is_some_and(|path| {
                std::env::split_paths(&path).any(|folder: PathBuf| runs(&folder.join(word)))
            })
    };
    (!found).then(|| format!("LOCAL_BUILDER_COMMAND starts `{word}`, which is not found; install it, or mend the command"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_is_not_there_is_named() {
        assert_eq!(missing_program("sh -c 'exit 0'"), None);
        assert_eq!(missing_program("KEY=1 /bin/sh -x"), None);
        assert_eq!(missing_program("(cd /tmp && ./agent)"), None);
        let issue = missing_program("no-such-agent --fast").expect("an issue");
        assert!(issue.contains("`no-such-agent`"), "{issue}");
        assert!(missing_program("/no/such/agent").is_some());
    }
}
