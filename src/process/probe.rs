//! `foreman __exec ... -- @probe`: tries what a sandbox must stop, and says what happened.
//!
//! Used by the sandbox's self-test, inside the box and, as its control, outside. One line for each
//! attempt: `NAME reached` or `NAME stopped: why`.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::process::Pid;

use super::exec::bad;

/// The name that stands for this program.
pub const PROGRAM: &str = "@probe";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) fn run(args: &[OsString]) -> io::Result<Infallible> {
    for arg in args {
        let (name, value) =
            arg.to_str().and_then(|arg| arg.split_once('=')).ok_or_else(|| bad("a probe"))?;
        let outcome = match name {
            "connect" => connect(value),
            "read" => std::fs::read(value).map(|_| ()),
            "write" => std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(value)
                .and_then(|mut file| file.write_all(b"probe")),
            "environ" => std::fs::read(format!("/proc/{value}/environ")).map(|_| ()),
            "process" => std::fs::metadata(format!("/proc/{value}")).map(|_| ()),
            "signal" => signal(value),
            _ => return Err(bad("an unknown probe")),
        };
        let mut out = io::stdout().lock();
        match outcome {
            Ok(()) => writeln!(out, "{name} reached")?,
            Err(error) => writeln!(out, "{name} stopped: {error}")?,
        }
    }
    std::process::exit(0);
}

fn connect(address: &str) -> io::Result<()> {
    let address: SocketAddr = address.parse().map_err(|_| bad("an address"))?;
    TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).map(|_| ())
}

/// Asks whether a signal would be delivered; sends none.
fn signal(pid: &str) -> io::Result<()> {
    let pid = pid.parse().ok().and_then(Pid::from_raw).ok_or_else(|| bad("a process"))?;
    Ok(rustix::process::test_kill_process(pid)?)
}
