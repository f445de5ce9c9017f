//! Checkpoints made, the log verified against them, and retention under them.
//!
//! Owns what counts as covered. Never repairs a log: it says where it stopped being what was
//! written.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::Governance;
use super::anchor::PlaceState;
use super::checkpoints::{CheckpointError, Statement, hashes};
use crate::domain::event::{EventType, NewEvent, Severity};
use crate::domain::time::to_micros;
use crate::store::{FirstBad, Known, SignedHead, StoreError};

/// Why the log could not be verified, signed or shortened.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("there is no checkpoint yet: nothing may be deleted")]
    NoCheckpoint,
    #[error("the log does not verify (event {}: {}): nothing is deleted from it", .0.seq, .0.reason)]
    Broken(FirstBad),
}

/// Whether the log is what was written, and how far that is certain.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    pub ok: bool,
    /// Events read and found good.
    pub events: u64,
    /// The first event that is there; 1 unless a prefix was deleted by policy.
    pub starts_at: i64,
    /// Events through this one cannot have been written anew without it showing here; those after
    /// it are chained, but no checkpoint of them stands in a second place yet. `null`: none does.
    pub anchored_through: Option<i64>,
    pub first_bad: Option<FirstBad>,
    pub anchor: AnchorState,
}

/// What was found of checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AnchorState {
    pub place: String,
    /// Ours; `null` where none was made yet.
    pub public_key: Option<String>,
    /// Checkpoints read back from the second place.
    pub checkpoints: usize,
    /// Of them, those that another key signed: another process's, or one from before ours.
    pub by_other_keys: usize,
    pub unreadable: usize,
    /// Each place by itself.
    pub places: Vec<PlaceState>,
}

impl Governance {
    /// Signs the head of the log and puts it into the second place, then into the database.
    /// `None` where nothing was written since the last one.
    pub async fn checkpoint(&self) -> Result<Option<SignedHead>, VerifyError> {
        let inner = &self.inner;
        let _one_at_a_time = inner.signing.lock().await;
        let Some((seq, hash)) = inner.store.log_head().await? else { return Ok(None) };
        if inner.store.signed_heads().await?.last().is_some_and(|last| last.seq >= seq) {
            return Ok(None);
        }
        let head = self.signer()?.sign(Statement::Checkpoint, seq, &hash, Utc::now());
        if let Err(error) = inner.anchor.add(&head).await {
            let text = format!("A checkpoint could not be kept: {error}");
            let event = NewEvent::new(EventType::CheckpointFailed, text).severity(Severity::High);
            inner.store.append(vec![event]).await?;
            return Err(error.into());
        }
        inner.store.add_checkpoint(head.clone()).await?;
        Ok(Some(head))
    }

    /// Reads the whole log against its chain, our checkpoints and the second place.
    pub async fn verify(&self) -> Result<Verification, VerifyError> {
        self.verify_with(None).await
    }

    /// The same, and against the checkpoints that the webhook's receiver kept: `received` has each
    /// body that it got on a line of its own. They count as a second place.
    pub async fn verify_with(&self, received: Option<String>) -> Result<Verification, VerifyError> {
        let inner = &self.inner;
        let stored = inner.store.signed_heads().await?;
        let policies = inner.store.retentions().await?;
        let anchored = inner.anchor.read(received).await?;
        let ours = match inner.settings.key.exists() {
            true => Some(self.signer()?.public_key().to_owned()),
            false => None,
        };
        let state = AnchorState {
            place: inner.anchor.path().display().to_string(),
            checkpoints: anchored.heads.len(),
            by_other_keys: anchored
                .heads
                .iter()
                .filter(|head| Some(&head.public_key) != ours.as_ref())
                .count(),
            public_key: ours,
            unreadable: anchored.places.iter().map(|place| place.unreadable).sum(),
            places: anchored.places,
        };
        let start = policies.last().map(|policy| (policy.seq, policy.hash.clone()));
        let starts_at = start.as_ref().map_or(1, |(seq, _)| seq + 1);
        let verdict = |ok, events, through, first_bad| Verification {
            ok,
            events,
            starts_at,
            anchored_through: through,
            first_bad,
            anchor: state.clone(),
        };
        let bad = |seq, reason: &str| FirstBad { seq, id: None, reason: reason.to_owned() };
        // What nobody we know signed says nothing about the log; that it is there is a finding.
        let mut forged = Vec::new();
        let stored: Vec<SignedHead> = stored
            .into_iter()
            .filter(|head| {
                let signed = Statement::Checkpoint.is_signed(head);
                if !signed {
                    let text = "the checkpoint of this event is not signed by its key";
                    forged.push(bad(head.seq, text));
                }
                signed
            })
            .collect();
        let trusted = |key: &String| {
            Some(key) == state.public_key.as_ref()
                || anchored.heads.iter().any(|head| head.public_key == *key)
        };
        for policy in &policies {
            if !Statement::Retention.is_signed(policy) || !trusted(&policy.public_key) {
                let text =
                    "the policy that deletes up to this event is not signed by a key of ours";
                let bad = Some(bad(policy.seq, text));
                return Ok(verdict(false, 0, None, bad));
            }
        }
        let all = stored.iter().chain(&anchored.heads);
        let known = match hashes(all.chain(&policies)) {
            Ok(hashes) => Known { start, hashes },
            Err(seq) => {
                let bad = bad(seq, "two checkpoints of this event contradict each other");
                return Ok(verdict(false, 0, None, Some(bad)));
            }
        };
        let report = inner.store.verify_against(&known).await?;
        let first_bad = report.first_bad.into_iter().chain(forged).min_by_key(|bad| bad.seq);
        let good_through = first_bad.as_ref().map_or(i64::MAX, |bad| bad.seq - 1);
        let in_place = anchored.heads.iter().map(|head| head.seq);
        let through = in_place.filter(|seq| *seq <= good_through).max();
        Ok(verdict(first_bad.is_none(), report.events, through, first_bad))
    }

    /// Deletes what is older than an age, as far as checkpoints in the second place cover it.
    /// Says how many events went.
    pub async fn retain(&self, age: TimeDelta, now: DateTime<Utc>) -> Result<u64, VerifyError> {
        let inner = &self.inner;
        let done = inner.store.retentions().await?.last().map_or(0, |policy| policy.seq);
        // What a crash left of the last one.
        let left_over = inner.store.delete_retained(done).await?;
        let Some(old) = inner.store.last_event_before(to_micros(now - age)).await? else {
            return Ok(left_over);
        };
        let verification = self.verify().await?;
        if let Some(bad) = verification.first_bad {
            return Err(VerifyError::Broken(bad));
        }
        let anchored = verification.anchored_through.ok_or(VerifyError::NoCheckpoint)?;
        let stored = inner.store.signed_heads().await?;
        let covering = stored.iter().rfind(|head| head.seq <= old && head.seq <= anchored);
        let Some(head) = covering.filter(|head| head.seq > done) else { return Ok(left_over) };
        let policy = self.signer()?.sign(Statement::Retention, head.seq, &head.hash, now);
        let text = format!("Events through {} are deleted by policy", head.seq);
        let event = NewEvent::new(EventType::EventsRetained, text)
            .with("throughSeq", head.seq)
            .with("hash", head.hash.clone())
            .with("olderThanDays", age.num_days());
        let deleted = inner.store.retain_after(policy, event).await?;
        self.log().reload().await?;
        Ok(left_over + deleted)
    }
}
