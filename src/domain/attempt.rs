//! One attempt at an issue as a state machine: `step(state, event) -> (state, effect)`.
//!
//! Pure: it returns the next effect as data. One interpreter (`overnight::issue`) carries effects
//! out and feeds back what came of them; nothing here does anything.

use serde::{Deserialize, Serialize};

use super::ids::{CommitId, EscalationId, IssueNumber, TreeId};
use super::plan::ReasonCode;
use super::tier::ModelTier;

/// How often a round may start again after the process died in the middle of it.
pub const MAX_RESTARTS: u32 = 2;

/// How often a tree may be judged again because its base moved under it.
pub const MAX_REJUDGED: u32 = 5;

/// Where an attempt stands. Stored with every transition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub phase: Phase,
    /// 0 is the first build; a repair and a climb each begin a new round.
    pub round: u32,
    /// Times this round began again after a crash.
    pub restarts: u32,
    /// Times the tree was judged again because the evidence no longer held.
    #[serde(default)]
    pub rejudged: u32,
    /// Stopped in good order in mid-round: beginning again is no crash.
    #[serde(default)]
    pub paused: bool,
    pub repaired: bool,
    pub climbed: bool,
    /// The tier this round starts at.
    pub tier: ModelTier,
    pub stand: Stand,
    /// The gate's digest for the builder of this round.
    pub feedback: Option<String>,
    /// What the builder said it did; untrusted.
    pub summary: String,
    /// The tier that finished the work.
    #[serde(rename = "finishedTier")]
    pub finished_by: Option<ModelTier>,
    pub candidate: Option<Candidate>,
    /// The gate's stored evidence (`GatesPassed`), as the gate wrote it.
    pub evidence: Option<serde_json::Value>,
    pub pull: Option<PullRef>,
    /// What the last round left in its private ref.
    #[serde(default)]
    pub left: Left,
    /// Why this attempt climbed to a dearer tier, if it did.
    #[serde(default)]
    pub climbed_for: Option<Grounds>,
    /// The admission to a dearer tier, where this round has one.
    pub admission: Option<Admission>,
    /// Set once it is decided; what is left is to report it.
    pub outcome: Option<Outcome>,
}

/// Why a round was not enough.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grounds {
    pub code: ReasonCode,
    pub reason: String,
}

/// What a round left, for the next one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Left {
    /// Work that was judged, or nothing yet.
    #[default]
    Judged,
    /// Half-done work of a builder that ran out of its bounds, in these words.
    HalfDone(String),
    /// What somebody left who went in circles: kept for people, not to be built on.
    Circles,
}

/// Leave to use a dearer tier, as asked of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    pub id: EscalationId,
    pub reason: String,
    pub tag: String,
    /// Counts against the quota.
    pub counted: bool,
}

/// What the work stands on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stand {
    /// The branch the pull request will be based on.
    pub base_branch: String,
    /// The blocker whose branch that is, where the work stacks.
    pub on: Option<IssueNumber>,
    /// The commit the current workspace was made from.
    pub base: CommitId,
}

/// What the gate judges and what will be pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The tip of the base that the tree was merged with.
    pub base: CommitId,
    pub commit: CommitId,
    pub tree: TreeId,
}

/// A pull request as we refer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRef {
    pub number: u64,
    pub url: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Workspace being made, then the builder at work in it.
    Building,
    /// The tree is safe in a private ref; the gate looks at it.
    Gating,
    Pushing,
    OpeningPull,
    Commenting,
    Ended,
}

impl Phase {
    /// What a person reads in `step`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Gating => "judging",
            Self::Pushing => "pushing the branch",
            Self::OpeningPull => "opening the pull request",
            Self::Commenting => "commenting on the issue",
            Self::Ended => "ended",
        }
    }
}

