//! Writing event rows: many in one statement, because each statement is a trip of its own.
//!
//! Never chains anything: the rows come with their place and hash.

use std::sync::LazyLock;

use sqlx::AnyConnection;

use super::tx::number;
use crate::domain::event::GovernanceEvent;
use crate::domain::time::to_micros;

const COLUMNS: usize = 11;
/// Rows of one statement, the largest first; 64 rows are 704 parameters, which both databases take.
const SIZES: [usize; 4] = [64, 16, 4, 1];

/// One fixed statement for each size, so that each is prepared once.
static STATEMENTS: LazyLock<[String; 4]> = LazyLock::new(|| SIZES.map(statement));

fn statement(rows: usize) -> String {
    let row = |row: usize| {
        let marks: Vec<String> =
            (1..=COLUMNS).map(|column| format!("${}", row * COLUMNS + column)).collect();
        format!("({})", marks.join(", "))
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    format!(
        "INSERT INTO events (seq, id, at, type, severity, run_id, issue, description, metadata, \
         prev_hash, hash) VALUES {}",
        rows.join(", ")
    )
}

/// Writes the rows in their order; the text is the metadata as it was hashed.
pub(super) async fn events(
    conn: &mut AnyConnection,
    mut rows: &[(GovernanceEvent, String)],
) -> Result<(), sqlx::Error> {
    for (size, sql) in SIZES.iter().zip(STATEMENTS.iter()) {
        while rows.len() >= *size {
            let (now, later) = rows.split_at(*size);
            let mut query = sqlx::query(sql.as_str());
            for (event, metadata) in now {
                query = query
                    .bind(event.seq)
                    .bind(event.id.as_str())
                    .bind(to_micros(event.timestamp))
                    .bind(event.kind.as_str())
                    .bind(event.severity.as_str())
                    .bind(event.run.as_ref().map(|run| run.as_str()))
                    .bind(event.issue.map(|issue| number(issue.0)))
                    .bind(event.description.as_str())
                    .bind(metadata.as_str())
                    .bind(event.prev_hash.as_str())
                    .bind(event.hash.as_str());
            }
            query.execute(&mut *conn).await?;
            rows = later;
        }
    }
    Ok(())
}
