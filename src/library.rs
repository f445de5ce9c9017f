//! Foreman's choice and fallback for other programs: [`select_model`] and
//! [`execute_with_escalation`].
//!
//! Owns nothing of a night: no ledger, no quota and no price stand behind these two, only the rule
//! table and the walk down its chain. The caller's task makes the calls.

use std::future::Future;

use chrono::{DateTime, Utc};
use serde::Serialize;

pub use crate::domain::money::Usd;
pub use crate::domain::plan::Complexity;
pub use crate::domain::tier::ModelTier;
pub use crate::escalation::{EscalationReason, Justification, Selection, SelectionContext};

use crate::domain::plan::SequenceType;
use crate::escalation::SelectionPolicy;

/// Which tier this work starts at, and the chain below it. The figures of the quota are those in
/// the context; without them nothing is used up.
///
/// ```
/// use foreman::{Complexity, ModelTier, SelectionContext, select_model};
///
/// let mut context = SelectionContext::new("build", Complexity::High);
/// let selection = select_model(&context);
/// assert_eq!(selection.selected_model, ModelTier::Gpt4Turbo);
/// assert_eq!(selection.quota_impact, 1);
///
/// context.quota_remaining = Some(0);
/// assert_eq!(select_model(&context).selected_model, ModelTier::Gpt4);
/// ```
#[must_use]
pub fn select_model(context: &SelectionContext) -> Selection {
    SelectionPolicy::default().select(context, false)
}

/// One try of a task at a tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Try {
    /// From 1.
    pub attempt_number: usize,
    pub model: ModelTier,
    pub timestamp: DateTime<Utc>,
    pub success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// What a try used and cost is the caller's to know: `None` here.
    pub tokens: Option<u64>,
    pub cost_usd: Option<Usd>,
}

/// What came of the walk down the chain, in the contract's words. What only a night's ledger knows
/// (the quota's rest, money) is `None` unless the context says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EscalationEvent {
    pub id: String,
    pub timestamp: DateTime<Utc>,
    /// The context's task type: callers name their tasks themselves.
    pub task_id: String,
    pub context: SelectionContext,
    /// Where work starts that nothing raises.
    pub from_model: ModelTier,
    /// The selected tier; stays so through fallbacks.
    pub to_model: ModelTier,
    /// `None` if the work was not escalated.
    pub reason: Option<EscalationReason>,
    pub justification: Option<Justification>,
    pub success: bool,
    pub fallback_used: bool,
    /// The tier that finished the work.
    pub actual_model: Option<ModelTier>,
    pub quota_remaining: Option<u32>,
    pub cost_usd: Option<Usd>,
    pub attempts: Vec<Try>,
    /// The last failure's words, where the work failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
}

/// Runs a task at the selected tier, and down the chain while it fails: once per tier, each tier
/// at most once. The result is the first success, or the last failure.
///
/// ```
/// use foreman::{Complexity, ModelTier, SelectionContext, execute_with_escalation};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let context = SelectionContext::new("analysis", Complexity::Medium);
/// let (result, event) = execute_with_escalation(&context, async |tier| match tier {
///     ModelTier::Gpt4Turbo => Err("the provider is overloaded"),
///     other => Ok(format!("answered by {other}")),
/// })
/// .await;
///
/// assert_eq!(result, Ok("answered by gpt-4".to_owned()));
/// assert_eq!(event.to_model, ModelTier::Gpt4Turbo);
/// assert_eq!(event.actual_model, Some(ModelTier::Gpt4));
/// assert!(event.fallback_used && event.attempts.len() == 2);
/// # });
/// ```
pub async fn execute_with_escalation<T, E, F>(
    context: &SelectionContext,
    mut task: impl FnMut(ModelTier) -> F,
) -> (Result<T, E>, EscalationEvent)
where
    E: std::fmt::Display,
    F: Future<Output = Result<T, E>>,
{
    let selection = select_model(context);
    let mut event = EscalationEvent {
        id: uuid::Uuid::now_v7().to_string(),
        timestamp: Utc::now(),
        task_id: context.task_type.clone(),
        context: context.clone(),
        from_model: SelectionPolicy::default().default_tier,
        justification: selection.escalation_reason.map(|it| it.justification(SequenceType::Build)),
        quota_remaining: context.quota_remaining,
        cost_usd: None,
        error_message: None,
        to_model: selection.selected_model,
        reason: selection.escalation_reason,
        success: false,
        fallback_used: false,
        actual_model: None,
        attempts: Vec::new(),
    };
    // The chain always begins with the selected tier.
    let mut result = attempt(&mut event, selection.selected_model, &mut task).await;
    for tier in selection.fallback_chain.into_iter().skip(1) {
        if result.is_ok() {
            break;
        }
        event.fallback_used = true;
        result = attempt(&mut event, tier, &mut task).await;
    }
    event.error_message = result.as_ref().err().map(ToString::to_string);
    (result, event)
}

async fn attempt<T, E, F>(
    event: &mut EscalationEvent,
    tier: ModelTier,
    task: &mut impl FnMut(ModelTier) -> F,
) -> Result<T, E>
where
    E: std::fmt::Display,
    F: Future<Output = Result<T, E>>,
{
    let timestamp = Utc::now();
    let result = task(tier).await;
    event.success = result.is_ok();
    event.actual_model = result.is_ok().then_some(tier);
    event.attempts.push(Try {
        attempt_number: event.attempts.len() + 1,
        model: tier,
        timestamp,
        success: result.is_ok(),
        error_message: result.as_ref().err().map(ToString::to_string),
        tokens: None,
        cost_usd: None,
    });
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(
        context: &SelectionContext,
        answers: &[ModelTier],
    ) -> (Result<ModelTier, String>, EscalationEvent) {
        execute_with_escalation(context, async |tier| {
            if answers.contains(&tier) { Ok(tier) } else { Err(format!("{tier} is away")) }
        })
        .await
    }

    #[tokio::test]
    async fn each_tier_is_tried_once_and_only_downward() {
        let context = SelectionContext::new("build", Complexity::High);
        let tiers = |event: &EscalationEvent| -> Vec<ModelTier> {
            event.attempts.iter().map(|attempt| attempt.model).collect()
        };
        let (result, event) = run(&context, &[ModelTier::Gpt4Turbo]).await;
        assert_eq!(result, Ok(ModelTier::Gpt4Turbo));
        assert!(event.success && !event.fallback_used);
        let (result, event) = run(&context, &[ModelTier::LocalBuilder, ModelTier::Gpt51]).await;
        assert_eq!(result, Ok(ModelTier::LocalBuilder));
        assert_eq!(tiers(&event), ModelTier::Gpt4Turbo.chain_down());
        let (result, event) = run(&context, &[]).await;
        assert_eq!(result, Err("local-builder is away".to_owned()));
        assert_eq!((event.success, event.actual_model), (false, None));
        assert_eq!(event.attempts.len(), 3);
    }
}
