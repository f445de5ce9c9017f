//! Reading a reply: lenient about what is missing, strict about what would change meaning.
//!
//! Owns our reading of a Chat Completions body. Many servers speak the dialect and each leaves
//! something else out, so the fields are read one by one instead of through a fixed shape.

use serde_json::Value;

use crate::domain::call::{Answer, Charge, ErrorClass, FinishReason, Spent, ToolCall};
use crate::domain::money::Usage;

use super::errors::class_of_embedded;

/// A 200 that is not a usable answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unusable {
    pub class: ErrorClass,
    pub message: String,
    pub charge: Charge,
}

/// Reads a body that came with a 2xx.
pub(super) fn read(body: &[u8], request_id: Option<String>) -> Result<Answer, Unusable> {
    let value: Value = serde_json::from_slice(body).map_err(|error| Unusable {
        class: ErrorClass::Malformed,
        message: format!("the answer is not JSON: {error}"),
        charge: Charge::Unknown,
    })?;
    let own = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let malformed = |message: String, usage: Option<Usage>| Unusable {
        class: ErrorClass::Malformed,
        message,
        charge: usage.map_or(Charge::Unknown, |usage| {
            Charge::Known(Box::new(Spent { usage, service_tier: own("service_tier") }))
        }),
    };
    let usage = value.get("usage").and_then(usage);
    if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
        let (class, message) = class_of_embedded(error);
        return Err(Unusable { class, message, ..malformed(String::new(), usage) });
    }
    let choice = value
        .get("choices")
        .and_then(|choices| choices.get(0))
        .filter(|choice| choice.is_object())
        .ok_or_else(|| malformed("the answer has no choice".to_owned(), usage))?;
    let message = choice
        .get("message")
        .filter(|message| message.is_object())
        .ok_or_else(|| malformed("the answer's choice has no message".to_owned(), usage))?;

    let content = message.get("content").and_then(text);
    let tool_calls = tool_calls(message);
    let finish =
        finish(choice.get("finish_reason").and_then(Value::as_str), !tool_calls.is_empty());
    let refusal = message.get("refusal").and_then(text);
    if finish == FinishReason::ContentFilter || (refusal.is_some() && tool_calls.is_empty()) {
        let message = refusal.unwrap_or_else(|| "the content filter stopped the answer".to_owned());
        return Err(Unusable { class: ErrorClass::Refused, ..malformed(message, usage) });
    }
    Ok(Answer {
        content,
        tool_calls,
        finish,
        usage,
        service_tier: own("service_tier"),
        model: own("model"),
        request_id: request_id.or_else(|| own("id")),
    })
}

/// A string, or the text parts of a list; nothing where there is no text.
fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return None,
    };
    (!text.is_empty()).then_some(text)
}

fn tool_calls(message: &Value) -> Vec<ToolCall> {
    if let Some(calls) = message.get("tool_calls").and_then(Value::as_array) {
        let mut read: Vec<ToolCall> = Vec::with_capacity(calls.len());
        for (index, call) in calls.iter().enumerate() {
            let id = call.get("id").and_then(Value::as_str).filter(|id| !id.is_empty());
            // Two calls under one id could not be answered separately.
            let id = id.filter(|id| read.iter().all(|other| other.id != *id));
            let id = id.map_or_else(|| format!("call_{index}"), str::to_owned);
            read.push(function(id, call.get("function").unwrap_or(call)));
        }
        return read;
    }
    // The dialect before tools.
    match message.get("function_call").filter(|call| call.is_object()) {
        Some(call) => vec![function("call_0".to_owned(), call)],
        None => Vec::new(),
    }
}

fn function(id: String, function: &Value) -> ToolCall {
    let arguments = match function.get("arguments") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    let name = function.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    ToolCall { id, name, arguments }
}

fn finish(reason: Option<&str>, has_calls: bool) -> FinishReason {
    match reason {
        // Some servers say `stop` beside tool calls.
        Some("stop" | "tool_calls" | "function_call") | None if has_calls => {
            FinishReason::ToolCalls
        }
        Some("stop") | None => FinishReason::Stop,
        Some("tool_calls" | "function_call") => FinishReason::ToolCalls,
        Some("length") => FinishReason::Length,
        Some("content_filter") => FinishReason::ContentFilter,
        Some(_) => FinishReason::Other,
    }
}

/// A count above this is a mistake and could not be priced.
const MOST_TOKENS: f64 = 1e9;

/// Both counts must be there: half a usage cannot be priced.
fn usage(value: &Value) -> Option<Usage> {
    let count = |keys: [&str; 2]| {
        let number = keys.iter().find_map(|key| value.get(key))?.as_f64()?;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "bounded, and exact far beyond any window"
        )]
        (0.0..=MOST_TOKENS).contains(&number).then_some(number as u64)
    };
    let details = ["prompt_tokens_details", "input_tokens_details"]
        .iter()
        .find_map(|key| value.get(key)?.get("cached_tokens")?.as_u64());
    Some(Usage {
        prompt_tokens: count(["prompt_tokens", "input_tokens"])?,
        cached_tokens: details.unwrap_or(0),
        completion_tokens: count(["completion_tokens", "output_tokens"])?,
    })
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;
