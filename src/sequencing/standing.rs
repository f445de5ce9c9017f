//! What a blocker is to those who wait for it, and the sentences that say so.
//!
//! Owns what an issue's edges come to: nothing, waiting, or a reason why not tonight. Never looks
//! beyond one issue's own edges.

use crate::domain::ids::IssueNumber;
use crate::domain::plan::{DependencyMode, Edge, EdgeState, ReasonCode, Skip};

use super::readiness::Progress;

/// What a blocker is to those who wait for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// Closed, or its work can be built upon.
    Done,
    Pending,
    Never(Obstacle),
}

/// Why a blocker will not be done tonight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Obstacle {
    kind: Hindrance,
    /// Who stands in the way and why: `#12, which failed`.
    who: String,
    /// The parent through which it does.
    via: Option<IssueNumber>,
}

/// What a person has to mend comes first: the gravest of several gives the row its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Hindrance {
    Cycle,
    Unknown,
    Open,
    Failed,
    Skipped,
}

impl Hindrance {
    /// What the dependent's row says.
    const fn code(self) -> ReasonCode {
        match self {
            Self::Cycle => ReasonCode::BlockedByCycle,
            Self::Unknown => ReasonCode::UnknownBlocker,
            Self::Open => ReasonCode::Blocked,
            Self::Failed => ReasonCode::BlockerFailed,
            Self::Skipped => ReasonCode::BlockerSkipped,
        }
    }
}

/// The standing of an issue that isn't a parent.
pub(super) fn standing(number: IssueNumber, progress: Progress, mode: DependencyMode) -> Standing {
    let never = |kind, what: &str| {
        Standing::Never(Obstacle { kind, who: format!("{number}, {what}"), via: None })
    };
    let unmerged = || match mode {
        DependencyMode::Stack => Standing::Done,
        DependencyMode::Wait => never(Hindrance::Open, "whose pull request isn't merged"),
    };
    match progress {
        Progress::Pending | Progress::Running => match mode {
            DependencyMode::Stack => Standing::Pending,
            // Nothing is closed during a night: who waits, waits for another one.
            DependencyMode::Wait => {
                never(Hindrance::Open, "which has to be closed first (dependencyMode `wait`)")
            }
        },
        Progress::Succeeded | Progress::OpenPullRequest => unmerged(),
        // A dry run goes on as if the work had passed.
        Progress::Skipped(ReasonCode::OpenPullRequest | ReasonCode::DryRun) => unmerged(),
        Progress::Skipped(ReasonCode::Cycle) => {
            never(Hindrance::Cycle, "which is in a dependency cycle")
        }
        Progress::Skipped(ReasonCode::BlockedByCycle) => {
            never(Hindrance::Cycle, "which waits for a dependency cycle")
        }
        Progress::Failed(code) => {
            never(Hindrance::Failed, &format!("which failed: {}", words(code)))
        }
        Progress::Skipped(code) => {
            never(Hindrance::Skipped, &format!("which is skipped: {}", words(code)))
        }
    }
}

/// What an issue's edges come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    /// The gravest first.
    obstacles: Vec<Obstacle>,
    pending: bool,
}

/// At most so many obstacles are spelt out in a reason.
const NAMED: usize = 5;

impl View {
    /// Weighs edges, given the standing of issues in the set and whether they are parents.
    pub fn of<'a>(
        edges: &[Edge],
        standing_of: impl Fn(IssueNumber) -> Option<(&'a Standing, bool)>,
    ) -> Self {
        let mut view = Self { obstacles: Vec::new(), pending: false };
        for edge in edges {
            let outside = |kind, what: &str| {
                let who = format!("{}, {what}", edge.on.display());
                Obstacle { kind, who, via: None }
            };
            let obstacle = match edge.state {
                EdgeState::Satisfied => continue,
                EdgeState::OpenElsewhere => {
                    outside(Hindrance::Open, "which is open and not part of this night")
                }
                EdgeState::Unknown => outside(Hindrance::Unknown, "which GitHub does not know"),
                EdgeState::InSet => match standing_of(edge.on.number) {
                    Some((Standing::Done, _)) => continue,
                    Some((Standing::Pending, _)) | None => {
                        view.pending = true;
                        continue;
                    }
                    Some((Standing::Never(why), is_parent)) => {
                        Obstacle { via: is_parent.then_some(edge.on.number), ..why.clone() }
                    }
                },
            };
            view.obstacles.push(obstacle);
        }
        view.obstacles.sort_by_key(|obstacle| obstacle.kind);
        view
    }

