//! The morning report: what a night did, what it spent, and everything refused with its reason.
//!
//! A fold of the stored run; pure. Pull requests come first, the smallest stacks first, then what
//! failed, then what was skipped.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::domain::money::Usd;
use crate::domain::run::{IssueResult, IssueStatus, Run};

fn with_status(run: &Run, status: IssueStatus) -> Vec<&IssueResult> {
    run.issue_results.iter().filter(|row| row.status == status).collect()
}

fn seconds(run: &Run) -> Option<i64> {
    run.end_time.map(|end| (end - run.start_time).num_seconds())
}

/// For machines.
#[must_use]
pub fn json(run: &Run) -> Value {
    let brief = |row: &&IssueResult| {
        json!({
            "issueNumber": row.issue_number,
            "title": row.title,
            "prUrl": row.pr_url,
            "reason": row.reason,
            "reasonCode": row.reason_code,
            "costUsd": row.cost_usd,
            "checksPassed": row.qa_results.as_ref().map(|qa| qa.passed_checks),
            "checksTotal": row.qa_results.as_ref().map(|qa| qa.total_checks),
        })
    };
    let list = |status| with_status(run, status).iter().map(brief).collect::<Vec<_>>();
    let unfinished = [list(IssueStatus::Running), list(IssueStatus::Pending)].concat();
    json!({
        "runId": run.id,
        "owner": run.owner,
        "repo": run.repo,
        "status": run.status,
        "startTime": run.start_time,
        "endTime": run.end_time,
        "durationSeconds": seconds(run),
        "costUsd": run.cost_usd,
        "totalIssues": run.total_issues,
        "pullRequests": list(IssueStatus::Success),
        "failed": list(IssueStatus::Failed),
        "skipped": list(IssueStatus::Skipped),
        "unfinished": unfinished,
        "errors": run.errors,
    })
}

/// For a page or an issue.
#[must_use]
pub fn markdown(run: &Run) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "# Night of {} for {}/{}\n",
        run.start_time.format("%Y-%m-%d"),
        run.owner,
        run.repo
    );
    let _ = writeln!(out, "Status **{}**, cost {}.\n", run.status, run.cost_usd);
    for error in &run.errors {
        let _ = writeln!(out, "> {error}\n");
    }
    let section = |title: &str, status: IssueStatus, out: &mut String| {
        let rows = with_status(run, status);
        if rows.is_empty() {
            return;
        }
        let _ = writeln!(
            out,
            "## {title}\n\n| Issue | Title | What | Cost |\n| --- | --- | --- | --- |"
        );
        for row in rows {
            let what = what(row).replace('|', "\\|").replace('\n', " ");
            let title = row.title.replace('|', "\\|");
            let _ = writeln!(out, "| {} | {title} | {what} | {} |", row.issue_number, row.cost_usd);
        }
        out.push('\n');
    };
    section("Pull requests", IssueStatus::Success, &mut out);
    section("Failed", IssueStatus::Failed, &mut out);
    section("Skipped", IssueStatus::Skipped, &mut out);
    section("Not finished", IssueStatus::Running, &mut out);
    section("Not begun", IssueStatus::Pending, &mut out);
    out
}

fn what(row: &IssueResult) -> String {
    let mut text = match (&row.pr_url, &row.reason) {
        (Some(url), None) => url.clone(),
        (Some(url), Some(reason)) => format!("{reason} ({url})"),
        (None, Some(reason)) => reason.clone(),
        (None, None) => match row.status {
            IssueStatus::Success => "passed, not published".to_owned(),
            IssueStatus::Running => row.step.clone().unwrap_or_else(|| "under way".to_owned()),
            IssueStatus::Pending => "its turn had not come".to_owned(),
            IssueStatus::Failed | IssueStatus::Skipped => "no reason was stored".to_owned(),
        },
    };
    if let Some(qa) = row.qa_results.as_ref().filter(|_| row.status != IssueStatus::Skipped) {
        let _ = write!(text, " — {} of {} checks passed", qa.passed_checks, qa.total_checks);
    }
    text
}

