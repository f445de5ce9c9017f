//! Reads the command line and runs one command.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<std::ffi::OsString> = std::env::args_os().collect();
    if args.get(1).is_some_and(|arg| arg == foreman::process::exec::SUBCOMMAND) {
        return match foreman::process::exec::become_program(&args[2..]) {
            Ok(never) => match never {},
            Err(error) => {
                eprintln!("{error}");
                ExitCode::from(126)
            }
        };
    }
    ExitCode::SUCCESS
}
