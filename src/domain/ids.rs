//! Names of things: repositories, issues, commits and the records we keep.
//!
//! Each is parsed once at the edge; inside, a value cannot be malformed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a text lacked to be the name it was meant to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("`{0}` is not a GitHub owner: 1 to 39 letters, digits or single hyphens")]
    Owner(String),
    #[error(
        "`{0}` is not a GitHub repository name: 1 to 100 letters, digits, `.`, `-` or `_`, not ending in .git"
    )]
    Repository(String),
    #[error("`{0}` is not of the form OWNER/REPO")]
    Slug(String),
    #[error("`{0}` is not a git object id: 40 or 64 lower-case hexadecimal digits")]
    ObjectId(String),
}

/// A GitHub repository, `owner/name`. Compared without regard to case, as GitHub does.
#[derive(Debug, Clone, Serialize)]
pub struct RepoName {
    owner: String,
    name: String,
}

impl RepoName {
    pub fn new(owner: &str, name: &str) -> Result<Self, NameError> {
        let owner_ok = (1..=39).contains(&owner.len())
            && owner.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            && !owner.starts_with('-')
            && !owner.ends_with('-');
        if !owner_ok {
            return Err(NameError::Owner(owner.to_owned()));
        }
        let lower = name.to_ascii_lowercase();
        let name_ok = (1..=100).contains(&name.len())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
            && name != "."
            && name != ".."
            && !lower.ends_with(".git")
            && !lower.ends_with(".wiki");
        if !name_ok {
            return Err(NameError::Repository(name.to_owned()));
        }
        Ok(Self { owner: owner.to_owned(), name: name.to_owned() })
    }

    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The form used as a key: lower case, `owner/name`.
    #[must_use]
    pub fn key(&self) -> String {
        self.to_string().to_ascii_lowercase()
    }
}

impl PartialEq for RepoName {
    fn eq(&self, other: &Self) -> bool {
        self.owner.eq_ignore_ascii_case(&other.owner) && self.name.eq_ignore_ascii_case(&other.name)
    }
}

impl Eq for RepoName {}

impl fmt::Display for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

impl FromStr for RepoName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (owner, name) = text.split_once('/').ok_or_else(|| NameError::Slug(text.to_owned()))?;
        Self::new(owner, name)
    }
}

/// An issue's (or pull request's) number within its repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IssueNumber(pub u64);

impl fmt::Display for IssueNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// The branch that carries Foreman's work on an issue. Deterministic, so that after a crash we
/// look for it instead of making another.
#[must_use]
pub fn branch_for(issue: IssueNumber) -> String {
    format!("foreman/issue-{}", issue.0)
}

/// The `nth` branch for an issue, from 1. A published branch is never moved, so that work on an issue
/// whose branch was published before goes to the next one.
#[must_use]
pub fn nth_branch_for(issue: IssueNumber, nth: u32) -> String {
    match nth {
        0 | 1 => branch_for(issue),
        nth => format!("{}-{nth}", branch_for(issue)),
    }
}

/// Whether a branch carries Foreman's name for work on an issue.
#[must_use]
pub fn is_branch_for(branch: &str, issue: IssueNumber) -> bool {
    let Some(rest) = branch.strip_prefix(&branch_for(issue)) else { return false };
    rest.is_empty()
        || rest
            .strip_prefix('-')
            .is_some_and(|nth| !nth.is_empty() && nth.bytes().all(|byte| byte.is_ascii_digit()))
}

macro_rules! object_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The first ten digits, for people.
            #[must_use]
            pub fn short(&self) -> &str {
                &self.0[..10]
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
                if hex && (text.len() == 40 || text.len() == 64) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(NameError::ObjectId(text.to_owned()))
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

object_id! {
    /// A git commit.
    CommitId
}
object_id! {
    /// A git tree: what the gate judges and what the pull request holds.
    TreeId
}

macro_rules! record_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes an id as it was stored or made; the caller decides where ids come from.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// A fresh id, ordered by time (UUID version 7).
            #[must_use]
            pub fn fresh() -> Self {
                Self(uuid::Uuid::now_v7().to_string())
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

record_id! {
    /// One night.
    RunId
}
record_id! {
    /// One builder's work on one issue.
    AttemptId
}
record_id! {
    /// One counted admission to a dearer tier.
    EscalationId
}
record_id! {
    /// One upstream request to a model.
    CallId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_github_would_refuse_are_refused() {
        for bad in ["", "a", "a/", "/b", "a/b/c", "-a/b", "a/..", "a/b.git", "a b/c", "a/b c"] {
            assert!(bad.parse::<RepoName>().is_err(), "{bad}");
        }
        let long = "x".repeat(101);
        assert!(RepoName::new("o", &long).is_err());
    }

    #[test]
    fn repositories_compare_without_case() {
        let a: RepoName = "MaturionISMS/App".parse().expect("valid");
        let b: RepoName = "maturionisms/app".parse().expect("valid");
        assert_eq!(a, b);
        assert_eq!(a.key(), "maturionisms/app");
    }

    #[test]
    fn object_ids_are_full_and_lower_case() {
        assert!("a".repeat(40).parse::<CommitId>().is_ok());
        assert!("A".repeat(40).parse::<CommitId>().is_err());
        assert!("a".repeat(39).parse::<TreeId>().is_err());
    }
}
