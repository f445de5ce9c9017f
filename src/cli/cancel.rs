//! `foreman cancel`: asks a run to end after its current effect.

use std::process::ExitCode;

use serde_json::json;

use super::client::Client;
use super::{CliError, print_json, say};
use crate::app::App;
use crate::config::Config;
use crate::domain::ids::RunId;
use crate::store::{CancelOutcome, StoreError};

pub async fn cancel(config: Config, id: &RunId, json: bool) -> Result<ExitCode, CliError> {
    let client = Client::new(&config)?;
    match client.post(&format!("/api/foreman/overnight/runs/{id}/cancel"), &json!({})).await {
        Ok(answer) => {
            if json {
                print_json(&answer);
            }
            say(json, &format!("The run {id} ends after its current effect"));
            return Ok(ExitCode::SUCCESS);
        }
        Err(error) if error.is_absent() => {}
        Err(error) => return Err(error.into()),
    }
    // No server: the request is stored, and whoever takes the run up next ends it.
    let app = App::build(config).await?;
    let outcome = app.overnight.cancel(id).await;
    app.store.clone().close().await;
    match outcome? {
        CancelOutcome::Requested => {
            if json {
                print_json(&json!({ "success": true, "runId": id }));
            }
            say(json, &format!("No server runs; the run {id} ends when one takes it up"));
            Ok(ExitCode::SUCCESS)
        }
        CancelOutcome::AlreadyEnded => {
            Err(CliError::Other(format!("The run {id} has ended already")))
        }
        CancelOutcome::Unknown => Err(StoreError::UnknownRun(id.clone()).into()),
    }
}
