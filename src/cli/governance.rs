//! `foreman governance …`: the governance issues, the event log, whether it is whole, incidents, the
//! memory fabric, and a test of alerts.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::Client;
use super::governance_log::{self, ExportArgs, LogArgs};
use super::{CliError, print_json};
use crate::app::{self, AppError};
use crate::config::Config;
use crate::domain::ids::RepoName;
use crate::governance::delivery::{Post, Sender};
use crate::governance::issues;
use crate::store::StoreError;

/// What of governance is wanted.
#[derive(Debug, Subcommand)]
pub enum GovernanceCommand {
    /// Show the governance issues, or create on GitHub those that are not there
    Issues(IssuesArgs),
    /// Read the whole event log against its chain and its checkpoints; exits 1 where it is not whole
    Verify {
        /// Checkpoints that the webhook's receiver kept, one on a line; read here, not by the server
        #[arg(long, value_name = "FILE")]
        anchors: Option<PathBuf>,
    },
    /// Send a test alert to every place that is configured
    AlertTest,
    /// Show events, newest first
    Events(LogArgs),
    /// Count the events by type, severity, day and run
    Stats,
    /// Write the whole log to standard output, oldest first
    Export(ExportArgs),
    /// Show the incidents
    Incidents,
    /// Show what the memory fabric holds
    Memory,
}

#[derive(Debug, Args)]
pub struct IssuesArgs {
    /// Create them here; asked again, they are found
    #[arg(long, value_name = "OWNER/REPO")]
    pub create: Option<RepoName>,
    /// Only show what would be created
    #[arg(long, requires = "create")]
    pub dry_run: bool,
}

pub async fn governance(
    config: Config,
    command: GovernanceCommand,
    json: bool,
) -> Result<ExitCode, CliError> {
    match command {
        GovernanceCommand::Issues(IssuesArgs { create: Some(repo), dry_run }) => {
            create(&config, &repo, dry_run, json).await
        }
        GovernanceCommand::Issues(IssuesArgs { create: None, .. }) => show(&config, json),
        GovernanceCommand::Verify { anchors } => verify(&config, anchors.as_deref(), json).await,
        GovernanceCommand::AlertTest => alert_test(&config, json).await,
        GovernanceCommand::Events(args) => governance_log::events(&config, &args, json).await,
        GovernanceCommand::Stats => governance_log::stats(&config, json).await,
        GovernanceCommand::Export(args) => governance_log::export(&config, &args).await,
        GovernanceCommand::Incidents => governance_log::incidents(&config, json).await,
        GovernanceCommand::Memory => governance_log::memory(&config, json).await,
    }
}

fn show(config: &Config, json: bool) -> Result<ExitCode, CliError> {
    let issues = issues::load(config.governance.templates.as_deref())
        .map_err(|error| CliError::Other(error.to_string()))?;
    if json {
        print_json(&json!({ "success": true, "issues": issues }));
    } else {
        print!("{}", issues::summary(&issues));
    }
    Ok(ExitCode::SUCCESS)
}

/// Through the running server, which alone may write; without one, by ourselves.
async fn create(
    config: &Config,
    repo: &RepoName,
    dry_run: bool,
    json: bool,
) -> Result<ExitCode, CliError> {
    let answer = match app::open_governance(config).await {
        Ok((lock, governance)) => {
            let created = governance.create_issues(repo, dry_run).await;
            governance.store().clone().close().await;
            drop(lock);
            json!(created.map_err(AppError::from)?)
        }
        Err(AppError::Store(StoreError::Locked { .. })) => {
            let body = json!({ "owner": repo.owner(), "repo": repo.name(), "dryRun": dry_run });
            Client::new(config)?.post("/api/foreman/governance/issues", &body).await?
        }
        Err(error) => return Err(error.into()),
    };
    if json {
        let mut answer = answer;
        answer["success"] = json!(true);
        print_json(&answer);
    } else {
        print!("{}", created_lines(&answer, dry_run));
    }
    Ok(ExitCode::SUCCESS)
}

fn created_lines(answer: &Value, dry_run: bool) -> String {
    let would = if dry_run { "would be created" } else { "created" };
    let mut out = format!("{} {would}, {} there already\n", answer["created"], answer["existing"]);
    for issue in answer["issues"].as_array().into_iter().flatten() {
        let state = if issue["created"] == true { would } else { "there already" };
        let url = issue["url"].as_str().map(|url| format!("  {url}")).unwrap_or_default();
        let id = issue["id"].as_str().unwrap_or_default();
        out.push_str(&format!("  {id}: {state}{url}\n"));
    }
    out
}

