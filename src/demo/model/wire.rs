//! The bytes of an answer, with a usage computed from sizes.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::Response;
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::{ScriptInput, ScriptedCall};

/// Bytes per token, as English has about four.
const BYTES_PER_TOKEN: usize = 4;
/// OpenAI counts cached input in steps of this many tokens.
const CACHE_STEP: usize = 128;

pub(super) fn text(input: &ScriptInput, text: &str) -> Response<Body> {
    let message = json!({"role": "assistant", "content": text, "refusal": null});
    answer(input, &message, "stop")
}

pub(super) fn calls(input: &ScriptInput, calls: &[ScriptedCall]) -> Response<Body> {
    let calls: Vec<Value> = calls
        .iter()
        .enumerate()
        .map(|(nth, call)| {
            json!({"id": format!("call_{}_{nth}", input.index), "type": "function",
                "function": {"name": call.name, "arguments": call.arguments}})
        })
        .collect();
    let message =
        json!({"role": "assistant", "content": null, "refusal": null, "tool_calls": calls});
    answer(input, &message, "tool_calls")
}

fn answer(input: &ScriptInput, message: &Value, finish: &str) -> Response<Body> {
    let body = json!({
        "id": format!("chatcmpl-{}", input.index),
        "object": "chat.completion",
        "created": 0,
        "model": input.model,
        "service_tier": "default",
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish}],
        "usage": usage(&input.body, message),
    });
    raw(200, &[("x-request-id".to_owned(), format!("req-{}", input.index))], body.to_string())
}

/// What stood in the conversation before the model's last answer was sent before, so it is cached.
fn usage(body: &Value, message: &Value) -> Value {
    let messages = body["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let size = |messages: &[Value]| -> usize {
        let text: usize = messages.iter().map(|message| message.to_string().len()).sum();
        text / BYTES_PER_TOKEN
    };
    let known = messages.iter().rposition(|message| message["role"] == "assistant").unwrap_or(0);
    let tools = body["tools"].to_string().len() / BYTES_PER_TOKEN;
    let prompt = size(messages) + tools;
    let cached = size(&messages[..known]) / CACHE_STEP * CACHE_STEP;
    let completion = message.to_string().len() / BYTES_PER_TOKEN;
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    })
}

/// The 400 of a conversation that breaks the rules.
pub(super) fn refuse(complaint: &str) -> Response<Body> {
    let error = json!({"error": {"message": complaint, "type": "invalid_request_error",
        "param": "messages", "code": null}});
    raw(400, &[], error.to_string())
}

pub(super) fn raw(status: u16, headers: &[(String, String)], text: String) -> Response<Body> {
    let mut builder = Response::builder().status(status).header("content-type", "application/json");
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    builder.body(Body::from(text)).unwrap_or_else(|error| {
        // A script's own mistake: say so where it is seen.
        Response::new(Body::from(format!("the script's answer is not HTTP: {error}")))
    })
}

/// How long the first half is given to reach the client before the connection is cut.
const FLUSH: Duration = Duration::from_millis(20);

/// Promises more than it sends, then cuts the connection.
pub(super) fn cut() -> Response<Body> {
    let half =
        Bytes::from_static(b"{\"id\":\"chatcmpl-cut\",\"choices\":[{\"message\":{\"content\":\"ha");
    let first = futures_util::stream::iter([Ok(half)]);
    let then = futures_util::stream::once(async {
        tokio::time::sleep(FLUSH).await;
        Err(std::io::Error::other("cut by the script"))
    });
    Response::new(Body::from_stream(first.chain(then)))
}
