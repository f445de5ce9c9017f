//! `foreman __exec`: the last step before a child becomes the program it is meant to be.
//!
//! Joins control groups, drops to the given user, asks for death with its parent, sets limits,
//! confines itself, then execs or supervises. It runs in the child, before anything untrusted, and
//! never returns. It decides nothing: whoever starts the child names every setting.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use rustix::process::{Resource, Rlimit, Signal};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::confine::{self, Confinement};
use super::{probe, supervise};

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
    /// Bytes of private writable memory (`RLIMIT_DATA`). Not address space: JVM, Node and Go
    /// reserve far more of that than they ever touch, and would not start.
    pub memory: Option<u64>,
    /// Processes and threads of the user. Does not hold for root.
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
            ("memory", Resource::Data, self.memory),
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

/// All that a child does to itself before it becomes its program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    pub limits: Limits,
    pub identity: Option<Identity>,
    pub confinement: Confinement,
    /// Stay as the program's parent, outlive it, and end whatever it left running. As the first
    /// process of a PID namespace that is the kernel's doing, elsewhere a subreaper's.
    pub supervise: bool,
    /// Leave the terminal's session.
    pub new_session: bool,
    /// Control groups (folders) to join.
    pub cgroups: Vec<PathBuf>,
    /// Die at once unless this process is the parent.
    pub parent: Option<u32>,
    /// Listen on this port of the loopback and hand the listener out; see `door`.
    pub door: Option<u16>,
}

impl Settings {
    /// `NAME=VALUE` arguments that `become_program` reads back; `--` and the program follow them.
    #[must_use]
    pub fn arguments(&self) -> Vec<OsString> {
        let mut args = Vec::new();
        let mut number = |name: &str, value: u64| args.push(format!("{name}={value}").into());
        if let Some(parent) = self.parent {
            number("parent", parent.into());
        }
        for (name, _, value) in self.limits.named() {
            if let Some(value) = value {
                number(name, value);
            }
        }
        if let Some(port) = self.door {
            number("door", port.into());
        }
        if let Some(Identity { uid, gid }) = self.identity {
            number("uid", uid.into());
            number("gid", gid.into());
        }
        for (name, flag) in [("supervise", self.supervise), ("session", self.new_session)] {
            if flag {
                number(name, 1);
            }
        }
        args.extend(self.cgroups.iter().map(|folder| pair("cgroup", folder.as_os_str())));
        match &self.confinement {
            Confinement::None => {}
            Confinement::Calls => args.push("confine=calls".into()),
            Confinement::Landlock { read, write } => {
                args.push("confine=landlock".into());
                args.extend(read.iter().map(|path| pair("read", path.as_os_str())));
                args.extend(write.iter().map(|path| pair("write", path.as_os_str())));
            }
        }
        args
    }

    fn parse(settings: &[OsString]) -> io::Result<Self> {
        let mut parsed = Self::default();
        let (mut uid, mut gid) = (None, None);
        for setting in settings {
            let (name, value) = split(setting).ok_or_else(|| bad("a setting is not NAME=VALUE"))?;
            let number = || {
                let text = value.to_str().and_then(|text| text.parse::<u64>().ok());
                text.ok_or_else(|| bad("a value is not a number"))
            };
            let id = || u32::try_from(number()?).map_err(|_| bad("an id is too large"));
            match name {
                "uid" => uid = Some(id()?),
                "gid" => gid = Some(id()?),
                "parent" => parsed.parent = Some(id()?),
                "door" => {
                    let port = u16::try_from(number()?).map_err(|_| bad("no port"))?;
                    parsed.door = Some(port);
                }
                "supervise" => parsed.supervise = true,
                "session" => parsed.new_session = true,
                "cgroup" => parsed.cgroups.push(value.into()),
                "confine" | "read" | "write" => parsed.confinement.set(name, value)?,
                other => {
                    if !parsed.limits.set(other, number()?) {
                        return Err(bad("an unknown setting"));
                    }
                }
            }
        }
        parsed.identity = match (uid, gid) {
            (Some(uid), Some(gid)) => Some(Identity { uid, gid }),
            (None, None) => None,
            _ => return Err(bad("uid and gid go together")),
        };
        Ok(parsed)
    }
}

