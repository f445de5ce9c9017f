//! What an attempt does after it was cut off: from the phase that was stored.

use super::{Effect, MAX_RESTARTS, Phase, Rules, State};
use crate::domain::plan::ReasonCode;

/// The round begins again, a bounded number of times.
pub(super) fn build_again(mut state: State, rules: Rules) -> (State, Effect) {
    state.restarts += 1;
    if state.restarts > MAX_RESTARTS {
        let reason = format!("building this issue was cut off {} times", state.restarts);
        return state.failed(rules, ReasonCode::Internal, reason);
    }
    state.in_phase(Phase::Building, Effect::Build)
}

/// What to do after a crash, from the phase that was stored. Everything here looks before it acts.
pub(super) fn restarted(mut state: State, rules: Rules) -> (State, Effect) {
    match state.phase {
        // Copilot goes on by itself, whatever becomes of us.
        Phase::Building if state.by_copilot() => {
            state.paused = false;
            (state, Effect::Build)
        }
        Phase::Building if state.paused => {
            state.paused = false;
            (state, Effect::Build)
        }
        Phase::Building => build_again(state, rules),
        Phase::Gating => (state, Effect::Judge),
        Phase::Pushing => (state, Effect::Push),
        Phase::OpeningPull => (state, Effect::OpenPull),
        Phase::Marking => (state, Effect::Mark),
        Phase::Commenting => (state, Effect::Comment),
        Phase::Ended => state.ended(),
    }
}
