//! From the configuration's words to the rooms' words. Plain translation.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use secrecy::ExposeSecret;

use super::AppError;
use crate::builders::{CopilotLimits, WorkLimits};
use crate::config::{
    self, Authors, Config, Database, DesktopMerge, GitHubCredential, Review, Rule, SandboxMode,
};
use crate::desktop_sync;
use crate::domain::money::Usd;
use crate::domain::run::Run;
use crate::domain::switch::SwitchRules;
use crate::domain::tier::ModelTier;
use crate::escalation::{EscalationReason, QuotaLimits, RailsPolicy, SelectionPolicy};
use crate::git::Author;
use crate::github::{Credential, intake};
use crate::governance;
use crate::governance::alerts::{AlertForm, AlertRules};
use crate::governance::delivery::{Email, MailTls, Webhook};
use crate::models::{self, TierTable, tier_table};
use crate::overnight::{CopilotSettings, Parts, Settings, report};
use crate::sandbox::Mode;
use crate::store::{Ceilings, DatabaseUrl, StoreError};

/// A lease lasts 30 s and is renewed three times in that.
const RENEW_EVERY: Duration = Duration::from_secs(10);

pub(super) fn database(config: &Config) -> Result<DatabaseUrl, StoreError> {
    match &config.database {
        Database::Sqlite(path) => DatabaseUrl::file(path),
        Database::Postgres(url) => DatabaseUrl::parse(url.expose_secret(), &config.data_dir),
    }
}

pub fn credential(config: &Config) -> Option<Credential> {
    config.github.credential.as_ref().map(|credential| match credential {
        GitHubCredential::Token(token) => Credential::Token(token.clone()),
        GitHubCredential::App { id, private_key } => {
            Credential::App { id: *id, key: private_key.clone() }
        }
    })
}

pub fn sandbox_mode(config: &Config) -> Mode {
    match config.sandbox {
        SandboxMode::Auto => Mode::Auto,
        SandboxMode::Bubblewrap => Mode::Bubblewrap,
        SandboxMode::Landlock => Mode::Landlock,
        SandboxMode::Off => Mode::Off,
    }
}

pub fn tiers(config: &Config) -> Result<TierTable, AppError> {
    let defaults = models::DefaultEndpoint {
        base_url: config.models.base_url.clone(),
        api_key: config.models.api_key.clone(),
    };
    let local = config.models.local_server.as_ref().map(|server| models::LocalServer {
        base_url: server.base_url.clone(),
        model: server.model.clone(),
    });
    let read_key = |name: &str| config.models.tier_keys.get(name).cloned();
    let today = Utc::now().date_naive();
    Ok(tier_table(&config.models.tiers, &defaults, local.as_ref(), today, read_key)?)
}

const fn quota_limits(config: &Config) -> QuotaLimits {
    let limits = &config.limits;
    QuotaLimits { daily: limits.daily, hourly: limits.hourly, concurrent: limits.concurrent }
}

/// How the configuration bends the shipped rules of selection.
pub(super) fn selection_policy(config: &Config) -> SelectionPolicy {
    let escalation = &config.escalation;
    SelectionPolicy {
        default_tier: escalation.default_model,
        rules: escalation.rules.iter().map(|(rule, tier)| (reason(*rule), *tier)).collect(),
        chain: escalation.fallback_chain.clone(),
        limits: quota_limits(config),
        review_before: escalation.review == Review::Before,
    }
}

/// The money ceilings but a night's own.
pub const fn ceilings(config: &Config) -> Ceilings {
    let limits = &config.limits;
    Ceilings {
        night: limits.night_usd,
        repository: limits.repository_usd,
        issue: limits.issue_usd,
        day: limits.day_usd,
        month: limits.month_usd,
    }
}

/// The operator's part of the safety rails.
pub(super) fn rails_policy(config: &Config) -> RailsPolicy {
    RailsPolicy {
        limits: quota_limits(config),
        review_before: config.escalation.review == Review::Before,
        review_per_day: config.escalation.review_per_day,
    }
}

