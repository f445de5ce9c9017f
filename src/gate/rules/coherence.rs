//! Manifests and lock files that must change together.
//!
//! Pure, over the diff and the new tree's list of paths; what a tool itself says (`--locked`) is
//! the build command's business.

use std::collections::BTreeSet;

use crate::domain::event::Severity;
use crate::domain::evidence::Violation;
use crate::gate::change::Changed;
use crate::gate::finding::{Where, violation};

/// Dependency changes in a manifest without its lock file, where there is one.
#[must_use]
pub fn coherence(changes: &[Changed], paths: &[String]) -> Vec<Violation> {
    let has =
        |name: &str| paths.iter().any(|path| path == name || path.ends_with(&format!("/{name}")));
    let touched = |name: &str| changes.iter().any(|change| change.name() == name);
    let pairs: [(&str, &[&str], Reader); 3] = [
        ("Cargo.toml", &["Cargo.lock"], cargo_dependencies),
        ("package.json", &["package-lock.json", "pnpm-lock.yaml", "yarn.lock"], npm_dependencies),
        ("go.mod", &["go.sum"], go_dependencies),
    ];
    let mut found = Vec::new();
    for change in changes {
        let Some((_, locks, read)) = pairs.iter().find(|(name, ..)| *name == change.name()) else {
            continue;
        };
        let Some(lock) = locks.iter().find(|lock| has(lock)) else { continue };
        if !touched(lock) && read(&change.old) != read(&change.new) {
            found.push(violation(
                "lock_file_stale",
                Severity::Medium,
                format!("the dependencies in {} changed, but {lock} did not", change.path),
                Where::file(&change.path),
            ));
        }
    }
    found
}

/// Dependencies that the change brings, `name (manifest)`, for people to see.
#[must_use]
pub fn new_dependencies(changes: &[Changed]) -> Vec<String> {
    let mut found = Vec::new();
    for change in changes {
        let read: Reader = match change.name() {
            "Cargo.toml" => cargo_dependencies,
            "package.json" => npm_dependencies,
            "go.mod" => go_dependencies,
            _ => continue,
        };
        let (before, after) = (read(&change.old), read(&change.new));
        let names = |of: &BTreeSet<(String, String)>| -> BTreeSet<String> {
            of.iter().map(|(name, _)| name.clone()).collect()
        };
        for name in names(&after).difference(&names(&before)) {
            found.push(format!("new dependency {name} ({})", change.path));
        }
    }
    found
}

type Reader = fn(&str) -> BTreeSet<(String, String)>;

/// Every dependency of a Cargo manifest with its requirement. A path within the tree is in the
/// lock file too.
fn cargo_dependencies(text: &str) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    if let Ok(table) = text.parse::<toml::Table>() {
        collect(&table, &mut found);
    }
    found
}

fn collect(table: &toml::Table, found: &mut BTreeSet<(String, String)>) {
    for (key, value) in table {
        let Some(inner) = value.as_table() else { continue };
        if matches!(key.as_str(), "dependencies" | "dev-dependencies" | "build-dependencies") {
            // Features and `optional` can change the lock file, but need not: versions do.
            found.extend(inner.iter().map(|(name, wanted)| {
                let version = match wanted {
                    toml::Value::Table(details) => {
                        details.get("version").map(ToString::to_string).unwrap_or_default()
                    }
                    other => other.to_string(),
                };
                (name.clone(), version)
            }));
        } else {
            collect(inner, found);
        }
    }
}

fn npm_dependencies(text: &str) -> BTreeSet<(String, String)> {
    let manifest: serde_json::Value = serde_json::from_str(text).unwrap_or(serde_json::Value::Null);
    ["dependencies", "devDependencies", "optionalDependencies"]
        .iter()
        .filter_map(|key| manifest.get(key)?.as_object())
        .flat_map(|map| map.iter().map(|(name, version)| (name.clone(), version.to_string())))
        .collect()
}

fn go_dependencies(text: &str) -> BTreeSet<(String, String)> {
    text.lines()
        .map(|line| line.trim().trim_start_matches("require ").trim())
        .filter_map(|line| line.split_once(' '))
        .filter(|(name, version)| name.contains('.') && version.starts_with('v'))
        .map(|(name, version)| (name.to_owned(), version.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "[package]\nname = \"a\"\n[dependencies]\nserde = \"1\"\n";
    const NEW: &str = "[package]\nname = \"a\"\n[dependencies]\nserde = \"1\"\nrand = \"0.9\"\n";

    fn stale(changes: &[Changed]) -> usize {
        coherence(changes, &["Cargo.toml".to_owned(), "Cargo.lock".to_owned()]).len()
    }

    #[test]
    fn a_dependency_needs_its_lock() {
        let manifest = Changed::text("Cargo.toml", None, Some(OLD), Some(NEW));
        let lock = Changed::text("Cargo.lock", None, Some("a"), Some("b"));
        assert_eq!(stale(std::slice::from_ref(&manifest)), 1);
        assert_eq!(
            new_dependencies(std::slice::from_ref(&manifest)),
            ["new dependency rand (Cargo.toml)"]
        );
        assert_eq!(stale(&[manifest.clone(), lock]), 0);
        assert!(coherence(&[manifest], &["Cargo.toml".to_owned()]).is_empty());
        let renamed = OLD.replace("name = \"a\"", "name = \"a\"\ndescription = \"b\"");
        assert_eq!(stale(&[Changed::text("Cargo.toml", None, Some(OLD), Some(&renamed))]), 0);
    }
}
