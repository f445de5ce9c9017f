//! The pages hold: what the code knows is in them, and what they link to is there.
//!
//! Names come from the code itself, where needed from serde's own list of what it would have taken.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use foreman::config::{Config, VARIABLES};
use foreman::domain::event::{EventType, Severity};
use foreman::domain::plan::ReasonCode;
use foreman::domain::run::{NightConfig, RunStatus};
use foreman::failpoint;
use foreman::gate::policy::{Detected, Policy};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The part of a page below the heading that holds `words`, up to the next heading.
fn section<'a>(page: &'a str, words: &str) -> &'a str {
    let mut at = 0;
    let mut lines = page.split_inclusive('\n').map(|line| {
        at += line.len();
        (at, line)
    });
    let is_it = |line: &str| line.starts_with('#') && line.trim_matches(['#', ' ', '\n']) == words;
    let (start, _) =
        lines.find(|(_, line)| is_it(line)).unwrap_or_else(|| panic!("no heading `{words}`"));
    let body = &page[start..];
    let end = body.match_indices("\n#").map(|(at, _)| at).next().unwrap_or(body.len());
    &body[..end]
}

/// The cells of the table row whose first or second cell is the name as code.
fn row<'a>(text: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let wanted = format!("`{name}`");
    text.lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>())
        .find(|cells| cells.iter().take(2).any(|cell| *cell == wanted))
}

fn filled(cells: &[&str], least: usize) -> bool {
    cells.len() >= least && cells[1..least].iter().all(|cell| !cell.is_empty())
}

/// The names that serde says it expected: every `word` in backticks after "expected".
fn expected(message: &str) -> Vec<String> {
    let (_, list) = message.split_once("expected ").unwrap_or_else(|| panic!("{message}"));
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_variable_is_documented_with_its_default() {
    let page = read("docs/configuration.md");
    for variable in VARIABLES {
        let cells = row(&page, variable.name)
            .unwrap_or_else(|| panic!("{} has no row in docs/configuration.md", variable.name));
        assert!(filled(&cells, 3), "{} has an empty cell", variable.name);
        assert_eq!(cells[1].trim_matches('`'), variable.default, "default of {}", variable.name);
        assert_eq!(cells[2].contains("**Secret.**"), variable.secret, "{}", variable.name);
    }
}

/// What a table of `foreman.toml` takes, asked with a key that nothing takes.
fn keys_of_file(table: &str) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!("{table}\nno_such_key = 1\n");
    fs::write(folder.path().join("foreman.toml"), text).expect("written");
    let nothing = |_: &str| -> Option<OsString> { None };
    expected(&Config::load(&nothing, folder.path()).expect_err("an unknown key").to_string())
}

#[test]
fn every_key_of_foreman_toml_is_documented() {
    let page = read("docs/configuration.md");
    let tables = [
        ("[server]", "`[server]`"),
        ("[limits]", "`[limits]`"),
        ("[trust]", "`[trust]`"),
        ("[git]", "`[git]`"),
        ("[tiers.\"gpt-4\"]", "`[tiers.<name>]`"),
        ("[escalation]", "`[escalation]`"),
        ("[escalation.labels]", "`[escalation.labels]`"),
        ("[copilot]", "`[copilot]`"),
        ("[desktop]", "`[desktop]`"),
        ("[[desktop.repositories]]", "`[[desktop.repositories]]`"),
        ("[setup]", "`[setup]`"),
        ("[alerts]", "`[alerts]`"),
        ("[[alerts.webhooks]]", "`[[alerts.webhooks]]`"),
        ("[alerts.email]", "`[alerts.email]`"),
        ("[governance]", "`[governance]`"),
        ("[labels]", "`[labels]`"),
        ("[disk]", "`[disk]`"),
        ("[repositories.\"octo/app\"]", "`[repositories.\"<owner/name>\"]`"),
    ];
    let known: BTreeSet<String> = tables
        .iter()
        .map(|(table, _)| table.trim_matches(['[', ']']).split('.').next().expect("a name").into())
        .collect();
    let all: BTreeSet<String> = keys_of_file("").into_iter().collect();
    assert_eq!(all, known, "the tables of foreman.toml and those looked at here");
    for (table, heading) in tables {
        let keys = keys_of_file(table);
        assert!(!keys.is_empty(), "{table}");
        for key in keys {
            let cells = row(section(&page, heading), &key)
                .unwrap_or_else(|| panic!("{table} {key} has no row in docs/configuration.md"));
            assert!(filled(&cells, 3) || key == "labels", "{table} {key} has an empty cell");
        }
    }
}

