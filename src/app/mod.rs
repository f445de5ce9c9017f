//! The composition root: builds each part from its own slice of the configuration and runs the
//! service until it is told to stop.
//!
//! Owns the order of starting and stopping. Never decides anything about a night.

mod bench;
mod supervisor;
pub mod tidy;
mod wiring;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use bench::{Bench, NO_ISSUE};
/// For `foreman doctor`, which looks at each part by itself.
pub use wiring::{ceilings, credential, places, sandbox_mode, tiers};

use crate::builders::{Builders, Healing, Switchboard};
use crate::config::{Config, Database};
use crate::desktop_sync::{DesktopSync, QuickChecks};
use crate::domain::redact::Redactor;
use crate::failpoint::{self, Failpoints};
use crate::gate::{Gate, GateError, Overrides};
use crate::git::{Git, GitError};
use crate::github::{GitHub, GitHubError};
use crate::governance::{Governance, GovernanceError};
use crate::http;
use crate::models::{self, Models, ModelsError};
use crate::overnight::{Desk, Overnight, Parts};
use crate::process::Children;
use crate::sandbox::{Sandbox, SandboxError};
use crate::store::{DataLock, DatabaseUrl, OpenOptions, Store, StoreClock, StoreError};

/// How often unfinished nights are looked for while the service runs.
const RECONCILE_EVERY: Duration = Duration::from_secs(15);
/// Kept of the shutdown bound for closing the server and the store.
const CLOSING_RESERVE: Duration = Duration::from_secs(3);

