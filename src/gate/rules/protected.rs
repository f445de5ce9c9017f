//! Paths that nobody changes without a person: CI, policy, ownership, what git itself obeys.
//!
//! Pure. Lock files may change with their manifest.

use std::sync::LazyLock;

use crate::domain::evidence::Violation;
use crate::gate::change::{ChangeKind, Changed};
use crate::gate::finding::{Where, high};
use crate::gate::glob::Glob;

/// Protected everywhere.
const BUILT_IN: &[&str] = &[
    "/.github/**",
    "/.gitlab-ci.yml",
    "/.gitlab/**",
    "/.circleci/**",
    "/.ci/**",
    "/.buildkite/**",
    "/.travis.yml",
    "/azure-pipelines.yml",
    "/Jenkinsfile",
    "/.drone.yml",
    "/.woodpecker.yml",
    "/.woodpecker/**",
    "/.gitea/**",
    "/.forgejo/**",
    "/.semaphore/**",
    "/.cirrus.yml",
    "/.appveyor.yml",
    "/appveyor.yml",
    "/bitbucket-pipelines.yml",
    "/cloudbuild.yaml",
    "/buildspec.yml",
    "/lefthook.yml",
    "/.lefthook.yml",
    "/.pre-commit-config.yaml",
    "/.husky/**",
    "/.foreman.toml",
    "/foreman.toml",
    ".gitattributes",
    ".gitmodules",
    ".gitconfig",
    "CODEOWNERS",
    "GOVERNANCE.md",
    "/docs/governance/**",
    "/governance/**/*.md",
    "/.cargo/**",
];

/// A lock file and the manifests that explain its change.
const LOCKS: &[(&str, &[&str])] = &[
    ("Cargo.lock", &["Cargo.toml"]),
    ("package-lock.json", &["package.json"]),
    ("npm-shrinkwrap.json", &["package.json"]),
    ("pnpm-lock.yaml", &["package.json", "pnpm-workspace.yaml"]),
    ("yarn.lock", &["package.json"]),
    ("poetry.lock", &["pyproject.toml"]),
    ("uv.lock", &["pyproject.toml"]),
    ("Pipfile.lock", &["Pipfile"]),
    ("go.sum", &["go.mod"]),
    ("Gemfile.lock", &["Gemfile"]),
    ("composer.lock", &["composer.json"]),
];

/// Changed files that are protected, by the built-in list, the policy's, or as a lone lock file.
#[must_use]
pub fn protected(changes: &[Changed], by_policy: &[Glob]) -> Vec<Violation> {
    static EVERYWHERE: LazyLock<Vec<Glob>> =
        LazyLock::new(|| BUILT_IN.iter().filter_map(|text| Glob::new(text).ok()).collect());
    let mut found = Vec::new();
    for change in changes {
        let paths = || std::iter::once(change.path.as_str()).chain(change.old_path.as_deref());
        let hit = |globs: &[Glob]| {
            globs.iter().find(|glob| paths().any(|path| glob.matches(path))).map(|glob| {
                paths().find(|path| glob.matches(path)).unwrap_or(&change.path).to_owned()
            })
        };
        if let Some(path) = hit(&EVERYWHERE) {
            found.push(high(
                "protected_path",
                format!("{path} is protected: it needs a person"),
                Where::file(&path),
            ));
        } else if let Some(path) = hit(by_policy) {
            found.push(high(
                "protected_path",
                format!("{path} is protected by the repository's policy"),
                Where::file(&path),
            ));
        } else if let Some(manifests) = lone_lock(change, changes) {
            found.push(high(
                "lone_lock_file",
                format!("{} changed, but its manifest ({manifests}) did not", change.path),
                Where::file(&change.path),
            ));
        }
    }
    found
}

/// The manifests that would explain a lock file's change, where none of them changed.
fn lone_lock(change: &Changed, changes: &[Changed]) -> Option<String> {
    let (_, manifests) = LOCKS.iter().find(|(lock, _)| *lock == change.name())?;
    // A lock file that is new to the repository, for a manifest that was there, explains itself.
    let explained = change.kind == ChangeKind::Added
        || changes.iter().any(|other| manifests.contains(&other.name()));
    (!explained).then(|| manifests.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(paths: &[&str], policy: &[&str]) -> Vec<String> {
        let changes: Vec<Changed> =
            paths.iter().map(|path| Changed::text(path, None, Some("a"), Some("b"))).collect();
        let globs: Vec<Glob> = policy.iter().map(|p| Glob::new(p).expect("valid")).collect();
        protected(&changes, &globs).into_iter().filter_map(|violation| violation.file).collect()
    }

    #[test]
    fn built_in_and_policy() {
        for path in [
            ".github/workflows/ci.yml",
            ".foreman.toml",
            "sub/.gitattributes",
            ".gitmodules",
            "docs/CODEOWNERS",
            ".cargo/config.toml",
        ] {
            assert_eq!(hit(&[path], &[]), [path]);
        }
        assert_eq!(hit(&["docs/architecture/a.md"], &["docs/architecture/**"]).len(), 1);
        assert!(hit(&["src/lib.rs", "docs/a.md", "tests/ci.rs"], &[]).is_empty());
    }

    #[test]
    fn a_rename_away_is_a_change() {
        let moved = Changed::text("old/ci.yml", Some(".github/ci.yml"), Some("a"), Some("a"));
        assert_eq!(protected(&[moved], &[]).len(), 1);
    }

    #[test]
    fn a_lock_file_goes_with_its_manifest() {
        assert_eq!(hit(&["Cargo.lock"], &[]), ["Cargo.lock"]);
        assert!(hit(&["Cargo.lock", "Cargo.toml"], &[]).is_empty());
        assert!(hit(&["Cargo.lock", "crates/a/Cargo.toml"], &[]).is_empty());
    }
}
