//! What happens by itself: alerts queued and delivered, incidents kept, checkpoints at their times,
//! retention once a day.
//!
//! Follows the log from where it was left, also by an earlier process. Never holds a night up: the
//! night writes its event and goes on.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use tokio_util::sync::CancellationToken;

use super::verify::VerifyError;
use super::{Governance, alerts, incidents};
use crate::domain::event::{EventType, GovernanceEvent, NewEvent, Severity};
use crate::domain::ids::RepoName;
use crate::store::{EventQuery, Incident, NewAlert, StoreError};

/// The watcher's place in the log.
const CURSOR: &str = "notices";
/// Events looked at in one transaction.
const PAGE: u32 = 200;
/// A delivery that takes longer than this is taken up by somebody else.
const PUT_OFF_MICROS: i64 = 60 * 1_000_000;
/// The longest sleep of the sender: on PostgreSQL another process may queue.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
const DAILY: Duration = Duration::from_secs(86_400);

impl Governance {
    /// Does all of it until told to stop.
    pub async fn run(&self, stopping: CancellationToken) {
        let done = stopping.clone();
        tokio::join!(
            self.log().follow(stopping.clone()),
            async {
                tokio::select! { () = self.watch() => {}, () = stopping.cancelled() => {} }
            },
            async {
                tokio::select! { () = self.deliver() => {}, () = stopping.cancelled() => {} }
            },
            async {
                tokio::select! { () = self.keep_time() => {}, () = done.cancelled() => {} }
            },
        );
    }

    /// Verifies the log once, as at a start: a broken chain is an event and with it an incident,
    /// and nothing is stopped by it.
    pub async fn look_at_the_chain(&self) -> Result<bool, VerifyError> {
        let verification = self.verify().await?;
        let known = self.inner.store.incidents(true).await?;
        let open = known.iter().any(|incident| incident.cause == incidents::CHAIN);
        match verification.first_bad {
            Some(bad) => {
                tracing::error!("the event log does not verify: event {}: {}", bad.seq, bad.reason);
                if !open {
                    let text =
                        format!("The event log does not verify: event {}: {}", bad.seq, bad.reason);
                    let event = NewEvent::new(EventType::ChainBroken, text)
                        .severity(Severity::Critical)
                        .with("seq", bad.seq)
                        .with("anchoredThrough", verification.anchored_through);
                    self.inner.store.append(vec![event]).await?;
                }
                Ok(false)
            }
            None => {
                if open {
                    let cause = incidents::CHAIN.to_owned();
                    let over = crate::store::IncidentNote::Over { cause };
                    self.inner.store.note_incident(over).await?;
                }
                Ok(true)
            }
        }
    }

    async fn watch(&self) {
        let mut last = self.log().watch();
        loop {
            match self.look().await {
                Ok(ended) => {
                    if ended {
                        self.sign().await;
                        self.look_at_memory().await;
                    }
                    self.tell_of_incidents().await;
                }
                Err(error) => tracing::warn!(%error, "alerts and incidents could not be looked at"),
            }
            if last.changed().await.is_err() {
                return;
            }
        }
    }

    /// History from before anybody looked is no news.
    pub(super) async fn start_looking(&self) -> Result<(), StoreError> {
        let store = &self.inner.store;
        if store.log_cursor(CURSOR).await?.is_none() {
            let last = store.last_seq().await?;
            store.advance(CURSOR, None, last, Vec::new(), Vec::new()).await?;
        }
        Ok(())
    }

    /// Looks at every event that was not looked at; true where a night ended among them.
    pub async fn look(&self) -> Result<bool, StoreError> {
        let inner = &self.inner;
        let mut ended = false;
        let places = inner.sender.places();
        loop {
            let from = inner.store.log_cursor(CURSOR).await?;
            let query = EventQuery {
                after_seq: Some(from.unwrap_or(0)),
                ascending: true,
                limit: PAGE,
                ..EventQuery::default()
            };
            let events = self.log().query(&query).await?;
            let Some(to) = events.last().map(|event| event.seq) else { return Ok(ended) };
            let (mut queued, mut notes) = (Vec::new(), Vec::new());
            for event in &events {
                ended |= is_an_end(event);
                queued.extend(inner.settings.rules.alert(event, &places));
                if is_an_end(event) {
                    queued.extend(self.report(event, &places).await?);
                }
                let repo = self.repository_of(event).await?;
                notes.extend(incidents::notes(event, repo.as_deref()));
            }
            if inner.store.advance(CURSOR, from, to, queued, notes).await? {
                inner.queued.notify_one();
            }
        }
    }

    /// The morning report of the run that ended with this event, where it is wanted.
    async fn report(
        &self,
        event: &GovernanceEvent,
        places: &[String],
    ) -> Result<Option<NewAlert>, StoreError> {
        let (Some(render), Some(run)) = (self.inner.settings.report, &event.run) else {
            return Ok(None);
        };
        let run = self.inner.store.run(run).await?;
        Ok(run.and_then(|run| alerts::report(event, &render(&run), places)))
    }

