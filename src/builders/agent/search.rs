//! Searching the workspace's files, by words or by regular expression, within bounds.
//!
//! Links are not followed; `.git` and build output are left out.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use cap_std::fs::Dir;
use regex::{Regex, RegexBuilder};

/// Matches shown.
const MATCHES: usize = 200;
/// Characters shown of a line.
const LINE: usize = 240;
/// Files looked into.
const FILES: usize = 20_000;
/// Larger files are not looked into.
const FILE_SIZE: u64 = 1 << 20;
/// Folders deeper than this are not entered.
const DEPTH: usize = 40;
/// A regular expression's compiled size, bytes.
const REGEX_SIZE: usize = 1 << 20;
const SKIPPED: [&str; 4] = [".git", "target", "node_modules", ".venv"];

/// What to look for, and below which folder (empty is the top).
pub(super) struct Search<'a> {
    pub pattern: &'a str,
    pub regex: bool,
    pub below: &'a Path,
}

struct Found {
    text: String,
    matches: usize,
    files: usize,
    full: bool,
}

/// The matches as `path:line: text`, or the sentence of what is wrong with the pattern.
pub(super) fn search(top: &Dir, search: &Search<'_>) -> Result<String, String> {
    if search.pattern.is_empty() {
        return Err("pattern is empty".to_owned());
    }
    let source =
        if search.regex { search.pattern.to_owned() } else { regex::escape(search.pattern) };
    let regex = RegexBuilder::new(&source)
        .size_limit(REGEX_SIZE)
        .build()
        .map_err(|error| format!("pattern is not a regular expression: {error}"))?;
    let mut found = Found { text: String::new(), matches: 0, files: 0, full: false };
    let meta = if search.below.as_os_str().is_empty() {
        None
    } else {
        let meta = top.metadata(search.below);
        Some(meta.map_err(|error| format!("`{}`: {error}", search.below.display()))?)
    };
    match meta {
        Some(meta) if meta.is_file() => {
            look_into(top, search.below, search.below, &regex, &mut found);
        }
        Some(_) => {
            let dir = top.open_dir(search.below);
            let dir = dir.map_err(|error| format!("`{}`: {error}", search.below.display()))?;
            walk(&dir, search.below, &regex, DEPTH, &mut found);
        }
        None => walk(top, Path::new(""), &regex, DEPTH, &mut found),
    }
    if found.matches == 0 {
        return Ok(format!("no match in {} files", found.files));
    }
    if found.full {
        found
            .text
            .push_str("[… further matches or files left out; search for something narrower]\n");
    }
    Ok(found.text)
}

fn walk(dir: &Dir, at: &Path, regex: &Regex, depth: usize, found: &mut Found) {
    let Ok(entries) = dir.entries() else { return };
    let mut names: Vec<PathBuf> =
        entries.filter_map(Result::ok).map(|entry| entry.file_name().into()).collect();
    names.sort();
    for name in names {
        if found.full {
            return;
        }
        let Ok(meta) = dir.symlink_metadata(&name) else { continue };
        let path = at.join(&name);
        if meta.is_file() {
            look_into(dir, &name, &path, regex, found);
        } else if meta.is_dir() && !SKIPPED.iter().any(|skipped| name == Path::new(skipped)) {
            if depth == 0 {
                found.full = true;
            } else if let Ok(inner) = dir.open_dir(&name) {
                walk(&inner, &path, regex, depth - 1, found);
            }
        }
    }
}

fn look_into(dir: &Dir, name: &Path, shown: &Path, regex: &Regex, found: &mut Found) {
    if found.files >= FILES {
        found.full = true;
        return;
    }
    found.files += 1;
    let Ok(file) = dir.open(name) else { return };
    if !file.metadata().is_ok_and(|meta| meta.is_file() && meta.len() <= FILE_SIZE) {
        return;
    }
    let mut text = String::new();
    if file.take(FILE_SIZE).read_to_string(&mut text).is_err() {
        return; // not text
    }
    for (index, line) in text.lines().enumerate() {
        if !regex.is_match(line) {
            continue;
        }
        if found.matches >= MATCHES {
            found.full = true;
            return;
        }
        found.matches += 1;
        let line: String = line.trim_end().chars().take(LINE).collect();
        // Writing to a string does not fail.
        writeln!(found.text, "{}:{}: {line}", shown.display(), index + 1).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cap_std::ambient_authority;

    #[test]
    fn words_and_expressions_are_found_with_their_places() {
        let root = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            std::fs::write(path, text).expect("a file");
        };
        file("src/lib.rs", "fn add() {}\nfn (odd\n");
        file("target/x.rs", "fn add() {}\n");
        file(".git/x", "fn add() {}\n");
        std::os::unix::fs::symlink("/etc", root.path().join("etc")).expect("a link");
        let top = Dir::open_ambient_dir(root.path(), ambient_authority()).expect("opened");
        let look = |pattern, regex, below: &str| {
            search(&top, &Search { pattern, regex, below: Path::new(below) })
        };
        assert_eq!(look("fn add", false, "").expect("found"), "src/lib.rs:1: fn add() {}\n");
        assert_eq!(look("(odd", false, "src").expect("found"), "src/lib.rs:2: fn (odd\n");
        assert_eq!(look("fn \\w+\\(", true, "src/lib.rs").expect("found").lines().count(), 1);
        assert!(look("root:", false, "").expect("nothing").contains("no match"));
        assert!(look("root:", false, "etc").is_err());
        assert!(look("(", true, "").expect_err("bad").contains("regular expression"));
    }

    #[test]
    fn what_is_left_out_is_said() {
        let root = tempfile::tempdir().expect("a folder");
        std::fs::write(root.path().join("many"), "x\n".repeat(MATCHES + 1)).expect("a file");
        let top = Dir::open_ambient_dir(root.path(), ambient_authority()).expect("opened");
        let all = Search { pattern: "x", regex: false, below: Path::new("") };
        let said = search(&top, &all).expect("found");
        assert!(said.contains("left out"));
        assert_eq!(said.lines().count(), MATCHES + 1);
    }
}
