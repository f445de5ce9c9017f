//! From GitHub to a plan: intake, what is decided before ordering, and the order itself.
//!
//! Used by a night and by the plan route alike, so that both say the same. Changes nothing outside
//! the data folder. Long because what earlier nights left is decided here too.

use std::collections::{BTreeMap, BTreeSet};

use chrono::Utc;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::hand::Hand;
use super::second_night::{self, Earlier, SecondNight};
use super::settings::Parts;
use super::texts;
use super::vet;
use crate::domain::ids::{IssueNumber, RepoName};
use crate::domain::issue::{BlockerState, Issue, Repository};
use crate::domain::plan::{Plan, ReasonCode, Skip};
use crate::domain::run::NightRequest;
use crate::git::{GitError, Mirror};
use crate::github::intake::People;
use crate::github::{GitHub, GitHubError, Pull, intake};
use crate::sequencing;
use crate::store::{IssueHistory, StoreError};

/// Keeps an issue out of nights.
const SKIP_LABEL: &str = "foreman:skip";

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
    /// Absent in what older versions stored.
    #[serde(default)]
    pub branch: Option<String>,
}

impl From<Pull> for OpenPull {
    fn from(pull: Pull) -> Self {
        Self {
            number: pull.number.0,
            url: pull.html_url,
            head: pull.head_sha,
            branch: Some(pull.head_branch),
        }
    }
}

/// Fetches, looks up what is named but not there, and plans.
pub(super) async fn gather(
    parts: &Parts,
    github: &GitHub,
    request: &NightRequest,
) -> Result<Gathered, PlanError> {
    let repository = github.repository(&request.repo).await?;
    let mut issues = intake::read_open_issues(github, &request.repo, &parts.settings.trust).await?;
    vet::hold_approvals(parts, &request.repo, &mut issues).await?;
    let known = look_up_outside(github, &request.repo, &issues).await?;
    let hand = Hand::of::<PlanError>(github, &parts.store, &request.repo).await?;

    let mut skips = skips_by_label_and_marker(&issues, &hand);
    // Of all issues, not only those that would be worked on: dependents stack on a pull request
    // also where its issue was not asked for.
    let mut open_pulls = second_night::open_pulls(github, &request.repo, &hand).await?;
    open_pulls.retain(|number, _| issues.iter().any(|issue| issue.number == *number));
    for (number, pull) in &open_pulls {
        skips.insert(*number, has_open_pull(pull));
    }
    let history: BTreeMap<IssueNumber, IssueHistory> = parts
        .store
        .history(&request.repo)
        .await?
        .into_iter()
        .map(|entry| (entry.issue, entry))
        .collect();
    let mut people = People::new(github, &request.repo);
    let mut second =
        SecondNight { parts, github, request, repository: &repository, hand, history, base: None };
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
            let Some(issue) = issues.iter_mut().find(|issue| issue.number == number) else {
                continue;
            };
            match second.look(issue, &open_pulls).await? {
                Earlier::Nothing => {
                    vet::vet(parts, &mut people, &request.repo, &second.hand, issue).await?;
                }
                Earlier::OpenPull(pull) => {
                    skips.insert(number, has_open_pull(&pull));
                    open_pulls.insert(number, pull);
                }
                Earlier::Skip(skip) => {
                    skips.insert(number, skip);
                }
            }
        }
    }
}

fn has_open_pull(pull: &OpenPull) -> Skip {
    let reason = format!("has open pull request #{}", pull.number);
    Skip::new(ReasonCode::OpenPullRequest, reason)
}

async fn look_up_outside(
    github: &GitHub,
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
            Some(target) => match github.issue_state(&target, number).await {
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

fn skips_by_label_and_marker(issues: &[Issue], hand: &Hand) -> BTreeMap<IssueNumber, Skip> {
    let mut skips = BTreeMap::new();
    for issue in issues {
        if hand.wrote(Some(&issue.author)) && texts::is_incident(&issue.body) {
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

/// The repository's mirror, made or brought up to date. Dropping the future stops git; what is done
/// through the mirror later is not cut off by a night's cancellation, so that no half push is left.
pub(super) async fn open_mirror(
    parts: &Parts,
    github: &GitHub,
    repo: &RepoName,
    repository: &Repository,
) -> Result<Mirror, PlanError> {
    let token = github.token_for_git(repo).await?;
    Ok(parts.git.mirror(repo, &repository.clone_url, token, CancellationToken::new()).await?)
}

/// The same mirror with a token that still lives: those of a GitHub App end within the hour.
pub(super) async fn with_live_token(
    github: &GitHub,
    repo: &RepoName,
    mirror: &Mirror,
) -> Result<Mirror, GitHubError> {
    let token = github.token_for_git(repo).await?;
    Ok(mirror.clone().with_token(token))
}
