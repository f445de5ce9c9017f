//! The model agent at work: real tools in a real sandbox, a real ledger, a scripted model.

mod scene;

use std::time::Duration;

use foreman::builders::BuildOutcome;
use foreman::demo::model::{Reply, ScriptInput, ScriptedCall};
use foreman::domain::call::ErrorClass;
use foreman::domain::event::{EventType, Severity};
use foreman::domain::money::Usd;
use foreman::domain::plan::ReasonCode;
use foreman::domain::tier::ModelTier;
use foreman::store::CallStatus;
use serde_json::json;

use scene::Scene;

const ADDS: &str = "echo $(($1 + $2))";

/// Reads, tries, edits, proves, finishes.
fn solve(input: &ScriptInput) -> Reply {
    match input.turn {
        0 => Reply::call("read_file", &json!({"path": "sum.sh"})),
        1 => Reply::call("run_command", &json!({"command": "sh check.sh"})),
        2 => Reply::call(
            "edit_file",
            &json!({"path": "sum.sh", "old_text": "echo $(($1 - $2))", "new_text": ADDS}),
        ),
        3 => Reply::call("run_command", &json!({"command": "sh check.sh; touch made; whoami"})),
        _ => Reply::Finish("sum.sh adds now".to_owned()),
    }
}

fn finish() -> Reply {
    Reply::Finish("done".to_owned())
}

fn error(status: u16, code: &str) -> Reply {
    let body = json!({"error": {"code": code, "message": "no"}}).to_string();
    Reply::Status(status, Vec::new(), body)
}

fn finished_by(outcome: &BuildOutcome) -> ModelTier {
    match outcome {
        BuildOutcome::Finished { tier, .. } => *tier,
        other => panic!("not finished: {other:?}"),
    }
}

fn failure(outcome: BuildOutcome) -> (ReasonCode, String, bool) {
    match outcome {
        BuildOutcome::Failed { code, message, stuck } => (code, message, stuck),
        other => panic!("not failed: {other:?}"),
    }
}

#[tokio::test]
async fn a_task_is_solved_with_real_tools() {
    let scene = Scene::new(solve).await;
    let outcome = scene.build().await;
    let summary = "sum.sh adds now".to_owned();
    assert_eq!(outcome, BuildOutcome::Finished { tier: ModelTier::Gpt51, summary });
    assert_eq!(scene.file("sum.sh"), format!("#!/bin/sh\n{ADDS}\n"));

    let outputs = scene.tool_outputs().await;
    assert_eq!(outputs.len(), 5);
    assert!(outputs[0].contains("$1 - $2"), "{}", outputs[0]);
    assert!(outputs[1].starts_with("exit code: 3\nFAILED"), "{}", outputs[1]);
    assert!(outputs[3].starts_with("exit code: 0\npassed"), "{}", outputs[3]);

    let calls = scene.calls().await;
    assert_eq!(calls.len(), 5);
    assert!(calls.iter().all(|call| call.cost > Usd::ZERO && call.cost <= call.estimate));
    assert!(calls.iter().skip(1).any(|call| call.usage.is_some_and(|u| u.cached_tokens > 0)));

    let first = scene.requests().remove(0).body;
    let told = first["messages"][1]["content"].as_str().expect("text").to_owned();
    assert!(told.starts_with("Work on issue #7: The sum is wrong\n"), "{told}");
    assert!(told.contains("> sum.sh subtracts.") && !told.contains("email"), "{told}");
    assert_eq!(first["tools"].as_array().map(Vec::len), Some(6));
}

#[tokio::test]
async fn files_that_are_written_belong_to_the_sandboxs_user() {
    use std::os::unix::fs::MetadataExt as _;
    let scene = Scene::new(|input| match input.turn {
        0 => Reply::call("write_file", &json!({"path": "new/deep.txt", "content": "x"})),
        1 => Reply::call(
            "run_command",
            &json!({"command": "echo y >> new/deep.txt && rm new/deep.txt"}),
        ),
        _ => finish(),
    })
    .await;
    scene.build().await;
    let said = scene.tool_outputs().await;
    assert!(said[1].starts_with("exit code: 0"), "{said:?}");
    if let Some(identity) = scene.builders.sandbox.identity() {
        let made = std::fs::metadata(scene.workspace.join("new")).expect("metadata");
        assert_eq!((made.uid(), made.gid()), (identity.uid, identity.gid));
    }
}

