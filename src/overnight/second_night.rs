//! What earlier nights left of an issue, looked at before anything is spent on it again.
//!
//! Decides who is left out for it, and what a failure has to be to be tried again. Changes nothing.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::branch::not_by_foreman;
use super::copilot_before::{self, Before};
use super::hand::Hand;
use super::planning::{OpenPull, PlanError, content_digest, has_label};
use super::settings::Parts;
use crate::domain::call::ErrorClass;
use crate::domain::ids::{IssueNumber, RepoName, nth_branch_for};
use crate::domain::issue::{Issue, Repository};
use crate::domain::plan::{ReasonCode, Skip};
use crate::domain::run::{IssueStatus, NightRequest};
use crate::github::intake::{LabelWord, People};
use crate::github::{GitHub, Pull};
use crate::store::IssueHistory;

/// Set by someone with write access: work on it again although nothing changed.
const RETRY_LABEL: &str = "foreman:retry";

/// Branches of one issue whose pull requests are looked at.
const MOST_BRANCHES: u32 = 50;

/// What an earlier night left of an issue.
pub(super) enum Earlier {
    Nothing,
    OpenPull(OpenPull),
    Skip(Skip),
}

/// The open pull requests of ours, each by its issue.
pub(super) async fn open_pulls(
    github: &GitHub,
    repo: &RepoName,
    hand: &Hand,
) -> Result<BTreeMap<IssueNumber, OpenPull>, PlanError> {
    let open = github.open_pulls(repo).await?;
    let ours = open.into_iter().filter_map(|pull| {
        let issue = hand.issue_of(&pull, repo)?;
        Some((issue, OpenPull::from(pull)))
    });
    Ok(ours.collect())
}

/// Looks at one issue after another.
pub(super) struct SecondNight<'a> {
    pub parts: &'a Parts,
    pub github: &'a GitHub,
    pub request: &'a NightRequest,
    pub repository: &'a Repository,
    pub hand: Hand,
    pub history: BTreeMap<IssueNumber, IssueHistory>,
    /// The base's tip, once somebody needed it.
    pub base: Option<Option<String>>,
}

