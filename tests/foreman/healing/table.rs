//! The error table, row by row: exact calls, who answered, how long was waited, what was booked.

use super::*;

/// A row: what the top tier says, how often it is asked, who answers in the end, the waits in
/// seconds, and whether its charge is unknown.
struct Row {
    says: Reply,
    class: ErrorClass,
    calls: usize,
    answers: ModelTier,
    waits: &'static [u64],
    unknown: bool,
}

fn row(says: Reply, class: ErrorClass, calls: usize, waits: &'static [u64]) -> Row {
    Row { says, class, calls, answers: ModelTier::Gpt4Turbo, waits, unknown: false }
}

async fn holds(row: Row) {
    let shown = format!("{:?}", row.says);
    let mut lab = Lab::top_answers(row.says).await;
    lab.scene.task.limits.request_timeout = Duration::from_millis(400);
    if row.class != ErrorClass::Timeout {
        lab.scene.task.limits.request_timeout = Duration::from_secs(20);
    }
    let outcome = lab.scene.build().await;
    assert_eq!(answered_by(&outcome), row.answers, "{shown}");
    assert_eq!(lab.waits(), row.waits, "{shown}");
    // `calls` itself asserts that there is one row for each upstream request.
    let calls = lab.scene.calls().await;
    assert_eq!(calls.len(), row.calls + 1, "{shown}");
    for call in &calls[..row.calls] {
        assert_eq!((call.tier, call.error_class), (ModelTier::Gpt51, Some(row.class)), "{shown}");
        let (status, cost) = if row.unknown {
            (CallStatus::Unknown, call.estimate)
        } else {
            (CallStatus::Settled, Usd::ZERO)
        };
        assert_eq!((call.status, call.cost), (status, cost), "{shown}");
    }
}

#[tokio::test]
async fn limits_and_faults_are_tried_twice_more_then_the_next_tier_answers() {
    use ErrorClass::{RateLimited, Server};
    for (status, word) in [(429, "rate_limit_exceeded"), (429, "slow_down"), (503, "slow_down")] {
        holds(row(code(status, word), RateLimited, 3, &[1, 2])).await;
    }
    for status in [500, 502, 503, 504, 529] {
        holds(row(code(status, "whatever"), Server, 3, &[1, 2])).await;
    }
    holds(row(code(200, "overloaded"), Server, 3, &[1, 2]).unknown()).await;
}

impl Row {
    fn unknown(self) -> Self {
        Self { unknown: true, ..self }
    }

    fn answers(self, answers: ModelTier) -> Self {
        Self { answers, ..self }
    }
}

#[tokio::test]
async fn what_the_provider_asks_to_wait_is_waited_within_the_cap() {
    let limited = json!({"code": "rate_limit_exceeded"});
    let after = |value: &str| refuse(429, &[("retry-after", value)], &limited);
    holds(row(after("5"), ErrorClass::RateLimited, 3, &[5, 5])).await;
    holds(row(after("61"), ErrorClass::RateLimited, 1, &[])).await;
    let at = chrono::Utc::now() + chrono::TimeDelta::seconds(3_600);
    let date = at.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    holds(row(after(&date), ErrorClass::RateLimited, 1, &[])).await;
}

#[tokio::test]
async fn a_wait_beyond_the_deadline_is_not_begun() {
    let limited = json!({"code": "rate_limit_exceeded"});
    let mut lab = Lab::top_answers(refuse(429, &[("retry-after", "30")], &limited)).await;
    lab.scene.task.limits.time = Duration::from_secs(25);
    assert_eq!(answered_by(&lab.scene.build().await), ModelTier::Gpt4Turbo);
    assert_eq!((lab.asked(TOP), lab.waits()), (1, vec![]));
    // Nobody else waits for it either, though the wait is below the cap: it cools down.
    let health = lab.scene.builders.store.health(&lab.scene.task.run).await.expect("read");
    assert_eq!(health.cooling.iter().map(|it| it.tier).collect::<Vec<_>>(), [ModelTier::Gpt51]);
}

#[tokio::test]
async fn timeouts_and_broken_answers_are_tried_once_more_and_their_charge_is_unknown() {
    use ErrorClass::{Malformed, Timeout};
    holds(row(code(408, "x"), Timeout, 2, &[1]).unknown()).await;
    holds(row(Reply::Hang, Timeout, 2, &[1]).unknown()).await;
    holds(row(Reply::RawBody("{\"choices".to_owned()), Malformed, 2, &[1]).unknown()).await;
    holds(row(Reply::CutStream, Malformed, 2, &[1]).unknown()).await;
}

/// A whole answer without readable usage is used, and its charge stays open.
#[tokio::test]
async fn an_answer_without_usage_is_used_and_its_charge_is_unknown() {
    let bare = json!({"choices": [{"finish_reason": "tool_calls", "message": {"tool_calls": [
        {"id": "a", "type": "function",
         "function": {"name": "finish", "arguments": "{\"summary\":\"done\"}"}}]}}]});
    let lab = Lab::top_answers(Reply::RawBody(bare.to_string())).await;
    assert_eq!(answered_by(&lab.scene.build().await), ModelTier::Gpt51);
    let calls = lab.scene.calls().await;
    assert_eq!((calls.len(), calls[0].status), (1, CallStatus::Unknown));
    assert_eq!(calls[0].cost, calls[0].estimate);
    assert!(calls[0].answer.is_some());
}

