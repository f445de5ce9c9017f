//! A run as it is shown: counts, money and escalation events folded from the rows.

use foreman::domain::call::{Answer, ErrorClass, FinishReason};
use foreman::domain::ids::{AttemptId, EscalationId, IssueNumber};
use foreman::domain::money::Usage;
use foreman::domain::plan::{ReasonCode, SequenceType};
use foreman::domain::run::{IssueResult, IssueStatus, Run, RunStatus};
use foreman::domain::tier::ModelTier;
use foreman::store::{Ceilings, Change, Fence, QuotaLimits, Settlement};
use serde_json::{Value, json};

use super::lab::{HOUR, Lab, NOON, SECRET, admission, reserve, usd};

super::on_both!(
    counts_and_times_come_from_the_rows,
    a_plain_success_leaves_no_escalation,
    an_escalation_that_fell_back_tells_its_calls,
    a_repair_on_a_dearer_tier_is_a_piece_of_its_own,
    work_that_failed_is_told,
);

fn row(number: u64, status: IssueStatus, code: Option<ReasonCode>) -> Change {
    let mut row = IssueResult::pending(IssueNumber(number), "a title", SequenceType::Build);
    row.status = status;
    row.reason_code = code;
    row.error_message = Some(format!("with {SECRET}"));
    Change::IssueRow(row)
}

fn over(attempt: &str, issue: u64, state: Value) -> Change {
    Change::Attempt { id: AttemptId::new(attempt), issue: IssueNumber(issue), state, ended: true }
}

/// One call of an attempt, at a tier, answered or not.
async fn call(lab: &Lab, fence: &Fence, issue: u64, tier: ModelTier, cost: Option<f64>) {
    escalated_call(lab, fence, (issue, None), tier, cost).await;
}

async fn escalated_call(
    lab: &Lab,
    fence: &Fence,
    (issue, escalation): (u64, Option<&EscalationId>),
    tier: ModelTier,
    cost: Option<f64>,
) {
    let mut ask = reserve(issue, 0.5, Ceilings::default());
    ask.tier = tier;
    ask.escalation = escalation.cloned();
    let id = ask.id.clone();
    lab.store.reserve(fence, ask).await.expect("asked");
    let settlement = match cost {
        Some(cost) => Settlement::Answered {
            unknown: false,
            answer: Answer {
                content: Some("done".to_owned()),
                tool_calls: Vec::new(),
                finish: FinishReason::Stop,
                usage: Some(Usage { prompt_tokens: 100, cached_tokens: 0, completion_tokens: 20 }),
                service_tier: None,
                model: None,
                request_id: None,
            },
            cost: usd(cost),
        },
        None => Settlement::Failed {
            class: ErrorClass::Server,
            message: "503".to_owned(),
            cost: usd(0.0),
            unknown: false,
        },
    };
    lab.store.settle(fence, &id, settlement, Vec::new()).await.expect("settled");
}

async fn folded(lab: &Lab, fence: &Fence) -> Run {
    lab.store.run(&fence.run).await.expect("read").expect("there")
}

async fn counts_and_times_come_from_the_rows(lab: &Lab) {
    let fence = lab.night("o/r").await;
    let status = |status, error: &str| Change::RunStatus { status, errors: vec![error.to_owned()] };
    lab.set_clock(NOON + HOUR);
    let changes = vec![
        status(RunStatus::Running, "one"),
        row(9, IssueStatus::Pending, None),
        row(3, IssueStatus::Skipped, Some(ReasonCode::Cycle)),
        row(5, IssueStatus::Failed, Some(ReasonCode::GateRefused)),
        row(9, IssueStatus::Success, None),
    ];
    lab.store.apply(&fence, changes).await.expect("applied");
    call(lab, &fence, 9, ModelTier::Gpt4, Some(0.25)).await;
    call(lab, &fence, 5, ModelTier::Gpt4, Some(0.5)).await;
    let run = folded(lab, &fence).await;
    assert_eq!(run.end_time, None);
    assert_eq!(run.start_time.timestamp_micros(), NOON + HOUR);
    lab.set_clock(NOON + 2 * HOUR);
    lab.store.apply(&fence, vec![status(RunStatus::Partial, SECRET)]).await.expect("applied");
    let run = folded(lab, &fence).await;
    assert_eq!(run.end_time.map(|end| end.timestamp_micros()), Some(NOON + 2 * HOUR));
    assert_eq!(run.errors, ["one", "[redacted]"]);
    assert_eq!((run.total_issues, run.processed_issues), (3, 2));
    assert_eq!((run.successful_issues, run.failed_issues, run.skipped_issues), (1, 1, 1));
    let order: Vec<u64> = run.issue_results.iter().map(|row| row.issue_number.0).collect();
    assert_eq!(order, [9, 3, 5]);
    assert_eq!(run.cost_usd, usd(0.75));
    assert_eq!(run.issue_results[0].cost_usd, usd(0.25));
    assert_eq!(run.issue_results[0].error_message.as_deref(), Some("with [redacted]"));
}

