//! Overlap in files with other open pull requests of Foreman's own.
//!
//! Pure: it is told which are open and what they change. A pull request that this one stands on
//! is no overlap.

use crate::domain::evidence::{Check, CheckOutcome, Dimension};
use crate::gate::change::Changed;
use crate::gate::finding::check;

/// Another open pull request of ours, or a branch of this night that will have one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenWork {
    /// As people know it: `#45`, or the number where it has no pull request yet.
    pub name: String,
    pub branch: String,
    /// The files it changes.
    pub files: Vec<String>,
}

/// Which open work changes a file that this change touches too, with those files.
#[must_use]
pub fn overlaps<'a>(files: &[&str], open: &'a [OpenWork]) -> Vec<(&'a OpenWork, Vec<&'a str>)> {
    open.iter()
        .filter_map(|work| {
            let both: Vec<&str> =
                work.files.iter().map(String::as_str).filter(|f| files.contains(f)).collect();
            (!both.is_empty()).then_some((work, both))
        })
        .collect()
}

/// The row: `None` for `open` means that nobody looked.
#[must_use]
pub fn overlap(changes: &[Changed], open: Option<&[OpenWork]>) -> Check {
    const NAME: &str = "overlap";
    let row = |outcome, findings| check(Dimension::Cdw, NAME, outcome, findings);
    let Some(open) = open else {
        let why = "this is no night: nobody looked for other open pull requests";
        return row(CheckOutcome::NotApplicable, vec![why.to_owned()]);
    };
    let files: Vec<&str> = changes
        .iter()
        .flat_map(|change| std::iter::once(change.path.as_str()).chain(change.old_path.as_deref()))
        .collect();
    let found: Vec<String> = overlaps(&files, open)
        .into_iter()
        .map(|(work, both)| {
            format!(
                "{} is open ({}) and changes {} too: merge or close it first",
                work.name,
                work.branch,
                both.join(", ")
            )
        })
        .collect();
    if found.is_empty() {
        let why =
            format!("none of the {} other open pull requests changes these files", open.len());
        return row(CheckOutcome::Passed, vec![why]);
    }
    row(CheckOutcome::Failed, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_file_is_named_with_its_pull_request() {
        let open = [OpenWork {
            name: "#45".into(),
            branch: "foreman/issue-3".into(),
            files: vec!["src/a.rs".into(), "src/b.rs".into()],
        }];
        let change = |path| Changed::text(path, None, Some("a"), Some("b"));
        let row = overlap(&[change("src/b.rs")], Some(&open));
        assert_eq!(row.outcome, CheckOutcome::Failed);
        assert!(row.findings[0].contains("#45") && row.findings[0].contains("src/b.rs"));
        assert_eq!(overlap(&[change("src/c.rs")], Some(&open)).outcome, CheckOutcome::Passed);
        assert_eq!(overlap(&[change("a")], None).outcome, CheckOutcome::NotApplicable);
    }
}
