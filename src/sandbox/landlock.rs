//! The fallback without namespaces: files by Landlock, sockets and dangerous calls by seccomp.
//!
//! It cannot hide that other processes exist, nor give a loopback of its own: the report says so.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::toolchains::Toolchains;
use super::{Inner, Place, SandboxError};
use crate::process::{Confinement, Identity};

/// Devices that programs expect to write to or read from.
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

pub(super) fn confinement(inner: &Inner, place: &Place) -> Confinement {
    let mut read: Vec<PathBuf> = inner.tools.system().to_vec();
    read.extend(Toolchains::etc());
    read.extend_from_slice(inner.tools.mounts());
    read.extend_from_slice(&place.read_only);
    read.push(inner.helper.clone());
    // Other processes' secrets below /proc stay closed: Landlock counts reading them as tracing.
    read.push("/proc".into());
    let mut write = vec![place.workspace.clone(), place.home(), place.tmp()];
    write.extend(DEVICES.iter().map(PathBuf::from));
    Confinement::Landlock { read, write }
}

/// Without a mount of its own, the user inside must be able to walk to the workspace.
pub(super) fn check_reach(place: &Place, identity: Option<Identity>) -> Result<(), SandboxError> {
    if identity.is_none() {
        return Ok(());
    }
    for path in [&place.workspace, &place.private] {
        if let Some(closed) = closed_to_others(path) {
            let why = format!("{} is closed to the box's unprivileged user", closed.display());
            let source = io::Error::new(io::ErrorKind::PermissionDenied, why);
            return Err(SandboxError::Place { path: path.clone(), source });
        }
    }
    Ok(())
}

/// The first folder on the way to a path that others may not pass.
pub(super) fn closed_to_others(path: &Path) -> Option<PathBuf> {
    const OTHERS_MAY_PASS: u32 = 0o001;
    let mut parents: Vec<_> = path.ancestors().skip(1).collect();
    parents.reverse();
    parents
        .into_iter()
        .find(|parent| parent.metadata().is_ok_and(|facts| facts.mode() & OTHERS_MAY_PASS == 0))
        .map(Path::to_owned)
}
