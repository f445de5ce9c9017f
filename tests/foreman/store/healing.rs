//! Healing's rows on both databases: what is blocked, since when and until when; what is remembered.

use std::time::Duration;

use foreman::domain::call::{Answer, ErrorClass, FinishReason};
use foreman::domain::ids::{AttemptId, CallId, IssueNumber};
use foreman::domain::plan::SequenceType;
use foreman::domain::tier::ModelTier;
use foreman::escalation::{Block, KeyOut, Post};
use foreman::store::{Ceilings, Change, Fence, Note, Reserved, Settlement, Sign};

use super::lab::{HOUR, Lab, NOON, SECOND, SECRET, reserve, usd};
use super::on_both;

on_both! {
    failures_in_a_row_block_a_tier_and_an_answer_frees_it,
    a_key_out_blocks_its_tiers_alone,
    a_dead_model_is_dead_for_its_run,
    failures_are_counted_and_healed_by_kind,
    rounds_plans_and_questions_are_kept,
}

fn post(tier: ModelTier, provider: &str) -> Post {
    Post { tier, model: "m".to_owned(), provider: provider.to_owned() }
}

async fn fails(lab: &Lab, fence: &Fence, post: &Post, class: ErrorClass, asked: Option<u64>) {
    let asked = asked.map(Duration::from_secs);
    let sign = Sign::Failed { post: post.clone(), class, asked, too_long: false };
    lab.store.apply(fence, vec![Change::Sign(sign)]).await.expect("applied");
}

async fn block(lab: &Lab, fence: &Fence, post: &Post) -> Option<Block> {
    lab.store.health(&fence.run).await.expect("health").block(post)
}

async fn failures_in_a_row_block_a_tier_and_an_answer_frees_it(lab: &Lab) {
    let fence = lab.night("o/r").await;
    let tier = post(ModelTier::Gpt4, "a");
    for _ in 0..2 {
        fails(lab, &fence, &tier, ErrorClass::Timeout, None).await;
    }
    assert_eq!(block(lab, &fence, &tier).await, None);
    // Two failures of long ago are not the first two of three in a row.
    lab.set_clock(NOON + 2 * HOUR);
    fails(lab, &fence, &tier, ErrorClass::Timeout, None).await;
    assert_eq!(block(lab, &fence, &tier).await, None);
    fails(lab, &fence, &tier, ErrorClass::RateLimited, Some(600)).await;
    lab.set_clock(NOON + 2 * HOUR + 599 * SECOND);
    assert!(matches!(block(lab, &fence, &tier).await, Some(Block::CoolingDown { .. })));
    let other = lab.another().await.expect("another process");
    assert_eq!(other.health(&fence.run).await.expect("health").cooling.len(), 1);
    other.close().await;
    assert_eq!(block(lab, &fence, &post(ModelTier::Gpt4, "b")).await, None, "another key");
    let answered = Change::Sign(Sign::Answered { post: tier.clone() });
    lab.store.apply(&fence, vec![answered]).await.expect("applied");
    assert_eq!(block(lab, &fence, &tier).await, None);
}

async fn a_key_out_blocks_its_tiers_alone(lab: &Lab) {
    let fence = lab.night("o/r").await;
    let (top, base) = (post(ModelTier::Gpt51, "a"), post(ModelTier::Gpt4, "a"));
    fails(lab, &fence, &top, ErrorClass::InsufficientQuota, None).await;
    for tier in [&top, &base] {
        let why = block(lab, &fence, tier).await;
        assert!(matches!(why, Some(Block::KeyOut { why: KeyOut::Quota, .. })), "{why:?}");
    }
    assert_eq!(block(lab, &fence, &post(ModelTier::Gpt4, "b")).await, None);
    // A call that was under way shortens nothing.
    fails(lab, &fence, &base, ErrorClass::Auth, None).await;
    lab.set_clock(NOON + HOUR - SECOND);
    let why = block(lab, &fence, &base).await;
    assert!(matches!(why, Some(Block::KeyOut { why: KeyOut::Quota, .. })), "{why:?}");
    lab.set_clock(NOON + HOUR + SECOND);
    assert_eq!(block(lab, &fence, &top).await, None);
}

async fn a_dead_model_is_dead_for_its_run(lab: &Lab) {
    let (fence, other) = (lab.night("o/r").await, lab.night("o/other").await);
    let tier = post(ModelTier::Gpt51, "a");
    for _ in 0..2 {
        fails(lab, &fence, &tier, ErrorClass::ModelNotFound, None).await;
    }
    assert_eq!(block(lab, &fence, &tier).await, Some(Block::Dead));
    assert_eq!(block(lab, &other, &tier).await, None);
}

