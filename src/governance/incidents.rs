//! Which events tell of an incident, under which cause, and which say that it is over. Pure, but
//! for the issue on GitHub that may tell of one.

use super::issues::create::{Found, find_or_create};
use crate::domain::event::{EventType, GovernanceEvent, Severity};
use crate::domain::ids::RepoName;
use crate::github::{GitHub, GitHubError, NewIssue};
use crate::store::{Incident, IncidentNote};

/// The cause of a chain that does not verify: there is one log.
pub(super) const CHAIN: &str = "chain_broken";
/// The cause of checkpoints that cannot be kept.
const CHECKPOINT: &str = "checkpoint_failed";

/// The causes that belong to a repository's nights.
const OF_A_NIGHT: [&str; 3] = ["night_failed", "night_halted", "ceiling"];

/// What an event says about incidents. `repo` is that of its run, lower case.
pub(super) fn notes(event: &GovernanceEvent, repo: Option<&str>) -> Vec<IncidentNote> {
    let seen = |cause: String, title: String| {
        vec![IncidentNote::Seen {
            cause,
            severity: event.severity.max(Severity::High),
            title,
            detail: event.description.clone(),
            repo: repo.map(str::to_owned),
            run: event.run.clone(),
        }]
    };
    let of_repo = |kind: &str, what: &str| match repo {
        Some(repo) => seen(format!("{kind}:{repo}"), format!("{what} of {repo}")),
        None => Vec::new(),
    };
    match event.kind {
        EventType::OvernightExecutionFailed => of_repo("night_failed", "Failed night"),
        EventType::OvernightExecutionHalted => of_repo("night_halted", "Halted night"),
        EventType::BudgetExhausted => of_repo("ceiling", "Reached spending ceiling"),
        EventType::ChainBroken => {
            seen(CHAIN.to_owned(), "The event log is not what was written".to_owned())
        }
        EventType::CheckpointFailed => {
            seen(CHECKPOINT.to_owned(), "Checkpoints cannot be kept".to_owned())
        }
        EventType::RepositoryDriftDetected
            if is_true(event, "refused") && needs_a_person(event) =>
        {
            of_clone(event, "desktop_conflict", "Conflict in the local clone")
        }
        EventType::DesktopSyncFailed if is_true(event, "stuck") => {
            of_clone(event, "desktop_stuck", "Half-merged local clone")
        }
        EventType::DesktopSync => over_of_clone(event),
        EventType::DesktopHealthCheck if is_true(event, "lost") => {
            of_clone(event, LOST, "Unreachable remote, or unreadable local clone,")
        }
        EventType::DesktopHealthCheck if is_in_step(event) => over_of_clone(event),
        EventType::DesktopHealthCheck if is_known(event) => over(event, &[LOST]),
        // Only a night that did all it could says that nothing is wrong any more.
        EventType::OvernightExecutionCompleted
            if event.metadata.get("status").is_some_and(|status| status == "completed") =>
        {
            let over = |repo: &str| {
                OF_A_NIGHT.map(|kind| IncidentNote::Over { cause: format!("{kind}:{repo}") })
            };
            repo.map(over).into_iter().flatten().collect()
        }
        _ => Vec::new(),
    }
}

/// The causes that belong to a local clone.
/// The one of a clone that could not be looked at, several checks in a row.
const LOST: &str = "desktop_unreachable";
const OF_A_CLONE: [&str; 3] = ["desktop_conflict", "desktop_stuck", LOST];

fn is_true(event: &GovernanceEvent, key: &str) -> bool {
    event.metadata.get(key).is_some_and(|value| value == true)
}

fn needs_a_person(event: &GovernanceEvent) -> bool {
    event.metadata.get("driftResult").is_some_and(|it| it["conflictResolutionRequired"] == true)
}

fn is_in_step(event: &GovernanceEvent) -> bool {
    event.metadata.get("driftResult").is_some_and(|it| it["state"] == "in_sync")
}

fn is_known(event: &GovernanceEvent) -> bool {
    let state = event.metadata.get("driftResult").and_then(|it| it["state"].as_str());
    state.is_some_and(|state| state != "unknown")
}

fn clone_of(event: &GovernanceEvent) -> Option<&str> {
    event.metadata.get("repositoryId")?.as_str()
}

fn of_clone(event: &GovernanceEvent, kind: &str, what: &str) -> Vec<IncidentNote> {
    let Some(id) = clone_of(event) else { return Vec::new() };
    vec![IncidentNote::Seen {
        cause: format!("{kind}:{id}"),
        severity: event.severity.max(Severity::Medium),
        title: format!("{what} {id}"),
        detail: event.description.clone(),
        repo: event.metadata.get("repo").and_then(|repo| repo.as_str()).map(str::to_owned),
        run: None,
    }]
}

fn over_of_clone(event: &GovernanceEvent) -> Vec<IncidentNote> {
    over(event, &OF_A_CLONE)
}

fn over(event: &GovernanceEvent, kinds: &[&str]) -> Vec<IncidentNote> {
    let Some(id) = clone_of(event) else { return Vec::new() };
    kinds.iter().map(|kind| IncidentNote::Over { cause: format!("{kind}:{id}") }).collect()
}

/// The mark by which an incident's issue is found again; nights leave such issues out.
fn marker(id: &str) -> String {
    format!("<!-- foreman:incident={id} -->")
}

/// The issue that tells of an incident: the one that is there, else a new one.
pub(super) async fn tell(
    github: &GitHub,
    repo: &RepoName,
    incident: &Incident,
) -> Result<Found, GitHubError> {
    let marker = marker(&incident.id);
    let issue = NewIssue {
        title: format!("Foreman: {}", incident.title),
        body: format!(
            "{marker}\n{}\n\nSeverity: {}. First seen {}.\n\nForeman keeps one such issue for each \
             cause and does not work on it.\n",
            incident.detail,
            incident.severity,
            incident.opened_at.format("%Y-%m-%d %H:%M UTC"),
        ),
        labels: Vec::new(),
    };
    find_or_create(github, repo, &marker, &issue).await
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::domain::ids::RunId;

    fn event(kind: EventType) -> GovernanceEvent {
        GovernanceEvent {
            id: "e".to_owned(),
            seq: 1,
            timestamp: DateTime::UNIX_EPOCH,
            kind,
            severity: Severity::High,
            description: "why".to_owned(),
            metadata: serde_json::Map::new(),
            run: Some(RunId::new("r")),
            issue: None,
            prev_hash: String::new(),
            hash: String::new(),
        }
    }

    #[test]
    fn one_cause_for_one_repository() {
        let one = notes(&event(EventType::OvernightExecutionFailed), Some("o/r"));
        let [IncidentNote::Seen { cause, title, .. }] = one.as_slice() else { panic!("{one:?}") };
        assert_eq!((cause.as_str(), title.as_str()), ("night_failed:o/r", "Failed night of o/r"));
        assert_eq!(notes(&event(EventType::OvernightExecutionFailed), None), []);
        assert_eq!(notes(&event(EventType::PrOpened), Some("o/r")), []);
        assert_eq!(notes(&event(EventType::ChainBroken), None).len(), 1);
    }

    #[test]
    fn only_a_complete_night_ends_them() {
        let mut ended = event(EventType::OvernightExecutionCompleted);
        ended.metadata.insert("status".to_owned(), "partial".into());
        assert_eq!(notes(&ended, Some("o/r")), []);
        ended.metadata.insert("status".to_owned(), "completed".into());
        assert_eq!(notes(&ended, Some("o/r")).len(), 3);
    }
}
