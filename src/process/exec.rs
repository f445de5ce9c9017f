//! `foreman __exec`: the last step before a child becomes the program it is meant to be.
//!
//! Drops to the given user, asks for death with its parent, sets limits, then execs. It runs in
//! the child, before anything untrusted, and never returns.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;

use rustix::process::{Resource, Rlimit, Signal};

/// The hidden subcommand.
pub const SUBCOMMAND: &str = "__exec";

/// A user to run as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
}

/// Limits of one process; `None` leaves it as it is. Totals over a tree are the sandbox's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Bytes of address space.
    pub memory: Option<u64>,
    /// Processes and threads of the user.
    pub processes: Option<u64>,
    /// Bytes of one file.
    pub file_size: Option<u64>,
    /// Seconds of processor time.
    pub cpu_seconds: Option<u64>,
    pub open_files: Option<u64>,
}

impl Limits {
    fn named(&self) -> [(&'static str, Resource, Option<u64>); 5] {
        [
            ("memory", Resource::As, self.memory),
            ("processes", Resource::Nproc, self.processes),
            ("file-size", Resource::Fsize, self.file_size),
            ("cpu", Resource::Cpu, self.cpu_seconds),
            ("files", Resource::Nofile, self.open_files),
        ]
    }

    fn set(&mut self, name: &str, value: u64) -> bool {
        match name {
            "memory" => self.memory = Some(value),
            "processes" => self.processes = Some(value),
            "file-size" => self.file_size = Some(value),
            "cpu" => self.cpu_seconds = Some(value),
            "files" => self.open_files = Some(value),
            _ => return false,
        }
        true
    }
}

pub(super) fn arguments(limits: &Limits, identity: Option<Identity>) -> Vec<OsString> {
    let mut args = vec![OsString::from(format!("parent={}", std::process::id()))];
    for (name, _, value) in limits.named() {
        if let Some(value) = value {
            args.push(format!("{name}={value}").into());
        }
    }
    if let Some(Identity { uid, gid }) = identity {
        args.push(format!("uid={uid}").into());
        args.push(format!("gid={gid}").into());
    }
    args
}

/// Becomes the program named after `--`. Returns only with the reason why it could not.
pub fn become_program(args: &[OsString]) -> io::Result<Infallible> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("__exec: {what}"));
    let split = args.iter().position(|arg| arg == "--").ok_or_else(|| bad("no program"))?;
    let (settings, rest) = args.split_at(split);
    let program = rest.get(1).ok_or_else(|| bad("no program"))?;

    let mut limits = Limits::default();
    let (mut uid, mut gid, mut parent) = (None, None, None);
    for setting in settings {
        let (name, value) = parse(setting).ok_or_else(|| bad("a setting is not NAME=NUMBER"))?;
        let small = || u32::try_from(value).map_err(|_| bad("an id is too large"));
        match name {
            "uid" => uid = Some(small()?),
            "gid" => gid = Some(small()?),
            "parent" => parent = Some(value),
            other if limits.set(other, value) => {}
            _ => return Err(bad("an unknown setting")),
        }
    }

    if let (Some(uid), Some(gid)) = (uid, gid) {
        let (uid, gid) = (rustix::process::Uid::from_raw(uid), rustix::process::Gid::from_raw(gid));
        rustix::thread::set_thread_groups(&[])?;
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    }
    // After the change of user, which clears it.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let alive = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
    if let (Some(expected), Some(actual)) = (parent, alive)
        && u64::try_from(actual).ok() != Some(expected)
    {
        return Err(bad("the parent died before its child began"));
    }
    for (_, resource, value) in limits.named() {
        if let Some(value) = value {
            rustix::process::setrlimit(
                resource,
                Rlimit { current: Some(value), maximum: Some(value) },
            )?;
        }
    }
    Err(std::process::Command::new(program).args(&rest[2..]).exec())
}

fn parse(setting: &OsStr) -> Option<(&str, u64)> {
    let (name, value) = setting.to_str()?.split_once('=')?;
    Some((name, value.parse().ok()?))
}