async fn failures_are_counted_and_healed_by_kind(lab: &Lab) {
    let fence = lab.night("o/r").await;
    let what = || "gate:qic".to_owned();
    let (kind, tier) = (SequenceType::Build, ModelTier::Gpt4);
    let failed = |detail: &str| {
        Change::Note(Note::Failed { kind, tier, what: what(), detail: detail.to_owned() })
    };
    let changes = vec![
        failed("old"),
        failed(&format!("new {SECRET}")),
        Change::Note(Note::Healed { kind, tier, what: what() }),
        Change::Note(Note::Healed { kind: SequenceType::Qa, tier, what: what() }),
    ];
    lab.store.apply(&fence, changes).await.expect("applied");
    let stats = lab.store.healing_stats(Some((&fence.run, kind))).await.expect("stats");
    assert_eq!((stats.len(), stats[0].failures, stats[0].healed), (1, 2, 1));
    assert!(stats[0].detail.starts_with("new") && !stats[0].detail.contains(SECRET));
    let elsewhere = lab.night("o/other").await;
    let none = lab.store.healing_stats(Some((&elsewhere.run, kind))).await.expect("stats");
    assert!(none.is_empty());
    assert_eq!(lab.store.healing_stats(None).await.expect("stats").len(), 1);
}

async fn rounds_plans_and_questions_are_kept(lab: &Lab) {
    let fence = lab.night("o/r").await;
    let ask = reserve(3, 0.5, Ceilings::default());
    let (attempt, issue) = (ask.attempt.clone(), IssueNumber(3));
    let Reserved::Dispatched(call) = lab.store.reserve(&fence, ask).await.expect("reserved") else {
        panic!("refused")
    };
    let plan = Note::Plan {
        issue,
        attempt: attempt.clone(),
        round: 1,
        tier: ModelTier::Gpt4,
        plan: "first this".to_owned(),
    };
    let asked =
        Note::Asked { attempt: attempt.clone(), call: call.clone(), digest: "d1".to_owned() };
    assert!(lab.store.bought(&attempt).await.expect("read").is_empty());
    let changes = vec![Change::Note(plan), Change::Note(asked)];
    lab.store.settle(&fence, &call, answered(), changes).await.expect("settled");
    let bought = lab.store.bought(&attempt).await.expect("read");
    let found: Vec<(&CallId, &str)> = bought.iter().map(|it| (&it.call, &*it.digest)).collect();
    assert_eq!(found, [(&call, "d1")]);

    let checkpoint = |round| Note::Checkpoint {
        attempt: attempt.clone(),
        issue,
        round,
        tier: ModelTier::Gpt4,
        name: format!("refs/x/{round}"),
    };
    let judged = Note::Judged {
        attempt: attempt.clone(),
        round: 0,
        findings: 4,
        digest: "four things".to_owned(),
    };
    let notes = vec![checkpoint(0), judged, checkpoint(1)];
    lab.store.apply(&fence, notes.into_iter().map(Change::Note).collect()).await.expect("applied");
    let rounds = lab.store.checkpoints(&attempt).await.expect("read");
    let findings: Vec<Option<u32>> = rounds.iter().map(|it| it.findings).collect();
    assert_eq!(findings, [Some(4), None]);
    assert_eq!(rounds[0].digest.as_deref(), Some("four things"));
    assert_eq!(rounds[1].plan.as_deref(), Some("first this"));
    assert_eq!((rounds[1].conversation.as_str(), rounds[1].name.as_str()), ("d1", "refs/x/1"));

    let kept = lab.store.issue_plan(&fence.run, issue).await.expect("read").expect("a plan");
    assert_eq!((kept.text.as_str(), kept.attempt, kept.round), ("first this", attempt, 1));
    let drop = Change::Note(Note::PlanDropped { issue });
    lab.store.apply(&fence, vec![drop]).await.expect("applied");
    assert_eq!(lab.store.issue_plan(&fence.run, issue).await.expect("read"), None);
    assert!(lab.store.checkpoints(&AttemptId::new("other")).await.expect("read").is_empty());
}

fn answered() -> Settlement {
    let answer = Answer {
        content: Some("yes".to_owned()),
        tool_calls: Vec::new(),
        finish: FinishReason::Stop,
        usage: None,
        service_tier: None,
        model: None,
        request_id: None,
    };
    Settlement::Answered { answer, cost: usd(0.1), unknown: false }
}
