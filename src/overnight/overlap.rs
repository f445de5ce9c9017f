//! Other open pull requests of ours, and where a change stands that touches a file of theirs.
//!
//! Reads the board and the mirror. A change that overlaps with one of them is stacked on it, so
//! that both can be merged one after the other; where it can't be, the gate refuses it.

use std::collections::BTreeSet;

use super::context::EngineError;
use super::issue::Worker;
use crate::domain::ids::{CommitId, IssueNumber, branch_for};
use crate::domain::plan::{DependencyMode, Plan};
use crate::domain::run::IssueStatus;
use crate::gate::OpenWork;
use crate::gate::rules::overlap::overlaps;
use crate::git::{Mirror, TreeOrCommit};

/// One of them with the issue it belongs to and its tip.
#[derive(Clone)]
pub(super) struct Open {
    pub issue: IssueNumber,
    pub tip: CommitId,
    pub work: OpenWork,
}

/// Our open pull requests, of earlier nights and of this one, that `base` does not contain.
pub(super) async fn open(
    worker: &Worker<'_>,
    mirror: &Mirror,
    base: &CommitId,
) -> Result<Vec<Open>, EngineError> {
    let known: Vec<(IssueNumber, String, CommitId)> = {
        let board = worker.context.board();
        let earlier = board.notes.open_pulls.iter().filter_map(|(issue, pull)| {
            Some((*issue, format!("#{}", pull.number), pull.head.parse().ok()?))
        });
        let tonight = board.rows().into_iter().filter_map(|row| {
            let open = row.status == IssueStatus::Success && row.pr_url.is_some();
            let number = row.pr_url.as_deref().and_then(|url| url.rsplit('/').next());
            let name = number.map_or_else(|| row.issue_number.to_string(), |it| format!("#{it}"));
            open.then_some((row.issue_number, name, row.head_sha?))
        });
        // What stands on this issue's work waits for it, and is no ground to stand on.
        let above = dependents(&board.plan, worker.number());
        let other = |issue: &IssueNumber| *issue != worker.number() && !above.contains(issue);
        earlier.chain(tonight).filter(|(issue, ..)| other(issue)).collect()
    };
    let mut found = Vec::new();
    for (issue, name, tip) in known {
        // What cannot be read any more was altered by people: nothing to stack on, and no overlap
        // that we could name.
        if !mirror.exists(&tip).await || mirror.is_ancestor(&tip, base).await? {
            continue;
        }
        let Some(fork) = mirror.merge_base(base, &tip).await? else { continue };
        let files = files(mirror, &fork, &tip).await?;
        let branch = worker.context.board().branch_of(issue);
        let branch = branch.unwrap_or_else(|| branch_for(issue));
        let work = OpenWork { name, branch, files };
        found.push(Open { issue, tip, work });
    }
    Ok(found)
}

/// Who depends on an issue, through however many others.
fn dependents(plan: &Plan, of: IssueNumber) -> BTreeSet<IssueNumber> {
    let mut found = BTreeSet::new();
    let mut next = vec![of];
    while let Some(number) = next.pop() {
        for issue in &plan.issues {
            if issue.depends_on.contains(&number) && found.insert(issue.issue_number) {
                next.push(issue.issue_number);
            }
        }
    }
    found
}

/// What a change has to stand on because it touches a file of an open pull request: the one whose
/// tip contains all the others that it overlaps with.
pub(super) async fn to_stack_on(
    worker: &Worker<'_>,
    mirror: &Mirror,
    work: &CommitId,
    open: &[Open],
) -> Result<Option<Open>, EngineError> {
    let stacks = worker.context.request.config.dependency_mode == DependencyMode::Stack;
    if !stacks || open.is_empty() {
        return Ok(None);
    }
    let files = files(mirror, &worker.state.stand.base, work).await?;
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let works: Vec<OpenWork> = open.iter().map(|one| one.work.clone()).collect();
    let names: Vec<&str> =
        overlaps(&files, &works).iter().map(|(work, _)| work.branch.as_str()).collect();
    let hit: Vec<&Open> =
        open.iter().filter(|one| names.contains(&one.work.branch.as_str())).collect();
    for one in &hit {
        let mut holds_all = true;
        for other in &hit {
            holds_all &= other.tip == one.tip || mirror.is_ancestor(&other.tip, &one.tip).await?;
        }
        // The work's own stand must be below, or the stack would lose what it stands on.
        let stands = worker.state.stand.on.is_none()
            || mirror.is_ancestor(&worker.state.stand.base, &one.tip).await?;
        let there = mirror.tip(&one.work.branch).await?.as_ref() == Some(&one.tip);
        if holds_all && stands && there {
            return Ok(Some((*one).clone()));
        }
    }
    Ok(None)
}

/// The files that differ between two commits, by both their names where they moved.
pub(super) async fn files(
    mirror: &Mirror,
    from: &CommitId,
    to: &CommitId,
) -> Result<Vec<String>, EngineError> {
    let changes = mirror.changes(from, &TreeOrCommit::from(to)).await?;
    Ok(changes.into_iter().flat_map(|it| std::iter::once(it.path).chain(it.old_path)).collect())
}
