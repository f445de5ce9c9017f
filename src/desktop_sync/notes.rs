//! The events of local clones. Each carries a `DesktopSyncEvent`'s fields in its metadata; the
//! event's own id and time are the record's.

use serde_json::json;

use super::DesktopSync;
use super::merge::MergeReport;
use super::quick_check::CheckFailure;
use super::records::{DriftDetectionResult, DriftState, RepositoryHealth, SyncEventType};
use crate::domain::event::{EventType, NewEvent, Severity};
use crate::domain::ids::RepoName;
use crate::git::clone::Ended;

/// Files that an event names of a long list.
const MOST_FILES: usize = 100;

fn event(kind: EventType, what: SyncEventType, id: &str, text: String) -> NewEvent {
    NewEvent::new(kind, text).with("eventType", json!(what)).with("repositoryId", id)
}

fn with_drift(event: NewEvent, drift: &DriftDetectionResult) -> NewEvent {
    let mut short = drift.clone();
    short.diverged_files.truncate(MOST_FILES);
    short.changes.truncate(MOST_FILES);
    event.with("driftResult", json!(short))
}

fn with_repo(event: NewEvent, repo: Option<&RepoName>) -> NewEvent {
    match repo {
        Some(repo) => event.with("repo", repo.key()),
        None => event,
    }
}

/// How a person resolves a conflict, step by step.
fn steps(drift: &DriftDetectionResult) -> Vec<String> {
    let branch = drift.branch.as_deref().unwrap_or("main");
    vec![
        "git fetch origin".to_owned(),
        format!("git merge origin/{branch}"),
        format!("resolve and `git add` {}", drift.conflicts.join(" ")),
        "git commit".to_owned(),
    ]
}

impl DesktopSync {
    /// Writes events; where they cannot be written, the log says them.
    async fn tell(&self, events: Vec<NewEvent>) {
        for event in &events {
            tracing::info!(kind = %event.kind, "{}", event.description);
        }
        let Some(store) = &self.inner.store else { return };
        if let Err(error) = store.append(events).await {
            tracing::error!(%error, "events of the local clones could not be written");
        }
    }

    /// A merge that is safe is about to be made.
    pub(super) async fn note_started(&self, drift: &DriftDetectionResult, repo: Option<&RepoName>) {
        let id = drift.repository_id.as_str();
        let text = format!("`{id}` is being merged: {} behind", drift.behind);
        let event = event(EventType::DesktopSyncStarted, SyncEventType::SyncStarted, id, text);
        self.tell(vec![with_repo(with_drift(event, drift), repo)]).await;
    }

    pub(super) async fn note_merged(&self, report: &MergeReport, repo: Option<&RepoName>) {
        let id = report.drift.repository_id.as_str();
        let short = |commit: &str| commit.chars().take(10).collect::<String>();
        let text = format!(
            "`{id}` merged from {} to {}: {} files",
            short(&report.from),
            short(&report.to),
            report.files
        );
        let event = event(EventType::DesktopSync, SyncEventType::SyncCompleted, id, text)
            .severity(Severity::Low)
            .with("syncSuccess", true)
            .with("from", report.from.as_str())
            .with("to", report.to.as_str())
            .with("backupRef", report.backup_ref.as_deref());
        self.tell(vec![with_repo(with_drift(event, &report.drift), repo)]).await;
    }

    /// A merge that was asked for and is not safe. A conflict is a task for a person.
    pub(super) async fn note_refused(&self, drift: &DriftDetectionResult, repo: Option<&RepoName>) {
        let drifted = drifted(drift, Severity::Low);
        self.tell(vec![with_repo(drifted.with("refused", true), repo)]).await;
    }

    pub(super) async fn note_failed(&self, drift: &DriftDetectionResult, why: &str, stuck: bool) {
        let event = failed(drift, why, stuck);
        self.tell(vec![with_drift(event, drift)]).await;
    }

    /// The merged tree did not pass the operator's check. Its output is the repository's, for a
    /// person to read.
    pub(super) async fn note_check_failed(
        &self,
        drift: &DriftDetectionResult,
        failure: &CheckFailure,
    ) {
        let event = failed(drift, &failure.to_string(), false).with("check", "failed");
        let event = match failure.output() {
            Some(output) => event.with("checkOutput", output),
            None => event,
        };
        self.tell(vec![with_drift(event, drift)]).await;
    }

