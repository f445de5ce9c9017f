//! What is sent, and where to: the body in OpenAI's dialect, the address and the key.
//!
//! Reads nothing from the environment, unlike the client crate's own configuration.

use async_openai::config::Config;
use http::{HeaderMap, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::chat::ChatRequest;
use super::tiers::Endpoint;
use crate::domain::call::{Message, ToolSpec};
use crate::domain::tier::ModelTier;

/// The body of a request.
pub(super) fn body(request: &ChatRequest<'_>) -> Value {
    let tier = &request.tier.model;
    let messages: Vec<Value> = request.messages.iter().map(message).collect();
    let mut body = json!({ "model": tier.model, "messages": messages });
    // OpenAI's newer models refuse `max_tokens`; many local servers know nothing else.
    let cap =
        if tier.tier == ModelTier::LocalBuilder { "max_tokens" } else { "max_completion_tokens" };
    body[cap] = json!(request.max_completion_tokens.min(u64::from(u32::MAX)));
    // A project may be set to a dearer service by default; what is reserved is the default's price.
    if request.tier.has_service_prices() {
        body["service_tier"] = json!("default");
    }
    if !request.tools.is_empty() {
        let tool = |tool: &ToolSpec| {
            json!({"type": "function", "function": {
                "name": tool.name, "description": tool.description, "parameters": tool.parameters}})
        };
        body["tools"] = request.tools.iter().map(tool).collect();
    }
    body
}

fn message(message: &Message) -> Value {
    match message {
        Message::System { content } => json!({"role": "system", "content": content}),
        Message::User { content } => json!({"role": "user", "content": content}),
        Message::Tool { tool_call_id, content } => {
            json!({"role": "tool", "tool_call_id": tool_call_id, "content": content})
        }
        Message::Assistant { content, tool_calls } if tool_calls.is_empty() => {
            json!({"role": "assistant", "content": content.as_deref().unwrap_or_default()})
        }
        Message::Assistant { content, tool_calls } => {
            let calls: Vec<Value> = tool_calls
                .iter()
                .map(|call| {
                    json!({"id": call.id, "type": "function",
                        "function": {"name": call.name, "arguments": call.arguments}})
                })
                .collect();
            let mut value = json!({"role": "assistant", "tool_calls": calls});
            if let Some(content) = content {
                value["content"] = json!(content);
            }
            value
        }
    }
}

/// Where and as whom.
#[derive(Debug, Clone)]
pub(super) struct Address {
    base: String,
    key: SecretString,
    headers: HeaderMap,
    query: Vec<(String, String)>,
}

impl Address {
    pub(super) fn of(endpoint: &Endpoint) -> Self {
        let mut headers = HeaderMap::new();
        if let Some(key) = &endpoint.api_key {
            let value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret()));
            // A key that is not a header value is answered with 401 like any wrong one.
            if let Ok(mut value) = value {
                value.set_sensitive(true);
                headers.insert(header::AUTHORIZATION, value);
            }
        }
        let mut base = endpoint.base_url.clone();
        let query = base.query_pairs().into_owned().collect();
        base.set_query(None);
        base.set_fragment(None);
        Self {
            base: base.as_str().trim_end_matches('/').to_owned(),
            key: endpoint.api_key.clone().unwrap_or_default(),
            headers,
            query,
        }
    }
}

impl Config for Address {
    fn headers(&self) -> HeaderMap {
        self.headers.clone()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn query(&self) -> Vec<(&str, &str)> {
        self.query.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
    }

    fn api_base(&self) -> &str {
        &self.base
    }

    fn api_key(&self) -> &SecretString {
        &self.key
    }
}
