//! `foreman doctor`: everything a night needs, looked at one by one, with what to do about it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chrono::Utc;
use serde::Serialize;
use serde_json::json;

use super::{CliError, Lookup, load, print_json};
use crate::app::{self, AppError};
use crate::config::{Config, GitHubCredential};
use crate::domain::ids::RepoName;
use crate::domain::money::Usd;
use crate::git::Git;
use crate::github::{GitHub, Permission};
use crate::process::Children;
use crate::sandbox::{Kind, Sandbox};
use crate::store::{DataLock, StoreError};

/// Below this a build of an ordinary repository may fill the disk.
const LITTLE_DISK: u64 = 5 << 30;
/// Below this not even a clone is safe.
const NO_DISK: u64 = 512 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    Ok,
    Warn,
    /// Would stop a night.
    Fail,
}

#[derive(Debug, Serialize)]
struct Finding {
    level: Level,
    what: &'static str,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

#[derive(Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn ok(&mut self, what: &'static str, found: impl Into<String>) {
        self.0.push(Finding { level: Level::Ok, what, found: found.into(), advice: None });
    }

    pub(super) fn warn(
        &mut self,
        what: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) {
        let advice = Some(advice.into()).filter(|advice| !advice.is_empty());
        self.0.push(Finding { level: Level::Warn, what, found: found.into(), advice });
    }

    pub(super) fn fail(
        &mut self,
        what: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) {
        let advice = Some(advice.into()).filter(|advice| !advice.is_empty());
        self.0.push(Finding { level: Level::Fail, what, found: found.into(), advice });
    }
}

