//! `foreman __exec ... -- @probe`: tries what a sandbox must stop, and says what happened.
//!
//! Used by the sandbox's self-test, inside the box and, as its control, outside. One line for each
//! attempt: `NAME reached` or `NAME stopped: why`.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io::{self, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
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
            "udp" => datagram(value),
            "unix" => UnixStream::connect(value).map(|_| ()),
            "abstract" => SocketAddr::from_abstract_name(value)
                .and_then(|address| UnixStream::connect_addr(&address))
                .map(|_| ()),
            "privilege" => privilege(),
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
    let address: std::net::SocketAddr = address.parse().map_err(|_| bad("an address"))?;
    TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).map(|_| ())
}

/// Where nobody listens, the second one is refused.
fn datagram(address: &str) -> io::Result<()> {
    let socket = UdpSocket::bind(("127.0.0.1", 0))?;
    socket.connect(address)?;
    socket.send(b"probe")?;
    socket.send(b"probe").map(|_| ())
}

/// Whether a setuid program could still raise us, or a call is still open that should not be.
fn privilege() -> io::Result<()> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let is = |field: &str, value: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        line.is_some_and(|rest| rest.trim_start_matches(':').trim() == value)
    };
    let none = "0000000000000000";
    if is("NoNewPrivs", "1") && is("Seccomp", "2") && is("CapEff", none) && is("CapPrm", none) {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "no privilege, calls filtered",
        ));
    }
    Ok(())
}

/// Asks whether a signal would be delivered; sends none.
fn signal(pid: &str) -> io::Result<()> {
    let pid = pid.parse().ok().and_then(Pid::from_raw).ok_or_else(|| bad("a process"))?;
    Ok(rustix::process::test_kill_process(pid)?)
}