/// What a broken answer says it used is what it costs, by the service that gave it.
#[tokio::test]
async fn a_broken_answer_with_usage_costs_what_it_says() {
    let body = json!({"choices": [], "service_tier": "priority", "usage": {"prompt_tokens": 1_000,
        "completion_tokens": 200, "prompt_tokens_details": {"cached_tokens": 600}}});
    let lab = Lab::top_answers(Reply::RawBody(body.to_string())).await;
    assert_eq!(answered_by(&lab.scene.build().await), ModelTier::Gpt4Turbo);
    let calls = lab.scene.calls().await;
    assert_eq!(calls.len(), 3);
    for call in &calls[..2] {
        assert_eq!(call.error_class, Some(ErrorClass::Malformed));
        // Twice the golden case.
        assert_eq!((call.status, call.cost), (CallStatus::Settled, Usd::from_nanos(5_150_000)));
    }
}

/// The default's price is reserved, so the default's service is asked for.
#[tokio::test]
async fn a_model_with_several_prices_is_asked_at_the_default_one() {
    let lab = Lab::new(|_| finish()).await;
    lab.scene.build().await;
    assert!(lab.scene.requests().iter().all(|request| request.body["service_tier"] == "default"));
}

#[tokio::test]
async fn without_healing_a_fault_ends_it_after_one_call() {
    let mut lab = Lab::top_answers(code(500, "whatever")).await;
    lab.scene.task.auto_heal = false;
    assert!(matches!(lab.scene.build().await, BuildOutcome::Failed { .. }));
    assert_eq!((lab.scene.calls().await.len(), lab.waits()), (1, vec![]));
}

#[tokio::test]
async fn a_hard_failure_costs_exactly_one_call() {
    use ErrorClass::{ContextLength, InsufficientQuota, ModelNotFound};
    let local = ModelTier::LocalBuilder;
    for word in ["insufficient_quota", "billing_hard_limit_reached", "project_spend_limit_reached"]
    {
        holds(row(code(429, word), InsufficientQuota, 1, &[]).answers(local)).await;
    }
    holds(row(code(404, "model_not_found"), ModelNotFound, 1, &[])).await;
    holds(row(code(400, "context_length_exceeded"), ContextLength, 1, &[])).await;
    let large = json!({"code": "rate_limit_exceeded", "type": "tokens",
        "message": "Request too large for gpt-5.1 on tokens per min (TPM): Limit 1, Requested 2"});
    holds(row(refuse(429, &[], &large), ContextLength, 1, &[])).await;
}

#[tokio::test]
async fn what_is_no_tiers_fault_stops_the_issue_after_one_call() {
    let refusal = json!({"choices": [{"message": {"refusal": "no"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1_000, "completion_tokens": 200,
            "prompt_tokens_details": {"cached_tokens": 600}}});
    let mut filtered = refusal.clone();
    filtered["choices"] = json!([{"message": {"content": "x"}, "finish_reason": "content_filter"}]);
    let golden = Usd::from_nanos(2_575_000);
    for (says, class, charge) in [
        (code(401, "invalid_api_key"), ErrorClass::Auth, Usd::ZERO),
        (code(403, "whatever"), ErrorClass::Auth, Usd::ZERO),
        (code(400, "content_filter"), ErrorClass::Refused, Usd::ZERO),
        (Reply::RawBody(filtered.to_string()), ErrorClass::Refused, golden),
        (Reply::RawBody(refusal.to_string()), ErrorClass::Refused, golden),
        (code(400, "invalid_value"), ErrorClass::BadRequest, Usd::ZERO),
        (code(422, "whatever"), ErrorClass::BadRequest, Usd::ZERO),
    ] {
        let shown = format!("{says:?}");
        let lab = Lab::top_answers(says).await;
        let BuildOutcome::Failed { code, stuck, .. } = lab.scene.build().await else {
            panic!("not failed: {shown}")
        };
        assert_eq!((code, stuck), (ReasonCode::ProviderRefused, false), "{shown}");
        let calls = lab.scene.calls().await;
        assert_eq!((calls.len(), calls[0].error_class), (1, Some(class)), "{shown}");
        assert_eq!((calls[0].cost, lab.waits()), (charge, vec![]), "{shown}");
    }
}

#[tokio::test]
async fn a_closed_port_is_tried_twice_more_and_costs_nothing() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let closed = format!("http://{}/v1", listener.local_addr().expect("an address"));
    drop(listener);
    let mut lab = Lab::new(|_| finish()).await;
    let gone = TierOverride {
        base_url: Some(closed.parse().expect("an address")),
        price_input: Some(1.0),
        price_output: Some(1.0),
        ..TierOverride::default()
    };
    lab.scene.override_tiers(&[(ModelTier::Gpt51, gone)]);
    assert_eq!(answered_by(&lab.scene.build().await), ModelTier::Gpt4Turbo);
    let calls = lab.scene.builders.store.calls(&lab.scene.task.run, None).await.expect("calls");
    assert_eq!((calls.len(), lab.waits()), (4, vec![1, 2]));
    let failed = |call: &foreman::store::CallRow| {
        call.error_class == Some(ErrorClass::Connection) && call.cost == Usd::ZERO
    };
    assert!(calls[..3].iter().all(failed), "{calls:#?}");
}