#[test]
fn every_key_of_a_repositorys_policy_is_documented() {
    let page = read("docs/configuration.md");
    for (table, heading) in [
        ("[gate]", "`[gate]`"),
        ("[policy]", "`[policy]`"),
        ("[policy.labels.x]", "`[policy.labels.\"<label>\"]`"),
    ] {
        for key in keys_of_policy(table) {
            let cells = row(section(&page, heading), &key)
                .unwrap_or_else(|| panic!("{table} {key} has no row in docs/configuration.md"));
            assert!(filled(&cells, 3), "{table} {key} has an empty cell");
        }
    }
}

/// What a table of `.foreman.toml` takes.
fn keys_of_policy(table: &str) -> Vec<String> {
    let text = format!("{table}\nno_such_key = 1\n");
    let error = Policy::parse(Some(&text), Detected::default()).expect_err("an unknown key");
    expected(&error.to_string())
}

#[test]
fn the_schema_of_a_policy_knows_the_same_keys() {
    let schema: serde_json::Value =
        serde_json::from_str(&read("docs/foreman-toml.schema.json")).expect("JSON");
    let policy = "/properties/policy/properties";
    let label = format!("{policy}/labels/additionalProperties/properties");
    for (table, place) in [
        ("[gate]", "/properties/gate/properties".to_owned()),
        ("[gate.timeouts]", "/properties/gate/properties/timeouts/properties".to_owned()),
        ("[policy]", policy.to_owned()),
        ("[policy.labels.x]", label.clone()),
    ] {
        let known: BTreeSet<String> = keys_of_policy(table).into_iter().collect();
        let listed = schema.pointer(&place).and_then(serde_json::Value::as_object);
        let listed: BTreeSet<String> = listed.expect("a table").keys().cloned().collect();
        assert_eq!(listed, known, "{table}");
    }
    let text = "[policy.labels.x]\noff = [\"no_such_rule\"]\n";
    let error = Policy::parse(Some(text), Detected::default()).expect_err("an unknown rule");
    let rules = schema.pointer(&format!("{label}/off/items/enum")).expect("the rules");
    assert_eq!(rules, &serde_json::json!(expected(&error.to_string())));
}

#[test]
fn what_to_do_is_the_same_on_the_page_and_in_the_answers() {
    let page = read("docs/api.md");
    let reasons = serde_json::from_str::<ReasonCode>("\"no_such_code\"").expect_err("unknown");
    for code in expected(&reasons.to_string()) {
        let reason: ReasonCode = serde_json::from_str(&format!("\"{code}\"")).expect("a code");
        let cells = row(section(&page, "Reason codes"), &code).expect("a row");
        assert_eq!(cells[2], reason.advice(), "{code}");
    }
}

#[test]
fn the_api_page_names_everything_that_is_stable() {
    let page = read("docs/api.md");
    let reasons = serde_json::from_str::<ReasonCode>("\"no_such_code\"").expect_err("unknown");
    let reasons = expected(&reasons.to_string());
    assert!(reasons.len() > 20, "{reasons:?}");
    for code in reasons {
        let cells = row(section(&page, "Reason codes"), &code)
            .unwrap_or_else(|| panic!("the reason {code} has no row in docs/api.md"));
        assert!(filled(&cells, 3), "{code} does not say what to do");
    }
    for kind in EventType::ALL {
        let found = row(section(&page, "Event types"), kind.as_str());
        assert!(found.is_some_and(|cells| filled(&cells, 2)), "the event {kind} has no row");
    }
    for status in RunStatus::ALL {
        assert!(row(section(&page, "Statuses"), status.as_str()).is_some(), "{status} has no row");
    }
    for severity in Severity::ALL {
        assert!(section(&page, "Event types").contains(&format!("`{severity}`")), "{severity}");
    }
    let keys = serde_json::from_str::<NightConfig>("{\"noSuchKey\": 1}").expect_err("unknown");
    for key in expected(&keys.to_string()) {
        let found = row(section(&page, "POST /api/foreman/overnight"), &key);
        assert!(found.is_some_and(|cells| filled(&cells, 3)), "config.{key} has no row");
    }
}

