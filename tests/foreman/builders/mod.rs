//! The model agent at work: real tools in a real sandbox, a real ledger, a scripted model.

mod calls;
pub mod scene;

use foreman::builders::BuildOutcome;
use foreman::demo::model::{Reply, ScriptInput, ScriptedCall};
use foreman::domain::money::Usd;
use foreman::domain::plan::ReasonCode;
use foreman::domain::tier::ModelTier;
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
        BuildOutcome::Unfinished { message } => (ReasonCode::BuilderFailed, message, true),
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
async fn a_broken_call_is_sent_back_as_servers_take_it() {
    let scene = Scene::new(|input| match input.turn {
        0 => Reply::ToolCalls(vec![ScriptedCall {
            name: "run command!".to_owned(),
            arguments: "{\"command\": ".to_owned(),
        }]),
        _ => finish(),
    })
    .await;
    assert_eq!(finished_by(&scene.build().await), ModelTier::Gpt51);
    let sent = scene.requests().remove(1).body["messages"][2]["tool_calls"][0]["function"].clone();
    assert_eq!(sent["name"], "run_command_");
    assert_eq!(sent["arguments"], "{\"malformed\":\"{\\\"command\\\": \"}");
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
