//! `foreman transcript`: what was said on an issue, from the server or, read-only, the store.

use std::process::ExitCode;

use serde_json::json;

use super::client::Client;
use super::{CliError, print_json};
use crate::app;
use crate::config::Config;
use crate::domain::ids::{IssueNumber, RunId};
use crate::overnight::transcript::{self, Found};
use crate::store::StoreError;

pub async fn transcript(
    config: &Config,
    run: &RunId,
    issue: IssueNumber,
    json: bool,
) -> Result<ExitCode, CliError> {
    let path = format!("/api/foreman/overnight/runs/{run}/issues/{}/transcript", issue.0);
    let answer = match Client::new(config)?.get(&path).await {
        Ok(answer) => answer,
        Err(error) if error.is_absent() => {
            let store = app::open_for_reading(config).await?;
            let found = transcript::find(&store, run, issue).await;
            store.close().await;
            match found? {
                Found::Transcript(found) => json!({ "success": true, "transcript": found }),
                Found::NoRun => return Err(StoreError::UnknownRun(run.clone()).into()),
                Found::NoIssue => {
                    return Err(CliError::Other(format!("{issue} is no issue of this run")));
                }
            }
        }
        Err(error) => return Err(error.into()),
    };
    if json {
        print_json(&answer);
    } else {
        let text = transcript::text(&answer["transcript"]);
        print!("{}", text.split('\n').map(super::printable).collect::<Vec<_>>().join("\n"));
    }
    Ok(ExitCode::SUCCESS)
}
