//! What people do to the stand-in between or during nights: edit, label, close, merge, push.
//!
//! Nothing here is written to the effect log: that is for what came over the wire.

use std::io;

use super::FakeGitHub;
use super::origin::FileEdit;
use super::state::{Comment, Issue, Repo};
use crate::domain::ids::RepoName;

/// A pull request as a test looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullView {
    pub number: u64,
    pub title: String,
    pub body: String,
    pub head: String,
    pub base: String,
    pub head_sha: String,
    pub base_sha: String,
    pub open: bool,
    pub merged: bool,
    pub author: Option<String>,
}

/// A comment as a test looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommentView {
    pub id: u64,
    pub author: Option<String>,
    pub body: String,
}

impl FakeGitHub {
    /// Every pull request of a repository, by number.
    #[must_use]
    pub fn pulls(&self, repo: &RepoName) -> Vec<PullView> {
        self.with_repo(repo, |repo, now| {
            repo.follow_branches(now);
            repo.issues.values().filter_map(pull_view).collect()
        })
        .unwrap_or_default()
    }

    /// The comments of an issue or pull request, oldest first.
    #[must_use]
    pub fn comments(&self, repo: &RepoName, number: u64) -> Vec<CommentView> {
        let view = |comment: &Comment| CommentView {
            id: comment.id,
            author: comment.author.clone(),
            body: comment.body.clone(),
        };
        self.with_issue(repo, number, |issue| issue.comments.iter().map(view).collect())
            .unwrap_or_default()
    }

    /// The labels of an issue.
    #[must_use]
    pub fn labels(&self, repo: &RepoName, number: u64) -> Vec<String> {
        self.with_issue(repo, number, |issue| issue.labels.clone()).unwrap_or_default()
    }

    /// Whether an issue or pull request is open.
    #[must_use]
    pub fn is_open(&self, repo: &RepoName, number: u64) -> bool {
        self.with_issue(repo, number, |issue| issue.open).unwrap_or(false)
    }

    /// The branches of the real repository with their tips.
    #[must_use]
    pub fn branches(&self, repo: &RepoName) -> std::collections::BTreeMap<String, String> {
        self.with_repo(repo, |repo, _| repo.origin.branches()).unwrap_or_default()
    }

    pub fn edit_issue(&self, repo: &RepoName, number: u64, title: Option<&str>, body: &str) {
        self.touch_issue(repo, number, |issue| {
            let now = issue.updated_at;
            if let Some(title) = title {
                title.clone_into(&mut issue.title);
                issue.agent.renamed.push(now);
            }
            if issue.body.as_deref() != Some(body) {
                issue.agent.last_edited = Some(now);
            }
            issue.body = Some(body.to_owned());
        });
    }

    /// Closes an issue, or a pull request without merging it.
    pub fn close(&self, repo: &RepoName, number: u64) {
        self.touch_issue(repo, number, |issue| {
            issue.open = false;
            issue.closed_at = Some(issue.updated_at);
        });
    }

    pub fn reopen(&self, repo: &RepoName, number: u64) {
        self.touch_issue(repo, number, |issue| {
            issue.open = true;
            issue.closed_at = None;
        });
    }

    pub fn label(&self, repo: &RepoName, number: u64, label: &str, actor: &str) {
        self.state().set_label(&repo.key(), number, label, true, actor);
    }

    pub fn unlabel(&self, repo: &RepoName, number: u64, label: &str, actor: &str) {
        self.state().set_label(&repo.key(), number, label, false, actor);
    }

    pub fn comment(&self, repo: &RepoName, number: u64, author: &str, body: &str) {
        let id = self.state().next_id();
        self.touch_issue(repo, number, |issue| {
            let at = issue.updated_at;
            let (author, body) = (Some(author.to_owned()), body.to_owned());
            issue.comments.push(Comment { id, author, body, created_at: at, updated_at: at });
        });
    }

