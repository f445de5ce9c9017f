//! Governance as a library: the five functions that callers know, over an [`EventLog`].
//!
//! ```
//! use std::sync::Arc;
//!
//! use foreman::domain::event::{EventType, NewEvent};
//! use foreman::domain::redact::Redactor;
//! use foreman::governance::{
//!     EventLog, USUAL_CAPACITY, governance_stats, log_governance_event, query_governance_events,
//! };
//! use foreman::store::{DatabaseUrl, EventQuery, OpenOptions, Store, StoreClock};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let store = Store::open(OpenOptions {
//!     url: DatabaseUrl::file(&folder.path().join("foreman.db"))?,
//!     redactor: Arc::new(Redactor::default()),
//!     clock: StoreClock::System,
//!     read_only: false,
//! })
//! .await?;
//! let log = EventLog::open(&store, USUAL_CAPACITY).await?;
//!
//! let event = NewEvent::new(EventType::ModelEscalation, "Escalated to gpt-5.1")
//!     .with("taskId", "task-123")
//!     .with("reason", "architecture_impact");
//! let written = log_governance_event(&log, event).await?;
//! assert_eq!(written.seq, 1);
//!
//! let query = EventQuery { types: vec![EventType::ModelEscalation], limit: 50, ..Default::default() };
//! let recent = query_governance_events(&log, &query).await?;
//! assert_eq!(recent[0].description, "Escalated to gpt-5.1");
//!
//! let stats = governance_stats(&log).await?;
//! assert_eq!(stats.events.total, 1);
//! # store.close().await;
//! # Ok(())
//! # }
//! ```

use std::sync::Arc;

use super::issues::create::{self, CreatedIssues};
use super::issues::{self, GovernanceIssue};
use super::log::EventLog;
use super::recent::LogStats;
use crate::domain::event::{GovernanceEvent, NewEvent};
use crate::domain::ids::RepoName;
use crate::github::{GitHub, GitHubError};
use crate::store::{EventQuery, StoreError};

/// Writes an event, redacted and chained. It is durable when this returns.
pub async fn log_governance_event(
    log: &EventLog,
    event: NewEvent,
) -> Result<GovernanceEvent, StoreError> {
    log.append(event).await
}

/// Events that match, newest first unless asked otherwise; 100 where no limit is given, at most
/// 1,000.
pub async fn query_governance_events(
    log: &EventLog,
    query: &EventQuery,
) -> Result<Vec<Arc<GovernanceEvent>>, StoreError> {
    log.query(query).await
}

/// How many events there are: in all, by severity, type, day and run.
pub async fn governance_stats(log: &EventLog) -> Result<LogStats, StoreError> {
    log.stats().await
}

/// The four governance issues as they are shipped.
///
/// ```
/// let issues = foreman::governance::governance_issues();
/// assert_eq!(issues.len(), 4);
/// assert_eq!(issues[0].id, "model-escalation");
/// assert_eq!(issues[3].dependencies, ["model-escalation"]);
/// ```
#[must_use]
pub fn governance_issues() -> Vec<GovernanceIssue> {
    issues::shipped()
}

/// Creates on GitHub those of `issues` that are not there, and sets their dependencies. Asked
/// again, or after an answer that was lost, it finds them; closed ones are not created again.
/// Without a credential it is an error and nothing is asked:
///
/// ```
/// use foreman::github::{GitHub, GitHubError};
/// use foreman::governance::{create_governance_issues, governance_issues};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let github = GitHub::new(&"http://127.0.0.1:9".parse()?, None)?;
/// let repo = "MaturionISMS/maturion-foreman-app".parse()?;
/// let refused = create_governance_issues(&github, &repo, &governance_issues(), true).await;
/// assert_eq!(refused, Err(GitHubError::NoCredential));
/// # Ok(())
/// # }
/// ```
pub async fn create_governance_issues(
    github: &GitHub,
    repo: &RepoName,
    issues: &[GovernanceIssue],
    dry_run: bool,
) -> Result<CreatedIssues, GitHubError> {
    create::create(github, repo, issues, dry_run).await
}
