//! A row to book calls under that belong to no night: `foreman doctor --live`.
//!
//! Owns that row's name. It is no night: never active, never listed, never resumed; only its calls
//! count, in the sums of the day, the month and all.

use super::changes::Fence;
use super::{Store, StoreError};
use crate::domain::ids::RunId;
use crate::domain::run::{NightConfig, RunStatus};

/// No repository has such a name.
pub(super) const REPO_KEY: &str = "(live check)";

impl Store {
    /// Makes the row and gives the right to book under it.
    pub async fn open_probe(&self, owner: &str) -> Result<Fence, StoreError> {
        let fence = Fence { run: RunId::fresh(), owner: owner.to_owned(), epoch: 1 };
        let made = fence.clone();
        self.write(move |tx| {
            Box::pin(async move {
                let config = tx.json("configuration of a check", &NightConfig::default())?;
                sqlx::query(
                    "INSERT INTO runs (id, repo_key, repo_owner, repo_name, dry_run, status, \
                     active, config, notes, errors, cancel_requested, lease_owner, lease_until, \
                     epoch, created_at) \
                     VALUES ($1, $2, $2, '', 1, $3, 0, $4, 'null', '[]', 0, $5, $6, 1, $7)",
                )
                .bind(made.run.as_str())
                .bind(REPO_KEY)
                .bind(RunStatus::Completed.as_str())
                .bind(config)
                .bind(made.owner)
                .bind(tx.now + super::runs::LEASE_MICROS)
                .bind(tx.now)
                .execute(&mut tx.conn)
                .await?;
                Ok(())
            })
        })
        .await?;
        Ok(fence)
    }
}
