//! The configuration: one struct per concern, parsed once from the environment, `.env` and
//! `foreman.toml`, and checked as a whole. Plain data: it starts nothing and knows no other room.

mod auth;
mod desktop;
mod env;
mod error;
mod file;
mod notices;
mod parse;
mod tables;
#[cfg(test)]
mod tests;
mod variables;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

pub use auth::{ApiToken, Auth, Role};
pub use desktop::{DesktopMerge, LocalRepository};
use env::Env;
pub use error::ConfigError;
use file::File;
pub use notices::{
    AlertForm, AlertSettings, AlertTls, Alerts, Governance, GovernanceTable, Hook, Mail,
};
pub use parse::is_loopback;
pub use tables::{
    Authors, CopilotTable, Disk, Escalation, Labels, Limits, Publish, Review, Rule, Setup,
    TierOverride, Trust,
};
pub use variables::{VARIABLES, Variable};

use crate::domain::policy::PolicyFile;
use crate::domain::run::NightConfig;
use crate::domain::tier::ModelTier;

/// Everything, in slices: the composition root hands each part its own.
#[derive(Debug, Clone)]
pub struct Config {
    pub server: Server,
    pub auth: Auth,
    pub database: Database,
    /// `FOREMAN_DATA_DIR`, absolute.
    pub data_dir: PathBuf,
    pub github: GitHub,
    pub models: Models,
    pub escalation: Escalation,
    pub limits: Limits,
    pub trust: Trust,
    pub desktop: Desktop,
    pub copilot: CopilotTable,
    /// `FOREMAN_SANDBOX`.
    pub sandbox: SandboxMode,
    /// `FOREMAN_SHUTDOWN_SECONDS`, default 25 s.
    pub shutdown: Duration,
    pub log: Log,
    /// `OVERNIGHT_EXECUTION_ENABLED`, default true.
    pub overnight_enabled: bool,
    pub publish: Publish,
    pub labels: Labels,
    pub disk: Disk,
    /// `[repositories."<owner/name>"]`: the operator's policies, above the repositories' own.
    pub repositories: BTreeMap<String, PolicyFile>,
    pub setup: Setup,
    pub alerts: AlertSettings,
    pub governance: Governance,
    /// The `foreman.toml` that was read, if any.
    pub file: Option<PathBuf>,
}

#[derive(Debug, Clone)]
pub struct Server {
    /// `HOST`, default `127.0.0.1`.
    pub host: String,
    /// `PORT`, default 3000; 0 is any free one.
    pub port: u16,
    /// `FOREMAN_BASE_PATH`: empty, or `/prefix` without a slash at its end.
    pub base_path: String,
    /// `server.trusted_proxies`: whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// `FOREMAN_URL`: where the command line finds the running server; no slash at its end.
    pub url: String,
}

/// `DATABASE_URL`.
#[derive(Debug, Clone)]
pub enum Database {
    /// An absolute path.
    Sqlite(PathBuf),
    /// The whole URL: it may hold a password.
    Postgres(SecretString),
}

#[derive(Debug, Clone)]
pub struct GitHub {
    /// `GITHUB_API_URL`.
    pub api_url: Url,
    pub credential: Option<GitHubCredential>,
}

#[derive(Debug, Clone)]
pub enum GitHubCredential {
    /// `GITHUB_TOKEN`.
    Token(SecretString),
    /// `GITHUB_APP_ID` and `GITHUB_APP_PRIVATE_KEY` (PEM text here, also where a path was given).
    App { id: u64, private_key: SecretString },
}

#[derive(Debug, Clone)]
pub struct Models {
    /// `OPENAI_BASE_URL`.
    pub base_url: Url,
    /// `OPENAI_API_KEY`.
    pub api_key: Option<SecretString>,
    /// `LOCAL_BUILDER_BASE_URL` and `LOCAL_BUILDER_MODEL`.
    pub local_server: Option<LocalServer>,
    /// `LOCAL_BUILDER_COMMAND`.
    pub local_command: Option<String>,
    /// `[tiers.<name>]`.
    pub tiers: BTreeMap<ModelTier, TierOverride>,
    /// The values of the variables that `api_key_env` names.
    pub tier_keys: BTreeMap<String, SecretString>,
}

#[derive(Debug, Clone)]
pub struct LocalServer {
    pub base_url: Url,
    pub model: String,
}

