//! A child that stays as its program's parent: waits for it, ends what it left running, and exits
//! with its status.
//!
//! As process 1 of a PID namespace its own exit ends all others, before anyone outside sees that
//! exit. Elsewhere it is a subreaper: orphans become its children, and it kills them.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::io;
use std::process::{Command, Stdio};

use rustix::process::{DumpableBehavior, Pid, WaitOptions, WaitStatus};

use super::exec::{self, SUBCOMMAND, Settings};
use super::{door, tree};

/// Signalled programs exit as shells say it.
const SIGNAL_BASE: i32 = 128;

/// `settings` are the program's own, but for what the supervisor has already done.
pub(super) fn run(
    settings: Settings,
    program: &OsStr,
    args: &[OsString],
) -> io::Result<Infallible> {
    let own = rustix::process::getpid();
    let first = own == Pid::INIT;
    if !first {
        rustix::process::set_child_subreaper(Some(own))?;
    }
    // Through ourselves once more, so that the program dies with us.
    let inner = Settings {
        supervise: false,
        door: None,
        new_session: true,
        cgroups: Vec::new(),
        parent: Some(std::process::id()),
        ..settings
    };
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(SUBCOMMAND).args(inner.arguments()).arg("--").arg(program).args(args);
    if let Some(port) = settings.door {
        command.stdin(Stdio::from(door::hand_out(port)?));
    }
    // Closes our memory below /proc to what runs as the same user.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let child = command.spawn()?;
    if first {
        exec::drop_capabilities()?;
    }
    let code = wait_for(i32::try_from(child.id()).ok())?;
    if !first {
        end_orphans();
    }
    std::process::exit(code);
}

/// Reaps everything until the program itself has ended.
fn wait_for(program: Option<i32>) -> io::Result<i32> {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if Some(pid.as_raw_nonzero().get()) == program => {
                return Ok(code_of(status));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn code_of(status: WaitStatus) -> i32 {
    status
        .exit_status()
        .or(status.terminating_signal().map(|signal| SIGNAL_BASE + signal))
        .unwrap_or(SIGNAL_BASE)
}

/// Kills and reaps until there is no child left. A fork bomb is bounded by the process limit, so
/// each pass leaves it fewer.
fn end_orphans() {
    loop {
        tree::kill_descendants(std::process::id());
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
    }
}