async fn verify(config: &Config, anchors: Option<&Path>, json: bool) -> Result<ExitCode, CliError> {
    let answer = match anchors {
        Some(file) => {
            let received = std::fs::read_to_string(file).map_err(|error| {
                CliError::Other(format!("--anchors {}: {error}", file.display()))
            })?;
            verify_here(config, Some(received)).await?
        }
        None => match Client::new(config)?.get("/api/foreman/governance/verify").await {
            Ok(answer) => answer,
            Err(error) if error.is_absent() => verify_here(config, None).await?,
            Err(error) => return Err(error.into()),
        },
    };
    let ok = answer["ok"] == true;
    if json {
        print_json(&answer);
    } else {
        println!("{}", verdict(&answer));
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads the database by ourselves, whether or not a server runs.
async fn verify_here(config: &Config, received: Option<String>) -> Result<Value, CliError> {
    let governance = app::read_governance(config).await?;
    let found = governance.verify_with(received).await;
    governance.store().clone().close().await;
    Ok(json!(found.map_err(|error| CliError::Other(error.to_string()))?))
}

fn verdict(answer: &Value) -> String {
    let events = &answer["events"];
    let place = answer["anchor"]["place"].as_str().unwrap_or("?");
    let covered = match answer["anchoredThrough"].as_i64() {
        Some(through) => format!(
            "Events through {through} are anchored in {place}; later ones are chained, but not anchored yet."
        ),
        None => format!("No event is anchored yet: there is no checkpoint in {place}."),
    };
    let places = answer["anchor"]["places"].as_array().into_iter().flatten();
    let silent: String = places
        .filter_map(|place| {
            let why = place["error"].as_str()?;
            Some(format!("\nNot read back: {}: {why}.", place["place"].as_str().unwrap_or("?")))
        })
        .collect();
    let covered = format!("{covered}{silent}");
    match answer["firstBad"].as_object() {
        None if *events == 1 => format!("1 event is what was written. {covered}"),
        None => format!("{events} events are what was written. {covered}"),
        Some(bad) => format!(
            "The log is NOT what was written. Event {}: {}. {events} events before it are good. {covered}",
            bad["seq"],
            bad["reason"].as_str().unwrap_or("?")
        ),
    }
}

async fn alert_test(config: &Config, json: bool) -> Result<ExitCode, CliError> {
    let (webhooks, email) = app::places(config);
    let post =
        Post::new().map_err(|error| CliError::Other(format!("alerts cannot be sent: {error}")))?;
    let sender = Sender::new(post, webhooks, email);
    let payload = json!({
        "severity": "info",
        "text": "This is a test alert of Foreman; nothing is wrong.",
        "test": true,
    });
    let mut places = Vec::new();
    for place in sender.places() {
        let id = format!("test-{}", uuid::Uuid::now_v7());
        let sent = sender.send(&place, &id, &payload).await;
        places.push((place, sent.err()));
    }
    let ok = places.iter().all(|(_, error)| error.is_none());
    if json {
        let places: Vec<Value> = places
            .iter()
            .map(|(place, error)| match error {
                None => json!({ "place": place, "arrived": true }),
                Some(why) => json!({ "place": place, "arrived": false, "error": why }),
            })
            .collect();
        print_json(&json!({ "success": ok, "places": places }));
    } else {
        for (place, error) in &places {
            match error {
                None => println!("{place}: it arrived"),
                Some(why) => println!("{place}: it did NOT arrive: {why}"),
            }
        }
        if places.len() == 1 {
            println!("No other place is configured ([alerts] webhook_url, webhooks or email).");
        }
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_says_what_is_not_anchored() {
        let good = json!({ "events": 7, "anchoredThrough": 5, "firstBad": null, "anchor": { "place": "/a" } });
        let text = verdict(&good);
        assert!(text.starts_with("7 events are") && text.contains("through 5"), "{text}");
        let bad = json!({ "events": 2, "anchoredThrough": null, "firstBad": { "seq": 3, "reason": "r" } });
        let text = verdict(&bad);
        assert!(text.contains("NOT") && text.contains("Event 3: r"), "{text}");
    }
}
