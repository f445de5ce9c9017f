//! The operator's choices over the shipped rules: where ordinary work starts, which tier a reason
//! selects, and the chain.
//!
//! Owns how the configuration bends a selection. Never counts or reserves anything.

use std::collections::BTreeMap;

use crate::domain::tier::ModelTier;

use super::quota::QuotaLimits;
use super::select::{EscalationReason, Selection, SelectionContext, rule_for};

/// `[escalation]` of the configuration, as far as it decides a selection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectionPolicy {
    /// Where ordinary work starts.
    pub default_tier: ModelTier,
    /// The tier a reason selects, where it differs from the shipped one.
    pub rules: BTreeMap<EscalationReason, ModelTier>,
    /// Top down.
    pub chain: Vec<ModelTier>,
    pub limits: QuotaLimits,
    /// Counted work waits for a review beyond the day's few (`review = "before"`).
    pub review_before: bool,
}

impl Default for SelectionPolicy {
    fn default() -> Self {
        Self {
            default_tier: ModelTier::Gpt4,
            rules: BTreeMap::new(),
            chain: ModelTier::CHAIN.to_vec(),
            limits: QuotaLimits::default(),
            review_before: false,
        }
    }
}

impl SelectionPolicy {
    /// Chooses the tier. `quota_used_up` is the ledger's answer; figures in the context come first.
    #[must_use]
    pub fn select(&self, context: &SelectionContext, quota_used_up: bool) -> Selection {
        let full_day =
            context.existing_escalations_today.is_some_and(|today| today >= self.limits.daily);
        let used_up = match context.quota_remaining {
            Some(remaining) => remaining == 0 || full_day,
            None => quota_used_up || full_day,
        };
        let Some((rule, reason)) = rule_for(context) else {
            return self.ordinary("default", self.default_tier);
        };
        let counted = reason.counted();
        let tier = match self.rules.get(&reason) {
            Some(tier) => *tier,
            // The shipped rules raise; they never send work below where ordinary work starts.
            None if counted => ModelTier::Gpt4Turbo.min(self.default_tier),
            None => ModelTier::Gpt51.min(self.default_tier),
        };
        if tier >= self.default_tier {
            return self.ordinary(rule, tier);
        }
        if counted && used_up {
            return self.ordinary("quota_used_up", self.default_tier);
        }
        Selection {
            selected_model: tier,
            escalated: true,
            escalation_reason: Some(reason),
            fallback_chain: self.chain_from(tier),
            quota_impact: u32::from(counted),
            requires_approval: counted && self.review_before,
            rule: rule.to_owned(),
        }
    }

    /// The chain from a tier down. One that the operator left out of the chain is followed by those
    /// of the chain that stand below it.
    #[must_use]
    pub fn chain_from(&self, tier: ModelTier) -> Vec<ModelTier> {
        if self.chain.contains(&tier) {
            return self.chain.iter().copied().skip_while(|other| *other != tier).collect();
        }
        let below = self.chain.iter().copied().filter(|other| *other > tier);
        std::iter::once(tier).chain(below).collect()
    }

    fn ordinary(&self, rule: &str, tier: ModelTier) -> Selection {
        Selection {
            selected_model: tier,
            escalated: false,
            escalation_reason: None,
            fallback_chain: self.chain_from(tier),
            quota_impact: 0,
            requires_approval: false,
            rule: rule.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::Complexity;

    fn context(json: &str) -> SelectionContext {
        serde_json::from_str(json).expect("a context")
    }

    fn heavy() -> SelectionContext {
        context(r#"{"taskType":"build","complexity":"high"}"#)
    }

    fn plain() -> SelectionContext {
        SelectionContext { complexity: Complexity::Low, ..heavy() }
    }

    /// Rules, default, context, whether the quota is used up; then tier, counted, escalated, rule.
    #[test]
    fn the_configuration_bends_the_table() {
        use EscalationReason as R;
        use ModelTier as T;
        let architecture =
            context(r#"{"taskType":"build","complexity":"low","isArchitectureTask":true}"#);
        let none: &[(R, T)] = &[];
        let cases = [
            (none, T::Gpt4, plain(), false, T::Gpt4, 0, false, "default"),
            (none, T::Gpt4Turbo, plain(), false, T::Gpt4Turbo, 0, false, "default"),
            (none, T::Gpt4Turbo, heavy(), false, T::Gpt4Turbo, 0, false, "high_complexity"),
            (none, T::Gpt51, heavy(), false, T::Gpt51, 0, false, "high_complexity"),
            (none, T::LocalBuilder, heavy(), false, T::Gpt4Turbo, 1, true, "high_complexity"),
            (none, T::LocalBuilder, heavy(), true, T::LocalBuilder, 0, false, "quota_used_up"),
            (
                &[(R::HeavyTask, T::Gpt51)],
                T::Gpt4,
                heavy(),
                false,
                T::Gpt51,
                1,
                true,
                "high_complexity",
            ),
            (
                &[(R::HeavyTask, T::Gpt51)],
                T::Gpt4,
                heavy(),
                true,
                T::Gpt4,
                0,
                false,
                "quota_used_up",
            ),
            (
                &[(R::HeavyTask, T::LocalBuilder)],
                T::Gpt4,
                heavy(),
                true,
                T::LocalBuilder,
                0,
                false,
                "high_complexity",
            ),
            (
                &[(R::ArchitectureImpact, T::Gpt4Turbo)],
                T::Gpt4,
                architecture.clone(),
                true,
                T::Gpt4Turbo,
                0,
                true,
                "architecture",
            ),
            (
                &[(R::ArchitectureImpact, T::Gpt4)],
                T::Gpt4,
                architecture,
                false,
                T::Gpt4,
                0,
                false,
                "architecture",
            ),
        ];
        for (rules, default_tier, context, used_up, tier, impact, escalated, rule) in cases {
            let policy = SelectionPolicy {
                default_tier,
                rules: rules.iter().copied().collect(),
                ..SelectionPolicy::default()
            };
            let got = policy.select(&context, used_up);
            let short = (got.selected_model, got.quota_impact, got.escalated, got.rule.as_str());
            assert_eq!(short, (tier, impact, escalated, rule), "{policy:?} {context:?}");
            assert_eq!(got.fallback_chain[0], tier);
            assert_eq!(got.escalation_reason.is_some(), escalated);
        }
    }

    #[test]
    fn the_chain_is_the_operators() {
        use ModelTier as T;
        let chain =
            |chain: &[T]| SelectionPolicy { chain: chain.to_vec(), ..SelectionPolicy::default() };
        let short = chain(&[T::Gpt51, T::Gpt4, T::LocalBuilder]);
        assert_eq!(short.chain_from(T::Gpt51), [T::Gpt51, T::Gpt4, T::LocalBuilder]);
        assert_eq!(short.chain_from(T::Gpt4Turbo), [T::Gpt4Turbo, T::Gpt4, T::LocalBuilder]);
        assert_eq!(short.select(&plain(), false).fallback_chain, [T::Gpt4, T::LocalBuilder]);
        assert_eq!(chain(&[T::Gpt51]).chain_from(T::Gpt4), [T::Gpt4]);
    }

    #[test]
    fn review_before_says_that_approval_may_be_needed() {
        let policy = SelectionPolicy { review_before: true, ..SelectionPolicy::default() };
        assert!(policy.select(&heavy(), false).requires_approval);
        assert!(!policy.select(&plain(), false).requires_approval);
    }
}
