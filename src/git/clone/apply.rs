//! The preparations of a merge, inside the clone's git directory: locks, objects, the backup ref,
//! the new index and the new files. No file of the working tree is touched here.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;

use super::compare::Change;
use super::journal::{Journal, Stage, Step};
use super::layout::{Layout, read_small, unreadable};
use super::merge::MergeError;
use super::obstacles::entries;
use super::snapshot::Snapshot;
use super::walk::{Folder, Ident};
use super::{CloneError, LocalClone};
use crate::domain::ids::{CommitId, TreeId};
use crate::git::GitError;
use crate::git::mirror::parse_id;

/// The lock of a clone among Foremans: on its git directory itself, so that no file is made for it.
/// Given back by the system when the process dies.
pub(super) struct Hold {
    _folder: File,
}

impl Hold {
    pub fn take(layout: &Layout) -> Result<Option<Self>, CloneError> {
        let folder = File::open(&layout.git_dir).map_err(unreadable(&layout.git_dir))?;
        match folder.try_lock() {
            Ok(()) => Ok(Some(Self { _folder: folder })),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(source)) => Err(unreadable(&layout.git_dir)(source)),
        }
    }
}

/// Makes the stage and takes the index's lock, as git does; false where somebody holds it.
pub(super) fn begin(layout: &Layout, stage: &Stage) -> Result<bool, CloneError> {
    fs::create_dir(&stage.dir).map_err(unreadable(&stage.dir))?;
    for folder in [stage.new_files(), stage.old_files()] {
        fs::create_dir(&folder).map_err(unreadable(&folder))?;
    }
    let token = stage.index_token();
    fs::write(&token, format!("{}\n", std::process::id())).map_err(unreadable(&token))?;
    let lock = layout.git_dir.join("index.lock");
    match fs::hard_link(&token, &lock) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(unreadable(&lock)(error)),
    }
}

/// The steps with what is at their paths right now. Taken before content is compared, so that who
/// writes after the comparison is noticed.
pub(super) fn survey(
    layout: &Layout,
    changes: &[Change],
) -> Result<Vec<Option<Ident>>, CloneError> {
    let root = Folder::open(&layout.root).map_err(unreadable(&layout.root))?;
    let look = |change: &Change| match change.old_mode {
        0 => Ok(None),
        _ => root.look(&change.path).map_err(unreadable(&layout.root)),
    };
    changes.iter().map(look).collect()
}

/// The journal of these changes, once the new files are staged.
pub(super) fn journal(
    layout: &Layout,
    stage: &Stage,
    changes: &[Change],
    olds: Vec<Option<Ident>>,
    (branch, from, to): (&str, &CommitId, &CommitId),
) -> Result<Journal, CloneError> {
    let new = Folder::open(&stage.new_files()).map_err(unreadable(&stage.dir))?;
    let mut steps = Vec::new();
    for (change, old) in changes.iter().zip(olds) {
        let staged = match change.new_mode {
            0 => None,
            _ => {
                Some(new.look(&change.path).map_err(unreadable(&stage.dir))?.ok_or_else(|| {
                    CloneError::Format(format!(
                        "`{}` was not written out",
                        String::from_utf8_lossy(&change.path).escape_debug()
                    ))
                })?)
            }
        };
        steps.push(Step::new(&change.path, old, staged));
    }
    Ok(Journal {
        branch: branch.to_owned(),
        from: from.clone(),
        to: to.clone(),
        steps,
        made: missing_folders(layout, changes)?,
    })
}

/// Folders on the way to new files that are not there yet, the outer ones first.
fn missing_folders(layout: &Layout, changes: &[Change]) -> Result<Vec<String>, CloneError> {
    let root = Folder::open(&layout.root).map_err(unreadable(&layout.root))?;
    let mut found: BTreeSet<Vec<u8>> = BTreeSet::new();
    for change in changes.iter().filter(|change| change.old_mode == 0) {
        let slashes = change.path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        for (at, _) in slashes {
            let folder = &change.path[..at];
            let there = root.is_folder(folder).map_err(unreadable(&layout.root))?;
            if !there {
                found.insert(folder.to_vec());
            }
        }
    }
    Ok(found.into_iter().map(hex::encode).collect())
}

