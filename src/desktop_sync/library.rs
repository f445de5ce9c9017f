//! The local clones as a library: the four functions that callers know, over a [`DesktopSync`].
//!
//! Foreman starts every git through the running program itself, so that none outlives it; a program
//! that uses these functions begins as this one does.
//!
//! ```standalone_crate
//! use foreman::desktop_sync::{
//!     DesktopSync, DriftState, LocalBuilder, Repository, Settings, check_local_builder_health,
//!     detect_repository_drift, perform_safe_merge, start_periodic_health_check,
//! };
//! use foreman::git::{Author, Git};
//! use foreman::github::GitHub;
//! use foreman::process::{Children, exec};
//! use tokio_util::sync::CancellationToken;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let args: Vec<_> = std::env::args_os().collect();
//!     if args.get(1).is_some_and(|arg| arg == exec::SUBCOMMAND) {
//!         match exec::become_program(&args[2..])? {}
//!     }
//! #   rustls::crypto::ring::default_provider().install_default().ok();
//!     tokio::runtime::Runtime::new()?.block_on(async {
//!         let folder = tempfile::tempdir()?;
//!         # let git_ = |args: &str| {
//!         #     let mut git = std::process::Command::new("git");
//!         #     git.current_dir(folder.path()).envs([("GIT_CONFIG_GLOBAL", "/dev/null")]);
//!         #     let who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"];
//!         #     assert!(git.args(who).args(args.split(' ')).status().unwrap().success());
//!         # };
//!         # git_("init --quiet origin");
//!         # git_("-C origin commit --quiet --allow-empty -m first");
//!         # git_("clone --quiet origin clone");
//!         # git_("-C origin commit --quiet --allow-empty -m second");
//!         // `clone` is a clone of `origin`, which has one more commit.
//!         let settings = Settings {
//!             enabled: true,
//!             repositories: vec![Repository {
//!                 id: "app".to_owned(),
//!                 path: folder.path().join("clone"),
//!                 branch: None,
//!             }],
//!             interval: std::time::Duration::from_secs(30 * 60),
//!             switch_after_failures: 3,
//!             return_after_healthy: 3,
//!             merge_diverged: true,
//!             auto_merge: false,
//!             builder: LocalBuilder::default(),
//!             api_url: "https://api.github.com".parse()?,
//!             author: Author { name: "Foreman".to_owned(), email: "f@localhost".to_owned() },
//!             folder: folder.path().join("shadows"),
//!         };
//!         let git = Git::new(Children::start("/proc/self/exe".into())?, folder.path())?;
//!         let github = GitHub::new(&settings.api_url, None)?;
//!         let desktop = DesktopSync::new(settings, git, github, None);
//!
//!         let drift = detect_repository_drift(&desktop, "app").await?;
//!         assert_eq!((drift.state, drift.behind), (DriftState::Behind, 1));
//!         assert!(drift.safe_to_merge);
//!
//!         let merged = perform_safe_merge(&desktop, "app").await?;
//!         assert!(merged.merged);
//!         assert_eq!(Some(merged.to), drift.remote_commit);
//!
//!         let health = check_local_builder_health(&desktop).await;
//!         assert!(health.ready, "{:?}", health.issues);
//!
//!         let stop = CancellationToken::new();
//!         let checks = start_periodic_health_check(&desktop, stop.clone());
//!         stop.cancel();
//!         checks.await?;
//!         Ok(())
//!     })
//! }
//! ```

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::merge::MergeReport;
use super::records::{DriftDetectionResult, Health};
use super::{DesktopError, DesktopSync};

/// Holds a clone against its remote's branch. What cannot be found out is a result too, with state
/// `unknown`; only an id that nobody configured is an error.
pub async fn detect_repository_drift(
    desktop: &DesktopSync,
    id: &str,
) -> Result<DriftDetectionResult, DesktopError> {
    desktop.drift(id).await
}

/// Brings the remote's commits into a clone where that is certainly safe; else an error that says
/// why, and the clone is as it was. Asked again, it finds nothing to do.
pub async fn perform_safe_merge(
    desktop: &DesktopSync,
    id: &str,
) -> Result<MergeReport, DesktopError> {
    desktop.merge(id, false).await
}

/// Whether one can build on this machine, and what to mend where not.
pub async fn check_local_builder_health(desktop: &DesktopSync) -> Health {
    desktop.health().await
}

/// Checks every `interval` in the background, until `stopping` is cancelled; the handle ends then.
pub fn start_periodic_health_check(
    desktop: &DesktopSync,
    stopping: CancellationToken,
) -> JoinHandle<()> {
    let desktop = desktop.clone();
    tokio::spawn(async move { desktop.run(stopping).await })
}
