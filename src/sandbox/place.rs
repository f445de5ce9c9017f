//! The folders a command works in: its workspace and its private home and /tmp.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use super::SandboxError;
use crate::process::Identity;

/// Where one command works. Nothing else is writable for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Writable, and the working directory.
    pub workspace: PathBuf,
    /// Outside the workspace; holds `home/` and `tmp/`, which are HOME and /tmp inside.
    pub private: PathBuf,
    /// Further host paths to show, read-only.
    pub read_only: Vec<PathBuf>,
    /// What a setup step fetched, where there was one.
    pub dependencies: Option<Dependencies>,
}

/// Fetched packages, shown to commands. Only a box with mounts of its own can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependencies {
    /// The tools' package folders: seen at one fixed path, which the tools are told.
    pub store: PathBuf,
    /// What the setup step left in its checkout (`node_modules`): where in the workspace it is
    /// shown, and where it is.
    pub shown: Vec<(PathBuf, PathBuf)>,
    /// While they are being fetched.
    pub writable: bool,
}

/// What each tool's package folder below the store is called for people, in a fixed order.
const KINDS: &[(&str, &str)] = &[
    ("cargo", "Cargo crates"),
    ("npm", "npm packages"),
    ("go", "Go modules"),
    ("python", "Python packages"),
    ("wheels", "Python wheels"),
];

impl Dependencies {
    /// What was fetched, in one line for whoever works in the box; the names are ours or checked.
    #[must_use]
    pub fn told(&self) -> Option<String> {
        let there = |name: &str| {
            std::fs::read_dir(self.store.join(name)).is_ok_and(|mut them| them.next().is_some())
        };
        let kinds =
            KINDS.iter().filter(|(name, _)| there(name)).map(|(_, kind)| (*kind).to_owned());
        let mut had: Vec<String> = kinds.collect();
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-/@".contains(c);
        let shown = self.shown.iter().filter_map(|(at, _)| at.to_str());
        had.extend(shown.filter(|at| at.chars().all(plain)).map(|at| format!("`{at}`")));
        if had.is_empty() {
            return None;
        }
        Some(format!(
            "The repository's dependencies were fetched beforehand and are there read-only, where \
             its tools look: {} (in {}). There is no network: nothing else can be installed.",
            had.join(", "),
            super::bubblewrap::DEPENDENCIES,
        ))
    }
}

impl Place {
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.private.join("home")
    }

    #[must_use]
    pub fn tmp(&self) -> PathBuf {
        self.private.join("tmp")
    }

    /// The name service inside: the host's file may name internal machines.
    pub(super) fn hosts(&self) -> PathBuf {
        self.private.join("hosts")
    }

    /// Makes mount points for host paths below /tmp, which is our private folder inside. Here and
    /// not by bubblewrap: an earlier command may have left a link there that leads out.
    pub(super) fn make_way<'a>(
        &self,
        shown: impl Iterator<Item = &'a PathBuf>,
    ) -> Result<(), SandboxError> {
        for path in shown {
            let Ok(below) = path.strip_prefix("/tmp") else { continue };
            let mut point = self.tmp();
            for part in below {
                point.push(part);
                folder_at(&point)
                    .map_err(|source| SandboxError::Place { path: path.clone(), source })?;
            }
            if path.is_file() {
                std::fs::remove_dir(&point)
                    .and_then(|()| std::fs::write(&point, ""))
                    .map_err(|source| SandboxError::Place { path: path.clone(), source })?;
            }
        }
        Ok(())
    }

    /// Absolute paths without links, so that what is shown is what was meant.
    pub(super) fn resolved(&self) -> Result<Self, SandboxError> {
        let real = |path: &Path| {
            path.canonicalize()
                .map_err(|source| SandboxError::Place { path: path.to_owned(), source })
        };
        Ok(Self {
            workspace: real(&self.workspace)?,
            private: real(&self.private)?,
            read_only: self.read_only.iter().map(|path| real(path)).collect::<Result<_, _>>()?,
            dependencies: self.dependencies.clone(),
        })
    }

    /// What of the dependencies can be shown in the workspace, with its mount points made. Where a
    /// command left a link on the way, or a file, nothing is: a mount would follow the link.
    pub(super) fn dependencies_shown(
        &self,
        owner: Option<Identity>,
    ) -> io::Result<Vec<(PathBuf, PathBuf)>> {
        let mut shown = Vec::new();
        for (inside, from) in self.dependencies.iter().flat_map(|them| &them.shown) {
            let folder = from.symlink_metadata().is_ok_and(|facts| facts.is_dir());
            if self.mount_point(inside, folder, owner)? {
                shown.push((inside.clone(), from.clone()));
            }
        }
        Ok(shown)
    }

    fn mount_point(
        &self,
        inside: &Path,
        folder: bool,
        owner: Option<Identity>,
    ) -> io::Result<bool> {
        let mut point = self.workspace.clone();
        let mut parts = inside.components().peekable();
        while let Some(part) = parts.next() {
            let Component::Normal(part) = part else { return Ok(false) };
            point.push(part);
            let wanted_folder = folder || parts.peek().is_some();
            match point.symlink_metadata() {
                Ok(facts) if wanted_folder && facts.is_dir() => {}
                Ok(facts) if !wanted_folder && facts.is_file() => {}
                Ok(_) => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if wanted_folder {
                        std::fs::create_dir(&point)?;
                    } else {
                        std::fs::File::create_new(&point)?;
                    }
                    give(&point, owner)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// Makes the private folders and gives them and the workspace folder itself to `owner`. What is
/// already in the workspace belongs to whoever put it there; a checkout is made with its owner.
pub fn prepare_place(
    workspace: &Path,
    private: &Path,
    owner: Option<Identity>,
) -> io::Result<Place> {
    let place = Place {
        workspace: workspace.to_owned(),
        private: private.to_owned(),
        read_only: vec![],
        dependencies: None,
    };
    std::fs::create_dir_all(workspace)?;
    for folder in [place.home(), place.tmp()] {
        std::fs::create_dir_all(&folder)?;
        give(&folder, owner)?;
    }
    std::fs::write(place.hosts(), "127.0.0.1 localhost\n::1 localhost\n")?;
    give(workspace, owner)?;
    Ok(place)
}

/// Makes a folder that commands may write to.
pub fn prepare_folder(path: &Path, owner: Option<Identity>) -> io::Result<()> {
    std::fs::create_dir_all(path)?;
    give(path, owner)
}

/// A folder that others may pass, in place of whatever else may stand there.
fn folder_at(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(facts) if facts.is_dir() => return Ok(()),
        Ok(_) => std::fs::remove_file(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    std::fs::create_dir(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}

fn give(path: &Path, owner: Option<Identity>) -> io::Result<()> {
    match owner {
        Some(Identity { uid, gid }) => std::os::unix::fs::lchown(path, Some(uid), Some(gid)),
        None => Ok(()),
    }
}
