//! What an issue's work stands on: the base branch, or a blocker's branch where it stacks.

use super::context::{Context, EngineError};
use super::describe;
use super::judge::BaseJudge;
use crate::domain::attempt::Stand;
use crate::domain::ids::{CommitId, IssueNumber, branch_for};
use crate::domain::plan::{ReasonCode, Skip};
use crate::git::Mirror;
use crate::sequencing::{self, Readiness};

/// What came of looking for a place to stand on.
pub(super) enum Choice {
    On(Stand),
    /// This issue has none.
    Skip(Skip),
    /// Nobody has one: the night ends.
    Halt(Skip),
}

/// The stand of an issue, or why it has none.
pub(super) async fn choose(
    context: &Context<'_>,
    mirror: &Mirror,
    bases: &BaseJudge<'_>,
    number: IssueNumber,
) -> Result<Choice, EngineError> {
    let (readiness, default_branch) = {
        let board = context.board();
        let mode = context.request.config.dependency_mode;
        let readiness = sequencing::readiness(&board.plan, &board.progress(), number, mode);
        (readiness, board.notes.default_branch.clone())
    };
    let blockers = match readiness {
        Readiness::Ready { stack_on } => stack_on,
        Readiness::Never(skip) => return Ok(Choice::Skip(skip)),
        Readiness::Waiting { on } => {
            let on: Vec<String> = on.iter().map(ToString::to_string).collect();
            let reason = format!("still waits for {}", on.join(", "));
            return Ok(Choice::Skip(Skip::new(ReasonCode::Blocked, reason)));
        }
    };
    mirror.fetch().await?;
    if blockers.is_empty() {
        return on_base(mirror, bases, default_branch).await;
    }
    on_blocker(context, mirror, bases, &blockers).await
}

async fn on_base(
    mirror: &Mirror,
    bases: &BaseJudge<'_>,
    default_branch: String,
) -> Result<Choice, EngineError> {
    let Some(base) = mirror.tip(&default_branch).await? else {
        let reason = format!("the base branch `{default_branch}` is gone");
        return Ok(Choice::Skip(Skip::new(ReasonCode::BaseMoved, reason)));
    };
    let verdict = bases.verdict(&base).await?;
    if !verdict.green && !bases.may_be_red() {
        let skip = describe::not_green(&default_branch, &base, &verdict);
        let passing = verdict.dependencies_unavailable;
        return Ok(if passing { Choice::Skip(skip) } else { Choice::Halt(skip) });
    }
    Ok(Choice::On(Stand { base_branch: default_branch, on: None, base }))
}

/// One blocker whose tip contains the others'.
async fn on_blocker(
    context: &Context<'_>,
    mirror: &Mirror,
    bases: &BaseJudge<'_>,
    blockers: &[IssueNumber],
) -> Result<Choice, EngineError> {
    let mut tips: Vec<(IssueNumber, Option<String>, CommitId)> = Vec::new();
    for blocker in blockers {
        // A branch that people pushed to since is taken as it stands now.
        let (branch, known) = {
            let board = context.board();
            (board.branch_of(*blocker), board.tip_of(*blocker))
        };
        let pushed = match &branch {
            Some(branch) => mirror.tip(branch).await?,
            // Not published: a branch of that name is an earlier night's.
            None => None,
        };
        match pushed.or(known) {
            Some(tip) => tips.push((*blocker, branch, tip)),
            None => {
                let reason = format!("blocked by {blocker}, whose branch cannot be found");
                return Ok(Choice::Skip(Skip::new(ReasonCode::Blocked, reason)));
            }
        }
    }
    for (blocker, branch, tip) in &tips {
        let mut holds_all = true;
        for (_, _, other) in &tips {
            holds_all &= other == tip || mirror.is_ancestor(other, tip).await?;
        }
        if holds_all {
            let verdict = bases.verdict(tip).await?;
            let base_branch = branch.clone().unwrap_or_else(|| branch_for(*blocker));
            if !verdict.green && !bases.may_be_red() {
                return Ok(Choice::Skip(describe::not_green(&base_branch, tip, &verdict)));
            }
            return Ok(Choice::On(Stand { base_branch, on: Some(*blocker), base: tip.clone() }));
        }
    }
    let names: Vec<String> = tips.iter().map(|(blocker, ..)| blocker.to_string()).collect();
    let reason = format!(
        "depends on {}, none of whose branches contains the others: merge one of their pull requests first",
        names.join(" and ")
    );
    Ok(Choice::Skip(Skip::new(ReasonCode::StackDiverged, reason)))
}
