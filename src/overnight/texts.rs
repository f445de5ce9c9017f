//! What people read on GitHub: commit message, pull request, comment. Pure.
//!
//! Builder and issue texts are untrusted: closing keywords and mentions in them are defused, so
//! that a pull request closes its own issue and nothing else, and secrets never leave.

use std::fmt::Write as _;
use std::sync::LazyLock;

use regex::Regex;

use crate::builders::clean_text;
use crate::domain::attempt::{Outcome, PullRef, Stand};
use crate::domain::evidence::{Check, CheckOutcome, Dimension, QaSummary};
use crate::domain::ids::{IssueNumber, RunId};
use crate::domain::issue::Issue;
use crate::domain::money::Usd;
use crate::domain::redact::Redactor;
use crate::domain::run::IssueResult;
use crate::domain::tier::ModelTier;
use crate::gate::GatesPassed;

/// Longest summary of a builder that is quoted, in characters.
const SUMMARY_LIMIT: usize = 4_000;
/// Longest comment that is passed on, in characters.
const COMMENT_LIMIT: usize = 8_000;
/// GitHub's limit for a title is 256.
const TITLE_LIMIT: usize = 200;

/// The mark by which we find our own pull requests and comments again.
#[must_use]
pub(super) fn marker(issue: IssueNumber) -> String {
    format!("<!-- foreman:issue={} -->", issue.0)
}

pub(super) fn has_marker(body: &str, issue: IssueNumber) -> bool {
    body.contains(&marker(issue))
}

/// The issue that a text of ours is about: the mark is its first line.
pub(super) fn marked_issue(body: &str) -> Option<IssueNumber> {
    let rest = body.trim_start().strip_prefix("<!-- foreman:issue=")?;
    let (number, _) = rest.split_once(" -->")?;
    number.parse().ok().map(IssueNumber)
}

/// Whether an issue of our login's is one of our own incident or report issues.
pub(super) fn is_incident(body: &str) -> bool {
    body.contains("<!-- foreman:incident") || body.contains("<!-- foreman:report")
}

/// An issue's text for its builder: the body, then what trusted people said about it. Each is
/// cleaned by itself, so that nothing hidden in one swallows the next. Data, and quoted as such.
pub(super) fn issue_text(issue: &Issue) -> String {
    let mut text = clean_text(&issue.body);
    for comment in &issue.vetting.comments {
        let said = clip(clean_text(&comment.body).trim(), COMMENT_LIMIT);
        let _ = write!(text, "\n\n{} commented:\n\n{said}", comment.author);
    }
    text
}

