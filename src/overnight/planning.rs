//! From GitHub to a plan: intake, what is decided before ordering, and the order itself.
//!
//! Used by a night and by the plan route alike, so that both say the same. Changes nothing outside
//! the data folder.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::settings::Parts;
use super::texts;
use crate::domain::ids::{IssueNumber, RepoName, branch_for};
use crate::domain::issue::{BlockerState, Issue, Repository};
use crate::domain::plan::{Plan, ReasonCode, Skip};
use crate::domain::run::{IssueStatus, NightRequest};
use crate::git::{GitError, Mirror};
use crate::github::intake::{LabelWord, People};
use crate::github::{GitHubError, Pull, intake};
use crate::sequencing;
use crate::store::{IssueHistory, StoreError};

/// Keeps an issue out of nights.
const SKIP_LABEL: &str = "foreman:skip";
/// Set by someone with write access: work on it again although nothing changed.
const RETRY_LABEL: &str = "foreman:retry";

/// Why no plan could be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error("no GitHub credential: set GITHUB_TOKEN, or GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY")]
    NoCredential,
    #[error(transparent)]
    GitHub(#[from] GitHubError),
    #[error(transparent)]
    Git(#[from] GitError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a night knows before it works: the plan and what it was made from.
pub(super) struct Gathered {
    pub repository: Repository,
    pub issues: Vec<Issue>,
    pub plan: Plan,
    /// Open Foreman pull requests of issues in the plan.
    pub open_pulls: BTreeMap<IssueNumber, OpenPull>,
}

/// An open Foreman pull request that dependents may stack on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OpenPull {
    pub number: u64,
    pub url: String,
    pub head: String,
}

/// Fetches, looks up what is named but not there, and plans.
pub(super) async fn gather(parts: &Parts, request: &NightRequest) -> Result<Gathered, PlanError> {
    let repository = parts.github.repository(&request.repo).await?;
    let issues =
        intake::read_open_issues(&parts.github, &request.repo, &parts.settings.trust).await?;
    let known = look_up_outside(parts, &request.repo, &issues).await?;
    let login = parts.github.login().await?;

    let mut skips = skips_by_label_and_marker(&issues, login.as_deref());
    let history: BTreeMap<IssueNumber, IssueHistory> = parts
        .store
        .history(&request.repo)
        .await?
        .into_iter()
        .map(|entry| (entry.issue, entry))
        .collect();
    let mut second =
        SecondNight { parts, request, repository: &repository, login, history, base: None };
    let mut open_pulls = BTreeMap::new();
    let mut looked_at = BTreeSet::new();
    // Whoever is left out makes room for the next: plan again until everybody who would be worked
    // on has been looked at.
    loop {
        let plan = sequencing::plan(&sequencing::PlanInput {
            issues: &issues,
            repo: &request.repo,
            order: &request.config.sequence_order,
            mode: request.config.dependency_mode,
            select_issues: &request.config.issues,
            select_labels: &request.config.labels,
            max_issues: request.config.max_issues_per_run,
            pre_skips: &skips,
            known: &known,
            labels: &parts.settings.labels,
            now: Utc::now(),
        });
        let unseen: Vec<IssueNumber> = plan
            .eligible()
            .map(|issue| issue.issue_number)
            .filter(|number| !looked_at.contains(number))
            .collect();
        if unseen.is_empty() {
            return Ok(Gathered { repository, issues, plan, open_pulls });
        }
        for number in unseen {
            looked_at.insert(number);
            let Some(issue) = issues.iter().find(|issue| issue.number == number) else { continue };
            match second.look(issue, &open_pulls).await? {
                Earlier::Nothing => {}
                Earlier::OpenPull(pull) => {
                    let reason = format!("has open pull request #{}", pull.number);
                    skips.insert(number, Skip::new(ReasonCode::OpenPullRequest, reason));
                    open_pulls.insert(number, pull);
                }
                Earlier::Skip(skip) => {
                    skips.insert(number, skip);
                }
            }
        }
    }
}

async fn look_up_outside(
    parts: &Parts,
    repo: &RepoName,
    issues: &[Issue],
) -> Result<BTreeMap<(Option<String>, IssueNumber), BlockerState>, PlanError> {
    let mut known = BTreeMap::new();
    for (elsewhere, number) in sequencing::outside_references(issues, repo) {
        let target = match &elsewhere {
            Some(slug) => slug.parse::<RepoName>().ok(),
            None => Some(repo.clone()),
        };
        let state = match target {
            Some(target) => match parts.github.issue_state(&target, number).await {
                Ok(state) => state,
                // Another repository we may not read: unknown, not a failed night.
                Err(GitHubError::Forbidden { .. }) if elsewhere.is_some() => BlockerState::Unknown,
                Err(error) => return Err(error.into()),
            },
            None => BlockerState::Unknown,
        };
        known.insert((elsewhere, number), state);
    }
    Ok(known)
}

fn skips_by_label_and_marker(issues: &[Issue], login: Option<&str>) -> BTreeMap<IssueNumber, Skip> {
    let mut skips = BTreeMap::new();
    for issue in issues {
        let ours = login.is_some_and(|login| login.eq_ignore_ascii_case(&issue.author));
        if ours && texts::is_incident(&issue.body) {
            let skip = Skip::new(ReasonCode::ForemanIssue, "one of Foreman's own reports");
            skips.insert(issue.number, skip);
        } else if has_label(issue, SKIP_LABEL) {
            let reason = format!("has the label `{SKIP_LABEL}`");
            skips.insert(issue.number, Skip::new(ReasonCode::SkipLabel, reason));
        }
    }
    skips
}

pub(super) fn has_label(issue: &Issue, label: &str) -> bool {
    issue.labels.iter().any(|it| it.eq_ignore_ascii_case(label))
}

/// What identifies an issue's content: an edit changes it, a comment does not.
pub(super) fn content_digest(issue: &Issue) -> String {
    let mut hasher = Sha256::new();
    hasher.update(issue.title.len().to_string());
    hasher.update(b":");
    hasher.update(&issue.title);
    hasher.update(&issue.body);
    hex::encode(hasher.finalize())
}

/// What an earlier night left of an issue.
enum Earlier {
    Nothing,
    OpenPull(OpenPull),
    Skip(Skip),
}

/// Looks at what earlier nights left, before anything is spent on it again.
struct SecondNight<'a> {
    parts: &'a Parts,
    request: &'a NightRequest,
    repository: &'a Repository,
    login: Option<String>,
    history: BTreeMap<IssueNumber, IssueHistory>,
    /// The base's tip, once somebody needed it.
    base: Option<Option<String>>,
}

