//! From variables to the slices of the configuration: one function per slice.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::desktop::{DesktopTable, LocalRepository};
use super::env::{self, Env};
use super::error::ConfigError;
use super::tables::{ServerTable, TierOverride};
use super::{
    Auth, Database, Desktop, GitHub, GitHubCredential, LocalServer, Log, LogFormat, Models,
    SandboxMode, Server,
};
use crate::domain::tier::ModelTier;

pub(super) fn config_path(env: &Env<'_>) -> Result<Option<PathBuf>, ConfigError> {
    if let Some(path) = env.path("FOREMAN_CONFIG")? {
        return Ok(Some(path));
    }
    let usual = env.cwd().join("foreman.toml");
    Ok(usual.exists().then_some(usual))
}

pub(super) fn server(
    env: &Env<'_>,
    auth: &Auth,
    table: ServerTable,
) -> Result<Server, ConfigError> {
    let host = env
        .parsed("HOST", "an IP address or a host name", host_name)?
        .unwrap_or_else(|| "127.0.0.1".to_owned());
    if auth.tokens.is_empty() && !is_loopback(&host) {
        return Err(ConfigError::Public { host });
    }
    let port =
        env.parsed("PORT", "a number from 0 to 65535", |text| text.parse().ok())?.unwrap_or(3000);
    let base_path =
        env.parsed("FOREMAN_BASE_PATH", "a path like /foreman", base_path)?.unwrap_or_default();
    let url = match env.address("FOREMAN_URL")? {
        Some(url) => url.as_str().trim_end_matches('/').to_owned(),
        None => format!("http://{}:{port}{base_path}", reachable(&host)),
    };
    Ok(Server { host, port, base_path, trusted_proxies: table.trusted_proxies, url })
}

/// Whether only this machine can reach an address.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

fn host_name(text: &str) -> Option<String> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    if bare.parse::<IpAddr>().is_ok() {
        return Some(bare.to_owned());
    }
    let label = |part: &str| {
        (1..=63).contains(&part.len())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    // All digits and dots but no address: a mistyped one.
    let mistyped = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    (!mistyped && text.len() <= 253 && text.split('.').all(label)).then(|| text.to_owned())
}

/// The host by which this machine reaches a listener.
fn reachable(host: &str) -> String {
    match host.parse::<IpAddr>() {
        Ok(address) if address.is_unspecified() => "127.0.0.1".to_owned(),
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        Ok(IpAddr::V4(_)) | Err(_) => host.to_owned(),
    }
}

fn base_path(text: &str) -> Option<String> {
    let path = text.trim_end_matches('/');
    if path.is_empty() {
        return text.starts_with('/').then(String::new);
    }
    let segments = path.strip_prefix('/')?;
    let fine = segments.split('/').all(|segment| {
        !segment.is_empty()
            && segment != "."
            && segment != ".."
            && segment.chars().all(|c| c.is_ascii_alphanumeric() || "-._~".contains(c))
    });
    fine.then(|| path.to_owned())
}

pub(super) fn database(env: &Env<'_>, data_dir: &Path) -> Result<Database, ConfigError> {
    let Some(value) = env.secret("DATABASE_URL")? else {
        return Ok(Database::Sqlite(data_dir.join("foreman.db")));
    };
    let text = value.expose_secret();
    let refuse = || ConfigError::Secret {
        name: "DATABASE_URL".to_owned(),
        takes: "sqlite://PATH or postgres://USER:PASSWORD@HOST/NAME".to_owned(),
    };
    if let Some(path) = text.strip_prefix("sqlite://") {
        let path = path.split('?').next().unwrap_or_default();
        if path.is_empty() || path == ":memory:" || path.ends_with('/') {
            return Err(refuse());
        }
        // Relative to the data folder, as the default is.
        return Ok(Database::Sqlite(data_dir.join(path)));
    }
    let url = Url::parse(text).map_err(|_| refuse())?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(refuse());
    }
    Ok(Database::Postgres(value))
}

pub(super) fn userinfo_password(url: &str) -> Option<&str> {
    let userinfo = url.split_once("://")?.1.rsplit_once('@')?.0;
    userinfo.split_once(':').map(|(_, password)| password)
}

pub(super) fn github(env: &Env<'_>) -> Result<GitHub, ConfigError> {
    let together = |text: &str| Err(ConfigError::Together(text.to_owned()));
    let id = env.parsed("GITHUB_APP_ID", "the App's number", |text| {
        text.parse::<u64>().ok().filter(|id| *id > 0)
    })?;
    let credential = match (env.secret("GITHUB_TOKEN")?, id, env.secret("GITHUB_APP_PRIVATE_KEY")?)
    {
        (None, None, None) => None,
        (Some(token), None, None) => {
            if !token.expose_secret().bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(ConfigError::Secret {
                    name: "GITHUB_TOKEN".to_owned(),
                    takes: "a token of visible ASCII characters".to_owned(),
                });
            }
            Some(GitHubCredential::Token(token))
        }
        (None, Some(id), Some(key)) => {
            Some(GitHubCredential::App { id, private_key: private_key(env, &key)? })
        }
        (None, Some(_), None) => {
            return together("GITHUB_APP_ID is set without GITHUB_APP_PRIVATE_KEY; set both");
        }
        (None, None, Some(_)) => {
            return together("GITHUB_APP_PRIVATE_KEY is set without GITHUB_APP_ID; set both");
        }
        (Some(_), _, _) => {
            return together(
                "GITHUB_TOKEN and GITHUB_APP_* are both set; keep the token or the App",
            );
        }
    };
    let api_url = match env.address("GITHUB_API_URL")? {
        Some(url) => url,
        None => constant_address("https://api.github.com"),
    };
    Ok(GitHub { api_url, credential })
}

