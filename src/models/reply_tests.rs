//! Replies as real servers send them, and the ones that cannot be used.

use super::*;
use serde_json::json;

fn parse(value: &Value) -> Result<Answer, Unusable> {
    read(value.to_string().as_bytes(), None)
}

#[test]
fn a_full_answer() {
    let answer = parse(&json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-5.1-2025",
        "service_tier": "default",
        "choices": [{"index": 0, "finish_reason": "tool_calls", "logprobs": null, "message": {
            "role": "assistant", "content": null, "refusal": null,
            "tool_calls": [{"id": "a", "type": "function",
                "function": {"name": "finish", "arguments": "{\"summary\":\"x\"}"}}]}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 3}}
    }))
    .expect("an answer");
    assert_eq!(answer.content, None);
    assert_eq!(answer.tool_calls[0].arguments, "{\"summary\":\"x\"}");
    assert_eq!(answer.finish, FinishReason::ToolCalls);
    let usage = Usage { prompt_tokens: 10, cached_tokens: 4, completion_tokens: 5 };
    assert_eq!(answer.usage, Some(usage));
    assert_eq!(answer.service_tier.as_deref(), Some("default"));
}

#[test]
fn what_is_missing_is_missing() {
    let bare = parse(&json!({"choices": [{"message": {"content": "hi"}}]})).expect("an answer");
    assert_eq!(bare.content.as_deref(), Some("hi"));
    assert_eq!((bare.finish, bare.usage), (FinishReason::Stop, None));
    let parts = json!({"choices": [{"finish_reason": "stop", "message": {
        "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        "tool_calls": [{"function": {"name": "x", "arguments": {"k": 1}}}, {"id": "", "function": {"name": "y"}}]}}],
        "usage": {"prompt_tokens": 1.0, "completion_tokens": 2}});
    let parts = parse(&parts).expect("an answer");
    assert_eq!(parts.content.as_deref(), Some("ab"));
    assert_eq!(parts.finish, FinishReason::ToolCalls);
    assert_eq!(parts.tool_calls[0].arguments, r#"{"k":1}"#);
    assert_eq!(
        (parts.tool_calls[0].id.as_str(), parts.tool_calls[1].id.as_str()),
        ("call_0", "call_1")
    );
    assert_eq!(parts.usage.map(|usage| usage.total()), Some(3));
    let half = json!({"choices": [{"message": {}}], "usage": {"prompt_tokens": 4}});
    assert_eq!(parse(&half).expect("an answer").usage, None);
}

#[test]
fn what_cannot_be_used_says_what_it_cost() {
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 2});
    let known = Charge::Known(Box::new(Spent {
        usage: Usage { prompt_tokens: 3, cached_tokens: 0, completion_tokens: 2 },
        service_tier: None,
    }));
    let cut = read(b"{\"choices\": [", None).expect_err("cut");
    assert_eq!((cut.class, cut.charge), (ErrorClass::Malformed, Charge::Unknown));
    let empty = parse(&json!({"choices": [], "usage": usage})).expect_err("empty");
    assert_eq!((empty.class, empty.charge), (ErrorClass::Malformed, known.clone()));
    let refused =
        json!({"choices": [{"message": {"content": null, "refusal": "I can't"}}], "usage": usage});
    let refused = parse(&refused).expect_err("refused");
    assert_eq!((refused.class, refused.charge), (ErrorClass::Refused, known));
    let filtered =
        json!({"choices": [{"finish_reason": "content_filter", "message": {"content": "x"}}]});
    assert_eq!(parse(&filtered).expect_err("filtered").class, ErrorClass::Refused);
    let embedded = json!({"error": {"code": "rate_limit_exceeded", "message": "later"}});
    assert_eq!(parse(&embedded).expect_err("embedded").class, ErrorClass::RateLimited);
}