impl SecondNight<'_> {
    pub async fn look(
        &mut self,
        issue: &Issue,
        open_pulls: &BTreeMap<IssueNumber, OpenPull>,
    ) -> Result<Earlier, PlanError> {
        let pulls = self.pulls_of(issue.number).await?;
        if let Some(open) = pulls.iter().find(|pull| pull.open) {
            if self.hand.made(open, issue.number) {
                return Ok(Earlier::OpenPull(open.clone().into()));
            }
            let reason = not_by_foreman(open.number, &open.head_branch);
            return Ok(Earlier::Skip(Skip::new(ReasonCode::BranchTaken, reason)));
        }
        let past = self.history.get(&issue.number);
        let unchanged = past
            .and_then(|past| past.issue_digest.as_deref())
            .is_none_or(|digest| digest == content_digest(issue));
        // The last one speaks: after a merge, an issue that was opened again is work.
        let ours = pulls.iter().filter(|pull| self.hand.made(pull, issue.number));
        let last = ours.max_by_key(|pull| pull.number);
        if let Some(closed) = last.filter(|pull| unchanged && !pull.merged) {
            let why = format!("its pull request {} was closed unmerged", closed.number);
            return self.unless_retried(issue, why).await;
        }
        let copilots =
            copilot_before::look(self.parts, &self.request.repo, issue, &self.hand).await?;
        match copilots {
            Before::Nothing => {}
            Before::Passed(pull) | Before::Waits(pull) => return Ok(Earlier::OpenPull(pull)),
            Before::Over(why) if unchanged => return self.unless_retried(issue, why).await,
            Before::Over(_) => {}
        }
        let failed = past
            .is_some_and(|past| past.status == IssueStatus::Failed && past.issue_digest.is_some());
        if failed
            && unchanged
            && !self.failed_for_others(issue.number).await?
            && self.base_unchanged(issue.number, open_pulls).await?
        {
            let why = "an earlier night failed on it and neither it nor the base changed since";
            return self.unless_retried(issue, why.to_owned()).await;
        }
        Ok(Earlier::Nothing)
    }

    /// Every pull request from a branch of this issue, open or not.
    async fn pulls_of(&self, issue: IssueNumber) -> Result<Vec<Pull>, PlanError> {
        let mut all = Vec::new();
        for nth in 1..=MOST_BRANCHES {
            let branch = nth_branch_for(issue, nth);
            let pulls = self.github.pulls_of_branch(&self.request.repo, &branch).await?;
            if pulls.is_empty() {
                break;
            }
            all.extend(pulls);
        }
        Ok(all)
    }

    /// Whether the last failure was for want of something that neither the issue nor the base has to
    /// do with: a model that answers, a key that is accepted, GitHub's leave to open a pull request.
    async fn failed_for_others(&self, issue: IssueNumber) -> Result<bool, PlanError> {
        let Some(past) = self.history.get(&issue) else { return Ok(false) };
        let Some(code) = past.reason_code else { return Ok(false) };
        Ok(match cause(code) {
            Cause::Outside => true,
            Cause::Own => false,
            Cause::Provider => {
                let calls = self.parts.store.calls(&past.run, Some(issue)).await?;
                let class = calls.iter().rev().find_map(|call| call.error_class);
                class.is_some_and(|class| {
                    matches!(class, ErrorClass::Auth | ErrorClass::InsufficientQuota)
                })
            }
        })
    }

    /// Whether the work would stand where it stood: on the base's tip, or, stacked, on the branch
    /// of a blocker's open pull request.
    async fn base_unchanged(
        &mut self,
        issue: IssueNumber,
        open_pulls: &BTreeMap<IssueNumber, OpenPull>,
    ) -> Result<bool, PlanError> {
        let before = self.history.get(&issue).and_then(|past| past.base_sha.clone());
        let Some(before) = before else { return Ok(false) };
        if open_pulls.values().any(|pull| pull.head.as_str() == before.as_str()) {
            return Ok(true);
        }
        if self.base.is_none() {
            let (repo, repository) = (&self.request.repo, self.repository);
            let token = self.github.token_for_git(repo).await?;
            // Asked for, not fetched: a plan makes no mirror.
            let tip = self.parts.git.remote_tip(
                repo,
                &repository.clone_url,
                token,
                &repository.default_branch,
                CancellationToken::new(),
            );
            self.base = Some(tip.await?.map(|commit| commit.to_string()));
        }
        let now = self.base.as_ref().and_then(Option::as_ref);
        Ok(now.is_some_and(|now| before.as_str() == now))
    }

    /// Skips, unless someone with write access asked to try again.
    async fn unless_retried(&self, issue: &Issue, why: String) -> Result<Earlier, PlanError> {
        if has_label(issue, RETRY_LABEL) {
            let mut people = People::new(self.github, &self.request.repo);
            let word = people.label(issue.number, RETRY_LABEL).await?;
            if let LabelWord::Counts { at, .. } = word
                && !self.is_used_up(issue.number, at)
            {
                return Ok(Earlier::Nothing);
            }
        }
        let reason = format!(
            "{why}: edit the issue, or let someone with write access add the label `{RETRY_LABEL}` (again, if it is there)"
        );
        Ok(Earlier::Skip(Skip::new(ReasonCode::UnchangedSinceRefusal, reason)))
    }

    /// A label asks for one more try: set before the last one ended, it has had its answer. We take
    /// no label off, so one left there would pay again every night. GitHub's times are whole seconds.
    fn is_used_up(&self, issue: IssueNumber, set_at: Option<DateTime<Utc>>) -> bool {
        let ended = self.history.get(&issue).map(|past| past.ended_at.timestamp());
        set_at.is_some_and(|at| ended.is_some_and(|ended| at.timestamp() < ended))
    }
}

/// Whose doing a failure was.
enum Cause {
    /// The issue's on this base: the same again would come to the same.
    Own,
    /// Neither the issue nor the base can mend it, so waiting for them to change would be for ever.
    Outside,
    /// The model's provider said no: to the words, or to the key.
    Provider,
}

const fn cause(code: ReasonCode) -> Cause {
    match code {
        ReasonCode::ModelsExhausted | ReasonCode::PublishFailed => Cause::Outside,
        ReasonCode::ProviderRefused => Cause::Provider,
        ReasonCode::GateRefused
        | ReasonCode::BuilderFailed
        | ReasonCode::NoChange
        | ReasonCode::BranchTaken
        | ReasonCode::BaseMoved
        | ReasonCode::Internal => Cause::Own,
        // Rows with these are skipped, not failed: nothing was tried.
        ReasonCode::UntrustedAuthor
        | ReasonCode::ForemanIssue
        | ReasonCode::SkipLabel
        | ReasonCode::NotSelected
        | ReasonCode::ParentIssue
        | ReasonCode::MaxIssues
        | ReasonCode::OpenPullRequest
        | ReasonCode::UnchangedSinceRefusal
        | ReasonCode::DryRun
        | ReasonCode::Cycle
        | ReasonCode::BlockedByCycle
        | ReasonCode::Blocked
        | ReasonCode::UnknownBlocker
        | ReasonCode::BlockerFailed
        | ReasonCode::BlockerSkipped
        | ReasonCode::StackDiverged
        | ReasonCode::Budget
        | ReasonCode::BaseRed
        | ReasonCode::DependenciesUnavailable
        | ReasonCode::Cancelled => Cause::Outside,
    }
}
