//! Which branch an issue's work goes to, decided before anything is spent on it.
//!
//! A published branch is never moved. What an earlier night pushed and could not publish is adopted
//! where it still fits; any other work on an issue that has a branch goes to the next name. Never
//! pushes anything.

use super::context::{Context, EngineError};
use super::hand::Hand;
use super::planning::content_digest;
use crate::domain::attempt::{Stand, State};
use crate::domain::ids::{CommitId, IssueNumber, nth_branch_for};
use crate::domain::issue::Issue;
use crate::domain::plan::{ReasonCode, Skip};
use crate::git::Mirror;
use crate::github::Pull;
use crate::store::PushedCommit;

/// Branches of one issue that are looked at before we give up.
const MOST_BRANCHES: u32 = 50;

/// Where an issue's work goes.
pub(super) enum Place {
    /// A branch that does not exist.
    Free(String),
    /// A branch that we pushed and nobody has seen a pull request of: its tip, as what the round of
    /// this state built.
    Adopted { state: Box<State>, tip: CommitId },
    /// None: why.
    None(Skip),
}

/// Whose a branch is that exists.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// Has, or had, a pull request of ours, and stays as it is.
    Published,
    /// We pushed it and it never had a pull request.
    Unpublished(PushedCommit),
    /// An open pull request keeps the issue from being worked on, ours or another's.
    Open {
        ours: bool,
        number: IssueNumber,
    },
    Theirs,
}

/// The mirror was fetched just now.
pub(super) async fn choose(
    context: &Context<'_>,
    mirror: &Mirror,
    issue: &Issue,
    stand: &Stand,
) -> Result<Place, EngineError> {
    let first = nth_branch_for(issue.number, 1);
    // Where nothing is pushed, nothing can be in the way.
    if !context.request.config.create_prs_automatically || mirror.tip(&first).await?.is_none() {
        return Ok(Place::Free(first));
    }
    let repo = &context.request.repo;
    let store = &context.parts.store;
    let hand = Hand::of::<EngineError>(&context.github, store, repo).await?;
    let pushed = store.pushed(repo, issue.number).await?;
    for nth in 1..=MOST_BRANCHES {
        let branch = nth_branch_for(issue.number, nth);
        let Some(tip) = mirror.tip(&branch).await? else { return Ok(Place::Free(branch)) };
        let pulls = context.github.pulls_of_branch(repo, &branch).await?;
        match look(&tip, &pulls, &pushed, &hand, issue.number) {
            Found::Published => {}
            Found::Unpublished(push) => {
                if let Some(state) = adopt(context, issue, stand, &push, &branch).await? {
                    return Ok(Place::Adopted { state: Box::new(state), tip });
                }
            }
            Found::Open { ours: true, number } => {
                let reason = format!("has open pull request {number}");
                return Ok(Place::None(Skip::new(ReasonCode::OpenPullRequest, reason)));
            }
            Found::Open { ours: false, number } => {
                return Ok(Place::None(Skip::new(
                    ReasonCode::BranchTaken,
                    not_by_foreman(number, &branch),
                )));
            }
            Found::Theirs => {
                return Ok(Place::None(Skip::new(ReasonCode::BranchTaken, taken(&branch, &tip))));
            }
        }
    }
    let reason = format!(
        "it has {MOST_BRANCHES} branches already, the last `{}`: delete those nobody needs",
        nth_branch_for(issue.number, MOST_BRANCHES)
    );
    Ok(Place::None(Skip::new(ReasonCode::BranchTaken, reason)))
}

fn look(
    tip: &CommitId,
    pulls: &[Pull],
    pushed: &[PushedCommit],
    hand: &Hand,
    issue: IssueNumber,
) -> Found {
    if let Some(open) = pulls.iter().find(|pull| pull.open) {
        return Found::Open { ours: hand.made(open, issue), number: open.number };
    }
    if pulls.iter().any(|pull| hand.made(pull, issue)) {
        return Found::Published;
    }
    match pushed.iter().find(|push| push.commit == *tip) {
        // Somebody else had a pull request of our branch: it was seen, so it stays.
        Some(_) if !pulls.is_empty() => Found::Published,
        Some(push) => Found::Unpublished(push.clone()),
        None => Found::Theirs,
    }
}

/// The attempt that goes on with a branch of an earlier night, where it was made for the same words
/// and the same base, and nobody else's pull request stands on it.
async fn adopt(
    context: &Context<'_>,
    issue: &Issue,
    stand: &Stand,
    push: &PushedCommit,
    branch: &str,
) -> Result<Option<State>, EngineError> {
    if push.issue_digest.as_deref() != Some(content_digest(issue).as_str()) {
        return Ok(None);
    }
    let Some(attempt) = context.parts.store.attempt(&push.run, issue.number).await? else {
        return Ok(None);
    };
    // What an older version stored and this one cannot read is built anew.
    let Ok(earlier) = serde_json::from_value::<State>(attempt.state) else { return Ok(None) };
    let same_place = earlier.stand.base_branch == stand.base_branch && earlier.stand.on == stand.on;
    let candidate = earlier.candidate.clone();
    let Some(candidate) = candidate.filter(|it| same_place && it.commit == push.commit) else {
        return Ok(None);
    };
    if candidate.base != stand.base && is_a_base(context, branch).await? {
        return Ok(None);
    }
    Ok(Some(State::adopting(earlier, stand.clone(), branch.to_owned(), &push.commit)))
}

/// Whether an open pull request, whoever's, is based on a branch: moving it would change that one.
pub(super) async fn is_a_base(context: &Context<'_>, branch: &str) -> Result<bool, EngineError> {
    let open = context.github.open_pulls(&context.request.repo).await?;
    Ok(open.iter().any(|pull| pull.base_branch == branch))
}

/// Whether the tip of a branch may be replaced by the same work on a base that moved: a commit of
/// ours for this issue, that no pull request ever showed or stands on.
pub(super) async fn is_unpublished(
    context: &Context<'_>,
    issue: IssueNumber,
    branch: &str,
    tip: &CommitId,
) -> Result<bool, EngineError> {
    let repo = &context.request.repo;
    let pushed = context.parts.store.pushed(repo, issue).await?;
    if !pushed.iter().any(|push| push.commit == *tip) {
        return Ok(false);
    }
    let shown = context.github.pulls_of_branch(repo, branch).await?;
    Ok(shown.is_empty() && !is_a_base(context, branch).await?)
}

pub(super) fn taken(branch: &str, tip: &CommitId) -> String {
    format!(
        "the branch `{branch}` exists on GitHub at {} and was not made by Foreman: delete or rename it",
        tip.short()
    )
}

pub(super) fn not_by_foreman(pull: IssueNumber, branch: &str) -> String {
    format!(
        "pull request {pull} from branch `{branch}` was not made by Foreman: close it or rename its branch"
    )
}
