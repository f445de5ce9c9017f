//! Manifests and lock files that must change together.
//!
//! Pure, over the diff and the new tree's list of paths; what a tool itself says (`--locked`) is
//! the build command's business.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use crate::domain::event::Severity;
use crate::domain::evidence::{Check, CheckOutcome, Dimension, Violation};
use crate::gate::change::Changed;
use crate::gate::finding::{Where, check, quote, violation};
use crate::gate::logs::pattern;

/// Dependency changes in a manifest without its lock file, where there is one.
#[must_use]
pub fn coherence(changes: &[Changed], paths: &[String]) -> Vec<Violation> {
    let has =
        |name: &str| paths.iter().any(|path| path == name || path.ends_with(&format!("/{name}")));
    let touched = |name: &str| changes.iter().any(|change| change.name() == name);
    let pairs: [(&str, &[&str], Reader); 4] = [
        ("Cargo.toml", &["Cargo.lock"], cargo_dependencies),
        ("package.json", &["package-lock.json", "pnpm-lock.yaml", "yarn.lock"], npm_dependencies),
        ("go.mod", &["go.sum"], go_dependencies),
        ("pyproject.toml", &["poetry.lock", "uv.lock"], python_dependencies),
    ];
    let mut found = Vec::new();
    sources(changes, &mut found);
    elsewhere(changes, &mut found);
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

/// Whether each dependency that the change brings can be named, and comes from a registry or the
/// tree itself.
#[must_use]
pub fn dependencies_named(changes: &[Changed]) -> Check {
    const NAME: &str = "dependencies_named";
    let row = |outcome, findings| check(Dimension::Governance, NAME, outcome, findings);
    let manifests: Vec<(&Changed, Reader)> = changes
        .iter()
        .filter(|change| change.mode.is_some())
        .filter_map(|change| Some((change, reader_of(change.name())?)))
        .collect();
    if manifests.is_empty() {
        return row(CheckOutcome::NotApplicable, vec!["no manifest changed".to_owned()]);
    }
    let (mut bad, mut named) = (Vec::new(), Vec::new());
    for (change, read) in manifests {
        if unreadable(change) {
            bad.push(format!("{} can't be read, so its dependencies can't be named", change.path));
            continue;
        }
        let (before, after) = (read(&change.old), read(&change.new));
        for (name, version) in after.difference(&before) {
            if before.iter().any(|(known, _)| known == name) {
                continue;
            }
            if foreign(version) {
                bad.push(format!(
                    "new dependency {name} ({}) comes from outside any registry: {version}",
                    change.path
                ));
            } else {
                named.push(format!("new dependency {name} ({})", change.path));
            }
        }
    }
    if !bad.is_empty() {
        return row(CheckOutcome::Failed, bad);
    }
    row(
        CheckOutcome::Passed,
        if named.is_empty() { vec!["no new dependency".to_owned()] } else { named },
    )
}

fn reader_of(name: &str) -> Option<Reader> {
    Some(match name {
        "Cargo.toml" => cargo_dependencies,
        "package.json" => npm_dependencies,
        "go.mod" => go_dependencies,
        "pyproject.toml" => python_dependencies,
        _ => return None,
    })
}

fn unreadable(change: &Changed) -> bool {
    match change.name() {
        "Cargo.toml" | "pyproject.toml" => change.new.parse::<toml::Table>().is_err(),
        "package.json" => serde_json::from_str::<serde_json::Value>(&change.new).is_err(),
        _ => false,
    }
}

/// A requirement that names a repository or an address instead of a version.
fn foreign(requirement: &str) -> bool {
    ["git+", "git:", "git =", "git@", "github:", "http:", "https:", "ssh:"]
        .iter()
        .any(|start| requirement.contains(start))
}

/// A lock file that now takes a package from where it took none before.
fn sources(changes: &[Changed], found: &mut Vec<Violation>) {
    static SOURCE: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r#"(?:"resolved":\s*"|source\s*=\s*"|registry\s*=\s*"|resolved\s+"|tarball:\s*|url\s*=\s*")((?:registry\+|git\+|sparse\+)?[a-z+]+://[^/"\s]+)"#,
        )
    });
    let lock = |change: &&Changed| {
        matches!(
            change.name(),
            "Cargo.lock"
                | "package-lock.json"
                | "yarn.lock"
                | "pnpm-lock.yaml"
                | "poetry.lock"
                | "uv.lock"
        )
    };
    for change in changes.iter().filter(lock) {
        let known: BTreeSet<&str> =
            SOURCE.captures_iter(&change.old).filter_map(|it| Some(it.get(1)?.as_str())).collect();
        for line in &change.added {
            let Some(source) = SOURCE.captures(&line.text).and_then(|it| it.get(1)) else {
                continue;
            };
            let host = source.as_str();
            let usual = [
                "crates.io",
                "registry.npmjs.org",
                "registry.yarnpkg.com",
                "pypi.org",
                "files.pythonhosted.org",
                "github.com/rust-lang",
            ]
            .iter()
            .any(|usual| line.text.contains(usual))
                && !host.starts_with("git+");
            if !known.contains(host) && !usual {
                found.push(violation(
                    "lock_file_source",
                    Severity::High,
                    format!("{} takes a package from {host}, which it did not before", change.path),
                    Where::line(&change.path, line.number),
                ));
            }
        }
    }
}