/// Why Foreman cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Git(#[from] GitError),
    #[error(transparent)]
    GitHub(#[from] GitHubError),
    #[error(transparent)]
    Models(#[from] ModelsError),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Gate(#[from] GateError),
    #[error("no temporary folder (set TMPDIR to one that can be written): {0}")]
    TemporaryFolder(#[source] std::io::Error),
    #[error("cannot start the thread that starts children: {0}")]
    Children(#[source] std::io::Error),
    #[error("cannot listen on HOST={host} PORT={port}: {source}")]
    Listen { host: String, port: u16, source: std::io::Error },
    #[error("the server stopped: {0}")]
    Serve(#[source] std::io::Error),
    #[error(transparent)]
    Governance(#[from] GovernanceError),
    #[error("{0}")]
    Failpoint(String),
}

/// Everything, built.
pub struct App {
    pub overnight: Overnight,
    pub governance: Governance,
    pub desktop: DesktopSync,
    pub store: Store,
    pub config: Arc<Config>,
    /// Held as long as we live: it proves to the next process that we are gone.
    _lock: DataLock,
}

impl App {
    /// Takes the data folder, opens the store, tests the sandbox and builds the rooms.
    pub async fn build(config: Config) -> Result<Self, AppError> {
        // The running binary by what it is, not by name: it may be replaced while we run.
        Self::build_with(config, PathBuf::from("/proc/self/exe")).await
    }

    /// The same with another program that understands `__exec`: a test's own binary does not.
    pub async fn build_with(config: Config, helper: PathBuf) -> Result<Self, AppError> {
        let lock = DataLock::take(&config.data_dir)?;
        let redactor = Arc::new(Redactor::new(config.secrets()));
        let failpoints = armed()?;
        let tiers = Arc::new(wiring::tiers(&config)?);
        let github = GitHub::new(&config.github.api_url, wiring::credential(&config))?;
        let url = wiring::database(&config)?;
        let sole_owner = matches!(config.database, Database::Sqlite(_));
        let store = Store::open(OpenOptions {
            url,
            redactor: Arc::clone(&redactor),
            clock: StoreClock::System,
            read_only: false,
        })
        .await?;

        let governance = governance(&config, &store, &github).await?;
        governance.begin().await?;

        let children = Children::start(helper.clone()).map_err(AppError::Children)?;
        let git = Git::new(children.clone(), &config.data_dir)?.with_api(&config.github.api_url);
        git.version().await?;
        let sandbox = Sandbox::detect(children, wiring::sandbox_mode(&config), helper).await?;
        say_what_is_held(&sandbox);
        let gate =
            Gate::new(sandbox.clone(), store.clone(), &config.data_dir, Arc::clone(&redactor))?
                .with_overrides(Overrides::new(config.repositories.clone()))
                .with_registries(&config.setup.registries);
        let builders = Builders {
            store: store.clone(),
            models: Models::new()?,
            tiers: Arc::clone(&tiers),
            sandbox: sandbox.clone(),
            local_command: config.models.local_command.clone(),
            redactor: Arc::clone(&redactor),
            failpoints: failpoints.clone(),
            healing: Healing {
                local_on_auth_failure: config.escalation.local_on_auth_failure,
                ..Healing::default()
            },
        };
        models::warm(&builders.tiers);
        let desktop = DesktopSync::with_failpoints(
            wiring::desktop(&config),
            git.clone(),
            github.clone(),
            Some(store.clone()),
            failpoints.clone(),
        )
        .checked_by(QuickChecks::new(Ok(sandbox.clone()), wiring::quick_checks(&config)));
        let settings = wiring::settings(&config, sole_owner);
        let parts = Parts {
            store: store.clone(),
            github,
            git,
            gate,
            builders,
            switchboard: Switchboard::new(store.clone(), wiring::switch_rules(&config)),
            tiers,
            sandbox,
            redactor,
            failpoints,
            desktop: desktop.clone(),
            settings,
        };
        wiring::say_tiers(&parts);
        let overnight = Overnight::new(parts);
        Ok(Self { overnight, governance, desktop, store, config: Arc::new(config), _lock: lock })
    }

    /// Serves until `shutdown`, then stops work and the server within the configured bound.
    pub async fn run_until(self, shutdown: CancellationToken) -> Result<(), AppError> {
        let server = &self.config.server;
        let listening =
            |source| AppError::Listen { host: server.host.clone(), port: server.port, source };
        let listener =
            TcpListener::bind((server.host.as_str(), server.port)).await.map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;
        tracing::info!(%address, "Foreman listens on http://{address}{}", server.base_path);

        let closing = CancellationToken::new();
        let router = http::router(
            self.overnight.clone(),
            self.governance.clone(),
            self.desktop.clone(),
            Arc::clone(&self.config),
            closing.clone(),
        );
        let serving = http::serve(listener, router, closing.clone(), http::HEAD_WITHIN);
        let tidier = tokio::spawn({
            let (store, config) = (self.store.clone(), Arc::clone(&self.config));
            let git = self.overnight.git();
            async move { tidy::now_and_again(&store, &git, config.disk, &config.data_dir).await }
        });
        let reconciler = tokio::spawn({
            let overnight = self.overnight.clone();
            async move { overnight.reconcile(RECONCILE_EVERY).await }
        });

        let watching = CancellationToken::new();
        let checking = config_checks(&self.config).then(|| {
            let (switchboard, github) = (self.overnight.switchboard(), self.overnight.github());
            let (every, stop) = (self.config.desktop.interval, watching.clone());
            tokio::spawn(async move { switchboard.keep_checking(github, every, stop).await })
        });
        let watcher = tokio::spawn({
            let (governance, watching) = (self.governance.clone(), watching.clone());
            async move { governance.run(watching).await }
        });

        let checks =
            crate::desktop_sync::start_periodic_health_check(&self.desktop, watching.clone());
        let mut served = tokio::spawn(serving);
        let watchdog = tokio::spawn(supervisor::feed_watchdog(self.store.clone(), closing.clone()));
        supervisor::ready();
        tokio::select! {
            () = shutdown.cancelled() => {}
            ended = &mut served => {
                self.overnight.shutdown(self.work_bound()).await;
                return match ended {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(never)) => match never {},
                    Err(error) => Err(AppError::Serve(std::io::Error::other(error))),
                };
            }
        }
        tracing::info!("stopping: unfinished nights are resumed at the next start");
        supervisor::stopping();
        closing.cancel();
        drop(watchdog.await);
        self.overnight.shutdown(self.work_bound()).await;
        reconciler.abort();
        tidier.abort();
        watching.cancel();
        if let Some(checking) = checking {
            drop(checking.await);
        }
        // Connections that will not end, and an alert that nobody takes, are not waited for.
        let all = async { tokio::join!(&mut served, watcher, checks) };
        if tokio::time::timeout(self.closing_reserve() / 3, all).await.is_err() {
            served.abort();
        }
        tokio::time::timeout(self.closing_reserve() / 2, self.store.close()).await.ok();
        Ok(())
    }

    /// Stops work and closes the store, for a command that serves nothing. `since`: when it was
    /// told to stop; the bound counts from there, whatever was waited for already.
    pub async fn wind_down(&self, since: Option<Instant>) {
        let spent = since.map(|since| since.elapsed()).unwrap_or_default();
        self.overnight.shutdown(self.work_bound().saturating_sub(spent)).await;
        let told = self.governance.after_a_night();
        tokio::time::timeout(self.closing_reserve() / 2, told).await.ok();
        tokio::time::timeout(self.closing_reserve() / 2, self.store.clone().close()).await.ok();
    }

    /// How long work may take to stop.
    #[must_use]
    pub fn work_bound(&self) -> Duration {
        self.config.shutdown.saturating_sub(self.closing_reserve())
    }

    fn closing_reserve(&self) -> Duration {
        CLOSING_RESERVE.min(self.config.shutdown / 2)
    }
}

fn say_what_is_held(sandbox: &Sandbox) {
    let report = sandbox.report();
    if report.not_held.is_empty() {
        tracing::info!(kind = ?report.kind, "sandbox: {:?}", report.kind);
    } else {
        tracing::warn!(
            kind = ?report.kind,
            "sandbox {:?} does not hold: {}. {}",
            report.kind,
            report.not_held.join("; "),
            report.advice.unwrap_or_default()
        );
    }
}

/// Governance over a store, as configured.
pub async fn governance(
    config: &Config,
    store: &Store,
    github: &GitHub,
) -> Result<Governance, AppError> {
    let settings = wiring::governance(config);
    Ok(Governance::open(store.clone(), github.clone(), settings).await?)
}

/// Opens the store for a command that only reads: no lock, no migration, nothing resumed.
pub async fn open_for_reading(config: &Config) -> Result<Store, AppError> {
    let url: DatabaseUrl = wiring::database(config)?;
    let redactor = Arc::new(Redactor::new(config.secrets()));
    let options = OpenOptions { url, redactor, clock: StoreClock::System, read_only: true };
    Ok(Store::open(options).await?)
}

/// Whether Copilot's health decides anything.
fn config_checks(config: &Config) -> bool {
    config.copilot.enabled && config.desktop.enabled
}

/// The switch between the builders, only read.
pub async fn read_switchboard(config: &Config) -> Result<Switchboard, AppError> {
    Ok(Switchboard::new(open_for_reading(config).await?, wiring::switch_rules(config)))
}

/// The switch by itself, for a command that puts it while no server runs.
pub async fn open_switchboard(config: &Config) -> Result<(DataLock, Switchboard), AppError> {
    let (lock, store) = open_for_writing(config).await?;
    Ok((lock, Switchboard::new(store, wiring::switch_rules(config))))
}

/// A copy of the database in one file; its bytes.
pub async fn backup(config: &Config, to: &std::path::Path) -> Result<u64, AppError> {
    Ok(crate::store::backup(&wiring::database(config)?, to).await?)
}

/// The escalation desk over a store that is only read.
pub async fn reading_desk(config: &Config) -> Result<Desk, AppError> {
    let store = open_for_reading(config).await?;
    Ok(Desk {
        store,
        selection: wiring::selection_policy(config),
        rails: wiring::rails_policy(config),
        ceilings: wiring::ceilings(config),
    })
}

/// The local clones by themselves, for a command while no server runs. `store`: where events go.
pub async fn open_desktop(config: &Config, store: Option<Store>) -> Result<DesktopSync, AppError> {
    let children = Children::start(PathBuf::from("/proc/self/exe")).map_err(AppError::Children)?;
    let git = Git::new(children.clone(), &config.data_dir)?;
    git.version().await?;
    let github = GitHub::new(&config.github.api_url, wiring::credential(config))?;
    let settings = wiring::desktop(config);
    let desktop = DesktopSync::with_failpoints(settings, git, github, store, armed()?);
    let checks = wiring::quick_checks(config);
    if checks.is_empty() {
        return Ok(desktop);
    }
    let (mode, helper) = (wiring::sandbox_mode(config), PathBuf::from("/proc/self/exe"));
    let sandbox = Sandbox::detect(children, mode, helper).await;
    let sandbox = sandbox.map_err(|error| error.to_string());
    Ok(desktop.checked_by(QuickChecks::new(sandbox, checks)))
}

/// The place to die at, if one is armed.
fn armed() -> Result<Failpoints, AppError> {
    match std::env::var(failpoint::VARIABLE) {
        Ok(value) => Failpoints::parse(&value).map_err(AppError::Failpoint),
        Err(_) => Ok(Failpoints::default()),
    }
}

/// The store alone, for a command that writes while no server runs. Resumes nothing.
pub async fn open_for_writing(config: &Config) -> Result<(DataLock, Store), AppError> {
    let lock = DataLock::take(&config.data_dir)?;
    let url = wiring::database(config)?;
    let redactor = Arc::new(Redactor::new(config.secrets()));
    let options = OpenOptions { url, redactor, clock: StoreClock::System, read_only: false };
    Ok((lock, Store::open(options).await?))
}

/// Governance by itself, for a command that writes while no server runs.
pub async fn open_governance(config: &Config) -> Result<(DataLock, Governance), AppError> {
    let (lock, store) = open_for_writing(config).await?;
    let github = GitHub::new(&config.github.api_url, wiring::credential(config))?;
    Ok((lock, governance(config, &store, &github).await?))
}

/// Governance for a command that only reads.
pub async fn read_governance(config: &Config) -> Result<Governance, AppError> {
    let store = open_for_reading(config).await?;
    let github = GitHub::new(&config.github.api_url, wiring::credential(config))?;
    governance(config, &store, &github).await
}
