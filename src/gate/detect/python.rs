//! Python: pytest, unittest or tox for the tests, ruff and mypy where they are configured or asked
//! for as a dependency.

use std::sync::LazyLock;

use regex::Regex;

use super::{Files, MANIFESTS, first};
use crate::gate::logs::pattern;
use crate::gate::policy::{CommandKind, Detected};

/// Each says by itself that this is a Python project.
const SIGNS: &[&str] = &[
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "tox.ini",
    "requirements.txt",
    "requirements-dev.txt",
    "Pipfile",
    "pytest.ini",
    "conftest.py",
];

/// A tool named as a dependency: `ruff`, `"ruff>=0.4"`, `mypy = "*"`.
static ASKED: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"(?m)(?:^|["'\s,\[])(ruff|mypy|pytest|tox)\s*(?:[=<>~!\[;"',]|$)"#));

pub(super) fn look(files: &Files, found: &mut Detected) {
    let Some(from) = first(files, SIGNS) else { return };
    let settings: String = MANIFESTS
        .iter()
        .filter(|name| !matches!(**name, "Cargo.toml" | "package.json"))
        .filter(|name| !name.to_ascii_lowercase().ends_with("makefile"))
        .map(|name| format!("{}\n", files.text(name)))
        .collect();
    let asked = |tool: &str| ASKED.captures_iter(&settings).any(|found| &found[1] == tool);
    found.add(CommandKind::Build, "python3 -m compileall -q .", from);
    let ruff = first(files, &["ruff.toml", ".ruff.toml"]);
    if ruff.is_some() || settings.contains("[tool.ruff") || asked("ruff") {
        found.add(CommandKind::Lint, "ruff check .", ruff.unwrap_or(from));
    }
    let mypy = first(files, &["mypy.ini", ".mypy.ini"]);
    if mypy.is_some()
        || settings.contains("[tool.mypy")
        || settings.contains("[mypy]")
        || asked("mypy")
    {
        found.add(CommandKind::Lint, "mypy .", mypy.unwrap_or(from));
    }
    tests(files, found, from, &settings, asked("pytest"));
    found.notes.push(format!("Python ({from})"));
}

/// pytest where anything speaks of it, tox where it is all there is, else unittest.
fn tests(files: &Files, found: &mut Detected, from: &str, settings: &str, asked: bool) {
    let pytest = asked
        || files.any(|path| path.ends_with("conftest.py") || path == "pytest.ini")
        || settings.contains("[tool.pytest")
        || settings.contains("[tool:pytest]")
        || settings.contains("pytest");
    if pytest {
        found.add(CommandKind::Test, "python3 -m pytest", from);
        if files.has("tox.ini") {
            found.notes.push(
                "tox (tox.ini): its environments need a network, so pytest is run directly"
                    .to_owned(),
            );
        }
        return;
    }
    if files.has("tox.ini") || settings.contains("[tool.tox") {
        let from = if files.has("tox.ini") { "tox.ini" } else { from };
        found.add(CommandKind::Test, "tox run", from);
        return;
    }
    let is_test = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        let python = std::path::Path::new(name).extension().is_some_and(|it| it == "py");
        python && (name.starts_with("test_") || name.ends_with("_test.py") || name == "tests.py")
    };
    if files.any(is_test) {
        found.add(CommandKind::Test, "python3 -m unittest discover -v", from);
    }
}