/// Takes the effect out of closing keywords and mentions; the words stay readable.
#[must_use]
pub(super) fn defuse(text: &str) -> String {
    static MENTION: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(^|[^\w`/.])@([A-Za-z0-9][\w/-]*)").ok());
    let text = without_closing(&text.replace("<!--", "&lt;!--"));
    match &*MENTION {
        Some(mention) => mention.replace_all(&text, "$1`@$2`").into_owned(),
        None => text,
    }
}

/// For text inside a block of code, where nothing but a closing keyword could take effect.
fn without_closing(text: &str) -> String {
    static CLOSING: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let pattern = r"(?i)\b(close[sd]?|fix(?:e[sd])?|resolve[sd]?)(\s*:?\s*)((?:[\w.-]+/[\w.-]+)?#|gh-|https?://\S*?/(?:issues|pull)/)(\d+)";
        Regex::new(pattern).ok()
    });
    match &*CLOSING {
        Some(closing) => closing.replace_all(text, "$1$2issue $4").into_owned(),
        None => text.to_owned(),
    }
}

pub(super) fn clip(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let mut clipped: String = text.chars().take(limit.saturating_sub(1)).collect();
    clipped.push('…');
    clipped
}

fn title_of(issue: &Issue, redactor: &Redactor) -> String {
    // What nobody sees in an issue's title must not turn a pull request's around either.
    let seen = clean_text(&issue.title);
    let one_line = seen.split_whitespace().collect::<Vec<_>>().join(" ");
    let one_line = if one_line.is_empty() { "Issue".to_owned() } else { one_line };
    clip(&redactor.redact(&defuse(&one_line)), TITLE_LIMIT)
}

pub(super) fn pull_title(issue: &Issue, redactor: &Redactor) -> String {
    format!("{} ({})", title_of(issue, redactor), issue.number)
}

/// The configured line with the issue's title and number. A closing keyword in it is defused: what
/// closes the issue is the pull request.
pub(super) fn commit_message(template: &str, issue: &Issue, redactor: &Redactor) -> String {
    let line = template
        .replace("{title}", &title_of(issue, redactor))
        .replace("{number}", &issue.number.0.to_string());
    format!("{}\n", defuse(&line))
}

/// What a pull request's body is made from.
pub(super) struct PullText<'a> {
    pub issue: &'a Issue,
    pub row: &'a IssueResult,
    pub passed: &'a GatesPassed,
    pub stand: &'a Stand,
    pub summary: &'a str,
    pub tiers: &'a [ModelTier],
    /// The models' own ids.
    pub models: &'a [String],
    pub cost: Usd,
    pub run: &'a RunId,
    /// What was found to run, and by whose word.
    pub found: &'a [String],
    pub branch: &'a str,
}

pub(super) fn pull_body(text: &PullText<'_>, redactor: &Redactor) -> String {
    let mut body = String::new();
    let _ = writeln!(body, "{}", marker(text.issue.number));
    let _ = writeln!(body, "Closes {}\n", text.issue.number);
    if let Some(on) = text.stand.on {
        let _ = writeln!(
            body,
            "**Stacked on {on}**: based on its branch `{}`. Merge that pull request first.\n",
            text.stand.base_branch
        );
    }
    let _ = writeln!(body, "### What and why\n");
    let title = title_of(text.issue, redactor);
    let _ = write!(body, "Issue {} asks for: {title}.", text.issue.number);
    match text.row.change_size {
        Some(size) => {
            let _ = writeln!(body, " This changes {size} lines.\n");
        }
        None => body.push_str("\n\n"),
    }
    let summary = clip(&redactor.redact(&defuse(text.summary.trim())), SUMMARY_LIMIT);
    if !summary.is_empty() {
        let _ = writeln!(body, "What the builder says it did:\n");
        for line in summary.lines() {
            let _ = writeln!(body, "> {line}");
        }
        body.push('\n');
    }
    let _ = writeln!(body, "### What the gate proved\n");
    let _ = writeln!(
        body,
        "Tree `{}` of commit `{}`, on base `{}`.\n",
        text.passed.tree(),
        text.passed.commit(),
        text.passed.base()
    );
    if let Some(qa) = &text.row.qa_results {
        body.push_str(&evidence_table(qa));
        body.push_str(&commands(qa, text, redactor));
    }
    body.push_str(&money(text.cost, text.tiers));
    if !text.models.is_empty() {
        let _ = writeln!(body, "Models asked: {}.", redactor.redact(&text.models.join(", ")));
    }
    body
}

/// A row for each of the six dimensions.
pub(super) fn evidence_table(qa: &QaSummary) -> String {
    let mut table =
        String::from("| Dimension | Result | Checks | Findings |\n| --- | --- | --- | --- |\n");
    for dimension in Dimension::ALL {
        let checks: Vec<&Check> = qa.checks.iter().filter(|it| it.dimension == dimension).collect();
        let result = if qa.dimension_passed(dimension) { "✅ passed" } else { "❌ failed" };
        let names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
        // What was wrong first, then what does not apply and why, then the rest.
        let mut told: Vec<&Check> = checks.clone();
        told.sort_by_key(|check| match check.outcome {
            CheckOutcome::Failed => 0,
            CheckOutcome::NotRun => 1,
            CheckOutcome::NotApplicable => 2,
            CheckOutcome::Passed => 3,
        });
        let findings: Vec<String> = told
            .iter()
            .flat_map(|check| check.findings.iter())
            .take(3)
            .map(|finding| cell(finding))
            .collect();
        let _ = writeln!(
            table,
            "| {dimension} | {result} | {} | {} |",
            cell(&names.join(", ")),
            findings.join("; ")
        );
    }
    table.push('\n');
    table
}

fn cell(text: &str) -> String {
    clip(&defuse(text).replace('|', "\\|").replace('\n', " "), 160)
}

/// Each command with its evidence, and how a person runs it again.
fn commands(qa: &QaSummary, about: &PullText<'_>, redactor: &Redactor) -> String {
    const FENCE: &str = "````";
    let ran: Vec<&Check> = qa.checks.iter().filter(|check| check.command.is_some()).collect();
    let command = |check: &Check| redactor.redact(check.command.as_deref().unwrap_or_default());
    let mut text = String::new();
    if !ran.is_empty() {
        text.push_str(
            "<details><summary>Each command, and how to run it yourself</summary>\n\n| Command | Result | Exit code | Time | Log (SHA-256) |\n| --- | --- | --- | --- | --- |\n",
        );
        for check in &ran {
            let exit = check.exit_code.map_or_else(|| "-".to_owned(), |code| code.to_string());
            let _ = writeln!(
                text,
                "| `{}` | {} | {exit} | {:.1} s | `{}` |",
                cell(&command(check)).replace('`', "'"),
                check.outcome.as_str(),
                std::time::Duration::from_millis(check.duration_ms).as_secs_f64(),
                check.log_sha256.as_deref().unwrap_or("-")
            );
        }
        let _ = writeln!(text, "\n{FENCE}sh\ngit fetch origin {}", about.branch);
        let _ = writeln!(text, "git checkout --detach {}", about.passed.commit());
        for check in &ran {
            // A command may be several lines; it must not end the block.
            let _ = writeln!(text, "{}", without_closing(&command(check)).replace(FENCE, "~~~~"));
        }
        let _ = writeln!(text, "{FENCE}\n\nA log: `foreman logs {} <SHA-256>`.\n", about.run);
        text.push_str("</details>\n\n");
    }
    if !about.found.is_empty() {
        text.push_str("<details><summary>What was found to run</summary>\n\n");
        for found in about.found {
            let _ = writeln!(text, "- {}", cell(&redactor.redact(found)));
        }
        text.push_str("\n</details>\n\n");
    }
    text
}

