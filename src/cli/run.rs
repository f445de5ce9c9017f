//! `foreman run`: one night, here or in the server that holds the data folder, to its end.

use std::process::ExitCode;
use std::time::Instant;

use serde_json::{Value, json};

use super::args::{NightArgs, RunArgs};
use super::client::{Client, ClientError};
use super::signals::{Signals, end_now};
use super::{CliError, exit_code, print_json, progress, say};
use crate::app::{App, AppError};
use crate::config::Config;
use crate::domain::ids::RunId;
use crate::domain::run::{NightConfig, NightRequest, Run};
use crate::overnight::{StartError, report};
use crate::store::StoreError;

/// `named`: `FOREMAN_URL` says which server is meant. Else the one that holds the data folder is.
pub async fn run(
    config: Config,
    args: RunArgs,
    named: bool,
    json: bool,
) -> Result<ExitCode, CliError> {
    if named {
        match there(&Client::new(&config)?, &args, json).await {
            Err(CliError::Client(error @ ClientError::Unreachable { .. })) => {
                say(json, &format!("{error}. The night runs here."));
            }
            other => return other,
        }
    }
    let request = NightRequest {
        repo: args.night.repo.clone(),
        config: night_config(&config, &args.night),
        dry_run: args.dry_run,
    };
    match App::build(config.clone()).await {
        Ok(app) => here(app, request, json).await,
        Err(AppError::Store(locked @ StoreError::Locked { .. })) => {
            let client = Client::new(&config)?;
            match there(&client, &args, json).await {
                // Something holds the folder and no server answers: the lock says who.
                Err(CliError::Client(error)) if error.is_absent() => {
                    Err(CliError::Other(format!("{locked} ({error})")))
                }
                other => other,
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// The defaults with the flags over them.
pub fn night_config(config: &Config, args: &NightArgs) -> NightConfig {
    let mut night = config.night_defaults();
    night.issues.clone_from(&args.issues);
    night.labels.clone_from(&args.labels);
    night.max_issues_per_run = args.max_issues.unwrap_or(night.max_issues_per_run);
    night.budget_usd = args.budget.or(night.budget_usd);
    night
}

/// The same as a request's `config`.
pub fn config_json(args: &NightArgs) -> Value {
    let mut config = serde_json::Map::new();
    if !args.issues.is_empty() {
        config.insert("issues".to_owned(), json!(args.issues));
    }
    if !args.labels.is_empty() {
        config.insert("labels".to_owned(), json!(args.labels));
    }
    if let Some(most) = args.max_issues {
        config.insert("maxIssuesPerRun".to_owned(), json!(most));
    }
    if let Some(budget) = args.budget {
        config.insert("budgetUsd".to_owned(), json!(budget));
    }
    Value::Object(config)
}

/// In this process.
async fn here(app: App, request: NightRequest, json: bool) -> Result<ExitCode, CliError> {
    let repo = request.repo.clone();
    let mut signals = Signals::listen()?;
    let id = begin(&app, request, json).await?;
    let (run, signalled) = attend(&app, &id, json, &mut signals, OnSignal::Pause).await?;
    app.wind_down(signalled).await;
    if json {
        print_json(&json!({ "success": true, "run": run }));
    } else {
        println!("\n{}", report::text(&run));
    }
    // What a paused night waits for is in its report.
    if run.status.is_active() && run.waits_for().is_none() {
        say(
            json,
            &format!(
                "The night is not over: `foreman run {repo}` or `foreman serve` goes on with it, \
                 `foreman cancel {id}` ends it for good."
            ),
        );
    }
    Ok(exit_code(run.status))
}

/// Starts the night, or goes on with the one that a former process left.
async fn begin(app: &App, request: NightRequest, json: bool) -> Result<RunId, CliError> {
    let (repo, dry_run) = (request.repo.clone(), request.dry_run);
    match app.overnight.start(request, None).await {
        Ok(run) => {
            say(
                json,
                &format!("Night {} for {repo} (Ctrl-C stops after the current effect)", run.id),
            );
            Ok(run.id)
        }
        Err(StartError::RunActive(id)) if !dry_run => {
            say(
                json,
                &format!("Going on with the unfinished night {id} for {repo}, as it was asked for"),
            );
            app.overnight.resume_all().await?;
            Ok(id)
        }
        Err(error) => Err(error.into()),
    }
}

/// What the first Ctrl-C asks for. The second always ends the process.
#[derive(Debug, Clone, Copy)]
pub enum OnSignal {
    /// Stop after the current effect; the next start goes on with the night.
    Pause,
    /// End the night after the current effect.
    Cancel,
}

/// Shows a night until it ended or a signal stopped it; says when there was one.
pub async fn attend(
    app: &App,
    id: &RunId,
    json: bool,
    signals: &mut Signals,
    first: OnSignal,
) -> Result<(Run, Option<Instant>), CliError> {
    let mut signalled = None;
    let following = progress::follow(&app.store, id, json);
    tokio::pin!(following);
    let run = tokio::select! {
        run = &mut following => run?,
        // Its events say why; here is nobody who could go on with it.
        () = app.overnight.paused(id) => app.store.run(id).await?,
        () = signals.next() => {
            signalled = Some(Instant::now());
            say(json, "Stopping after the current effect; Ctrl-C once more ends at once");
            tokio::select! {
                run = &mut following => run?,
                stopped = stop(app, id, first) => {
                    stopped?;
                    app.store.run(id).await?
                }
                () = signals.next() => end_now(),
            }
        }
    };
    let run = run.ok_or_else(|| CliError::Store(StoreError::UnknownRun(id.clone())))?;
    Ok((run, signalled))
}

/// Comes back when no work is left in this process. A cancelled night is followed to its end.
async fn stop(app: &App, id: &RunId, how: OnSignal) -> Result<(), StoreError> {
    match how {
        OnSignal::Pause => app.overnight.shutdown(app.work_bound()).await,
        OnSignal::Cancel => {
            app.overnight.cancel(id).await?;
            std::future::pending::<()>().await;
        }
    }
    Ok(())
}

/// In the running server.
async fn there(client: &Client, args: &RunArgs, json: bool) -> Result<ExitCode, CliError> {
    let repo = &args.night.repo;
    let body = json!({
        "owner": repo.owner(),
        "repo": repo.name(),
        "config": config_json(&args.night),
        "dryRun": args.dry_run,
    });
    let started = client.post("/api/foreman/overnight", &body).await?;
    let id = started["run"]["id"].as_str().unwrap_or_default().to_owned();
    say(json, &format!("Night {id} for {repo}, in the server at {}", client.url()));
    let path = format!("/api/foreman/overnight/runs/{id}");
    let mut signals = Signals::listen()?;
    let mut lines = progress::Lines::default();
    let following = client.follow(&id, |event| {
        if let Some(line) = lines.line(event) {
            say(json, &line);
        }
    });
    tokio::pin!(following);
    tokio::select! {
        followed = &mut following => followed?,
        () = signals.next() => {
            say(
                json,
                "The server ends the night after the current effect; Ctrl-C once more does not wait for it",
            );
            signals.end_on_next();
            cancel_unless_ended(client, &path).await?;
            following.await?;
        }
    }
    let answer = client.get(&path).await?;
    let run: Run = serde_json::from_value(answer["run"].clone())
        .map_err(|error| CliError::Other(format!("the server's run cannot be read: {error}")))?;
    if json {
        print_json(&answer);
    } else {
        println!("\n{}", client.text(&format!("{path}/report?format=text")).await?);
    }
    Ok(exit_code(run.status))
}

async fn cancel_unless_ended(client: &Client, path: &str) -> Result<(), CliError> {
    match client.post(&format!("{path}/cancel"), &json!({})).await {
        Ok(_) => Ok(()),
        Err(ClientError::Refused { code, .. }) if code == "run_ended" => Ok(()),
        Err(error) => Err(error.into()),
    }
}
