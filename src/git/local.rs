//! Finding commits of a person's own clone: `foreman gate` judges what is there.
//!
//! Reads the clone through git's own transport, like any remote. Never writes into it.

use super::error::GitError;
use super::mirror::Mirror;
use super::paths;
use crate::domain::ids::CommitId;

/// What the clone's remote-tracking branches are kept as.
const TRACKED: &str = "refs/foreman/local/tracked/";
const HEAD: &str = "refs/foreman/local/head";

impl Mirror {
    /// Fetches the clone's `HEAD` and what it knows of its own origin.
    pub async fn fetch_local(&self) -> Result<(), GitError> {
        self.remote("fetch")
            .args(["--quiet", "--prune", "--force", "--no-tags", "--no-write-fetch-head"])
            .args(["--no-auto-maintenance", "--no-recurse-submodules", "--end-of-options"])
            .arg(self.url())
            .arg(format!("+HEAD:{HEAD}"))
            .arg(format!("+refs/remotes/origin/*:{TRACKED}*"))
            .run(&self.git.children, &self.cancel)
            .await?;
        Ok(())
    }

    /// The commit that `HEAD`, a branch or a (short) hash names in the clone.
    pub async fn find(&self, name: &str) -> Result<Option<CommitId>, GitError> {
        if name == "HEAD" {
            return self.resolve(&format!("{HEAD}^{{commit}}")).await;
        }
        if paths::check_ref(name).is_ok()
            && let Some(tip) = self.tip(name).await?
        {
            return Ok(Some(tip));
        }
        let hex = (4..=40).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_hexdigit());
        if !hex {
            return Ok(None);
        }
        self.resolve(&format!("{name}^{{commit}}")).await
    }

    /// A base branch: as the clone's origin has it, as far as the clone knows, else its own.
    pub async fn find_base(&self, branch: &str) -> Result<Option<CommitId>, GitError> {
        paths::check_ref(branch)?;
        match self.resolve(&format!("{TRACKED}{branch}^{{commit}}")).await? {
            Some(tip) => Ok(Some(tip)),
            None => self.tip(branch).await,
        }
    }

    /// The branch that the clone's remote calls its own, where the clone knows it.
    pub async fn find_default(&self) -> Result<Option<String>, GitError> {
        let listed = self
            .remote("ls-remote")
            .args(["--quiet", "--symref", "--end-of-options"])
            .arg(self.url())
            .arg("refs/remotes/origin/HEAD")
            .run(&self.git.children, &self.cancel)
            .await?;
        let listed = String::from_utf8_lossy(&listed);
        let target = listed.lines().find_map(|line| line.strip_prefix("ref: ")?.split('\t').next());
        if let Some(branch) = target.and_then(|it| it.strip_prefix("refs/remotes/origin/")) {
            return Ok(Some(branch.to_owned()));
        }
        for usual in ["main", "master"] {
            if self.find_base(usual).await?.is_some() {
                return Ok(Some(usual.to_owned()));
            }
        }
        Ok(None)
    }
}
