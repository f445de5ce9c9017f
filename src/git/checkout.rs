//! Workspaces: independent clones for builders and checks, and their removal.
//!
//! A workspace shares no inode, alternate, remote or credential with the mirror: its objects come
//! as a fresh pack through git's own transport. After it is handed over, git is never again run on
//! its `.git`.

use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::Path;

use super::Git;
use super::command::Command;
use super::error::GitError;
use super::mirror::{Mirror, blocking};
use crate::domain::ids::CommitId;
use crate::process::Identity;
use tokio_util::sync::CancellationToken;

/// Commits of history a workspace gets: enough to read how code came about, without copying the
/// whole past of a large repository for every attempt.
const HISTORY: &str = "--depth=50";

/// The branch a workspace is on.
const BRANCH: &str = "work";

/// What the clone's own configuration holds: someone to commit as, since the sandbox has no
/// global configuration. Such commits are never used, only the files.
const CONFIGURATION: &str = "\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = false
[user]
\tname = Foreman builder
\temail = builder@foreman.invalid
[gc]
\tauto = 0
";

impl Mirror {
    /// Makes an independent clone at `dir`, on branch `work` at `commit`, owned by `owner`.
    ///
    /// `dir` must not exist or be empty. Where this fails, `dir` is gone again.
    pub async fn checkout(
        &self,
        commit: &CommitId,
        dir: &Path,
        owner: Option<Identity>,
    ) -> Result<(), GitError> {
        if !self.exists(commit).await {
            return Err(GitError::Unknown { object: commit.to_string() });
        }
        checkout(&self.git, self.path(), commit, dir, owner, &self.cancel).await
    }
}

/// Makes an independent clone at `dir` of the repository of ours at `from`.
pub(super) async fn checkout(
    git: &Git,
    from: &Path,
    commit: &CommitId,
    dir: &Path,
    owner: Option<Identity>,
    cancel: &CancellationToken,
) -> Result<(), GitError> {
    if std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(GitError::Occupied { dir: dir.to_owned() });
    }
    std::fs::create_dir_all(dir).map_err(GitError::io("make", dir))?;
    let dir = dir.canonicalize().map_err(GitError::io("find", dir))?;
    let done = match fill(git, from, commit, &dir, cancel).await {
        Ok(()) => {
            let dir = dir.clone();
            blocking(move || owner.map_or(Ok(()), |owner| give_away(&dir, owner))).await
        }
        Err(error) => Err(error),
    };
    if done.is_err() {
        // The first error is the one to tell.
        remove_workspace(&dir).await.ok();
    }
    done
}

async fn fill(
    git: &Git,
    from: &Path,
    commit: &CommitId,
    dir: &Path,
    cancel: &CancellationToken,
) -> Result<(), GitError> {
    let git_dir = dir.join(".git");
    // What `git init` would make, without a process of its own: each costs some milliseconds, and the
    // gate makes a checkout for every judgement.
    for folder in ["objects/info", "objects/pack", "refs/heads", "refs/tags"] {
        let folder = git_dir.join(folder);
        std::fs::create_dir_all(&folder).map_err(GitError::io("make", &folder))?;
    }
    let write = |name: &str, text: &str| {
        let path = git_dir.join(name);
        std::fs::write(&path, text).map_err(GitError::io("write", &path))
    };
    write("HEAD", &format!("ref: refs/heads/{BRANCH}\n"))?;
    write("config", CONFIGURATION)?;
    // Nothing here has to outlive a power loss: it is made again from the mirror.
    let command = |verb| Command::new(verb, &git_dir).work_tree(dir).config("core.fsync=none");
    let children = &git.children;
    // Into no ref and no FETCH_HEAD: both would write down where the mirror is.
    command("fetch")
        .args(["--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"])
        .args(["--no-recurse-submodules", HISTORY, "--end-of-options"])
        .arg(from)
        .arg(commit.as_str())
        .run(children, cancel)
        .await?;
    write(&format!("refs/heads/{BRANCH}"), &format!("{}\n", commit.as_str()))?;
    command("reset").args(["--quiet", "--hard"]).run(children, cancel).await?;
    Ok(())
}

/// Makes `owner` the owner of everything in `dir`, links themselves included.
fn give_away(dir: &Path, owner: Identity) -> Result<(), GitError> {
    let mut todo = vec![dir.to_owned()];
    while let Some(path) = todo.pop() {
        lchown(&path, Some(owner.uid), Some(owner.gid))
            .map_err(GitError::io("give away", &path))?;
        let meta = std::fs::symlink_metadata(&path).map_err(GitError::io("look at", &path))?;
        if meta.is_dir() {
            for entry in std::fs::read_dir(&path).map_err(GitError::io("read", &path))? {
                todo.push(entry.map_err(GitError::io("read", &path))?.path());
            }
        }
    }
    Ok(())
}

/// Removes a workspace, whatever a builder left in it: directories without write permission,
/// links, paths longer than the system takes. One that is not there is fine.
pub async fn remove_workspace(dir: &Path) -> Result<(), GitError> {
    let dir = dir.to_owned();
    blocking(move || remove_now(&dir)).await
}

pub(super) fn remove_now(root: &Path) -> Result<(), GitError> {
    match std::fs::symlink_metadata(root) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(GitError::io("look at", root)(error)),
        Ok(meta) if !meta.is_dir() => {
            return std::fs::remove_file(root).map_err(GitError::io("remove", root));
        }
        Ok(_) => {}
    }
    // Every directory is first moved to the top, so that no path grows with the depth.
    open_up(root)?;
    let mut todo = vec![root.to_owned()];
    let mut emptied = Vec::new();
    while let Some(dir) = todo.pop() {
        // Read to its end first: directories are moved into the root while it is being emptied.
        let entries: Result<Vec<_>, _> = std::fs::read_dir(&dir).and_then(Iterator::collect);
        for entry in entries.map_err(GitError::io("read", &dir))? {
            let path = entry.path();
            if entry.file_type().map_err(GitError::io("look at", &path))?.is_dir() {
                open_up(&path)?;
                let top = root.join(format!(".removing-{}", uuid::Uuid::new_v4().simple()));
                std::fs::rename(&path, &top).map_err(GitError::io("move", &path))?;
                todo.push(top);
            } else {
                std::fs::remove_file(&path).map_err(GitError::io("remove", &path))?;
            }
        }
        emptied.push(dir);
    }
    // The root went in first and comes out last.
    while let Some(dir) = emptied.pop() {
        std::fs::remove_dir(&dir).map_err(GitError::io("remove", &dir))?;
    }
    Ok(())
}

/// Lets us list and change a directory.
fn open_up(dir: &Path) -> Result<(), GitError> {
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))
        .map_err(GitError::io("open up", dir))
}
