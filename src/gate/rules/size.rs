//! How much a change may be, and what kinds of files it may bring.
//!
//! Pure.

use crate::domain::event::Severity;
use crate::domain::evidence::Violation;
use crate::gate::change::Changed;
use crate::gate::finding::{Where, high, violation};
use crate::gate::scan::Language;

/// A binary above this needs a person: 256 KiB is far above an icon.
const LARGEST_BINARY: u64 = 256 * 1024;
/// A text above this can't be reviewed: 2 MiB.
pub const LARGEST_TEXT: u64 = 2 << 20;

/// How programs for Linux, Windows and WebAssembly begin.
const MACHINE_CODE: [&str; 3] = ["\u{7f}ELF", "MZ", "\0asm"];
/// Bytes of one line of code beyond which nobody wrote it.
const LONGEST_LINE: usize = 4000;

/// Git's modes for a link and for a submodule.
const MODE_LINK: u32 = 0o120_000;
const MODE_GITLINK: u32 = 0o160_000;

/// Size limits, large files, links and submodules.
#[must_use]
pub fn size(changes: &[Changed], max_files: u64, max_lines: u64) -> Vec<Violation> {
    let mut found = Vec::new();
    let files = changes.len() as u64;
    if files > max_files {
        found.push(violation(
            "too_large",
            Severity::Medium,
            format!("the change touches {files} files; the policy allows {max_files}"),
            Where::nowhere(),
        ));
    }
    let lines: u64 = changes
        .iter()
        .filter(|change| !is_lock(change.name()) && !change.binary)
        .map(|change| (change.added.len() + change.removed.len()) as u64)
        .sum();
    if lines > max_lines {
        found.push(violation(
            "too_large",
            Severity::Medium,
            format!("the change is {lines} lines long; the policy allows {max_lines}"),
            Where::nowhere(),
        ));
    }
    for change in changes {
        kind_of_file(change, &mut found);
    }
    found
}

fn is_lock(name: &str) -> bool {
    std::path::Path::new(name).extension().is_some_and(|extension| extension == "lock")
        || matches!(name, "package-lock.json" | "pnpm-lock.yaml" | "go.sum")
}

fn kind_of_file(change: &Changed, found: &mut Vec<Violation>) {
    let at = || Where::file(&change.path);
    match change.mode {
        Some(MODE_GITLINK) => found.push(high(
            "gitlink",
            format!("{} is a submodule: its content can't be judged", change.path),
            at(),
        )),
        Some(MODE_LINK) if leaves_tree(&change.path, change.new.trim_end_matches('\n')) => {
            found.push(high(
                "link_out_of_tree",
                format!("the link {} points out of the tree", change.path),
                at(),
            ));
        }
        Some(_) | None => {}
    }
    let machine_code = change.mode.is_some()
        && (is_program(change.name()) || MACHINE_CODE.iter().any(|it| change.new.starts_with(it)));
    if change.binary && machine_code {
        found.push(high(
            "program_binary",
            format!("{} is a program's binary: what it does can't be judged", change.path),
            at(),
        ));
    } else if change.binary && change.size > LARGEST_BINARY {
        found.push(violation(
            "large_binary",
            Severity::Medium,
            format!("{} is a binary of {} bytes", change.path, change.size),
            at(),
        ));
    } else if let Some(line) = generated(change) {
        found.push(high(
            "generated_code",
            format!("a line of {} is over {LONGEST_LINE} characters long: generated code can't be judged", change.path),
            Where::line(&change.path, line),
        ));
    } else if !change.binary && change.size > LARGEST_TEXT && !is_lock(change.name()) {
        found.push(violation(
            "too_large",
            Severity::Medium,
            format!("{} is a text of {} bytes", change.path, change.size),
            at(),
        ));
    }
}

/// Machine code and archives of it, by their names; `MACHINE_CODE` knows some by content.
fn is_program(name: &str) -> bool {
    let end = std::path::Path::new(name).extension().and_then(|end| end.to_str()).unwrap_or("");
    matches!(
        end,
        "exe"
            | "dll"
            | "so"
            | "dylib"
            | "a"
            | "o"
            | "obj"
            | "class"
            | "jar"
            | "war"
            | "pyc"
            | "pyd"
            | "wasm"
            | "node"
            | "rlib"
            | "bin"
            | "whl"
            | "egg"
    )
}

/// A line that nobody wrote by hand: minified or generated code can't be reviewed.
fn generated(change: &Changed) -> Option<u32> {
    let code = Language::of(&change.path) != Language::Other
        || matches!(
            change.name().rsplit('.').next(),
            Some("css" | "rb" | "php" | "c" | "h" | "cpp" | "cs")
        );
    let long = |line: &&crate::gate::change::Line| line.text.len() > LONGEST_LINE;
    change.added.iter().find(long).filter(|_| code && !change.binary).map(|line| line.number)
}

/// Whether a link at `path` with this target leads out of the repository (or into `.git`).
fn leaves_tree(path: &str, target: &str) -> bool {
    if target.starts_with('/') || target.is_empty() {
        return true;
    }
    let mut depth = path.matches('/').count();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                let Some(up) = depth.checked_sub(1) else { return true };
                depth = up;
            }
            part if part.eq_ignore_ascii_case(".git") => return true,
            _ => depth += 1,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(changes: &[Changed]) -> Vec<String> {
        size(changes, 2, 5).into_iter().map(|violation| violation.kind).collect()
    }

    #[test]
    fn limits() {
        let one = |path: &str, new: &str| Changed::text(path, None, None, Some(new));
        assert!(kinds(&[one("a", "1\n2\n"), one("b", "1\n2\n3\n")]).is_empty());
        assert_eq!(kinds(&[one("a", "1\n2\n3\n4\n5\n6\n")]), ["too_large"]);
        assert_eq!(kinds(&[one("a", ""), one("b", ""), one("c", "")]), ["too_large"]);
        assert!(kinds(&[one("Cargo.lock", "1\n2\n3\n4\n5\n6\n")]).is_empty());
    }

    #[test]
    fn kinds_of_files() {
        let mut file = Changed::text("a/b", None, None, Some("../x"));
        file.mode = Some(MODE_LINK);
        assert!(kinds(&[file.clone()]).is_empty());
        for target in ["../../x", "/etc/passwd", "../.git/config"] {
            target.clone_into(&mut file.new);
            assert_eq!(kinds(&[file.clone()]), ["link_out_of_tree"], "{target}");
        }
        file.mode = Some(MODE_GITLINK);
        assert_eq!(kinds(&[file.clone()]), ["gitlink"]);
        let binary = Changed { mode: None, binary: true, size: 1 << 20, ..file };
        assert_eq!(kinds(&[binary]), ["large_binary"]);
    }
}
