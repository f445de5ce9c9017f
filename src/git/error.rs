//! What can go wrong with git, told apart by what a person would do about it.
//!
//! Reads git's messages (the locale is fixed, see `command`) and never decides what to do next.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::process::ProcessError;

/// Why a path of a workspace may not become part of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub path: String,
    /// Completes the sentence "`path` ...".
    pub why: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` {}", self.path.escape_debug(), self.why)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum GitError {
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error("could not {what} {}: {source}", path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("`git {verb}` was cancelled")]
    Cancelled { verb: &'static str },
    #[error("`git {verb}` did not end within {} s", after.as_secs())]
    TimedOut { verb: &'static str, after: Duration },
    #[error("git was not found; install git {needed} or newer")]
    Absent { needed: &'static str },
    #[error("this git is {found}; Foreman needs {needed} or newer")]
    TooOld { found: String, needed: &'static str },
    #[error("the clone URL cannot be used: {why}")]
    Url { why: String },
    #[error("`{0}` is not a name that git takes for a branch or ref")]
    Name(String),
    #[error(
        "{url} refused the credential (a token that may read and write contents is needed): {detail}"
    )]
    AuthRefused { url: String, detail: String },
    #[error("there is no repository at {url}, or the credential may not see it: {detail}")]
    RepositoryMissing { url: String, detail: String },
    #[error("could not reach {url}: {detail}")]
    Network { url: String, detail: String },
    #[error("{url} did not take the push: {detail}")]
    Rejected { url: String, detail: String },
    #[error("the disk is full: {detail}")]
    Disk { detail: String },
    #[error("the mirror {} is damaged: {detail}", path.display())]
    Corrupt { path: PathBuf, detail: String },
    #[error("the mirror does not know `{object}`")]
    Unknown { object: String },
    #[error("{} is not empty, so nothing is checked out there", dir.display())]
    Occupied { dir: PathBuf },
    #[error("the change holds what may not be committed: {}", listed(.0))]
    Refused(Vec<Refusal>),
    #[error("{what} is larger than the {limit} bytes that are read")]
    TooLarge { what: String, limit: usize },
    #[error("`git {verb}` failed{}: {detail}", code.map_or_else(String::new, |c| format!(" with {c}")))]
    Failed { verb: &'static str, code: Option<i32>, detail: String },
    #[error("`git {verb}` said what cannot be read: {output}")]
    Unreadable { verb: &'static str, output: String },
}

impl GitError {
    /// Whether the same command may well succeed later, with nobody changing anything.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Network { .. } | Self::TimedOut { .. } => true,
            Self::Process(_)
            | Self::Io { .. }
            | Self::Cancelled { .. }
            | Self::Absent { .. }
            | Self::TooOld { .. }
            | Self::Url { .. }
            | Self::Name(_)
            | Self::AuthRefused { .. }
            | Self::RepositoryMissing { .. }
            | Self::Rejected { .. }
            | Self::Disk { .. }
            | Self::Corrupt { .. }
            | Self::Unknown { .. }
            | Self::Occupied { .. }
            | Self::Refused(_)
            | Self::TooLarge { .. }
            | Self::Failed { .. }
            | Self::Unreadable { .. } => false,
        }
    }

    pub(super) fn io(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }
}

/// How many refusals a sentence names before it only counts.
const NAMED_REFUSALS: usize = 5;

fn listed(refusals: &[Refusal]) -> String {
    let mut text =
        refusals.iter().take(NAMED_REFUSALS).map(Refusal::to_string).collect::<Vec<_>>().join("; ");
    if let Some(more) = refusals.len().checked_sub(NAMED_REFUSALS).filter(|more| *more > 0) {
        text.push_str(&format!("; and {more} more"));
    }
    text
}

/// What kind of trouble git's standard error speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    Auth,
    Missing,
    Network,
    Rejected,
    Disk,
    Corrupt,
    Other,
}

/// Tells failures apart. The order matters: a full disk or a refused push also ends in "the remote
/// end hung up", and `unable to access` stands before every HTTP failure.
pub(super) fn trouble(stderr: &str) -> Trouble {
    const SIGNS: [(Trouble, &[&str]); 6] = [
        (Trouble::Disk, &["No space left on device", "Disk quota exceeded"]),
        (
            Trouble::Rejected,
            &["[rejected]", "[remote rejected]", "stale info", "protected branch", "hook declined"],
        ),
        (
            Trouble::Auth,
            &[
                "Authentication failed",
                "could not read Username",
                "could not read Password",
                "terminal prompts disabled",
                "returned error: 401",
                "returned error: 403",
                "Write access to repository not granted",
                "Invalid username or",
                "Permission denied to",
            ],
        ),
        (
            Trouble::Missing,
            &[
                "Repository not found",
                "' not found",
                "does not appear to be a git repository",
                "returned error: 404",
            ],
        ),
        (
            Trouble::Network,
            &[
                "unable to access",
                "Could not resolve host",
                "Failed to connect",
                "Connection",
                "timed out",
                "RPC failed",
                "early EOF",
                "hung up",
                "unexpected disconnect",
                "expected flush",
                "returned error: 5",
            ],
        ),
        (
            Trouble::Corrupt,
            &[
                "not a git repository",
                "bad object refs/",
                "is corrupt",
                "corrupt loose",
                "unable to read sha1",
                "is empty",
                "bad config",
            ],
        ),
    ];
    SIGNS
        .into_iter()
        .find(|(_, signs)| signs.iter().any(|sign| stderr.contains(sign)))
        .map_or(Trouble::Other, |(trouble, _)| trouble)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_git_are_told_apart() {
        for (text, expected) in [
            (
                "fatal: could not read Username for 'https://github.com': terminal prompts disabled",
                Trouble::Auth,
            ),
            (
                "fatal: unable to access 'https://h/': The requested URL returned error: 403",
                Trouble::Auth,
            ),
            (
                "remote: Repository not found.\nfatal: repository 'https://h/o/r.git/' not found",
                Trouble::Missing,
            ),
            (
                "fatal: '/nowhere' does not appear to be a git repository\nfatal: Could not read from remote repository.",
                Trouble::Missing,
            ),
            ("fatal: unable to access 'https://h/': Could not resolve host: h", Trouble::Network),
            (
                "fatal: unable to access 'https://h/': The requested URL returned error: 502",
                Trouble::Network,
            ),
            ("error: RPC failed; curl 56\nfatal: early EOF", Trouble::Network),
            (
                "fatal: write error: No space left on device\nfatal: the remote end hung up",
                Trouble::Disk,
            ),
            (" ! [rejected] a -> b (stale info)", Trouble::Rejected),
            ("fatal: bad object refs/remotes/origin/x", Trouble::Corrupt),
            ("fatal: something new", Trouble::Other),
        ] {
            assert_eq!(trouble(text), expected, "{text}");
        }
    }

    #[test]
    fn many_refusals_are_counted_and_names_are_escaped() {
        let refusals: Vec<_> = (0..7)
            .map(|n| Refusal { path: format!("a\n{n}"), why: "is a gitlink".into() })
            .collect();
        let text = GitError::Refused(refusals).to_string();
        assert!(text.contains("`a\\n0` is a gitlink") && text.ends_with("and 2 more"), "{text}");
    }
}