pub async fn doctor(
    lookup: Lookup<'_>,
    repo: Option<RepoName>,
    live: bool,
    json: bool,
) -> Result<ExitCode, CliError> {
    let mut findings = Findings::default();
    let mut proposal = None;
    match load(lookup, "warn") {
        Ok(config) => {
            examine(&config, repo.as_ref(), &mut findings).await;
            let nothing_stops = findings.0.iter().all(|it| it.level != Level::Fail);
            // A base is looked at where a night could reach it.
            if let Some(repo) = repo.as_ref().filter(|_| nothing_stops) {
                proposal = super::base_check::look(&config, repo, &mut findings).await;
            }
            if live {
                super::live_check::ask_each(config, &mut findings).await;
            }
        }
        Err(error) => findings.fail("configuration", error.to_string(), ""),
    }
    let fails = findings.0.iter().filter(|finding| finding.level == Level::Fail).count();
    if json {
        let policy = proposal.map(|it| json!({ "toml": it.text, "wouldPass": it.passes }));
        print_json(&json!({ "success": fails == 0, "checks": findings.0, "policy": policy }));
    } else {
        for finding in &findings.0 {
            print!("{}", lines(finding));
        }
        if let Some(proposal) = proposal {
            let would =
                if proposal.passes { "would pass" } else { "fits once the base is repaired" };
            println!("\nA .foreman.toml that {would}:\n\n{}", proposal.text);
        }
        println!("{}", if fails == 0 { "A night can run." } else { "A night cannot run yet." });
    }
    Ok(if fails == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn examine(config: &Config, repo: Option<&RepoName>, findings: &mut Findings) {
    configuration(config, findings);
    data_folder(&config.data_dir, findings);
    database(config, findings).await;
    match Children::start(PathBuf::from("/proc/self/exe")) {
        Ok(children) => {
            git(&children, findings).await;
            sandbox(children, config, findings).await;
        }
        Err(error) => {
            let advice = "the system refuses a thread or /proc: look at its limits and mounts";
            findings.fail("processes", error.to_string(), advice);
        }
    }
    tiers(config, findings);
    builder(config, findings).await;
    ceilings(config, findings);
    github(config, repo, findings).await;
}

fn configuration(config: &Config, findings: &mut Findings) {
    match &config.file {
        Some(path) => findings.ok("configuration", format!("read, with {}", path.display())),
        None => findings.ok("configuration", "read; no foreman.toml, the defaults hold"),
    }
    let tokens = config.auth.tokens.len();
    if tokens == 0 {
        findings.ok("access", "no FOREMAN_API_TOKEN: only this machine is answered");
    } else {
        findings.ok("access", format!("{tokens} token(s); {}", config.server.url));
    }
    if !config.overnight_enabled {
        let advice = "set OVERNIGHT_EXECUTION_ENABLED=true";
        findings.fail("overnight", "overnight execution is switched off", advice);
    }
}

fn data_folder(folder: &Path, findings: &mut Findings) {
    match DataLock::take(folder) {
        Ok(lock) => {
            drop(lock);
            findings.ok("data folder", format!("{} is free and writable", folder.display()));
        }
        Err(StoreError::Locked { pid, .. }) => {
            let who = pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
            findings
                .ok("data folder", format!("{}: a Foreman works with it{who}", folder.display()));
        }
        Err(error) => {
            findings.fail("data folder", error.to_string(), "");
        }
    }
    let Ok(disk) = rustix::fs::statvfs(folder) else { return };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let found = format!("{:.1} GiB free", free as f64 / f64::from(1 << 30));
    let advice = "free some space, or set FOREMAN_DATA_DIR to a larger disk";
    match free {
        0..NO_DISK => findings.fail("disk", found, advice),
        NO_DISK..LITTLE_DISK => findings.warn("disk", found, advice),
        LITTLE_DISK.. => findings.ok("disk", found),
    }
}

async fn database(config: &Config, findings: &mut Findings) {
    match app::open_for_reading(config).await {
        Ok(store) => {
            match store.ping().await {
                Ok(()) => findings.ok("database", "answers"),
                Err(error) => findings.fail("database", error.to_string(), "look at DATABASE_URL"),
            }
            store.close().await;
        }
        Err(AppError::Store(StoreError::NoDatabase(path))) => {
            findings.ok("database", format!("{} is made at the first start", path.display()));
        }
        Err(AppError::Store(error @ StoreError::OlderSchema { .. })) => {
            findings.warn("database", error.to_string(), "the next start brings it up to date");
        }
        Err(error) => findings.fail("database", error.to_string(), "look at DATABASE_URL"),
    }
}

async fn git(children: &Children, findings: &mut Findings) {
    // In a folder of its own: what is wrong with the data folder is said there.
    let version = match tempfile::tempdir().map(|dir| Git::new(children.clone(), dir.path())) {
        Ok(Ok(git)) => git.version().await,
        Ok(Err(error)) => Err(error),
        Err(error) => {
            let advice = "set TMPDIR to a folder that can be written";
            return findings.fail("git", format!("no temporary folder: {error}"), advice);
        }
    };
    match version {
        Ok(version) => findings.ok("git", version),
        Err(error) => {
            findings.fail("git", error.to_string(), "install a newer git, or put it on PATH");
        }
    }
}

async fn sandbox(children: Children, config: &Config, findings: &mut Findings) {
    let helper = PathBuf::from("/proc/self/exe");
    match Sandbox::detect(children, app::sandbox_mode(config), helper).await {
        Ok(sandbox) => {
            let report = sandbox.report();
            let kind = match report.kind {
                Kind::Bubblewrap => "bubblewrap",
                Kind::Landlock => "Landlock",
                Kind::None => "off",
            };
            let held = report.held.join("; ");
            if report.not_held.is_empty() {
                let found = format!("{kind}, proven by its self-test. It holds: {held}");
                findings.ok("sandbox", found);
            } else {
                let not = report.not_held.join("; ");
                let found = format!("{kind}; it does not hold: {not}. It holds: {held}");
                findings.warn("sandbox", found, report.advice.unwrap_or_default());
            }
            setup(config, &sandbox, findings);
        }
        Err(error) => findings.fail("sandbox", error.to_string(), ""),
    }
}

fn setup(config: &Config, sandbox: &Sandbox, findings: &mut Findings) {
    const WHAT: &str = "setup";
    let listed: Vec<String> = config.setup.registries.iter().map(ToString::to_string).collect();
    if listed.is_empty() {
        findings.ok(WHAT, "no registries are listed: no command has network");
    } else if sandbox.opens_doors() {
        findings.ok(WHAT, format!("setup commands reach {} and nothing else", listed.join(", ")));
    } else {
        let found = format!("setup commands cannot reach {}", listed.join(", "));
        findings.warn(WHAT, found, "install bubblewrap and use FOREMAN_SANDBOX=auto");
    }
}

fn tiers(config: &Config, findings: &mut Findings) {
    let table = match app::tiers(config) {
        Ok(table) => table,
        Err(error) => return findings.fail("tiers", error.to_string(), ""),
    };
    let live = table.live(Utc::now().date_naive());
    let mut usable = config.models.local_command.is_some();
    if usable {
        findings.ok("tiers", "local-builder: LOCAL_BUILDER_COMMAND, free");
    }
    for tier in table.iter().filter(|tier| live.contains(&tier.model.tier)) {
        let name = tier.model.tier;
        let price = &tier.model.price;
        let per_million = |nanos: i64| Usd::from_nanos(nanos.saturating_mul(1_000_000));
        let found = format!(
            "{name}: {} at {}, {} in / {} out per 1M tokens",
            tier.model.model,
            tier.endpoint.base_url,
            per_million(price.input),
            per_million(price.output),
        );
        if tier.paid && tier.endpoint.api_key.is_none() {
            findings.warn(
                "tiers",
                format!("{found}; no key"),
                "set OPENAI_API_KEY, or api_key_env of the tier",
            );
        } else {
            usable = true;
            findings.ok("tiers", found);
        }
    }
    for left in table.left_out() {
        findings.warn("tiers", left.why.clone(), "");
    }
    if !usable {
        findings.fail("tiers", "no tier can be asked", "set OPENAI_API_KEY, or LOCAL_BUILDER_COMMAND, or LOCAL_BUILDER_BASE_URL and LOCAL_BUILDER_MODEL");
    }
}

/// Who builds. Without a database nothing was ever switched.
async fn builder(config: &Config, findings: &mut Findings) {
    const WHAT: &str = "builder";
    if config.copilot.enabled
        && matches!(config.github.credential, Some(GitHubCredential::App { .. }))
    {
        findings.warn(
            WHAT,
            "GitHub lets no App assign Copilot: it takes a user's token",
            "set GITHUB_TOKEN in place of the App, or copilot.enabled = false",
        );
    }
    let said = match app::read_switchboard(config).await {
        Ok(switchboard) => switchboard.describe().await,
        Err(AppError::Store(StoreError::NoDatabase(_) | StoreError::OlderSchema { .. })) => {
            let word = if config.copilot.enabled { "copilot" } else { "desktop" };
            return findings.ok(WHAT, format!("{word}, from the configuration"));
        }
        Err(error) => return findings.warn(WHAT, error.to_string(), ""),
    };
    match said {
        Ok(said) if said["copilotEnabled"] == true && said["active"] == "desktop" => {
            let advice = match said["returnNotBefore"].as_str() {
                Some(at) => format!("Copilot is back after healthy checks, not before {at}"),
                None => "`foreman builder copilot` puts it back".to_owned(),
            };
            findings.warn(WHAT, super::builder::line(&said), advice);
        }
        Ok(said) => findings.ok(WHAT, super::builder::line(&said)),
        Err(error) => findings.warn(WHAT, error.to_string(), ""),
    }
}

fn ceilings(config: &Config, findings: &mut Findings) {
    let usd = |amount: Option<Usd>| amount.map_or_else(|| "none".to_owned(), |usd| usd.to_string());
    let limits = &config.limits;
    let found = format!(
        "night {}, day {}, month {}, issue {}",
        usd(limits.night_usd),
        usd(limits.day_usd),
        usd(limits.month_usd),
        usd(limits.issue_usd)
    );
    if limits.night_usd.is_none() && limits.day_usd.is_none() && limits.month_usd.is_none() {
        findings.warn("ceilings", found, "nothing bounds what is spent: set limits.night_usd");
    } else {
        findings.ok("ceilings", found);
    }
}

async fn github(config: &Config, repo: Option<&RepoName>, findings: &mut Findings) {
    const WHAT: &str = "github";
    const ADVICE: &str = "set GITHUB_TOKEN, or GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY";
    let client = match GitHub::new(&config.github.api_url, app::credential(config)) {
        Ok(client) => client,
        Err(error) => return findings.fail(WHAT, error.to_string(), ""),
    };
    if !client.has_credential() {
        return findings.fail(WHAT, "no GitHub credential", ADVICE);
    }
    let login = match client.login().await {
        Ok(login) => login,
        // These errors say themselves what to do.
        Err(error) => return findings.fail(WHAT, error.to_string(), ""),
    };
    let who = login.clone().unwrap_or_else(|| "a token that may not ask its own name".to_owned());
    findings.ok(WHAT, format!("{} knows us as {who}", config.github.api_url));
    let Some(repo) = repo else { return };
    match client.repository(repo).await {
        Ok(found) => {
            findings.ok(
                WHAT,
                format!("{} can be read; its branch is {}", found.name, found.default_branch),
            );
        }
        Err(error) => return findings.fail(WHAT, error.to_string(), ""),
    }
    super::base_check::permissions(&client, repo, findings).await;
    // An App's bot is no collaborator; what it may do is granted at its installation.
    let Some(login) = login.filter(|login| !login.ends_with("[bot]")) else { return };
    match client.permission(repo, &login).await {
        Ok(Permission::Write | Permission::Maintain | Permission::Admin) => {
            findings.ok(WHAT, format!("{login} may write to {repo}"));
        }
        Ok(other @ (Permission::None | Permission::Read | Permission::Triage)) => {
            let found = format!("{login} has `{}` on {repo}", other.as_str());
            findings.fail(WHAT, found, "branches and pull requests need write access");
        }
        Err(error) => {
            let advice = "whether branches can be pushed is seen at the first night";
            findings.warn(WHAT, format!("the permission could not be asked: {error}"), advice);
        }
    }
}

fn lines(finding: &Finding) -> String {
    let level = match finding.level {
        Level::Ok => "ok  ",
        Level::Warn => "warn",
        Level::Fail => "FAIL",
    };
    let mut out = format!("{level}  {:<13} {}\n", finding.what, finding.found);
    if let Some(advice) = &finding.advice {
        out.push_str(&format!("      {:<13} -> {advice}\n", ""));
    }
    out
}
