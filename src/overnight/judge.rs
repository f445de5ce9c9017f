//! The gate's place in the night: the base is judged once per commit, a candidate on the exact tree
//! that would be pushed.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::claims::{self, Ask, Way};
use super::context::{Context, EngineError};
use super::describe;
use super::issue::{Came, Worker};
use super::labels;
use super::learn;
use super::night::notes_json;
use super::overlap;
use super::planning::has_label;
use crate::domain::attempt::{self, Event};
use crate::domain::event::{EventType, Severity};
use crate::domain::evidence::{ChangeSize, Check};
use crate::domain::ids::{CommitId, TreeId};
use crate::gate::{self, BaseVerdict, Verdict};
use crate::git::{Merge, Mirror, TreeOrCommit};
use crate::store::Change;

/// Judges bases, each commit once per night, whoever asks first.
pub(super) struct BaseJudge<'a> {
    context: &'a Context<'a>,
    mirror: &'a Mirror,
    one_at_a_time: Mutex<()>,
}

impl<'a> BaseJudge<'a> {
    pub fn new(context: &'a Context<'a>, mirror: &'a Mirror) -> Self {
        Self { context, mirror, one_at_a_time: Mutex::new(()) }
    }

    /// Whether this night goes on although its base is red: only repairs are left on the board then.
    pub fn may_be_red(&self) -> bool {
        self.context.board().notes.repair_only
    }

    pub async fn verdict(&self, commit: &CommitId) -> Result<Arc<BaseVerdict>, EngineError> {
        let _one = self.one_at_a_time.lock().await;
        if let Some(known) = self.context.board().notes.bases.get(commit) {
            return Ok(Arc::new(known.clone()));
        }
        let judging = self.context.parts.gate.judge_base(
            self.mirror,
            commit,
            &self.context.fence.run,
            self.context.stop,
        );
        let verdict = match judging.await {
            Ok(verdict) => verdict,
            Err(_) if self.context.stop.is_cancelled() => return Err(EngineError::Interrupted),
            Err(error) => return Err(error.into()),
        };
        let event = self
            .context
            .event(EventType::BaseJudged, describe::base(commit, &verdict))
            .severity(if verdict.green { Severity::Info } else { Severity::High })
            .with("base", commit.as_str())
            .with("green", verdict.green)
            .with("found", json!(verdict.detected))
            .with("checks", json!(evidence_of(&verdict)));
        let notes = {
            let mut board = self.context.board();
            board.notes.bases.insert(commit.clone(), verdict.clone());
            notes_json(&board)
        };
        self.context.commit(vec![Change::Notes(notes), Change::Event(event)]).await?;
        Ok(Arc::new(verdict))
    }
}

/// Which log proves which command, so that it can be opened.
fn evidence_of(verdict: &BaseVerdict) -> Vec<Value> {
    let brief = |check: &Check| {
        json!({
            "name": check.name, "command": check.command, "outcome": check.outcome,
            "logSha256": check.log_sha256,
        })
    };
    verdict.checks.iter().map(brief).collect()
}

/// Judges what the last round left, merged with the base as it stands now.
pub(super) async fn candidate(worker: &mut Worker<'_>) -> Result<Came, EngineError> {
    let mirror = &worker.live_mirror().await;
    let name = attempt::State::work_ref(&worker.attempt, worker.state.round);
    let Some(work) = mirror.read_ref(&name).await?.and_then(|id| id.parse::<CommitId>().ok())
    else {
        return Ok(Came::Event(Event::WorkLost));
    };
    // As often as another lane publishes first, which is once for each issue at most.
    loop {
        mirror.fetch().await?;
        let built_on = worker.state.stand.base.clone();
        // Who is about to publish a change of these files is waited for, rather than judged without.
        let ask = Ask { base: &built_on, commit: &work, seen: None };
        if let Way::Closed = claims::way(worker, mirror, &ask).await? {
            return Ok(Came::Interrupted);
        }
        let open = overlap::open(worker, mirror, &built_on).await?;
        let above = overlap::to_stack_on(worker, mirror, &work, &open).await?;
        let tip = above.as_ref().map(|one| &one.tip);
        let (mut came, mut seen) = judged(worker, mirror, &work, tip).await?;
        // What is wrong by itself is put right first; then it has to fit on the other's work too.
        if let (Some(one), true) = (above, matches!(came, Came::Judged(_, Event::Passed { .. }))) {
            worker.state.stand.base_branch = one.work.branch;
            worker.state.stand.on = Some(one.issue);
            (came, seen) = judged(worker, mirror, &work, None).await?;
        }
        let publishes =
            worker.context.request.config.create_prs_automatically || worker.state.by_copilot();
        let Came::Judged(_, Event::Passed { candidate, .. }) = &came else { return Ok(came) };
        if !publishes {
            return Ok(came);
        }
        let ask = Ask { base: &candidate.base, commit: &candidate.commit, seen: Some(&seen) };
        match claims::way(worker, mirror, &ask).await? {
            Way::Free => return Ok(came),
            Way::Closed => return Ok(Came::Interrupted),
            Way::Overtaken => {}
        }
    }
}

