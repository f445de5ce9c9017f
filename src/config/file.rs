//! Reading `foreman.toml`: everything that is not a secret. An unknown key is an error with its
//! line and column; what TOML accepts and Foreman does not names the key.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::desktop::DesktopTable;
use super::error::ConfigError;
use super::notices::{Alerts, GovernanceTable};
use super::tables::{
    CopilotTable, Disk, Escalation, Labels, Limits, Publish, ServerTable, Setup, TierOverride,
    Trust,
};
use crate::domain::ids::RepoName;
use crate::domain::policy::PolicyFile;
use crate::domain::tier::ModelTier;

/// The whole file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    pub server: ServerTable,
    pub tiers: BTreeMap<ModelTier, TierOverride>,
    pub escalation: Escalation,
    pub limits: Limits,
    pub trust: Trust,
    pub desktop: DesktopTable,
    pub copilot: CopilotTable,
    pub setup: Setup,
    pub alerts: Alerts,
    pub governance: GovernanceTable,
    pub git: Publish,
    pub labels: Labels,
    pub disk: Disk,
    /// By `owner/name`; `*` is for those without one.
    pub repositories: BTreeMap<String, PolicyFile>,
}

impl File {
    /// Reads and checks a file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = super::env::read_file("FOREMAN_CONFIG", path).or_else(|error| match error {
            // An empty file is a file of defaults.
            ConfigError::EmptyFile { .. } => Ok(String::new()),
            other => Err(other),
        })?;
        let file: Self = toml::from_str(&text).map_err(|error| {
            let (line, column) = position(&text, error.span().map_or(0, |span| span.start));
            let message = error.message().replace('\n', " ");
            ConfigError::File { path: path.to_owned(), line, column, message }
        })?;
        file.check(path)?;
        Ok(file)
    }

    fn check(&self, path: &Path) -> Result<(), ConfigError> {
        let refuse = |key: &str, got: &dyn std::fmt::Display, takes: &str| {
            Err(ConfigError::Key {
                path: path.to_owned(),
                key: key.to_owned(),
                got: got.to_string(),
                takes: takes.to_owned(),
            })
        };
        let desktop = &self.desktop;
        for (key, value, most) in [
            ("limits.steps", self.limits.steps, 10_000),
            ("limits.minutes", self.limits.minutes, 1_440),
            ("desktop.interval_minutes", desktop.interval_minutes, 10_080),
            ("desktop.switch_after_failures", desktop.switch_after_failures, 1_000),
            ("desktop.return_after_healthy", desktop.return_after_healthy, 1_000),
            ("copilot.start_seconds", self.copilot.start_seconds, 86_400),
            ("copilot.work_seconds", self.copilot.work_seconds, 86_400),
            ("copilot.poll_seconds", self.copilot.poll_seconds, 3_600),
            ("alerts.dedupe_minutes", self.alerts.dedupe_minutes, 1_440),
            ("governance.checkpoint_minutes", self.governance.checkpoint_minutes, 10_080),
            ("governance.retention_days", self.governance.retention_days.unwrap_or(1), 36_500),
            ("governance.memory_events", self.governance.memory_events, 10_000_000),
        ] {
            if !(1..=most).contains(&value) {
                return refuse(key, &value, &format!("a number from 1 to {most}"));
            }
        }
        if self.limits.tokens == 0 {
            return refuse("limits.tokens", &0, "a number from 1 on");
        }
        let chain = &self.escalation.fallback_chain;
        if chain.is_empty() || chain.windows(2).any(|pair| pair[0] >= pair[1]) {
            return refuse(
                "escalation.fallback_chain",
                &chain.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
                "at least one tier, each once, in the order gpt-5.1, gpt-4-turbo, gpt-4, local-builder: a failed call goes down",
            );
        }
        if desktop.return_after_minutes > 10_080 {
            let got = desktop.return_after_minutes;
            return refuse("desktop.return_after_minutes", &got, "a number from 0 to 10080");
        }
        for (key, label) in [
            ("trust.approval_label", &self.trust.approval_label),
            ("copilot.label", &self.copilot.label),
        ] {
            if label.trim().is_empty() || label.len() > 50 {
                return refuse(key, label, "a label of 1 to 50 characters");
            }
        }
        for (key, text) in [
            ("git.author_name", &self.git.author_name),
            ("git.author_email", &self.git.author_email),
        ] {
            if text.trim().is_empty() || text.contains(['<', '>', '\n', '\0']) {
                return refuse(key, text, "text without `<`, `>` and line ends");
            }
        }
        if self.git.message.trim().is_empty() || self.git.message.contains('\0') {
            return refuse("git.message", &self.git.message, "text");
        }
        let email = self.alerts.email.as_ref().and_then(|email| email.password_env.clone());
        let further = self.alerts.webhooks.iter().flat_map(|hook| {
            [
                ("alerts.webhooks.webhook_env", hook.webhook_env.clone()),
                ("alerts.webhooks.secret_env", hook.secret_env.clone()),
            ]
        });
        let own = [
            ("alerts.webhook_env", self.alerts.webhook_env.clone()),
            ("alerts.secret_env", self.alerts.secret_env.clone()),
            ("alerts.email.password_env", email),
            ("governance.anchor_secret_env", self.governance.anchor_secret_env.clone()),
        ];
        for (key, name) in own.into_iter().chain(further) {
            if let Some(name) = name.as_ref().filter(|name| !is_variable_name(name)) {
                // It may be the secret itself, put in the wrong place: not shown.
                let shown = format!("[{} characters]", name.chars().count());
                return refuse(key, &shown, "the name of a variable, like FOREMAN_ALERT_SECRET");
            }
        }
        let is_name = |name: &String| name == "*" || name.parse::<RepoName>().is_ok();
        if let Some(name) = self.repositories.keys().find(|name| !is_name(name)) {
            return refuse("repositories", name, "owner/name, or * for every other");
        }
        self.check_tiers(path)
    }

    fn check_tiers(&self, path: &Path) -> Result<(), ConfigError> {
        for (tier, table) in &self.tiers {
            let refuse = |key: &str, got: String, takes: &str| {
                Err(ConfigError::Key {
                    path: path.to_owned(),
                    key: format!("tiers.\"{tier}\".{key}"),
                    got,
                    takes: takes.to_owned(),
                })
            };
            for (key, price) in [
                ("price_input", table.price_input),
                ("price_cached", table.price_cached),
                ("price_output", table.price_output),
            ] {
                if let Some(price) = price.filter(|price| !(0.0..=100_000.0).contains(price)) {
                    return refuse(
                        key,
                        price.to_string(),
                        "USD per million tokens, from 0 to 100000",
                    );
                }
            }
            for (key, window) in
                [("input_window", table.input_window), ("output_window", table.output_window)]
            {
                if window == Some(0) {
                    return refuse(key, "0".to_owned(), "a number of tokens from 1 on");
                }
            }
            for (key, text) in [("model", &table.model), ("replacement", &table.replacement)] {
                if text.as_ref().is_some_and(|text| text.trim().is_empty()) {
                    return refuse(key, String::new(), "a model's id");
                }
            }
            if let Some(name) = table.api_key_env.as_ref().filter(|name| !is_variable_name(name)) {
                // It may be the key itself, put in the wrong place: not shown.
                let shown = format!("[{} characters]", name.chars().count());
                return refuse("api_key_env", shown, "the name of a variable, like OPENAI_API_KEY");
            }
        }
        Ok(())
    }
}

fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// Line and column, from 1, of a byte offset.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}
