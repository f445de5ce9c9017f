//! `[alerts]` and `[governance]`: what people are told, where, and where checkpoints are kept.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use super::env::{self, Env};
use super::error::ConfigError;
use super::tables::optional_address;
use crate::domain::event::{EventType, Severity};
use crate::domain::ids::RepoName;

/// `[alerts]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Alerts {
    /// From which severity on. Default `high`.
    pub min_severity: Severity,
    /// Event types that always alert, whatever their severity. Default none.
    pub always: Vec<EventType>,
    /// Event types that never alert. Default none.
    pub never: Vec<EventType>,
    /// Where to send them besides the log. Default none.
    #[serde(deserialize_with = "optional_address")]
    pub webhook_url: Option<Url>,
    /// The name of the variable that holds the address, where the address is a secret in itself.
    pub webhook_env: Option<String>,
    /// The name of the variable that holds the key which signs them. Default: not signed.
    pub secret_env: Option<String>,
    /// `json` or `slack`. Default `json`.
    pub form: AlertForm,
    /// Alike alerts within so many minutes are one. Default 10.
    pub dedupe_minutes: u32,
    /// Open an issue for each incident in the repository it is about. Default false.
    pub incident_issues: bool,
    /// Send the report of each night that ended the same ways. Default false.
    pub report: bool,
    /// Further webhooks.
    pub webhooks: Vec<AlertWebhook>,
    pub email: Option<AlertEmail>,
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            min_severity: Severity::High,
            always: Vec::new(),
            never: Vec::new(),
            webhook_url: None,
            webhook_env: None,
            secret_env: None,
            form: AlertForm::Json,
            dedupe_minutes: 10,
            incident_issues: false,
            report: false,
            webhooks: Vec::new(),
            email: None,
        }
    }
}

/// How an alert is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertForm {
    /// Severity, text and the event.
    #[default]
    Json,
    /// What Slack's incoming webhooks take.
    Slack,
}

/// `[[alerts.webhooks]]`: as the four keys of `[alerts]`, under a name.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertWebhook {
    /// It stands in events and in the test's answer.
    pub name: String,
    #[serde(default, deserialize_with = "optional_address")]
    pub webhook_url: Option<Url>,
    #[serde(default)]
    pub webhook_env: Option<String>,
    #[serde(default)]
    pub secret_env: Option<String>,
    #[serde(default)]
    pub form: AlertForm,
}

/// `[alerts.email]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertEmail {
    /// The mail server.
    pub host: String,
    /// Default 465, 587 or 25, by `tls`.
    #[serde(default)]
    pub port: Option<u16>,
    /// `implicit`, `starttls` or `none`. Default `starttls`.
    #[serde(default)]
    pub tls: AlertTls,
    pub from: String,
    pub to: Vec<String>,
    /// Default: no login.
    #[serde(default)]
    pub user: Option<String>,
    /// The name of the variable that holds the password.
    #[serde(default)]
    pub password_env: Option<String>,
}

/// How the connection to the mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertTls {
    Implicit,
    #[default]
    Starttls,
    None,
}

impl AlertTls {
    const fn port(self) -> u16 {
        match self {
            Self::Implicit => 465,
            Self::Starttls => 587,
            Self::None => 25,
        }
    }
}

/// `[governance]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GovernanceTable {
    /// The second place of checkpoints: a file, best on another disk than the database. Default
    /// `governance/anchors.jsonl` in the data folder.
    pub anchor: Option<PathBuf>,
    /// A repository whose branch takes them as commits besides. Default none.
    pub anchor_repository: Option<String>,
    /// That branch. Default `foreman/checkpoints`.
    pub anchor_branch: String,
    /// An address that takes them besides. Default none.
    #[serde(deserialize_with = "optional_address")]
    pub anchor_webhook_url: Option<Url>,
    /// The name of the variable that holds the key which signs what is sent there.
    pub anchor_secret_env: Option<String>,
    /// The signing key. Default `governance/checkpoint.key` in the data folder.
    pub key: Option<PathBuf>,
    /// Minutes between two checkpoints; one is made at each night's end besides. Default 60.
    pub checkpoint_minutes: u32,
    /// Days that events are kept at least; older ones go once a checkpoint covers them. Default:
    /// they are kept for ever.
    pub retention_days: Option<u32>,
    /// A folder with further governance issues (`*.md`). Default none.
    pub templates: Option<PathBuf>,
    /// Events kept in memory. Default 50,000.
    pub memory_events: u32,
}

