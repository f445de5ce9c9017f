//! Verifying the event log: every row read again, its hash computed again from what is stored.
//!
//! Reads raw text, so that a row that no longer parses is told of like any other forgery.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::rows::{ChainReport, FirstBad, Known};
use super::{Store, StoreError};
use crate::domain::event::{Canonical, GENESIS_HASH};
use crate::domain::time::from_micros;

/// Rows in memory at once.
const PAGE: i64 = 1_000;

impl Store {
    /// Reads the whole log in pages and reports the first event that is not what was written, a
    /// missing one included.
    pub async fn verify_chain(&self) -> Result<ChainReport, StoreError> {
        let start = match self.retentions().await?.pop() {
            Some(policy) => Some((policy.seq, policy.hash)),
            None => None,
        };
        self.verify_against(&Known { start, ..Known::default() }).await
    }

    /// The same, held against what is known of the log from outside it.
    pub async fn verify_against(&self, known: &Known) -> Result<ChainReport, StoreError> {
        Ok(self.walk_chain(known).await?.0)
    }

    /// Reads what came after a place that was verified before. Where all is well, the answer holds
    /// the new place.
    pub async fn verify_chain_after(
        &self,
        verified: &Verified,
    ) -> Result<(ChainReport, Option<Verified>), StoreError> {
        let start = match verified.seq {
            // Nothing was verified yet: from where retention lets the log begin.
            0 => self.retentions().await?.pop().map(|policy| (policy.seq, policy.hash)),
            seq => Some((seq, verified.hash.clone())),
        };
        self.walk_chain(&Known { start, ..Known::default() }).await
    }

    async fn walk_chain(
        &self,
        known: &Known,
    ) -> Result<(ChainReport, Option<Verified>), StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        // The last event first and the head after it: what is written meanwhile only moves the
        // head on, so an event beyond it was not written by us.
        let last = sqlx::query("SELECT CAST(COALESCE(MAX(seq), 0) AS BIGINT) FROM events")
            .fetch_one(&mut *connection)
            .await?
            .try_get::<i64, _>(0)?;
        let head = sqlx::query("SELECT seq, hash FROM log_head WHERE id = 1")
            .fetch_one(&mut *connection)
            .await?;
        let (head_seq, head_hash): (i64, String) = (head.try_get(0)?, head.try_get(1)?);
        let mut chain = Verified::starting(known);
        let first = chain.seq;
        let mut bad = None;
        'pages: while chain.seq < head_seq {
            let rows = sqlx::query(
                "SELECT seq, id, at, type, severity, run_id, issue, description, metadata, \
                 prev_hash, hash FROM events WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3",
            )
            .bind(chain.seq)
            .bind(head_seq)
            .bind(PAGE)
            .fetch_all(&mut *connection)
            .await?;
            if rows.is_empty() {
                bad = Some(missing(chain.seq + 1));
                break;
            }
            for row in &rows {
                bad = chain.follow(row, known);
                if bad.is_some() {
                    break 'pages;
                }
            }
        }
        if bad.is_none() {
            bad = at_the_end(&chain, known, (head_seq, &head_hash), last);
        }
        let events = (chain.seq - first).unsigned_abs();
        let report = ChainReport { ok: bad.is_none(), events, first_bad: bad };
        let reached = report.ok.then_some(chain);
        Ok((report, reached))
    }
}

/// What only shows when everything was read: a head that is not the last event's, and a cut tail.
fn at_the_end(chain: &Verified, known: &Known, head: (i64, &str), last: i64) -> Option<FirstBad> {
    let (head_seq, head_hash) = head;
    let found = |seq: i64, reason: String| Some(FirstBad { seq, id: None, reason });
    if chain.hash != head_hash {
        return found(head_seq, "the log's head does not name the last event's hash".to_owned());
    }
    if last > head_seq {
        return found(head_seq + 1, "there are events beyond the log's head".to_owned());
    }
    match known.hashes.last_key_value() {
        Some((seq, _)) if *seq > chain.seq => found(
            chain.seq + 1,
            format!("the log ends at event {}, but a checkpoint covers event {seq}", chain.seq),
        ),
        Some(_) | None => None,
    }
}

/// The last event found good.
#[derive(Debug, Clone)]
pub struct Verified {
    seq: i64,
    hash: String,
}

impl Default for Verified {
    /// Before the first event.
    fn default() -> Self {
        Self { seq: 0, hash: GENESIS_HASH.to_owned() }
    }
}

impl Verified {
    fn starting(known: &Known) -> Self {
        match &known.start {
            Some((seq, hash)) => Self { seq: *seq, hash: hash.clone() },
            None => Self::default(),
        }
    }

    /// What is wrong with the next row, if anything.
    fn follow(&mut self, row: &AnyRow, known: &Known) -> Option<FirstBad> {
        self.judge(row, known).unwrap_or_else(|why| {
            // A value of another kind than the column's, as SQLite lets one be forged.
            let reason = format!("its row cannot be read: {why}");
            Some(FirstBad { seq: self.seq + 1, id: row.try_get(1).ok(), reason })
        })
    }

    fn judge(&mut self, row: &AnyRow, known: &Known) -> Result<Option<FirstBad>, sqlx::Error> {
        let seq: i64 = row.try_get(0)?;
        if seq != self.seq + 1 {
            return Ok(Some(missing(self.seq + 1)));
        }
        let id: String = row.try_get(1)?;
        let kind: String = row.try_get(3)?;
        let severity: String = row.try_get(4)?;
        let run: Option<String> = row.try_get(5)?;
        let issue: Option<i64> = row.try_get(6)?;
        let description: String = row.try_get(7)?;
        let metadata: String = row.try_get(8)?;
        let previous: String = row.try_get(9)?;
        let stored: String = row.try_get(10)?;
        let bad = |reason: &str| {
            Ok(Some(FirstBad { seq, id: Some(id.clone()), reason: reason.to_owned() }))
        };
        if previous != self.hash {
            return bad("it does not follow the event before it");
        }
        let hash = Canonical {
            seq,
            id: &id,
            at: from_micros(row.try_get(2)?),
            kind: &kind,
            severity: &severity,
            run: run.as_deref(),
            issue: issue.map(i64::unsigned_abs),
            description: &description,
            metadata: &metadata,
        }
        .hash(&previous);
        if hash != stored {
            return bad("its contents do not have its hash");
        }
        if known.hashes.get(&seq).is_some_and(|signed| *signed != hash) {
            let before = known.hashes.range(..seq).next_back().map_or(1, |(seq, _)| seq + 1);
            return bad(&format!(
                "it is not the event that a checkpoint signed: events {before} to {seq} were written anew"
            ));
        }
        *self = Self { seq, hash };
        Ok(None)
    }
}

fn missing(seq: i64) -> FirstBad {
    FirstBad { seq, id: None, reason: format!("event {seq} is missing") }
}
