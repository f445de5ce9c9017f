//! Admissions to a dearer tier: the rails' facts, the decision and its row are one transaction
//! under the lock row, so that no two can both be the last to fit.

use sqlx::Row as _;

use super::approvals;
use super::changes::Fence;
use super::money::{Admission, Admitted};
use super::tx::{Tx, number};
use super::{Store, StoreError, rails};
use crate::domain::event::{EventType, NewEvent};
use crate::escalation::{Exemption, Justification, Passage, RailRefusal, RailsRequest, decide};

impl Store {
    /// Admits an escalation past the safety rails, or says which stands in the way. What a person
    /// could let pass is recorded as `pending_approval`. The same admission asked again is counted
    /// once.
    pub async fn admit(&self, fence: &Fence, ask: Admission) -> Result<Admitted, StoreError> {
        let fence = fence.clone();
        self.write(move |tx| {
            Box::pin(async move {
                tx.fence(&fence).await?;
                admit(tx, &fence, ask).await
            })
        })
        .await
    }
}

async fn admit(tx: &mut Tx, fence: &Fence, ask: Admission) -> Result<Admitted, StoreError> {
    let known =
        sqlx::query("SELECT passage, exemption FROM escalations WHERE id = $1 AND run_id = $2")
            .bind(ask.id.as_str())
            .bind(fence.run.as_str())
            .fetch_optional(&mut tx.conn)
            .await?;
    if let Some(row) = known {
        let exemption: Option<String> = row.try_get(1)?;
        return Ok(Admitted::Yes(passage(&row.try_get::<String, _>(0)?, exemption)?));
    }
    let exemption = match ask.exemption {
        Some(exemption) => Some(exemption),
        None => rails::overridden(tx, &fence.run, ask.issue).await?,
    };
    let mut facts = rails::facts(tx, &fence.run, ask.issue, ask.tag).await?;
    let request = RailsRequest { tag: ask.tag, counted: ask.counted, exemption };
    match decide(&ask.rails, request, &facts) {
        Ok(passage) => {
            let counted = ask.counted && exemption.is_none();
            if counted {
                facts.used.daily += 1;
                facts.used.hourly += 1;
                facts.used.concurrent += 1;
            }
            let remaining = ask.rails.limits.daily.saturating_sub(facts.used.daily);
            insert(tx, fence, &ask, (passage, counted, remaining)).await?;
            if passage == Passage::Reviewed {
                approvals::list_for_review(tx, fence, &ask).await?;
                facts.waiting += 1;
            }
            if let Some(exemption) = exemption {
                tx.emit(exempted(fence, &ask, exemption)).await?;
            }
            rails::alert(tx, &fence.run, ask.rails.limits, &facts).await?;
            Ok(Admitted::Yes(passage))
        }
        Err(refusal) => {
            if refusal.waits_for_a_person() && approvals::ask(tx, fence, &ask, refusal).await? {
                facts.waiting += 1;
            }
            if refusal == RailRefusal::NoJustification {
                let what = "an escalation was asked for without a justification";
                rails::violation(tx, fence, ask.issue, what).await?;
            }
            rails::alert(tx, &fence.run, ask.rails.limits, &facts).await?;
            Ok(Admitted::Refused(refusal))
        }
    }
}

fn exempted(fence: &Fence, ask: &Admission, exemption: Exemption) -> NewEvent {
    let text = format!(
        "{} is exempt from escalation limits ({})",
        ask.issue,
        exemption.as_str().replace('_', " ")
    );
    NewEvent::new(EventType::EscalationExempt, text)
        .run(&fence.run)
        .issue(ask.issue)
        .with("exemption", exemption.as_str())
        .with("tier", ask.tier.as_str())
}

async fn insert(
    tx: &mut Tx,
    fence: &Fence,
    ask: &Admission,
    (passage, counted, remaining): (Passage, bool, u32),
) -> Result<(), StoreError> {
    let exemption = match passage {
        Passage::Exempt(exemption) => Some(exemption.as_str()),
        Passage::AutoApproved | Passage::Reviewed | Passage::Approved => None,
    };
    let reason = tx.text(&ask.reason);
    sqlx::query(
        "INSERT INTO escalations (id, run_id, attempt_id, issue, epoch, tier, reason, tag, \
         counted, released, slot_held, quota_remaining, admitted_at, passage, exemption) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, 1, $10, $11, $12, $13)",
    )
    .bind(ask.id.as_str())
    .bind(fence.run.as_str())
    .bind(ask.attempt.as_str())
    .bind(number(ask.issue.0))
    .bind(fence.epoch)
    .bind(ask.tier.as_str())
    .bind(reason)
    .bind(ask.tag.map_or("", Justification::as_str))
    .bind(i64::from(counted))
    .bind(i64::from(remaining))
    .bind(tx.now)
    .bind(passage.as_str())
    .bind(exemption)
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}

/// Reads a stored passage back.
fn passage(text: &str, exemption: Option<String>) -> Result<Passage, StoreError> {
    let plain = [Passage::AutoApproved, Passage::Reviewed, Passage::Approved];
    if let Some(passage) = plain.into_iter().find(|passage| passage.as_str() == text) {
        return Ok(passage);
    }
    let exemption = exemption.unwrap_or_default();
    serde_json::from_value(serde_json::Value::String(exemption))
        .map(Passage::Exempt)
        .map_err(|why| StoreError::corrupt("passage of an escalation", why))
}