    /// Commits files to a branch (`None` deletes one); the branch is made where it is missing.
    /// Says the commit's id.
    pub fn commit(
        &self,
        repo: &RepoName,
        branch: &str,
        edits: &[FileEdit<'_>],
        message: &str,
    ) -> io::Result<String> {
        self.with_repo(repo, |repo, now| {
            let commit = repo.origin.commit(branch, edits, message);
            repo.follow_branches(now);
            commit
        })
        .unwrap_or_else(|| Err(io::Error::other(format!("there is no repository {repo}"))))
    }

    /// Makes or moves a branch.
    pub fn set_branch(&self, repo: &RepoName, branch: &str, commit: &str) -> io::Result<()> {
        self.with_repo(repo, |repo, now| {
            repo.origin.set_ref(&format!("refs/heads/{branch}"), commit)?;
            repo.follow_branches(now);
            Ok(())
        })
        .unwrap_or_else(|| Err(io::Error::other(format!("there is no repository {repo}"))))
    }

    pub fn delete_branch(&self, repo: &RepoName, branch: &str) -> io::Result<()> {
        self.with_repo(repo, |repo, now| {
            repo.origin.delete_ref(&format!("refs/heads/{branch}"))?;
            repo.follow_branches(now);
            Ok(())
        })
        .unwrap_or_else(|| Err(io::Error::other(format!("there is no repository {repo}"))))
    }

    /// Merges a pull request as the button does: a merge commit on its base, the issues it closes
    /// closed (into the default branch only), and with `delete_branch` its branch gone and the
    /// pull requests stacked on it moved to its base.
    pub fn merge(&self, repo: &RepoName, number: u64, delete_branch: bool) -> io::Result<String> {
        self.with_repo(repo, |repo, now| {
            repo.follow_branches(now);
            let missing = || io::Error::other(format!("there is no open pull request #{number}"));
            let issue = repo.issues.get_mut(&number).filter(|issue| issue.open);
            let issue = issue.ok_or_else(missing)?;
            let pull = issue.pull.as_mut().ok_or_else(missing)?;
            let message = format!("Merge pull request #{number} from {}", pull.head);
            let commit = repo.origin.merge(&pull.base, &pull.head_sha, &message)?;
            (pull.merged_at, pull.merge_commit) = (Some(now), Some(commit.clone()));
            (issue.open, issue.closed_at, issue.updated_at) = (false, Some(now), now);
            let (head, base) = (pull.head.clone(), pull.base.clone());
            let text = format!("{}\n{}", issue.title, issue.body.as_deref().unwrap_or_default());
            if base == repo.default_branch {
                for closed in closes(&text) {
                    if let Some(issue) = repo.issues.get_mut(&closed) {
                        (issue.open, issue.closed_at, issue.updated_at) = (false, Some(now), now);
                    }
                }
            }
            if delete_branch {
                for issue in repo.issues.values_mut().filter(|issue| issue.open) {
                    if let Some(pull) = issue.pull.as_mut().filter(|pull| pull.base == head) {
                        pull.base.clone_from(&base);
                    }
                }
                repo.origin.delete_ref(&format!("refs/heads/{head}"))?;
            }
            repo.follow_branches(now);
            Ok(commit)
        })
        .unwrap_or_else(|| Err(io::Error::other(format!("there is no repository {repo}"))))
    }

    fn with_repo<T>(
        &self,
        repo: &RepoName,
        act: impl FnOnce(&mut Repo, chrono::DateTime<chrono::Utc>) -> T,
    ) -> Option<T> {
        let mut state = self.state();
        let now = state.now();
        state.repos.get_mut(&repo.key()).map(|repo| act(repo, now))
    }

    fn with_issue<T>(
        &self,
        repo: &RepoName,
        number: u64,
        look: impl FnOnce(&Issue) -> T,
    ) -> Option<T> {
        self.state().repos.get(&repo.key())?.issues.get(&number).map(look)
    }

    fn touch_issue(&self, repo: &RepoName, number: u64, act: impl FnOnce(&mut Issue)) {
        let mut state = self.state();
        let now = state.moment();
        let found = state.repos.get_mut(&repo.key());
        if let Some(issue) = found.and_then(|repo| repo.issues.get_mut(&number)) {
            issue.updated_at = now;
            act(issue);
        }
    }
}

fn pull_view(issue: &Issue) -> Option<PullView> {
    let pull = issue.pull.as_ref()?;
    Some(PullView {
        number: issue.number,
        title: issue.title.clone(),
        body: issue.body.clone().unwrap_or_default(),
        head: pull.head.clone(),
        base: pull.base.clone(),
        head_sha: pull.head_sha.clone(),
        base_sha: pull.base_sha.clone(),
        open: issue.open,
        merged: pull.merged_at.is_some(),
        author: issue.author.clone(),
    })
}

/// The issues of this repository that a text closes, by GitHub's keywords.
fn closes(text: &str) -> Vec<u64> {
    let pattern = r"(?i)\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?):?\s+#(\d+)";
    let Ok(pattern) = regex::Regex::new(pattern) else { return Vec::new() };
    pattern.captures_iter(text).filter_map(|found| found[1].parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::closes;

    #[test]
    fn closing_keywords() {
        assert_eq!(closes("Closes #3, fixes: #4\nresolved #5; see #6, disclose #7"), [3, 4, 5]);
    }
}
