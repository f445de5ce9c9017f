//! Labels of issues: those that change what binds a change, and those that show how it goes.
//!
//! The first count only where someone with write access set them. The second are ours, and off
//! unless the operator wants them (`labels.progress`); one that cannot be set changes nothing else.

use super::issue::Worker;
use super::planning::has_label;
use super::settings::Parts;
use crate::domain::attempt::Outcome;
use crate::domain::ids::{IssueNumber, RepoName};
use crate::gate::Policy;
use crate::github::GitHubError;
use crate::github::intake::{LabelWord, People};

const IN_PROGRESS: &str = "foreman:in-progress";
const PROPOSED: &str = "foreman:proposed";
const REFUSED: &str = "foreman:refused";

/// The policy's labels that count for this issue. One that GitHub says nothing about counts not.
pub(super) async fn trusted(worker: &Worker<'_>, policy: &Policy) -> Vec<String> {
    let context = worker.context;
    let mut people = People::new(&context.parts.github, &context.request.repo);
    let mut counting = Vec::new();
    for label in policy.labels.keys().filter(|label| has_label(&worker.issue, label)) {
        match people.label(worker.number(), label).await {
            Ok(LabelWord::Counts { .. }) => counting.push(label.clone()),
            Ok(LabelWord::Unrecorded(why) | LabelWord::Void(why)) => {
                tracing::info!(issue = %worker.number(), "a label changes nothing: {why}");
            }
            Err(error) => {
                tracing::warn!(issue = %worker.number(), %error,
                    "who set the label `{label}` on {} could not be asked", worker.number());
            }
        }
    }
    counting
}

/// Work on the issue has begun.
pub(super) async fn begun(worker: &Worker<'_>) {
    show(worker, Some(IN_PROGRESS)).await;
}

/// What came of the issue.
pub(super) async fn ended(worker: &Worker<'_>, outcome: &Outcome) {
    show(
        worker,
        match outcome {
            Outcome::Success if worker.state.pull.is_some() => Some(PROPOSED),
            Outcome::Success => None,
            Outcome::Failed { .. } => Some(REFUSED),
        },
    )
    .await;
}

/// Nobody works on these any more, and nothing came of them.
pub(super) async fn given_up(parts: &Parts, repo: &RepoName, issues: Vec<IssueNumber>) {
    if !parts.settings.progress_labels {
        return;
    }
    for issue in issues {
        say(issue, set(parts, repo, issue, None).await);
    }
}

async fn show(worker: &Worker<'_>, wanted: Option<&str>) {
    let context = worker.context;
    if !context.parts.settings.progress_labels || !context.request.config.create_prs_automatically {
        return;
    }
    let issue = worker.number();
    say(issue, set(context.parts, &context.request.repo, issue, wanted).await);
}

fn say(issue: IssueNumber, done: Result<(), GitHubError>) {
    if let Err(error) = done {
        tracing::warn!(%issue, %error, "the labels of {issue} could not be changed");
    }
}

/// The issue bears this one of our three labels, or none. Looks before it changes anything.
async fn set(
    parts: &Parts,
    repo: &RepoName,
    issue: IssueNumber,
    wanted: Option<&str>,
) -> Result<(), GitHubError> {
    let has = parts.github.labels_of(repo, issue).await?;
    let has = |label: &str| has.iter().any(|it| it.eq_ignore_ascii_case(label));
    for ours in [IN_PROGRESS, PROPOSED, REFUSED] {
        match (has(ours), wanted == Some(ours)) {
            (false, true) => parts.github.add_label(repo, issue, ours).await?,
            (true, false) => parts.github.remove_label(repo, issue, ours).await?,
            (true, true) | (false, false) => {}
        }
    }
    Ok(())
}
