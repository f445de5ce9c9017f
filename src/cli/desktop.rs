//! `foreman desktop …`: the local clones' health, drift and merge.
//!
//! Through the running server where one answers; without one, by ourselves.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::client::{Client, ClientError};
use super::{CliError, print_json};
use crate::app;
use crate::config::Config;
use crate::desktop_sync::DesktopError;

/// What of the local clones is wanted.
#[derive(Debug, Subcommand)]
pub enum DesktopCommand {
    /// Look at every clone and at the local builder; exits 1 where something is to be mended
    Health,
    /// How a clone stands to its remote; changes nothing in it; exits 1 where that is not known
    Drift {
        /// Its id, like foreman-app
        #[arg(value_name = "ID", value_parser = id)]
        id: String,
    },
    /// Bring the remote's commits into a clone where that is certainly safe; exits 1 where it is not
    Merge {
        /// Its id, like foreman-app
        #[arg(value_name = "ID", value_parser = id)]
        id: String,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
}

fn id(text: &str) -> Result<String, String> {
    let fine = (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if fine { Ok(text.to_owned()) } else { Err("it takes the id of a local clone".to_owned()) }
}

pub async fn desktop(
    config: Config,
    command: DesktopCommand,
    json: bool,
) -> Result<ExitCode, CliError> {
    let client = Client::new(&config)?;
    let base = "/api/foreman/desktop";
    let (asked, drift) = match &command {
        DesktopCommand::Health => (client.get(&format!("{base}/health")).await, false),
        DesktopCommand::Drift { id } => {
            (client.get(&format!("{base}/repositories/{id}/drift")).await, true)
        }
        DesktopCommand::Merge { id, dry_run } => {
            let path = format!("{base}/repositories/{id}/merge");
            let body = json!({ "dryRun": dry_run });
            (Client::waiting(&config)?.post(&path, &body).await, false)
        }
    };
    let answer = match asked {
        Ok(answer) if drift => answer["drift"].clone(),
        Ok(answer) => answer,
        Err(error @ ClientError::Unreachable { .. } | error @ ClientError::Foreign { .. }) => {
            tracing::debug!(%error, "no server answers; looking by ourselves");
            alone(&config, &command).await?
        }
        Err(error) => return Err(error.into()),
    };
    if json {
        print_json(&answer);
    } else {
        print!("{}", lines(&command, &answer));
    }
    let good = match command {
        DesktopCommand::Health => answer["ready"] == true,
        DesktopCommand::Drift { .. } => answer["state"] != "unknown",
        DesktopCommand::Merge { .. } => true,
    };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn alone(config: &Config, command: &DesktopCommand) -> Result<Value, CliError> {
    let failed = |error: DesktopError| CliError::Other(error.to_string());
    match command {
        DesktopCommand::Health => Ok(json!(app::open_desktop(config, None).await?.health().await)),
        DesktopCommand::Drift { id } => {
            let desktop = app::open_desktop(config, None).await?;
            Ok(json!(desktop.drift(id).await.map_err(failed)?))
        }
        DesktopCommand::Merge { id, dry_run } => {
            let (lock, store) = app::open_for_writing(config).await?;
            let desktop = app::open_desktop(config, Some(store.clone())).await?;
            let merged = desktop.merge(id, *dry_run).await;
            store.close().await;
            drop(lock);
            Ok(json!(merged.map_err(failed)?))
        }
    }
}

fn lines(command: &DesktopCommand, answer: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let listed = |value: &Value, before: &str| -> String {
        let items = value.as_array().into_iter().flatten().filter_map(Value::as_str);
        items.map(|item| format!("{before}{item}\n")).collect()
    };
    match command {
        DesktopCommand::Health => {
            let mut out = String::new();
            for repository in answer["repositories"].as_array().into_iter().flatten() {
                let state = text(&repository["drift"]["state"]);
                let word = if repository["ready"] == true { "ok  " } else { "FAIL" };
                out.push_str(&format!("{word}  {}: {state}\n", text(&repository["id"])));
            }
            out.push_str(&listed(&answer["issues"], "  -> "));
            let ready = answer["ready"] == true;
            out.push_str(if ready { "Ready.\n" } else { "Not ready.\n" });
            out
        }
        DesktopCommand::Drift { id } => {
            let state = text(&answer["state"]);
            let mut out = match answer["errorMessage"].as_str() {
                Some(why) => format!("{id} is {state}: {why}\n"),
                None => format!(
                    "{id} is {state}: {} ahead, {} behind, {}\n",
                    answer["ahead"],
                    answer["behind"],
                    if answer["safeToMerge"] == true {
                        "safe to merge"
                    } else {
                        "NOT safe to merge"
                    }
                ),
            };
            out.push_str(&listed(&answer["blockers"], "  -> "));
            out.push_str(&listed(&answer["divergedFiles"], "  "));
            out
        }
        DesktopCommand::Merge { id, dry_run } => {
            let short = |value: &Value| text(value).chars().take(10).collect::<String>();
            let (from, to) = (short(&answer["from"]), short(&answer["to"]));
            let files = &answer["files"];
            if answer["merged"] == true {
                let backup = text(&answer["backupRef"]);
                format!("{id} merged from {from} to {to}, {files} files; it was at {backup}\n")
            } else if *dry_run && from != to {
                format!("{id} would be merged from {from} with {to}, {files} files\n")
            } else {
                format!("{id} has nothing to merge\n")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_names_the_blockers() {
        let answer = json!({
            "state": "behind", "ahead": 0, "behind": 2, "safeToMerge": false,
            "blockers": ["`a` is changed and not committed; commit it"], "divergedFiles": ["a"],
        });
        let said = lines(&DesktopCommand::Drift { id: "app".to_owned() }, &answer);
        assert!(
            said.contains("2 behind, NOT safe") && said.contains("-> `a` is changed"),
            "{said}"
        );
    }
}
