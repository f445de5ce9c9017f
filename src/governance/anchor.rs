//! The second place of checkpoints: a file, and where configured a branch of a repository and a
//! webhook besides.
//!
//! Owns writing them there and reading them back. Never judges what they say.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::checkpoints::{CheckpointError, Statement};
use super::delivery::{Post, Webhook};
use crate::domain::ids::RepoName;
use crate::github::{BranchPath, GitHub, GitHubError};
use crate::store::SignedHead;

/// Files of a branch that are read back, the newest: the newest checkpoint covers all before it.
const FILES_READ: usize = 7;
/// Tries to add a line where somebody else commits to the branch at the same time.
const TRIES: u32 = 3;

/// What is said of the webhook where nobody brought what it took.
const NOT_GIVEN_BACK: &str = "a webhook does not give checkpoints back: what it alone holds counts \
     for nothing here; verify it with `foreman governance verify --anchors FILE`, a file of the bodies \
     that its receiver kept, one a line";

/// A branch that checkpoints are committed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnchorBranch {
    pub repo: RepoName,
    pub branch: String,
}

/// Every place.
#[derive(Debug, Clone)]
pub(super) struct Anchor {
    file: PathBuf,
    branch: Option<(GitHub, AnchorBranch)>,
    webhook: Option<(Post, Webhook)>,
}

/// What stands in the places that can be read back.
#[derive(Debug, Clone, Default)]
pub(super) struct Anchored {
    pub heads: Vec<SignedHead>,
    pub places: Vec<PlaceState>,
}

/// What one place holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlaceState {
    pub place: String,
    /// Checkpoints read back from it.
    pub checkpoints: usize,
    /// The last event that they cover.
    pub through: Option<i64>,
    /// Lines that are no checkpoints; the last one may have been cut by a crash.
    pub unreadable: usize,
    /// Why it could not be read back, if it could not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Anchor {
    pub fn new(
        file: PathBuf,
        branch: Option<(GitHub, AnchorBranch)>,
        webhook: Option<(Post, Webhook)>,
    ) -> Self {
        Self { file, branch, webhook }
    }

    pub fn path(&self) -> &Path {
        &self.file
    }

    /// Adds a checkpoint to every place; it is there when this returns.
    pub async fn add(&self, head: &SignedHead) -> Result<(), CheckpointError> {
        let failed =
            |source: io::Error| CheckpointError::Anchor { path: self.file.clone(), source };
        let line = serde_json::to_string(head).map_err(|error| failed(error.into()))?;
        let (path, text) = (self.file.clone(), line.clone());
        let added = tokio::task::spawn_blocking(move || add_line(&path, &text)).await;
        added.map_err(|error| failed(io::Error::other(error)))?.map_err(failed)?;
        if let Some((github, branch)) = &self.branch {
            let added = add_commit(github, branch, head, &line).await;
            added.map_err(|error| CheckpointError::Branch(name(branch), Box::new(error)))?;
        }
        if let Some((post, webhook)) = &self.webhook {
            let id = format!("checkpoint-{}", head.seq);
            post.send(webhook, &id, line).await.map_err(CheckpointError::Webhook)?;
        }
        Ok(())
    }

    /// Everything that can be read back, and what the webhook's receiver kept where that is given. A
    /// remote place that does not answer is told of, and its
    /// checkpoints do not count; a file that is there and cannot be read is an error.
    pub async fn read(&self, received: Option<String>) -> Result<Anchored, CheckpointError> {
        let path = self.file.clone();
        let read = tokio::task::spawn_blocking(move || match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            read => read,
        });
        let failed = |source| CheckpointError::Anchor { path: self.file.clone(), source };
        let text = read.await.map_err(|error| failed(io::Error::other(error)))?.map_err(failed)?;
        let mut anchored = Anchored::default();
        anchored.take(self.file.display().to_string(), Ok(text));
        if let Some((github, branch)) = &self.branch {
            let text = read_commits(github, branch).await;
            anchored.take(name(branch), text.map_err(|error| error.to_string()));
        }
        match received {
            Some(text) => anchored.take("webhook, as its receiver kept them".to_owned(), Ok(text)),
            None if self.webhook.is_some() => {
                anchored.take("webhook".to_owned(), Err(NOT_GIVEN_BACK.to_owned()));
            }
            None => {}
        }
        Ok(anchored)
    }
}