/// What came of an effect.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The builder finished and its tree is kept.
    Built {
        tier: ModelTier,
        summary: String,
    },
    /// The builder gave up, or could not be had.
    BuildFailed {
        code: ReasonCode,
        message: String,
        stuck: bool,
    },
    /// The builder finished without changing anything.
    NothingChanged,
    /// The tree cannot be taken over (a nested repository, a link out of the tree, ...).
    TreeRefused {
        reason: String,
    },
    Passed {
        candidate: Candidate,
        evidence: serde_json::Value,
    },
    Refused {
        reason: String,
        digest: String,
        repairable: bool,
    },
    Pushed,
    /// The evidence no longer holds: the base moved and conflicts, or a log is gone.
    JudgeAgain,
    /// The branch holds somebody else's work.
    BranchTaken {
        reason: String,
    },
    PullOpened(PullRef),
    PublishFailed {
        message: String,
    },
    Commented,
    /// What the builder left cannot be found any more (a mirror that is gone).
    WorkLost,
    /// The process died; this is the first thing after the restart.
    Restarted,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Make a fresh workspace and let the builder work in it.
    Build,
    Judge,
    Push,
    OpenPull,
    Comment,
    End(Outcome),
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Outcome {
    Success,
    Failed { code: ReasonCode, reason: String },
}

/// What the night allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Retry, fallback, repair.
    pub auto_heal: bool,
    /// Other models than the first.
    pub escalation: bool,
    /// Push and open pull requests.
    pub publish: bool,
}

/// The tier a stuck builder or a second refusal climbs to.
pub const CLIMB_TO: ModelTier = ModelTier::Gpt4Turbo;

impl State {
    #[must_use]
    pub fn new(tier: ModelTier, stand: Stand) -> Self {
        Self {
            phase: Phase::Building,
            round: 0,
            restarts: 0,
            rejudged: 0,
            paused: false,
            repaired: false,
            climbed: false,
            tier,
            stand,
            feedback: None,
            summary: String::new(),
            finished_by: None,
            candidate: None,
            evidence: None,
            pull: None,
            left: Left::Judged,
            climbed_for: None,
            admission: None,
            outcome: None,
        }
    }

    /// The private ref that keeps what this round's builder made.
    #[must_use]
    pub fn work_ref(attempt: &super::ids::AttemptId, round: u32) -> String {
        format!("refs/foreman/attempts/{attempt}/round-{round}")
    }

    /// The private ref that keeps this round's work merged with a base that moved.
    #[must_use]
    pub fn merged_ref(attempt: &super::ids::AttemptId, round: u32) -> String {
        format!("refs/foreman/attempts/{attempt}/merged-{round}")
    }

    fn in_phase(mut self, phase: Phase, effect: Effect) -> (Self, Effect) {
        self.phase = phase;
        (self, effect)
    }

    /// The outcome is decided: it is reported on the issue first, where anything is published.
    fn decided(mut self, outcome: Outcome, rules: Rules) -> (Self, Effect) {
        self.outcome = Some(outcome.clone());
        if rules.publish {
            self.in_phase(Phase::Commenting, Effect::Comment)
        } else {
            self.in_phase(Phase::Ended, Effect::End(outcome))
        }
    }

    fn failed(self, rules: Rules, code: ReasonCode, reason: impl Into<String>) -> (Self, Effect) {
        self.decided(Outcome::Failed { code, reason: reason.into() }, rules)
    }

    /// Over without a word on GitHub.
    fn ended(mut self) -> (Self, Effect) {
        let outcome = self.outcome.clone().unwrap_or(Outcome::Success);
        self.phase = Phase::Ended;
        (self, Effect::End(outcome))
    }

    fn next_round(mut self, tier: ModelTier, feedback: Option<String>) -> (Self, Effect) {
        self.round += 1;
        self.restarts = 0;
        self.tier = tier;
        self.feedback = feedback;
        self.candidate = None;
        self.evidence = None;
        self.in_phase(Phase::Building, Effect::Build)
    }

    fn may_climb(&self, rules: Rules) -> bool {
        // Only upward: from a dearer tier there is nowhere to climb to.
        rules.auto_heal && rules.escalation && !self.climbed && self.tier > CLIMB_TO
    }

    fn climb(mut self, feedback: Option<String>, why: Grounds) -> (Self, Effect) {
        self.climbed = true;
        self.climbed_for = Some(why);
        self.admission = None;
        self.next_round(CLIMB_TO, feedback)
    }

