//! The morning report: what a night did, what it spent, and everything refused with its reason.
//!
//! A fold of the stored run; pure. Pull requests come first, in the order to review them; then what
//! failed, then what was skipped, each with what would change that.

mod rank;

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::domain::evidence::CheckOutcome;
use crate::domain::ids::IssueNumber;
use crate::domain::money::Usd;
use crate::domain::plan::ReasonCode;
use crate::domain::run::{IssueResult, IssueStatus, Run};
pub use rank::{Level, ReviewNeed, ranked};

/// Findings of a refusal that are listed; the row has them all.
const MOST_FINDINGS: usize = 5;

fn with_status(run: &Run, status: IssueStatus) -> Vec<&IssueResult> {
    run.issue_results.iter().filter(|row| row.status == status).collect()
}

fn seconds(run: &Run) -> Option<i64> {
    run.end_time.map(|end| (end - run.start_time).num_seconds())
}

/// For machines.
#[must_use]
pub fn json(run: &Run) -> Value {
    let list = |status| {
        let rows = with_status(run, status);
        rows.iter().map(|row| brief(run, row)).collect::<Vec<_>>()
    };
    let pulls = ranked(run).into_iter().map(|(row, need)| {
        let mut entry = brief(run, row);
        if let Some(map) = entry.as_object_mut() {
            map.insert("reviewNeed".to_owned(), json!(need));
        }
        entry
    });
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
        "pullRequests": pulls.collect::<Vec<_>>(),
        "failed": list(IssueStatus::Failed),
        "skipped": list(IssueStatus::Skipped),
        "unfinished": unfinished,
        "errors": run.errors,
    })
}

/// The checks that kept a change from being published.
pub(super) fn failed_checks(row: &IssueResult) -> Value {
    not_passed(row)
        .map(|check| {
            json!({
                "dimension": check.dimension, "name": check.name, "command": check.command,
                "exitCode": check.exit_code, "logSha256": check.log_sha256,
                "findings": check.findings,
            })
        })
        .collect()
}

fn brief(run: &Run, row: &IssueResult) -> Value {
    let refused = failed_checks(row);
    json!({
        "issueNumber": row.issue_number,
        "title": row.title,
        "sequenceType": row.sequence_type,
        "prUrl": row.pr_url,
        "branch": row.branch,
        "stackedOn": below(run, row),
        "changeSize": row.change_size,
        "reason": row.reason,
        "reasonCode": row.reason_code,
        "whatToDo": row.reason_code.map(ReasonCode::advice),
        "failedChecks": refused,
        "violations": row.governance_results.as_ref().map(|it| &it.violations),
        "costUsd": row.cost_usd,
        "checksPassed": row.qa_results.as_ref().map(|qa| qa.passed_checks),
        "checksTotal": row.qa_results.as_ref().map(|qa| qa.total_checks),
    })
}

/// The checks that kept a change from being published; what did not run, only where nothing failed.
fn not_passed(row: &IssueResult) -> impl Iterator<Item = &crate::domain::evidence::Check> {
    let checks = row.qa_results.iter().flat_map(|qa| &qa.checks);
    let any = checks.clone().any(|check| check.outcome == CheckOutcome::Failed);
    checks.filter(move |check| match check.outcome {
        CheckOutcome::Failed => true,
        CheckOutcome::NotRun => !any,
        CheckOutcome::Passed | CheckOutcome::NotApplicable => false,
    })
}