impl Default for GovernanceTable {
    fn default() -> Self {
        Self {
            anchor: None,
            anchor_repository: None,
            anchor_branch: "foreman/checkpoints".to_owned(),
            anchor_webhook_url: None,
            anchor_secret_env: None,
            key: None,
            checkpoint_minutes: 60,
            retention_days: None,
            templates: None,
            memory_events: 50_000,
        }
    }
}

/// An address with what its variables hold.
#[derive(Debug, Clone)]
pub struct Hook {
    pub name: String,
    pub url: SecretString,
    pub secret: Option<SecretString>,
    pub form: AlertForm,
}

/// `[alerts.email]` with what its variable holds.
#[derive(Debug, Clone)]
pub struct Mail {
    pub host: String,
    pub port: u16,
    pub tls: AlertTls,
    pub from: String,
    pub to: Vec<String>,
    pub login: Option<(String, SecretString)>,
}

/// `[alerts]` with what its variables hold.
#[derive(Debug, Clone)]
pub struct AlertSettings {
    pub table: Alerts,
    /// That of `[alerts]` itself is called `webhook`.
    pub hooks: Vec<Hook>,
    pub mail: Option<Mail>,
}

/// `[governance]`, its paths absolute (relative ones are in the working directory).
#[derive(Debug, Clone)]
pub struct Governance {
    pub anchor: Option<PathBuf>,
    pub anchor_branch: Option<(RepoName, String)>,
    pub anchor_webhook: Option<Hook>,
    pub key: Option<PathBuf>,
    pub checkpoint_every: Duration,
    pub retention_days: Option<u32>,
    pub templates: Option<PathBuf>,
    pub memory_events: usize,
}

impl AlertSettings {
    /// What nobody may see, for the redactor.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        let hooks = self.hooks.iter().flat_map(Hook::secrets);
        let mail = self.mail.iter().filter_map(|mail| mail.login.as_ref());
        hooks.chain(mail.map(|(_, password)| password.expose_secret()))
    }
}

impl Hook {
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.url).chain(&self.secret).map(ExposeSecret::expose_secret)
    }
}

fn together<T>(text: String) -> Result<T, ConfigError> {
    Err(ConfigError::Together(text))
}

/// What the variable holds that a key names.
fn held(
    env: &Env<'_>,
    key: &str,
    name: Option<&String>,
) -> Result<Option<SecretString>, ConfigError> {
    let Some(name) = name else { return Ok(None) };
    match env.foreign_secret(name) {
        Some(secret) => Ok(Some(secret)),
        // Unsigned or without login where it is wanted would be refused in the night.
        None => together(format!("{key} names {name}, which is not set")),
    }
}

fn hook(
    env: &Env<'_>,
    table: &str,
    name: String,
    (url, url_env): (Option<&Url>, Option<&String>),
    secret_env: Option<&String>,
    form: AlertForm,
) -> Result<Option<Hook>, ConfigError> {
    let url = match (url, url_env) {
        (Some(_), Some(_)) => {
            return together(format!(
                "{table}.webhook_url and {table}.webhook_env are both set; keep one of them"
            ));
        }
        (Some(url), None) => SecretString::from(url.as_str()),
        (None, Some(variable)) => {
            let held = held(env, &format!("{table}.webhook_env"), Some(variable))?;
            match held.filter(|url| env::address(url.expose_secret()).is_some()) {
                Some(url) => url,
                None => {
                    return Err(ConfigError::Secret {
                        name: variable.clone(),
                        takes: "an http:// or https:// address without user or query".to_owned(),
                    });
                }
            }
        }
        (None, None) => return Ok(None),
    };
    let secret = held(env, &format!("{table}.secret_env"), secret_env)?;
    Ok(Some(Hook { name, url, secret, form }))
}

