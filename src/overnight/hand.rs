//! Whose a pull request, a comment or an issue is. Foreman's own is what carries our marker **and**
//! was written by our credential's login.
//!
//! Where GitHub does not say who that is (an Actions token may not ask), it is whoever GitHub named
//! as the author of what we made before; before anything was made, nothing there is ours.

use super::texts;
use crate::domain::ids::{IssueNumber, RepoName, is_branch_for};
use crate::github::{GitHub, GitHubError, Pull};
use crate::store::{Store, StoreError};

/// Our name, as far as it is known.
#[derive(Debug, Clone)]
pub(super) struct Hand {
    /// Of our credential, else of what we made.
    logins: Vec<String>,
}

impl Hand {
    pub async fn of<E>(github: &GitHub, store: &Store, repo: &RepoName) -> Result<Self, E>
    where
        E: From<GitHubError> + From<StoreError>,
    {
        let logins = match github.login().await? {
            Some(login) => vec![login],
            None => store.authors_of_ours(repo).await?,
        };
        Ok(Self { logins })
    }

    pub fn wrote(&self, author: Option<&str>) -> bool {
        author.is_some_and(|author| self.logins.iter().any(|own| own.eq_ignore_ascii_case(author)))
    }

    /// Whether a pull request is ours, for this issue, wherever its branch is.
    pub fn made(&self, pull: &Pull, issue: IssueNumber) -> bool {
        self.wrote(pull.author.as_deref()) && texts::has_marker(&pull.body, issue)
    }

    /// The issue that an open pull request of ours is for.
    pub fn issue_of(&self, pull: &Pull, repo: &RepoName) -> Option<IssueNumber> {
        let issue = texts::marked_issue(&pull.body)?;
        let at_home = pull
            .head_repo
            .as_ref()
            .is_none_or(|name| name.parse().is_ok_and(|name: RepoName| name == *repo));
        let ours = at_home && is_branch_for(&pull.head_branch, issue) && self.made(pull, issue);
        ours.then_some(issue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pull(author: &str, branch: &str, body: &str) -> Pull {
        Pull {
            number: IssueNumber(9),
            html_url: String::new(),
            title: String::new(),
            body: body.to_owned(),
            open: true,
            merged: false,
            base_branch: "main".to_owned(),
            head_branch: branch.to_owned(),
            head_sha: String::new(),
            head_repo: Some("Octo/App".to_owned()),
            author: Some(author.to_owned()),
            created_at: chrono::DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn it_takes_the_marker_and_the_name() {
        let hand = Hand { logins: vec!["foreman-bot".to_owned()] };
        let repo: RepoName = "octo/app".parse().expect("a name");
        let of = |author, branch, body| hand.issue_of(&pull(author, branch, body), &repo);
        let marked = "<!-- foreman:issue=7 -->\nCloses #7";
        assert_eq!(of("Foreman-Bot", "foreman/issue-7", marked), Some(IssueNumber(7)));
        assert_eq!(of("foreman-bot", "foreman/issue-7-2", marked), Some(IssueNumber(7)));
        assert_eq!(of("foreman-bot", "foreman/issue-71", marked), None);
        assert_eq!(of("foreman-bot", "topic", marked), None);
        assert_eq!(of("stranger", "foreman/issue-7", marked), None);
        assert_eq!(of("foreman-bot", "foreman/issue-7", "Closes #7"), None);
        let nobody = Hand { logins: Vec::new() };
        assert_eq!(nobody.issue_of(&pull("x", "foreman/issue-7", marked), &repo), None);
        let elsewhere = Pull {
            head_repo: Some("fork/app".to_owned()),
            ..pull("foreman-bot", "foreman/issue-7", marked)
        };
        assert_eq!(hand.issue_of(&elsewhere, &repo), None);
    }
}
