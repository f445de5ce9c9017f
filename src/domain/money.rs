//! Money as integers: nano-USD, so that no price of a single token is ever rounded away.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An amount in nano-USD (1e-9 USD). In JSON it is a number of USD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Usd(i64);

impl Usd {
    pub const ZERO: Self = Self(0);
    const NANOS: f64 = 1e9;

    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// From a number of USD as a person writes it; `None` where it is negative, not finite or
    /// above a million dollars (no ceiling of ours is, so it is a mistake).
    #[must_use]
    pub fn from_usd(usd: f64) -> Option<Self> {
        if !usd.is_finite() || !(0.0..=1_000_000.0).contains(&usd) {
            return None;
        }
        #[allow(clippy::cast_possible_truncation, reason = "bounded to 1e15 above")]
        Some(Self((usd * Self::NANOS).round() as i64))
    }

    #[must_use]
    pub fn as_usd(self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "for display and JSON only")]
        let nanos = self.0 as f64;
        nanos / Self::NANOS
    }

    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0).max(0))
    }
}

impl Add for Usd {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Usd {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Usd {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Sum for Usd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Usd {
    /// `$0.0026`: at least two decimals, as many as the amount needs, at most six.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.6}", self.as_usd());
        let trimmed = text.trim_end_matches('0');
        let decimals = trimmed.split_once('.').map_or(0, |(_, d)| d.len());
        write!(f, "${:.*}", decimals.max(2), self.as_usd())
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_usd())
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let usd = f64::deserialize(deserializer)?;
        Self::from_usd(usd).ok_or_else(|| {
            serde::de::Error::custom("an amount in USD is a number from 0 to 1000000")
        })
    }
}

/// What a model's tokens cost, in nano-USD per token (USD per 1M tokens times 1,000).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Price {
    pub input: i64,
    /// Cached input; the same as `input` where the provider gives no discount.
    pub cached: i64,
    pub output: i64,
}

impl Price {
    pub const FREE: Self = Self { input: 0, cached: 0, output: 0 };

    /// From USD per 1M tokens; `None` for a negative or unreasonable figure.
    #[must_use]
    pub fn per_million(input: f64, cached: Option<f64>, output: f64) -> Option<Self> {
        let nanos = |usd: f64| {
            (usd.is_finite() && (0.0..=100_000.0).contains(&usd)).then(|| {
                #[allow(clippy::cast_possible_truncation, reason = "bounded above")]
                let nanos = (usd * 1_000.0).round() as i64;
                nanos
            })
        };
        let input_price = nanos(input)?;
        let cached_price = match cached {
            Some(usd) => nanos(usd)?,
            None => input_price,
        };
        Some(Self { input: input_price, cached: cached_price, output: nanos(output)? })
    }

    /// `(prompt - cached) x in + cached x cached_in + completion x out`; reasoning tokens are
    /// already inside the completion.
    #[must_use]
    pub fn cost(&self, usage: Usage) -> Usd {
        let cached = usage.cached_tokens.min(usage.prompt_tokens);
        let fresh = usage.prompt_tokens - cached;
        let part = |tokens: u64, price: i64| {
            i64::try_from(tokens).unwrap_or(i64::MAX).saturating_mul(price)
        };
        Usd(part(fresh, self.input)
            .saturating_add(part(cached, self.cached))
            .saturating_add(part(usage.completion_tokens, self.output)))
    }

    #[must_use]
    pub fn is_free(&self) -> bool {
        *self == Self::FREE
    }
}

/// Tokens as the provider counted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    pub prompt_tokens: u64,
    pub cached_tokens: u64,
    pub completion_tokens: u64,
}

impl Usage {
    #[must_use]
    pub fn total(&self) -> u64 {
        self.prompt_tokens + self.completion_tokens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_golden_price_case() {
        let price = Price::per_million(1.25, Some(0.125), 10.0).expect("a price");
        let usage = Usage { prompt_tokens: 1_000, cached_tokens: 600, completion_tokens: 200 };
        assert_eq!(price.cost(usage), Usd::from_nanos(2_575_000)); // 0.002575 USD
        assert_eq!(price.cost(usage).to_string(), "$0.002575");
    }

    #[test]
    fn amounts_read_as_people_write_them() {
        assert_eq!(Usd::from_usd(10.0).expect("fine").to_string(), "$10.00");
        assert_eq!(Usd::from_usd(-1.0), None);
        assert_eq!(Usd::from_usd(f64::NAN), None);
    }
}