#[tokio::test]
async fn a_failed_edit_says_what_was_found() {
    let scene = Scene::new(|input| match input.turn {
        0 => Reply::call(
            "edit_file",
            &json!({"path": "sum.sh", "old_text": "echo $(($1 -- $2))", "new_text": "x"}),
        ),
        1 => Reply::call("edit_file", &json!({"path": "sum.sh", "old_text": "$", "new_text": "x"})),
        2 => {
            Reply::call("edit_file", &json!({"path": "nope.sh", "old_text": "a", "new_text": "b"}))
        }
        3 => Reply::call("search", &json!({"pattern": "\\$\\(\\(", "regex": true})),
        _ => finish(),
    })
    .await;
    let before = scene.file("sum.sh");
    scene.build().await;
    assert_eq!(scene.file("sum.sh"), before);
    let said = scene.tool_outputs().await;
    assert!(said[0].contains("0 matches") && said[0].contains("echo $(($1 - $2))"), "{}", said[0]);
    assert!(said[1].contains("3 times, at lines 2, 2, 2"), "{}", said[1]);
    assert!(said[2].contains("`nope.sh` does not exist"), "{}", said[2]);
    assert_eq!(said[3], "sum.sh:2: echo $(($1 - $2))\n");
}

#[tokio::test]
async fn no_tool_leads_out_of_the_workspace() {
    let scene = Scene::new(|input| match input.turn {
        0 => Reply::ToolCalls(vec![
            ScriptedCall::new("read_file", &json!({"path": "out/secret"})),
            ScriptedCall::new("read_file", &json!({"path": "../outside/secret"})),
            ScriptedCall::new("write_file", &json!({"path": "out/secret", "content": "x"})),
            ScriptedCall::new(
                "write_file",
                &json!({"path": ".git/hooks/pre-commit", "content": "x"}),
            ),
            ScriptedCall::new("search", &json!({"pattern": "host"})),
            ScriptedCall::new(
                "run_command",
                &json!({"command": "cat out/secret; echo x > out/secret"}),
            ),
        ]),
        _ => finish(),
    })
    .await;
    scene.build().await;
    let secret = std::fs::read_to_string(scene.outside.join("secret")).expect("a file");
    assert_eq!(secret, "the host's");
    let said = scene.tool_outputs().await;
    assert_eq!(said.len(), 7);
    for output in &said {
        assert!(!output.contains("the host's"), "{output}");
    }
    assert!(said[3].contains(".git"), "{}", said[3]);
}

#[tokio::test]
async fn three_malformed_answers_in_a_row_end_it() {
    let broken = |name: &str, arguments: &str| {
        let call = ScriptedCall { name: name.to_owned(), arguments: arguments.to_owned() };
        Reply::ToolCalls(vec![call])
    };
    let scene = Scene::new(move |input| match input.turn {
        0 => broken("run_command", "{\"command\": "),
        1 => Reply::call("read_file", &json!({"path": "sum.sh"})), // a good one between: starts anew
        2 => broken("read_file", "{\"nothing\": 1}"),
        3 => broken("no_such_tool", "{}"),
        _ => Reply::Text("I think I am done".to_owned()),
    })
    .await;
    let (code, message, stuck) = failure(scene.build().await);
    assert_eq!((code, stuck), (ReasonCode::BuilderFailed, true), "{message}");
    assert_eq!(scene.calls().await.len(), 5);
    let said = scene.tool_outputs().await;
    assert!(said[0].contains("Send one JSON object"), "{}", said[0]);
    assert!(said[3].contains("the tools are run_command, read_file"), "{}", said[3]);
}

#[tokio::test]
async fn words_alone_are_answered_with_a_reminder() {
    let scene = Scene::new(|input| match input.turn {
        0 => Reply::Text("Let me think".to_owned()),
        _ if input.last.contains("called no tool") => finish(),
        _ => Reply::Text("?".to_owned()),
    })
    .await;
    assert_eq!(finished_by(&scene.build().await), ModelTier::Gpt51);
    assert_eq!(scene.calls().await.len(), 2);
}

#[tokio::test]
async fn going_in_circles_ends_it() {
    let scene = Scene::new(|_| Reply::call("run_command", &json!({"command": "echo same"}))).await;
    let (code, message, stuck) = failure(scene.build().await);
    assert_eq!((code, stuck), (ReasonCode::BuilderFailed, true));
    assert!(message.contains("same result 4 times"), "{message}");
    assert_eq!(scene.calls().await.len(), 4);
}

#[tokio::test]
async fn steps_are_bounded() {
    let mut scene = Scene::new(|input| {
        Reply::call("run_command", &json!({"command": format!("echo {}", input.turn)}))
    })
    .await;
    scene.task.limits.steps = 3;
    let (_, message, _) = failure(scene.build().await);
    assert!(message.contains("3 steps"), "{message}");
    assert_eq!(scene.calls().await.len(), 3);
}

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

#[tokio::test]
async fn the_second_round_is_told_what_the_gate_said() {
    let mut scene = Scene::new(|input| {
        assert_eq!(input.round, 1);
        assert!(input.last.contains("> test sum failed"), "{}", input.last);
        finish()
    })
    .await;
    scene.task.round = 2;
    scene.task.feedback = Some("test sum failed".to_owned());
    assert_eq!(finished_by(&scene.build().await), ModelTier::Gpt51);
}
