//! `foreman doctor OWNER/REPO`: the base's checks, run as a night would and nowhere but in a folder
//! that goes away; what a night would meet, and a `.foreman.toml` that would pass.

use chrono::Utc;
use tokio_util::sync::CancellationToken;

use super::doctor::Findings;
use crate::app::{self, Bench};
use crate::config::Config;
use crate::domain::evidence::CheckOutcome;
use crate::domain::ids::{CommitId, RepoName, RunId};
use crate::gate::propose::{Proposal, propose};
use crate::gate::{BaseVerdict, GateError, POLICY_FILE, Policy};
use crate::git::{GitError, Mirror};
use crate::github::{GitHub, GitHubError, Held};

const PERMISSION: &str = "permission";
const POLICY: &str = "policy";
const BASE: &str = "base";
/// Findings of one kind that are listed.
const MOST_LISTED: usize = 5;

/// Says which permissions are held, by name.
pub(super) async fn permissions(client: &GitHub, repo: &RepoName, findings: &mut Findings) {
    let grants = match client.grants(repo).await {
        Ok(grants) => grants,
        Err(error) => {
            let advice = "which permissions the token has is seen at the first night";
            return findings.warn(PERMISSION, error.to_string(), advice);
        }
    };
    for grant in grants {
        let name = grant.name;
        match grant.held {
            Held::Write => findings.ok(PERMISSION, format!("{name}: write ({})", grant.by)),
            Held::AtLeastRead => findings.ok(
                PERMISSION,
                format!(
                    "{name}: held ({}); GitHub does not say whether it may be written",
                    grant.by
                ),
            ),
            Held::Missing => findings.fail(
                PERMISSION,
                format!("{name}: missing ({})", grant.by),
                format!("give the token write access to `{name}` of {repo}"),
            ),
        }
    }
}

/// Runs the base's checks; the proposal where they ran.
pub(super) async fn look(
    config: &Config,
    repo: &RepoName,
    findings: &mut Findings,
) -> Option<Proposal> {
    let client = GitHub::new(&config.github.api_url, app::credential(config)).ok()?;
    let bench = match Bench::open(config).await {
        Ok(bench) => bench,
        // Each part's own check has said what is wrong.
        Err(error) => {
            findings.fail(BASE, format!("its checks cannot be run: {error}"), "");
            return None;
        }
    };
    let proposal = match on_bench(&bench, &client, repo, findings).await {
        Ok(proposal) => proposal,
        Err(Trouble::Policy(error)) => {
            findings.fail(POLICY, error.to_string(), "correct that line; unknown keys are errors");
            None
        }
        Err(Trouble::Git(error)) => {
            findings.fail(BASE, format!("the repository cannot be cloned: {error}"), "");
            None
        }
        Err(Trouble::GitHub(error)) => {
            findings.fail(BASE, error.to_string(), "");
            None
        }
    };
    bench.close().await;
    proposal
}

enum Trouble {
    GitHub(GitHubError),
    Git(GitError),
    Policy(GateError),
}

impl From<GitHubError> for Trouble {
    fn from(error: GitHubError) -> Self {
        Self::GitHub(error)
    }
}

impl From<GitError> for Trouble {
    fn from(error: GitError) -> Self {
        Self::Git(error)
    }
}

impl From<GateError> for Trouble {
    fn from(error: GateError) -> Self {
        match error {
            GateError::Git(error) => Self::Git(error),
            other => Self::Policy(other),
        }
    }
}

async fn on_bench(
    bench: &Bench,
    client: &GitHub,
    repo: &RepoName,
    findings: &mut Findings,
) -> Result<Option<Proposal>, Trouble> {
    let cancel = CancellationToken::new();
    let repository = client.repository(repo).await?;
    let token = client.token_for_git(repo).await?;
    let mirror = bench.git.mirror(repo, &repository.clone_url, token, cancel.clone()).await?;
    let branch = &repository.default_branch;
    let Some(tip) = mirror.tip(branch).await? else {
        let found = format!("the branch `{branch}` has no commit");
        findings.fail(BASE, found, "push a first commit");
        return Ok(None);
    };
    let policy = bench.gate.policy(&mirror, &tip).await?;
    say_policy(&policy, findings);
    let verdict = judge(bench, &mirror, &tip, &cancel).await?;
    say_verdict(&verdict, findings);
    Ok(Some(propose(&policy, &verdict)))
}

async fn judge(
    bench: &Bench,
    mirror: &Mirror,
    tip: &CommitId,
    cancel: &CancellationToken,
) -> Result<BaseVerdict, GateError> {
    bench.gate.judge_base(mirror, tip, &RunId::fresh(), cancel).await
}

fn say_policy(policy: &Policy, findings: &mut Findings) {
    let from = if policy.from_file { "read" } else { "there is none; what was detected holds" };
    findings.ok(POLICY, format!("{POLICY_FILE}: {from}"));
    for found in policy.found() {
        findings.ok(POLICY, found);
    }
    let today = Utc::now().date_naive();
    for entry in policy.allow_warnings.iter().filter(|entry| entry.until < today) {
        let found = format!(
            "the allowance of `{}` by {} ended on {}",
            entry.pattern, entry.by, entry.until
        );
        findings.warn(POLICY, found, "take it out, or set a new day");
    }
}

fn say_verdict(verdict: &BaseVerdict, findings: &mut Findings) {
    for check in &verdict.checks {
        let command = check.command.as_deref().unwrap_or_default();
        let seconds = std::time::Duration::from_millis(check.duration_ms).as_secs_f64();
        let said = check.findings.first().cloned().unwrap_or_default();
        match check.outcome {
            CheckOutcome::Passed => {
                let tests = verdict.results.iter().find(|it| {
                    it.planned.command == command && it.tests.known() && check.name == "test"
                });
                let tests = tests.map_or_else(String::new, |result| {
                    format!(", {} tests collected", result.tests.collected())
                });
                findings.ok(
                    BASE,
                    format!("{}: `{command}` passed in {seconds:.1} s{tests}", check.name),
                );
            }
            CheckOutcome::NotApplicable => {
                let advice = "install it here, or say in .foreman.toml what is run instead";
                findings.warn(BASE, format!("{}: {said}", check.name), advice);
            }
            CheckOutcome::Failed | CheckOutcome::NotRun if check.name == "lint" => {
                let found = format!("lint: {said}");
                findings.warn(BASE, found, "old findings are listed; only new ones fail a change");
            }
            CheckOutcome::Failed | CheckOutcome::NotRun => {}
        }
    }
    let warnings: Vec<String> =
        verdict.results.iter().flat_map(|it| &it.findings).map(ToString::to_string).collect();
    if !warnings.is_empty() {
        let listed = warnings.iter().take(MOST_LISTED).cloned().collect::<Vec<_>>().join("; ");
        let found = format!("{} old warnings: {listed}", warnings.len());
        findings.warn(BASE, found, "new ones will fail a change");
    }
    if !verdict.flaky.is_empty() {
        let found = format!("tests that flip by themselves: {}", verdict.flaky.join(", "));
        findings.warn(BASE, found, "mend them: each may pass only by luck");
    }
    if verdict.dependencies_unavailable {
        let advice = "no step has network: put what it needs into the repository or this machine";
        findings.fail(BASE, "dependencies_unavailable: a package could not be reached", advice);
    }
    for red in &verdict.red {
        let advice = "a night is halted on it: repair it, or label the issue that does `foreman:repair-base`";
        findings.fail(BASE, format!("red: {red}"), advice);
    }
    if verdict.green {
        findings.ok(BASE, format!("{} is green", verdict.commit.short()));
    }
}
