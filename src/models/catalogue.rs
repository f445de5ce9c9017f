//! The models known when this was shipped: windows, prices, last days.
//!
//! Owns figures that will grow old; `foreman.toml` overrides every one of them.

use chrono::NaiveDate;

use crate::domain::money::Price;
use crate::domain::tier::ModelTier;

/// A model as its provider documents it.
pub(super) struct Known {
    pub model: &'static str,
    pub input_window: u64,
    pub output_window: u64,
    pub price: Price,
    pub service: ServicePrices,
    /// The last day it answers, as announced: year, month, day.
    pub last_day: Option<(i32, u32, u32)>,
    pub replacement: Option<&'static str>,
}

/// Percent of the price that another service tier than `default` costs, by the name in the answer.
pub(super) type ServicePrices = &'static [(&'static str, i64)];

/// gpt-5.x: flex is half the price, priority twice; from OpenAI's price page (November 2026).
const GPT_5: ServicePrices = &[("flex", 50), ("priority", 200)];
/// The gpt-4 family knows no other.
const GPT_4: ServicePrices = &[];

/// Nano-USD per token is USD per 1M tokens times 1,000.
const fn price(input: i64, cached: i64, output: i64) -> Price {
    Price { input, cached, output }
}

/// From OpenAI's model and deprecation pages, as collected in `design/escalation.md` (November
/// 2026); gpt-5-mini from the model page of its release (400,000 in all, 272,000 of it input).
const KNOWN: [Known; 5] = [
    Known {
        model: "gpt-5.1",
        input_window: 272_000,
        output_window: 128_000,
        price: price(1_250, 125, 10_000),
        service: GPT_5,
        last_day: Some((2027, 4, 1)),
        replacement: None,
    },
    Known {
        model: "gpt-5.6-sol",
        input_window: 922_000,
        output_window: 128_000,
        price: price(4_000, 400, 20_000),
        service: GPT_5,
        last_day: None,
        replacement: None,
    },
    Known {
        model: "gpt-5-mini",
        input_window: 272_000,
        output_window: 128_000,
        price: price(250, 25, 2_000),
        service: GPT_5,
        last_day: None,
        replacement: None,
    },
    // No discount for cached input on the gpt-4 family.
    Known {
        model: "gpt-4-turbo",
        input_window: 128_000,
        output_window: 4_096,
        price: price(10_000, 10_000, 30_000),
        service: GPT_4,
        last_day: Some((2026, 10, 23)),
        replacement: Some("gpt-5.6-sol"),
    },
    Known {
        model: "gpt-4",
        input_window: 8_192,
        output_window: 4_096,
        price: price(30_000, 30_000, 60_000),
        service: GPT_4,
        last_day: Some((2026, 10, 23)),
        replacement: Some("gpt-5-mini"),
    },
];

impl Known {
    pub(super) fn last_day(&self) -> Option<NaiveDate> {
        self.last_day.and_then(|(year, month, day)| NaiveDate::from_ymd_opt(year, month, day))
    }
}

/// A model by its id.
pub(super) fn known(model: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.model == model)
}

/// The model a tier ships with. Two of the seed's models are retired: `gpt-4-turbo` stands for its
/// documented replacement, `gpt-4`, where ordinary work starts, for a cheaper living model. `None`
/// for the local builder, whose model is whatever is served.
pub(super) fn shipped(tier: ModelTier) -> Option<&'static str> {
    match tier {
        ModelTier::Gpt51 => Some("gpt-5.1"),
        ModelTier::Gpt4Turbo => Some("gpt-5.6-sol"),
        ModelTier::Gpt4 => Some("gpt-5-mini"),
        ModelTier::LocalBuilder => None,
    }
}
