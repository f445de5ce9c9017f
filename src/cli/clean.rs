//! `foreman clean`: takes away what old nights left in the data folder, or says what it would.

use std::process::ExitCode;
use std::time::SystemTime;

use serde_json::json;

use super::{CliError, print_json};
use crate::app::tidy;
use crate::app::{self, AppError};
use crate::config::Config;
use crate::store::StoreError;

pub async fn clean(config: &Config, dry_run: bool, json: bool) -> Result<ExitCode, CliError> {
    let store = match app::open_for_reading(config).await {
        Ok(store) => Some(store),
        Err(AppError::Store(StoreError::NoDatabase(_))) => None,
        // Without its word on what is needed nothing is taken away.
        Err(error) => return Err(error.into()),
    };
    let found =
        tidy::leftovers(&config.data_dir, store.as_ref(), config.disk, SystemTime::now()).await;
    if let Some(store) = store {
        store.close().await;
    }
    let found = found.map_err(|error| CliError::Other(error.to_string()))?;
    let failed = if dry_run { Vec::new() } else { tidy::remove(&found).await };
    let bytes: u64 = found.iter().map(|leftover| leftover.bytes).sum();
    if json {
        let failed: Vec<String> = failed.iter().map(ToString::to_string).collect();
        print_json(&json!({
            "success": failed.is_empty(), "dryRun": dry_run, "bytes": bytes, "leftovers": found,
            "failed": failed,
        }));
    } else {
        for leftover in &found {
            println!("{}  {} bytes, {}", leftover.path.display(), leftover.bytes, leftover.why);
        }
        let done = if dry_run { "would go" } else { "gone" };
        println!("{} folders, {bytes} bytes {done}", found.len());
        for error in &failed {
            println!("! {error}");
        }
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