/// Judges the work on the tip of its base. `above`: the tip that it will stand on if it passes, so
/// that what is in there is no overlap. Says which open pull requests were looked at, by their tips.
async fn judged(
    worker: &mut Worker<'_>,
    mirror: &Mirror,
    work: &CommitId,
    above: Option<&CommitId>,
) -> Result<(Came, Vec<CommitId>), EngineError> {
    let built_on = worker.state.stand.base.clone();
    let published = worker.context.request.config.create_prs_automatically;
    let moved = match worker.state.stand.on {
        // Its blocker was not published: what carries that name on GitHub is something else.
        Some(_) if !published => None,
        Some(_) | None => mirror.tip(&worker.state.stand.base_branch).await?,
    };
    let tip = moved.unwrap_or_else(|| built_on.clone());
    let (commit, tree) = if tip == built_on {
        (work.clone(), mirror.tree_of(work).await?)
    } else {
        match merged(worker, &tip, work).await? {
            Ok(merged) => merged,
            Err(files) => {
                worker.state.stand.base = tip.clone();
                return Ok((Came::Event(conflict(&tip, &files)), Vec::new()));
            }
        }
    };
    let base_verdict = worker.bases.verdict(&tip).await?;
    if !base_verdict.green && !worker.bases.may_be_red() {
        let skip = describe::not_green(&worker.state.stand.base_branch, &tip, &base_verdict);
        // A blocker's branch that turned red is nobody else's base, and packages may come back.
        let alone = worker.state.stand.on.is_some() || base_verdict.dependencies_unavailable;
        let came = if alone { Came::Skip(skip) } else { Came::Halt(skip) };
        return Ok((came, Vec::new()));
    }
    let (seen, open): (Vec<CommitId>, Vec<gate::OpenWork>) =
        overlap::open(worker, mirror, above.unwrap_or(&tip))
            .await?
            .into_iter()
            .map(|one| (one.tip, one.work))
            .unzip();
    worker.context.parts.failpoints.hit("gate.before");
    let policy = worker.context.parts.gate.policy(mirror, &tip).await?;
    let labels = labels::trusted(worker, &policy).await;
    let judging = worker.context.parts.gate.judge_labelled(
        gate::Candidate {
            mirror,
            issue: worker.number(),
            attempt: worker.attempt.clone(),
            base: tip.clone(),
            commit: commit.clone(),
            tree: tree.clone(),
            base_verdict: &base_verdict,
            texts: vec![worker.state.summary.clone(), worker.issue.title.clone()],
            is_bug: has_label(&worker.issue, "bug"),
            asked: gate::Asked::new(&worker.issue.title, &worker.issue.body),
            open: Some(&open),
            fence: worker.context.fence,
        },
        &labels,
        worker.context.stop,
    );
    let verdict = match judging.await {
        Ok(verdict) => verdict,
        Err(_) if worker.context.stop.is_cancelled() => return Ok((Came::Interrupted, seen)),
        Err(error) => return Err(error.into()),
    };
    worker.row.change_size = size_of(mirror, &tip, &commit).await;
    let (Verdict::Passed(_, judgement) | Verdict::Refused(judgement)) = &verdict;
    // What healing remembers is of our own builders' ways.
    if !worker.state.by_copilot() {
        learn::judged(worker, judgement, matches!(verdict, Verdict::Passed(..))).await?;
    }
    worker.context.parts.failpoints.hit("gate.after");
    let came = match verdict {
        Verdict::Passed(passed, judgement) => {
            let candidate = attempt::Candidate { base: tip, commit, tree };
            let evidence = serde_json::to_value(&passed).unwrap_or_default();
            Came::Judged(Box::new(judgement), Event::Passed { candidate, evidence })
        }
        Verdict::Refused(judgement) => {
            // A repair works against the base it was judged on.
            worker.state.stand.base = tip;
            let event = Event::Refused {
                reason: judgement.reason.clone(),
                digest: judgement.digest.clone(),
                repairable: judgement.repairable,
            };
            Came::Judged(Box::new(judgement), event)
        }
    };
    Ok((came, seen))
}

/// For the report alone: what cannot be read is not shown.
async fn size_of(mirror: &Mirror, base: &CommitId, commit: &CommitId) -> Option<ChangeSize> {
    let changes = mirror.changes(base, &TreeOrCommit::from(commit)).await.ok()?;
    Some(ChangeSize {
        files: changes.len() as u64,
        added_lines: changes.iter().map(|change| change.added_lines).sum(),
        removed_lines: changes.iter().map(|change| change.deleted_lines).sum(),
    })
}

/// The work on the new tip, or the files in which they conflict.
async fn merged(
    worker: &Worker<'_>,
    tip: &CommitId,
    work: &CommitId,
) -> Result<Result<(CommitId, TreeId), Vec<String>>, EngineError> {
    let mirror = worker.mirror;
    let tree = match mirror.merge_onto(tip, work).await? {
        Merge::Clean(tree) => tree,
        Merge::Conflict(files) => return Ok(Err(files)),
    };
    let message = super::texts::commit_message(
        &worker.context.parts.settings.message,
        &worker.issue,
        &worker.context.parts.redactor,
    );
    let author = &worker.context.parts.settings.author;
    let commit = mirror.commit(&tree, tip, &message, author, chrono::Utc::now()).await?;
    let name = attempt::State::merged_ref(&worker.attempt, worker.state.round);
    mirror.save_ref(&name, commit.as_str()).await?;
    Ok(Ok((commit, tree)))
}

fn conflict(tip: &CommitId, files: &[String]) -> Event {
    let reason = format!("conflicts with the current base {} in {}", tip.short(), files.join(", "));
    let digest = format!(
        "The base moved while you worked, and your change conflicts with it in {}. The workspace now stands on the new base: make the change again there.",
        files.join(", ")
    );
    Event::Refused { reason, digest, repairable: true }
}
