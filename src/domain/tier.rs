//! Model tiers: names for places in the chain. The model behind a tier is data.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::money::Price;

/// A place in the escalation chain, dearest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ModelTier {
    #[serde(rename = "gpt-5.1")]
    Gpt51,
    #[serde(rename = "gpt-4-turbo")]
    Gpt4Turbo,
    #[serde(rename = "gpt-4")]
    Gpt4,
    #[serde(rename = "local-builder")]
    LocalBuilder,
}

impl ModelTier {
    /// The chain, top down.
    pub const CHAIN: [Self; 4] = [Self::Gpt51, Self::Gpt4Turbo, Self::Gpt4, Self::LocalBuilder];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gpt51 => "gpt-5.1",
            Self::Gpt4Turbo => "gpt-4-turbo",
            Self::Gpt4 => "gpt-4",
            Self::LocalBuilder => "local-builder",
        }
    }

    /// This tier and everything below it.
    #[must_use]
    pub fn chain_down(self) -> Vec<Self> {
        Self::CHAIN.into_iter().skip_while(|tier| *tier != self).collect()
    }
}

impl fmt::Display for ModelTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ModelTier {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::CHAIN.into_iter().find(|tier| tier.as_str() == text).ok_or_else(|| {
            format!("`{text}` is not a tier: gpt-5.1, gpt-4-turbo, gpt-4, local-builder")
        })
    }
}

/// What stands behind a tier: a model, its windows and its price. Endpoint and key are kept by
/// the models room, since they are secrets or addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierModel {
    pub tier: ModelTier,
    /// The model's id as the provider names it.
    pub model: String,
    /// Tokens a prompt may have.
    pub input_window: u64,
    /// Tokens an answer may have.
    pub output_window: u64,
    pub price: Price,
}