/// The findings behind a refusal, each with its check and the beginning of its log's hash.
fn findings(row: &IssueResult) -> Vec<String> {
    let mut all = Vec::new();
    for check in not_passed(row) {
        let log = check.log_sha256.as_deref().and_then(|hash| hash.get(..12));
        let log = log.map_or_else(String::new, |hash| format!(" (log {hash})"));
        all.extend(
            check
                .findings
                .iter()
                .map(|finding| format!("{} {}: {finding}{log}", check.dimension, check.name)),
        );
    }
    let more = all.len().saturating_sub(MOST_FINDINGS);
    all.truncate(MOST_FINDINGS);
    if more > 0 {
        all.push(format!("and {more} more"));
    }
    all
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
    let _ = writeln!(out, "Status **{}**, cost {}.\n", run.standing(), run.cost_usd);
    for error in &run.errors {
        let _ = writeln!(out, "> {}\n", one_line(error));
    }
    let pulls = ranked(run);
    if !pulls.is_empty() {
        let _ = writeln!(
            out,
            "## Pull requests\n\n| # | Issue | Title | What | Review | Cost |\n| --- | --- | --- | --- | --- | --- |"
        );
    }
    for (row, need) in &pulls {
        let _ = writeln!(
            out,
            "| {} | {} | {}{} | {} | {}: {} | {} |",
            need.rank,
            row.issue_number,
            cell(&row.title),
            stacked(run, row),
            cell(&what(row)),
            need.level.as_str(),
            cell(&need.reasons.join("; ")),
            row.cost_usd
        );
    }
    if !pulls.is_empty() {
        out.push('\n');
    }
    for (status, title) in REST {
        let rows = with_status(run, status);
        if rows.is_empty() {
            continue;
        }
        let _ = writeln!(
            out,
            "## {title}\n\n| Issue | Title | What | What to do | Cost |\n| --- | --- | --- | --- | --- |"
        );
        for row in rows {
            let mut said = cell(&what(row));
            for finding in findings(row) {
                let _ = write!(said, "<br>{}", cell(&finding));
            }
            let advice = row.reason_code.map_or("", ReasonCode::advice);
            let _ = writeln!(
                out,
                "| {} | {} | {said} | {advice} | {} |",
                row.issue_number,
                cell(&row.title),
                row.cost_usd
            );
        }
        out.push('\n');
    }
    out
}

/// What is no pull request, in the order it is shown.
const REST: [(IssueStatus, &str); 4] = [
    (IssueStatus::Failed, "Failed"),
    (IssueStatus::Skipped, "Skipped"),
    (IssueStatus::Running, "Not finished"),
    (IssueStatus::Pending, "Not begun"),
];

/// Titles and findings come from others: one line, no cell of its own, no mark-up.
fn cell(text: &str) -> String {
    one_line(text).replace('|', "\\|").replace('<', "&lt;")
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
        run.standing()
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
    let pulls = ranked(run);
    if !pulls.is_empty() {
        let _ = writeln!(out, "\nPull requests, in the order to review them");
    }
    for (row, need) in &pulls {
        line(&mut out, run, row, "✓");
        let why = one_line(&need.reasons.join("; "));
        let _ = writeln!(out, "          review {}: {why}", need.level.as_str());
    }
    for (status, title) in REST {
        let rows = with_status(run, status);
        if rows.is_empty() {
            continue;
        }
        let _ = writeln!(out, "\n{title}");
        for row in rows {
            line(&mut out, run, row, mark(status));
            for finding in findings(row) {
                let _ = writeln!(out, "          · {}", one_line(&finding));
            }
            if let Some(code) = row.reason_code.filter(|_| status == IssueStatus::Failed) {
                let _ = writeln!(out, "          -> {}", code.advice());
            }
        }
    }
    out
}

const fn mark(status: IssueStatus) -> &'static str {
    match status {
        IssueStatus::Success => "✓",
        IssueStatus::Failed => "✗",
        IssueStatus::Skipped => "-",
        IssueStatus::Running => "…",
        IssueStatus::Pending => " ",
    }
}

fn line(out: &mut String, run: &Run, row: &IssueResult, mark: &str) {
    let number = row.issue_number.to_string();
    let _ = writeln!(out, "  {mark} {number:<5} {}{}", one_line(&row.title), stacked(run, row));
    let _ = writeln!(out, "          {}{}", one_line(&what(row)), spent(row));
}

/// Which row's branch this one stands on.
fn below(run: &Run, row: &IssueResult) -> Option<IssueNumber> {
    let base = row.base_sha.as_ref().filter(|_| row.pr_url.is_some())?;
    run.issue_results
        .iter()
        .find(|other| {
            other.issue_number != row.issue_number && other.head_sha.as_ref() == Some(base)
        })
        .map(|other| other.issue_number)
}

fn stacked(run: &Run, row: &IssueResult) -> String {
    below(run, row).map_or_else(String::new, |below| format!("  (stacked on {below})"))
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
mod tests;
