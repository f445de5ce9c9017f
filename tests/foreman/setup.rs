//! Dependencies without open network: fetched once through the allow-list, then offline for all.

use serde_json::{Value, json};

use crate::support::registry::PackageRegistry;
use crate::support::{Town, acts, good_work, issue, row, run_command, script, write_file};

/// The town with `[setup] registries` in its operator's file.
fn listing(town: Town, registries: &[String]) -> Town {
    let file = town.data.path().join("town.toml");
    let list = serde_json::to_string(registries).expect("a list");
    std::fs::write(&file, format!("[setup]\nregistries = {list}\n")).expect("written");
    let file = file.display().to_string();
    town.set("FOREMAN_CONFIG", &file)
}

fn check<'a>(run: &'a Value, number: u64, name: &str) -> &'a Value {
    row(run, number)["qaResults"]["checks"]
        .as_array()
        .and_then(|checks| checks.iter().find(|check| check["name"] == name))
        .unwrap_or_else(|| panic!("no check {name} in {run:#}"))
}

/// A crate whose code and tests need another one from a registry.
fn cargo_repository(registry: &PackageRegistry) -> Vec<(&'static str, String)> {
    let sum = registry.publish_crate("greet", "pub fn hello() -> &'static str { \"hello\" }\n");
    let source = format!("sparse+{}/index/", registry.url());
    vec![
        (
            "Cargo.toml",
            "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[dependencies]\ngreet = { version = \"1\", registry = \"town\" }\n".to_owned(),
        ),
        ("Cargo.lock", format!("version = 3\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\n \"greet\",\n]\n\n[[package]]\nname = \"greet\"\nversion = \"1.0.0\"\nsource = \"{source}\"\nchecksum = \"{sum}\"\n")),
        (".cargo/config.toml", format!("[registries.town]\nindex = \"{source}\"\n")),
        (".gitignore", "/target\n".to_owned()),
        (
            "src/lib.rs",
            "pub fn shout() -> String {\n    greet::hello().to_uppercase()\n}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn it_shouts() {\n        assert_eq!(super::shout(), \"HELLO\");\n    }\n}\n".to_owned(),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dependency_is_fetched_once_and_nothing_else_has_network() {
    let registry = PackageRegistry::start();
    let files = cargo_repository(&registry);
    let files: Vec<(&str, &str)> =
        files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let probe = format!("{}/probe", registry.url());
    let answers = script(move |input| {
        let probe = &probe;
        acts(
            input,
            vec![
                run_command(&format!(
                    "cargo test --locked 2>&1; curl -sS --max-time 3 {probe}; \
                     touch /deps/written; ls /deps/cargo/registry"
                )),
                write_file(
                    "tests/twice.rs",
                    "#[test]\nfn the_dependency_is_there() {\n    assert_eq!(app::shout().len(), greet::hello().len());\n}\n",
                ),
            ],
        )
    });
    let town = Town::with_files(answers, vec![issue("Test it twice")], &files).await;
    let town = listing(town, &[registry.url()]);
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["status"], "success", "{run:#}\n{}", server.log());
    let setup = check(&run, 1, "setup");
    assert_eq!(
        (setup["outcome"].as_str(), setup["command"].as_str()),
        (Some("passed"), Some("cargo fetch --locked")),
        "{setup:#}"
    );
    let asked = registry.asked();
    let crates = asked.iter().filter(|path| path.ends_with(".crate")).count();
    assert_eq!(crates, 1, "fetched once for base, builder and gate: {asked:?}");
    assert!(!asked.iter().any(|path| path == "/probe"), "a builder has network: {asked:?}");
    // What the builder saw: its tests ran offline, and what was fetched can't be altered.
    let requests = town.model.requests();
    let seen = requests.last().expect("asked").body["messages"].to_string();
    assert!(seen.contains("1 passed"), "{seen}");
    assert!(seen.contains("Read-only file system"), "{seen}");

    // Another night finds it kept.
    town.github.add_issue(&crate::support::repo(), issue("Test it more").number(2));
    let run = server.night(&json!({"issues": [2]})).await;
    assert_eq!(check(&run, 2, "setup")["outcome"], "passed", "{run:#}");
    assert_eq!(registry.asked(), asked, "nothing was fetched again");
}

const FETCHING: &str = "[gate]\nsetup = \"sh fetch.sh\"\nbuild = []\nlint = []\ntest = \"sh run-checks.sh\"\ndeploy = []\nschema = []\n";

/// A repository whose setup step is a script of its own.
fn shell_repository(url: &str) -> Vec<(&'static str, String)> {
    let mut files: Vec<(&str, String)> = crate::support::SHELL_REPOSITORY
        .iter()
        .map(|(path, text)| (*path, (*text).to_owned()))
        .collect();
    files[0].1 = FETCHING.to_owned();
    files.push((
        "fetch.sh",
        format!("mkdir vendor && curl -fsS {url}/pkg -o vendor/pkg && . ./lib.sh\n"),
    ));
    files.push(("lib.sh", "echo fetched\n".to_owned()));
    files.push(("requirements.txt", "pkg==1\n".to_owned()));
    files.push(("tests/needs.sh", "test \"$(cat vendor/pkg)\" = 'the package'\n".to_owned()));
    files
}

async fn shell_town(
    registry: &PackageRegistry,
    answers: foreman::demo::model::Script,
    titles: &[&str],
) -> Town {
    registry.put("/pkg", "the package");
    let files = shell_repository(&registry.url());
    let files: Vec<(&str, &str)> =
        files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    Town::with_files(answers, titles.iter().map(|title| issue(title)).collect(), &files).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_step_leaves_in_its_checkout_is_shown_to_builder_and_gate() {
    let registry = PackageRegistry::start();
    let answers = script(|input| {
        if input.turn == 0 {
            return acts(
                input,
                vec![run_command(
                    "cat vendor/pkg; echo x > vendor/pkg; rm -rf vendor; cat vendor/pkg",
                )],
            );
        }
        let mut input = input.clone();
        input.turn -= 1;
        good_work(&input)
    });
    let town = shell_town(&registry, answers, &["Anything"]).await;
    let town = listing(town, &[registry.url()]);
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["status"], "success", "{run:#}\n{}", server.log());
    let requests = town.model.requests();
    let seen = requests.last().expect("asked").body["messages"].to_string();
    assert!(seen.contains("the package") && seen.contains("Read-only"), "{seen}");
    let rules = requests[0].body["messages"][0]["content"].as_str().expect("the rules");
    let last = rules.lines().last().unwrap_or_default();
    assert!(last.contains("read-only") && last.contains("`vendor`"), "{last}");
    assert!(last.contains("There is no network"), "{last}");
    // It is shown, not part of the change.
    let branch = town.github.branches(&crate::support::repo());
    let head = branch.get("foreman/issue-1").expect("pushed");
    let bare = town.github.bare(&crate::support::repo()).expect("a repository");
    let listed = std::process::Command::new("git")
        .args(["ls-tree", "-r", "--name-only", head])
        .current_dir(bare)
        .output()
        .expect("git");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("notes/issue-1.txt") && !listed.contains("vendor"), "{listed}");
    assert_eq!(registry.asked(), ["/pkg"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_not_listed_is_named_and_not_reached() {
    let (registry, listed) = (PackageRegistry::start(), PackageRegistry::start());
    let town = shell_town(&registry, script(good_work), &["Anything"]).await;
    let town = listing(town, &[listed.url()]);
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    let said = serde_json::to_string(&run["errors"]).expect("text");
    assert!(said.contains("dependencies_unavailable"), "{run:#}");
    assert!(
        said.contains(&format!("127.0.0.1:{} is not among the registries", registry.port)),
        "{said}"
    );
    assert!(registry.asked().is_empty() && town.model.requests().is_empty());
    assert!(town.pulls().is_empty());
}

/// What one change fetches never reaches another: the first poisons what its lock file stands for.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_fetches_for_itself_alone() {
    let registry = PackageRegistry::start();
    let answers = script(|input| {
        let mut actions = vec![write_file("requirements.txt", "pkg==1\nmore==2\n")];
        if input.issue == Some(1) {
            actions.push(write_file("lib.sh", "echo poisoned > vendor/pkg\n"));
        }
        actions.push(write_file(
            &format!("tests/issue-{}.sh", input.issue.unwrap_or_default()),
            "grep -q more requirements.txt\n",
        ));
        acts(input, actions)
    });
    let town = shell_town(&registry, answers, &["One", "Another"]).await;
    let town = listing(town, &[registry.url()]);
    let server = town.serve().await;
    let run = server.night(&json!({"enableModelEscalation": false, "enableAutoHeal": false})).await;
    assert_eq!(row(&run, 1)["status"], "failed", "{run:#}");
    assert_eq!(row(&run, 2)["status"], "success", "{run:#}\n{}", server.log());
    assert_eq!(registry.asked().len(), 3, "base, and each change for itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_listed_registries_a_setup_step_is_offline() {
    let registry = PackageRegistry::start();
    let town = shell_town(&registry, script(good_work), &["Anything"]).await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_ne!(run["status"], "completed", "{run:#}");
    assert!(registry.asked().is_empty());
}

/// What `npm ci` installs is there for the checks.
#[tokio::test(flavor = "multi_thread")]
async fn packages_of_npm_are_installed_without_their_scripts() {
    if std::process::Command::new("npm").arg("--version").output().is_err() {
        eprintln!("SKIPPED: this machine has no npm");
        return;
    }
    let registry = PackageRegistry::start();
    let dir = tempfile::tempdir().expect("a folder");
    let package = dir.path().join("package");
    std::fs::create_dir(&package).expect("made");
    std::fs::write(
        package.join("package.json"),
        r#"{"name":"greet","version":"1.0.0","main":"index.js","scripts":{"install":"touch ran"}}"#,
    )
    .expect("written");
    std::fs::write(package.join("index.js"), "module.exports = () => 'hello';\n").expect("written");
    let packed = std::process::Command::new("tar")
        .args(["-czf", "-", "package"])
        .current_dir(dir.path())
        .output()
        .expect("tar");
    registry.put("/greet/-/greet-1.0.0.tgz", packed.stdout);
    let lock = json!({
        "name": "app", "version": "1.0.0", "lockfileVersion": 3, "requires": true,
        "packages": {
            "": {"name": "app", "version": "1.0.0", "dependencies": {"greet": "1.0.0"}},
            "node_modules/greet": {
                "version": "1.0.0",
                "resolved": format!("{}/greet/-/greet-1.0.0.tgz", registry.url()),
                "hasInstallScript": true
            }
        }
    });
    let files = [
        (".foreman.toml", "[gate]\nbuild = []\nlint = []\ndeploy = []\nschema = []\ntest = \"sh run-checks.sh\"\n".to_owned()),
        ("run-checks.sh", crate::support::SHELL_REPOSITORY[1].1.to_owned()),
        ("tests/base.sh", "test \"$(node -p 'require(\"greet\")()')\" = hello && test ! -e node_modules/greet/ran\n".to_owned()),
        ("package.json", r#"{"name":"app","version":"1.0.0","dependencies":{"greet":"1.0.0"}}"#.to_owned()),
        ("package-lock.json", lock.to_string()),
    ];
    let files: Vec<(&str, &str)> =
        files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let town = Town::with_files(script(good_work), vec![issue("Anything")], &files).await;
    let town = listing(town, &[registry.url()]);
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["status"], "success", "{run:#}\n{}", server.log());
    assert_eq!(check(&run, 1, "setup")["command"], "npm ci --ignore-scripts --no-audit --no-fund");
    assert_eq!(registry.asked(), ["/greet/-/greet-1.0.0.tgz"]);
}

/// By hand, with a network: `cargo test --test foreman setup::the_real -- --ignored`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "asks crates.io"]
async fn the_real_registry_of_crates_is_reached_through_the_list() {
    let manifest = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[dependencies]\nfnv = \"=1.0.7\"\n";
    let lock = "version = 3\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\n \"fnv\",\n]\n\n[[package]]\nname = \"fnv\"\nversion = \"1.0.7\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"3f9eec918d3f24069decb9af1554cad7c880e2da24a9afd88aca000531ab82c1\"\n";
    let library = "pub type Map = fnv::FnvHashMap<u8, u8>;\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn it_is_empty() {\n        assert!(super::Map::default().is_empty());\n    }\n}\n";
    let files = [
        ("Cargo.toml", manifest),
        ("Cargo.lock", lock),
        (".gitignore", "/target\n"),
        ("src/lib.rs", library),
    ];
    let answers = script(|input| {
        let test =
            "#[test]\nfn another_is_empty() {\n    assert_eq!(app::Map::default().len(), 0);\n}\n";
        acts(input, vec![write_file("tests/more.rs", test)])
    });
    let town = Town::with_files(answers, vec![issue("Test it twice")], &files).await;
    let town = listing(town, &["crates.io".to_owned()]);
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["status"], "success", "{run:#}\n{}", server.log());
}
