//! Finds a repository's own commands where its policy names none.
//!
//! Pure: it sees the base commit's list of paths and the text of the few manifests it asks for.

use std::collections::BTreeMap;

use super::policy::{CommandKind, Detected};

mod node;
mod python;

/// The files whose text detection looks at, where they exist at the root.
pub const MANIFESTS: &[&str] = &[
    "Cargo.toml",
    "package.json",
    "pyproject.toml",
    "setup.cfg",
    "tox.ini",
    "pytest.ini",
    "Pipfile",
    "requirements.txt",
    "requirements-dev.txt",
    "dev-requirements.txt",
    "Makefile",
    "makefile",
    "GNUmakefile",
];

/// The base commit as detection sees it.
#[derive(Debug, Default)]
pub struct Files {
    pub paths: Vec<String>,
    /// Text of the `MANIFESTS` that are there.
    pub texts: BTreeMap<String, String>,
}

impl Files {
    fn has(&self, path: &str) -> bool {
        self.paths.iter().any(|known| known == path)
    }

    fn any(&self, test: impl Fn(&str) -> bool) -> bool {
        self.paths.iter().any(|path| test(path))
    }

    fn text(&self, path: &str) -> &str {
        self.texts.get(path).map_or("", String::as_str)
    }
}

/// What the repository uses. Make is asked where nothing more telling gives a test, and in full only
/// where there is nothing else.
#[must_use]
pub fn detect(files: &Files) -> Detected {
    let mut found = Detected::default();
    cargo(files, &mut found);
    node::look(files, &mut found);
    python::look(files, &mut found);
    go(files, &mut found);
    java(files, &mut found);
    make(files, &mut found);
    found
}

impl Detected {
    fn add(&mut self, kind: CommandKind, command: impl Into<String>, from: &str) {
        self.commands.push((kind, command.into(), from.to_owned()));
    }
}

fn cargo(files: &Files, found: &mut Detected) {
    const FROM: &str = "Cargo.toml";
    if !files.has(FROM) {
        return;
    }
    let mut flags = String::new();
    let workspace = |line: &str| line.trim() == "[workspace]" || line.starts_with("[workspace.");
    if files.text(FROM).lines().any(workspace) {
        flags.push_str(" --workspace");
    }
    if files.has("Cargo.lock") {
        flags.push_str(" --locked");
    }
    found.add(CommandKind::Build, format!("cargo build{flags}"), FROM);
    found.add(CommandKind::Lint, format!("cargo clippy --all-targets{flags}"), FROM);
    found.add(CommandKind::Test, format!("cargo test{flags}"), FROM);
    found.notes.push("Cargo (Cargo.toml)".to_owned());
}

fn go(files: &Files, found: &mut Detected) {
    const FROM: &str = "go.mod";
    if !files.has(FROM) {
        return;
    }
    found.add(CommandKind::Build, "go build ./...", FROM);
    found.add(CommandKind::Lint, "go vet ./...", FROM);
    if let Some(from) = first(files, &[".golangci.yml", ".golangci.yaml", ".golangci.toml"]) {
        found.add(CommandKind::Lint, "golangci-lint run", from);
    }
    found.add(CommandKind::Test, "go test -v ./...", FROM);
    found.notes.push("Go (go.mod)".to_owned());
}

const GRADLE: &[&str] =
    &["build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts"];

fn java(files: &Files, found: &mut Detected) {
    if files.has("pom.xml") {
        let tool = if files.has("mvnw") { "sh mvnw" } else { "mvn" };
        found.add(CommandKind::Build, format!("{tool} -B -o -q test-compile"), "pom.xml");
        found.add(CommandKind::Test, format!("{tool} -B -o test"), "pom.xml");
        found.notes.push("Maven (pom.xml)".to_owned());
    } else if let Some(from) = first(files, GRADLE) {
        let tool = if files.has("gradlew") { "sh gradlew" } else { "gradle" };
        found.add(CommandKind::Build, format!("{tool} --offline assemble"), from);
        found.add(CommandKind::Test, format!("{tool} --offline test"), from);
        found.notes.push(format!("Gradle ({from})"));
    }
}

fn make(files: &Files, found: &mut Detected) {
    let Some(from) = first(files, &["Makefile", "makefile", "GNUmakefile"]) else { return };
    let target = |name: &str| {
        files.text(from).lines().any(|line| {
            // Several targets may share a line, and `:=` is no rule.
            line.split_once(':').is_some_and(|(targets, rest)| {
                !rest.starts_with('=')
                    && !targets.starts_with(['.', '\t', ' '])
                    && targets.split_whitespace().any(|target| target == name)
            })
        })
    };
    let alone = found.notes.is_empty();
    let tested = found.commands.iter().any(|(kind, ..)| *kind == CommandKind::Test);
    let mut used = false;
    for (kind, names, wanted) in [
        (CommandKind::Build, &["build", "all"][..], alone),
        (CommandKind::Lint, &["lint"][..], alone),
        (CommandKind::Test, &["test", "tests", "check"][..], !tested),
    ] {
        if let Some(name) = names.iter().find(|name| wanted && target(name)) {
            found.add(kind, format!("make {name}"), from);
            used = true;
        }
    }
    if used {
        found.notes.push(format!("Make ({from})"));
    }
}

/// The first of these files that is there.
fn first<'a>(files: &Files, names: &[&'a str]) -> Option<&'a str> {
    names.iter().copied().find(|name| files.has(name))
}

#[cfg(test)]
mod tests;
