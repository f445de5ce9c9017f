//! Pushing a branch so that it is never done twice and never over someone else's work.

use super::error::GitError;
use super::mirror::Mirror;
use super::paths;
use crate::domain::ids::CommitId;

/// What came of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Push {
    Done,
    /// The branch already was at our commit: an earlier push whose answer was lost.
    AlreadyThere,
    /// The branch is at someone else's commit and stays there.
    Taken(CommitId),
}

impl Mirror {
    /// Pushes `commit` to `branch`, which must not exist or be at `expected`, a commit we made.
    ///
    /// Looks first, then pushes with a lease on what was seen, so that another's push in between
    /// is not overwritten. A branch that was at `expected` and is gone is made anew.
    pub async fn push(
        &self,
        commit: &CommitId,
        branch: &str,
        expected: Option<&CommitId>,
    ) -> Result<Push, GitError> {
        paths::check_ref(branch)?;
        let seen = self.remote_tip(branch).await?;
        match &seen {
            Some(tip) if tip == commit => return Ok(Push::AlreadyThere),
            Some(tip) if Some(tip) != expected => return Ok(Push::Taken(tip.clone())),
            Some(_) | None => {}
        }
        let lease = seen.as_ref().map_or("", CommitId::as_str);
        let pushed = self
            .remote("push")
            .args(["--no-follow-tags", "--recurse-submodules=no", "--no-signed"])
            // An empty lease says: the branch must not exist.
            .arg(format!("--force-with-lease=refs/heads/{branch}:{lease}"))
            .arg("--end-of-options")
            .arg(self.url())
            .arg(format!("{commit}:refs/heads/{branch}"))
            .run(&self.git.children, &self.cancel)
            .await;
        let Err(error) = pushed else { return Ok(Push::Done) };
        if matches!(error, GitError::Cancelled { .. }) {
            return Err(error);
        }
        // The answer may be lost although the branch has moved: ours or another's.
        match self.remote_tip(branch).await {
            Ok(Some(tip)) if tip == *commit => Ok(Push::Done),
            Ok(Some(tip)) if Some(&tip) != seen.as_ref() => Ok(Push::Taken(tip)),
            Ok(_) | Err(_) => Err(error),
        }
    }
}