impl SecondNight<'_> {
    async fn look(
        &mut self,
        issue: &Issue,
        open_pulls: &BTreeMap<IssueNumber, OpenPull>,
    ) -> Result<Earlier, PlanError> {
        let branch = branch_for(issue.number);
        let pulls = self.parts.github.pulls_of_branch(&self.request.repo, &branch).await?;
        if let Some(open) = pulls.iter().find(|pull| pull.open) {
            if self.is_ours(open, issue.number) {
                return Ok(Earlier::OpenPull(OpenPull {
                    number: open.number.0,
                    url: open.html_url.clone(),
                    head: open.head_sha.clone(),
                }));
            }
            let reason = format!(
                "pull request {} from branch `{branch}` was not made by Foreman: close it or rename its branch",
                open.number
            );
            return Ok(Earlier::Skip(Skip::new(ReasonCode::BranchTaken, reason)));
        }
        let unchanged = self
            .history
            .get(&issue.number)
            .and_then(|past| past.issue_digest.as_deref())
            .is_none_or(|digest| digest == content_digest(issue));
        let closed = pulls.iter().find(|pull| self.is_ours(pull, issue.number));
        if let Some(closed) = closed.filter(|_| unchanged) {
            let how = if closed.merged { "was merged" } else { "was closed unmerged" };
            return self
                .unless_retried(issue, format!("its pull request {} {how}", closed.number))
                .await;
        }
        let refused = self.history.get(&issue.number).is_some_and(|past| {
            past.status == IssueStatus::Failed
                && past.issue_digest.is_some()
                && past.reason_code.is_some_and(was_the_issues_own_failure)
        });
        if refused && unchanged && self.base_unchanged(issue.number, open_pulls).await? {
            return self
                .unless_retried(
                    issue,
                    "an earlier night failed on it and neither it nor the base changed since"
                        .to_owned(),
                )
                .await;
        }
        Ok(Earlier::Nothing)
    }

    fn is_ours(&self, pull: &Pull, issue: IssueNumber) -> bool {
        let by_us = match &self.login {
            Some(login) => {
                pull.author.as_deref().is_some_and(|author| login.eq_ignore_ascii_case(author))
            }
            None => true,
        };
        by_us && texts::has_marker(&pull.body, issue)
    }

    /// Whether the work would stand where it stood: on the base's tip, or, stacked, on the branch
    /// of a blocker's open pull request.
    async fn base_unchanged(
        &mut self,
        issue: IssueNumber,
        open_pulls: &BTreeMap<IssueNumber, OpenPull>,
    ) -> Result<bool, PlanError> {
        let before = self.history.get(&issue).and_then(|past| past.base_sha.clone());
        if before.is_some_and(|before| {
            open_pulls.values().any(|pull| pull.head.as_str() == before.as_str())
        }) {
            return Ok(true);
        }
        if self.base.is_none() {
            let mirror = open_mirror(self.parts, &self.request.repo, self.repository).await?;
            let tip = mirror.tip(&self.repository.default_branch).await?;
            self.base = Some(tip.map(|commit| commit.to_string()));
        }
        let before = self.history.get(&issue).and_then(|past| past.base_sha.as_ref());
        let now = self.base.as_ref().and_then(Option::as_ref);
        Ok(before.is_some_and(|before| now.is_some_and(|now| before.as_str() == now)))
    }

    /// Skips, unless someone with write access asked to try again.
    async fn unless_retried(&self, issue: &Issue, why: String) -> Result<Earlier, PlanError> {
        if has_label(issue, RETRY_LABEL) {
            let mut people = People::new(&self.parts.github, &self.request.repo);
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

/// Failures that the same issue on the same base would meet again. What broke for want of a model,
/// money or a connection is tried again the next night.
fn was_the_issues_own_failure(code: ReasonCode) -> bool {
    matches!(code, ReasonCode::GateRefused | ReasonCode::BuilderFailed | ReasonCode::NoChange)
}

/// The repository's mirror, made or brought up to date. Dropping the future stops git; what is done
/// through the mirror later is not cut off by a night's cancellation, so that no half push is left.
pub(super) async fn open_mirror(
    parts: &Parts,
    repo: &RepoName,
    repository: &Repository,
) -> Result<Mirror, PlanError> {
    let token = parts.github.token_for_git(repo).await?;
    Ok(parts.git.mirror(repo, &repository.clone_url, token, CancellationToken::new()).await?)
}

/// The same mirror with a token that still lives: those of a GitHub App end within the hour.
pub(super) async fn with_live_token(
    parts: &Parts,
    repo: &RepoName,
    mirror: &Mirror,
) -> Result<Mirror, PlanError> {
    let token = parts.github.token_for_git(repo).await?;
    Ok(mirror.clone().with_token(token)?)
}
