//! Conflict markers among the added lines.
//!
//! Pure.

use crate::domain::evidence::Violation;
use crate::gate::change::Changed;
use crate::gate::finding::{Where, high};

/// A `<<<<<<<` or `>>>>>>>` at the start of an added line, with its counterpart in the file.
#[must_use]
pub fn markers(changes: &[Changed]) -> Vec<Violation> {
    let mut found = Vec::new();
    for change in changes {
        let marks = ["<<<<<<<", ">>>>>>>", "|||||||"];
        let is_mark = |text: &str, mark: &str| {
            text.strip_prefix(mark).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        // A lone row of signs is an underline or art; a divider with it is a conflict.
        let divided = change.new.lines().any(|line| line == "=======" || line == "=======\r");
        let first = change.added.iter().find(|line| {
            marks.iter().any(|mark| {
                is_mark(line.text.trim_end(), mark)
                    && (divided || line.text.trim_end().len() > mark.len())
            })
        });
        if let Some(line) = first {
            found.push(high(
                "conflict_marker",
                "a conflict marker was left in the file",
                Where::line(&change.path, line.number),
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(old: &str, new: &str) -> Option<u32> {
        markers(&[Changed::text("a.txt", None, Some(old), Some(new))]).first().and_then(|v| v.line)
    }

    #[test]
    fn only_added_markers_count() {
        let conflict = "a\n<<<<<<< HEAD\nb\n=======\nc\n>>>>>>> x\n";
        assert_eq!(marked("a\n", conflict), Some(2));
        assert_eq!(marked(conflict, &format!("{conflict}d\n")), None);
        assert_eq!(marked("", "Title\n=======\n"), None);
        assert_eq!(marked("", "  <<<<<<< indented in a test's text\n=======\n"), None);
    }
}
