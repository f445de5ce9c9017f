//! The error table, row by row: exact calls, who answered, how long was waited, what was booked;
//! and what other issues and a restart know of it.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foreman::builders::{BuildOutcome, Waits};
use foreman::config::TierOverride;
use foreman::demo::model::{Reply, ScriptInput};
use foreman::domain::call::ErrorClass;
use foreman::domain::event::{EventType, Severity};
use foreman::domain::money::Usd;
use foreman::domain::plan::{ReasonCode, SequenceType};
use foreman::domain::tier::ModelTier;
use foreman::escalation::KeyOut;
use foreman::store::{CallStatus, StoreClock};
use serde_json::{Value, json};

use crate::builders::scene::Scene;

const TOP: &str = "gpt-5.1";

/// A scene whose waits are read instead of waited, on a clock that they move.
struct Lab {
    scene: Scene,
    waited: Arc<Mutex<Vec<Duration>>>,
    clock: Arc<AtomicI64>,
}

impl Lab {
    async fn new(script: impl Fn(&ScriptInput) -> Reply + Send + Sync + 'static) -> Self {
        let clock = Arc::new(AtomicI64::new(chrono::Utc::now().timestamp_micros()));
        let mut scene = Scene::at(script, StoreClock::Fixed(Arc::clone(&clock))).await;
        scene.override_tiers(&[]);
        let waited = Arc::new(Mutex::new(Vec::new()));
        let (seen, moved) = (Arc::clone(&waited), Arc::clone(&clock));
        scene.builders.healing.waits = Waits::new(
            move |pause| {
                if !pause.is_zero() {
                    seen.lock().expect("waits").push(pause);
                }
                moved.fetch_add(i64::try_from(pause.as_micros()).expect("small"), Ordering::SeqCst);
                Box::pin(std::future::ready(()))
            },
            || 1.0,
        );
        Self { scene, waited, clock }
    }

    /// The top tier always answers so; everybody else finishes.
    async fn top_answers(reply: Reply) -> Self {
        Self::new(move |input| if input.model == TOP { reply.clone() } else { finish() }).await
    }

    fn pass(&self, seconds: i64) {
        self.clock.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }

    fn waits(&self) -> Vec<u64> {
        self.waited.lock().expect("waits").iter().map(Duration::as_secs).collect()
    }

    /// How often each model was asked, in all.
    fn asked(&self, model: &str) -> usize {
        self.scene.requests().iter().filter(|request| request.model == model).count()
    }
}

fn finish() -> Reply {
    Reply::Finish("done".to_owned())
}

fn refuse(status: u16, headers: &[(&str, &str)], error: &Value) -> Reply {
    let headers = headers.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
    Reply::Status(status, headers, json!({"error": error}).to_string())
}

fn code(status: u16, code: &str) -> Reply {
    refuse(status, &[], &json!({"message": "no", "type": "some_error", "code": code}))
}

fn answered_by(outcome: &BuildOutcome) -> ModelTier {
    match outcome {
        BuildOutcome::Finished { tier, .. } => *tier,
        other => panic!("not finished: {other:?}"),
    }
}

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
}