async fn a_plain_success_leaves_no_escalation(lab: &Lab) {
    let fence = lab.night("o/r").await;
    lab.store.apply(&fence, vec![row(1, IssueStatus::Running, None)]).await.expect("applied");
    call(lab, &fence, 1, ModelTier::Gpt4, None).await;
    call(lab, &fence, 1, ModelTier::Gpt4, Some(0.25)).await;
    let changes = vec![over("attempt-1", 1, json!({})), row(1, IssueStatus::Success, None)];
    lab.store.apply(&fence, changes).await.expect("applied");
    assert!(folded(lab, &fence).await.issue_results[0].model_escalations.is_empty());
}

async fn an_escalation_that_fell_back_tells_its_calls(lab: &Lab) {
    let fence = lab.night("o/r").await;
    let changes = vec![row(1, IssueStatus::Running, None)];
    lab.store.apply(&fence, changes).await.expect("applied");
    let ask = admission("attempt-1", QuotaLimits::default());
    let id = ask.id.clone();
    lab.store.admit(&fence, ask).await.expect("asked");
    let piece = (1, Some(&id));
    escalated_call(lab, &fence, piece, ModelTier::Gpt4Turbo, None).await;
    escalated_call(lab, &fence, piece, ModelTier::Gpt4, Some(0.25)).await;
    // Written at its end.
    assert!(folded(lab, &fence).await.issue_results[0].model_escalations.is_empty());
    let changes = vec![over("attempt-1", 1, json!({})), row(1, IssueStatus::Success, None)];
    lab.store.apply(&fence, changes).await.expect("applied");
    let run = folded(lab, &fence).await;
    let at = run.start_time;
    assert_eq!(
        run.issue_results[0].model_escalations,
        [json!({
            "id": id, "timestamp": at, "taskId": "o/r#1", "context": "a title",
            "buildId": "attempt-1", "sequenceId": fence.run, "fromModel": "gpt-4",
            "toModel": "gpt-4-turbo", "reason": "heavy_task", "justification": "architecture_update",
            "success": true, "fallbackUsed": true, "actualModel": "gpt-4", "quotaRemaining": 49,
            "costUsd": 0.25,
            "attempts": [
                {"attemptNumber": 1, "model": "gpt-4-turbo", "modelId": "model-x",
                 "timestamp": at, "success": false, "errorClass": "server",
                 "errorMessage": "503", "retryScheduled": true, "tokens": 0, "costUsd": 0.0},
                {"attemptNumber": 2, "model": "gpt-4", "modelId": "model-x", "timestamp": at,
                 "success": true, "tokens": 120, "costUsd": 0.25},
            ],
        })]
    );
}

async fn work_that_failed_is_told(lab: &Lab) {
    let fence = lab.night("o/r").await;
    let failed = Some(ReasonCode::ModelsExhausted);
    let changes = vec![row(1, IssueStatus::Running, None), row(2, IssueStatus::Running, None)];
    lab.store.apply(&fence, changes).await.expect("applied");
    call(lab, &fence, 1, ModelTier::Gpt4, None).await;
    call(lab, &fence, 2, ModelTier::Gpt4, None).await;
    let changes = vec![
        over("attempt-1", 1, json!({})),
        row(1, IssueStatus::Failed, failed),
        // A plain local command went on where the models did not; no call of ours shows it.
        over("attempt-2", 2, json!({"finishedTier": "local-builder"})),
        row(2, IssueStatus::Success, None),
    ];
    lab.store.apply(&fence, changes).await.expect("applied");
    let rows = folded(lab, &fence).await.issue_results;
    let first = &rows[0].model_escalations[0];
    assert_eq!((&first["success"], &first["actualModel"]), (&json!(false), &Value::Null));
    assert_eq!((&first["reason"], &first["errorMessage"]), (&Value::Null, &json!("503")));
    assert_eq!(first["fallbackUsed"], false);
    let second = &rows[1].model_escalations[0];
    assert_eq!((&second["success"], &second["fallbackUsed"]), (&json!(true), &json!(true)));
    assert_eq!(second["actualModel"], "local-builder");
}

async fn a_repair_on_a_dearer_tier_is_a_piece_of_its_own(lab: &Lab) {
    let fence = lab.night("o/r").await;
    lab.store.apply(&fence, vec![row(1, IssueStatus::Running, None)]).await.expect("applied");
    call(lab, &fence, 1, ModelTier::Gpt4, Some(0.1)).await;
    let unused = admission("attempt-1", QuotaLimits::default());
    let used = admission("attempt-1", QuotaLimits::default());
    let id = used.id.clone();
    for ask in [unused, used] {
        lab.store.admit(&fence, ask).await.expect("asked");
    }
    escalated_call(lab, &fence, (1, Some(&id)), ModelTier::Gpt4Turbo, Some(0.3)).await;
    let changes = vec![over("attempt-1", 1, json!({})), row(1, IssueStatus::Success, None)];
    lab.store.apply(&fence, changes).await.expect("applied");
    let rows = folded(lab, &fence).await.issue_results;
    let [event] = rows[0].model_escalations.as_slice() else {
        panic!("{:?}", rows[0].model_escalations);
    };
    assert_eq!((&event["id"], &event["costUsd"]), (&json!(id), &json!(0.3)));
    assert_eq!((&event["success"], &event["fallbackUsed"]), (&json!(true), &json!(false)));
    assert_eq!(rows[0].cost_usd, usd(0.4));
}
