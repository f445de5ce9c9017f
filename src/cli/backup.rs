//! `foreman backup FILE`: the database in one file, also while a server works with it.

use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use super::{CliError, print_json};
use crate::app;
use crate::config::Config;

pub async fn backup(config: &Config, file: &Path, json: bool) -> Result<ExitCode, CliError> {
    let file = std::path::absolute(file)
        .map_err(|error| CliError::Other(format!("{}: {error}", file.display())))?;
    let bytes = app::backup(config, &file).await?;
    if json {
        print_json(&json!({ "success": true, "file": file.display().to_string(), "bytes": bytes }));
    } else {
        println!("{} holds the database as it is now ({bytes} bytes)", file.display());
        println!("To go back: stop Foreman, put it in the database's place, start Foreman.");
    }
    Ok(ExitCode::SUCCESS)
}
