//! Checkpoints of an attempt, the way back to the best of them, and what the gate taught.
//!
//! Owns what is noted after a round and after its judgement. Never judges and never builds.

use super::context::EngineError;
use super::issue::Worker;
use crate::domain::event::{EventType, Severity};
use crate::domain::evidence::{CheckOutcome, QaSummary};
use crate::domain::tier::ModelTier;
use crate::gate::Judgement;
use crate::store::{Change, Checkpoint, Note};

/// What a round left, finished or not, is in a private ref: noted with the conversation's digest and the plan.
pub(super) async fn checkpoint(
    worker: &Worker<'_>,
    tier: ModelTier,
    name: String,
) -> Result<(), EngineError> {
    let note = Note::Checkpoint {
        attempt: worker.attempt.clone(),
        issue: worker.number(),
        round: worker.state.round,
        tier,
        name,
    };
    worker.context.commit(vec![Change::Note(note)]).await?;
    Ok(())
}

/// An earlier round that left the gate less to say than the last one did; the latest of the best.
/// A last round that left nothing to judge is worse than any.
pub(super) async fn better_round(
    worker: &Worker<'_>,
    last: u32,
) -> Result<Option<Checkpoint>, EngineError> {
    let rounds = worker.context.parts.store.checkpoints(&worker.attempt).await?;
    Ok(best_before(rounds, last))
}

fn best_before(rounds: Vec<Checkpoint>, last: u32) -> Option<Checkpoint> {
    let now = rounds.iter().find(|it| it.round == last).and_then(|it| it.findings);
    rounds
        .into_iter()
        .filter(|it| it.round < last && it.digest.is_some())
        .filter_map(|it| it.findings.map(|findings| (findings, it)))
        .filter(|(findings, _)| now.is_none_or(|now| *findings < now))
        .min_by_key(|(findings, it)| (*findings, std::cmp::Reverse(it.round)))
        .map(|(_, it)| it)
}

/// The next round goes on from an earlier one, and is told what the gate said of that.
pub(super) async fn roll_back(worker: &mut Worker<'_>, to: &Checkpoint) -> Result<(), EngineError> {
    let text = format!(
        "{}: round {} made things worse than round {}; its work is taken back",
        worker.number(),
        worker.state.round,
        to.round + 1
    );
    if let Some(digest) = &to.digest {
        worker.state.feedback =
            Some(format!("{digest}\n\nA later repair made this worse and was taken back."));
    }
    let event = worker
        .event(EventType::AttemptRolledBack, text)
        .severity(Severity::Low)
        .with("toRound", to.round + 1)
        .with("ref", to.name.clone())
        .with("conversation", to.conversation.clone())
        .with("findings", to.findings.unwrap_or_default());
    worker.commit_transition(vec![event]).await
}

/// The gate has spoken: how much, about what, and what of the last round's trouble is gone.
pub(super) async fn judged(
    worker: &Worker<'_>,
    judgement: &Judgement,
    passed: bool,
) -> Result<(), EngineError> {
    let tier = worker.state.finished_by.unwrap_or(worker.state.tier);
    let kind = worker.planned.sequence_type;
    let now = failed(&judgement.qa);
    let before = worker.row.qa_results.as_ref().map(failed).unwrap_or_default();
    let mut changes = vec![Change::Note(Note::Judged {
        attempt: worker.attempt.clone(),
        round: worker.state.round,
        findings: findings(judgement),
        digest: judgement.digest.clone(),
    })];
    let rounds = worker.context.parts.store.checkpoints(&worker.attempt).await?;
    let earlier = rounds
        .iter()
        .rfind(|it| it.round < worker.state.round && it.findings.is_some())
        .map_or(tier, |it| it.tier);
    for (what, _) in before.iter().filter(|(what, _)| now.iter().all(|(other, _)| other != what)) {
        changes.push(Change::Note(Note::Healed { kind, tier: earlier, what: what.clone() }));
    }
    if !passed {
        for (what, detail) in now {
            changes.push(Change::Note(Note::Failed { kind, tier, what, detail }));
        }
    }
    worker.context.commit(changes).await?;
    Ok(())
}

/// The dimensions that failed, each once, with the first of its findings.
fn failed(qa: &QaSummary) -> Vec<(String, String)> {
    let mut failed: Vec<(String, String)> = Vec::new();
    for check in qa.checks.iter().filter(|check| bad(check.outcome)) {
        let name = check.dimension.title().to_ascii_lowercase().replace(' ', "_");
        let what = format!("gate:{name}");
        if failed.iter().all(|(other, _)| *other != what) {
            let detail = check.findings.first().cloned().unwrap_or_else(|| check.name.clone());
            failed.push((what, detail));
        }
    }
    failed
}

const fn bad(outcome: CheckOutcome) -> bool {
    match outcome {
        CheckOutcome::Failed | CheckOutcome::NotRun => true,
        CheckOutcome::Passed | CheckOutcome::NotApplicable => false,
    }
}

/// How much the gate had to say. A failed check without a finding says one thing.
fn findings(judgement: &Judgement) -> u32 {
    let checks = judgement.qa.checks.iter().filter(|check| bad(check.outcome));
    let said: usize = checks
        .map(|check| check.findings.iter().map(|finding| weight(finding)).sum::<usize>().max(1))
        .sum();
    u32::try_from(said + judgement.governance.violations.len()).unwrap_or(u32::MAX)
}

/// A finding is one thing, or as many as it says failed (`5 tests: 2 passed, 3 failed`).
fn weight(finding: &str) -> usize {
    let words: Vec<&str> = finding.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let counts = words.windows(2).filter(|pair| pair[1] == "failed");
    counts.filter_map(|pair| pair[0].parse::<usize>().ok()).max().unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(round: u32, findings: Option<u32>) -> Checkpoint {
        Checkpoint {
            round,
            tier: ModelTier::Gpt4,
            name: String::new(),
            conversation: String::new(),
            plan: None,
            findings,
            digest: findings.map(|_| "said".to_owned()),
        }
    }

    #[test]
    fn a_finding_weighs_what_it_counts() {
        assert_eq!(weight("5 tests: 2 passed, 3 failed, 0 skipped (tap)"), 3);
        assert_eq!(weight("`sh run-checks.sh` failed with exit code 1"), 1);
        assert_eq!(weight("5 tests: 5 passed, 0 failed"), 1);
    }

    #[test]
    fn only_a_better_round_is_gone_back_to() {
        let best = |rounds, last| best_before(rounds, last).map(|it| it.round);
        assert_eq!(best(vec![round(0, Some(1)), round(1, Some(3))], 1), Some(0));
        assert_eq!(best(vec![round(0, Some(3)), round(1, Some(3))], 1), None);
        assert_eq!(best(vec![round(0, Some(3)), round(1, Some(1))], 1), None);
        let many = vec![round(0, Some(2)), round(1, Some(2)), round(2, Some(9))];
        assert_eq!(best(many, 2), Some(1), "the latest of the best");
        assert_eq!(best(vec![round(0, Some(2))], 1), Some(0), "the last left nothing");
        assert_eq!(best(vec![round(0, None), round(1, Some(2))], 1), None, "never judged");
    }
}
