//! `foreman why OWNER/REPO#12`: why an issue is skipped, blocked, refused or waiting, and what would
//! change that. The server's own answer, or, read-only, the store's.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::client::Client;
use super::values::IssueOf;
use super::{CliError, print_json, printable};
use crate::app::{self, AppError};
use crate::config::Config;
use crate::overnight;
use crate::store::StoreError;

pub async fn why(config: &Config, of: &IssueOf, json: bool) -> Result<ExitCode, CliError> {
    let (owner, name) = (of.repo.owner(), of.repo.name());
    let path = format!("/api/foreman/overnight/why?owner={owner}&repo={name}&issue={}", of.issue.0);
    let answer = match Client::new(config)?.get(&path).await {
        Ok(answer) => answer,
        Err(error) if error.is_absent() => stored(config, of).await?,
        Err(error) => return Err(error.into()),
    };
    if json {
        print_json(&answer);
    } else {
        print!("{}", lines(&answer["why"]));
    }
    Ok(ExitCode::SUCCESS)
}

async fn stored(config: &Config, of: &IssueOf) -> Result<Value, CliError> {
    let store = match app::open_for_reading(config).await {
        Ok(store) => store,
        Err(AppError::Store(StoreError::NoDatabase(_))) => {
            return Err(CliError::Other(format!("no night has run here yet for {}", of.repo)));
        }
        Err(error) => return Err(error.into()),
    };
    let why = overnight::why(&store, &of.repo, of.issue).await;
    store.close().await;
    Ok(json!({ "success": true, "why": why? }))
}

fn lines(why: &Value) -> String {
    let text = |key: &str| printable(why[key].as_str().unwrap_or_default());
    let mut out = String::new();
    if !why["title"].is_null() {
        out.push_str(&format!("#{} {}\n", why["issueNumber"], text("title")));
    }
    out.push_str(&format!("{}\n", text("answer")));
    for check in why["failedChecks"].as_array().into_iter().flatten() {
        let log = check["logSha256"].as_str().and_then(|hash| hash.get(..12));
        let log = log.map_or_else(String::new, |hash| format!(" (log {hash})"));
        for finding in check["findings"].as_array().into_iter().flatten().take(3) {
            let finding = printable(finding.as_str().unwrap_or_default());
            out.push_str(&format!(
                "  · {}: {finding}{log}\n",
                check["name"].as_str().unwrap_or("")
            ));
        }
    }
    out.push_str(&format!("-> {}\n", text("whatToDo")));
    if let Some(run) = why["runId"].as_str() {
        let cost = why["costUsd"].as_f64().unwrap_or_default();
        let night = why["night"].as_str().and_then(|at| at.get(..16)).unwrap_or_default();
        out.push_str(&format!("   night {night}, run {run}, {}, ${cost:.4}\n", text("runStatus")));
    }
    out
}