pub(super) fn alerts(env: &Env<'_>, table: Alerts) -> Result<AlertSettings, ConfigError> {
    let own = (table.webhook_url.as_ref(), table.webhook_env.as_ref());
    let secret = table.secret_env.as_ref();
    let own = hook(env, "alerts", "webhook".to_owned(), own, secret, table.form)?;
    let mut hooks: Vec<Hook> = own.into_iter().collect();
    for further in &table.webhooks {
        let name = &further.name;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let taken = ["webhook", "email", "console"].contains(&name.as_str())
            || hooks.iter().any(|hook| hook.name == *name);
        if name.is_empty() || name.len() > 40 || !name.chars().all(plain) || taken {
            return together(
                "alerts.webhooks.name takes letters, digits, `-` and `_`, each name once, and not webhook, email or console"
                    .to_owned(),
            );
        }
        let url = (further.webhook_url.as_ref(), further.webhook_env.as_ref());
        let secret = further.secret_env.as_ref();
        match hook(env, "alerts.webhooks", name.clone(), url, secret, further.form)? {
            Some(hook) => hooks.push(hook),
            None => return together(format!("alerts.webhooks `{name}` has no address")),
        }
    }
    let mail = table.email.as_ref().map(|email| mail(env, email)).transpose()?;
    Ok(AlertSettings { hooks, mail, table })
}

fn mail(env: &Env<'_>, table: &AlertEmail) -> Result<Mail, ConfigError> {
    if table.to.is_empty() {
        return together("alerts.email.to is empty; it takes addresses".to_owned());
    }
    let password = held(env, "alerts.email.password_env", table.password_env.as_ref())?;
    let login = match (table.user.clone(), password) {
        (Some(user), Some(password)) => Some((user, password)),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            return together(
                "alerts.email.user and alerts.email.password_env go together; give both".to_owned(),
            );
        }
    };
    if login.is_some() && table.tls == AlertTls::None && !super::is_loopback(&table.host) {
        return together(
            "alerts.email.tls is none, which would send the password in the clear; use starttls or implicit"
                .to_owned(),
        );
    }
    Ok(Mail {
        host: table.host.clone(),
        port: table.port.unwrap_or(table.tls.port()),
        tls: table.tls,
        from: table.from.clone(),
        to: table.to.clone(),
        login,
    })
}

pub(super) fn governance(env: &Env<'_>, table: GovernanceTable) -> Result<Governance, ConfigError> {
    let absolute = |path: PathBuf| env.cwd().join(path);
    let anchor_branch = match &table.anchor_repository {
        None => None,
        Some(text) => match text.parse::<RepoName>() {
            Ok(repo) => Some((repo, table.anchor_branch.clone())),
            Err(error) => return together(format!("governance.anchor_repository: {error}")),
        },
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    let branch = &table.anchor_branch;
    if branch.is_empty()
        || !branch.chars().all(plain)
        || branch.split('/').any(|part| part.is_empty() || part.starts_with('.'))
        || branch.contains("..")
        || branch.ends_with(".lock")
    {
        return together(
            "governance.anchor_branch takes the name of a branch: letters, digits, `-`, `_`, `.` and `/`"
                .to_owned(),
        );
    }
    let url = (table.anchor_webhook_url.as_ref(), None);
    let secret = table.anchor_secret_env.as_ref();
    let name = "anchor".to_owned();
    let anchor_webhook = hook(env, "governance.anchor", name, url, secret, AlertForm::Json)?;
    Ok(Governance {
        anchor: table.anchor.map(absolute),
        anchor_branch,
        anchor_webhook,
        key: table.key.map(absolute),
        checkpoint_every: Duration::from_secs(60 * u64::from(table.checkpoint_minutes)),
        retention_days: table.retention_days,
        templates: table.templates.map(absolute),
        memory_events: table.memory_events as usize,
    })
}
