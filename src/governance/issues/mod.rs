//! Governance issues: what they say, in which order they come, and what is sent to GitHub.
//!
//! Owns the templates, shipped and added as files. Creating them is `create.rs`'s business.

pub mod create;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::domain::ids::IssueNumber;
use crate::domain::plan::SequenceType;
use crate::github::NewIssue;

/// The four that governance begins with.
const SHIPPED: [(&str, &str); 4] = [
    ("model-escalation.md", include_str!("templates/model-escalation.md")),
    ("desktop-sync.md", include_str!("templates/desktop-sync.md")),
    ("auto-heal.md", include_str!("templates/auto-heal.md")),
    ("gsr-model.md", include_str!("templates/gsr-model.md")),
];
/// Stands around a template's head.
const FENCE: &str = "+++";

/// A governance issue as it is defined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GovernanceIssue {
    /// Stable: it is in the marker by which the issue is found again.
    pub id: String,
    pub title: String,
    /// Markdown, the acceptance criteria included.
    pub body: String,
    pub labels: Vec<String>,
    /// 1 is first.
    pub priority: u32,
    pub sequence_type: SequenceType,
    /// Ids of those that come before it.
    pub dependencies: Vec<String>,
    pub acceptance_criteria: Vec<String>,
}

/// Why a template cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the template {file} cannot be used: {why}")]
pub struct TemplateError {
    pub file: String,
    pub why: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    id: String,
    title: String,
    priority: u32,
    sequence_type: SequenceType,
    #[serde(default)]
    labels: Vec<String>,
    #[serde(default)]
    depends_on: Vec<String>,
    #[serde(default)]
    acceptance: Vec<String>,
}

/// The four that are shipped.
#[must_use]
pub fn shipped() -> Vec<GovernanceIssue> {
    let parsed = SHIPPED.iter().filter_map(|(file, text)| parse(file, text).ok());
    parsed.collect()
}

/// The shipped ones and those of a folder (`*.md`), by priority and id.
pub fn load(folder: Option<&Path>) -> Result<Vec<GovernanceIssue>, TemplateError> {
    let mut issues = shipped();
    if let Some(folder) = folder {
        let failed = |path: &Path, why: std::io::Error| TemplateError {
            file: path.display().to_string(),
            why: why.to_string(),
        };
        let entries = std::fs::read_dir(folder).map_err(|error| failed(folder, error))?;
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
        paths.sort();
        for path in paths {
            let text = std::fs::read_to_string(&path).map_err(|error| failed(&path, error))?;
            issues.push(parse(&path.display().to_string(), &text)?);
        }
    }
    check(&issues)?;
    issues.sort_by(|a, b| (a.priority, &a.id).cmp(&(b.priority, &b.id)));
    Ok(issues)
}

fn parse(file: &str, text: &str) -> Result<GovernanceIssue, TemplateError> {
    let refuse = |why: String| TemplateError { file: file.to_owned(), why };
    let rest = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let Some((head, body)) =
        rest.strip_prefix("+++\n").and_then(|rest| rest.split_once(&format!("\n{FENCE}\n")))
    else {
        return Err(refuse("it begins with a TOML head between two lines of `+++`".to_owned()));
    };
    let head: Head = toml::from_str(head).map_err(|error| refuse(error.message().to_owned()))?;
    let id_ok = (1..=64).contains(&head.id.len())
        && head.id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !id_ok {
        return Err(refuse(format!(
            "id is `{}`; it takes lower case letters, digits and `-`",
            head.id
        )));
    }
    if head.title.trim().is_empty() || head.title.chars().count() > 256 {
        return Err(refuse("title takes 1 to 256 characters".to_owned()));
    }
    let mut text = body.trim().to_owned();
    if !head.acceptance.is_empty() {
        text.push_str("\n\n## Acceptance criteria\n");
        for line in &head.acceptance {
            text.push_str(&format!("\n- [ ] {line}"));
        }
    }
    text.push('\n');
    Ok(GovernanceIssue {
        id: head.id,
        title: head.title,
        body: text,
        labels: head.labels,
        priority: head.priority,
        sequence_type: head.sequence_type,
        dependencies: head.depends_on,
        acceptance_criteria: head.acceptance,
    })
}

/// Each id once, each dependency known, and none that waits for itself.
fn check(issues: &[GovernanceIssue]) -> Result<(), TemplateError> {
    let refuse = |issue: &GovernanceIssue, why: String| {
        Err(TemplateError { file: format!("of `{}`", issue.id), why })
    };
    let mut ids = BTreeSet::new();
    for issue in issues {
        if !ids.insert(issue.id.as_str()) {
            return refuse(issue, "another has the same id".to_owned());
        }
    }
    for issue in issues {
        if let Some(unknown) = issue.dependencies.iter().find(|id| !ids.contains(id.as_str())) {
            return refuse(issue, format!("it depends on `{unknown}`, which there is none of"));
        }
    }
    match in_order(issues) {
        Ok(_) => Ok(()),
        Err(cyclic) => refuse(cyclic, "its dependencies come back to itself".to_owned()),
    }
}

