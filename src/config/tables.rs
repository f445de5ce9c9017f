//! The tables of `foreman.toml`, each its own struct with its defaults.

use std::collections::BTreeMap;
use std::net::IpAddr;

use chrono::NaiveDate;
use ipnet::IpNet;
use serde::{Deserialize, Deserializer};
use url::Url;

use super::env::address;
use crate::domain::labels::EscalationLabels;
use crate::domain::money::Usd;
use crate::domain::registry::Registry;
use crate::domain::tier::ModelTier;

/// `[tiers.<name>]`: what differs from the shipped tier. Windows are in tokens, prices in USD per
/// million tokens.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TierOverride {
    pub model: Option<String>,
    #[serde(deserialize_with = "optional_address")]
    pub base_url: Option<Url>,
    /// The name of the variable that holds the key, never the key.
    pub api_key_env: Option<String>,
    pub input_window: Option<u64>,
    pub output_window: Option<u64>,
    pub price_input: Option<f64>,
    pub price_cached: Option<f64>,
    pub price_output: Option<f64>,
    #[serde(deserialize_with = "optional_day")]
    pub last_day: Option<NaiveDate>,
    /// The model that takes over after the last day.
    pub replacement: Option<String>,
}

/// `[server]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerTable {
    /// Addresses or networks of reverse proxies. Default none: the peer is the client.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
}

/// An address alone is a network of one.
fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let network = |text: String| {
        let alone = text.parse::<IpAddr>().map(IpNet::from);
        alone.or_else(|_| text.parse::<IpNet>()).map_err(|_| {
            let takes = "an address or a network, like 127.0.0.1 or 10.0.0.0/8";
            serde::de::Error::custom(format!("`{text}` is not {takes}"))
        })
    };
    texts.into_iter().map(network).collect()
}

/// `[escalation]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Escalation {
    /// Where ordinary work starts. Default `gpt-4`.
    pub default_model: ModelTier,
    /// Which tier a reason selects, where it differs from the shipped rules.
    pub rules: BTreeMap<Rule, ModelTier>,
    /// Top down. Default: gpt-5.1, gpt-4-turbo, gpt-4, local-builder.
    pub fallback_chain: Vec<ModelTier>,
    /// Retry, fall back and repair. Default true.
    pub auto_heal: bool,
    /// Whether the local builder takes over where the provider refuses the key. Default false.
    pub local_on_auth_failure: bool,
    /// When what needs review waits for it. Default `after`.
    pub review: Review,
    /// How many of a day's reviews bind. Default 3.
    pub review_per_day: u32,
    pub labels: EscalationLabels,
}

impl Default for Escalation {
    fn default() -> Self {
        Self {
            default_model: ModelTier::Gpt4,
            rules: BTreeMap::new(),
            fallback_chain: ModelTier::CHAIN.to_vec(),
            auto_heal: true,
            local_on_auth_failure: false,
            review: Review::After,
            review_per_day: 3,
            labels: EscalationLabels::default(),
        }
    }
}

/// What may select a tier, by the names of the escalation reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    HeavyTask,
    ArchitectureImpact,
    MultiFileRefactor,
    GovernanceTask,
    ComplexReasoning,
    MultiAgentCoordination,
    ProjectMilestone,
}

/// When reviewed work waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Review {
    /// It passes and is listed for review.
    After,
    /// It waits beyond `review_per_day`.
    Before,
}

/// `[limits]`. An amount is a number of USD; `"none"` is no ceiling, `0` no paid call.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Counted escalations in 24 hours. Default 50.
    pub daily: u32,
    /// Counted escalations in 3,600 seconds. Default 10.
    pub hourly: u32,
    /// Escalations at once. Default 5.
    pub concurrent: u32,
    /// Default 10.
    #[serde(deserialize_with = "ceiling")]
    pub night_usd: Option<Usd>,
    /// Default 25.
    #[serde(deserialize_with = "ceiling")]
    pub day_usd: Option<Usd>,
    /// Default 200.
    #[serde(deserialize_with = "ceiling")]
    pub month_usd: Option<Usd>,
    /// Default none.
    #[serde(deserialize_with = "ceiling")]
    pub issue_usd: Option<Usd>,
    /// Of everything ever spent on one repository. Default none.
    #[serde(deserialize_with = "ceiling")]
    pub repository_usd: Option<Usd>,
    /// Model requests one attempt may make. Default 50.
    pub steps: u32,
    /// Tokens one attempt may use. Default 2,000,000.
    pub tokens: u64,
    /// Minutes one attempt may take. Default 30.
    pub minutes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            daily: 50,
            hourly: 10,
            concurrent: 5,
            night_usd: Usd::from_usd(10.0),
            day_usd: Usd::from_usd(25.0),
            month_usd: Usd::from_usd(200.0),
            issue_usd: None,
            repository_usd: None,
            steps: 50,
            tokens: 2_000_000,
            minutes: 30,
        }
    }
}

