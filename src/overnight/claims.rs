//! What the lanes of a night are about to publish, so that two of them never publish changes of the
//! same files side by side.
//!
//! A lane claims its candidate between the gate's word and the push, and holds the claim until its
//! issue ended. Looking and claiming are one step: whoever comes second waits, and is judged again
//! on top of what came first. The claim itself is the attempt's stored phase, so a restart finds it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as Turns, Notify};

use super::context::{Context, EngineError};
use super::issue::Worker;
use super::overlap;
use crate::domain::attempt::{Candidate, Outcome, Phase, State};
use crate::domain::event::{EventType, NewEvent};
use crate::domain::ids::{CommitId, IssueNumber};
use crate::git::Mirror;
use crate::store::{AttemptStatus, Change};

/// What is about to be published, by issue.
#[derive(Debug, Default)]
pub(super) struct Claims {
    held: Mutex<BTreeMap<IssueNumber, Claim>>,
    /// Looking and claiming are one step.
    one_at_a_time: Turns<()>,
    changed: Notify,
}

#[derive(Debug, Clone)]
struct Claim {
    base: CommitId,
    commit: CommitId,
    /// Its lane broke off and left it as it stands: only the next start can go on with it.
    left: bool,
}

/// What came of asking for the way.
pub(super) enum Way {
    /// Nobody is about to publish a change of these files.
    Free,
    /// Published meanwhile, with a file of this change: it has to be judged again.
    Overtaken,
    /// Somebody broke off in the middle, or the night stops: nothing more can be said now.
    Closed,
}

impl Claims {
    /// Holds what the stored attempts of a night claimed before a restart. Says who they are.
    pub async fn stored(context: &Context<'_>) -> Result<Vec<IssueNumber>, EngineError> {
        let mut holders = Vec::new();
        let interrupted = context.board().interrupted();
        for number in interrupted {
            let stored = context.parts.store.attempt(&context.fence.run, number).await?;
            let Some(open) = stored.filter(|it| it.status == AttemptStatus::Open) else { continue };
            // What cannot be read is said where the attempt is taken up.
            let Ok(state) = serde_json::from_value::<State>(open.state) else { continue };
            if let Some(candidate) = publishing(&state) {
                context.claims.hold(number, &candidate.base, &candidate.commit);
                holders.push(number);
            }
        }
        Ok(holders)
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<IssueNumber, Claim>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&self, number: IssueNumber, base: &CommitId, commit: &CommitId) {
        let claim = Claim { base: base.clone(), commit: commit.clone(), left: false };
        self.held().insert(number, claim);
    }

    /// After a transition was written: a claim goes when the attempt no longer publishes.
    pub fn follow(&self, number: IssueNumber, state: &State) {
        if publishing(state).is_none() {
            self.release(number);
        }
    }

    /// The issue ended: what it published is on the board, where everybody sees it.
    pub fn release(&self, number: IssueNumber) {
        self.held().remove(&number);
        self.changed.notify_waiters();
    }

    /// The lane broke off. What it still holds may have been published or not.
    pub fn leave(&self, number: IssueNumber) {
        if let Some(claim) = self.held().get_mut(&number) {
            claim.left = true;
        }
        self.changed.notify_waiters();
    }
}

/// The candidate that an attempt is about to publish, or has published and not yet ended on.
fn publishing(state: &State) -> Option<&Candidate> {
    let failed = matches!(state.outcome, Some(Outcome::Failed { .. }));
    let on_its_way = match state.phase {
        Phase::Pushing | Phase::OpeningPull | Phase::Marking | Phase::Commenting | Phase::Ended => {
            !failed
        }
        Phase::Building | Phase::Gating => false,
    };
    state.candidate.as_ref().filter(|_| on_its_way)
}

/// What asks for the way.
pub(super) struct Ask<'a> {
    pub base: &'a CommitId,
    pub commit: &'a CommitId,
    /// The tips of the open pull requests that the gate saw; `None` before it looked: then nothing
    /// is claimed.
    pub seen: Option<&'a [CommitId]>,
}

/// Waits until nobody else is about to publish a change of a file that is changed here too, and
/// claims those files where the gate has given its word.
pub(super) async fn way(
    worker: &Worker<'_>,
    mirror: &Mirror,
    ask: &Ask<'_>,
) -> Result<Way, EngineError> {
    let claims = &worker.context.claims;
    let files = overlap::files(mirror, ask.base, ask.commit).await?;
    let shared = |theirs: &[String]| theirs.iter().any(|file| files.contains(file));
    loop {
        let turn = claims.one_at_a_time.lock().await;
        // Before looking, so that what changes while we look wakes us.
        let mut changed = std::pin::pin!(claims.changed.notified());
        changed.as_mut().enable();
        if let Some(seen) = ask.seen {
            let open = overlap::open(worker, mirror, ask.base).await?;
            let new = |one: &&overlap::Open| !seen.contains(&one.tip) && shared(&one.work.files);
            if let Some(one) = open.iter().find(new) {
                worker.context.commit(vec![Change::Event(overtaken(worker, one))]).await?;
                return Ok(Way::Overtaken);
            }
        }
        match ahead(worker, mirror, ask, shared).await? {
            None => {
                if ask.seen.is_some() {
                    claims.hold(worker.number(), ask.base, ask.commit);
                }
                return Ok(Way::Free);
            }
            Some(claim) if claim.left => return Ok(Way::Closed),
            Some(_) => {}
        }
        drop(turn);
        tokio::select! {
            () = changed => {}
            () = worker.context.stop.cancelled() => return Ok(Way::Closed),
        }
    }
}

fn overtaken(worker: &Worker<'_>, by: &overlap::Open) -> NewEvent {
    let text = format!(
        "{} is judged again: {} was published meanwhile and changes the same files",
        worker.number(),
        by.work.name
    );
    worker.event(EventType::GateJudged, text).with("overtakenBy", by.issue.0)
}

/// Somebody else's claim on one of these files.
async fn ahead(
    worker: &Worker<'_>,
    mirror: &Mirror,
    ask: &Ask<'_>,
    shared: impl Fn(&[String]) -> bool,
) -> Result<Option<Claim>, EngineError> {
    let others: Vec<Claim> = {
        let held = worker.context.claims.held();
        let other = |(number, _): &(&IssueNumber, &Claim)| **number != worker.number();
        held.iter().filter(other).map(|(_, claim)| claim.clone()).collect()
    };
    for claim in others {
        // What this one stands on is no overlap.
        if mirror.is_ancestor(&claim.commit, ask.base).await? {
            continue;
        }
        if shared(&overlap::files(mirror, &claim.base, &claim.commit).await?) {
            return Ok(Some(claim));
        }
    }
    Ok(None)
}