/// A manifest that takes a dependency from elsewhere: an alias, a folder, another index.
fn elsewhere(changes: &[Changed], found: &mut Vec<Violation>) {
    static NPM: LazyLock<Regex> =
        LazyLock::new(|| pattern(r#"^\s*"[^"]+"\s*:\s*"(?:npm:|file:|link:|portal:|patch:)"#));
    static GO: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^\s*(?:replace\s+)?\S+(?:\s+v\S+)?\s+=>\s"));
    static PYTHON: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"^\s*(?:-i\s|--index-url|--extra-index-url|--find-links|-f\s|--trusted-host|-e\s|--editable)|\s@\s+\S+://|^\s*(?:git\+|https?://|file:|\./)",
        )
    });
    static INDEX: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"^\s*\[\[?(?:tool\.(?:uv\.(?:index|sources)|poetry\.source|pdm\.source)|source)\b|\s@\s+\S+://",
        )
    });
    for change in changes {
        let name = change.name();
        let text = std::path::Path::new(name).extension().is_some_and(|end| end == "txt");
        let mark = match name {
            "package.json" => &NPM,
            "go.mod" | "go.work" => &GO,
            "pyproject.toml" | "Pipfile" | "uv.toml" => &INDEX,
            _ if text && (name.contains("requirements") || name.contains("constraints")) => &PYTHON,
            _ => continue,
        };
        let known = change.removed.iter().filter(|line| mark.is_match(&line.text)).count();
        for line in change.added.iter().filter(|it| mark.is_match(&it.text)).skip(known) {
            found.push(violation(
                "lock_file_source",
                Severity::High,
                format!("{} takes a package from elsewhere: {}", change.path, quote(&line.text)),
                Where::line(&change.path, line.number),
            ));
        }
    }
}

type Reader = fn(&str) -> BTreeSet<(String, String)>;

/// `[project]`'s list and Poetry's table.
fn python_dependencies(text: &str) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    let Ok(table) = text.parse::<toml::Table>() else { return found };
    let mut add = |one: &toml::Value| {
        let Some(text) = one.as_str() else { return };
        let end = text.find(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.')));
        let (name, version) = text.split_at(end.unwrap_or(text.len()));
        found.insert((name.to_owned(), version.trim().to_owned()));
    };
    let project = table.get("project");
    let list = project.and_then(|it| it.get("dependencies")).and_then(toml::Value::as_array);
    list.into_iter().flatten().for_each(&mut add);
    let groups =
        project.and_then(|it| it.get("optional-dependencies")).and_then(toml::Value::as_table);
    groups.into_iter().flatten().filter_map(|(_, it)| it.as_array()).flatten().for_each(&mut add);
    if let Some(poetry) =
        table.get("tool").and_then(|it| it.get("poetry")).and_then(toml::Value::as_table)
    {
        collect(poetry, &mut found);
    }
    found
}

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
                    toml::Value::Table(details) => ["version", "git"]
                        .iter()
                        .filter_map(|key| Some(format!("{key} = {}", details.get(*key)?)))
                        .collect::<Vec<_>>()
                        .join(", "),
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
        let row = dependencies_named(std::slice::from_ref(&manifest));
        assert_eq!(row.findings, ["new dependency rand (Cargo.toml)"]);
        assert_eq!(stale(&[manifest.clone(), lock]), 0);
        assert!(coherence(&[manifest], &["Cargo.toml".to_owned()]).is_empty());
        let renamed = OLD.replace("name = \"a\"", "name = \"a\"\ndescription = \"b\"");
        assert_eq!(stale(&[Changed::text("Cargo.toml", None, Some(OLD), Some(&renamed))]), 0);
    }
}
