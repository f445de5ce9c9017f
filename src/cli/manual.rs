//! `foreman completions` and `foreman man`: made from the command line's own words.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory as _;

use super::{Cli, CliError};

/// Prints the completions for a shell.
pub fn completions(shell: clap_complete::Shell) -> Result<ExitCode, CliError> {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "foreman", &mut out);
    print(&out)
}

/// Prints the manual page, or writes a page for each command into a folder.
pub fn man(folder: Option<PathBuf>) -> Result<ExitCode, CliError> {
    let Some(folder) = folder else {
        let mut out = Vec::new();
        let page = clap_mangen::Man::new(Cli::command());
        page.render(&mut out).map_err(|error| cannot("the manual page", &error))?;
        return print(&out);
    };
    let written = std::fs::create_dir_all(&folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), &folder));
    written.map_err(|error| cannot(&folder.display().to_string(), &error))?;
    Ok(ExitCode::SUCCESS)
}

fn print(text: &[u8]) -> Result<ExitCode, CliError> {
    match std::io::stdout().write_all(text) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        // `foreman man | head`
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(cannot("standard output", &error)),
    }
}

fn cannot(what: &str, error: &std::io::Error) -> CliError {
    CliError::Other(format!("{what} cannot be written: {error}"))
}
