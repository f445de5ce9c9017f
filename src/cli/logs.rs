//! `foreman logs`: which logs prove a night's checks, and one of them by its hash. From the server,
//! or, read-only, from the data folder.

use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Value, json};

use super::client::Client;
use super::{CliError, print_json, printable};
use crate::app;
use crate::config::Config;
use crate::domain::ids::RunId;
use crate::domain::redact::Redactor;
use crate::domain::run::Run;
use crate::gate::Logs;
use crate::overnight::{LogRef, logs_of, read_log};
use crate::store::StoreError;

/// Digits of a hash that are shown in a list, and enough to ask for a log.
const SHORT: usize = 12;

pub async fn logs(
    config: &Config,
    id: &RunId,
    hash: Option<&str>,
    json: bool,
) -> Result<ExitCode, CliError> {
    let client = Client::new(config)?;
    let (run, there) = match client.get(&format!("/api/foreman/overnight/runs/{id}")).await {
        Ok(answer) => (read(answer["run"].clone())?, true),
        Err(error) if error.is_absent() => (stored(config, id).await?, false),
        Err(error) => return Err(error.into()),
    };
    let named = logs_of(&run);
    let Some(hash) = hash else {
        if json {
            let list: Vec<Value> = named.iter().map(entry).collect();
            print_json(&json!({ "success": true, "logs": list }));
        } else if named.is_empty() {
            println!("No check of this run has a log yet");
        } else {
            named.iter().for_each(|log| println!("{}", line(log)));
        }
        return Ok(ExitCode::SUCCESS);
    };
    let hash = whole(&named, hash)?;
    let text = if there {
        client.text(&format!("/api/foreman/overnight/runs/{id}/logs/{hash}")).await?
    } else {
        from_folder(config, id, &hash).await?
    };
    if json {
        print_json(&json!({ "success": true, "logSha256": hash, "log": text }));
    } else {
        // It may hold anything: what steers a terminal is left out.
        let plain = crate::gate::logs::plain(&text);
        let shown = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
        println!("{}", plain.chars().filter(shown).collect::<String>().trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

async fn stored(config: &Config, id: &RunId) -> Result<Run, CliError> {
    let store = app::open_for_reading(config).await?;
    let run = store.run(id).await;
    store.close().await;
    run?.ok_or_else(|| StoreError::UnknownRun(id.clone()).into())
}

async fn from_folder(config: &Config, id: &RunId, hash: &str) -> Result<String, CliError> {
    let store = app::open_for_reading(config).await?;
    let logs = Logs::new(&config.data_dir, Arc::new(Redactor::new(config.secrets())));
    let text = read_log(&store, &logs, id, hash).await;
    store.close().await;
    text.map_err(|error| CliError::Other(error.to_string()))
}

/// The whole hash of which the given digits are the beginning; the base's logs are not in a run's
/// rows, so a whole one is taken as it is.
fn whole(named: &[LogRef], hash: &str) -> Result<String, CliError> {
    if hash.len() == 64 {
        return Ok(hash.to_owned());
    }
    let mut found: Vec<&str> =
        named.iter().map(|log| log.sha256.as_str()).filter(|it| it.starts_with(hash)).collect();
    found.dedup();
    match found.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => Err(CliError::Other(format!("no check of this run has a log `{hash}`"))),
        _ => Err(CliError::Other(format!("`{hash}` is the beginning of several logs: give more"))),
    }
}

fn entry(log: &LogRef) -> Value {
    json!({
        "issueNumber": log.issue, "name": log.name, "command": log.command,
        "outcome": log.outcome, "logSha256": log.sha256,
    })
}

fn line(log: &LogRef) -> String {
    let issue = log.issue.map_or_else(|| "base".to_owned(), |issue| issue.to_string());
    let hash = log.sha256.get(..SHORT).unwrap_or(&log.sha256);
    printable(&format!("{hash}  {issue:<6} {:<7} {:<14} {}", log.name, log.outcome, log.command))
}

fn read(value: Value) -> Result<Run, CliError> {
    serde_json::from_value(value)
        .map_err(|error| CliError::Other(format!("the answer cannot be read: {error}")))
}