impl Anchored {
    fn take(&mut self, place: String, text: Result<String, String>) {
        let (text, error) = match text {
            Ok(text) => (text, None),
            Err(why) => (String::new(), Some(why)),
        };
        let mut state = PlaceState { place, checkpoints: 0, through: None, unreadable: 0, error };
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            match serde_json::from_str::<SignedHead>(line) {
                Ok(head) if Statement::Checkpoint.is_signed(&head) => {
                    state.checkpoints += 1;
                    state.through = state.through.max(Some(head.seq));
                    if !self.heads.contains(&head) {
                        self.heads.push(head);
                    }
                }
                Ok(_) | Err(_) => state.unreadable += 1,
            }
        }
        self.places.push(state);
    }
}

/// One line more in the file, on the disk when this returns.
fn add_line(path: &Path, line: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = File::options().append(true).create(true).mode(0o600).open(path)?;
    // A line that a crash cut is ended first, so that it spoils nothing but itself.
    file.write_all(format!("\n{line}\n").as_bytes())?;
    file.sync_all()
}

fn name(branch: &AnchorBranch) -> String {
    format!("the branch {} of {}", branch.branch, branch.repo)
}

const fn at<'a>(branch: &'a AnchorBranch, path: &'a str) -> BranchPath<'a> {
    BranchPath { repo: &branch.repo, branch: branch.branch.as_str(), path }
}

/// A file for each day, in a folder for each year: neither grows without end.
async fn add_commit(
    github: &GitHub,
    branch: &AnchorBranch,
    head: &SignedHead,
    line: &str,
) -> Result<(), GitHubError> {
    let path = head.at.format("checkpoints/%Y/%m-%d.jsonl").to_string();
    let at = at(branch, &path);
    let message = format!("checkpoint: event {}", head.seq);
    let mut tries = 1;
    loop {
        let known = github.branch_file(at).await?;
        let (text, sha) = match known {
            // Sent before, its answer lost.
            Some(file) if file.text.lines().any(|there| there == line) => return Ok(()),
            Some(file) => (format!("{}{line}\n", file.text), Some(file.sha)),
            None => (format!("{line}\n"), None),
        };
        match github.write_branch_file(at, &text, sha.as_deref(), &message).await {
            Err(GitHubError::Invalid { status: 409 | 422, .. }) if tries < TRIES => tries += 1,
            Err(error) if error.may_have_happened() && tries < TRIES => tries += 1,
            done => return done,
        }
    }
}

async fn read_commits(github: &GitHub, branch: &AnchorBranch) -> Result<String, GitHubError> {
    let mut years = github.branch_folder(at(branch, "checkpoints")).await?;
    years.sort();
    let Some(year) = years.pop() else { return Ok(String::new()) };
    let folder = format!("checkpoints/{year}");
    let mut days = github.branch_folder(at(branch, &folder)).await?;
    days.sort();
    let mut text = String::new();
    for day in days.iter().rev().take(FILES_READ) {
        let path = format!("{folder}/{day}");
        if let Some(file) = github.branch_file(at(branch, &path)).await? {
            text.push_str(&file.text);
            text.push('\n');
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::super::checkpoints::Signer;
    use super::*;

    #[tokio::test]
    async fn a_cut_line_spoils_nothing_but_itself() {
        let folder = tempfile::tempdir().expect("a folder");
        let signer = Signer::open(&folder.path().join("key")).expect("made");
        let anchor = Anchor::new(folder.path().join("far/anchors.jsonl"), None, None);
        assert_eq!(anchor.read(None).await.expect("empty").heads, []);
        let head = |seq| signer.sign(Statement::Checkpoint, seq, "ab", Utc::now());
        anchor.add(&head(1)).await.expect("added");
        let mut file = File::options().append(true).open(anchor.path()).expect("opened");
        file.write_all(b"{\"seq\":2,\"ha").expect("cut");
        anchor.add(&head(3)).await.expect("added");
        let anchored = anchor.read(None).await.expect("read");
        assert_eq!(anchored.heads.iter().map(|head| head.seq).collect::<Vec<_>>(), [1, 3]);
        let place = &anchored.places[0];
        assert_eq!((place.checkpoints, place.through, place.unreadable), (2, Some(3), 1));
    }
}
