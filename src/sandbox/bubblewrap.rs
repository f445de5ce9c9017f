//! The box made of namespaces: what bubblewrap is asked to build around a command.
//!
//! As root there is no user namespace: the first process inside drops to the unprivileged user
//! that owns the workspace, because process limits do not hold for root, not even for a root that
//! a user namespace calls by another number. Otherwise a user namespace gives us the others, and
//! the user stays the same.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::toolchains::Toolchains;
use super::{Inner, Place, Shell, door, environment};
use crate::process::{Confinement, Settings, Spec, exec};

/// Where a command sees its workspace.
pub(super) const WORKSPACE: &str = "/workspace";
/// Not a name that a person's home has: toolchains below that one are shown where they are.
const HOME: &str = "/home/foreman-box";
const TMP: &str = "/tmp";
/// Where the box sees the foreman binary.
pub(super) const HELPER: &str = "/run/foreman";

/// Where a command sees what a setup step fetched.
pub(super) const DEPENDENCIES: &str = "/deps";

/// Bytes of shared memory a box may fill.
const SHARED_MEMORY: u64 = 256 << 20;

pub(super) fn spec(
    inner: &Inner,
    place: &Place,
    shown: &[(PathBuf, PathBuf)],
    shell: &Shell,
) -> Spec {
    let mut args = Arguments::default();
    namespaces(&mut args, inner.identity.is_some());
    system(&mut args, &inner.tools);
    args.flag(["--proc", "/proc", "--dev", "/dev"]);
    args.flag(["--size", &SHARED_MEMORY.to_string(), "--perms", "1777", "--tmpfs", "/dev/shm"]);
    args.bind("--ro-bind", &inner.helper, Path::new(HELPER));
    if place.hosts().exists() {
        args.bind("--ro-bind", &place.hosts(), Path::new("/etc/hosts"));
    }
    args.bind("--bind", &place.home(), Path::new(HOME));
    args.bind("--bind", &place.tmp(), Path::new(TMP));
    // After /tmp, so that a path below the host's /tmp can still be shown; see `Place::make_way`.
    for path in inner.tools.mounts().iter().chain(&place.read_only) {
        args.bind("--ro-bind", path, path);
    }
    args.bind("--bind", &place.workspace, Path::new(WORKSPACE));
    if let Some(them) = &place.dependencies {
        let how = if them.writable { "--bind" } else { "--ro-bind" };
        args.bind(how, &them.store, Path::new(DEPENDENCIES));
        if let Some(config) = inner.tools.cargo_config() {
            // Cargo's home is now another, but cargo also looks above the workspace.
            args.bind("--ro-bind", config, Path::new("/.cargo/config.toml"));
        }
    }
    for (inside, from) in shown {
        args.bind("--ro-bind", from, &Path::new(WORKSPACE).join(inside));
    }
    args.flag(["--remount-ro", "/", "--remount-ro", "/dev", "--chdir", WORKSPACE, "--"]);

    let settings = Settings {
        limits: shell.limits,
        identity: inner.identity,
        confinement: Confinement::Calls,
        supervise: true,
        door: shell.door.as_ref().map(|_| door::PORT),
        ..Settings::default()
    };
    let mut line = args.line;
    line.extend([HELPER.into(), exec::SUBCOMMAND.into()]);
    line.extend(settings.arguments());
    line.extend(["--", "/bin/sh", "-c"].map(OsString::from));
    line.push(shell.command.clone().into());

    let mut spec = Spec::new(&inner.bwrap, Path::new("/")).args(line);
    let fetched = place.dependencies.as_ref();
    spec.env = environment::inside(&inner.tools, shell, fetched, Path::new(HOME), Path::new(TMP));
    spec
}

fn namespaces(args: &mut Arguments, root: bool) {
    args.flag(["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]);
    args.flag(["--unshare-cgroup-try", "--hostname", "foreman"]);
    // Our helper is process 1: when bubblewrap ends, the kernel has already ended all the rest.
    args.flag(["--as-pid-1", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]);
    if root {
        // To become the unprivileged user, which loses them.
        args.flag(["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]);
    } else {
        args.flag(["--unshare-user"]);
    }
}

fn system(args: &mut Arguments, tools: &Toolchains) {
    for path in tools.system() {
        match path.read_link() {
            // `/bin` on a merged system is a link to `usr/bin`.
            Ok(target) => args.flag([OsString::from("--symlink"), target.into(), path.into()]),
            Err(_) => args.bind("--ro-bind", path, path),
        }
    }
    for path in Toolchains::etc() {
        args.bind("--ro-bind", &path, &path);
    }
}

/// Arguments, and the folders that were already made: bubblewrap makes missing parents with mode
/// 0700 for root, which the unprivileged user could not pass.
#[derive(Default)]
struct Arguments {
    line: Vec<OsString>,
    made: BTreeSet<PathBuf>,
    mounted: Vec<PathBuf>,
}

impl Arguments {
    fn flag<T: Into<OsString>, const N: usize>(&mut self, flags: [T; N]) {
        self.line.extend(flags.map(Into::into));
    }

    fn bind(&mut self, how: &str, from: &Path, to: &Path) {
        let mut parents: Vec<_> = to.ancestors().skip(1).collect();
        parents.reverse();
        for parent in parents {
            let there = parent == Path::new("/")
                || self.mounted.iter().any(|mount| parent.starts_with(mount));
            if !there && self.made.insert(parent.to_owned()) {
                self.flag([
                    OsString::from("--perms"),
                    "0755".into(),
                    "--dir".into(),
                    parent.into(),
                ]);
            }
        }
        self.mounted.push(to.to_owned());
        self.flag([OsString::from(how), from.into(), to.into()]);
    }
}
