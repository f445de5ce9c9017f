//! What OpenAI refuses about a conversation, refused here too.

use std::collections::BTreeSet;

use serde_json::Value;

/// Checks a request's messages; the error is the sentence of the 400.
pub(super) fn conversation(body: &Value) -> Result<(), String> {
    if body["model"].as_str().is_none_or(str::is_empty) {
        return Err("you must provide a model parameter".to_owned());
    }
    if body.get("max_tokens").is_some() && body.get("max_completion_tokens").is_some() {
        return Err("max_tokens and max_completion_tokens cannot both be set".to_owned());
    }
    let messages = body["messages"].as_array().filter(|messages| !messages.is_empty());
    let messages = messages.ok_or("messages must be a list that is not empty")?;
    let mut open: BTreeSet<&str> = BTreeSet::new();
    for (index, message) in messages.iter().enumerate() {
        let role = message["role"].as_str().unwrap_or_default();
        if role == "tool" {
            let id = message["tool_call_id"].as_str().unwrap_or_default();
            if !open.remove(id) {
                return Err(format!(
                    "messages[{index}] with role 'tool' must be a response to a preceding message \
                     with 'tool_calls' ({id})"
                ));
            }
            text(message, index)?;
            continue;
        }
        if let Some(id) = open.first() {
            return Err(format!("messages[{index}]: tool call {id} has no response message"));
        }
        match role {
            "system" | "developer" | "user" => text(message, index)?,
            "assistant" => open = assistant(message, index)?,
            other => return Err(format!("messages[{index}].role `{other}` is not a role")),
        }
    }
    match open.first() {
        Some(id) => Err(format!("tool call {id} has no response message")),
        None => Ok(()),
    }
}

fn text(message: &Value, index: usize) -> Result<(), String> {
    match &message["content"] {
        Value::String(_) | Value::Array(_) => Ok(()),
        other => Err(format!("messages[{index}].content must be a string, got {other}")),
    }
}

fn assistant(message: &Value, index: usize) -> Result<BTreeSet<&str>, String> {
    let Some(calls) = message.get("tool_calls").filter(|calls| !calls.is_null()) else {
        text(message, index)?;
        return Ok(BTreeSet::new());
    };
    let calls = calls.as_array().filter(|calls| !calls.is_empty());
    let calls = calls.ok_or_else(|| format!("messages[{index}].tool_calls is empty"))?;
    let mut open = BTreeSet::new();
    for call in calls {
        let id = call["id"].as_str().filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| format!("messages[{index}]: a tool call has no id"))?;
        if !call["function"]["name"].is_string() || !call["function"]["arguments"].is_string() {
            return Err(format!("messages[{index}]: tool call {id} has no name or arguments"));
        }
        if !open.insert(id) {
            return Err(format!("messages[{index}]: two tool calls have the id {id}"));
        }
    }
    Ok(open)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(messages: &Value) -> Result<(), String> {
        conversation(&json!({"model": "m", "messages": messages}))
    }

    #[test]
    fn tool_answers_follow_their_calls() {
        let user = json!({"role": "user", "content": "x"});
        let call = json!({"role": "assistant", "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]});
        let tool = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "ok"});
        assert_eq!(check(&json!([user, call, tool("a"), user])), Ok(()));
        for bad in [
            json!([]),
            json!([user, tool("a")]),
            json!([user, call]),
            json!([user, call, user]),
            json!([user, call, tool("b")]),
            json!([user, call, tool("a"), tool("a")]),
            json!([{"role": "user", "content": null}]),
            json!([{"role": "wizard", "content": "x"}]),
        ] {
            assert!(check(&bad).is_err(), "{bad}");
        }
    }
}