/// Becomes the program named after `--`. Returns only with the reason why it could not.
pub fn become_program(args: &[OsString]) -> io::Result<Infallible> {
    let split = args.iter().position(|arg| arg == "--").ok_or_else(|| bad("no program"))?;
    let (settings, rest) = args.split_at(split);
    let program = rest.get(1).ok_or_else(|| bad("no program"))?;
    let settings = Settings::parse(settings)?;
    if settings.supervise {
        // The supervisor itself is neither confined nor changes its user: what it watches can
        // neither kill nor alter it, and its parent may still kill it.
        let (cgroups, parent) = (settings.cgroups.clone(), settings.parent);
        prepare(&Settings { cgroups, parent, ..Settings::default() })?;
        return supervise::run(settings, program, &rest[2..]);
    }
    prepare(&settings)?;
    if program == probe::PROGRAM {
        return probe::run(&rest[2..]);
    }
    Err(std::process::Command::new(program).args(&rest[2..]).exec())
}

fn prepare(settings: &Settings) -> io::Result<()> {
    for folder in &settings.cgroups {
        std::fs::write(folder.join("cgroup.procs"), "0")?;
    }
    if settings.new_session {
        rustix::process::setsid()?;
    }
    if let Some(Identity { uid, gid }) = settings.identity {
        let (uid, gid) = (rustix::process::Uid::from_raw(uid), rustix::process::Gid::from_raw(gid));
        rustix::thread::set_thread_groups(&[])?;
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    }
    // After the change of user, which clears it.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    if let Some(expected) = settings.parent {
        let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
        if parent.and_then(|pid| u32::try_from(pid).ok()) != Some(expected) {
            return Err(bad("the parent died before its child began"));
        }
    }
    for (_, resource, value) in settings.limits.named() {
        if let Some(value) = value {
            let limit = Rlimit { current: Some(value), maximum: Some(value) };
            rustix::process::setrlimit(resource, limit)?;
        }
    }
    match &settings.confinement {
        Confinement::None => Ok(()),
        confinement @ (Confinement::Calls | Confinement::Landlock { .. }) => {
            drop_capabilities()?;
            rustix::process::setrlimit(
                Resource::Core,
                Rlimit { current: Some(0), maximum: Some(0) },
            )?;
            confine::apply(confinement)
        }
    }
}

/// Changing the user empties all sets but the inheritable one, which bubblewrap may have filled.
pub(super) fn drop_capabilities() -> io::Result<()> {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

pub(super) fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{SUBCOMMAND}: {what}"))
}

fn pair(name: &str, value: &OsStr) -> OsString {
    let mut text = OsString::from(name);
    text.push("=");
    text.push(value);
    text
}

fn split(setting: &OsStr) -> Option<(&str, OsString)> {
    let bytes = setting.as_bytes();
    let at = bytes.iter().position(|byte| *byte == b'=')?;
    let name = std::str::from_utf8(&bytes[..at]).ok()?;
    Some((name, OsString::from_vec(bytes[at + 1..].to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_back_as_they_were_written() {
        let settings = Settings {
            limits: Limits { memory: Some(1), processes: Some(2), ..Limits::default() },
            identity: Some(Identity { uid: 7, gid: 8 }),
            confinement: Confinement::Landlock {
                read: vec!["/a=b".into(), "/usr".into()],
                write: vec!["/w x".into()],
            },
            supervise: true,
            new_session: true,
            cgroups: vec!["/sys/fs/cgroup/x".into()],
            parent: Some(3),
            door: Some(4),
        };
        assert_eq!(Settings::parse(&settings.arguments()).unwrap(), settings);
        assert_eq!(Settings::parse(&[]).unwrap(), Settings::default());
    }

    #[test]
    fn unknown_and_half_settings_are_refused() {
        for bad in ["colour=3", "memory=lots", "uid=1", "confine=hope", "memory", "read=/usr"] {
            assert!(Settings::parse(&[bad.into()]).is_err(), "{bad}");
        }
    }
}
