//! The people around an issue, looked at before anything is spent on it: whether a stranger's text
//! is still what was approved, which labels may spend, whose comments are passed on.
//!
//! Everything here follows from who did it, as GitHub's API says; never from a text or a name.

use chrono::{DateTime, TimeDelta, Utc};

use super::hand::Hand;
use super::planning::{PlanError, content_digest};
use super::settings::Parts;
use super::texts;
use crate::domain::event::{EventType, NewEvent, Severity};
use crate::domain::ids::{IssueNumber, RepoName, RunId};
use crate::domain::issue::{Issue, Trust};
use crate::domain::vetting::{Approval, TrustedComment, VoidLabel};
use crate::github::intake::{Authors, LabelWord, People};
use crate::github::{Comment, GitHubError};
use crate::store::SeenApproval;

/// GitHub's times are whole seconds, and setting a label touches the issue itself.
const SAME_MOMENT: TimeDelta = TimeDelta::seconds(1);
/// The latest trusted comments that are passed on.
const MOST_COMMENTS: usize = 20;

/// Takes the approval away from whatever was edited after it was given.
pub(super) async fn hold_approvals(
    parts: &Parts,
    repo: &RepoName,
    issues: &mut [Issue],
) -> Result<(), PlanError> {
    for issue in issues {
        let Some(approval) = issue.vetting.approval.clone() else { continue };
        if let Some(why) = edited_since(parts, repo, issue, &approval).await? {
            let label = &parts.settings.trust.approval_label;
            let reason = format!(
                "{why} after `{}` approved it; a maintainer can take the label `{label}` off and add it again",
                approval.by
            );
            issue.trust = Trust::Untrusted(reason);
        }
    }
    Ok(())
}

/// What changed since the approval, as the beginning of a sentence. What was approved is
/// remembered by its hash when it is seen first.
async fn edited_since(
    parts: &Parts,
    repo: &RepoName,
    issue: &Issue,
    approval: &Approval,
) -> Result<Option<&'static str>, PlanError> {
    const EDITED: &str = "its text was edited";
    if approval.renamed_since {
        return Ok(Some("its title was changed"));
    }
    let at = approval.at.unwrap_or(DateTime::UNIX_EPOCH);
    let digest = content_digest(issue);
    let seen = parts.store.seen_approval(repo, issue.number).await?;
    if let Some(seen) = seen.filter(|seen| seen.at == at && seen.by == approval.by) {
        return Ok((seen.digest != digest).then_some(EDITED));
    }
    if let Some(set) = approval.at
        && issue.updated_at > set + SAME_MOMENT
        && edited_before_we_looked(parts, repo, issue, set).await?
    {
        return Ok(Some(EDITED));
    }
    let seen = SeenApproval { by: approval.by.clone(), at, digest };
    parts.store.note_approval(repo, issue.number, seen).await?;
    Ok(None)
}

/// Something happened between the approval and our first look. GitHub says when a text was edited;
/// a server that does not may still tell of something else that explains it.
async fn edited_before_we_looked(
    parts: &Parts,
    repo: &RepoName,
    issue: &Issue,
    set: DateTime<Utc>,
) -> Result<bool, PlanError> {
    match parts.github.last_edited(repo, issue.number).await {
        Ok(edited) => Ok(edited.is_some_and(|edited| edited > set)),
        Err(
            GitHubError::NotFound { .. }
            | GitHubError::Invalid { .. }
            | GitHubError::Unreadable { .. }
            | GitHubError::Forbidden { .. },
        ) => {
            let told = parts.github.last_told(repo, issue.number).await?;
            Ok(told.is_none_or(|told| told + SAME_MOMENT < issue.updated_at))
        }
        Err(error) => Err(error.into()),
    }
}

/// Looks at the people around an issue that would be worked on.
pub(super) async fn vet(
    parts: &Parts,
    people: &mut People<'_>,
    repo: &RepoName,
    hand: &Hand,
    issue: &mut Issue,
) -> Result<(), PlanError> {
    issue.vetting.void_labels = void_labels(parts, people, issue).await?;
    if issue.vetting.comment_count.is_none_or(|count| count > 0) {
        let comments = match parts.github.comments(repo, issue.number).await {
            Ok(comments) => comments,
            // Gone, or not to be seen: nobody said anything that could be passed on.
            Err(GitHubError::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        sort_out(parts, people, hand, issue, comments).await?;
    }
    Ok(())
}

/// What was not honoured, for the log.
pub(super) fn events(run: &RunId, issues: &[Issue]) -> Vec<NewEvent> {
    let void = issues
        .iter()
        .flat_map(|issue| issue.vetting.void_labels.iter().map(|label| (issue.number, label)));
    let event = |(number, label): (IssueNumber, &VoidLabel)| {
        let text = format!("{number}: the label `{}` decides nothing: {}", label.name, label.why);
        NewEvent::new(EventType::LabelIgnored, text)
            .severity(Severity::Low)
            .run(run)
            .issue(number)
            .with("label", label.name.clone())
    };
    void.map(event).collect()
}

/// Labels that spend and were set by somebody who may not. One that nobody is on record for counts
/// on a trusted author's issue: servers that keep no record let only such people label.
async fn void_labels(
    parts: &Parts,
    people: &mut People<'_>,
    issue: &Issue,
) -> Result<Vec<VoidLabel>, GitHubError> {
    let spends = |label: &&String| {
        let mut names = parts.settings.labels.spending();
        names.any(|name| name.trim().eq_ignore_ascii_case(label.trim()))
    };
    let mut void = Vec::new();
    for name in issue.labels.iter().filter(spends) {
        let why = match people.label(issue.number, name).await? {
            LabelWord::Counts { .. } => continue,
            LabelWord::Unrecorded(_) if matches!(issue.trust, Trust::Author(_)) => continue,
            LabelWord::Unrecorded(why) | LabelWord::Void(why) => why,
        };
        void.push(VoidLabel { name: name.clone(), why });
    }
    Ok(void)
}

/// Keeps what people with write access said; counts what others did.
async fn sort_out(
    parts: &Parts,
    people: &mut People<'_>,
    hand: &Hand,
    issue: &mut Issue,
    comments: Vec<Comment>,
) -> Result<(), GitHubError> {
    let vetting = &mut issue.vetting;
    (vetting.comments, vetting.left_out) = (Vec::new(), 0);
    for comment in comments {
        let Some(author) = comment.author.clone() else {
            vetting.left_out += 1;
            continue;
        };
        let ours = hand.wrote(Some(&author));
        if ours && texts::has_marker(&comment.body, issue.number) {
            continue;
        }
        let trusted = match parts.settings.trust.authors {
            Authors::All => !comment.by_bot,
            Authors::Collaborators => {
                !comment.by_bot
                    && (comment.association.is_some_and(|association| association.is_trusted())
                        || people.may_write(&author).await?)
            }
        };
        if trusted {
            vetting.comments.push(TrustedComment { author, body: comment.body });
        } else {
            vetting.left_out += 1;
        }
    }
    let too_many = vetting.comments.len().saturating_sub(MOST_COMMENTS);
    vetting.comments.drain(..too_many);
    Ok(())
}