impl LocalClone {
    /// Copies the objects that `to` needs and `from` has not into the clone, checked one by one.
    pub(super) async fn bring_objects(
        &self,
        stage: &Stage,
        from: &CommitId,
        to: &CommitId,
    ) -> Result<(), MergeError> {
        let base = stage.dir.join("pack");
        let pack = self
            .shadow
            .local("pack-objects")
            .args(["--revs", "--quiet", "--delta-base-offset"])
            .arg(&base)
            .stdin(format!("{to}\n^{from}\n"));
        let name = self.shadow.run(pack).await.map_err(CloneError::Git)?;
        let name = String::from_utf8_lossy(&name).trim().to_owned();
        let file = |extension: &str| stage.dir.join(format!("pack-{name}.{extension}"));
        for extension in ["idx", "rev"] {
            fs::remove_file(file(extension)).ok();
        }
        let check = self
            .shadow
            .local("index-pack")
            .args(["--strict", "-o"])
            .arg(file("idx"))
            .arg(file("pack"));
        self.shadow.run(check).await.map_err(CloneError::Git)?;
        let folder = self.layout.objects().join("pack");
        fs::create_dir_all(&folder).map_err(unreadable(&folder))?;
        // Git looks for the index first, so it comes last.
        for extension in ["pack", "idx"] {
            let there = folder.join(format!("pack-{name}.{extension}"));
            if !there.exists() {
                fs::rename(file(extension), &there).map_err(unreadable(&there))?;
            }
        }
        File::open(&folder).and_then(|it| it.sync_all()).map_err(unreadable(&folder))?;
        Ok(())
    }

    /// The index as it will be: the clone's own, with the changed entries replaced. It must give
    /// the predicted tree.
    pub(super) async fn stage_index(
        &self,
        stage: &Stage,
        snapshot: &Snapshot,
        changes: &[Change],
        expected: &TreeId,
    ) -> Result<(), MergeError> {
        let (index, staged) = (self.layout.index(), stage.index());
        copy_with_times(&index, &staged)?;
        // What goes makes room for what comes.
        let mut input = entries(changes.iter().filter(|change| change.new_mode == 0), true);
        input.extend(entries(changes.iter().filter(|change| change.new_mode != 0), true));
        let files = stage.new_files();
        let update = self
            .over_files("update-index", snapshot, &staged, &files)
            .args(["-z", "--add", "--index-info"])
            .stdin(input);
        self.shadow.run(update).await.map_err(CloneError::Git)?;
        let write = self.over_files("write-tree", snapshot, &staged, &files);
        let tree = self.shadow.run(write).await.map_err(CloneError::Git)?;
        let tree: TreeId =
            parse_id("write-tree", &String::from_utf8_lossy(&tree)).map_err(CloneError::Git)?;
        if tree == *expected {
            return Ok(());
        }
        Err(MergeError::RolledBack(format!(
            "the index would hold the tree {tree} where {expected} was predicted"
        )))
    }

    /// Writes the new files into the stage, as git would into the clone.
    pub(super) async fn stage_files(
        &self,
        stage: &Stage,
        snapshot: &Snapshot,
        changes: &[Change],
    ) -> Result<(), GitError> {
        let mut input = Vec::new();
        for change in changes.iter().filter(|change| change.new_mode != 0) {
            input.extend_from_slice(&change.path);
            input.push(0);
        }
        if input.is_empty() {
            return Ok(());
        }
        let command = self
            .over_files("checkout-index", snapshot, &stage.index(), &stage.new_files())
            .args(["-z", "--stdin"])
            .stdin(input);
        self.shadow.run(command).await.map(drop)
    }

    /// Whether files, index and prediction are one.
    pub(super) async fn verify(
        &self,
        stage: &Stage,
        snapshot: &Snapshot,
        to: &CommitId,
    ) -> Result<(), MergeError> {
        let refresh = self
            .over_files("update-index", snapshot, &stage.index(), &self.layout.root)
            .args(["-q", "--refresh"]);
        self.shadow.run(refresh).await.map_err(CloneError::Git)?;
        self.shadow.stand_at(to).map_err(CloneError::Git)?;
        let dirt = self.dirt_of(snapshot, &stage.index()).await?;
        match dirt.first() {
            None => Ok(()),
            Some(what) => {
                Err(MergeError::RolledBack(format!("afterwards the files were not right: {what}")))
            }
        }
    }
}

/// The times decide which entries git compares by content.
fn copy_with_times(from: &Path, to: &Path) -> Result<(), CloneError> {
    let modified = from.metadata().and_then(|meta| meta.modified()).map_err(unreadable(from))?;
    let bytes = read_small(from)?.unwrap_or_default();
    fs::write(to, bytes).map_err(unreadable(to))?;
    File::options()
        .write(true)
        .open(to)
        .and_then(|file| file.set_modified(modified))
        .map_err(unreadable(to))
}
