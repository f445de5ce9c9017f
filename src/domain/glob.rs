//! Path patterns of the policy: `*` within a folder, `**` across folders, `?` one character.
//!
//! Pure. A pattern without a slash matches the name in any folder, as in `.gitignore`.

use regex::Regex;

/// A parsed pattern.
#[derive(Debug, Clone)]
pub struct Glob {
    pattern: String,
    regex: Regex,
}

impl Glob {
    /// Parses a pattern; an odd character is taken literally, so only an over-long one fails.
    pub fn new(pattern: &str) -> Result<Self, regex::Error> {
        let anchored = pattern.trim_start_matches('/');
        let mut text = String::from(if anchored.contains('/') || pattern.starts_with('/') {
            "(?i)^"
        } else {
            "(?i)^(?:.*/)?"
        });
        let mut rest = anchored;
        while let Some(c) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix("**/") {
                text.push_str("(?:.*/)?");
                rest = after;
            } else if let Some(after) = rest.strip_prefix("**") {
                text.push_str(".*");
                rest = after;
            } else {
                match c {
                    '*' => text.push_str("[^/]*"),
                    '?' => text.push_str("[^/]"),
                    other => text.push_str(&regex::escape(&other.to_string())),
                }
                rest = &rest[c.len_utf8()..];
            }
        }
        // A folder's name covers what is in it.
        text.push_str("(?:/.*)?$");
        Ok(Self { pattern: pattern.to_owned(), regex: Regex::new(&text)? })
    }

    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        self.regex.is_match(path)
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.pattern
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let hits = [
            (".github/**", ".github/workflows/ci.yml"),
            ("docs/architecture/**", "docs/architecture/a/b.md"),
            ("CODEOWNERS", "docs/CODEOWNERS"),
            ("*.lock", "a/Cargo.lock"),
            ("docs/*.md", "docs/a.md"),
            ("a/**/b", "a/b"),
            ("secrets", "x/secrets/key"),
            (".GITHUB/**", ".github/x"),
        ];
        for (pattern, path) in hits {
            assert!(Glob::new(pattern).expect("valid").matches(path), "{pattern} {path}");
        }
        let misses = [("docs/*.md", "docs/a/b.md"), (".github/**", "x/.github/a"), ("a", "ab")];
        for (pattern, path) in misses {
            assert!(!Glob::new(pattern).expect("valid").matches(path), "{pattern} {path}");
        }
    }
}
