//! The tier table: what stands behind each place in the chain.
//!
//! Owns the shipped defaults merged with `[tiers.<name>]`, and their validation: every paid tier
//! has a price before anything starts. Never reads the environment itself; keys come by a function.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::config::TierOverride;
use crate::domain::money::{Price, Usage, Usd};
use crate::domain::tier::{ModelTier, TierModel};

use super::ModelsError;
use super::catalogue::{Known, ServicePrices, known, shipped};

/// The windows of a model nobody described: small enough for most local servers.
const UNKNOWN_INPUT_WINDOW: u64 = 32_768;
const UNKNOWN_OUTPUT_WINDOW: u64 = 8_192;
/// Below this a conversation with tools cannot even begin.
const LEAST_INPUT_WINDOW: u64 = 1_024;
const LEAST_OUTPUT_WINDOW: u64 = 64;

/// Where a tier's requests go.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub base_url: Url,
    pub api_key: Option<SecretString>,
}

impl Endpoint {
    /// A name for address and key that gives neither away: what fails with one of them fails with
    /// the same name.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"foreman provider\n");
        hash.update(self.base_url.as_str());
        hash.update(b"\n");
        if let Some(key) = &self.api_key {
            hash.update(key.expose_secret());
        }
        hex::encode(&hash.finalize()[..8])
    }
}

/// A tier that can be called.
#[derive(Debug, Clone)]
pub struct Tier {
    pub model: TierModel,
    pub endpoint: Endpoint,
    pub last_day: Option<NaiveDate>,
    /// Whether its tokens cost anything.
    pub paid: bool,
    /// Prompt and answer count against one window; with gpt-5.x each has its own.
    pub shared_window: bool,
    /// Percent of the price, by the service tier that an answer names.
    service: ServicePrices,
}

impl Tier {
    /// Whether the provider sells this model at several speeds, each at its own price.
    #[must_use]
    pub const fn has_service_prices(&self) -> bool {
        !self.service.is_empty()
    }

    /// What an answer cost: by the service tier it names, where that has a price of its own.
    #[must_use]
    pub fn cost(&self, usage: Usage, service_tier: Option<&str>) -> Usd {
        let named = self.service.iter().find(|(name, _)| Some(*name) == service_tier);
        let percent = named.map_or(100, |(_, percent)| *percent);
        let nanos = self.model.price.cost(usage).nanos().saturating_mul(percent);
        // A fraction of a nano-USD is never forgotten.
        Usd::from_nanos(nanos.saturating_add(99) / 100)
    }
}

/// `OPENAI_BASE_URL` and `OPENAI_API_KEY`.
#[derive(Debug, Clone)]
pub struct DefaultEndpoint {
    pub base_url: Url,
    pub api_key: Option<SecretString>,
}

/// `LOCAL_BUILDER_BASE_URL` and `LOCAL_BUILDER_MODEL`.
#[derive(Debug, Clone)]
pub struct LocalServer {
    pub base_url: Url,
    pub model: String,
}

/// A tier that is not in the table, and why, in a sentence for the start-up log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    pub tier: ModelTier,
    pub why: String,
}

/// The tiers that can be called, and those left out.
#[derive(Debug, Clone, Default)]
pub struct TierTable {
    tiers: BTreeMap<ModelTier, Tier>,
    left_out: Vec<LeftOut>,
}

impl TierTable {
    #[must_use]
    pub fn get(&self, tier: ModelTier) -> Option<&Tier> {
        self.tiers.get(&tier)
    }

    /// The tiers whose models still answer on this day, dearest first. A process may outlive a
    /// model, so this is asked for each piece of work.
    #[must_use]
    pub fn live(&self, today: NaiveDate) -> Vec<ModelTier> {
        let alive = |tier: &Tier| tier.last_day.is_none_or(|last| today <= last);
        self.tiers.iter().filter(|(_, tier)| alive(tier)).map(|(name, _)| *name).collect()
    }

    /// What is missing and why, for the start-up log and `doctor`.
    #[must_use]
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// Every tier in the table, dearest first.
    pub fn iter(&self) -> impl Iterator<Item = &Tier> {
        self.tiers.values()
    }
}

/// Builds the table for this day. `read_key` looks a variable up.
pub fn tier_table(
    overrides: &BTreeMap<ModelTier, TierOverride>,
    defaults: &DefaultEndpoint,
    local: Option<&LocalServer>,
    today: NaiveDate,
    read_key: impl Fn(&str) -> Option<SecretString>,
) -> Result<TierTable, ModelsError> {
    let mut table = TierTable::default();
    let nothing = TierOverride::default();
    for tier in ModelTier::CHAIN {
        let over = overrides.get(&tier).unwrap_or(&nothing);
        let Some((model, base_url)) = model_and_address(tier, over, local)? else {
            continue; // no local builder is configured, which is not worth a word
        };
        let endpoint = endpoint(tier, over, base_url, defaults, &read_key)?;
        let (model, last_day) = describe(tier, over, model, today)?;
        let paid = !model.price.is_free();
        let why = match last_day {
            Some(last) if today > last => Some(format!(
                "tier {tier} is skipped: `{}` answered until {last}, and no replacement is named \
                 under [tiers.{tier}]",
                model.model
            )),
            Some(_) | None if paid && endpoint.api_key.is_none() && is_openai(&endpoint) => {
                Some(format!("tier {tier} is skipped: OPENAI_API_KEY is not set"))
            }
            Some(_) | None => None,
        };
        match why {
            Some(why) => table.left_out.push(LeftOut { tier, why }),
            None => {
                let shared_window = !model.model.starts_with("gpt-5");
                let service = known(&model.model).map_or(&[][..], |known| known.service);
                let entry = Tier { model, endpoint, last_day, paid, shared_window, service };
                table.tiers.insert(tier, entry);
            }
        }
    }
    Ok(table)
}

