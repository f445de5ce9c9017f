//! The event log under fire: killed while it writes, on a full disk, forged, and followed by many.
//!
//! `--campaign log|disk|forgery|followers --rounds N`. The writers that are killed, and the process
//! whose disk is full, are this binary again.

mod disk;
mod followers;
mod forgery;
mod killed;

use std::path::Path;
use std::sync::Arc;

use foreman::domain::redact::Redactor;
use foreman::store::{DatabaseUrl, OpenOptions, Store, StoreClock};
use rand::rngs::SmallRng;

/// Tells this binary that it is a child, what of, and where.
const CHILD: &str = "FOREMAN_CAMPAIGN_CHILD";

/// Does a child's work, if this is one.
pub async fn child() -> bool {
    let Ok(told) = std::env::var(CHILD) else { return false };
    match told.split_once(':') {
        Some(("append", path)) => killed::append(Path::new(path)).await,
        Some(("disk", folder)) => disk::fill(Path::new(folder)).await,
        _ => panic!("{CHILD}={told}"),
    }
    true
}

/// Runs one of these campaigns; `None` where the name is another's.
pub async fn run(name: &str, rounds: u32, random: &mut SmallRng) -> Option<Result<(), String>> {
    match name {
        "log" => Some(killed::campaign(rounds, random).await),
        "disk" => Some(disk::campaign(rounds, random).await),
        "forgery" => Some(forgery::campaign(rounds, random).await),
        "followers" => Some(followers::campaign(rounds).await),
        _ => None,
    }
}

async fn open(path: &Path) -> Result<Store, String> {
    Store::open(OpenOptions {
        url: DatabaseUrl::file(path).map_err(|error| error.to_string())?,
        redactor: Arc::new(Redactor::default()),
        clock: StoreClock::System,
        read_only: false,
    })
    .await
    .map_err(|error| error.to_string())
}
