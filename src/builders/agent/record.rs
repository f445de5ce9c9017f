//! The transcript: everything said in a round, as it was said, in order.
//!
//! Owns what is written down and when: with the next thing that is stored anyway. What is left out
//! later to make room stays in it. Redaction is the store's.

use serde_json::{Value, json};

use super::Agent;
use crate::builders::BuildOutcome;
use crate::domain::call::Message;
use crate::domain::ids::CallId;
use crate::store::{Change, StoreError, Telling, Turn};

impl Agent<'_> {
    /// Adds to the conversation. `call` is the request that it answers or follows from.
    pub(super) fn say(&mut self, message: Message, call: Option<&CallId>) {
        let said = serde_json::to_value(&message).unwrap_or_default();
        self.write_down(said, call);
        self.messages.push(message);
    }

    /// Something that is not part of the conversation and belongs to its story.
    pub(super) fn note(&mut self, text: &str) {
        self.write_down(json!({ "role": "note", "content": text }), None);
    }

    fn write_down(&mut self, said: Value, call: Option<&CallId>) {
        let said = self.builders.redactor.redact_json(said);
        self.unwritten.push(Change::Transcript(Telling::Said(Turn {
            attempt: self.task.attempt.clone(),
            issue: self.task.issue,
            round: self.task.round,
            index: self.turns,
            call: call.cloned(),
            tier: call.map(|_| self.tier()),
            said,
        })));
        self.turns += 1;
    }

    /// Begins the round's transcript anew, with what the builder is told first.
    pub(super) async fn begin(&mut self, opening: Vec<Message>) -> Result<(), StoreError> {
        let (attempt, round) = (self.task.attempt.clone(), self.task.round);
        self.unwritten.push(Change::Transcript(Telling::Begun { attempt, round }));
        opening.into_iter().for_each(|message| self.say(message, None));
        self.flush().await
    }

    pub(super) async fn flush(&mut self) -> Result<(), StoreError> {
        if !self.unwritten.is_empty() {
            let changes = std::mem::take(&mut self.unwritten);
            self.builders.store.apply(self.fence, changes).await?;
        }
        Ok(())
    }

    /// The round is over.
    pub(super) async fn ended(
        &mut self,
        outcome: BuildOutcome,
    ) -> Result<BuildOutcome, StoreError> {
        match &outcome {
            BuildOutcome::Finished { tier, .. } => self.note(&format!("finished by {tier}")),
            BuildOutcome::Failed { message, .. }
            | BuildOutcome::Unfinished { message }
            | BuildOutcome::Budget { message } => self.note(&format!("ended: {message}")),
            BuildOutcome::Cancelled => self.note("interrupted"),
        }
        self.flush().await?;
        Ok(outcome)
    }
}
