//! The report's words, and the order of review.

use chrono::{DateTime, Utc};

use super::*;
use crate::domain::evidence::{ChangeSize, Check, Dimension, QaSummary};
use crate::domain::ids::{CommitId, IssueNumber, RunId};
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
        text.starts_with("Night of 1970-01-01 for o/r: partial\nnot over yet, $0.0123, run r-1\n"),
        "{text}"
    );
    assert_eq!(text.matches("(stacked on #1)").count(), 1, "{text}");
    assert!(text.contains("\n! a b\n") && !text.contains('\u{1b}'), "{text}");
    assert!(
        text.ends_with("Skipped\n  - #3    A [2J title\n          in a dependency cycle with #4\n"),
        "{text}"
    );
}

fn with_size(mut row: IssueResult, lines: u64) -> IssueResult {
    row.pr_url = Some(format!("http://x/pull/{}", row.issue_number.0));
    row.change_size = Some(ChangeSize { files: 2, added_lines: lines, removed_lines: 1 });
    row
}

fn night(rows: Vec<IssueResult>) -> Run {
    Run {
        id: RunId::new("r-1"),
        owner: "o".to_owned(),
        repo: "r".to_owned(),
        start_time: DateTime::<Utc>::UNIX_EPOCH,
        end_time: None,
        status: RunStatus::Partial,
        dry_run: false,
        total_issues: rows.len(),
        processed_issues: rows.len(),
        successful_issues: rows.len(),
        failed_issues: 0,
        skipped_issues: 0,
        cost_usd: Usd::ZERO,
        issue_results: rows,
        errors: Vec::new(),
    }
}

fn sha(digit: char) -> Option<CommitId> {
    digit.to_string().repeat(40).parse().ok()
}

#[test]
fn what_needs_least_review_comes_first_but_nothing_before_what_it_stands_on() {
    let mut large = with_size(row(1, IssueStatus::Success), 900);
    large.head_sha = sha('1');
    let mut on_it = with_size(row(2, IssueStatus::Success), 3);
    on_it.base_sha = sha('1');
    on_it.head_sha = sha('2');
    let mut governance = with_size(row(3, IssueStatus::Success), 3);
    governance.sequence_type = SequenceType::Governance;
    let small = with_size(row(4, IssueStatus::Success), 3);
    let run = night(vec![large, on_it, governance, small]);
    let order: Vec<(u64, usize, Level)> = ranked(&run)
        .into_iter()
        .map(|(row, need)| (row.issue_number.0, need.rank, need.level))
        .collect();
    assert_eq!(
        order,
        [(4, 1, Level::Low), (3, 2, Level::Medium), (1, 3, Level::Medium), (2, 4, Level::Low),]
    );
    let report = json(&run);
    let second = &report["pullRequests"][3];
    assert_eq!((&second["stackedOn"], &second["reviewNeed"]["stackDepth"]), (&1.into(), &1.into()));
    assert!(markdown(&run).contains("| 1 | #4 |"), "{}", markdown(&run));
}

#[test]
fn a_refusal_is_told_with_its_findings_its_log_and_what_to_do() {
    let mut refused = row(7, IssueStatus::Failed);
    refused.reason = Some("tests fail".to_owned());
    refused.reason_code = Some(ReasonCode::GateRefused);
    let check = |name: &str, outcome, finding: &str| Check {
        dimension: Dimension::Qic,
        name: name.to_owned(),
        outcome,
        command: Some("make test".to_owned()),
        exit_code: Some(2),
        duration_ms: 1,
        log_sha256: Some("ab".repeat(32)),
        findings: vec![finding.to_owned()],
    };
    refused.qa_results = Some(QaSummary::of(vec![
        check("build", CheckOutcome::Passed, "fine"),
        check("test", CheckOutcome::Failed, "`a|b` <failed>"),
        check("deploy", CheckOutcome::NotRun, "not run"),
    ]));
    let run = night(vec![refused]);
    let text = text(&run);
    assert!(text.contains("QIC test: `a|b` <failed> (log abababababab)"), "{text}");
    assert!(text.contains("-> Read the findings") && !text.contains("not run"), "{text}");
    let page = markdown(&run);
    assert!(page.contains("`a\\|b` &lt;failed>") && page.contains("Read the findings"), "{page}");
    let entry = &json(&run)["failed"][0];
    assert_eq!(entry["failedChecks"].as_array().map(Vec::len), Some(1));
    assert!(entry["whatToDo"].as_str().is_some_and(|it| it.starts_with("Read the findings")));
}