#[tokio::test]
async fn timeouts_and_broken_answers_are_tried_once_more_and_their_charge_is_unknown() {
    use ErrorClass::{Malformed, Timeout};
    holds(row(code(408, "x"), Timeout, 2, &[1]).unknown()).await;
    holds(row(Reply::Hang, Timeout, 2, &[1]).unknown()).await;
    holds(row(Reply::RawBody("{\"choices".to_owned()), Malformed, 2, &[1]).unknown()).await;
    holds(row(Reply::CutStream, Malformed, 2, &[1]).unknown()).await;
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
    let golden = Usd::from_nanos(2_575_000);
    for (says, class, charge) in [
        (code(401, "invalid_api_key"), ErrorClass::Auth, Usd::ZERO),
        (code(403, "whatever"), ErrorClass::Auth, Usd::ZERO),
        (code(400, "content_filter"), ErrorClass::Refused, Usd::ZERO),
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

#[tokio::test]
async fn a_cut_answer_raises_the_cap_once() {
    let cut = json!({"choices": [{"message": {"content": "I will"}, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 10}});
    let lab = Lab::new(
        move |input| {
            if input.turn < 2 { Reply::RawBody(cut.to_string()) } else { finish() }
        },
    )
    .await;
    assert_eq!(answered_by(&lab.scene.build().await), ModelTier::Gpt51);
    let caps: Vec<_> =
        lab.scene.requests().iter().map(|it| it.body["max_completion_tokens"].clone()).collect();
    assert_eq!(caps, [json!(8_192), json!(16_384), json!(16_384)]);
}

#[tokio::test]
async fn three_failures_cool_a_tier_down_for_every_issue_and_after_a_restart() {
    let well = Arc::new(AtomicBool::new(false));
    let healed = Arc::clone(&well);
    let mut lab = Lab::new(move |input| {
        let broken = input.model == TOP && !healed.load(Ordering::SeqCst);
        if broken { code(503, "overloaded") } else { finish() }
    })
    .await;
    assert_eq!(answered_by(&lab.scene.build().await), ModelTier::Gpt4Turbo);
    assert_eq!(lab.asked(TOP), 3);
    lab.scene.next_issue().await;
    assert_eq!(answered_by(&lab.scene.build().await), ModelTier::Gpt4Turbo);
    lab.scene.reopen().await;
    lab.scene.next_issue().await;
    assert_eq!(answered_by(&lab.scene.build().await), ModelTier::Gpt4Turbo);
    assert_eq!(lab.asked(TOP), 3, "it is not asked while it cools down");

    lab.pass(61);
    lab.scene.next_issue().await;
    lab.scene.build().await;
    assert_eq!(lab.asked(TOP), 4, "one call tries it, and it cools down again, for longer");
    lab.pass(61);
    lab.scene.next_issue().await;
    lab.scene.build().await;
    assert_eq!(lab.asked(TOP), 4);
    lab.pass(61);
    well.store(true, Ordering::SeqCst);
    lab.scene.next_issue().await;
    assert_eq!(answered_by(&lab.scene.build().await), ModelTier::Gpt51);
    let health = lab.scene.builders.store.health(&lab.scene.task.run).await.expect("health");
    assert!(health.cooling.is_empty() && health.breakers.is_empty(), "{health:?}");
    lab.scene.calls().await;
}

#[tokio::test]
async fn a_long_wait_asked_for_cools_the_tier_down() {
    let limited = json!({"code": "rate_limit_exceeded"});
    let mut lab = Lab::top_answers(refuse(429, &[("retry-after", "300")], &limited)).await;
    lab.scene.build().await;
    lab.pass(299);
    lab.scene.next_issue().await;
    lab.scene.build().await;
    assert_eq!(lab.asked(TOP), 1);
    lab.pass(2);
    lab.scene.next_issue().await;
    lab.scene.build().await;
    assert_eq!(lab.asked(TOP), 2);
}

#[tokio::test]
async fn a_spent_key_is_asked_once_by_all_issues_and_after_a_restart() {
    let mut lab = Lab::new(|input| match input.model.as_str() {
        "tiny" => finish(),
        _ => code(429, "insufficient_quota"),
    })
    .await;
    for _ in 0..3 {
        assert_eq!(answered_by(&lab.scene.build().await), ModelTier::LocalBuilder);
        lab.scene.reopen().await;
        lab.scene.next_issue().await;
    }
    lab.scene.task.chain = ModelTier::Gpt4.chain_down();
    assert_eq!(answered_by(&lab.scene.build().await), ModelTier::LocalBuilder);
    let paid = lab.scene.requests().iter().filter(|request| request.model != "tiny").count();
    assert_eq!(paid, 1, "the whole key is out, not the tier alone");
    let alarms = lab.scene.events(EventType::ProviderFailed).await;
    assert_eq!((alarms.len(), alarms[0].severity), (1, Severity::Critical));
    let health = lab.scene.builders.store.health(&lab.scene.task.run).await.expect("health");
    assert_eq!(health.breakers[0].why, KeyOut::Quota);
    lab.scene.calls().await;
}

#[tokio::test]
async fn a_refused_key_stops_every_issue_after_one_call() {
    let mut lab = Lab::new(|input| match input.model.as_str() {
        "tiny" => finish(),
        _ => code(401, "invalid_api_key"),
    })
    .await;
    for _ in 0..2 {
        let BuildOutcome::Failed { code, .. } = lab.scene.build().await else { panic!("went on") };
        assert_eq!(code, ReasonCode::ProviderRefused);
        lab.scene.next_issue().await;
    }
    assert_eq!(lab.scene.requests().len(), 1, "nobody else is asked, the local builder neither");
    lab.scene.builders.healing.local_on_auth_failure = true;
    let BuildOutcome::Finished { tier, summary } = lab.scene.build().await else {
        panic!("not finished")
    };
    assert_eq!(tier, ModelTier::LocalBuilder);
    assert!(summary.contains("Degraded"), "{summary}");
    let moves = lab.scene.events(EventType::ModelFallback).await;
    assert_eq!(moves.last().expect("a move").metadata["degraded"], true);
}

#[tokio::test]
async fn a_model_that_does_not_exist_is_dead_for_the_run() {
    let mut lab = Lab::top_answers(code(404, "model_not_found")).await;
    lab.scene.build().await;
    lab.scene.reopen().await;
    lab.pass(3_600 * 10);
    lab.scene.next_issue().await;
    assert_eq!(answered_by(&lab.scene.build().await), ModelTier::Gpt4Turbo);
    assert_eq!(lab.asked(TOP), 1);
    let alarm = lab.scene.events(EventType::ProviderFailed).await.remove(0);
    assert_eq!(alarm.severity, Severity::High);
}

#[tokio::test]
async fn a_tier_without_another_below_it_is_waited_for() {
    let broken = Arc::new(AtomicBool::new(true));
    let state = Arc::clone(&broken);
    let mut lab =
        Lab::new(move |_| if state.load(Ordering::SeqCst) { code(500, "x") } else { finish() })
            .await;
    lab.scene.task.chain = vec![ModelTier::Gpt51];
    let BuildOutcome::Failed { code, .. } = lab.scene.build().await else { panic!("finished") };
    assert_eq!((code, lab.waits()), (ReasonCode::ModelsExhausted, vec![1, 2]));
    broken.store(false, Ordering::SeqCst);
    lab.scene.next_issue().await;
    assert_eq!(answered_by(&lab.scene.build().await), ModelTier::Gpt51);
    assert_eq!(lab.waits(), [1, 2, 60], "the rest of its cool-down");
    assert_eq!(lab.asked(TOP), 4);
}

#[tokio::test]
async fn overflow_goes_to_the_larger_window_and_then_compacts_once() {
    let big = "line of text that takes room\n".repeat(600);
    let mut lab = Lab::new(move |input| match (input.model.as_str(), input.turn) {
        (_, 0) => Reply::call("run_command", &json!({"command": format!("cat <<'X'\n{big}X")})),
        (_, 1) => Reply::call("run_command", &json!({"command": "echo second"})),
        ("gpt-5.6-sol", _) if input.body.to_string().contains("left out to make room") => finish(),
        _ => code(400, "context_length_exceeded"),
    })
    .await;
    lab.scene.task.chain = vec![ModelTier::Gpt51, ModelTier::Gpt4Turbo];
    assert_eq!(answered_by(&lab.scene.build().await), ModelTier::Gpt4Turbo);
    let models: Vec<String> = lab.scene.requests().iter().map(|it| it.model.clone()).collect();
    // Two answers, the overflow, the larger window's own overflow, and the smaller conversation.
    assert_eq!(models, [TOP, TOP, TOP, "gpt-5.6-sol", "gpt-5.6-sol"]);
    assert!(lab.waits().is_empty());
    lab.scene.calls().await;
}

#[tokio::test]
async fn an_overflow_that_nothing_helps_ends_and_does_not_go_round() {
    let mut lab = Lab::new(|_| code(400, "context_length_exceeded")).await;
    lab.scene.task.chain = vec![ModelTier::Gpt51, ModelTier::Gpt4Turbo];
    let BuildOutcome::Failed { code, .. } = lab.scene.build().await else { panic!("finished") };
    assert_eq!(code, ReasonCode::ModelsExhausted);
    assert_eq!(lab.scene.calls().await.len(), 2, "each window once: there is nothing to compact");
}

#[tokio::test]
async fn the_gpt_4_family_counts_prompt_and_answer_against_one_window() {
    let mut lab = Lab::new(|_| finish()).await;
    let old = TierOverride {
        model: Some("gpt-4-32k".to_owned()),
        input_window: Some(8_192),
        output_window: Some(8_000),
        price_input: Some(1.0),
        price_output: Some(1.0),
        ..TierOverride::default()
    };
    let new = TierOverride { model: Some("gpt-5-mini".to_owned()), ..old.clone() };
    for (tier, over) in [(ModelTier::Gpt4, old), (ModelTier::Gpt4Turbo, new)] {
        lab.scene.override_tiers(&[(tier, over)]);
        lab.scene.task.chain = vec![tier];
        assert_eq!(answered_by(&lab.scene.build().await), tier);
        lab.scene.next_issue().await;
    }
    let caps: Vec<u64> = lab
        .scene
        .requests()
        .iter()
        .map(|it| it.body["max_completion_tokens"].as_u64().expect("a cap"))
        .collect();
    assert!(caps[0] < 7_800, "room is left for the prompt: {caps:?}");
    assert_eq!(caps[1], 8_000);
}

#[tokio::test]
async fn flex_and_priority_have_their_own_price() {
    for (service, cost) in [("default", 2_575_000), ("flex", 1_287_500), ("priority", 5_150_000)] {
        let answer = json!({"service_tier": service, "choices": [{"finish_reason": "tool_calls",
            "message": {"tool_calls": [{"id": "a", "type": "function",
                "function": {"name": "finish", "arguments": "{\"summary\":\"x\"}"}}]}}],
            "usage": {"prompt_tokens": 1_000, "completion_tokens": 200,
                "prompt_tokens_details": {"cached_tokens": 600}}});
        let lab = Lab::new(move |_| Reply::RawBody(answer.to_string())).await;
        lab.scene.build().await;
        assert_eq!(lab.scene.spent().await, Usd::from_nanos(cost), "{service}");
    }
}

#[tokio::test]
async fn what_failed_is_remembered_and_what_was_bought_is_not_bought_again() {
    let mut lab = Lab::new(|input| match (input.model.as_str(), input.turn) {
        (TOP, 0) => Reply::call("run_command", &json!({"command": "echo one"})),
        (TOP, 1) => Reply::call("run_command", &json!({"command": "echo two"})),
        (TOP, _) => code(500, "x"),
        _ => finish(),
    })
    .await;
    lab.scene.task.chain = vec![ModelTier::Gpt51];
    lab.scene.build().await;
    let (paid, calls) = (lab.scene.spent().await, lab.scene.calls().await.len());
    assert_eq!(calls, 5);
    // The process died; the same round begins again in a fresh workspace.
    lab.scene.reopen().await;
    lab.scene.task.chain = vec![ModelTier::Gpt51, ModelTier::Gpt4];
    assert_eq!(answered_by(&lab.scene.build().await), ModelTier::Gpt4);
    let after = lab.scene.calls().await;
    assert_eq!(after.len(), calls + 1, "only the question nobody had answered was asked");
    assert!(lab.scene.spent().await > paid);

    let store = &lab.scene.builders.store;
    let of = Some((&lab.scene.task.run, SequenceType::Build));
    let stats = store.healing_stats(of).await.expect("stats");
    assert_eq!(stats.len(), 1, "{stats:?}");
    assert_eq!((stats[0].what.as_str(), stats[0].failures), ("call:server", 3));
    let other = Some((&lab.scene.task.run, SequenceType::Memory));
    assert!(store.healing_stats(other).await.expect("stats").is_empty());
}

#[tokio::test]
async fn another_tools_answer_ends_the_replay() {
    let mut lab = Lab::new(|input| match input.turn {
        0 => Reply::call("run_command", &json!({"command": "cat /proc/sys/kernel/random/uuid"})),
        _ => finish(),
    })
    .await;
    assert_eq!(answered_by(&lab.scene.build().await), ModelTier::Gpt51);
    lab.scene.reopen().await;
    assert_eq!(answered_by(&lab.scene.build().await), ModelTier::Gpt51);
    assert_eq!(lab.scene.calls().await.len(), 3, "the first answer served again, the second not");
    lab.scene.task.round = 2;
    lab.scene.build().await;
    assert_eq!(lab.scene.calls().await.len(), 5, "another round asks anew");
}

#[tokio::test]
async fn a_plan_is_kept_for_the_issue_and_dropped_with_an_exhausted_chain() {
    let fails = Arc::new(AtomicBool::new(false));
    let failing = Arc::clone(&fails);
    let planned = json!({"choices": [{"finish_reason": "tool_calls", "message": {
        "content": "Plan: first sum.sh, then its check.",
        "tool_calls": [{"id": "a", "type": "function",
            "function": {"name": "finish", "arguments": "{\"summary\":\"x\"}"}}]}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 10}});
    let mut lab = Lab::new(move |_| {
        if failing.load(Ordering::SeqCst) {
            code(404, "model_not_found")
        } else {
            Reply::RawBody(planned.to_string())
        }
    })
    .await;
    lab.scene.build().await;
    lab.scene.task.round = 2;
    lab.scene.build().await;
    let first = |index: usize| {
        lab.scene.requests()[index].body["messages"][1]["content"]
            .as_str()
            .expect("text")
            .to_owned()
    };
    assert!(!first(0).contains("> Plan:"), "{}", first(0));
    assert!(first(1).contains("> Plan: first sum.sh, then its check."), "{}", first(1));
    fails.store(true, Ordering::SeqCst);
    lab.scene.task.round = 3;
    lab.scene.task.chain = vec![ModelTier::Gpt4];
    lab.scene.build().await;
    let kept = lab.scene.builders.store.issue_plan(&lab.scene.task.run, lab.scene.task.issue).await;
    assert_eq!(kept.expect("the store works"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_that_makes_things_worse_is_taken_back() {
    use crate::support::{Town, acts, issue, row, run_command, script, write_file};
    let listed = Arc::new(Mutex::new(String::new()));
    let seen = Arc::clone(&listed);
    let town = Town::new(
        script(move |input| {
            let note = write_file("notes/a.txt", "a\n");
            let fails = |name: &str| write_file(&format!("tests/{name}.sh"), "exit 1\n");
            if input.model == "gpt-5.6-sol" {
                if input.turn == 1 {
                    seen.lock().expect("listed").clone_from(&input.last);
                }
                let good = write_file("tests/a.sh", "grep -q a notes/a.txt\n");
                return acts(input, vec![run_command("ls tests"), good]);
            }
            match input.round {
                0 => acts(input, vec![note, fails("a")]),
                _ => acts(input, vec![fails("b"), fails("c"), fails("d")]),
            }
        }),
        vec![issue("Anything")],
    )
    .await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["status"], "success", "{run:#}\n{}", server.log());
    let listed = listed.lock().expect("listed").clone();
    assert!(listed.contains("a.sh"), "the first round's work is there: {listed}");
    assert!(!listed.contains("b.sh"), "the second's is not: {listed}");
    let id = run["id"].as_str().expect("an id");
    let types = server.event_types(id).await;
    assert_eq!(types.iter().filter(|it| *it == "attempt_rolled_back").count(), 1, "{types:?}");
    town.assert_clean();
}
