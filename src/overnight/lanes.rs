//! Handing out issues: what is ready goes to a free lane, what can never become ready ends with its
//! reason. Owns who is worked on when, never how.

use std::collections::{BTreeSet, VecDeque};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tracing::Instrument as _;

use super::claims::Claims;
use super::context::{Context, EngineError};
use super::ending::skip_all;
use super::issue::{self, IssueEnd};
use super::judge::BaseJudge;
use super::planning;
use crate::domain::ids::IssueNumber;
use crate::domain::plan::{ReasonCode, Skip};
use crate::git::Mirror;
use crate::sequencing;

/// Hands out what is ready, as many at once as there are lanes. Says why it had to stop early.
pub(super) async fn work(
    context: &Context<'_>,
    mirror: &Mirror,
    bases: &BaseJudge<'_>,
) -> Result<Option<String>, EngineError> {
    let lanes = usize::try_from(context.request.config.lanes).unwrap_or(1).max(1);
    let mut working = FuturesUnordered::new();
    let mut busy = BTreeSet::new();
    // Those somebody was at when the process died go first; before all, those about to publish:
    // others may wait for them.
    let publishing = Claims::stored(context).await?;
    let mut resumed: VecDeque<IssueNumber> = publishing.iter().copied().collect();
    resumed.extend(context.board().interrupted().into_iter().filter(|it| !publishing.contains(it)));
    let mut halt: Option<Skip> = None;
    let mut broken: Option<EngineError> = None;
    loop {
        while halt.is_none()
            && broken.is_none()
            && !context.stop.is_cancelled()
            && busy.len() < lanes
        {
            settle_hopeless(context, &busy).await?;
            let next = resumed
                .pop_front()
                .or_else(|| ready_now(context).into_iter().find(|number| !busy.contains(number)));
            let Some(number) = next else { break };
            busy.insert(number);
            working.push(async move {
                let repo = &context.request.repo;
                let live = planning::with_live_token(&context.github, repo, mirror).await;
                let mirror = live.unwrap_or_else(|_| mirror.clone());
                // The attempt is known once it is begun, or found.
                let span = tracing::info_span!(
                    "issue",
                    run = %context.fence.run,
                    issue = number.0,
                    attempt = tracing::field::Empty,
                );
                let work = issue::work(context, &mirror, bases, number).instrument(span);
                (number, work.await)
            });
        }
        let Some((number, end)) = working.next().await else { break };
        busy.remove(&number);
        match &end {
            Ok(IssueEnd::Done | IssueEnd::Halt(_)) => context.claims.release(number),
            Ok(IssueEnd::Interrupted) | Err(_) => context.claims.leave(number),
        }
        match end {
            Ok(IssueEnd::Done | IssueEnd::Interrupted) => {}
            Ok(IssueEnd::Halt(skip)) => halt = halt.or(Some(skip)),
            // The other lanes finish what they are at: nothing is cut off in the middle.
            Err(error) => broken = broken.or(Some(error)),
        }
    }
    if let Some(error) = broken {
        return Err(error);
    }
    if context.stop.is_cancelled() {
        return Err(EngineError::Interrupted);
    }
    if let Some(skip) = &halt {
        let rest = context.board().unfinished();
        skip_all(context, rest, skip).await?;
    }
    Ok(halt.map(|skip| match skip.code {
        ReasonCode::Budget => {
            format!("{}; raise it (`budgetUsd`, `[limits]`), or wait", skip.reason)
        }
        _ => skip.reason,
    }))
}

fn ready_now(context: &Context<'_>) -> Vec<IssueNumber> {
    let board = context.board();
    let config = &context.request.config;
    sequencing::next_ready(
        &board.plan,
        &board.progress(),
        config.dependency_mode,
        &config.sequence_order,
    )
}

/// Ends the rows of those that can never become ready any more, with the reason.
async fn settle_hopeless(
    context: &Context<'_>,
    busy: &BTreeSet<IssueNumber>,
) -> Result<(), EngineError> {
    let hopeless = {
        let board = context.board();
        let mode = context.request.config.dependency_mode;
        sequencing::never_ready(&board.plan, &board.progress(), mode)
    };
    for (number, skip) in hopeless {
        if !busy.contains(&number) {
            skip_all(context, [number], &skip).await?;
        }
    }
    Ok(())
}
