//! Windows, cut answers, compaction, and what a service tier costs.

use super::*;

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