    /// The repository of an event's run, lower case; asked only where it may matter.
    async fn repository_of(&self, event: &GovernanceEvent) -> Result<Option<String>, StoreError> {
        let matters = is_an_end(event) || event.kind == EventType::BudgetExhausted;
        let Some(run) = event.run.as_ref().filter(|_| matters) else { return Ok(None) };
        Ok(self.inner.store.night(run).await?.map(|night| night.repo.key()))
    }

    async fn sign(&self) {
        // A failure is an event of its own.
        if let Err(error) = self.checkpoint().await {
            tracing::error!(%error, "no checkpoint could be made");
        }
    }

    async fn tell_of_incidents(&self) {
        let inner = &self.inner;
        if !inner.settings.incident_issues || !inner.github.has_credential() {
            return;
        }
        let open = match inner.store.incidents(true).await {
            Ok(open) => open,
            Err(error) => return tracing::warn!(%error, "the incidents could not be read"),
        };
        for incident in open.iter().filter(|incident| incident.issue_number.is_none()) {
            self.tell_of(incident).await;
        }
    }

    async fn tell_of(&self, incident: &Incident) {
        let inner = &self.inner;
        let repo = incident.repo.as_ref().and_then(|repo| repo.parse::<RepoName>().ok());
        let Some(repo) = repo else { return };
        let _one_at_a_time = inner.creating.lock().await;
        match incidents::tell(&inner.github, &repo, incident).await {
            Ok(found) => {
                let issue = &found.issue;
                let stored =
                    inner.store.incident_issue(&incident.id, issue.number, &issue.html_url).await;
                if let Err(error) = stored {
                    tracing::warn!(%error, "the issue of an incident could not be stored");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "incident {} could not be told of in {repo}", incident.id);
            }
        }
    }

    async fn deliver(&self) {
        loop {
            if let Err(error) = self.deliver_due().await {
                tracing::warn!(%error, "alerts could not be delivered");
            }
            let wait = match self.inner.store.next_alert_in().await {
                Ok(Some(micros)) => Duration::from_micros(micros.unsigned_abs()).min(LOOK_AGAIN),
                Ok(None) | Err(_) => LOOK_AGAIN,
            };
            // One that is due and could not be taken is not asked for in a circle.
            let wait = wait.max(Duration::from_millis(100));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.inner.queued.notified() => {}
            }
        }
    }

    /// One try of every alert that is due; how many arrived.
    pub async fn deliver_due(&self) -> Result<usize, StoreError> {
        let inner = &self.inner;
        let mut arrived = 0;
        let due = inner.store.due_alerts(PUT_OFF_MICROS).await?;
        // All at once: a place that does not answer keeps nothing from the others.
        let sent = futures_util::future::join_all(due.into_iter().map(|alert| async move {
            let sent = inner.sender.send(&alert.place, &alert.id, &alert.payload).await;
            (alert, sent)
        }));
        for (alert, sent) in sent.await {
            match sent {
                Ok(()) => {
                    arrived += 1;
                    inner.store.alert_sent(&alert.id).await?;
                }
                Err(why) => {
                    let again = alerts::pause_after(alert.tries);
                    let again = again.and_then(|pause| i64::try_from(pause.as_micros()).ok());
                    inner.store.alert_failed(&alert.id, &why, again).await?;
                }
            }
        }
        Ok(arrived)
    }

    async fn keep_time(&self) {
        let settings = &self.inner.settings;
        let mut signing = tokio::time::interval(settings.checkpoint_every);
        signing.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut tidying = tokio::time::interval(DAILY);
        loop {
            tokio::select! {
                _ = signing.tick() => self.sign().await,
                _ = tidying.tick() => self.tidy().await,
            }
        }
    }

    async fn look_at_memory(&self) {
        if let Err(error) = self.tell_drift(Utc::now()).await {
            tracing::warn!(%error, "the memory fabric could not be looked at");
        }
    }

    /// For a process that runs one night without following the log: what a server would have done
    /// at its end. Nothing of it can fail the night.
    pub async fn after_a_night(&self) {
        match self.look().await {
            Ok(_) => self.tell_of_incidents().await,
            Err(error) => tracing::warn!(%error, "alerts and incidents could not be looked at"),
        }
        self.sign().await;
        self.look_at_memory().await;
        if let Err(error) = self.deliver_due().await {
            tracing::warn!(%error, "alerts could not be delivered");
        }
    }

    async fn tidy(&self) {
        self.look_at_memory().await;
        match self.look_at_the_chain().await {
            Ok(true) => {}
            // What does not verify is evidence: nothing of it is deleted.
            Ok(false) => return,
            Err(error) => return tracing::error!(%error, "the event log could not be verified"),
        }
        let Some(days) = self.inner.settings.retention_days else { return };
        match self.retain(TimeDelta::days(i64::from(days)), Utc::now()).await {
            Ok(0) | Err(VerifyError::NoCheckpoint) => {}
            Ok(deleted) => tracing::info!("{deleted} events older than {days} days were deleted"),
            Err(error) => tracing::error!(%error, "old events could not be deleted"),
        }
    }
}

const fn is_an_end(event: &GovernanceEvent) -> bool {
    matches!(
        event.kind,
        EventType::OvernightExecutionCompleted
            | EventType::OvernightExecutionFailed
            | EventType::OvernightExecutionHalted
            | EventType::OvernightExecutionCancelled
    )
}
