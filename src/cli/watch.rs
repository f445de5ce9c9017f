//! `foreman watch`: follows what a running server does, one line per event, until it is ended or the
//! night is over.

use std::process::ExitCode;
use std::time::Duration;

use super::client::Client;
use super::progress::Lines;
use super::{CliError, print_json};
use crate::config::Config;
use crate::domain::ids::{RepoName, RunId};

/// How often we look for a night where none runs.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Follows one run to its end, or every run of the server, one after the other.
pub async fn watch(
    config: &Config,
    run: Option<RunId>,
    repo: Option<RepoName>,
    json: bool,
) -> Result<ExitCode, CliError> {
    let client = Client::new(config)?;
    if let Some(run) = run {
        // Whether there is such a run, before its events are waited for.
        client.get(&format!("/api/foreman/overnight/runs/{run}")).await?;
        follow(&client, run.as_str(), json).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let path = match &repo {
        Some(repo) => format!("/api/foreman/overnight?owner={}&repo={}", repo.owner(), repo.name()),
        None => "/api/foreman/overnight".to_owned(),
    };
    let mut waiting = false;
    loop {
        let answer = client.get(&path).await?;
        match answer["activeRuns"][0]["id"].as_str() {
            Some(id) => {
                waiting = false;
                follow(&client, id, json).await?;
            }
            None => {
                if !waiting && !json {
                    println!("No night runs; waiting for one (Ctrl-C ends this)");
                }
                waiting = true;
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }
}

async fn follow(client: &Client, run: &str, json: bool) -> Result<(), CliError> {
    let mut lines = Lines::default();
    if !json {
        println!("Run {run}");
    }
    let shown = client.follow(run, |event| {
        if json {
            print_json(&serde_json::json!(event));
        } else if let Some(line) = lines.line(event) {
            println!("{line}");
        }
    });
    Ok(shown.await?)
}
