//! Pure rules about names: which are git's own on some file system, which links leave the tree,
//! which names git takes for refs.

use std::collections::BTreeMap;

use super::error::GitError;

/// Links followed before a chain counts as a loop; Linux gives up at 40 too.
const MOST_HOPS: usize = 40;

/// Whether some file system takes this name for `.git`: any case, Mac's ignored characters,
/// Windows' short name, trailing dots and spaces, streams, and backslashes as separators.
pub(super) fn is_dot_git(name: &[u8]) -> bool {
    let visible: String = String::from_utf8_lossy(name).chars().filter(|c| !ignored(*c)).collect();
    visible.split('\\').any(|part| {
        let plain = part.split(':').next().unwrap_or_default().trim_end_matches([' ', '.']);
        plain.eq_ignore_ascii_case(".git") || plain.eq_ignore_ascii_case("git~1")
    })
}

/// Characters that HFS+ leaves out when it compares names (git's `next_hfs_char`).
const fn ignored(c: char) -> bool {
    matches!(c,
        '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

/// Where a link leads, seen from the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkEnd {
    Inside,
    Absolute,
    Outside,
    IntoGit,
    Loop,
}

impl LinkEnd {
    pub(super) const fn complaint(self) -> Option<&'static str> {
        match self {
            Self::Inside => None,
            Self::Absolute => Some("is a link to an absolute path"),
            Self::Outside => Some("is a link that leaves the repository"),
            Self::IntoGit => Some("is a link into a `.git` directory"),
            Self::Loop => Some("is a link that leads back to itself"),
        }
    }
}

/// Follows the link at `path` through the other `links` of its tree (path to target).
///
/// Links on the way count: `a/up -> ..` is inside, and so is `a/x -> up` by its letters, yet
/// `a/y -> up/../z` leaves the tree.
pub(super) fn link_end(path: &str, links: &BTreeMap<String, String>) -> LinkEnd {
    let Some(target) = links.get(path) else { return LinkEnd::Inside };
    let mut at: Vec<&str> = path.split('/').collect();
    at.pop();
    let mut todo: Vec<&str> = target.split('/').rev().collect();
    if target.starts_with('/') {
        return LinkEnd::Absolute;
    }
    let mut hops = 0;
    while let Some(step) = todo.pop() {
        match step {
            "" | "." => {}
            ".." => {
                if at.pop().is_none() {
                    return LinkEnd::Outside;
                }
            }
            name if is_dot_git(name.as_bytes()) => return LinkEnd::IntoGit,
            name => {
                at.push(name);
                if let Some(next) = links.get(&at.join("/")) {
                    hops += 1;
                    if hops > MOST_HOPS {
                        return LinkEnd::Loop;
                    }
                    if next.starts_with('/') {
                        return LinkEnd::Absolute;
                    }
                    at.pop();
                    todo.extend(next.split('/').rev());
                }
            }
        }
    }
    LinkEnd::Inside
}

/// Whether git takes this for the name of a branch or the rest of a ref (`git check-ref-format`).
pub(super) fn check_ref(name: &str) -> Result<(), GitError> {
    let bad_char = |c: char| c.is_ascii_control() || " ~^:?*[\\".contains(c);
    let bad_part = |part: &str| {
        part.is_empty() || part.starts_with('.') || part.ends_with(".lock") || part.ends_with('.')
    };
    let bad = name.is_empty()
        || name.starts_with('-')
        || name == "@"
        || name.contains("..")
        || name.contains("@{")
        || name.contains(bad_char)
        || name.split('/').any(bad_part);
    if bad { Err(GitError::Name(name.to_owned())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_disguise_of_dot_git_is_seen() {
        for name in [
            ".git",
            ".GIT",
            ".Git",
            "git~1",
            "GIT~1",
            ".git ",
            ".git.",
            ".git . .",
            ".git::$INDEX_ALLOCATION",
            ".g\u{200c}it",
            "\u{feff}.git",
            "a\\.git\\config",
        ] {
            assert!(is_dot_git(name.as_bytes()), "{name:?}");
        }
        for name in
            [".gitignore", "git", ".github", "x.git", "git~2", "digit", ".git-blame-ignore-revs"]
        {
            assert!(!is_dot_git(name.as_bytes()), "{name:?}");
        }
    }

    #[test]
    fn links_are_followed_through_links() {
        let links: BTreeMap<String, String> = [
            ("inside", "src/lib.rs"),
            ("src/up", ".."),
            ("src/to-root", "up/README.md"),
            ("src/out", "../../etc/passwd"),
            ("src/sly", "up/../etc/passwd"),
            ("abs", "/etc/passwd"),
            ("far", "abs"),
            ("hooks", ".GIT/hooks"),
            ("a", "b"),
            ("b", "a"),
            ("dangling", "nowhere/at/all"),
        ]
        .into_iter()
        .map(|(path, target)| (path.to_owned(), target.to_owned()))
        .collect();
        let end = |path| link_end(path, &links);
        for path in ["inside", "src/up", "src/to-root", "dangling", "no-link"] {
            assert_eq!(end(path), LinkEnd::Inside, "{path}");
        }
        for path in ["src/out", "src/sly"] {
            assert_eq!(end(path), LinkEnd::Outside, "{path}");
        }
        assert_eq!(end("abs"), LinkEnd::Absolute);
        assert_eq!(end("far"), LinkEnd::Absolute);
        assert_eq!(end("hooks"), LinkEnd::IntoGit);
        assert_eq!(end("a"), LinkEnd::Loop);
    }

    #[test]
    fn names_of_refs() {
        for good in ["main", "foreman/issue-7", "a.b/c_d", "übung"] {
            assert!(check_ref(good).is_ok(), "{good}");
        }
        for bad in [
            "", "-x", "a..b", "a b", "a//b", "/a", "a/", "a.lock", ".a", "a^", "a:b", "@{u}", "@",
            "a\n",
        ] {
            assert!(check_ref(bad).is_err(), "{bad:?}");
        }
    }
}
