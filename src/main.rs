//! Reads the command line and runs one command.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use foreman::cli::{self, Cli};

fn main() -> ExitCode {
    let args: Vec<std::ffi::OsString> = std::env::args_os().collect();
    // First of all: this process may be the last step before a child becomes its program.
    if args.get(1).is_some_and(|arg| arg == foreman::process::exec::SUBCOMMAND) {
        return match foreman::process::exec::become_program(&args[2..]) {
            Ok(never) => match never {},
            Err(error) => {
                eprintln!("{error}");
                ExitCode::from(126)
            }
        };
    }
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(words) => {
            words.print().ok();
            // Not clap's own 2, which says of a night that it was partial.
            return if words.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("foreman: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    // Before any client is made; an error says that it is installed already.
    rustls::crypto::ring::default_provider().install_default().ok();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime could not be started")?;
    let code = runtime.block_on(cli::execute(cli));
    // Whatever still blocks is not waited for: what counts is in the database.
    runtime.shutdown_background();
    Ok(code?)
}
