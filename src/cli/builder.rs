//! `foreman builder`: who builds, and putting the switch by hand.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::client::Client;
use super::{CliError, print_json, printable, say};
use crate::app;
use crate::config::Config;
use crate::domain::switch::Builder;

const ROUTE: &str = "/api/foreman/desktop/builder";

/// Shows the switch, or puts it: through the running server where there is one.
pub async fn builder(
    config: Config,
    to: Option<Builder>,
    reason: Option<&str>,
    json: bool,
) -> Result<ExitCode, CliError> {
    let client = Client::new(&config)?;
    let answer = match to {
        None => client.get(ROUTE).await,
        Some(to) => client.post(ROUTE, &json!({ "builder": to, "reason": reason })).await,
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) if error.is_absent() => without_server(&config, to, reason).await?,
        Err(error) => return Err(error.into()),
    };
    if json {
        print_json(&answer);
    }
    say(json, &line(&answer["builder"]));
    Ok(ExitCode::SUCCESS)
}

async fn without_server(
    config: &Config,
    to: Option<Builder>,
    reason: Option<&str>,
) -> Result<Value, CliError> {
    let Some(to) = to else {
        let switchboard = app::read_switchboard(config).await?;
        return Ok(json!({ "success": true, "builder": switchboard.describe().await? }));
    };
    let (lock, switchboard) = app::open_switchboard(config).await?;
    let reason = reason.map_or_else(|| "the command line says so".to_owned(), str::to_owned);
    let put = switchboard.switch_builder(to, &reason).await;
    let (switched, _) = put.map_err(|error| CliError::Other(error.to_string()))?;
    let builder = switchboard.describe().await?;
    drop(lock);
    Ok(json!({ "success": true, "switched": switched, "builder": builder }))
}

/// The switch in a line.
pub(super) fn line(builder: &Value) -> String {
    let text = |key: &str| printable(builder[key].as_str().unwrap_or_default());
    let held = if builder["held"] == true { ", held there" } else { "" };
    format!("{}{held} since {}: {}", text("active"), text("since"), text("reason"))
}
