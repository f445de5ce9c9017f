//! Where a night stands, without its plan and notes: what is asked often and must be cheap.

use sqlx::Row as _;

use super::{Store, StoreError};
use crate::domain::ids::RunId;
use crate::domain::run::RunStatus;

/// A run's status alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NightStatus {
    pub status: RunStatus,
    pub cancel_requested: bool,
}

impl Store {
    /// `None` for an unknown id.
    pub async fn night_status(&self, id: &RunId) -> Result<Option<NightStatus>, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let row = sqlx::query("SELECT status, cancel_requested FROM runs WHERE id = $1")
            .bind(id.as_str())
            .fetch_optional(&mut *connection)
            .await?;
        row.map(|row| {
            let status: String = row.try_get(0)?;
            let cancel: i64 = row.try_get(1)?;
            let status =
                status.parse().map_err(|why: String| StoreError::corrupt("run status", why))?;
            Ok(NightStatus { status, cancel_requested: cancel != 0 })
        })
        .transpose()
    }
}
