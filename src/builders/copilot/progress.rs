//! How far Copilot is, from what GitHub shows of its pull request. Pure.

use chrono::{DateTime, TimeDelta, Utc};

use super::{CopilotLimits, Errand};
use crate::github::{AgentEvent, AgentEventKind, CopilotPull};

/// What a look at GitHub showed.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub pull: Option<CopilotPull>,
    /// Of its sessions, oldest first.
    pub events: Vec<AgentEvent>,
}

/// What follows from a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    Waiting,
    /// It says it is done: its head can be judged.
    Ready,
    Failed(String),
    Unavailable(String),
}

pub(super) fn judge(
    seen: &Seen,
    errand: &Errand<'_>,
    limits: CopilotLimits,
    now: DateTime<Utc>,
) -> Progress {
    let late = |limit: std::time::Duration| {
        TimeDelta::from_std(limit).is_ok_and(|limit| now >= errand.asked_at + limit)
    };
    let Some(CopilotPull { pull, draft }) = &seen.pull else {
        if late(limits.start) {
            let limit = said(limits.start);
            return Progress::Unavailable(format!(
                "the issue is Copilot's, and nothing came within {limit}"
            ));
        }
        return Progress::Waiting;
    };
    if pull.merged {
        return Progress::Failed(format!("{} was merged before it was judged", pull.number));
    }
    if !pull.open {
        return Progress::Failed(format!("{} was closed", pull.number));
    }
    let last = seen.events.iter().rfind(|event| errand.since.is_none_or(|since| event.at > since));
    match last.map(|event| event.kind) {
        Some(AgentEventKind::Failed) => {
            return Progress::Failed(format!("Copilot gave up on {}", pull.number));
        }
        Some(AgentEventKind::Finished) => {
            return if errand.judged.as_deref() == Some(pull.head_sha.as_str()) {
                Progress::Failed(format!("Copilot left {} as it was", pull.number))
            } else {
                Progress::Ready
            };
        }
        Some(AgentEventKind::Started) => {}
        // Its sessions are not told of: no draft any more is its own word that it is done.
        None if seen.events.is_empty() && !draft && errand.since.is_none() => {
            return Progress::Ready;
        }
        None => {}
    }
    if late(limits.work) {
        let limit = said(limits.work);
        return Progress::Failed(format!("Copilot did not finish {} within {limit}", pull.number));
    }
    Progress::Waiting
}

fn said(limit: std::time::Duration) -> String {
    let seconds = limit.as_secs();
    if seconds >= 120 { format!("{} minutes", seconds / 60) } else { format!("{seconds} seconds") }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::ids::{IssueNumber, RepoName};
    use crate::github::Pull;

    const LIMITS: CopilotLimits = CopilotLimits {
        start: Duration::from_secs(600),
        work: Duration::from_secs(3_600),
        poll: Duration::from_secs(30),
    };

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    fn pull(draft: bool) -> CopilotPull {
        let pull = Pull {
            number: IssueNumber(7),
            html_url: String::new(),
            title: String::new(),
            body: String::new(),
            open: true,
            merged: false,
            base_branch: "main".to_owned(),
            head_branch: "copilot/fix-1".to_owned(),
            head_sha: "a".repeat(40),
            head_repo: None,
            author: Some("Copilot".to_owned()),
            created_at: at(1),
        };
        CopilotPull { pull, draft }
    }

    fn events(events: &[(AgentEventKind, i64)]) -> Vec<AgentEvent> {
        events.iter().map(|(kind, minute)| AgentEvent { kind: *kind, at: at(*minute) }).collect()
    }

    fn of(pull: Option<CopilotPull>, told: &[(AgentEventKind, i64)], now: i64) -> Progress {
        of_repair(pull, told, now, None, None)
    }

    fn of_repair(
        pull: Option<CopilotPull>,
        told: &[(AgentEventKind, i64)],
        now: i64,
        since: Option<i64>,
        judged: Option<&str>,
    ) -> Progress {
        let repo: RepoName = "o/r".parse().expect("valid");
        let errand = Errand {
            repo: &repo,
            issue: IssueNumber(1),
            asked_at: at(0),
            pull: None,
            since: since.map(at),
            judged: judged.map(str::to_owned),
        };
        judge(&Seen { pull, events: events(told) }, &errand, LIMITS, at(now))
    }

    use AgentEventKind::{Failed, Finished, Started};

    #[test]
    fn nothing_that_comes_is_unavailable_in_time() {
        assert_eq!(of(None, &[], 9), Progress::Waiting);
        assert!(
            matches!(of(None, &[], 10), Progress::Unavailable(why) if why.contains("10 minutes"))
        );
    }

    #[test]
    fn the_last_thing_it_tells_counts() {
        assert_eq!(of(Some(pull(true)), &[(Started, 1)], 30), Progress::Waiting);
        assert_eq!(of(Some(pull(true)), &[(Started, 1), (Finished, 20)], 30), Progress::Ready);
        let again = [(Started, 1), (Finished, 20), (Started, 25)];
        assert_eq!(of(Some(pull(false)), &again, 30), Progress::Waiting);
        assert!(matches!(
            of(Some(pull(true)), &[(Started, 1), (Failed, 2)], 3),
            Progress::Failed(_)
        ));
        assert!(matches!(of(Some(pull(true)), &[(Started, 1)], 60), Progress::Failed(_)));
        // Done in the last minute is done.
        assert_eq!(of(Some(pull(true)), &[(Finished, 59)], 61), Progress::Ready);
    }

    #[test]
    fn without_any_word_a_draft_is_waited_for() {
        assert_eq!(of(Some(pull(true)), &[], 30), Progress::Waiting);
        assert_eq!(of(Some(pull(false)), &[], 30), Progress::Ready);
    }

    #[test]
    fn closed_and_merged_are_failures() {
        let mut closed = pull(false);
        closed.pull.open = false;
        assert!(matches!(of(Some(closed.clone()), &[(Finished, 1)], 2), Progress::Failed(_)));
        closed.pull.merged = true;
        assert!(
            matches!(of(Some(closed), &[(Finished, 1)], 2), Progress::Failed(why) if why.contains("merged"))
        );
    }

    #[test]
    fn a_repair_has_to_be_told_of_and_to_move_the_head() {
        let head = "a".repeat(40);
        let told = [(Started, 1), (Finished, 5)];
        let waiting = of_repair(Some(pull(false)), &told, 20, Some(10), Some(&head));
        assert_eq!(waiting, Progress::Waiting);
        let told = [(Finished, 5), (Started, 11), (Finished, 15)];
        let same = of_repair(Some(pull(false)), &told, 20, Some(10), Some(&head));
        assert!(matches!(same, Progress::Failed(_)));
        let other = "b".repeat(40);
        let moved = of_repair(Some(pull(false)), &told, 20, Some(10), Some(&other));
        assert_eq!(moved, Progress::Ready);
    }
}
