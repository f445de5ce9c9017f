//! What Copilot and people read about Copilot's work. Pure.
//!
//! What comes from logs or from Copilot is untrusted here as everywhere: mentions and closing
//! keywords lose their force, and secrets never leave.

use std::fmt::Write as _;

use super::texts::{clip, defuse, evidence_table, marker};
use crate::domain::attempt::{CopilotWork, Outcome};
use crate::domain::ids::{AttemptId, IssueNumber, RepoName};
use crate::domain::redact::Redactor;
use crate::domain::run::IssueResult;

/// What goes with every issue. The rules of our own builders, as far as they fit.
pub(super) const INSTRUCTIONS: &str = "\
Make the smallest change that solves the issue properly, and keep the style of the code around it. \
Add or adapt tests where the issue changes behaviour. Run the repository's own checks before you \
finish. Never delete, skip or weaken a test or a check to make it pass. Never touch \
continuous-integration files, .foreman.toml, .gitattributes or .gitmodules unless the issue is about \
exactly that file.";

/// Characters of the gate's answer that are passed on; GitHub takes 65,536 in a comment.
const DIGEST_LIMIT: usize = 20_000;

pub(super) fn not_enabled(repo: &RepoName) -> String {
    crate::builders::not_enabled(repo)
}

/// By which our request for a repair is found again.
pub(super) fn repair_marker(attempt: &AttemptId, round: u32) -> String {
    format!("<!-- foreman:repair={attempt}:{round} -->")
}

/// What Copilot is asked to do after a refusal. It listens to comments that mention it.
pub(super) fn repair(marker: &str, digest: &str, redactor: &Redactor) -> String {
    let digest = clip(&redactor.redact(&defuse(digest)), DIGEST_LIMIT);
    let quoted: Vec<String> = digest.lines().map(|line| format!("> {line}")).collect();
    format!(
        "{marker}\n@copilot The checks refused this change. What they said, quoted as data:\n\n{}\n\n\
         Repair it so that every check passes, without weakening any check.\n",
        quoted.join("\n")
    )
}

/// By which a verdict on a head is found again.
pub(super) fn verdict_marker(head: &str, passed: bool) -> String {
    let word = if passed { "passed" } else { "refused" };
    format!("<!-- foreman:judged={head}:{word} -->")
}

/// The verdict that a comment holds on this head.
pub(super) fn verdict_in(body: &str, head: &str) -> Option<bool> {
    let says = |passed| body.contains(&verdict_marker(head, passed));
    if says(true) { Some(true) } else { says(false).then_some(false) }
}

/// The evidence on Copilot's pull request.
pub(super) fn verdict(
    issue: IssueNumber,
    row: &IssueResult,
    head: &str,
    passed: bool,
    redactor: &Redactor,
) -> String {
    let mut body = format!("{}\n{}\n", marker(issue), verdict_marker(head, passed));
    let word = if passed {
        "passed every check. Whatever is pushed after it has not"
    } else {
        "did not pass, and is not accepted"
    };
    let _ = writeln!(body, "Foreman judged `{head}` for {issue}: it {word}.\n");
    if let (false, Some(reason)) = (passed, &row.reason) {
        let _ = writeln!(body, "{}\n", redactor.redact(&defuse(reason)));
    }
    if let (Some(tree), Some(commit), Some(base)) = (&row.tree_sha, &row.head_sha, &row.base_sha) {
        let merged = if commit.as_str() == head { "" } else { ", the head merged with its base" };
        let _ = writeln!(body, "Tree `{tree}` of `{commit}`{merged}, on base `{base}`.\n");
    }
    if let Some(qa) = &row.qa_results {
        body.push_str(&redactor.redact(&evidence_table(qa)));
    }
    body.push_str("Copilot's own costs are billed by GitHub and not counted here.\n");
    body
}

/// The comment on the issue.
pub(super) fn comment(
    issue: IssueNumber,
    row: &IssueResult,
    work: &CopilotWork,
    outcome: &Outcome,
    redactor: &Redactor,
) -> String {
    let mut body = format!("{}\n", marker(issue));
    let pull = work.pull.as_ref().map_or("Copilot's work", |pull| pull.url.as_str());
    match outcome {
        Outcome::Success => {
            let _ =
                writeln!(body, "Copilot built {pull} for this issue, and it passed every check.\n");
        }
        Outcome::Failed { reason, .. } => {
            let reason = redactor.redact(&defuse(reason));
            let _ = writeln!(
                body,
                "Copilot worked on this issue, and {pull} is not accepted: {reason}\n\nEdit the issue, or add the label `foreman:retry`, to have it tried again.\n"
            );
        }
    }
    if let Some(qa) = &row.qa_results {
        body.push_str(&redactor.redact(&evidence_table(qa)));
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_speaks_of_one_head() {
        let (head, other) = ("a".repeat(40), "b".repeat(40));
        let body = format!("x {} y", verdict_marker(&head, false));
        assert_eq!(verdict_in(&body, &head), Some(false));
        assert_eq!(verdict_in(&body, &other), None);
        assert_eq!(verdict_in(&verdict_marker(&head, true), &head), Some(true));
    }

    #[test]
    fn a_digest_mentions_nobody_else_and_closes_nothing() {
        let redactor = Redactor::new(["s3cret-value-0123"]);
        let text = repair("<!-- m -->", "see @octo/cat\nFixes #9\ns3cret-value-0123", &redactor);
        assert!(text.contains("@copilot ") && text.contains("> see `@octo/cat`"), "{text}");
        assert!(!text.contains("#9") && !text.contains("s3cret"), "{text}");
    }
}
