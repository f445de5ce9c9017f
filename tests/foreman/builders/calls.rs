//! The calls behind the work: the chain, the ledger, the ceilings, the local builder.

use std::time::Duration;

use foreman::builders::BuildOutcome;
use foreman::demo::model::Reply;
use foreman::domain::call::ErrorClass;
use foreman::domain::event::{EventType, Severity};
use foreman::domain::ids::CallId;
use foreman::domain::money::Usd;
use foreman::domain::plan::ReasonCode;
use foreman::domain::tier::ModelTier;
use foreman::store::{CallStatus, Reserve, Reserved, Settlement};
use serde_json::json;

use super::scene::Scene;
use super::{ADDS, error, failure, finish, finished_by, solve};

#[tokio::test]
async fn a_failed_call_goes_down_the_chain_and_the_conversation_goes_on() {
    let scene = Scene::new(|input| match (input.model.as_str(), input.turn) {
        ("gpt-5.1", 0) => Reply::call("run_command", &json!({"command": "echo hello"})),
        ("gpt-5.1", _) => Reply::Status(
            429,
            vec![("retry-after".to_owned(), "61".to_owned())],
            json!({"error": {"code": "rate_limit_exceeded"}}).to_string(),
        ),
        ("gpt-5.6-sol", _) => Reply::RawBody("{\"choices\": ".to_owned()),
        _ if input.last.contains("hello") => finish(),
        _ => error(400, "lost_the_conversation"),
    })
    .await;
    assert_eq!(finished_by(&scene.build().await), ModelTier::Gpt4);
    let calls = scene.calls().await;
    let tiers: Vec<ModelTier> = calls.iter().map(|call| call.tier).collect();
    let (top, turbo, base) = (ModelTier::Gpt51, ModelTier::Gpt4Turbo, ModelTier::Gpt4);
    assert_eq!(tiers, [top, top, turbo, turbo, base]);
    assert_eq!(calls[1].error_class, Some(ErrorClass::RateLimited));
    assert_eq!(calls[1].cost, Usd::ZERO);
    // A broken 200 may have been charged: booked at the estimate.
    assert_eq!((calls[2].status, calls[2].cost), (CallStatus::Unknown, calls[2].estimate));
    let moves: Vec<_> = scene.events(EventType::ModelFallback).await;
    let to: Vec<_> = moves.iter().map(|event| event.metadata["toModel"].clone()).collect();
    assert_eq!(to, [json!("gpt-4-turbo"), json!("gpt-4")]);
    assert_eq!(scene.events(EventType::ChargeUnknown).await.len(), 2);
}

#[tokio::test]
async fn a_spent_key_costs_one_call_and_leaves_the_local_command() {
    let mut scene = Scene::new(|_| error(429, "insufficient_quota")).await;
    let agent = scene.workspace.parent().expect("a parent").join("agent/run.sh");
    std::fs::create_dir_all(agent.parent().expect("a parent")).expect("a folder");
    let program =
        format!("read line; echo \"$line\"; printf '#!/bin/sh\\n{ADDS}\\n' > sum.sh; sh check.sh");
    std::fs::write(&agent, program).expect("a file");
    scene.builders.local_command = Some(format!("sh {}", agent.display()));
    let outcome = scene.build().await;
    assert_eq!(finished_by(&outcome), ModelTier::LocalBuilder);
    let BuildOutcome::Finished { summary, .. } = outcome else { panic!("not finished") };
    assert_eq!(summary, "Work on issue #7: The sum is wrong\npassed");
    assert_eq!(scene.calls().await.len(), 1, "no row of ours for the local command");
    assert_eq!(scene.spent().await, Usd::ZERO);
    let alarm = scene.events(EventType::ProviderFailed).await.remove(0);
    assert_eq!(alarm.severity, Severity::Critical);
}

#[tokio::test]
async fn a_local_command_that_fails_is_a_failed_builder() {
    let mut scene = Scene::new(|_| finish()).await;
    scene.builders.local_command = Some("echo no idea >&2; exit 9".to_owned());
    scene.task.chain = vec![ModelTier::LocalBuilder];
    let (code, message, _) = failure(scene.build().await);
    assert_eq!(code, ReasonCode::BuilderFailed);
    assert!(message.contains("exit code: 9") && message.contains("no idea"), "{message}");
    assert!(scene.requests().is_empty());
}

#[tokio::test]
async fn a_wrong_key_or_a_refusal_stops_at_once() {
    for (status, code) in [(401, "invalid_api_key"), (400, "content_filter"), (400, "oops")] {
        let scene = Scene::new(move |_| error(status, code)).await;
        let (reason, message, stuck) = failure(scene.build().await);
        assert_eq!((reason, stuck), (ReasonCode::ProviderRefused, false), "{message}");
        assert_eq!(scene.calls().await.len(), 1);
    }
}

#[tokio::test]
async fn a_prompt_too_large_goes_to_a_larger_window() {
    let mut scene = Scene::new(|input| match input.model.as_str() {
        "gpt-5-mini" => error(400, "context_length_exceeded"),
        _ => finish(),
    })
    .await;
    scene.task.chain = ModelTier::Gpt4.chain_down();
    assert_eq!(finished_by(&scene.build().await), ModelTier::Gpt4Turbo);
    assert_eq!(scene.calls().await.len(), 2);
}

