//! `foreman clean`: takes away what old nights left in the data folder, or says what it would.

use std::process::ExitCode;
use std::time::SystemTime;

use serde_json::json;

use super::{CliError, print_json};
use crate::app::tidy::{self, Forgotten};
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
    let forgotten = forget(config, dry_run).await?;
    let failed = if dry_run { Vec::new() } else { tidy::remove(&found).await };
    let bytes: u64 = found.iter().map(|leftover| leftover.bytes).sum();
    if json {
        let failed: Vec<String> = failed.iter().map(ToString::to_string).collect();
        print_json(&json!({
            "success": failed.is_empty(), "dryRun": dry_run, "bytes": bytes, "leftovers": found,
            "forgotten": forgotten,
            "failed": failed,
        }));
    } else {
        for leftover in &found {
            println!("{}  {} bytes, {}", leftover.path.display(), leftover.bytes, leftover.why);
        }
        let done = if dry_run { "would go" } else { "gone" };
        println!("{} folders, {bytes} bytes {done}", found.len());
        match forgotten {
            Some(Forgotten { turns: 0, refs: 0 }) => {}
            Some(Forgotten { turns, .. }) if dry_run => {
                println!(
                    "{turns} turns of old transcripts, and their nights' private refs, {done}"
                );
            }
            Some(Forgotten { turns, refs }) => {
                println!("{turns} turns of old transcripts and {refs} private refs {done}");
            }
            None => println!("A running Foreman forgets old transcripts by itself."),
        }
        for error in &failed {
            println!("! {error}");
        }
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Old transcripts and private refs; `None`: a running process holds the data, and does it itself.
async fn forget(config: &Config, dry_run: bool) -> Result<Option<Forgotten>, CliError> {
    let other = |error: tidy::TidyError| CliError::Other(error.to_string());
    let now = chrono::Utc::now();
    if dry_run {
        let store = match app::open_for_reading(config).await {
            Ok(store) => store,
            Err(AppError::Store(StoreError::NoDatabase(_))) => {
                return Ok(Some(Forgotten::default()));
            }
            Err(error) => return Err(error.into()),
        };
        let turns = tidy::would_forget(&store, config.disk, now).await;
        store.close().await;
        return Ok(Some(Forgotten { turns: turns.map_err(other)?, refs: 0 }));
    }
    if !config.data_dir.exists() {
        return Ok(Some(Forgotten::default()));
    }
    let (_lock, store, git) = match tidy::open(config).await {
        Ok(opened) => opened,
        Err(AppError::Store(StoreError::Locked { .. })) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let forgotten = tidy::forget(&store, &git, config.disk, now).await;
    store.close().await;
    forgotten.map(Some).map_err(other)
}
