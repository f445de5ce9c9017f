//! How large a prompt is, before it is sent.
//!
//! Owns an upper bound by size: no tokenizer is exact for every provider, and a bound that is a
//! little too high only reserves a little too much.

use crate::domain::call::{Message, ToolSpec};

/// Bytes per token, at least: English text has about four, dense code about three.
const BYTES_PER_TOKEN: u64 = 3;
/// What a message costs beyond its text: role, separators, ids.
pub(super) const PER_MESSAGE: u64 = 8;
/// What the request costs beyond its messages.
pub(super) const PER_REQUEST: u64 = 16;

/// More tokens than a prompt can have for a vocabulary that nobody here knows: one for each byte.
/// What is reserved with it is never too little.
#[must_use]
pub fn most_tokens(messages: &[Message], tools: &[ToolSpec]) -> u64 {
    estimate_tokens(messages, tools).saturating_mul(BYTES_PER_TOKEN)
}

/// An upper-bound estimate of the tokens of ordinary text.
#[must_use]
pub fn estimate_tokens(messages: &[Message], tools: &[ToolSpec]) -> u64 {
    let messages: u64 = messages.iter().map(|message| text(message) + PER_MESSAGE).sum();
    let tools: u64 = tools
        .iter()
        .map(|tool| {
            let schema = tool.parameters.to_string();
            tokens(&tool.name) + tokens(&tool.description) + tokens(&schema) + PER_MESSAGE
        })
        .sum();
    messages + tools + PER_REQUEST
}

fn text(message: &Message) -> u64 {
    match message {
        Message::System { content } | Message::User { content } => tokens(content),
        Message::Tool { tool_call_id, content } => tokens(tool_call_id) + tokens(content),
        Message::Assistant { content, tool_calls } => {
            let calls: u64 = tool_calls
                .iter()
                .map(|call| {
                    tokens(&call.id) + tokens(&call.name) + tokens(&call.arguments) + PER_MESSAGE
                })
                .sum();
            content.as_deref().map_or(0, tokens) + calls
        }
    }
}

fn tokens(text: &str) -> u64 {
    (text.len() as u64).div_ceil(BYTES_PER_TOKEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_with_the_text_and_is_never_nothing() {
        let one = [Message::User { content: "x".repeat(300) }];
        assert_eq!(estimate_tokens(&one, &[]), 100 + PER_MESSAGE + PER_REQUEST);
        assert!(estimate_tokens(&[], &[]) > 0);
        let tool = ToolSpec {
            name: "n".to_owned(),
            description: "d".to_owned(),
            parameters: serde_json::json!({}),
        };
        assert!(estimate_tokens(&one, &[tool]) > estimate_tokens(&one, &[]));
    }
}
