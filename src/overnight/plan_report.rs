//! A plan with what stands beside it: the local clones, the ceilings, the forecast.
//!
//! The night and the plan route gather alike; only the route's report is made here.

use std::time::Duration;

use serde::Serialize;

use super::found::{self, Found};
use super::planning::{self, Gathered, PlanError};
use super::settings::Parts;
use crate::domain::ids::IssueNumber;
use crate::domain::plan::PlannedIssue;
use crate::domain::run::NightRequest;
use crate::escalation::{self, Forecast, Source};
use crate::github::GitHub;

/// How long planning waits for the local clones.
const CLONES_PATIENCE: Duration = Duration::from_secs(30);
/// Issues of a repository from which on its own history speaks for it.
const ENOUGH_HISTORY: usize = 5;

/// The plan as the route and the command line show it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanReport {
    pub owner: String,
    pub repo: String,
    pub total_issues: usize,
    pub eligible_issues: usize,
    pub issues: Vec<PlannedIssue>,
    pub cycles: Vec<Vec<IssueNumber>>,
    pub chains: Vec<DependencyChain>,
    /// The local clones as they are now, where the night would look at them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desktop: Option<serde_json::Value>,
    pub budget_usd: Option<crate::domain::money::Usd>,
    pub ceilings: serde_json::Value,
    pub forecast: Forecast,
    /// What would be run to judge a change.
    pub checks: Found,
}

/// One node of the dependency graph, as the contract names it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DependencyChain {
    pub issue_number: IssueNumber,
    pub depends_on: Vec<IssueNumber>,
    pub blocks: Vec<IssueNumber>,
    pub depth: u32,
    pub can_execute_now: bool,
}

/// Plans, and looks at the local clones meanwhile, which no night waits long for.
pub(super) async fn gather(
    parts: &Parts,
    github: &GitHub,
    request: &NightRequest,
) -> Result<Gathered, PlanError> {
    let clones = async {
        if !parts.desktop.is_enabled() || !request.config.enable_desktop_sync {
            return None;
        }
        serde_json::to_value(parts.desktop.before_a_night(CLONES_PATIENCE).await).ok()
    };
    let (gathered, desktop) = tokio::join!(planning::gather(parts, github, request), clones);
    let mut gathered = gathered?;
    gathered.plan.desktop = desktop;
    Ok(gathered)
}

pub(super) async fn report(parts: &Parts, request: &NightRequest) -> Result<PlanReport, PlanError> {
    if !parts.github.has_credential() {
        return Err(PlanError::NoCredential);
    }
    let gathered = gather(parts, &parts.github, request).await?;
    let forecast = forecast(parts, request, gathered.plan.eligible().count()).await?;
    let checks = found::found(parts, &request.repo, &gathered.repository).await;
    let chains = gathered.plan.issues.iter().map(|issue| DependencyChain {
        issue_number: issue.issue_number,
        depends_on: issue.depends_on.clone(),
        blocks: issue.blocks.clone(),
        depth: issue.depth,
        can_execute_now: issue.can_execute_now,
    });
    Ok(PlanReport {
        owner: request.repo.owner().to_owned(),
        repo: request.repo.name().to_owned(),
        total_issues: gathered.plan.issues.len(),
        eligible_issues: gathered.plan.eligible().count(),
        chains: chains.collect(),
        cycles: gathered.plan.cycles,
        desktop: gathered.plan.desktop,
        issues: gathered.plan.issues,
        budget_usd: request.config.budget_usd,
        ceilings: parts.settings.ceilings_json(),
        forecast,
        checks,
    })
}

/// From the repository's own history where there is enough of it, else from everything.
async fn forecast(
    parts: &Parts,
    request: &NightRequest,
    issues: usize,
) -> Result<Forecast, PlanError> {
    let own = parts.store.issue_costs(Some(&request.repo)).await?;
    let (history, source) = if own.len() >= ENOUGH_HISTORY {
        (own, Source::Repository)
    } else {
        (parts.store.issue_costs(None).await?, Source::AllRepositories)
    };
    Ok(escalation::forecast(&history, source, issues, request.config.budget_usd))
}
