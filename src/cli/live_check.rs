//! `foreman doctor --live`: each live tier is asked for a few words, once, and says what it cost.
//!
//! Every call is booked like a night's: reserved under the day's and the month's ceiling before it
//! is sent, settled after. Never tries a call again.

use std::time::Duration;

use chrono::Utc;

use super::doctor::Findings;
use crate::app::{self, AppError};
use crate::config::Config;
use crate::domain::call::{Charge, Message};
use crate::domain::ids::{AttemptId, CallId, IssueNumber};
use crate::domain::money::{Usage, Usd};
use crate::models::{ChatRequest, Models, Tier, TokenCounter};
use crate::store::{Ceilings, Fence, Reserve, Reserved, Settlement, Store, StoreError};

const WHAT: &str = "live";
/// Completion tokens of the one call: room for a model that thinks before it speaks.
const CAP: u64 = 256;
/// A model that needs longer for a word is no use at night either.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Asks each tier that is live today.
pub(super) async fn ask_each(config: Config, findings: &mut Findings) {
    // What is wrong with them is said by their own check.
    let Ok(table) = app::tiers(&config) else { return };
    let (lock, store) = match app::open_for_writing(&config).await {
        Ok(opened) => opened,
        Err(AppError::Store(StoreError::Locked { .. })) => {
            let found = "a running Foreman holds the ledger, so nothing can be booked";
            return findings.warn(WHAT, found, "stop it for this check");
        }
        Err(error) => return findings.fail(WHAT, error.to_string(), ""),
    };
    let models = match Models::new() {
        Ok(models) => models,
        Err(error) => return findings.fail(WHAT, error.to_string(), ""),
    };
    match store.open_probe("doctor").await {
        Ok(fence) => {
            let ceilings = app::ceilings(&config);
            for name in table.live(Utc::now().date_naive()) {
                let Some(tier) = table.get(name) else { continue };
                if let Err(error) = ask(&store, &fence, &models, tier, ceilings, findings).await {
                    findings.fail(WHAT, format!("{name}: {error}"), "look at the database");
                }
            }
        }
        Err(error) => findings.fail(WHAT, error.to_string(), "look at the database"),
    }
    store.close().await;
    drop(lock);
}

async fn ask(
    store: &Store,
    fence: &Fence,
    models: &Models,
    tier: &Tier,
    ceilings: Ceilings,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let (name, model) = (tier.model.tier, &tier.model.model);
    let messages = [Message::User { content: "Answer with the single word: ready".to_owned() }];
    let size = TokenCounter::default().size(tier, &messages, &[]).await;
    let cap = CAP.min(tier.model.output_window);
    let most = Usage { prompt_tokens: size.bound, cached_tokens: 0, completion_tokens: cap };
    let estimate = tier.model.price.cost(most);
    let booking = Reserve {
        id: CallId::fresh(),
        attempt: AttemptId::fresh(),
        issue: IssueNumber(0),
        escalation: None,
        tier: name,
        model: model.clone(),
        estimate,
        ceilings: Ceilings { night: None, issue: None, repository: None, ..ceilings },
    };
    let call = match store.reserve(fence, booking).await? {
        Reserved::Dispatched(call) => call,
        Reserved::Refused(refusal) => {
            let found = format!(
                "{name} was not asked: {} of the {}'s {} are spent",
                refusal.spent,
                refusal.scope.as_str(),
                refusal.limit
            );
            findings.warn(WHAT, found, "raise the ceiling under [limits], or wait");
            return Ok(());
        }
    };
    let request = ChatRequest {
        tier,
        messages: &messages,
        tools: &[],
        max_completion_tokens: cap,
        timeout: TIMEOUT,
    };
    let begun = std::time::Instant::now();
    match models.chat(request).await {
        Ok(answer) => {
            let (cost, unknown) = match answer.usage {
                Some(usage) => (tier.cost(usage, answer.service_tier.as_deref()), false),
                None => (estimate, tier.paid),
            };
            let booked = if unknown { "booked at its estimate of" } else { "cost" };
            let seconds = begun.elapsed().as_secs_f64();
            findings
                .ok(WHAT, format!("{name}: {model} answered in {seconds:.1} s, {booked} {cost}"));
            store
                .settle(fence, &call, Settlement::Answered { answer, cost, unknown }, Vec::new())
                .await
        }
        Err(error) => {
            let (cost, unknown) = match &error.charge {
                Charge::None => (Usd::ZERO, false),
                Charge::Unknown => (estimate, tier.paid),
                Charge::Known(spent) => {
                    (tier.cost(spent.usage, spent.service_tier.as_deref()), false)
                }
            };
            let found =
                format!("{name}: {model} did not answer: {} (booked {cost})", error.message);
            findings.fail(WHAT, found, "look at the tier's model, address and key");
            let (class, message) = (error.class, error.message);
            store
                .settle(
                    fence,
                    &call,
                    Settlement::Failed { class, message, cost, unknown },
                    Vec::new(),
                )
                .await
        }
    }
}
