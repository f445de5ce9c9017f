//! `foreman demo`: the real engine on a stand-in GitHub, from the plan to the morning report.

use std::process::ExitCode;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::plan::for_people;
use super::run::attend;
use super::signals::Signals;
use super::{CliError, Lookup, print_json, say, start_log, working_folder};
use crate::app::App;
use crate::demo::night;
use crate::domain::run::{NightRequest, RunStatus};
use crate::overnight::report;

pub async fn demo(lookup: Lookup<'_>, serve: bool, json: bool) -> Result<ExitCode, CliError> {
    let data_dir = lookup("FOREMAN_DATA_DIR").unwrap_or_else(|| ".foreman".into());
    let folder = night::fresh_folder(&working_folder().join(data_dir))
        .map_err(|error| CliError::Other(format!("the demo's folder cannot be made: {error}")))?;
    let stage = night::set_up(&folder, lookup).await?;
    start_log(&stage.config, "warn")?;
    if stage.model.is_some() {
        say(
            json,
            "The GitHub here is a stand-in and the model is scripted: its answers are written in advance.",
        );
        say(
            json,
            "Everything else is real: git, the sandbox, the checks, the gate, the database.\n",
        );
    } else {
        say(
            json,
            "The GitHub here is a stand-in; the model is yours (OPENAI_BASE_URL). Everything else is real.\n",
        );
    }
    let app = App::build(stage.config.clone()).await?;
    let request = NightRequest {
        repo: stage.repo.clone(),
        config: stage.config.night_defaults(),
        dry_run: false,
    };
    say(json, &format!("The plan for {}:", stage.repo));
    say(json, &for_people(&json!(app.overnight.plan(&request).await?)));
    say(json, "The night:");
    let id = app.overnight.start(request, None).await?.id;
    let run = attend(&app, &id, json).await?;
    if json {
        print_json(&json!({ "success": true, "run": run }));
    } else {
        println!("\n{}", report::text(&run));
        println!("Everything of this demo is in {}", folder.display());
    }
    if serve {
        stay_up(app, json).await?;
    }
    Ok(ended_as_meant(run.status))
}

/// The demo's night has refusals and a cycle in it: `partial` is how it is meant to end.
fn ended_as_meant(status: RunStatus) -> ExitCode {
    match status {
        RunStatus::Completed | RunStatus::Partial => ExitCode::SUCCESS,
        RunStatus::Queued
        | RunStatus::Running
        | RunStatus::Failed
        | RunStatus::Halted
        | RunStatus::Cancelled => ExitCode::FAILURE,
    }
}

async fn stay_up(app: App, json: bool) -> Result<(), CliError> {
    let mut signals = Signals::listen()?;
    let (url, shutdown) = (app.config.server.url.clone(), CancellationToken::new());
    say(json, &format!("Serving {url}/api/foreman/overnight until Ctrl-C"));
    let asked = shutdown.clone();
    tokio::spawn(async move {
        signals.next().await;
        asked.cancel();
        signals.end_on_next();
    });
    Ok(app.run_until(shutdown).await?)
}