fn money(cost: Usd, tiers: &[ModelTier]) -> String {
    let tiers: Vec<&str> = tiers.iter().map(|tier| tier.as_str()).collect();
    let used = if tiers.is_empty() { "none".to_owned() } else { tiers.join(", ") };
    format!("Cost: {:.6} USD. Tiers used: {used}.\n", cost.as_usd())
}

pub(super) fn comment(
    issue: &Issue,
    row: &IssueResult,
    pull: Option<&PullRef>,
    outcome: &Outcome,
    cost: Usd,
    redactor: &Redactor,
) -> String {
    let mut body = format!("{}\n", marker(issue.number));
    match (outcome, pull) {
        (Outcome::Success, Some(pull)) => {
            let _ = writeln!(body, "Foreman opened {} for this issue.\n", pull.url);
        }
        (Outcome::Success, None) => {
            let _ = writeln!(body, "Foreman finished its work on this issue.\n");
        }
        (Outcome::Failed { reason, .. }, _) => {
            let reason = redactor.redact(&defuse(reason));
            let _ = writeln!(
                body,
                "Foreman worked on this issue and opened no pull request: {reason}\n\nEdit the issue, or add the label `foreman:retry`, to have it tried again.\n"
            );
        }
    }
    if let Some(qa) = &row.qa_results {
        body.push_str(&redactor.redact(&evidence_table(qa)));
    }
    let _ = writeln!(body, "Cost: {:.6} USD.", cost.as_usd());
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_keywords_of_others_lose_their_force() {
        for text in [
            "Fixes #99",
            "closes: octo/cat#7",
            "resolved https://github.com/a/b/issues/3",
            "FIX #1 and close GH-4",
        ] {
            let defused = defuse(text);
            assert!(!defused.contains('#') && !defused.contains("http"), "{text} -> {defused}");
            assert!(!defused.to_lowercase().contains("gh-"), "{text} -> {defused}");
        }
        assert_eq!(defuse("see #5"), "see #5");
    }

    #[test]
    fn nobody_is_pinged_and_no_marker_is_forged() {
        assert_eq!(defuse("thanks @octo/cat"), "thanks `@octo/cat`");
        assert_eq!(defuse("mail a@b.c"), "mail a@b.c");
        assert!(!has_marker(&defuse("<!-- foreman:issue=3 -->"), IssueNumber(3)));
    }
}
