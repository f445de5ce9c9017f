//! OpenAI-compatible chat: one call of ours is exactly one HTTP request.
//!
//! Owns the tier table (which model, endpoint, window and price stands behind a tier), the request,
//! the lenient reading of the reply and the class of every failure. Never retries, never decides
//! what comes next and never writes to the ledger: builders do, by escalation's rules.

mod catalogue;
mod chat;
mod errors;
mod estimate;
mod reply;
mod request;
mod tiers;
mod tokens;

use std::time::Duration;

pub use chat::{ChatRequest, Models};
pub use errors::{CallError, parse_retry_after};
pub use estimate::estimate_tokens;
pub use tiers::{DefaultEndpoint, Endpoint, LeftOut, LocalServer, Tier, TierTable, tier_table};
pub use tokens::{PromptSize, TokenCounter, warm};

use crate::domain::tier::ModelTier;

/// How long one request may take when nobody says otherwise: long reasoning takes minutes.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

/// What stops the start. Each names what to change in `foreman.toml` or the environment.
#[derive(Debug, thiserror::Error)]
pub enum ModelsError {
    #[error(
        "[tiers.{tier}] the model `{model}` has no price, and no paid call is made without one: \
         add `price_input = …` and `price_output = …` (USD per 1M tokens) under [tiers.{tier}] in \
         foreman.toml; 0 says it is free"
    )]
    NoPrice { tier: ModelTier, model: String },
    #[error("[tiers.{tier}] {key} = {value} is not a price: USD per 1M tokens, from 0 to 100000")]
    BadPrice { tier: ModelTier, key: &'static str, value: f64 },
    #[error("[tiers.{tier}] {key} must be at least {least} tokens, not {value}")]
    BadWindow { tier: ModelTier, key: &'static str, value: u64, least: u64 },
    #[error(
        "[tiers.{tier}] api_key_env names {variable}, which is not set: set it, or take the line out"
    )]
    NoKey { tier: ModelTier, variable: String },
    #[error(
        "[tiers.local-builder] needs LOCAL_BUILDER_BASE_URL and LOCAL_BUILDER_MODEL, or `base_url` \
         and `model` here"
    )]
    LocalIncomplete,
    #[error("the HTTP client could not be made: {0}")]
    Client(#[from] reqwest::Error),
}
