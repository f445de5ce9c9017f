//! A run's beginning and its ownership: creating, claiming, renewing, cancelling.

use sqlx::Row as _;

use super::changes::{CancelOutcome, Created, Fence, NewRun};
use super::tx::Tx;
use super::{Store, StoreError, fold};
use crate::domain::event::{EventType, GovernanceEvent, NewEvent};
use crate::domain::ids::RunId;
use crate::domain::run::RunStatus;

/// How long an owner may be silent before another process takes its run over.
pub(super) const LEASE_MICROS: i64 = 30 * 1_000_000;

impl Store {
    /// Stores a run with its first events, unless its key or its repository says otherwise.
    pub async fn create_run(&self, new: NewRun) -> Result<Created, StoreError> {
        self.write(move |tx| Box::pin(create(tx, new))).await
    }

    /// Takes the run's lease and a new epoch, or renews one's own. `sole_owner` (the file lock on
    /// SQLite proves the former owner dead) takes over at once; otherwise only an expired lease is
    /// taken. `None`: somebody else's, ended, or unknown.
    pub async fn claim_run(
        &self,
        run: &RunId,
        owner: &str,
        sole_owner: bool,
    ) -> Result<Option<Fence>, StoreError> {
        let (run, owner) = (run.clone(), owner.to_owned());
        self.write(move |tx| {
            Box::pin(async move {
                let row = sqlx::query(
                    "UPDATE runs SET lease_owner = $1, lease_until = $2, epoch = epoch + 1 \
                     WHERE id = $3 AND active = 1 AND ($4 = 1 OR lease_owner IS NULL \
                     OR lease_owner = $1 OR lease_until <= $5) RETURNING epoch",
                )
                .bind(owner.clone())
                .bind(tx.now + LEASE_MICROS)
                .bind(run.as_str())
                .bind(i64::from(sole_owner))
                .bind(tx.now)
                .fetch_optional(&mut tx.conn)
                .await?;
                row.map(|row| Ok(Fence { epoch: row.try_get(0)?, run, owner })).transpose()
            })
        })
        .await
    }

    /// Says that the owner lives. `Fenced` when it is not the owner any more.
    pub async fn renew(&self, fence: &Fence) -> Result<(), StoreError> {
        let fence = fence.clone();
        self.write(move |tx| {
            Box::pin(async move {
                let done = sqlx::query(
                    "UPDATE runs SET lease_until = $1 \
                     WHERE id = $2 AND epoch = $3 AND lease_owner = $4",
                )
                .bind(tx.now + LEASE_MICROS)
                .bind(fence.run.as_str())
                .bind(fence.epoch)
                .bind(fence.owner.clone())
                .execute(&mut tx.conn)
                .await?;
                if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Fenced(fence.run)) }
            })
        })
        .await
    }

    /// Asks the run's owner to stop; anybody may.
    pub async fn request_cancel(&self, id: &RunId) -> Result<CancelOutcome, StoreError> {
        let id = id.clone();
        self.write(move |tx| Box::pin(cancel(tx, id))).await
    }

    /// Appends events that belong to no state change of a run.
    pub async fn append(&self, events: Vec<NewEvent>) -> Result<Vec<GovernanceEvent>, StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let mut written = Vec::with_capacity(events.len());
                for event in events {
                    written.push(tx.emit(event).await?);
                }
                Ok(written)
            })
        })
        .await
    }
}

async fn create(tx: &mut Tx, new: NewRun) -> Result<Created, StoreError> {
    let NewRun { id, request, idempotency, events } = new;
    if let Some(idempotency) = &idempotency {
        let row = sqlx::query("SELECT body_sha256, run_id FROM idempotency WHERE key = $1")
            .bind(idempotency.key.clone())
            .fetch_optional(&mut tx.conn)
            .await?;
        if let Some(row) = row {
            let run = RunId::new(row.try_get::<String, _>(1)?);
            if row.try_get::<String, _>(0)? != idempotency.body_sha256 {
                return Ok(Created::KeyReused { run });
            }
            return match fold::run(&mut tx.conn, &run).await? {
                Some(run) => Ok(Created::Replayed(run)),
                None => Err(StoreError::UnknownRun(run)),
            };
        }
    }
    // The lock row is ours, so nobody creates one between this look and our insert; the unique
    // index holds it should anybody else ever write.
    let active = sqlx::query("SELECT id FROM runs WHERE repo_key = $1 AND active = 1")
        .bind(request.repo.key())
        .fetch_optional(&mut tx.conn)
        .await?;
    if let Some(row) = active {
        return Ok(Created::Active(RunId::new(row.try_get::<String, _>(0)?)));
    }
    let config = tx.json("night's configuration", &request.config)?;
    sqlx::query(
        "INSERT INTO runs (id, repo_key, repo_owner, repo_name, dry_run, status, active, config, \
         notes, errors, cancel_requested, lease_until, epoch, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, 1, $7, 'null', '[]', 0, 0, 0, $8)",
    )
    .bind(id.as_str())
    .bind(request.repo.key())
    .bind(request.repo.owner())
    .bind(request.repo.name())
    .bind(i64::from(request.dry_run))
    .bind(RunStatus::Queued.as_str())
    .bind(config)
    .bind(tx.now)
    .execute(&mut tx.conn)
    .await?;
    if let Some(idempotency) = idempotency {
        sqlx::query(
            "INSERT INTO idempotency (key, body_sha256, run_id, created_at) \
             VALUES ($1, $2, $3, $4)",
        )
        .bind(idempotency.key)
        .bind(idempotency.body_sha256)
        .bind(id.as_str())
        .bind(tx.now)
        .execute(&mut tx.conn)
        .await?;
    }
    for mut event in events {
        event.run.get_or_insert_with(|| id.clone());
        tx.emit(event).await?;
    }
    match fold::run(&mut tx.conn, &id).await? {
        Some(run) => Ok(Created::New(run)),
        None => Err(StoreError::UnknownRun(id)),
    }
}

async fn cancel(tx: &mut Tx, id: RunId) -> Result<CancelOutcome, StoreError> {
    let row = sqlx::query("SELECT active, cancel_requested FROM runs WHERE id = $1")
        .bind(id.as_str())
        .fetch_optional(&mut tx.conn)
        .await?;
    let Some(row) = row else { return Ok(CancelOutcome::Unknown) };
    if row.try_get::<i64, _>(0)? == 0 {
        return Ok(CancelOutcome::AlreadyEnded);
    }
    if row.try_get::<i64, _>(1)? == 0 {
        sqlx::query("UPDATE runs SET cancel_requested = 1 WHERE id = $1")
            .bind(id.as_str())
            .execute(&mut tx.conn)
            .await?;
        tx.emit(NewEvent::new(EventType::CancelRequested, "the night was asked to stop").run(&id))
            .await?;
    }
    Ok(CancelOutcome::Requested)
}