fn is_openai(endpoint: &Endpoint) -> bool {
    endpoint.base_url.host_str() == Some("api.openai.com")
}

/// The model's id, and an address where it has its own.
fn model_and_address(
    tier: ModelTier,
    over: &TierOverride,
    local: Option<&LocalServer>,
) -> Result<Option<(String, Option<Url>)>, ModelsError> {
    let own = over.base_url.clone();
    if let Some(name) = shipped(tier) {
        return Ok(Some((over.model.clone().unwrap_or_else(|| name.to_owned()), own)));
    }
    let url = own.or_else(|| local.map(|server| server.base_url.clone()));
    let model = over.model.clone().or_else(|| local.map(|server| server.model.clone()));
    match (url, model) {
        (Some(url), Some(model)) => Ok(Some((model, Some(url)))),
        (None, None) if *over == TierOverride::default() => Ok(None),
        (None | Some(_), None | Some(_)) => Err(ModelsError::LocalIncomplete),
    }
}

fn endpoint(
    tier: ModelTier,
    over: &TierOverride,
    own_url: Option<Url>,
    defaults: &DefaultEndpoint,
    read_key: &impl Fn(&str) -> Option<SecretString>,
) -> Result<Endpoint, ModelsError> {
    let api_key = match &over.api_key_env {
        Some(variable) => Some(
            read_key(variable)
                .ok_or_else(|| ModelsError::NoKey { tier, variable: variable.clone() })?,
        ),
        // The default key belongs to the default endpoint and goes to no other host.
        None if own_url.is_some() => None,
        None => defaults.api_key.clone(),
    };
    Ok(Endpoint { base_url: own_url.unwrap_or_else(|| defaults.base_url.clone()), api_key })
}

/// The model with its windows, price and last day. A model past its last day gives way to its
/// replacement, whose own figures are used where they are known.
fn describe(
    tier: ModelTier,
    over: &TierOverride,
    named: String,
    today: NaiveDate,
) -> Result<(TierModel, Option<NaiveDate>), ModelsError> {
    let mut model = named;
    let mut facts = known(&model);
    let mut last_day = over.last_day.or_else(|| facts.and_then(Known::last_day));
    let (mut over, mut replaced) = (over.clone(), false);
    if last_day.is_some_and(|last| today > last) {
        let replacement =
            over.replacement.clone().or_else(|| facts?.replacement.map(str::to_owned));
        if let Some(replacement) = replacement {
            facts = known(&replacement);
            last_day = facts.and_then(Known::last_day);
            model = replacement;
            replaced = true;
        }
    }
    // The file's figures are the named model's: those of a known successor are its own. One that
    // nobody knows is described by them, or the start stops for want of a price.
    if replaced && facts.is_some() {
        let TierOverride { base_url, api_key_env, .. } = over;
        over = TierOverride { base_url, api_key_env, ..TierOverride::default() };
    }
    let over = &over;
    let window = |key, given: Option<u64>, usual, least| match given {
        Some(value) if value < least => Err(ModelsError::BadWindow { tier, key, value, least }),
        Some(value) => Ok(value),
        None => Ok(usual),
    };
    let usual_input = facts.map_or(UNKNOWN_INPUT_WINDOW, |facts| facts.input_window);
    let usual_output = facts.map_or(UNKNOWN_OUTPUT_WINDOW, |facts| facts.output_window);
    let described = TierModel {
        tier,
        input_window: window("input_window", over.input_window, usual_input, LEAST_INPUT_WINDOW)?,
        output_window: window(
            "output_window",
            over.output_window,
            usual_output,
            LEAST_OUTPUT_WINDOW,
        )?,
        price: price(tier, over, facts, &model)?,
        model,
    };
    Ok((described, last_day))
}

/// The price given, else the shipped price of a shipped model at the default endpoint. Another
/// provider's price for the same name is not known to us.
fn price(
    tier: ModelTier,
    over: &TierOverride,
    facts: Option<&Known>,
    model: &str,
) -> Result<Price, ModelsError> {
    for (key, value) in [
        ("price_input", over.price_input),
        ("price_cached", over.price_cached),
        ("price_output", over.price_output),
    ] {
        if let Some(value) = value.filter(|usd| Price::per_million(*usd, None, 0.0).is_none()) {
            return Err(ModelsError::BadPrice { tier, key, value });
        }
    }
    let missing = || ModelsError::NoPrice { tier, model: model.to_owned() };
    match (over.price_input, over.price_output) {
        (Some(input), Some(output)) => {
            Price::per_million(input, over.price_cached, output).ok_or_else(missing)
        }
        (None, None) if tier == ModelTier::LocalBuilder => Ok(Price::FREE),
        (None, None) if over.base_url.is_none() => {
            facts.map(|facts| facts.price).ok_or_else(missing)
        }
        (None | Some(_), None | Some(_)) => Err(missing()),
    }
}

#[cfg(test)]
#[path = "tiers_tests.rs"]
mod tests;