#[test]
fn every_route_and_error_code_is_in_the_api_page() {
    let page = read("docs/api.md");
    let router = read("src/http/mod.rs");
    let routes: Vec<&str> =
        router.split("route(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(routes.len() > 5, "{routes:?}");
    for route in routes {
        let shown = page.lines().any(|line| {
            line.starts_with("| `")
                && line.split('`').nth(1).is_some_and(|it| it.split(' ').nth(1) == Some(route))
        });
        assert!(shown, "the route {route} is not in the table of docs/api.md");
    }
    let codes = error_codes();
    assert!(codes.len() > 15, "{codes:?}");
    for code in codes {
        let found = row(section(&page, "Error codes"), &code);
        assert!(found.is_some_and(|cells| filled(&cells, 3)), "the error {code} has no row");
    }
}

/// Every code that `src/http` gives to an error, read from where it is given.
fn error_codes() -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for entry in fs::read_dir(root().join("src/http")).expect("a folder").flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
        // A call may be broken over lines: the code is its first argument all the same.
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let error = entry.file_name() == "error.rs";
        let places = ["code: \"", "invalid(\"", "invalid( \"", "refused(\"", "unavailable(\""];
        for place in places.iter().chain(error.then_some(&"=> \"")) {
            for rest in flat.split(place).skip(1) {
                let code = rest.split('"').next().unwrap_or_default();
                let is_code = code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
                if is_code && !code.is_empty() {
                    codes.insert(code.to_owned());
                }
            }
        }
    }
    codes
}

#[test]
fn every_failpoint_is_in_the_development_page() {
    let page = read("docs/development.md");
    for name in failpoint::ALL {
        assert!(page.contains(&format!("`{name}`")), "the failpoint {name} is not named");
    }
}

#[test]
fn the_readme_begins_with_its_two_commands() {
    let page = read("README.md");
    let commands: Vec<&str> = page
        .split("```sh\n")
        .skip(1)
        .filter_map(|block| block.split("```").next())
        .flat_map(str::lines)
        .take(2)
        .collect();
    assert_eq!(commands, ["cargo run --locked -- demo", "cargo test --locked"]);
    // CI takes its test command from here, so it must find the same one.
    assert!(read(".ci/run").contains("grep -m1 '^cargo test' README.md"));
    assert_eq!(page.lines().find(|line| line.starts_with("cargo test")), Some(commands[1]));
}

fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md")];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    assert!(pages.len() > 8, "{pages:?}");
    pages
}

/// A page without its blocks of code.
fn prose(text: &str) -> String {
    let mut code = false;
    let is_prose = |line: &&str| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    };
    text.lines().filter(is_prose).collect::<Vec<_>>().join("\n")
}

/// The anchors that GitHub makes of a page's headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let of = |heading: &str| {
        heading
            .trim_start_matches('#')
            .trim()
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    };
    prose(text).lines().filter(|line| line.starts_with('#')).map(of).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut links = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        for target in prose(&text).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") {
                continue;
            }
            links += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let there = match file {
                "" => page.clone(),
                file => page.parent().expect("a folder").join(file),
            };
            assert!(there.exists(), "{} links to {target}, which is not there", page.display());
            if !anchor.is_empty() {
                let text = fs::read_to_string(&there).expect("a page");
                let found = anchors(&text).contains(anchor);
                assert!(found, "{} links to {target}: no such heading", page.display());
            }
        }
    }
    assert!(links > 20, "only {links} links were found");
}

#[test]
fn what_the_pages_must_not_miss_is_seen_as_missing() {
    let page = "# A\n\n| key | default | meaning |\n| --- | --- | --- |\n| `x` | 1 | |\n\n# B\n";
    assert!(row(section(page, "A"), "y").is_none());
    assert!(row(section(page, "A"), "x").is_some_and(|cells| !filled(&cells, 3)));
    assert!(!anchors(page).contains("c") && anchors(page).contains("b"));
    assert_eq!(expected("unknown field `z`, expected one of `a`, `b`"), ["a", "b"]);
}