const fn reason(rule: Rule) -> EscalationReason {
    match rule {
        Rule::HeavyTask => EscalationReason::HeavyTask,
        Rule::ArchitectureImpact => EscalationReason::ArchitectureImpact,
        Rule::MultiFileRefactor => EscalationReason::MultiFileRefactor,
        Rule::GovernanceTask => EscalationReason::GovernanceTask,
        Rule::ComplexReasoning => EscalationReason::ComplexReasoning,
        Rule::MultiAgentCoordination => EscalationReason::MultiAgentCoordination,
        Rule::ProjectMilestone => EscalationReason::ProjectMilestone,
    }
}

pub(super) fn governance(config: &Config) -> governance::Settings {
    let (table, own) = (&config.alerts.table, &config.governance);
    let usual = governance::Settings::in_folder(&config.data_dir);
    let branch = own.anchor_branch.clone();
    let (webhooks, email) = places(config);
    governance::Settings {
        key: own.key.clone().unwrap_or(usual.key),
        anchor: own.anchor.clone().unwrap_or(usual.anchor),
        anchor_branch: branch.map(|(repo, branch)| governance::AnchorBranch { repo, branch }),
        anchor_webhook: own.anchor_webhook.as_ref().map(webhook),
        checkpoint_every: own.checkpoint_every,
        retention_days: own.retention_days,
        templates: own.templates.clone(),
        memory_events: own.memory_events,
        rules: AlertRules {
            min_severity: table.min_severity,
            always: table.always.clone(),
            never: table.never.clone(),
            window: Duration::from_secs(60 * u64::from(table.dedupe_minutes)),
        },
        webhooks,
        email,
        report: table.report.then_some(report::text as fn(&Run) -> String),
        incident_issues: table.incident_issues,
    }
}

/// Who may build, and when that changes.
pub(super) fn switch_rules(config: &Config) -> SwitchRules {
    let desktop = &config.desktop;
    SwitchRules {
        copilot: config.copilot.enabled,
        desktop: desktop.enabled,
        after_failures: desktop.switch_after_failures,
        return_after: desktop.return_after_healthy,
        at_least: TimeDelta::from_std(desktop.return_after).unwrap_or_default(),
    }
}

/// `None`: Copilot is not set up.
pub(super) fn copilot(config: &Config) -> Option<CopilotSettings> {
    let table = Some(&config.copilot).filter(|table| table.enabled)?;
    let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
    let limits = CopilotLimits {
        start: seconds(table.start_seconds),
        work: seconds(table.work_seconds),
        poll: seconds(table.poll_seconds),
    };
    let (session_usd, label) = (table.session_usd, table.label.clone());
    Some(CopilotSettings { limits, session_usd, label })
}

/// Where alerts go besides the log.
pub fn places(config: &Config) -> (Vec<(String, Webhook)>, Option<Email>) {
    let hooks = config.alerts.hooks.iter().map(|hook| (hook.name.clone(), webhook(hook)));
    let email = config.alerts.mail.as_ref().map(|mail| Email {
        host: mail.host.clone(),
        port: mail.port,
        tls: match mail.tls {
            config::AlertTls::Implicit => MailTls::Implicit,
            config::AlertTls::Starttls => MailTls::StartTls,
            config::AlertTls::None => MailTls::None,
        },
        from: mail.from.clone(),
        to: mail.to.clone(),
        login: mail.login.clone(),
    });
    (hooks.collect(), email)
}

fn webhook(hook: &config::Hook) -> Webhook {
    let form = match hook.form {
        config::AlertForm::Json => AlertForm::Json,
        config::AlertForm::Slack => AlertForm::Slack,
    };
    Webhook { url: hook.url.clone(), form, key: hook.secret.clone() }
}

