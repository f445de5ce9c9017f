//! `foreman status`: the latest and the active runs, from the server or, read-only, the store.

use std::process::ExitCode;

use chrono::Utc;
use serde_json::{Value, json};

use super::client::Client;
use super::{CliError, print_json, printable};
use crate::app::{self, AppError};
use crate::config::Config;
use crate::domain::ids::RepoName;
use crate::domain::run::{IssueStatus, Run};
use crate::overnight;
use crate::store::StoreError;

pub async fn status(
    config: &Config,
    repo: Option<RepoName>,
    json: bool,
) -> Result<ExitCode, CliError> {
    let path = match &repo {
        Some(repo) => format!("/api/foreman/overnight?owner={}&repo={}", repo.owner(), repo.name()),
        None => "/api/foreman/overnight".to_owned(),
    };
    let client = Client::new(config)?;
    let (from, answer) = match client.get(&path).await {
        Ok(answer) => (format!("the server at {}", client.url()), answer),
        Err(error) if error.is_absent() => {
            (config.data_dir.display().to_string(), stored(config, repo.as_ref()).await?)
        }
        Err(error) => return Err(error.into()),
    };
    if json {
        print_json(&answer);
        return Ok(ExitCode::SUCCESS);
    }
    println!("From {from}");
    let active: Vec<Run> = read(&answer["activeRuns"])?;
    let latest: Option<Run> = read(&answer["run"])?;
    if active.is_empty() && latest.is_none() {
        println!("Nothing has run here yet");
    }
    for now in answer["doing"].as_array().into_iter().flatten() {
        print!("{}", doing(now));
    }
    let ended = latest.filter(|run| active.iter().all(|other| other.id != run.id));
    for run in active.iter().chain(&ended) {
        print!("{}", lines(run));
    }
    Ok(ExitCode::SUCCESS)
}

async fn stored(config: &Config, repo: Option<&RepoName>) -> Result<Value, CliError> {
    let store = match app::open_for_reading(config).await {
        Ok(store) => store,
        Err(AppError::Store(StoreError::NoDatabase(_))) => {
            let nothing = json!({ "success": true, "run": null, "activeRuns": [], "doing": [] });
            return Ok(nothing);
        }
        Err(error) => return Err(error.into()),
    };
    let (run, active) = (store.latest_run(repo).await?, store.active_runs(repo).await?);
    let doing = overnight::doing(&store, &active, Utc::now()).await?;
    let (quota, events) = (store.quota_used().await?, store.event_stats().await?);
    store.close().await;
    let quota =
        json!({ "daily": quota.daily, "hourly": quota.hourly, "concurrent": quota.concurrent });
    Ok(json!({
        "success": true,
        "run": run,
        "activeRuns": active,
        "doing": doing,
        "status": { "quotaUsage": quota, "governanceStats": events },
    }))
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, CliError> {
    serde_json::from_value(value.clone())
        .map_err(|error| CliError::Other(format!("the answer cannot be read: {error}")))
}

/// `now  #12 Title: building, for 3 min 12 s, $0.0312`
fn doing(now: &Value) -> String {
    let step = now["step"].as_str().unwrap_or("under way");
    let took = now["seconds"].as_i64().map_or_else(String::new, |seconds| {
        let (minutes, seconds) = (seconds / 60, seconds % 60);
        let minutes = if minutes > 0 { format!("{minutes} min ") } else { String::new() };
        format!(", for {minutes}{seconds} s")
    });
    let line = format!(
        "now  #{} {}: {step}{took}, ${:.4}",
        now["issueNumber"],
        now["title"].as_str().unwrap_or_default(),
        now["costUsd"].as_f64().unwrap_or_default()
    );
    format!("{}\n", printable(&line))
}

fn lines(run: &Run) -> String {
    let mut out = format!(
        "{}  {}/{}  {}{}  {} of {} issues done ({} succeeded, {} failed, {} skipped)  {}\n",
        run.id,
        run.owner,
        run.repo,
        run.standing(),
        if run.dry_run { " (dry run)" } else { "" },
        run.processed_issues,
        run.total_issues,
        run.successful_issues,
        run.failed_issues,
        run.skipped_issues,
        run.cost_usd,
    );
    for row in &run.issue_results {
        let state = match row.status {
            IssueStatus::Pending => "pending",
            IssueStatus::Running => "running",
            IssueStatus::Success => "success",
            IssueStatus::Failed => "failed",
            IssueStatus::Skipped => "skipped",
        };
        let detail = row.pr_url.as_ref().or(row.reason.as_ref()).or(row.step.as_ref());
        let detail = detail.map_or_else(String::new, |detail| format!(": {detail}"));
        let line = format!("{:>8} {state:<8} {}{detail}", row.issue_number.to_string(), row.title);
        out.push_str(&printable(&line));
        out.push('\n');
    }
    for error in &run.errors {
        out.push_str(&format!("         ! {error}\n"));
    }
    out
}
