//! What people are told: the readers' cursors, alerts with the state of their delivery, incidents.
//!
//! Never decides what is worth an alert or an incident: governance does.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::rows::{AlertRow, Incident, IncidentNote, NewAlert};
use super::tx::Tx;
use super::{Store, StoreError};
use crate::domain::event::{EventType, NewEvent};
use crate::domain::ids::{IssueNumber, RunId};
use crate::domain::time::from_micros;

impl Store {
    /// How far a reader of the log has come; `None` for a new one.
    pub async fn log_cursor(&self, name: &str) -> Result<Option<i64>, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let row = sqlx::query("SELECT seq FROM log_cursors WHERE name = $1")
            .bind(name.to_owned())
            .fetch_optional(&mut *connection)
            .await?;
        row.map(|row| Ok(row.try_get(0)?)).transpose()
    }

    /// Moves a reader from where it was and stores what it found there, all or nothing. False
    /// where another process was faster: then it found the same.
    pub async fn advance(
        &self,
        name: &str,
        from: Option<i64>,
        to: i64,
        alerts: Vec<NewAlert>,
        notes: Vec<IncidentNote>,
    ) -> Result<bool, StoreError> {
        let name = name.to_owned();
        self.write(move |tx| {
            Box::pin(async move {
                let moved = match from {
                    None => sqlx::query(
                        "INSERT INTO log_cursors (name, seq) VALUES ($1, $2) \
                         ON CONFLICT (name) DO NOTHING",
                    )
                    .bind(name)
                    .bind(to),
                    Some(from) => {
                        sqlx::query("UPDATE log_cursors SET seq = $2 WHERE name = $1 AND seq = $3")
                            .bind(name)
                            .bind(to)
                            .bind(from)
                    }
                };
                if moved.execute(&mut tx.conn).await?.rows_affected() == 0 {
                    return Ok(false);
                }
                for alert in alerts {
                    enqueue(tx, alert).await?;
                }
                for note in notes {
                    record(tx, note).await?;
                }
                Ok(true)
            })
        })
        .await
    }

    /// Queues an alert by itself; false where one alike was queued within its window.
    pub async fn enqueue_alert(&self, alert: NewAlert) -> Result<bool, StoreError> {
        self.write(move |tx| Box::pin(enqueue(tx, alert))).await
    }

    /// Takes the alerts that are due, and puts each off so that nobody else takes it meanwhile.
    pub async fn due_alerts(&self, put_off_micros: i64) -> Result<Vec<AlertRow>, StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let rows = sqlx::query(
                    "UPDATE alert_queue SET due_at = $1, tries = tries + 1 WHERE id IN \
                     (SELECT id FROM alert_queue WHERE state = 'pending' AND due_at <= $2 \
                      ORDER BY created_at, id LIMIT 20) RETURNING id, payload, tries",
                )
                .bind(tx.now + put_off_micros)
                .bind(tx.now)
                .fetch_all(&mut tx.conn)
                .await?;
                rows.iter()
                    .map(|row| {
                        let payload: String = row.try_get(1)?;
                        Ok(AlertRow {
                            id: row.try_get(0)?,
                            payload: serde_json::from_str(&payload)
                                .map_err(|why| StoreError::corrupt("alert", why))?,
                            tries: row.try_get(2)?,
                        })
                    })
                    .collect()
            })
        })
        .await
    }

    /// When the next alert is due, in microseconds from now; `None` where none waits.
    pub async fn next_alert_in(&self) -> Result<Option<i64>, StoreError> {
        let mut connection = self.inner.pool.acquire().await?;
        let row = sqlx::query(
            "SELECT CAST(MIN(due_at) AS BIGINT) FROM alert_queue WHERE state = 'pending'",
        )
        .fetch_one(&mut *connection)
        .await?;
        let due: Option<i64> = row.try_get(0)?;
        let now = match self.inner.clock.local(self.inner.postgres) {
            Some(now) => now,
            None => super::tx::postgres_now(&mut connection).await?,
        };
        Ok(due.map(|due| (due - now).max(0)))
    }

    /// An alert arrived.
    pub async fn alert_sent(&self, id: &str) -> Result<(), StoreError> {
        self.settle_alert(id, "sent", None, None).await
    }

    /// A try failed: it waits, or, without a wait, it is given up and an event says so.
    pub async fn alert_failed(
        &self,
        id: &str,
        error: &str,
        again_in_micros: Option<i64>,
    ) -> Result<(), StoreError> {
        let state = if again_in_micros.is_some() { "pending" } else { "failed" };
        self.settle_alert(id, state, Some(error.to_owned()), again_in_micros).await
    }

    async fn settle_alert(
        &self,
        id: &str,
        state: &'static str,
        error: Option<String>,
        again: Option<i64>,
    ) -> Result<(), StoreError> {
        let id = id.to_owned();
        self.write(move |tx| {
            Box::pin(async move {
                let error = error.map(|error| tx.text(&error));
                sqlx::query(
                    "UPDATE alert_queue SET state = $1, error = $2, due_at = $3 WHERE id = $4",
                )
                .bind(state)
                .bind(error.clone())
                .bind(tx.now + again.unwrap_or(0))
                .bind(id.clone())
                .execute(&mut tx.conn)
                .await?;
                if state == "failed" {
                    let why = error.unwrap_or_default();
                    let text = format!("The alert {id} could not be delivered: {why}");
                    tx.emit(NewEvent::new(EventType::AlertFailed, text).with("alertId", id))
                        .await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Opens an incident, adds to the open one of the same cause, or closes it.
    pub async fn note_incident(&self, note: IncidentNote) -> Result<(), StoreError> {
        self.write(move |tx| Box::pin(record(tx, note))).await
    }

    /// Incidents, newest first; only the open ones if asked so.
    pub async fn incidents(&self, only_open: bool) -> Result<Vec<Incident>, StoreError> {
        const ALL: &str = "SELECT id, cause, is_open, severity, title, detail, repo, run_id, times, \
             opened_at, last_at, closed_at, issue_number, issue_url FROM incidents \
             WHERE ($1 = 0 OR is_open = 1) ORDER BY opened_at DESC, id DESC LIMIT 1000";
        let mut connection = self.inner.pool.acquire().await?;
        let rows = sqlx::query(ALL).bind(i64::from(only_open)).fetch_all(&mut *connection).await?;
        rows.iter().map(incident).collect()
    }

    /// The issue that tells of an incident on GitHub.
    pub async fn incident_issue(
        &self,
        id: &str,
        number: IssueNumber,
        url: &str,
    ) -> Result<(), StoreError> {
        let (id, url) = (id.to_owned(), url.to_owned());
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query("UPDATE incidents SET issue_number = $1, issue_url = $2 WHERE id = $3")
                    .bind(super::tx::number(number.0))
                    .bind(url)
                    .bind(id)
                    .execute(&mut tx.conn)
                    .await?;
                Ok(())
            })
        })
        .await
    }
}

async fn enqueue(tx: &mut Tx, alert: NewAlert) -> Result<bool, StoreError> {
    let alike = sqlx::query("SELECT 1 FROM alert_queue WHERE dedupe = $1 AND created_at > $2")
        .bind(alert.dedupe.clone())
        .bind(tx.now - alert.window_micros)
        .fetch_optional(&mut tx.conn)
        .await?;
    if alike.is_some() {
        return Ok(false);
    }
    let payload = tx.json("alert", &alert.payload)?;
    sqlx::query(
        "INSERT INTO alert_queue (id, dedupe, event_seq, payload, state, tries, due_at, created_at) \
         VALUES ($1, $2, $3, $4, 'pending', 0, $5, $5)",
    )
    .bind(uuid::Uuid::now_v7().to_string())
    .bind(alert.dedupe)
    .bind(alert.event_seq)
    .bind(payload)
    .bind(tx.now)
    .execute(&mut tx.conn)
    .await?;
    Ok(true)
}

async fn record(tx: &mut Tx, note: IncidentNote) -> Result<(), StoreError> {
    match note {
        IncidentNote::Seen { cause, severity, title, detail, repo, run } => {
            let (title, detail) = (tx.text(&title), tx.text(&detail));
            let known = sqlx::query(
                "UPDATE incidents SET times = times + 1, last_at = $1, detail = $2, run_id = $3 \
                 WHERE cause = $4 AND is_open = 1",
            )
            .bind(tx.now)
            .bind(detail.clone())
            .bind(run.as_ref().map(|run| run.as_str().to_owned()))
            .bind(cause.clone())
            .execute(&mut tx.conn)
            .await?;
            if known.rows_affected() > 0 {
                return Ok(());
            }
            let id = uuid::Uuid::now_v7().to_string();
            sqlx::query(
                "INSERT INTO incidents (id, cause, is_open, severity, title, detail, repo, \
                 run_id, times, opened_at, last_at) \
                 VALUES ($1, $2, 1, $3, $4, $5, $6, $7, 1, $8, $8)",
            )
            .bind(id.clone())
            .bind(cause.clone())
            .bind(severity.as_str())
            .bind(title.clone())
            .bind(detail)
            .bind(repo)
            .bind(run.as_ref().map(|run| run.as_str().to_owned()))
            .bind(tx.now)
            .execute(&mut tx.conn)
            .await?;
            let mut event = NewEvent::new(EventType::IncidentOpened, format!("Incident: {title}"))
                .with("incidentId", id)
                .with("cause", cause);
            if let Some(run) = &run {
                event = event.run(run);
            }
            tx.emit(event).await?;
        }
        IncidentNote::Over { cause } => {
            let closed = sqlx::query(
                "UPDATE incidents SET is_open = 0, closed_at = $1 \
                 WHERE cause = $2 AND is_open = 1 RETURNING id, title",
            )
            .bind(tx.now)
            .bind(cause.clone())
            .fetch_optional(&mut tx.conn)
            .await?;
            if let Some(row) = closed {
                let (id, title): (String, String) = (row.try_get(0)?, row.try_get(1)?);
                tx.emit(
                    NewEvent::new(EventType::IncidentClosed, format!("Over: {title}"))
                        .with("incidentId", id)
                        .with("cause", cause),
                )
                .await?;
            }
        }
    }
    Ok(())
}

fn incident(row: &AnyRow) -> Result<Incident, StoreError> {
    let severity: String = row.try_get(3)?;
    let run: Option<String> = row.try_get(7)?;
    let closed: Option<i64> = row.try_get(11)?;
    let issue: Option<i64> = row.try_get(12)?;
    Ok(Incident {
        id: row.try_get(0)?,
        cause: row.try_get(1)?,
        open: row.try_get::<i64, _>(2)? == 1,
        severity: severity
            .parse()
            .map_err(|why: String| StoreError::corrupt("severity of an incident", why))?,
        title: row.try_get(4)?,
        detail: row.try_get(5)?,
        repo: row.try_get(6)?,
        run: run.map(RunId::new),
        times: row.try_get::<i64, _>(8)?.unsigned_abs(),
        opened_at: from_micros(row.try_get(9)?),
        last_at: from_micros(row.try_get(10)?),
        closed_at: closed.map(from_micros),
        issue_number: issue.map(|number| IssueNumber(number.unsigned_abs())),
        issue_url: row.try_get(13)?,
    })
}