pub(super) fn settings(config: &Config, sole_owner: bool) -> Settings {
    let limits = &config.limits;
    Settings {
        enabled: config.overnight_enabled,
        owner: uuid::Uuid::now_v7().to_string(),
        sole_owner,
        trust: intake::TrustPolicy {
            authors: match config.trust.authors {
                Authors::Collaborators => intake::Authors::Collaborators,
                Authors::All => intake::Authors::All,
            },
            approval_label: config.trust.approval_label.clone(),
        },
        night_usd: limits.night_usd,
        repository_usd: limits.repository_usd,
        issue_usd: limits.issue_usd,
        day_usd: limits.day_usd,
        month_usd: limits.month_usd,
        limits: WorkLimits {
            steps: limits.steps,
            tokens: limits.tokens,
            time: Duration::from_secs(u64::from(limits.minutes) * 60),
            ..WorkLimits::default()
        },
        labels: config.escalation.labels.clone(),
        author: author(config),
        message: config.publish.message.clone(),
        selection: selection_policy(config),
        rails: rails_policy(config),
        local_command: config.models.local_command.is_some(),
        copilot: copilot(config),
        progress_labels: config.labels.progress,
        data_dir: config.data_dir.clone(),
        disk_floor: u64::from(config.disk.floor_mb) << 20,
        renew_every: RENEW_EVERY,
    }
}

/// The local clones, as configured.
pub(super) fn desktop(config: &Config) -> desktop_sync::Settings {
    let desktop = &config.desktop;
    let repository = |it: &config::LocalRepository| desktop_sync::Repository {
        id: it.id.clone(),
        path: it.path.clone(),
        branch: it.branch.clone(),
    };
    desktop_sync::Settings {
        enabled: desktop.enabled,
        repositories: desktop.repositories.iter().map(repository).collect(),
        interval: desktop.interval,
        switch_after_failures: desktop.switch_after_failures,
        return_after_healthy: desktop.return_after_healthy,
        merge_diverged: desktop.merge == DesktopMerge::Clean,
        auto_merge: desktop.auto_merge,
        builder: desktop_sync::LocalBuilder {
            command: config.models.local_command.clone(),
            server: config.models.local_server.as_ref().map(|server| server.base_url.clone()),
        },
        api_url: config.github.api_url.clone(),
        author: author(config),
        folder: config.data_dir.join("desktop"),
    }
}

/// The local clones' own checks.
pub(super) fn quick_checks(config: &Config) -> HashMap<String, desktop_sync::QuickCheck> {
    let check = |it: &config::LocalRepository| {
        let timeout = Duration::from_secs(u64::from(it.check_seconds));
        let check = desktop_sync::QuickCheck { command: it.check.clone()?, timeout };
        Some((it.id.clone(), check))
    };
    config.desktop.repositories.iter().filter_map(check).collect()
}

fn author(config: &Config) -> Author {
    Author { name: config.publish.author_name.clone(), email: config.publish.author_email.clone() }
}

/// Which tiers are live, at what price, said once at start.
pub(super) fn say_tiers(parts: &Parts) {
    let live = parts.tiers.live(Utc::now().date_naive());
    for tier in ModelTier::CHAIN {
        if let Some(entry) = parts.tiers.get(tier).filter(|_| live.contains(&tier)) {
            let (model, price) = (&entry.model.model, &entry.model.price);
            let per_million = |nanos: i64| Usd::from_nanos(nanos.saturating_mul(1_000_000));
            tracing::info!(
                %tier, %model,
                "tier {tier} is {model}, {} in and {} out per 1M tokens",
                per_million(price.input), per_million(price.output),
            );
        }
    }
    for left in parts.tiers.left_out() {
        tracing::warn!(tier = %left.tier, "{}", left.why);
    }
    let usd =
        |amount: Option<Usd>| amount.map_or_else(|| "none".to_owned(), |amount| amount.to_string());
    tracing::info!(
        "ceilings: night {}, day {}, month {}, issue {}",
        usd(parts.settings.night_usd),
        usd(parts.settings.day_usd),
        usd(parts.settings.month_usd),
        usd(parts.settings.issue_usd),
    );
}
