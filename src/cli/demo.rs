//! `foreman demo`: the real engine on a stand-in GitHub, from the plan to the morning report.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::plan::for_people;
use super::run::{OnSignal, attend};
use super::signals::Signals;
use super::{CliError, Lookup, print_json, say, start_log, working_folder};
use crate::app::{App, AppError};
use crate::config::SandboxMode;
use crate::demo::night::{self, Stage};
use crate::domain::run::{NightRequest, RunStatus};
use crate::overnight::report;
use crate::process::Children;
use crate::sandbox::{Mode, Sandbox, SandboxError};

pub async fn demo(lookup: Lookup<'_>, serve: bool, json: bool) -> Result<ExitCode, CliError> {
    let data_dir = lookup("FOREMAN_DATA_DIR").unwrap_or_else(|| ".foreman".into());
    let data_dir = working_folder().join(data_dir);
    let folder = night::fresh_folder(&data_dir).map_err(|error| {
        CliError::Other(format!(
            "the demo's folder cannot be made in {}: {error}; set FOREMAN_DATA_DIR to a folder of yours",
            data_dir.display()
        ))
    })?;
    let mut stage = night::set_up(&folder, lookup).await?;
    // What the sandbox lacks is said below, in the demo's own words.
    start_log(&stage.config, "error")?;
    if serve {
        port_is_free(&stage)?;
    }
    say(json, introduction(&stage));
    if let Some(why) = no_box_for_the_script(&stage).await? {
        stage.config.sandbox = SandboxMode::Off;
        say(json, &format!("WITHOUT A SANDBOX, as the script is harmless and {why}"));
    }
    let app = App::build(stage.config.clone()).await?;
    say(json, &sandbox(&app));
    let request = NightRequest {
        repo: stage.repo.clone(),
        config: stage.config.night_defaults(),
        dry_run: false,
    };
    say(json, &format!("The plan for {}:", stage.repo));
    say(json, &for_people(&json!(app.overnight.plan(&request).await?)));
    say(json, "The night (Ctrl-C ends it after the current effect):");
    let mut signals = Signals::listen()?;
    let id = app.overnight.start(request, None).await?.id;
    let (run, _) = attend(&app, &id, json, &mut signals, OnSignal::Cancel).await?;
    if json {
        let mut answer = json!({ "success": true, "run": run });
        if serve {
            answer["serving"] = served(&app, &stage);
        }
        print_json(&answer);
    }
    say(json, &format!("\nThe morning report:\n\n{}", report::text(&run)));
    say(json, closing(run.status, stage.model.is_some()));
    if serve {
        say(json, &addresses(&app, &stage));
        stay_up(app, signals).await?;
    } else {
        say(
            json,
            &format!(
                "The stand-in GitHub has ended, and the links above with it: `foreman demo --serve` \
                 keeps it up.\nThe database and the logs are in {}; delete it as you like.",
                folder.display()
            ),
        );
    }
    Ok(ended_as_meant(run.status))
}

/// The GitHub and the model alone, until Ctrl-C.
pub async fn stand_ins(lookup: Lookup<'_>, json: bool) -> Result<ExitCode, CliError> {
    let folder = tempfile::tempdir()
        .map_err(|error| CliError::Other(format!("no temporary folder: {error}; set TMPDIR")))?;
    let stage = night::set_up(folder.path(), lookup).await?;
    let mut signals = Signals::listen()?;
    if json {
        print_json(&json!({ "success": true, "serving": where_they_are(&stage) }));
    } else {
        println!(
            "A stand-in GitHub with {repo}, and a scripted model, until Ctrl-C. \
             {github}{repo} shows the repository.\n\nTo point a Foreman at them:\n{exports}",
            repo = stage.repo,
            github = stage.github.api_url(),
            exports = exports(&stage),
        );
    }
    signals.next().await;
    Ok(ExitCode::SUCCESS)
}

fn introduction(stage: &Stage) -> &'static str {
    if stage.model.is_some() {
        "This is a demo: the GitHub is a stand-in and the model is scripted, its answers are written \
         in advance.\nEverything else is real: git, the sandbox, the checks, the gate, the database."
    } else {
        "This is a demo: the GitHub is a stand-in, the model is yours (OPENAI_BASE_URL).\n\
         Everything else is real, and so is what the model costs."
    }
}

