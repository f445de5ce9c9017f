//! What a person can do about each reason code: the same words in `foreman why`, the report, the
//! API and `docs/api.md`.

use super::plan::ReasonCode;

impl ReasonCode {
    /// What would change this. Holds for every issue with the code; the row's `reason` names what is
    /// special to one.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::UntrustedAuthor => {
                "Someone with write access adds the label `foreman:approved`. Or `trust.authors = \"all\"`."
            }
            Self::ForemanIssue | Self::DryRun => "Nothing.",
            Self::SkipLabel => "Take the label off when it should be worked on.",
            Self::NotSelected => "Ask for it.",
            Self::ParentIssue => "Nothing; they are worked on. It is free when they are closed.",
            Self::MaxIssues => "Wait for the next night, or raise `maxIssuesPerRun`.",
            Self::OpenPullRequest => "Review it: merge or close it.",
            Self::UnchangedSinceRefusal => {
                "Edit the issue so that it says more, or let someone with write access add `foreman:retry`. After a failure, a new commit on the base is enough too."
            }
            Self::Cycle => "Take one of these dependencies out.",
            Self::BlockedByCycle => "Break that cycle.",
            Self::Blocked => "Close or merge the blocker the reason names.",
            Self::UnknownBlocker => {
                "Correct the reference, or give the token access to that repository."
            }
            Self::BlockerFailed | Self::BlockerSkipped => "Look at the blocker's row.",
            Self::StackDiverged => "Merge one of their pull requests first.",
            Self::BranchTaken => "Rename or delete the branch, or close that pull request.",
            Self::Budget => {
                "Raise it (`budgetUsd`, `[limits]`), or wait for the next day or month."
            }
            Self::BaseRed => {
                "Repair it. Or let someone with write access label the issue that repairs it `foreman:repair-base`."
            }
            Self::DependenciesUnavailable => {
                "Make them available without network: `cargo fetch`, vendor them, or install them with the system."
            }
            Self::CopilotFailed => {
                "Look at its pull request; add `foreman:retry`, or switch with `foreman builder desktop`."
            }
            Self::CopilotUnavailable => {
                "Switch its coding agent on in the repository, use a user's token, or set `DESKTOP_BUILDER_ENABLED=true`."
            }
            Self::Cancelled => "Start another.",
            Self::GateRefused => {
                "Read the findings and make the issue clearer. Where a rule is in the way, a person makes the change."
            }
            Self::BuilderFailed => {
                "Split the issue, raise `limits.steps`, `tokens` or `minutes`, or use a stronger model."
            }
            Self::NoChange => "Close the issue if it is done; else say what should change.",
            Self::ModelsExhausted => {
                "Look at the last error in the reason: quota, outage, a model past its last day. `foreman doctor` lists the tiers."
            }
            Self::ProviderRefused => {
                "Set `OPENAI_API_KEY` anew where it is `auth`; else read the provider's words in the reason."
            }
            Self::PublishFailed => {
                "Read GitHub's words; often a permission of the token. The next night tries again; a branch that was pushed is judged anew and published without asking a model."
            }
            Self::BaseMoved => "Look at the repository's default branch, start another night.",
            Self::Internal => {
                "Read the reason and the log of that run; start another night. If it comes again, it is a bug."
            }
        }
    }
}
