//! Room in the context: a larger window, else a smaller conversation, else the local builder.
//!
//! Owns when the conversation is made smaller and how hard; `compact.rs` does it. Overflow after
//! overflow ends the round. Never asks a model.

use super::compact::{Pressure, compact, size};
use super::{Agent, gave_up};
use crate::builders::BuildOutcome;
use crate::domain::call::{ErrorClass, Message};
use crate::domain::tier::ModelTier;
use crate::models::{PromptSize, Tier};
use crate::store::StoreError;

/// Tokens of a prompt above which the conversation is made smaller though its model could read it:
/// each step pays for the whole of it.
const CONTEXT_BUDGET: u64 = 100_000;

/// What came of looking for room.
pub(super) enum Room {
    Made,
    /// Nobody is left who could read it.
    None,
    /// It overflows again and again.
    Enough(String),
}

impl Agent<'_> {
    /// Keeps a prompt within what its model and its budget take. Says whether to measure again.
    pub(super) async fn within(
        &mut self,
        tier: &Tier,
        size: PromptSize,
    ) -> Result<Option<Result<(), BuildOutcome>>, StoreError> {
        if size.fits(tier) {
            if size.tokens <= CONTEXT_BUDGET || !self.press() {
                return Ok(None);
            }
            return Ok(Some(match self.patience.overflowed() {
                Some(why) => Err(gave_up(why)),
                None => Ok(()),
            }));
        }
        self.last_error = format!("the prompt is larger than {}'s window", tier.model.model);
        let before = self.walk.here();
        match self.make_room(false) {
            Room::Made => {}
            Room::None => return Ok(Some(Err(self.nobody_left().await?))),
            Room::Enough(why) => return Ok(Some(Err(gave_up(why)))),
        }
        let why = self.last_error.clone();
        let moved = self.moved(tier, before, &why, ErrorClass::ContextLength);
        self.builders.store.apply(self.fence, moved.into_iter().collect()).await?;
        Ok(Some(Ok(())))
    }

    /// A larger window, else a smaller conversation, else the local builder. `refused`: the
    /// provider itself said so, and its limit is not known.
    pub(super) fn make_room(&mut self, refused: bool) -> Room {
        let today = chrono::Utc::now().date_naive();
        if self.task.auto_heal && self.walk.larger(&self.builders.tiers, today) {
            return Room::Made;
        }
        let smaller = if refused { self.press_hard() } else { self.press() };
        if smaller {
            return match self.patience.overflowed() {
                Some(why) => Room::Enough(why),
                None => Room::Made,
            };
        }
        self.walk.local();
        if self.walk.here().is_some() { Room::Made } else { Room::None }
    }

    /// Makes the conversation smaller, harder each time it is asked before the next answer: as
    /// little as leaves room for some steps more.
    fn press(&mut self) -> bool {
        let answers = self.patience.answers();
        let last = self.pressed.filter(|(at, _)| *at == answers).map(|(_, pressure)| pressure);
        let enough = size(&self.messages) * 6 / 10;
        let mut best = None;
        for pressure in Pressure::ALL.into_iter().filter(|it| last.is_none_or(|last| *it > last)) {
            self.pressed = Some((answers, pressure));
            if let Some(smaller) = compact(&self.messages, pressure) {
                let done = size(&smaller) <= enough;
                best = Some(smaller);
                if done {
                    break;
                }
            }
        }
        self.became(best)
    }

    /// Once as far as the steps themselves stay; a model that costs nothing may be asked once more.
    fn press_hard(&mut self) -> bool {
        let answers = self.patience.answers();
        let last = self.pressed.filter(|(at, _)| *at == answers).map(|(_, pressure)| pressure);
        let free = self.tier() == ModelTier::LocalBuilder;
        match last {
            None | Some(Pressure::Cut) => {
                self.pressed_to(Pressure::CutHard) || self.pressed_to(Pressure::Squeeze)
            }
            Some(Pressure::CutHard | Pressure::Fold) => free && self.pressed_to(Pressure::Squeeze),
            Some(Pressure::Squeeze) => false,
        }
    }

    fn pressed_to(&mut self, pressure: Pressure) -> bool {
        self.pressed = Some((self.patience.answers(), pressure));
        let smaller = compact(&self.messages, pressure);
        self.became(smaller)
    }

    fn became(&mut self, smaller: Option<Vec<Message>>) -> bool {
        let Some(smaller) = smaller else { return false };
        self.messages = smaller;
        self.note("the conversation was made smaller from here on");
        true
    }
}
