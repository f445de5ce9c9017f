//! Copilot as a builder: an issue is given to GitHub's coding agent, and its pull request is
//! followed until it is done, has failed, or took too long.
//!
//! Owns the waiting and what is read off GitHub meanwhile. Never judges the work, never accepts it,
//! and never decides who builds next.

mod progress;

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

pub use progress::{Progress, Seen};

use crate::domain::ids::{IssueNumber, RepoName};
use crate::github::{CopilotPull, GitHub, GitHubError};

/// Polls in a row that GitHub may fail before Copilot counts as out of reach.
const MOST_FAULTS: u32 = 5;

/// The bounds of Copilot's work (`[copilot]`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopilotLimits {
    /// Until its pull request has to be there.
    pub start: Duration,
    /// Until it has to be done.
    pub work: Duration,
    /// Between two looks.
    pub poll: Duration,
}

/// What is followed.
#[derive(Debug, Clone)]
pub struct Errand<'a> {
    pub repo: &'a RepoName,
    pub issue: IssueNumber,
    /// When the issue was given to it, or it was asked to repair.
    pub asked_at: DateTime<Utc>,
    /// Its pull request, once known.
    pub pull: Option<IssueNumber>,
    /// Only what its pull request tells from then on counts: a repair, by GitHub's clock.
    pub since: Option<DateTime<Utc>>,
    /// The head that was judged already: a repair has to move it.
    pub judged: Option<String>,
}

/// How the waiting ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Followed {
    /// There is a pull request that the errand did not name: note it, and go on following.
    Found(Box<CopilotPull>),
    /// It says it is done.
    Ready(Box<CopilotPull>),
    Failed(String),
    Unavailable(String),
    Cancelled,
}

/// Waits for Copilot.
pub async fn follow(
    github: &GitHub,
    errand: &Errand<'_>,
    limits: CopilotLimits,
    cancel: &CancellationToken,
) -> Followed {
    let mut faults = 0;
    loop {
        if cancel.is_cancelled() {
            return Followed::Cancelled;
        }
        match look(github, errand).await {
            Ok(seen) => {
                faults = 0;
                match progress::judge(&seen, errand, limits, Utc::now()) {
                    Progress::Failed(why) => return Followed::Failed(why),
                    Progress::Unavailable(why) => return Followed::Unavailable(why),
                    Progress::Waiting | Progress::Ready if errand.pull.is_none() => {
                        if let Some(pull) = seen.pull {
                            return Followed::Found(Box::new(pull));
                        }
                    }
                    Progress::Ready => {
                        if let Some(pull) = seen.pull {
                            return Followed::Ready(Box::new(pull));
                        }
                    }
                    Progress::Waiting => {}
                }
            }
            Err(error) if error.is_passing() && faults < MOST_FAULTS => {
                faults += 1;
                tracing::warn!(%error, "could not look at Copilot's work on {}", errand.issue);
            }
            Err(error) => return Followed::Unavailable(error.to_string()),
        }
        tokio::select! {
            () = tokio::time::sleep(limits.poll) => {}
            () = cancel.cancelled() => return Followed::Cancelled,
        }
    }
}

/// Its pull request as the errand names it; without a name, the newest for the issue that is open,
/// else the newest at all.
async fn look(github: &GitHub, errand: &Errand<'_>) -> Result<Seen, GitHubError> {
    let repo = errand.repo;
    if let Some(number) = errand.pull {
        // The events first: a head is read that is at least as new as what they tell of.
        let events = github.agent_events(repo, number).await?;
        let pull = github.copilot_pull(repo, number).await?;
        return Ok(Seen { pull: Some(pull), events });
    }
    let mut pulls = github.copilot_pulls(repo, errand.issue).await?;
    // What it left behind before it was asked is over.
    pulls.retain(|it| it.pull.open || it.pull.created_at >= errand.asked_at);
    let at = pulls.iter().position(|it| it.pull.open).unwrap_or(0);
    let pull = (!pulls.is_empty()).then(|| pulls.swap_remove(at));
    Ok(Seen { pull, events: Vec::new() })
}