    /// A parent stands as its edges do; of several obstacles the gravest is passed on, without the
    /// parents between, so that a chain of them makes no sentence that grows with it.
    pub fn as_parent(&self) -> Standing {
        match self.obstacles.first() {
            Some(worst) => Standing::Never(Obstacle { via: None, ..worst.clone() }),
            None if self.pending => Standing::Pending,
            None => Standing::Done,
        }
    }

    pub const fn is_ready(&self) -> bool {
        self.obstacles.is_empty() && !self.pending
    }

    /// Why the issue will not be worked on tonight, if so.
    pub fn skip(&self) -> Option<Skip> {
        let worst = self.obstacles.first()?;
        let named = self.obstacles.iter().take(NAMED).map(|obstacle| match obstacle.via {
            Some(parent) => format!("blocked by {parent}, which waits for {}", obstacle.who),
            None => format!("blocked by {}", obstacle.who),
        });
        let mut reason = named.collect::<Vec<_>>().join("; ");
        if let Some(more @ 1..) = self.obstacles.len().checked_sub(NAMED) {
            reason.push_str("; and ");
            reason.push_str(&more.to_string());
            reason.push_str(" more");
        }
        Some(Skip::new(worst.kind.code(), reason))
    }
}

/// A reason code as the end of a sentence about the issue that has it.
const fn words(code: ReasonCode) -> &'static str {
    match code {
        ReasonCode::UntrustedAuthor => "its author isn't trusted",
        ReasonCode::ForemanIssue => "it is one of Foreman's own",
        ReasonCode::SkipLabel => "it carries the skip label",
        ReasonCode::NotSelected => "it isn't among those asked for",
        ReasonCode::ParentIssue => "its work is in its sub-issues",
        ReasonCode::MaxIssues => "the night's number of issues is used up",
        ReasonCode::OpenPullRequest => "it has an open pull request",
        ReasonCode::UnchangedSinceRefusal => "it is unchanged since its work was refused",
        ReasonCode::DryRun => "this is a dry run",
        ReasonCode::Cycle => "it is in a dependency cycle",
        ReasonCode::BlockedByCycle => "it waits for a dependency cycle",
        ReasonCode::Blocked => "it is blocked itself",
        ReasonCode::UnknownBlocker => "GitHub does not know one of its blockers",
        ReasonCode::BlockerFailed => "one of its blockers failed",
        ReasonCode::BlockerSkipped => "one of its blockers is skipped",
        ReasonCode::StackDiverged => "its blockers don't stack on one another",
        ReasonCode::BranchTaken => "its branch holds somebody else's work",
        ReasonCode::Budget => "the budget is used up",
        ReasonCode::BaseRed => "the base doesn't pass its own checks",
        ReasonCode::DependenciesUnavailable => "the packages its base needs can't be reached",
        ReasonCode::Cancelled => "the night was cancelled",
        ReasonCode::GateRefused => "the gate refused its change",
        ReasonCode::BuilderFailed => "its builder did not finish",
        ReasonCode::NoChange => "its builder changed nothing",
        ReasonCode::ModelsExhausted => "no model answered",
        ReasonCode::ProviderRefused => "the model provider refused",
        ReasonCode::PublishFailed => "its pull request could not be opened",
        ReasonCode::BaseMoved => "its base moved under it",
        ReasonCode::CopilotFailed => "Copilot failed on it",
        ReasonCode::CopilotUnavailable => "Copilot was not available",
        ReasonCode::Internal => "Foreman itself failed",
    }
}