    /// A refusal: one repair at the same tier, then once up, then the issue fails.
    fn refused(
        mut self,
        rules: Rules,
        code: ReasonCode,
        reason: String,
        digest: String,
    ) -> (Self, Effect) {
        self.left = Left::Judged;
        if !rules.auto_heal {
            return self.failed(rules, code, reason);
        }
        if !self.repaired {
            self.repaired = true;
            let tier = self.tier;
            return self.next_round(tier, Some(digest));
        }
        if self.may_climb(rules) {
            return self.climb(Some(digest), Grounds { code, reason });
        }
        self.failed(rules, code, reason)
    }
}

/// The one transition function.
#[must_use]
pub fn step(mut state: State, event: Event, rules: Rules) -> (State, Effect) {
    match event {
        Event::Built { tier, summary } => {
            state.finished_by = Some(tier);
            state.summary = summary;
            state.left = Left::Judged;
            state.in_phase(Phase::Gating, Effect::Judge)
        }
        Event::BuildFailed { code, message, stuck } => {
            if stuck && state.may_climb(rules) {
                let feedback = state.feedback.clone();
                return state.climb(feedback, Grounds { code, reason: message });
            }
            state.failed(rules, code, message)
        }
        Event::NothingChanged => state.refused(
            rules,
            ReasonCode::NoChange,
            "the builder finished without changing anything".to_owned(),
            "You finished without changing any file. Make the change that the issue asks for."
                .to_owned(),
        ),
        Event::TreeRefused { reason } => {
            let digest = format!("The tree you left cannot be taken over: {reason}. Undo that.");
            state.refused(rules, ReasonCode::GateRefused, reason, digest)
        }
        Event::Passed { candidate, evidence } => {
            state.candidate = Some(candidate);
            state.evidence = Some(evidence);
            if rules.publish {
                state.in_phase(Phase::Pushing, Effect::Push)
            } else {
                state.decided(Outcome::Success, rules)
            }
        }
        Event::Refused { reason, digest, repairable } => {
            if repairable {
                state.refused(rules, ReasonCode::GateRefused, reason, digest)
            } else {
                state.failed(rules, ReasonCode::GateRefused, reason)
            }
        }
        Event::Pushed => state.in_phase(Phase::OpeningPull, Effect::OpenPull),
        Event::WorkLost => build_again(state, rules),
        Event::JudgeAgain => {
            state.candidate = None;
            state.evidence = None;
            state.rejudged += 1;
            if state.rejudged > MAX_REJUDGED {
                let reason = format!("the base kept moving: judged {} times", state.rejudged);
                return state.failed(rules, ReasonCode::BaseMoved, reason);
            }
            state.in_phase(Phase::Gating, Effect::Judge)
        }
        Event::BranchTaken { reason } => state.failed(rules, ReasonCode::BranchTaken, reason),
        Event::PullOpened(pull) => {
            state.pull = Some(pull);
            state.decided(Outcome::Success, rules)
        }
        Event::PublishFailed { message } => state.failed(rules, ReasonCode::PublishFailed, message),
        Event::Commented => state.ended(),
        Event::Restarted => restarted(state, rules),
    }
}

/// The round begins again, a bounded number of times.
fn build_again(mut state: State, rules: Rules) -> (State, Effect) {
    state.restarts += 1;
    if state.restarts > MAX_RESTARTS {
        let reason = format!("building this issue was cut off {} times", state.restarts);
        return state.failed(rules, ReasonCode::Internal, reason);
    }
    state.in_phase(Phase::Building, Effect::Build)
}

/// What to do after a crash, from the phase that was stored. Everything here looks before it acts.
fn restarted(mut state: State, rules: Rules) -> (State, Effect) {
    match state.phase {
        Phase::Building if state.paused => {
            state.paused = false;
            (state, Effect::Build)
        }
        Phase::Building => build_again(state, rules),
        Phase::Gating => (state, Effect::Judge),
        Phase::Pushing => (state, Effect::Push),
        Phase::OpeningPull => (state, Effect::OpenPull),
        Phase::Commenting => (state, Effect::Comment),
        Phase::Ended => state.ended(),
    }
}

#[cfg(test)]
mod tests;