fn private_key(env: &Env<'_>, value: &SecretString) -> Result<SecretString, ConfigError> {
    const NAME: &str = "GITHUB_APP_PRIVATE_KEY";
    const BEGIN: &str = "-----BEGIN ";
    let text = value.expose_secret();
    let pem = if text.starts_with(BEGIN) {
        // In `.env` files and CI settings line ends are often written as `\n`.
        text.replace("\\n", "\n")
    } else if text.len() < 4096 && !text.contains('\n') && env.cwd().join(text).is_file() {
        env::read_file(NAME, &env.cwd().join(text))?
    } else {
        text.to_owned()
    };
    if pem.starts_with(BEGIN) && pem.contains("PRIVATE KEY-----") {
        return Ok(pem.into());
    }
    Err(ConfigError::Secret {
        name: NAME.to_owned(),
        takes: "a private key in PEM (it begins with -----BEGIN) or the path of such a file"
            .to_owned(),
    })
}

pub(super) fn models(
    env: &Env<'_>,
    tiers: BTreeMap<ModelTier, TierOverride>,
) -> Result<Models, ConfigError> {
    let base_url = match env.address("OPENAI_BASE_URL")? {
        Some(url) => url,
        None => constant_address("https://api.openai.com/v1"),
    };
    let local = (env.address("LOCAL_BUILDER_BASE_URL")?, env.text("LOCAL_BUILDER_MODEL")?);
    let local_server = match local {
        (Some(base_url), Some(model)) => Some(LocalServer { base_url, model }),
        (None, None) => None,
        (Some(_), None) => {
            return Err(ConfigError::Together(
                "LOCAL_BUILDER_BASE_URL is set without LOCAL_BUILDER_MODEL; set both".to_owned(),
            ));
        }
        (None, Some(_)) => {
            return Err(ConfigError::Together(
                "LOCAL_BUILDER_MODEL is set without LOCAL_BUILDER_BASE_URL; set both".to_owned(),
            ));
        }
    };
    let mut tier_keys = BTreeMap::new();
    for name in tiers.values().filter_map(|tier| tier.api_key_env.as_ref()) {
        if let Some(key) = env.foreign_secret(name) {
            tier_keys.insert(name.clone(), key);
        }
    }
    Ok(Models {
        base_url,
        api_key: env.secret("OPENAI_API_KEY")?,
        local_server,
        local_command: env.text("LOCAL_BUILDER_COMMAND")?,
        tiers,
        tier_keys,
    })
}

pub(super) fn desktop(env: &Env<'_>, table: DesktopTable) -> Result<Desktop, ConfigError> {
    let mut repositories = Vec::new();
    for (name, id) in
        [("LOCAL_FOREMAN_APP_PATH", "foreman-app"), ("LOCAL_MATURION_ISMS_PATH", "maturion-isms")]
    {
        if let Some(path) = env.path(name)? {
            repositories.push(LocalRepository {
                id: id.to_owned(),
                path,
                branch: None,
                check: None,
                check_seconds: super::desktop::ten_minutes(),
            });
        }
    }
    for repository in table.repositories {
        let id_ok = (1..=64).contains(&repository.id.len())
            && repository.id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if !id_ok || repositories.iter().any(|other| other.id == repository.id) {
            return Err(ConfigError::Together(format!(
                "desktop.repositories.id is `{}`; it takes letters, digits, `-`, `_` or `.`, each id once",
                repository.id
            )));
        }
        if repository.check.as_ref().is_some_and(|check| check.trim().is_empty()) {
            return Err(ConfigError::Together(format!(
                "desktop.repositories.check of `{}` is empty; it takes a command, or leave it out",
                repository.id
            )));
        }
        if !(1..=86_400).contains(&repository.check_seconds) {
            return Err(ConfigError::Together(format!(
                "desktop.repositories.check_seconds of `{}` is {}; it takes a number from 1 to 86400",
                repository.id, repository.check_seconds
            )));
        }
        let path = env.cwd().join(repository.path);
        repositories.push(LocalRepository { path, ..repository });
    }
    Ok(Desktop {
        enabled: env.boolean("DESKTOP_BUILDER_ENABLED")?.unwrap_or(table.enabled),
        interval: Duration::from_secs(60 * u64::from(table.interval_minutes)),
        switch_after_failures: table.switch_after_failures,
        return_after_healthy: table.return_after_healthy,
        return_after: Duration::from_secs(60 * u64::from(table.return_after_minutes)),
        merge: table.merge,
        auto_merge: table.auto_merge,
        repositories,
    })
}

pub(super) fn log(env: &Env<'_>) -> Result<Log, ConfigError> {
    let takes = "a level (error, warn, info, debug, trace) or target=level, comma separated";
    let filter = env.parsed("RUST_LOG", takes, |text| {
        tracing_subscriber::EnvFilter::try_new(text).is_ok().then(|| text.to_owned())
    })?;
    let format = env.parsed("FOREMAN_LOG_FORMAT", "auto, human or json", |text| match text {
        "auto" => Some(LogFormat::Auto),
        "human" => Some(LogFormat::Human),
        "json" => Some(LogFormat::Json),
        _ => None,
    })?;
    Ok(Log { filter, format: format.unwrap_or(LogFormat::Auto) })
}

pub(super) fn sandbox_mode(text: &str) -> Option<SandboxMode> {
    match text {
        "auto" => Some(SandboxMode::Auto),
        "bubblewrap" => Some(SandboxMode::Bubblewrap),
        "landlock" => Some(SandboxMode::Landlock),
        "off" => Some(SandboxMode::Off),
        _ => None,
    }
}

fn constant_address(text: &'static str) -> Url {
    Url::parse(text).expect("a constant address parses")
}
