//! The command line in a town, as a person types it.

use std::path::Path;

use super::Town;

/// `foreman` in a folder: its exit code, and all it printed.
pub async fn foreman_in(town: &Town, folder: &Path, args: &[&str]) -> (Option<i32>, String) {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_foreman"))
        .args(args)
        .env_clear()
        .envs(&town.env)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", std::env::var_os("HOME").unwrap_or_default())
        .current_dir(folder)
        .output()
        .await
        .expect("it runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// The same in the town's own folder.
pub async fn foreman(town: &Town, args: &[&str]) -> (Option<i32>, String) {
    foreman_in(town, town.data.path(), args).await
}
