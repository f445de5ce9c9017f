//! What Copilot left of an issue before this night: a pull request that was judged, or one that
//! waits to be.

use super::copilot_texts as texts;
use super::hand::Hand;
use super::planning::{OpenPull, PlanError};
use super::settings::Parts;
use crate::domain::ids::RepoName;
use crate::domain::issue::Issue;
use crate::domain::switch::Builder;
use crate::github::CopilotPull;

/// What there is.
pub(super) enum Before {
    Nothing,
    /// Open, and what it shows now passed.
    Passed(OpenPull),
    /// Open, and Copilot is not the builder now.
    Waits(OpenPull),
    /// Open and refused as it stands, or closed: why, as a sentence's beginning.
    Over(String),
}

/// Asks GitHub only where Copilot is set up.
pub(super) async fn look(
    parts: &Parts,
    repo: &RepoName,
    issue: &Issue,
    hand: &Hand,
) -> Result<Before, PlanError> {
    if parts.settings.copilot.is_none() {
        return Ok(Before::Nothing);
    }
    let pulls = parts.github.copilot_pulls(repo, issue.number).await?;
    let Some(CopilotPull { pull, .. }) = pulls.iter().find(|it| it.pull.open).or(pulls.first())
    else {
        return Ok(Before::Nothing);
    };
    if !pull.open {
        let how = if pull.merged { "was merged" } else { "was closed unmerged" };
        return Ok(Before::Over(format!("Copilot's pull request {} {how}", pull.number)));
    }
    let comments = parts.github.comments(repo, pull.number).await?;
    let verdict = comments
        .iter()
        .filter(|comment| hand.wrote(comment.author.as_deref()))
        .find_map(|comment| texts::verdict_in(&comment.body, &pull.head_sha));
    let open = OpenPull {
        number: pull.number.0,
        url: pull.html_url.clone(),
        head: pull.head_sha.clone(),
        branch: Some(pull.head_branch.clone()),
    };
    Ok(match verdict {
        Some(true) => Before::Passed(open),
        Some(false) => {
            Before::Over(format!("Copilot's pull request {} was refused as it stands", pull.number))
        }
        None if parts.switchboard.state().await?.active == Builder::Copilot => Before::Nothing,
        None => Before::Waits(open),
    })
}
