//! Finds a repository's own commands where its policy names none.
//!
//! Pure: it sees the base commit's list of paths and the text of the few manifests it asks for.

use std::collections::BTreeMap;

use super::policy::{CommandKind, Detected};

/// The files whose text detection looks at, where they exist at the root.
pub const MANIFESTS: &[&str] = &[
    "Cargo.toml",
    "package.json",
    "pyproject.toml",
    "setup.cfg",
    "tox.ini",
    "requirements.txt",
    "requirements-dev.txt",
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

/// What the repository uses. Make is asked only where nothing more telling is there.
#[must_use]
pub fn detect(files: &Files) -> Detected {
    let mut found = Detected::default();
    cargo(files, &mut found);
    node(files, &mut found);
    python(files, &mut found);
    go(files, &mut found);
    java(files, &mut found);
    if found.commands.is_empty() {
        make(files, &mut found);
    }
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
    if files.text(FROM).lines().any(|line| line.trim() == "[workspace]") {
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

fn node(files: &Files, found: &mut Detected) {
    const FROM: &str = "package.json";
    if !files.has(FROM) {
        return;
    }
    let manifest: serde_json::Value =
        serde_json::from_str(files.text(FROM)).unwrap_or(serde_json::Value::Null);
    let (manager, install) = if files.has("pnpm-lock.yaml") {
        ("pnpm", "pnpm install --frozen-lockfile --offline")
    } else if files.has("yarn.lock") {
        ("yarn", "yarn install --frozen-lockfile --offline")
    } else if files.has("package-lock.json") {
        ("npm", "npm ci --offline --no-audit --no-fund")
    } else {
        ("npm", "npm install --offline --no-audit --no-fund")
    };
    let needs = ["dependencies", "devDependencies"].iter().any(|key| {
        manifest.get(key).and_then(serde_json::Value::as_object).is_some_and(|map| !map.is_empty())
    });
    if needs {
        found.add(CommandKind::Setup, install, FROM);
    }
    let script = |name: &str| {
        manifest
            .pointer(&format!("/scripts/{name}"))
            .and_then(serde_json::Value::as_str)
            // What `npm init` writes is no test.
            .filter(|script| !script.contains("no test specified"))
    };
    for (kind, name) in
        [(CommandKind::Build, "build"), (CommandKind::Lint, "lint"), (CommandKind::Test, "test")]
    {
        if script(name).is_some() {
            found.add(kind, format!("{manager} run {name}"), FROM);
        }
    }
    found.notes.push(format!("{manager} (package.json)"));
}

fn python(files: &Files, found: &mut Detected) {
    let Some(from) = ["pyproject.toml", "setup.py", "setup.cfg", "tox.ini", "requirements.txt"]
        .into_iter()
        .chain(["pytest.ini", "conftest.py"])
        .find(|name| files.has(name))
    else {
        return;
    };
    let settings: String = MANIFESTS.iter().map(|name| files.text(name)).collect();
    let pytest = files.any(|path| path.ends_with("conftest.py") || path == "pytest.ini")
        || settings.contains("pytest");
    let test_files = files.any(|path| {
        let name = path.rsplit('/').next().unwrap_or(path);
        path_is_python(name) && (name.starts_with("test_") || name.ends_with("_test.py"))
    });
    found.add(CommandKind::Build, "python3 -m compileall -q .", from);
    if settings.contains("[tool.ruff") || files.has("ruff.toml") || files.has(".ruff.toml") {
        found.add(CommandKind::Lint, "ruff check .", from);
    }
    if settings.contains("[tool.mypy") || files.has("mypy.ini") {
        found.add(CommandKind::Lint, "mypy .", from);
    }
    if pytest {
        found.add(CommandKind::Test, "python3 -m pytest", from);
    } else if test_files {
        found.add(CommandKind::Test, "python3 -m unittest discover -v", from);
    }
    found.notes.push(format!("Python ({from})"));
}

fn path_is_python(name: &str) -> bool {
    std::path::Path::new(name).extension().is_some_and(|extension| extension == "py")
}

fn go(files: &Files, found: &mut Detected) {
    const FROM: &str = "go.mod";
    if !files.has(FROM) {
        return;
    }
    found.add(CommandKind::Build, "go build ./...", FROM);
    found.add(CommandKind::Lint, "go vet ./...", FROM);
    found.add(CommandKind::Test, "go test -v ./...", FROM);
    found.notes.push("Go (go.mod)".to_owned());
}

fn java(files: &Files, found: &mut Detected) {
    if files.has("pom.xml") {
        found.add(CommandKind::Build, "mvn -B -o -q compile", "pom.xml");
        found.add(CommandKind::Test, "mvn -B -o test", "pom.xml");
        found.notes.push("Maven (pom.xml)".to_owned());
    } else if let Some(from) =
        ["build.gradle", "build.gradle.kts"].into_iter().find(|name| files.has(name))
    {
        let tool = if files.has("gradlew") { "./gradlew" } else { "gradle" };
        found.add(CommandKind::Build, format!("{tool} --offline assemble"), from);
        found.add(CommandKind::Test, format!("{tool} --offline test"), from);
        found.notes.push(format!("Gradle ({from})"));
    }
}

fn make(files: &Files, found: &mut Detected) {
    let Some(from) = ["Makefile", "makefile", "GNUmakefile"].into_iter().find(|n| files.has(n))
    else {
        return;
    };
    let target = |name: &str| {
        files.text(from).lines().any(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.trim_start().starts_with(':') && !rest.contains(":="))
        })
    };
    for (kind, names) in [
        (CommandKind::Build, &["build", "all"][..]),
        (CommandKind::Lint, &["lint"][..]),
        (CommandKind::Test, &["test", "check"][..]),
    ] {
        if let Some(name) = names.iter().find(|name| target(name)) {
            found.add(kind, format!("make {name}"), from);
        }
    }
    if !found.commands.is_empty() {
        found.notes.push(format!("Make ({from})"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(files: &[(&str, &str)]) -> Vec<(CommandKind, String)> {
        let files = Files {
            paths: files.iter().map(|(path, _)| (*path).to_owned()).collect(),
            texts: files.iter().map(|(p, t)| ((*p).to_owned(), (*t).to_owned())).collect(),
        };
        detect(&files).commands.into_iter().map(|(kind, command, _)| (kind, command)).collect()
    }

    fn test_of(files: &[(&str, &str)]) -> Option<String> {
        commands(files).into_iter().find(|(kind, _)| *kind == CommandKind::Test).map(|(_, c)| c)
    }

    #[test]
    fn each_ecosystem() {
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[("Cargo.toml", ""), ("Cargo.lock", "")], "cargo test --locked"),
            (&[("Cargo.toml", "[workspace]\n")], "cargo test --workspace"),
            (&[("package.json", r#"{"scripts":{"test":"jest"}}"#)], "npm run test"),
            (
                &[("package.json", r#"{"scripts":{"test":"jest"}}"#), ("pnpm-lock.yaml", "")],
                "pnpm run test",
            ),
            (&[("pyproject.toml", "[tool.pytest]")], "python3 -m pytest"),
            (&[("setup.py", ""), ("test_a.py", "")], "python3 -m unittest discover -v"),
            (&[("go.mod", "")], "go test -v ./..."),
            (&[("pom.xml", "")], "mvn -B -o test"),
            (&[("build.gradle", ""), ("gradlew", "")], "./gradlew --offline test"),
            (&[("Makefile", "build:\n\tcc\ntest: build\n\t./t\n")], "make test"),
        ];
        for (files, wanted) in cases {
            assert_eq!(test_of(files).as_deref(), Some(*wanted), "{files:?}");
        }
    }

    #[test]
    fn nothing_is_nothing() {
        assert!(commands(&[("README.md", "")]).is_empty());
        assert!(commands(&[("Makefile", "install:\n")]).is_empty());
        let placeholder = r#"{"scripts":{"test":"echo \"Error: no test specified\" && exit 1"}}"#;
        assert_eq!(test_of(&[("package.json", placeholder)]), None);
    }

    #[test]
    fn make_is_asked_last() {
        let found = commands(&[("Cargo.toml", ""), ("Makefile", "test:\n")]);
        assert!(found.iter().all(|(_, command)| command.starts_with("cargo")));
    }
}