/// `[trust]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Trust {
    /// Whose issues are worked on. Default `collaborators`.
    pub authors: Authors,
    /// The label with which someone with write access lets an issue in. Default `foreman:approved`.
    pub approval_label: String,
}

impl Default for Trust {
    fn default() -> Self {
        Self { authors: Authors::Collaborators, approval_label: "foreman:approved".to_owned() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Authors {
    /// Owners, members and collaborators.
    Collaborators,
    /// Everybody: turns the check off.
    All,
}

/// `[copilot]`: GitHub's coding agent as the builder.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CopilotTable {
    /// Whether issues are given to Copilot. Default false.
    pub enabled: bool,
    /// Seconds until its pull request has to be there. Default 600.
    pub start_seconds: u32,
    /// Seconds until it has to be done. Default 3,600.
    pub work_seconds: u32,
    /// Seconds between two looks. Default 30.
    pub poll_seconds: u32,
    /// USD that each of its sessions is booked at. Default 0.
    pub session_usd: Usd,
    /// The label on its pull requests that passed. Default `foreman:passed`.
    pub label: String,
}

impl Default for CopilotTable {
    fn default() -> Self {
        Self {
            enabled: false,
            start_seconds: 600,
            work_seconds: 3_600,
            poll_seconds: 30,
            session_usd: Usd::ZERO,
            label: "foreman:passed".to_owned(),
        }
    }
}

/// `[setup]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Setup {
    /// Package registries that a setup step may reach. Default none.
    #[serde(deserialize_with = "registries")]
    pub registries: Vec<Registry>,
}

fn registries<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Registry>, D::Error> {
    let mut all = Vec::new();
    for entry in Vec::<String>::deserialize(from)? {
        all.extend(Registry::parse(&entry).map_err(serde::de::Error::custom)?);
    }
    Ok(all)
}

/// `[labels]`: labels that Foreman sets on issues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Labels {
    /// `foreman:in-progress`, `foreman:proposed`, `foreman:refused`. Default false.
    pub progress: bool,
}

/// `[disk]`: what the data folder may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Disk {
    /// MiB that must be free for a night to start. Default 512.
    pub floor_mb: u32,
    /// Days that leftover workspaces are kept. Default 3.
    pub keep_days: u32,
    /// GiB that leftover workspaces may take together. Default 20.
    pub keep_gb: u32,
    /// Days that the mirror of a repository is kept which no night looks at. Default 60.
    pub mirror_days: u32,
    /// Days after a night's end that its transcripts and private refs are kept. Default 90.
    pub transcript_days: u32,
}

impl Default for Disk {
    fn default() -> Self {
        Self { floor_mb: 512, keep_days: 3, keep_gb: 20, mirror_days: 60, transcript_days: 90 }
    }
}

/// `[git]`: how commits are signed and worded.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Publish {
    /// Default `Foreman`.
    pub author_name: String,
    /// Default `foreman@localhost`.
    pub author_email: String,
    /// `{title}` and `{number}` are filled in. Default `{title} (#{number})`.
    pub message: String,
}

impl Default for Publish {
    fn default() -> Self {
        Self {
            author_name: "Foreman".to_owned(),
            author_email: "foreman@localhost".to_owned(),
            message: "{title} (#{number})".to_owned(),
        }
    }
}

fn ceiling<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Usd>, D::Error> {
    use serde::de::{Error, Unexpected, Visitor};
    const TAKES: &str = "a number of USD from 0 to 1000000, or \"none\"";
    struct Amount;
    impl Visitor<'_> for Amount {
        type Value = Option<Usd>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(TAKES)
        }
        fn visit_f64<E: Error>(self, usd: f64) -> Result<Self::Value, E> {
            match Usd::from_usd(usd) {
                Some(amount) => Ok(Some(amount)),
                None => Err(E::invalid_value(Unexpected::Float(usd), &self)),
            }
        }
        fn visit_i64<E: Error>(self, usd: i64) -> Result<Self::Value, E> {
            i32::try_from(usd)
                .map_err(|_| E::invalid_value(Unexpected::Signed(usd), &self))
                .and_then(|usd| self.visit_f64(f64::from(usd)))
        }
        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            match text {
                "none" => Ok(None),
                other => Err(E::invalid_value(Unexpected::Str(other), &self)),
            }
        }
    }
    deserializer.deserialize_any(Amount)
}

pub(super) fn optional_address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Url>, D::Error> {
    let text = String::deserialize(deserializer)?;
    address(&text).map(Some).ok_or_else(|| {
        serde::de::Error::custom("it takes an http:// or https:// address without user or query")
    })
}

fn optional_day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NaiveDate>, D::Error> {
    // A day may be written as text or as TOML's own date.
    let day = match toml::Value::deserialize(deserializer)? {
        toml::Value::String(text) => text.parse().ok(),
        toml::Value::Datetime(date) => date.to_string().parse().ok(),
        _ => None,
    };
    day.map(Some).ok_or_else(|| serde::de::Error::custom("it takes a day, like 2027-04-01"))
}