#[tokio::test]
async fn without_healing_nothing_is_tried_again() {
    let mut scene = Scene::new(|_| error(503, "overloaded")).await;
    scene.task.auto_heal = false;
    failure(scene.build().await);
    assert_eq!(scene.calls().await.len(), 1);
}

#[tokio::test]
async fn a_chain_without_living_models_is_said_to_be_so() {
    let mut scene = Scene::new(|_| finish()).await;
    scene.task.chain = vec![ModelTier::LocalBuilder];
    let (code, message, _) = failure(scene.build().await);
    assert_eq!(code, ReasonCode::ModelsExhausted, "{message}");
}

#[tokio::test]
async fn no_money_is_no_call() {
    let mut scene = Scene::new(|_| finish()).await;
    scene.task.ceilings.night = Some(Usd::ZERO);
    let BuildOutcome::Budget { message } = scene.build().await else { panic!("not refused") };
    assert!(message.contains("night ceiling of $0.00"), "{message}");
    assert!(scene.calls().await.is_empty());
}

#[tokio::test]
async fn little_money_makes_the_answers_shorter_once() {
    let mut scene = Scene::new(|_| finish()).await;
    // 8,192 tokens of gpt-5.1 cost 0.082 USD, 1,024 cost 0.011.
    scene.task.ceilings.night = Usd::from_usd(0.03);
    assert_eq!(finished_by(&scene.build().await), ModelTier::Gpt51);
    assert_eq!(scene.requests()[0].body["max_completion_tokens"], 1_024);
    assert!(scene.spent().await < Usd::from_nanos(30_000_000));
}

#[tokio::test]
async fn money_in_flight_elsewhere_is_waited_for() {
    let mut scene = Scene::new(|_| finish()).await;
    scene.task.ceilings.night = Usd::from_usd(1.0);
    let store = &scene.builders.store;
    let other = Reserve {
        id: CallId::fresh(),
        attempt: scene.task.attempt.clone(),
        issue: scene.task.issue,
        escalation: None,
        tier: ModelTier::Gpt51,
        model: "gpt-5.1".to_owned(),
        estimate: Usd::from_nanos(1_000_000_000),
        ceilings: scene.task.ceilings,
    };
    let Reserved::Dispatched(other) = store.reserve(&scene.fence, other).await.expect("reserved")
    else {
        panic!("refused")
    };
    let waiting = tokio::time::timeout(Duration::from_millis(300), scene.build()).await;
    assert!(waiting.is_err(), "neither refused nor sent: {waiting:?}");
    assert!(scene.requests().is_empty());
    let free = Settlement::Failed {
        class: ErrorClass::Server,
        message: String::new(),
        cost: Usd::ZERO,
        unknown: false,
    };
    store.settle(&scene.fence, &other, free, Vec::new()).await.expect("settled");
    assert_eq!(finished_by(&scene.build().await), ModelTier::Gpt51);
    assert_eq!(scene.requests().len(), 1);
}

#[tokio::test]
async fn a_prompt_that_cannot_fit_is_not_sent() {
    let mut scene = Scene::new(|_| finish()).await;
    scene.narrow(ModelTier::Gpt4, 1_024);
    scene.task.body = "word ".repeat(1_000);
    scene.task.chain = ModelTier::Gpt4.chain_down();
    // 272,000 is the next larger window, 922,000 the one after.
    assert_eq!(finished_by(&scene.build().await), ModelTier::Gpt51);
    let calls = scene.calls().await;
    assert_eq!(calls.len(), 1, "the small window was not asked");
    assert_eq!(scene.events(EventType::ModelFallback).await.len(), 1);
}

#[tokio::test]
async fn a_local_server_works_in_the_same_loop_for_nothing() {
    let mut scene = Scene::new(solve).await;
    scene.serve_locally("tiny");
    scene.task.chain = vec![ModelTier::LocalBuilder];
    scene.task.ceilings.night = Some(Usd::ZERO);
    assert_eq!(finished_by(&scene.build().await), ModelTier::LocalBuilder);
    let calls = scene.calls().await;
    assert!(calls.iter().all(|call| call.model == "tiny" && call.cost == Usd::ZERO));
    assert!(scene.requests()[0].authorization.is_none());
    assert!(scene.requests()[0].body["max_tokens"].is_u64());
}

#[tokio::test]
async fn a_cancelled_call_is_booked_at_its_estimate() {
    let scene = Scene::new(|_| Reply::Hang).await;
    let building = scene.build();
    let cancelling = async {
        while scene.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        scene.cancel.cancel();
    };
    let (outcome, ()) = tokio::join!(building, cancelling);
    assert_eq!(outcome, BuildOutcome::Cancelled);
    let calls = scene.calls().await;
    assert_eq!((calls[0].status, calls[0].cost), (CallStatus::Unknown, calls[0].estimate));
}

#[tokio::test]
async fn a_request_that_hangs_is_tried_once_more_then_left() {
    let mut scene = Scene::new(|input| match input.model.as_str() {
        "gpt-5-mini" => finish(),
        _ => Reply::Hang,
    })
    .await;
    scene.task.limits.request_timeout = Duration::from_millis(150);
    scene.task.chain = vec![ModelTier::Gpt51, ModelTier::Gpt4];
    assert_eq!(finished_by(&scene.build().await), ModelTier::Gpt4);
    let calls = scene.calls().await;
    assert_eq!(calls.len(), 3);
    assert_eq!(calls[0].error_class, Some(ErrorClass::Timeout));
}
