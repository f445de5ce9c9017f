//! The repository's own instructions for those who work on it, as data.
//!
//! Owns which files are read and how much of them. They are read through the workspace's handle,
//! so that no link leads out. Never takes them for rules: the prompt says what they are.

use super::files::Workspace;
use crate::builders::clean_text;

/// Files in which repositories say how they want to be worked on, the most telling first.
const FILES: [&str; 4] =
    ["AGENTS.md", "CONTRIBUTING.md", ".github/CONTRIBUTING.md", "docs/CONTRIBUTING.md"];
/// Characters of one of them.
const ONE: usize = 8_000;
/// Files that are shown.
const MOST: usize = 2;

/// A file of instructions: its name and its words, cleaned and cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::builders) struct Guide {
    pub name: &'static str,
    pub text: String,
}

/// What the repository says of itself.
pub(super) fn guides(files: &Workspace) -> Vec<Guide> {
    FILES
        .into_iter()
        .filter_map(|name| {
            let text = clean_text(&files.read(name).ok()?);
            let text = super::compact::middle_out(text.trim(), ONE);
            (!text.is_empty()).then_some(Guide { name, text })
        })
        .take(MOST)
        .collect()
}
