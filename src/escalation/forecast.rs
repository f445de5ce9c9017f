//! What a night will probably cost, from what issues cost before.
//!
//! Owns the figures P50 and P90. Never rolls dice: the draws come from a fixed sequence, so the
//! same history gives the same forecast.

use serde::Serialize;

use crate::domain::money::Usd;

/// Imagined nights.
const DRAWS: usize = 1_000;
/// Issues of one imagined night that are drawn one by one; a longer night is scaled up from these.
const MOST_DRAWN: usize = 200;

/// Where the history comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Repository,
    AllRepositories,
    None,
}

/// `forecast` of a plan. Without any history the amounts are null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    /// Issues that would be worked on.
    pub issues: usize,
    /// Issues of the past that the figures come from.
    pub samples: usize,
    pub source: Source,
    pub per_issue_p50_usd: Option<Usd>,
    pub per_issue_p90_usd: Option<Usd>,
    pub p50_usd: Option<Usd>,
    pub p90_usd: Option<Usd>,
    /// Whether nine nights of ten stay under the ceiling; null without history or ceiling.
    pub within_budget: Option<bool>,
}

/// The forecast of a night of this many issues.
#[must_use]
pub fn forecast(history: &[Usd], source: Source, issues: usize, budget: Option<Usd>) -> Forecast {
    let mut costs = history.to_vec();
    costs.sort_unstable();
    let mut totals = totals(&costs, issues);
    totals.sort_unstable();
    let p90 = quantile(&totals, 90);
    Forecast {
        issues,
        samples: costs.len(),
        source: if costs.is_empty() { Source::None } else { source },
        per_issue_p50_usd: quantile(&costs, 50),
        per_issue_p90_usd: quantile(&costs, 90),
        p50_usd: quantile(&totals, 50),
        p90_usd: p90,
        within_budget: p90.zip(budget).map(|(p90, budget)| p90 <= budget),
    }
}

/// Totals of imagined nights: each issue costs what some issue of the past did.
fn totals(costs: &[Usd], issues: usize) -> Vec<Usd> {
    let Ok(choices) = u64::try_from(costs.len()) else { return Vec::new() };
    if choices == 0 {
        return Vec::new();
    }
    let drawn = issues.min(MOST_DRAWN);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        // Knuth's MMIX constants.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((state >> 33) % choices).unwrap_or_default()
    };
    let night = |_| {
        let sum: Usd = (0..drawn).map(|_| costs[next()]).sum();
        scaled(sum, drawn, issues)
    };
    (0..DRAWS).map(night).collect()
}

fn scaled(sum: Usd, drawn: usize, issues: usize) -> Usd {
    if drawn == issues || drawn == 0 {
        return sum;
    }
    let whole = i128::from(sum.nanos()) * issues as i128 / drawn as i128;
    Usd::from_nanos(i64::try_from(whole).unwrap_or(i64::MAX))
}

/// The smallest amount that this part of the sorted amounts does not exceed.
fn quantile(sorted: &[Usd], percent: usize) -> Option<Usd> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cents(amounts: impl IntoIterator<Item = i64>) -> Vec<Usd> {
        amounts.into_iter().map(|cent| Usd::from_nanos(cent * 10_000_000)).collect()
    }

    #[test]
    fn without_history_nothing_is_claimed() {
        let got = forecast(&[], Source::Repository, 5, Usd::from_usd(1.0));
        assert_eq!((got.source, got.samples), (Source::None, 0));
        assert_eq!((got.p50_usd, got.p90_usd, got.within_budget), (None, None, None));
    }

    #[test]
    fn equal_costs_give_an_exact_night() {
        for issues in [0, 1, 7, 1_000] {
            let got = forecast(&cents([50; 4]), Source::Repository, issues, Usd::from_usd(5.0));
            let whole = Usd::from_nanos(500_000_000 * i64::try_from(issues).expect("small"));
            assert_eq!((got.p50_usd, got.p90_usd), (Some(whole), Some(whole)), "{issues}");
            assert_eq!(got.within_budget, Some(issues <= 10));
        }
    }

    #[test]
    fn per_issue_figures_are_ranks_and_a_night_lies_between() {
        let history = cents((1..=100).rev());
        let got = forecast(&history, Source::AllRepositories, 10, None);
        assert_eq!(got.per_issue_p50_usd, Some(cents([50])[0]));
        assert_eq!(got.per_issue_p90_usd, Some(cents([90])[0]));
        let (p50, p90) = (got.p50_usd.expect("a sum"), got.p90_usd.expect("a sum"));
        // Ten draws of 0.01 to 1.00: about 5.05 on average, 0.91 of spread.
        assert!((4.6..5.5).contains(&p50.as_usd()), "{p50}");
        assert!(p90 > p50 && p90.as_usd() < 7.0, "{p90}");
        assert_eq!(forecast(&history, Source::AllRepositories, 10, None), got);
    }
}
