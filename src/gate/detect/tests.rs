//! Which commands each kind of repository gets.

use super::*;

fn found(files: &[(&str, &str)]) -> Detected {
    let files = Files {
        paths: files.iter().map(|(path, _)| (*path).to_owned()).collect(),
        texts: files.iter().map(|(p, t)| ((*p).to_owned(), (*t).to_owned())).collect(),
    };
    detect(&files)
}

fn commands(files: &[(&str, &str)]) -> Vec<(CommandKind, String)> {
    found(files).commands.into_iter().map(|(kind, command, _)| (kind, command)).collect()
}

fn of(kind: CommandKind, files: &[(&str, &str)]) -> Vec<String> {
    commands(files).into_iter().filter(|(of, _)| *of == kind).map(|(_, command)| command).collect()
}

const JEST: (&str, &str) = ("package.json", r#"{"scripts":{"test":"jest"}}"#);

#[test]
fn each_ecosystem() {
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[("Cargo.toml", ""), ("Cargo.lock", "")], "cargo test --locked"),
        (&[("Cargo.toml", "[workspace]\n")], "cargo test --workspace"),
        (&[("Cargo.toml", "[workspace.package]\n")], "cargo test --workspace"),
        (&[JEST], "npm run test"),
        (&[JEST, ("pnpm-lock.yaml", "")], "pnpm run test"),
        (&[JEST, ("yarn.lock", "")], "yarn run test"),
        (&[("pyproject.toml", "[tool.pytest]")], "python3 -m pytest"),
        (&[("requirements-dev.txt", "pytest>=8\n")], "python3 -m pytest"),
        (&[("setup.py", ""), ("test_a.py", "")], "python3 -m unittest discover -v"),
        (&[("tox.ini", "[testenv]\ncommands = nosetests\n")], "tox run"),
        (&[("tox.ini", "[testenv]\ncommands = pytest\n")], "python3 -m pytest"),
        (&[("go.mod", "")], "go test -v ./..."),
        (&[("pom.xml", "")], "mvn -B -o test"),
        (&[("pom.xml", ""), ("mvnw", "")], "sh mvnw -B -o test"),
        (&[("build.gradle", ""), ("gradlew", "")], "sh gradlew --offline test"),
        (&[("settings.gradle.kts", "")], "gradle --offline test"),
        (&[("Makefile", "build:\n\tcc\ntest: build\n\t./t\n")], "make test"),
        (&[("Makefile", "lint check:\n\t./t\n")], "make check"),
    ];
    for (files, wanted) in cases {
        assert_eq!(of(CommandKind::Test, files), [*wanted], "{files:?}");
    }
}

#[test]
fn linters_are_used_where_they_are_configured_or_asked_for() {
    for (files, wanted) in [
        (&[("pyproject.toml", "[tool.ruff]\n[tool.mypy]\n")][..], &["ruff check .", "mypy ."][..]),
        (
            &[("pyproject.toml", "[project]\ndev = [\"ruff>=0.4\", 'mypy']\n")],
            &["ruff check .", "mypy ."],
        ),
        (&[("setup.cfg", "[mypy]\n"), (".ruff.toml", "")], &["ruff check .", "mypy ."]),
        (&[("pyproject.toml", "[project]\nname = \"gruff-mypyish\"\n")], &[]),
        (&[("go.mod", ""), (".golangci.yml", "")], &["go vet ./...", "golangci-lint run"]),
        (
            &[("package.json", r#"{"scripts":{"lint":"eslint .","typecheck":"tsc --noEmit"}}"#)],
            &["npm run lint", "npm run typecheck"],
        ),
    ] {
        assert_eq!(of(CommandKind::Lint, files), wanted, "{files:?}");
    }
}

#[test]
fn what_is_needed_is_installed_offline_by_the_right_manager() {
    let manifest = |extra: &str| format!(r#"{{"dependencies":{{"a":"1"}}{extra}}}"#);
    for (lock, extra, wanted) in [
        ("package-lock.json", "", "npm ci --offline --no-audit --no-fund"),
        ("pnpm-lock.yaml", "", "pnpm install --frozen-lockfile --offline"),
        ("yarn.lock", "", "yarn install --frozen-lockfile --offline"),
        ("yarn.lock", r#","packageManager":"yarn@4.1.0""#, {
            "YARN_ENABLE_NETWORK=0 yarn install --immutable"
        }),
        ("x", r#","packageManager":"pnpm@9.0.0""#, "pnpm install --frozen-lockfile --offline"),
        ("x", "", "npm install --offline --no-audit --no-fund"),
    ] {
        let text = manifest(extra);
        let files = [("package.json", text.as_str()), (lock, "")];
        assert_eq!(of(CommandKind::Setup, &files), [wanted], "{lock} {extra}");
    }
    assert!(of(CommandKind::Setup, &[JEST]).is_empty());
}

#[test]
fn nothing_is_nothing() {
    assert!(commands(&[("README.md", "")]).is_empty());
    assert!(commands(&[("Makefile", "install:\n")]).is_empty());
    assert!(commands(&[("Makefile", "test := 3\n.PHONY: test\n")]).is_empty());
    let placeholder = r#"{"scripts":{"test":"echo \"Error: no test specified\" && exit 1"}}"#;
    assert!(of(CommandKind::Test, &[("package.json", placeholder)]).is_empty());
}

#[test]
fn make_is_asked_last() {
    let both = commands(&[("Cargo.toml", ""), ("Makefile", "test:\n")]);
    assert!(both.iter().all(|(_, command)| command.starts_with("cargo")));
    // Nothing more telling gives a test: then it is asked for that, and for nothing else.
    let files = [("package.json", "{}"), ("Makefile", "test:\nlint:\n")];
    assert_eq!(commands(&files), [(CommandKind::Test, "make test".to_owned())].to_vec());
    assert_eq!(found(&files).notes, ["npm (package.json)", "Make (Makefile)"]);
}