/// Why no sandbox of this machine lets the scripted model's crate be built. What that model runs is
/// written down here and harmless, so the demo may go on without; nobody's own model may.
async fn no_box_for_the_script(stage: &Stage) -> Result<Option<String>, CliError> {
    if stage.model.is_none() || stage.config.sandbox != SandboxMode::Auto {
        return Ok(None);
    }
    let helper = PathBuf::from("/proc/self/exe");
    let children = Children::start(helper.clone()).map_err(AppError::Children)?;
    match Sandbox::detect(children, Mode::Auto, helper).await {
        Ok(sandbox) => {
            let report = sandbox.report();
            let why =
                || format!("{:?} cannot hold it: {}", report.kind, report.not_held.join("; "));
            Ok(report.toolchain_closed.then(why))
        }
        Err(error @ SandboxError::Unavailable { .. }) => Ok(Some(error.to_string())),
        Err(error) => Err(AppError::Sandbox(error).into()),
    }
}

/// What holds the commands of this night.
fn sandbox(app: &App) -> String {
    let report = &app.overnight.machine()["sandbox"];
    let kind = report["kind"].as_str().unwrap_or("unknown");
    let missing: Vec<&str> =
        report["notHeld"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut text = format!("The sandbox: {kind}");
    if !missing.is_empty() {
        text.push_str(&format!("; it does not hold: {}", missing.join("; ")));
    }
    if let Some(advice) = report["advice"].as_str() {
        text.push_str(&format!(".\n{advice}"));
    }
    text.push('\n');
    text
}

/// What a person should know about this ending.
fn closing(status: RunStatus, scripted: bool) -> &'static str {
    match status {
        RunStatus::Completed | RunStatus::Partial if scripted => {
            "`partial` is how this night is meant to end: two changes are refused and two issues wait \
             for each other.\nNo money was spent; the costs are what the model's real prices would \
             have made of it."
        }
        RunStatus::Completed | RunStatus::Partial => {
            "Two of the issues wait for each other, so at best this night ends `partial`."
        }
        RunStatus::Halted => {
            "The night was halted. If the base is red, the demo's own small crate does not build or \
             pass here:\nits checks need `cargo`, and a linker (`cc`), that the commands in the sandbox \
             can reach.\n`foreman doctor` says what holds them; a toolchain in another user's home, \
             like /root, is out of reach."
        }
        RunStatus::Cancelled => "The night was ended by hand.",
        RunStatus::Failed | RunStatus::Queued | RunStatus::Running => {
            "The demo did not get through; what stands above says why."
        }
    }
}

/// Better now than after the night.
fn port_is_free(stage: &Stage) -> Result<(), CliError> {
    let server = &stage.config.server;
    match std::net::TcpListener::bind((server.host.as_str(), server.port)) {
        Ok(_) => Ok(()),
        Err(source) => {
            let (host, port) = (server.host.clone(), server.port);
            Err(AppError::Listen { host, port, source }.into())
        }
    }
}

/// Where everything is, for machines.
fn served(app: &App, stage: &Stage) -> Value {
    let mut places = where_they_are(stage);
    places["url"] = json!(app.config.server.url);
    places
}

fn where_they_are(stage: &Stage) -> Value {
    json!({
        "repository": stage.repo.to_string(),
        "githubApiUrl": stage.github.api_url(),
        "githubToken": stage.github.token(),
        "openaiBaseUrl": stage.model.as_ref().map(|model| model.base_url()),
    })
}

/// How another Foreman reaches them, as lines to copy.
fn exports(stage: &Stage) -> String {
    let mut text = format!(
        "  export GITHUB_API_URL={}\n  export GITHUB_TOKEN={}\n",
        stage.github.api_url(),
        stage.github.token(),
    );
    if let Some(model) = &stage.model {
        let base = model.base_url();
        text.push_str(&format!(
            "  export OPENAI_BASE_URL={base}\n  export OPENAI_API_KEY={key}\n",
            key = night::MODEL_KEY
        ));
    }
    text
}

/// Where everything is, as lines to copy.
fn addresses(app: &App, stage: &Stage) -> String {
    let (url, github) = (&app.config.server.url, stage.github.api_url());
    let bearer = if app.config.auth.tokens.is_empty() {
        ""
    } else {
        " -H \"Authorization: Bearer <your FOREMAN_API_TOKEN>\""
    };
    let mut text = format!(
        "Serving until Ctrl-C. Look at it:\n  curl{bearer} {url}/api/foreman/overnight\n  \
         FOREMAN_URL={url} foreman status\n  {github}{repo}    (the stand-in GitHub, in a browser)\n\n\
         For a second Foreman, with a data folder of its own:\n",
        repo = stage.repo,
    );
    text.push_str(&exports(stage));
    text.push_str(&format!("  foreman --data-dir second run {}\n", stage.repo));
    text
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

async fn stay_up(app: App, mut signals: Signals) -> Result<(), CliError> {
    let shutdown = CancellationToken::new();
    let asked = shutdown.clone();
    tokio::spawn(async move {
        signals.next().await;
        asked.cancel();
        signals.end_on_next();
    });
    Ok(app.run_until(shutdown).await?)
}
