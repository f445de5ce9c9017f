//! Recorded outputs that tests compare with: rewritten wholesale they prove nothing.
//!
//! Pure. A recording that changes where the issue asks for it, or a new one, is fine.

use crate::domain::evidence::Violation;
use crate::gate::change::{ChangeKind, Changed};
use crate::gate::finding::{Where, high};
use crate::gate::look::{Asked, Look, tokens};
use crate::gate::scan::is_test_path;

/// Snapshots deleted, rewritten or changed without being asked for.
#[must_use]
pub fn snapshots(look: &Look<'_>) -> Vec<Violation> {
    look.changes.iter().filter_map(|change| rewritten(change, look.asked)).collect()
}

fn is_recording(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let ends =
        [".snap", ".golden", ".approved.txt", ".expected", ".ambr", ".out", ".stderr", ".stdout"];
    let folder = path.split('/').any(|part| {
        matches!(
            part,
            "__snapshots__" | "snapshots" | "golden" | "goldens" | "expected" | "cassettes"
        )
    });
    let by_name = ends.iter().any(|end| name.ends_with(end));
    let weak = [".out", ".stderr", ".stdout"].iter().any(|end| name.ends_with(end));
    (by_name && (!weak || is_test_path(path)))
        || (folder && is_test_path(path))
        || path.split('/').any(|part| part == "__snapshots__")
        || (is_test_path(path) && path.contains("testdata/"))
}

fn rewritten(change: &Changed, asked: &Asked) -> Option<Violation> {
    if !is_recording(change.former()) || change.old.is_empty() {
        return None;
    }
    let stem = change.former().rsplit('/').next()?.split('.').next().unwrap_or("");
    if asked.says(&["snapshot", "snapshots", "golden", "goldens"]) || asked.names(stem) {
        return None;
    }
    let at = || Where::file(change.former());
    if change.kind == ChangeKind::Deleted {
        let what = format!("the recorded output {} was deleted", change.former());
        return Some(high("snapshot_rewritten", what, at()));
    }
    if change.removed.is_empty() {
        return None;
    }
    let lines = change.old.lines().filter(|line| !line.trim().is_empty()).count();
    let words = |lines: &[crate::gate::change::Line]| -> Vec<String> {
        lines.iter().flat_map(|line| tokens(&line.text).collect::<Vec<_>>()).collect()
    };
    let (old, new) = (words(&change.removed), words(&change.added));
    let named = new.iter().any(|word| !old.contains(word) && asked.names(word))
        || old.iter().any(|word| !new.contains(word) && asked.names(word));
    let wholesale = lines > 8 && change.removed.len() * 2 > lines;
    if named && !wholesale {
        return None;
    }
    let how = if wholesale {
        "was rewritten wholesale"
    } else {
        "changed, and the issue does not ask for that"
    };
    Some(high("snapshot_rewritten", format!("the recorded output {} {how}", change.path), at()))
}