/// Blockers first, then by priority; an issue that waits for itself is the error.
pub(super) fn in_order(
    issues: &[GovernanceIssue],
) -> Result<Vec<&GovernanceIssue>, &GovernanceIssue> {
    let mut left: Vec<&GovernanceIssue> = issues.iter().collect();
    left.sort_by(|a, b| (a.priority, &a.id).cmp(&(b.priority, &b.id)));
    let mut done: Vec<&GovernanceIssue> = Vec::new();
    while let Some(first) = left.first().copied() {
        let ready = left.iter().position(|issue| {
            issue.dependencies.iter().all(|id| done.iter().any(|done| done.id == *id))
        });
        match ready {
            Some(at) => done.push(left.remove(at)),
            None => return Err(first),
        }
    }
    Ok(done)
}

/// The mark by which a governance issue of ours is found again.
#[must_use]
pub fn marker(id: &str) -> String {
    format!("<!-- foreman:governance-issue={id} -->")
}

/// What is sent to GitHub for an issue whose blockers have these numbers.
#[must_use]
pub fn payload(issue: &GovernanceIssue, numbers: &BTreeMap<String, IssueNumber>) -> NewIssue {
    let mut body = format!("{}\n{}", marker(&issue.id), issue.body);
    let on = issue.dependencies.iter().filter_map(|id| numbers.get(id));
    let on: Vec<String> = on.map(|number| format!("Depends on {number}")).collect();
    if !on.is_empty() {
        body.push_str(&format!("\n{}\n", on.join("\n")));
    }
    NewIssue { title: issue.title.clone(), body, labels: issue.labels.clone() }
}

/// The issues in a few lines, for people.
#[must_use]
pub fn summary(issues: &[GovernanceIssue]) -> String {
    let mut text = format!("{} governance issues\n", issues.len());
    for issue in issues {
        let after = if issue.dependencies.is_empty() {
            String::new()
        } else {
            format!("  (after {})", issue.dependencies.join(", "))
        };
        text.push_str(&format!(
            "{:>3}. {} [{}] {}{after}\n",
            issue.priority, issue.id, issue.sequence_type, issue.title
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_are_what_the_seed_asks_for() {
        let issues = load(None).expect("valid");
        let ids: Vec<&str> = issues.iter().map(|issue| issue.id.as_str()).collect();
        assert_eq!(ids, ["model-escalation", "desktop-sync", "auto-heal", "gsr-model"]);
        assert_eq!(issues.iter().map(|issue| issue.priority).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(issues[0].sequence_type, SequenceType::Architecture);
        for issue in &issues[1..] {
            assert_eq!(issue.sequence_type, SequenceType::Governance);
            assert_eq!(issue.dependencies, ["model-escalation"]);
        }
        for issue in &issues {
            assert!(issue.acceptance_criteria.len() >= 4 && issue.body.len() > 1_000);
            assert!(issue.body.contains("- [ ] "));
        }
        assert!(summary(&issues).contains("gsr-model"));
    }

    #[test]
    fn text_names_the_blockers_by_number() {
        let issues = shipped();
        let numbers = BTreeMap::from([("model-escalation".to_owned(), IssueNumber(7))]);
        let payload = payload(&issues[2], &numbers);
        assert!(payload.body.starts_with("<!-- foreman:governance-issue=auto-heal -->\n"));
        assert!(payload.body.ends_with("\nDepends on #7\n"), "{}", payload.body);
    }

    #[test]
    fn a_folder_adds_to_them_and_mistakes_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("written");
        };
        let head = |id: &str, on: &str| {
            format!(
                "+++\nid = \"{id}\"\ntitle = \"T\"\npriority = 9\nsequence_type = \"qa\"\ndepends_on = [{on}]\n+++\nText\n"
            )
        };
        write("more.md", &head("more", "\"gsr-model\""));
        write("notes.txt", "not a template");
        let issues = load(Some(folder.path())).expect("valid");
        assert_eq!((issues.len(), issues[4].id.as_str()), (5, "more"));
        assert_eq!(issues[4].body, "Text\n");
        for (text, word) in [
            (head("more", "\"nobody\""), "nobody"),
            (head("more", "\"more\""), "itself"),
            (head("gsr-model", ""), "same id"),
            (head("More", ""), "lower case"),
            ("# no head".to_owned(), "+++"),
            (head("more", "").replace("priority", "urgency"), "urgency"),
        ] {
            write("more.md", &text);
            let error = load(Some(folder.path())).expect_err(&text).to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
