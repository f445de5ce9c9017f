//! Sentences for people: what happened, in events, reasons and summaries. Pure.

use serde_json::json;

use super::issue::Worker;
use crate::domain::attempt::Event;
use crate::domain::event::{EventType, NewEvent, Severity};
use crate::domain::ids::{CommitId, RepoName, RunId};
use crate::domain::plan::{ReasonCode, Skip};
use crate::domain::run::{IssueResult, IssueStatus, RunStatus};
use crate::gate::BaseVerdict;
use crate::gate::rules::secrets::without_secrets;

/// The event of a row that ended without an attempt, or before it could.
pub(super) fn ended_row(run: &RunId, row: &IssueResult) -> NewEvent {
    if row.status == IssueStatus::Skipped {
        return skipped(run, row);
    }
    let reason = row.reason.as_deref().unwrap_or("no reason given");
    NewEvent::new(EventType::IssueExecutionFailed, format!("{} failed: {reason}", row.issue_number))
        .severity(Severity::Medium)
        .run(run)
        .issue(row.issue_number)
        .with("reasonCode", json!(row.reason_code))
}

pub(super) fn skipped(run: &RunId, row: &IssueResult) -> NewEvent {
    let reason = row.reason.as_deref().unwrap_or("no reason given");
    let text = format!("{} `{}` skipped: {reason}", row.issue_number, row.title);
    NewEvent::new(EventType::IssueSkipped, text)
        .run(run)
        .issue(row.issue_number)
        .with("reasonCode", json!(row.reason_code))
        .with("reason", reason)
}

pub(super) fn base(commit: &CommitId, verdict: &BaseVerdict) -> String {
    if verdict.green {
        format!("Base {} is green", commit.short())
    } else if verdict.dependencies_unavailable {
        format!(
            "Base {} lacks packages that cannot be reached: {}",
            commit.short(),
            verdict.red.join("; ")
        )
    } else {
        format!("Base {} is red: {}", commit.short(), verdict.red.join("; "))
    }
}

/// Names the base commit, the command and what is red.
pub(super) fn red_base(branch: &str, commit: &CommitId, verdict: &BaseVerdict) -> String {
    format!("the base {commit} (`{branch}`) is red: {}", verdict.red.join("; "))
}

/// Why nothing can stand on a base that is not green.
pub(super) fn not_green(branch: &str, commit: &CommitId, verdict: &BaseVerdict) -> Skip {
    if !verdict.dependencies_unavailable {
        return Skip::new(ReasonCode::BaseRed, red_base(branch, commit, verdict));
    }
    let reason = format!(
        "dependencies_unavailable: the packages that the base {commit} (`{branch}`) needs cannot be reached, so nothing can be proven on it: {}",
        verdict.red.join("; ")
    );
    Skip::new(ReasonCode::DependenciesUnavailable, reason)
}

/// The events of a transition: what came of an effect, told once.
pub(super) fn transition(worker: &Worker<'_>, event: &Event) -> Vec<NewEvent> {
    let number = worker.number();
    match event {
        Event::Built { tier, summary } => {
            let text = format!("{number} was built by {tier}");
            // The log is for good, and the gate has not seen the builder's words yet.
            let summary = without_secrets(summary, &worker.context.parts.redactor);
            vec![
                worker
                    .event(EventType::BuildFinished, text)
                    .with("tier", tier.as_str())
                    .with("round", worker.state.round)
                    .with("summary", summary),
            ]
        }
        Event::CopilotBuilt { summary } => {
            let summary = without_secrets(summary, &worker.context.parts.redactor);
            vec![
                worker
                    .event(EventType::BuildFinished, format!("{number} was built by Copilot"))
                    .with("builder", "copilot")
                    .with("summary", summary),
            ]
        }
        Event::HeadMoved => {
            let text = format!("Copilot's pull request for {number} was pushed to meanwhile");
            vec![worker.event(EventType::GateJudged, text)]
        }
        Event::BuildFailed { code, message, .. } => vec![
            worker
                .event(EventType::BuildFinished, format!("Building {number} failed: {message}"))
                .severity(Severity::Medium)
                .with("reasonCode", json!(code)),
        ],
        Event::NothingChanged => vec![worker.event(
            EventType::BuildFinished,
            format!("The builder finished {number} without changing anything"),
        )],
        Event::TreeRefused { reason } => {
            vec![blocked(worker, format!("The tree built for {number} was refused: {reason}"))]
        }
        Event::Passed { candidate, .. } => vec![
            worker
                .event(EventType::GateJudged, format!("{number} passed every check"))
                .with("passed", true),
            worker
                .event(
                    EventType::PrAllowed,
                    format!("{number}: tree {} may be published", candidate.tree),
                )
                .with("tree", candidate.tree.as_str())
                .with("commit", candidate.commit.as_str())
                .with("base", candidate.base.as_str()),
        ],
        Event::Refused { reason, .. } => vec![
            worker
                .event(EventType::GateJudged, format!("{number} did not pass: {reason}"))
                .severity(Severity::Low)
                .with("passed", false),
            blocked(worker, format!("{number}: no pull request, {reason}")),
        ],
        Event::Pushed => vec![
            worker
                .event(EventType::BranchPushed, format!("Pushed {} for {number}", worker.branch()))
                .with("branch", worker.branch()),
        ],
        Event::JudgeAgain => {
            let text = format!("{number} is judged again: the base moved");
            vec![worker.event(EventType::GateJudged, text)]
        }
        Event::BranchTaken { reason } => vec![blocked(worker, format!("{number}: {reason}"))],
        Event::PullOpened(pull) if worker.state.by_copilot() => vec![
            worker
                .event(
                    EventType::CopilotMarked,
                    format!("{number}: {} passed and says so", pull.url),
                )
                .with("prUrl", pull.url.as_str())
                .with("number", pull.number),
        ],
        Event::PullOpened(pull) => vec![
            worker
                .event(EventType::PrOpened, format!("Opened {} for {number}", pull.url))
                .with("prUrl", pull.url.as_str())
                .with("number", pull.number),
        ],
        Event::PublishFailed { message } => vec![blocked(worker, format!("{number}: {message}"))],
        Event::Commented => {
            vec![worker.event(EventType::IssueCommented, format!("Reported on {number}"))]
        }
        Event::WorkLost => vec![worker.event(
            EventType::BuildFinished,
            format!("What was built for {number} is gone from the mirror; it is built again"),
        )],
        Event::Restarted => Vec::new(),
    }
}

fn blocked(worker: &Worker<'_>, text: String) -> NewEvent {
    worker.event(EventType::PrBlocked, text).severity(Severity::Medium)
}

pub(super) fn success(row: &IssueResult) -> String {
    match &row.pr_url {
        Some(url) => format!("{} succeeded: {url}", row.issue_number),
        None => {
            format!("{} passed every check; nothing was published, as configured", row.issue_number)
        }
    }
}

pub(super) fn count(rows: &[IssueResult], status: IssueStatus) -> usize {
    rows.iter().filter(|row| row.status == status).count()
}

pub(super) fn night_summary(
    repo: &RepoName,
    status: RunStatus,
    rows: &[IssueResult],
    errors: &[String],
) -> String {
    let mut text = format!(
        "Night for {repo} {status}: {} succeeded, {} failed, {} skipped",
        count(rows, IssueStatus::Success),
        count(rows, IssueStatus::Failed),
        count(rows, IssueStatus::Skipped)
    );
    if let Some(error) = errors.first() {
        text.push_str("; ");
        text.push_str(error);
    }
    text
}
