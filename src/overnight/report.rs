//! The morning report: what a night did, what it spent, and everything refused with its reason.
//!
//! A fold of the stored run; pure. Pull requests come first, the smallest stacks first, then what
//! failed, then what was skipped.

use std::fmt::Write as _;

use serde_json::{Value, json};

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
        (None, None) => "passed, not published".to_owned(),
    };
    if let Some(qa) = row.qa_results.as_ref().filter(|_| row.status != IssueStatus::Skipped) {
        let _ = write!(text, " — {} of {} checks passed", qa.passed_checks, qa.total_checks);
    }
    text
}

/// For a terminal.
#[must_use]
pub fn text(run: &Run) -> String {
    let mut out = String::new();
    let took =
        seconds(run).map_or_else(|| "unfinished".to_owned(), |seconds| format!("{seconds} s"));
    let _ = writeln!(
        out,
        "Night {} for {}/{}: {} ({took}, {})",
        run.id, run.owner, run.repo, run.status, run.cost_usd
    );
    for error in &run.errors {
        let _ = writeln!(out, "  ! {error}");
    }
    let _ = writeln!(
        out,
        "  {} issues: {} succeeded, {} failed, {} skipped",
        run.total_issues, run.successful_issues, run.failed_issues, run.skipped_issues
    );
    let marks = [
        (IssueStatus::Success, "✓"),
        (IssueStatus::Failed, "✗"),
        (IssueStatus::Skipped, "-"),
        (IssueStatus::Running, "…"),
        (IssueStatus::Pending, " "),
    ];
    for (status, mark) in marks {
        for row in with_status(run, status) {
            let _ = writeln!(
                out,
                "  {mark} {:<5} {}\n          {} ({})",
                row.issue_number.to_string(),
                row.title,
                what(row),
                row.cost_usd
            );
        }
    }
    out
}
