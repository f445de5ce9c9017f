//! The escalation desk: what people ask of quota, money, approvals and reports.
//!
//! Shared by the routes and the command line, so that both say the same. Answers in the shapes of
//! the contract; asks nothing of any model and uses no quota.

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Value, json};

use crate::domain::ids::RunId;
use crate::escalation::{
    Period, RailsPolicy, Report, Selection, SelectionContext, SelectionPolicy, quota_allows,
};
use crate::store::{Ceilings, Store, StoreError};

/// The store, and what the operator set.
#[derive(Clone)]
pub struct Desk {
    pub store: Store,
    pub selection: SelectionPolicy,
    pub rails: RailsPolicy,
    /// The night's own comes from its request.
    pub ceilings: Ceilings,
}

impl Desk {
    /// Which tier this work would start at now; the ledger's figures where the context has none.
    pub async fn select(&self, context: &SelectionContext) -> Result<Selection, StoreError> {
        let mut used = self.store.quota_used().await?;
        if let Some(today) = context.existing_escalations_today {
            used.daily = today;
        }
        let used_up = quota_allows(used, self.rails.limits).is_err();
        Ok(self.selection.select(context, used_up))
    }

    /// `{"quota", "budgets"}`.
    pub async fn quota(&self) -> Result<Value, StoreError> {
        let quota = self.store.quota_status(self.rails.limits).await?;
        let budgets = self.store.budgets(&self.ceilings).await?;
        Ok(json!({ "success": true, "quota": quota, "budgets": budgets }))
    }

    /// `{"costs"}`.
    pub async fn costs(&self) -> Result<Value, StoreError> {
        Ok(json!({ "success": true, "costs": self.store.costs().await? }))
    }

    /// `{"events"}`, newest first.
    pub async fn events(&self, run: Option<&RunId>, limit: usize) -> Result<Value, StoreError> {
        let events = self.store.escalation_events(run, limit).await?;
        Ok(json!({ "success": true, "events": events }))
    }

    /// `{"healing"}`: what is remembered of failures, the latest first.
    pub async fn healing(&self) -> Result<Value, StoreError> {
        Ok(json!({ "success": true, "healing": self.store.healing_stats(None).await? }))
    }

    /// `{"approvals"}`, what waits first.
    pub async fn approvals(&self, status: Option<&str>) -> Result<Value, StoreError> {
        Ok(json!({ "success": true, "approvals": self.store.approvals(status).await? }))
    }

    /// The report of the period around a day: as it was stored when the period had ended, else as
    /// it stands.
    pub async fn report(
        &self,
        period: Period,
        day: NaiveDate,
        now: DateTime<Utc>,
    ) -> Result<Report, StoreError> {
        let range = period.around(day);
        if let Some(stored) = self.store.stored_report(period, range.0).await? {
            return Ok(stored);
        }
        let facts = self.store.report_facts(range.0, range.1).await?;
        Ok(Report::new(period, range, now, self.rails.limits, facts))
    }

    /// `{"reports"}`: those that were stored.
    pub async fn reports(&self) -> Result<Value, StoreError> {
        Ok(json!({ "success": true, "reports": self.store.stored_reports().await? }))
    }

    /// Stores the reports of the periods that have ended, where anything was called in them: back
    /// to the latest that is stored, within a bound. How many.
    pub async fn store_due_reports(&self, now: DateTime<Utc>) -> Result<usize, StoreError> {
        let mut stored = 0;
        for period in Period::ALL {
            let mut range = period.last_ended(now);
            for _ in 0..period.made_up_for() {
                if self.store.stored_report(period, range.0).await?.is_some() {
                    break;
                }
                let facts = self.store.report_facts(range.0, range.1).await?;
                if facts.calls > 0 || facts.escalations > 0 {
                    let report = Report::new(period, range, now, self.rails.limits, facts);
                    self.store.put_report(&report).await?;
                    stored += 1;
                }
                range = period.before(range.0);
            }
        }
        Ok(stored)
    }
}
