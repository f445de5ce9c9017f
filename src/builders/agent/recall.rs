//! What a round knows from before: answers already bought, the issue's plan, what the gate refused
//! in such issues.
//!
//! Owns the digest of a question. An answer is used again only for exactly the conversation it was
//! given in: the tools run again in the fresh workspace, and where one answers differently, the
//! questions from there on are new ones.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use super::Agent;
use super::detour::post;
use crate::builders::{Builders, Task};
use crate::domain::call::{Answer, Message};
use crate::domain::ids::CallId;
use crate::domain::tier::ModelTier;
use crate::models::{CallError, Tier};
use crate::store::{Bought, Change, Note, Sign, StoreError};

/// Remembered failures that a builder is told.
const TOLD: usize = 5;

/// What a round begins with.
#[derive(Debug, Default)]
pub(in crate::builders) struct Recall {
    /// Stated by a model in an earlier round or attempt.
    pub plan: Option<String>,
    /// Whether any round has stated one, this one before a restart included.
    pub has_plan: bool,
    /// What the gate refused in issues of this kind.
    pub refused: Vec<String>,
    /// What people told the memory fabric.
    pub facts: Vec<String>,
}

impl Recall {
    pub(super) async fn of(builders: &Builders, task: &Task) -> Result<Self, StoreError> {
        let kept = builders.store.issue_plan(&task.run, task.issue).await?;
        let has_plan = kept.is_some();
        // The round that stated it must look the same when it is begun again.
        let plan = kept
            .filter(|plan| plan.attempt != task.attempt || plan.round != task.round)
            .map(|plan| plan.text);
        let stats = builders.store.healing_stats(Some((&task.run, task.kind))).await?;
        let refused = stats
            .into_iter()
            .filter_map(|stat| {
                let dimension = stat.what.strip_prefix("gate:")?;
                Some(format!("{dimension}, {} times: {}", stat.failures, stat.detail))
            })
            .take(TOLD)
            .collect();
        let facts = super::facts::told(&builders.store, &task.run).await?;
        Ok(Self { plan, has_plan, refused, facts })
    }
}

/// The answers an attempt bought before this round began, by their questions.
#[derive(Debug, Default)]
pub(super) struct Stock(HashMap<String, Bought>);

impl Stock {
    pub(super) async fn of(builders: &Builders, task: &Task) -> Result<Self, StoreError> {
        let bought = builders.store.bought(&task.attempt).await?;
        Ok(Self(bought.into_iter().map(|it| (it.digest.clone(), it)).collect()))
    }
}

/// The digest of a question: the round and the whole conversation. Whoever is asked, the answer
/// serves.
pub(super) fn question(round: u32, messages: &[Message]) -> String {
    let mut hash = Sha256::new();
    hash.update(round.to_be_bytes());
    for message in messages {
        // Our own plain shape: it is always JSON.
        let text = serde_json::to_string(message).unwrap_or_default();
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    hex::encode(hash.finalize())
}

impl Agent<'_> {
    /// An answer that was bought already for exactly this conversation.
    pub(super) fn bought(&mut self) -> Option<(CallId, Answer)> {
        if self.stock.0.is_empty() {
            return None;
        }
        let question = question(self.task.round, &self.messages);
        let Bought { call, answer, tier, .. } = self.stock.0.remove(&question)?;
        tracing::debug!(%call, "the conversation goes on from a stored answer");
        self.walk.to(tier);
        self.steps += 1;
        self.tokens += answer.usage.map_or(0, |usage| usage.total());
        Some((call, answer))
    }

    /// What an answer teaches: its question, that its tier is well, what it put right, the plan.
    pub(super) fn learned(&mut self, tier: &Tier, call: &CallId, answer: &Answer) -> Vec<Change> {
        let mut changes = vec![
            Change::Note(Note::Asked {
                attempt: self.task.attempt.clone(),
                call: call.clone(),
                digest: question(self.task.round, &self.messages),
            }),
            Change::Sign(Sign::Answered { post: post(tier) }),
        ];
        changes.extend(self.hurt.drain(..).map(|(tier, class)| {
            let what = format!("call:{}", class.as_str());
            Change::Note(Note::Healed { kind: self.task.kind, tier, what })
        }));
        changes.extend(self.plan_in(tier.model.tier, answer));
        changes.append(&mut self.unwritten);
        changes
    }

    /// What a failed call teaches.
    pub(super) fn warned(&self, tier: &Tier, error: &CallError, too_long: bool) -> Vec<Change> {
        vec![
            Change::Sign(Sign::Failed {
                post: post(tier),
                class: error.class,
                asked: error.retry_after,
                too_long,
            }),
            Change::Note(Note::Failed {
                kind: self.task.kind,
                tier: tier.model.tier,
                what: format!("call:{}", error.class.as_str()),
                detail: error.message.clone(),
            }),
        ]
    }

    /// The first answer's words are the plan, where none is kept.
    fn plan_in(&mut self, tier: ModelTier, answer: &Answer) -> Option<Change> {
        let text = answer.content.as_deref().map(str::trim).filter(|text| !text.is_empty())?;
        let first = !self.messages.iter().any(|it| matches!(it, Message::Assistant { .. }));
        if self.plan_kept || !first {
            return None;
        }
        self.plan_kept = true;
        Some(Change::Note(Note::Plan {
            issue: self.task.issue,
            attempt: self.task.attempt.clone(),
            round: self.task.round,
            tier,
            plan: self.builders.redactor.redact(text),
        }))
    }
}