/// For a terminal: a headline, then what there is to read, what failed and what was left out.
#[must_use]
pub fn text(run: &Run) -> String {
    let mut out = String::new();
    let took =
        seconds(run).map_or_else(|| "not over yet".to_owned(), |seconds| format!("{seconds} s"));
    let _ = writeln!(
        out,
        "Night of {} for {}/{}: {}",
        run.start_time.format("%Y-%m-%d"),
        run.owner,
        run.repo,
        run.status
    );
    let _ = writeln!(out, "{took}, {}, run {}", rounded(run.cost_usd), run.id);
    let _ = writeln!(
        out,
        "{} issues: {} succeeded, {} failed, {} skipped",
        run.total_issues, run.successful_issues, run.failed_issues, run.skipped_issues
    );
    for error in &run.errors {
        let _ = writeln!(out, "! {}", one_line(error));
    }
    let sections = [
        (IssueStatus::Success, "Pull requests", "✓"),
        (IssueStatus::Failed, "Failed", "✗"),
        (IssueStatus::Skipped, "Skipped", "-"),
        (IssueStatus::Running, "Not finished", "…"),
        (IssueStatus::Pending, "Not begun", " "),
    ];
    for (status, title, mark) in sections {
        let rows = with_status(run, status);
        if rows.is_empty() {
            continue;
        }
        let _ = writeln!(out, "\n{title}");
        for row in rows {
            let number = row.issue_number.to_string();
            let _ =
                writeln!(out, "  {mark} {number:<5} {}{}", one_line(&row.title), stacked(run, row));
            let _ = writeln!(out, "          {}{}", one_line(&what(row)), spent(row));
        }
    }
    out
}

/// Which row's branch this one stands on.
fn stacked(run: &Run, row: &IssueResult) -> String {
    let below = run.issue_results.iter().find(|other| {
        other.issue_number != row.issue_number
            && row.pr_url.is_some()
            && row.base_sha.is_some()
            && other.head_sha == row.base_sha
    });
    below.map_or_else(String::new, |below| format!("  (stacked on {})", below.issue_number))
}

fn spent(row: &IssueResult) -> String {
    if row.cost_usd == Usd::ZERO { String::new() } else { format!(", {}", rounded(row.cost_usd)) }
}

/// To a hundredth of a cent: a night's figures are compared by eye.
fn rounded(cost: Usd) -> String {
    if cost == Usd::ZERO { "$0".to_owned() } else { format!("${:.4}", cost.as_usd()) }
}

/// Titles and reasons come from others: they must not steer the terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;
    use crate::domain::ids::{IssueNumber, RunId};
    use crate::domain::plan::SequenceType;
    use crate::domain::run::RunStatus;

    fn row(number: u64, status: IssueStatus) -> IssueResult {
        let mut row =
            IssueResult::pending(IssueNumber(number), "A\u{1b}[2J title", SequenceType::Build);
        row.status = status;
        row
    }

    #[test]
    fn the_text_says_what_stands_on_what_and_steers_no_terminal() {
        let mut first = row(1, IssueStatus::Success);
        first.pr_url = Some("http://x/pull/7".to_owned());
        first.head_sha = "1111111111111111111111111111111111111111".parse().ok();
        let mut second = row(2, IssueStatus::Success);
        second.pr_url = Some("http://x/pull/8".to_owned());
        second.base_sha = first.head_sha.clone();
        let mut third = row(3, IssueStatus::Skipped);
        third.reason = Some("in a dependency cycle with #4".to_owned());
        let run = Run {
            id: RunId::new("r-1"),
            owner: "o".to_owned(),
            repo: "r".to_owned(),
            start_time: DateTime::<Utc>::UNIX_EPOCH,
            end_time: None,
            status: RunStatus::Partial,
            dry_run: false,
            total_issues: 3,
            processed_issues: 3,
            successful_issues: 2,
            failed_issues: 0,
            skipped_issues: 1,
            cost_usd: Usd::from_nanos(12_345_678),
            issue_results: vec![first, second, third],
            errors: vec!["a\nb".to_owned()],
        };
        let text = text(&run);
        assert!(
            text.starts_with(
                "Night of 1970-01-01 for o/r: partial\nnot over yet, $0.0123, run r-1\n"
            ),
            "{text}"
        );
        assert_eq!(text.matches("(stacked on #1)").count(), 1, "{text}");
        assert!(text.contains("\n! a b\n") && !text.contains('\u{1b}'), "{text}");
        assert!(
            text.ends_with(
                "Skipped\n  - #3    A [2J title\n          in a dependency cycle with #4\n"
            ),
            "{text}"
        );
    }
}
