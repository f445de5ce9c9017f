//! The command line: one file per command. Owns words, what is printed and exit codes; never
//! decides anything about a night.
#![allow(clippy::print_stdout, reason = "printing is what a command line does")]

mod args;
mod backup;
mod base_check;
mod builder;
mod cancel;
mod clean;
mod client;
mod clock_check;
mod demo;
mod desktop;
mod doctor;
mod escalation;
mod findings;
mod gate;
mod governance;
mod governance_log;
mod init;
mod live_check;
mod logs;
mod manual;
mod plan;
mod progress;
mod run;
mod serve;
mod signals;
mod status;
mod transcript;
mod values;
mod watch;
mod why;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Value, json};

pub use args::{Cli, Command};

use crate::app::AppError;
use crate::config::{Config, ConfigError};
use crate::demo::night::DemoError;
use crate::domain::redact::Redactor;
use crate::domain::run::RunStatus;
use crate::overnight::{PlanError, StartError};
use crate::store::StoreError;
use crate::telemetry::{self, TelemetryError};

/// Why a command failed, in a sentence for the terminal.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error(transparent)]
    App(#[from] AppError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Demo(#[from] DemoError),
    #[error(transparent)]
    Client(#[from] client::ClientError),
    #[error("signals cannot be listened for: {0}")]
    Signals(#[source] std::io::Error),
    #[error("{0}")]
    Other(String),
}

impl CliError {
    /// The error's stable name, where it has one of its own.
    const fn code(&self) -> &str {
        match self {
            Self::Config(_) | Self::Telemetry(_) => "configuration",
            Self::Client(error) => error.code(),
            Self::Store(StoreError::UnknownRun(_)) => "run_not_found",
            Self::Store(StoreError::Locked { .. })
            | Self::App(AppError::Store(StoreError::Locked { .. })) => "data_folder_in_use",
            Self::Start(StartError::NoCredential) => "no_github_credential",
            Self::Start(StartError::RunActive(_)) => "run_active",
            Self::Start(StartError::Disabled) => "overnight_disabled",
            Self::Start(StartError::DiskFull { .. }) => "disk_full",
            Self::App(_) | Self::Store(_) | Self::Start(_) | Self::Plan(_) | Self::Demo(_) => {
                "failed"
            }
            Self::Signals(_) | Self::Other(_) => "failed",
        }
    }
}

/// Runs one command to its exit code. With `--json` an error is said in JSON too; the sentence for
/// standard error is the caller's.
pub async fn execute(cli: Cli) -> Result<ExitCode, CliError> {
    let json = cli.json;
    let done = dispatch(cli).await;
    if let (Err(error), true) = (&done, json) {
        print_json(&json!({ "error": error.to_string(), "code": error.code() }));
    }
    done
}

async fn dispatch(cli: Cli) -> Result<ExitCode, CliError> {
    let json = cli.json;
    let Cli { data_dir, config, command, .. } = cli;
    let lookup = move |name: &str| overridden(name, data_dir.as_ref(), config.as_ref());
    match command.unwrap_or(Command::Serve) {
        Command::Serve => serve::serve(load(&lookup, "info")?).await,
        Command::Run(args) => run::run(load(&lookup, "warn")?, args, named(&lookup), json).await,
        Command::Plan(args) => plan::plan(load(&lookup, QUIET)?, args, named(&lookup), json).await,
        Command::Status { repo } => status::status(&load(&lookup, "warn")?, repo, json).await,
        Command::Cancel { run } => cancel::cancel(load(&lookup, QUIET)?, &run, json).await,
        Command::Init(args) => init::init(&lookup, args, json).await,
        Command::Transcript { run, issue } => {
            transcript::transcript(&load(&lookup, "warn")?, &run, issue, json).await
        }
        Command::Builder { to, reason } => {
            builder::builder(load(&lookup, QUIET)?, to, reason.as_deref(), json).await
        }
        Command::Doctor { repo, live } => doctor::doctor(&lookup, repo, live, json).await,
        Command::Watch { run, repo } => watch::watch(&load(&lookup, QUIET)?, run, repo, json).await,
        Command::Why { of } => why::why(&load(&lookup, QUIET)?, &of, json).await,
        Command::Clean { dry_run } => clean::clean(&load(&lookup, QUIET)?, dry_run, json).await,
        Command::Backup { file } => backup::backup(&load(&lookup, QUIET)?, &file, json).await,
        Command::Gate(args) => gate::gate(&load(&lookup, QUIET)?, args, json).await,
        Command::Logs { run, sha256 } => {
            logs::logs(&load(&lookup, QUIET)?, &run, sha256.as_deref(), json).await
        }
        Command::Escalation { command } => {
            escalation::escalation(load(&lookup, "warn")?, command, json).await
        }
        Command::Governance { command } => {
            governance::governance(load(&lookup, "warn")?, command, json).await
        }
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { folder } => manual::man(folder),
        Command::Desktop { command } => {
            desktop::desktop(load(&lookup, "warn")?, command, json).await
        }
        Command::Demo { stand_ins: true, .. } => demo::stand_ins(&lookup, json).await,
        Command::Demo { serve, .. } => demo::demo(&lookup, serve, json).await,
    }
}

/// Whether the person says which server is meant.
fn named(lookup: Lookup<'_>) -> bool {
    lookup("FOREMAN_URL").is_some_and(|url| !url.is_empty())
}

/// The flags stand above the environment.
fn overridden(
    name: &str,
    data_dir: Option<&PathBuf>,
    config: Option<&PathBuf>,
) -> Option<OsString> {
    let flag = match name {
        "FOREMAN_DATA_DIR" => data_dir,
        "FOREMAN_CONFIG" => config,
        _ => None,
    };
    flag.map(|path| path.clone().into_os_string()).or_else(|| std::env::var_os(name))
}

/// For commands that run nothing: what the sandbox or the tiers lack is not their business.
const QUIET: &str = "error";

type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The configuration, with the log started as it says. `level` is what is logged where `RUST_LOG`
/// says nothing: commands that show progress keep the log to warnings.
fn load(lookup: Lookup<'_>, level: &str) -> Result<Config, CliError> {
    let config = Config::load(lookup, &working_folder())?;
    start_log(&config, level)?;
    Ok(config)
}

fn start_log(config: &Config, level: &str) -> Result<(), CliError> {
    let redactor = Arc::new(Redactor::new(config.secrets()));
    Ok(telemetry::init(&config.log, level, redactor)?)
}

fn working_folder() -> PathBuf {
    std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."))
}

/// How a command's exit code tells of a run.
fn exit_code(status: RunStatus) -> ExitCode {
    match status {
        RunStatus::Completed => ExitCode::SUCCESS,
        RunStatus::Failed => ExitCode::from(1),
        RunStatus::Partial
        | RunStatus::Halted
        | RunStatus::Cancelled
        | RunStatus::Queued
        | RunStatus::Running => ExitCode::from(2),
    }
}

fn print_json(value: &Value) {
    println!("{value}");
}

/// Text that may come from an issue, so that it cannot steer the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A line for people; nothing with `--json`.
fn say(json: bool, line: &str) {
    if !json {
        println!("{line}");
    }
}
