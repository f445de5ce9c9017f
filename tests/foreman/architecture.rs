//! The house holds: who may import whom, how long a file may be, and that each says what it owns.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms from the ground up. A room may import rooms of lower floors, not of its own or above.
const FLOORS: &[&[&str]] = &[
    &["domain", "config", "telemetry", "process", "failpoint"],
    &["sequencing", "escalation"],
    &["store", "github", "git", "models", "sandbox", "library"],
    &["builders", "gate", "governance", "desktop_sync"],
    &["overnight"],
    &["http"],
    &["app"],
    &["demo"],
    &["cli"],
    &["main"],
];

/// On the ground floor rooms stand beside one another; these imports among them are meant.
const BESIDE: &[(&str, &str)] =
    &[("config", "domain"), ("telemetry", "domain"), ("telemetry", "config")];

/// Lines above which a file must say why in its module doc.
const LONG: usize = 400;

fn sources() -> Vec<(PathBuf, String)> {
    files_in("src")
}

fn files_in(top: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(top)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable source folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a readable source file");
                found.push((path, text));
            }
        }
    }
    assert!(found.len() > 50, "the walk found only {} files", found.len());
    found
}

fn room_of(path: &Path) -> String {
    let inside = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let first = inside.expect("a file below src").components().next().expect("a name");
    first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// The rooms a text imports: `crate::room` anywhere outside comments, and `foreman::room` in main.
fn imports(text: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for prefix in ["crate::", "foreman::"] {
            for (at, _) in line.match_indices(prefix) {
                let rest = &line[at + prefix.len()..];
                let name: String =
                    rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
                if !name.is_empty() {
                    rooms.push(name);
                }
            }
        }
    }
    rooms
}

fn violations(files: &[(PathBuf, String)]) -> Vec<String> {
    let floor: BTreeMap<&str, usize> = FLOORS
        .iter()
        .enumerate()
        .flat_map(|(floor, rooms)| rooms.iter().map(move |room| (*room, floor)))
        .collect();
    let mut found = Vec::new();
    for (path, text) in files {
        let room = room_of(path);
        if room == "lib" {
            continue;
        }
        let Some(own) = floor.get(room.as_str()) else {
            found.push(format!("{}: the room `{room}` is in no floor", path.display()));
            continue;
        };
        for other in imports(text).into_iter().filter(|other| *other != room) {
            let Some(theirs) = floor.get(other.as_str()) else { continue };
            let beside = BESIDE.contains(&(room.as_str(), other.as_str()));
            if theirs >= own && !beside {
                found.push(format!("{}: `{room}` imports `{other}`", path.display()));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

#[test]
fn nothing_imports_upward_and_adapters_do_not_know_one_another() {
    let found = violations(&sources());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_rule_sees_an_import_upward() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/x.rs");
    let planted = vec![(root, "use crate::overnight::Overnight;\nuse crate::git::Git;".to_owned())];
    assert_eq!(violations(&planted).len(), 2);
}

#[test]
fn the_domain_and_the_pure_rooms_touch_nothing_outside() {
    let banned =
        ["tokio::", "octocrab::", "sqlx::", "reqwest::", "std::fs", "std::net", "Utc::now"];
    for (path, text) in sources() {
        if !["domain", "sequencing", "escalation"].contains(&room_of(&path).as_str()) {
            continue;
        }
        for word in banned {
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            let hit = code.into_iter().find(|line| line.contains(word));
            assert!(hit.is_none(), "{} uses {word}: {}", path.display(), hit.unwrap_or_default());
        }
    }
}

#[test]
fn every_file_says_what_it_owns_and_long_ones_say_why() {
    for (path, text) in [sources(), files_in("tests")].concat() {
        assert!(text.starts_with("//!"), "{} has no module doc on its first line", path.display());
        let lines = text.lines().count();
        let says_why = text.lines().take_while(|line| line.starts_with("//!")).any(|line| {
            let line = line.to_lowercase();
            line.contains("long because") || line.contains("over 400 lines")
        });
        assert!(lines <= LONG || says_why, "{} has {lines} lines", path.display());
    }
}
