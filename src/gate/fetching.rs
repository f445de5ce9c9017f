//! Which commands fetch a repository's packages, and which of its files they depend on.
//!
//! Pure. A policy's own `setup` stands as it is written; detected commands run no script of a
//! package where their tool can do without.

use super::policy::{CommandKind, Commands, PlannedCommand, Policy, Source};

/// Where a command that fetches puts and finds packages; see the sandbox's environment.
const INSTALL: &str = "python3 -m pip download -d \"$FOREMAN_DEPS/wheels\" -r FILE && \
     python3 -m pip install --find-links \"$FOREMAN_DEPS/wheels\" --target \"$FOREMAN_DEPS/python\" \
     -r FILE";

/// Prints what a `pyproject.toml` needs, development and tests included.
const REQUIREMENTS: &str = "python3 -c \"import tomllib; p=tomllib.load(open('pyproject.toml','rb')); \
     j=p.get('project',{}); r=list(j.get('dependencies',[])); \
     g={**j.get('optional-dependencies',{}), **p.get('dependency-groups',{})}; \
     [r.extend(x for x in v if isinstance(x,str)) for k,v in g.items() if k in ('dev','test','tests')]; \
     print('\\n'.join(r))\" > \"$TMPDIR/requirements.txt\"";

/// Files that say which packages are needed, or where from. Compared by their last name.
const TELLING: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "package.json",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "pnpm-lock.yaml",
    "pnpm-workspace.yaml",
    "yarn.lock",
    ".yarnrc",
    ".yarnrc.yml",
    ".npmrc",
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "Pipfile",
    "Pipfile.lock",
    "poetry.lock",
    "uv.lock",
    "go.mod",
    "go.sum",
    "go.work",
    "go.work.sum",
    "pom.xml",
    "build.gradle",
    "build.gradle.kts",
    "gradle.lockfile",
    "settings.gradle",
    "settings.gradle.kts",
    "libs.versions.toml",
    "Gemfile",
    "Gemfile.lock",
    "composer.json",
    "composer.lock",
    "rust-toolchain",
    "rust-toolchain.toml",
];

/// Puts the commands that fetch in place of what was detected for a machine without network.
pub(super) fn adapt(policy: &mut Policy, paths: &[String]) {
    let has = |path: &str| paths.iter().any(|known| known == path);
    let Some((_, commands)) =
        policy.commands.iter_mut().find(|(kind, _)| *kind == CommandKind::Setup)
    else {
        return;
    };
    let node = match commands {
        Commands::NoneByPolicy => return,
        Commands::Run(planned) => {
            if planned.iter().any(|command| command.source == Source::Policy) {
                return;
            }
            planned.iter().any(|it| it.source == Source::Detected("package.json".to_owned()))
        }
        Commands::NothingFound => false,
    };
    let mut found: Vec<(String, &str)> = Vec::new();
    if has("Cargo.toml") {
        let locked = if has("Cargo.lock") { " --locked" } else { "" };
        found.push((format!("cargo fetch{locked}"), "Cargo.toml"));
    }
    if node {
        let install = if has("pnpm-lock.yaml") {
            "pnpm install --frozen-lockfile --ignore-scripts"
        } else if has("yarn.lock") {
            "yarn install --frozen-lockfile --ignore-scripts"
        } else if has("package-lock.json") || has("npm-shrinkwrap.json") {
            "npm ci --ignore-scripts --no-audit --no-fund"
        } else {
            "npm install --ignore-scripts --no-audit --no-fund"
        };
        found.push((install.to_owned(), "package.json"));
    }
    let lists: Vec<&str> =
        ["requirements.txt", "requirements-dev.txt"].into_iter().filter(|it| has(it)).collect();
    for list in &lists {
        found.push((INSTALL.replace("FILE", list), list));
    }
    if lists.is_empty() && has("pyproject.toml") {
        let install = INSTALL.replace("FILE", "\"$TMPDIR/requirements.txt\"");
        found.push((format!("{REQUIREMENTS} && {install}"), "pyproject.toml"));
    }
    if has("go.mod") {
        found.push(("go mod download".to_owned(), "go.mod"));
    }
    if found.is_empty() {
        return;
    }
    let plan = |(command, from): (String, &str)| PlannedCommand {
        kind: CommandKind::Setup,
        command,
        source: Source::Detected(from.to_owned()),
    };
    *commands = Commands::Run(found.into_iter().map(plan).collect());
}

/// Whether what is fetched may follow from this file: it tells of packages, or a command names it.
pub(super) fn is_telling(path: &str, planned: &[PlannedCommand]) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let text = std::path::Path::new(name).extension().is_some_and(|extension| extension == "txt");
    TELLING.contains(&name)
        || path.starts_with(".cargo/")
        || path.contains("/.cargo/")
        || (text && (name.contains("requirements") || name.contains("constraints")))
        || planned.iter().any(|command| {
            let mut words =
                command.command.split(|c: char| c.is_whitespace() || "\"';&|()".contains(c));
            words.any(|word| word.trim_start_matches("./") == path)
        })
}

/// A file that the checkout must keep as its own, though a setup step wrote it.
pub(super) fn is_lock(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name == "go.sum"
        || name.ends_with(".lock")
        || name == "package-lock.json"
        || name == "pnpm-lock.yaml"
}

#[cfg(test)]
mod tests {
    use super::super::policy::Detected;
    use super::*;

    fn setup_of(text: Option<&str>, paths: &[&str], detected: Detected) -> Vec<String> {
        let mut policy = Policy::parse(text, detected).expect("a policy");
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        adapt(&mut policy, &paths);
        policy.to_run(CommandKind::Setup).iter().map(|it| it.command.clone()).collect()
    }

    #[test]
    fn each_tool_fetches_in_its_own_way() {
        let none = Detected::default;
        assert_eq!(setup_of(None, &["Cargo.toml", "Cargo.lock"], none()), ["cargo fetch --locked"]);
        assert_eq!(setup_of(None, &["go.mod"], none()), ["go mod download"]);
        let pip = setup_of(None, &["requirements.txt", "a.py"], none());
        assert!(pip[0].contains("pip download -d \"$FOREMAN_DEPS/wheels\" -r requirements.txt"));
        let npm = Detected {
            commands: vec![(CommandKind::Setup, "npm ci --offline".into(), "package.json".into())],
            notes: vec![],
        };
        assert_eq!(
            setup_of(None, &["package.json", "package-lock.json"], npm),
            ["npm ci --ignore-scripts --no-audit --no-fund"]
        );
    }

    #[test]
    fn what_the_policy_says_stands() {
        let own = "[gate]\nsetup = \"sh fetch.sh\"\n";
        assert_eq!(setup_of(Some(own), &["Cargo.toml"], Detected::default()), ["sh fetch.sh"]);
        let none = "[gate]\nsetup = []\n";
        assert!(setup_of(Some(none), &["Cargo.toml"], Detected::default()).is_empty());
    }

    #[test]
    fn locks_manifests_and_named_files_tell() {
        let command = PlannedCommand {
            kind: CommandKind::Setup,
            command: "sh ./tools/fetch.sh && true".to_owned(),
            source: Source::Policy,
        };
        let named = [command];
        for path in [
            "a/Cargo.toml",
            "Cargo.lock",
            "requirements-ci.txt",
            "tools/fetch.sh",
            ".cargo/config.toml",
        ] {
            assert!(is_telling(path, &named), "{path}");
        }
        for path in ["src/main.rs", "notes.txt", "fetch.sh"] {
            assert!(!is_telling(path, &named), "{path}");
        }
    }
}