#[derive(Debug, Clone)]
pub struct Desktop {
    /// `DESKTOP_BUILDER_ENABLED`, else `desktop.enabled`.
    pub enabled: bool,
    pub interval: Duration,
    pub switch_after_failures: u32,
    pub return_after_healthy: u32,
    pub return_after: Duration,
    pub merge: DesktopMerge,
    pub auto_merge: bool,
    /// The two variables' clones first, then the file's; paths are absolute.
    pub repositories: Vec<LocalRepository>,
}

/// `FOREMAN_SANDBOX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SandboxMode {
    Auto,
    Bubblewrap,
    Landlock,
    Off,
}

#[derive(Debug, Clone)]
pub struct Log {
    /// `RUST_LOG`; without it the service logs `info`, commands that show progress `warn`.
    pub filter: Option<String>,
    /// `FOREMAN_LOG_FORMAT`.
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people on a terminal, else JSON.
    Auto,
    Human,
    Json,
}

impl Config {
    /// From this process's environment and working directory.
    pub fn from_process() -> Result<Self, ConfigError> {
        let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
        Self::load(&|name| std::env::var_os(name), &cwd)
    }

    /// From any environment; `.env`, `foreman.toml` and relative paths are looked for in `cwd`.
    pub fn load(
        lookup: &dyn Fn(&str) -> Option<OsString>,
        cwd: &Path,
    ) -> Result<Self, ConfigError> {
        let env = Env::new(lookup, cwd)?;
        let path = parse::config_path(&env)?;
        let file = path.as_deref().map(File::read).transpose()?.unwrap_or_default();
        let auth = match env.secret("FOREMAN_API_TOKEN")? {
            Some(value) => Auth::parse(value.expose_secret())?,
            None => Auth::default(),
        };
        let data_dir = env.path("FOREMAN_DATA_DIR")?.unwrap_or_else(|| cwd.join(".foreman"));
        Ok(Self {
            server: parse::server(&env, &auth, file.server)?,
            auth,
            database: parse::database(&env, &data_dir)?,
            data_dir,
            github: parse::github(&env)?,
            models: parse::models(&env, file.tiers)?,
            escalation: file.escalation,
            limits: file.limits,
            trust: file.trust,
            desktop: parse::desktop(&env, file.desktop)?,
            copilot: file.copilot,
            sandbox: env
                .parsed(
                    "FOREMAN_SANDBOX",
                    "auto, bubblewrap, landlock or off",
                    parse::sandbox_mode,
                )?
                .unwrap_or(SandboxMode::Auto),
            shutdown: env
                .parsed("FOREMAN_SHUTDOWN_SECONDS", "a number of seconds from 1 to 600", |text| {
                    text.parse().ok().filter(|seconds| (1..=600).contains(seconds))
                })?
                .map_or(Duration::from_secs(25), Duration::from_secs),
            log: parse::log(&env)?,
            overnight_enabled: env.boolean("OVERNIGHT_EXECUTION_ENABLED")?.unwrap_or(true),
            publish: file.git,
            labels: file.labels,
            disk: file.disk,
            repositories: file.repositories,
            setup: file.setup,
            alerts: notices::alerts(&env, file.alerts)?,
            governance: notices::governance(&env, file.governance)?,
            file: path,
        })
    }

    /// Every secret's value, for the redactor.
    #[must_use]
    pub fn secrets(&self) -> Vec<&str> {
        let mut secrets: Vec<&str> =
            self.auth.tokens.iter().map(|token| token.secret.expose_secret()).collect();
        match &self.github.credential {
            Some(GitHubCredential::Token(token)) => secrets.push(token.expose_secret()),
            Some(GitHubCredential::App { private_key, .. }) => {
                secrets.push(private_key.expose_secret());
            }
            None => {}
        }
        secrets.extend(self.models.api_key.iter().map(ExposeSecret::expose_secret));
        secrets.extend(self.models.tier_keys.values().map(ExposeSecret::expose_secret));
        secrets.extend(self.alerts.secrets());
        secrets.extend(self.governance.anchor_webhook.iter().flat_map(Hook::secrets));
        if let Database::Postgres(url) = &self.database {
            secrets.push(url.expose_secret());
            secrets.extend(parse::userinfo_password(url.expose_secret()));
        }
        secrets
    }

    /// What a night is where the request says nothing.
    #[must_use]
    pub fn night_defaults(&self) -> NightConfig {
        NightConfig {
            budget_usd: self.limits.night_usd,
            enable_auto_heal: self.escalation.auto_heal,
            ..NightConfig::default()
        }
    }
}