    /// A merge that was cut short, by a death of ours, was ended.
    pub(super) async fn note_recovered(&self, id: &str, ended: &Ended) {
        let (kind, what) = match ended.merged {
            true => (EventType::DesktopSync, SyncEventType::SyncCompleted),
            false => (EventType::DesktopSyncFailed, SyncEventType::SyncFailed),
        };
        let severity = if ended.merged { Severity::Low } else { Severity::Medium };
        let event = event(kind, what, id, format!("`{id}`: {}", ended.said)).severity(severity);
        let event = event.with("syncSuccess", ended.merged).with("recovered", true);
        let event = match ended.merged {
            true => event,
            false => event.with("errorMessage", ended.said.as_str()),
        };
        self.tell(vec![event]).await;
    }

    /// One check of one clone, and its drift where that is news. `lost`: it could not be looked at
    /// several times in a row.
    pub(super) async fn note_check(
        &self,
        now: &RepositoryHealth,
        before: Option<&RepositoryHealth>,
        repo: Option<&RepoName>,
        lost: bool,
    ) {
        let id = now.id.as_str();
        let changed = before.is_none_or(|before| is_news(before, now));
        let severity = match (changed, now.ready) {
            (false, _) => Severity::Info,
            (true, true) if before.is_none() && !now.drift.has_drift => Severity::Info,
            (true, true) => Severity::Low,
            (true, false) => Severity::Medium,
        };
        let state = now.drift.state.as_str();
        let text = match now.issues.first() {
            None => format!("`{id}` checked: {state}"),
            Some(issue) => format!("`{id}` checked: {state}; {issue}"),
        };
        let check = event(EventType::DesktopHealthCheck, SyncEventType::HealthCheck, id, text)
            .severity(severity)
            .with("ready", now.ready)
            .with("lost", lost)
            .with("issues", json!(now.issues));
        let mut events = vec![with_repo(with_drift(check, &now.drift), repo)];
        let known = before.map(|before| (&before.drift.local_commit, &before.drift.remote_commit));
        let news = known != Some((&now.drift.local_commit, &now.drift.remote_commit));
        if now.drift.has_drift && news {
            let drifted = drifted(&now.drift, Severity::Low);
            // Where merges come by themselves, one that needs a person is one that was refused.
            let refused = now.drift.conflict_resolution_required;
            let drifted = match self.inner.settings.auto_merge && refused {
                true => drifted.with("refused", true),
                false => drifted,
            };
            events.push(with_repo(drifted, repo));
        }
        self.tell(events).await;
    }
}

fn failed(drift: &DriftDetectionResult, why: &str, stuck: bool) -> NewEvent {
    let id = drift.repository_id.as_str();
    let text = format!("`{id}` was not merged: {why}");
    let severity = if stuck { Severity::High } else { Severity::Medium };
    event(EventType::DesktopSyncFailed, SyncEventType::SyncFailed, id, text)
        .severity(severity)
        .with("syncSuccess", false)
        .with("stuck", stuck)
        .with("errorMessage", why)
}

fn is_news(before: &RepositoryHealth, now: &RepositoryHealth) -> bool {
    before.ready != now.ready || before.issues != now.issues || before.drift != now.drift
}

fn drifted(drift: &DriftDetectionResult, usual: Severity) -> NewEvent {
    let id = drift.repository_id.as_str();
    let text = if drift.conflict_resolution_required {
        format!("`{id}` needs a person to merge it: {}", drift.blockers.join("; "))
    } else {
        let why = match drift.blockers.is_empty() {
            true => String::new(),
            false => format!("; {}", drift.blockers.join("; ")),
        };
        format!(
            "`{id}` is {}: {} ahead, {} behind{why}",
            drift.state.as_str(),
            drift.ahead,
            drift.behind
        )
    };
    let severity = match drift.state {
        _ if drift.conflict_resolution_required => Severity::Medium,
        DriftState::InSync | DriftState::Ahead | DriftState::Behind => usual,
        DriftState::Diverged | DriftState::Unknown => usual.max(Severity::Low),
    };
    let kind = EventType::RepositoryDriftDetected;
    let mut event = event(kind, SyncEventType::DriftDetected, id, text).severity(severity);
    if drift.conflict_resolution_required {
        event = event
            .with("conflicts", json!(drift.conflicts))
            .with("howToResolve", json!(steps(drift)));
    }
    with_drift(event, drift)
}
