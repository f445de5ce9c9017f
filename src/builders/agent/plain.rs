//! The plain-text protocol: tool calls as text, for models and servers that know none.
//!
//! Pure. The conversation itself stays as it is; it is told in this form when it is sent, and a
//! model's text is read for calls when it comes back. Values stand between tags as they are, so
//! that nothing has to be escaped.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::domain::call::{Message, ToolCall, ToolSpec};

/// Calls read from one answer.
const CALLS: usize = 16;

const HOW: &str = "\n\nYou call a tool by writing a block like this, each value as it is between its \
tags, with nothing escaped:\n\n<call tool=\"write_file\">\n<path>notes/a.txt</path>\n<content>\nthe \
text\n</content>\n</call>\n\nAfter your blocks stop writing; the results come in the next message. \
The tools:\n";

/// How a call is written, in one sentence: said to a model that called none.
pub(super) const HINT: &str = " If you cannot call tools, write the call as text: <call \
tool=\"run_command\"><command>ls</command></call>";

/// The conversation as a model without tool calls reads it.
pub(super) fn told(messages: &[Message], specs: &[ToolSpec]) -> Vec<Message> {
    let mut out: Vec<Message> = Vec::with_capacity(messages.len());
    let mut names: Vec<(&str, &str)> = Vec::new();
    for message in messages {
        match message {
            Message::System { content } => {
                out.push(Message::System { content: format!("{content}{HOW}{}", list(specs)) });
            }
            Message::User { content } => user(&mut out, content),
            Message::Assistant { content, tool_calls } => {
                names.extend(tool_calls.iter().map(|call| (call.id.as_str(), call.name.as_str())));
                let mut text = content.clone().unwrap_or_default();
                for call in tool_calls {
                    if !text.is_empty() {
                        text.push('\n');
                    }
                    text.push_str(&written(call));
                }
                out.push(Message::Assistant { content: Some(text), tool_calls: Vec::new() });
            }
            Message::Tool { tool_call_id, content } => {
                let name = names.iter().rev().find(|(id, _)| id == tool_call_id);
                let name = name.map_or("the tool", |(_, name)| name);
                user(&mut out, &format!("Result of {name}:\n{content}"));
            }
        }
    }
    out
}

/// Many chat templates want users and models to take turns.
fn user(out: &mut Vec<Message>, text: &str) {
    if let Some(Message::User { content }) = out.last_mut() {
        content.push_str("\n\n");
        content.push_str(text);
    } else {
        out.push(Message::User { content: text.to_owned() });
    }
}

fn list(specs: &[ToolSpec]) -> String {
    let mut text = String::new();
    for spec in specs {
        let fields = spec.parameters["properties"].as_object();
        let names: Vec<String> =
            fields.into_iter().flatten().map(|(name, _)| format!("<{name}>")).collect();
        // Writing to a string does not fail.
        writeln!(text, "- {} {}: {}", spec.name, names.join(" "), spec.description).ok();
    }
    text
}

/// A call in this form.
fn written(call: &ToolCall) -> String {
    let mut text = format!("<call tool=\"{}\">\n", call.name);
    if let Ok(Value::Object(given)) = serde_json::from_str(&call.arguments) {
        for (name, value) in given {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            writeln!(text, "<{name}>{value}</{name}>").ok();
        }
    }
    text.push_str("</call>");
    text
}

/// The calls in a model's text, and the text without them. `id` makes their ids.
pub(super) fn read(
    text: &str,
    specs: &[ToolSpec],
    id: impl Fn(usize) -> String,
) -> (String, Vec<ToolCall>) {
    let (mut words, mut calls, mut rest) = (String::new(), Vec::new(), text);
    while calls.len() < CALLS
        && let Some((before, name, inner, after)) = block(rest)
    {
        words.push_str(before);
        let spec = specs.iter().find(|spec| spec.name == name);
        let arguments = spec.map_or_else(Map::new, |spec| values(inner, spec));
        calls.push(ToolCall {
            id: id(calls.len()),
            name: name.to_owned(),
            arguments: Value::Object(arguments).to_string(),
        });
        rest = after;
    }
    words.push_str(rest);
    (words.trim().to_owned(), calls)
}

/// The first whole block: what stands before it, its tool, its inside, what stands after.
fn block(text: &str) -> Option<(&str, &str, &str, &str)> {
    let (before, rest) = text.split_once("<call tool=")?;
    let (name, rest) = rest.split_once('>')?;
    let (inner, after) = rest.split_once("</call>")?;
    Some((before, name.trim().trim_matches(['"', '\'']), inner, after))
}

/// The values of a call's fields, of the kind that its schema says.
fn values(inner: &str, spec: &ToolSpec) -> Map<String, Value> {
    let mut given = Map::new();
    for (name, schema) in spec.parameters["properties"].as_object().into_iter().flatten() {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let Some((_, rest)) = inner.split_once(&open) else { continue };
        // The last one: a file's own text may hold the same tag.
        let Some((value, _)) = rest.rsplit_once(&close) else { continue };
        given.insert(name.clone(), typed(value, schema["type"].as_str()));
    }
    given
}

fn typed(text: &str, kind: Option<&str>) -> Value {
    let parsed = || serde_json::from_str::<Value>(text.trim()).ok();
    match kind {
        Some("integer") => parsed().filter(Value::is_u64).unwrap_or_else(|| text.into()),
        Some("boolean") => parsed().filter(Value::is_boolean).unwrap_or_else(|| text.into()),
        _ => {
            // The line breaks beside the tags are the form's, not the value's; a text of several
            // lines keeps its last one.
            let text = text.strip_prefix('\n').unwrap_or(text);
            let one_line = !text.trim_end_matches('\n').contains('\n') && !text.ends_with('\n');
            Value::String(if one_line { text.to_owned() } else { ended(text) })
        }
    }
}

fn ended(text: &str) -> String {
    format!("{}\n", text.trim_end_matches('\n'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builders::agent::tools::specs;

    fn read_one(text: &str) -> (String, ToolCall) {
        let (words, mut calls) = read(text, &specs(), |index| format!("plain-{index}"));
        assert_eq!(calls.len(), 1, "{calls:?}");
        (words, calls.remove(0))
    }

    #[test]
    fn a_call_is_read_from_words() {
        let text = "I will write it.\n<call tool=\"write_file\">\n<path>a/b.rs</path>\n<content>\nfn \
                    x() -> &'static str {\n    \"<path>\"\n}\n</content>\n</call>\nDone.";
        let (words, call) = read_one(text);
        assert_eq!(words, "I will write it.\n\nDone.");
        let given: Value = serde_json::from_str(&call.arguments).expect("JSON");
        assert_eq!(given["path"], "a/b.rs");
        assert_eq!(given["content"], "fn x() -> &'static str {\n    \"<path>\"\n}\n");
    }

    #[test]
    fn values_are_of_the_kind_the_tool_takes() {
        let (_, call) =
            read_one("<call tool='read_file'><path>x</path><start_line> 3 </start_line></call>");
        assert_eq!(call.arguments, "{\"path\":\"x\",\"start_line\":3}");
        let (_, call) =
            read_one("<call tool=search><pattern>a b</pattern><regex>true</regex></call>");
        assert_eq!(call.arguments, "{\"pattern\":\"a b\",\"regex\":true}");
    }

    #[test]
    fn words_and_half_a_block_are_no_call() {
        for text in ["hello", "<call tool=\"finish\"><summary>x</summary>", "<call>", ""] {
            assert!(read(text, &specs(), |_| String::new()).1.is_empty(), "{text}");
        }
    }

    #[test]
    fn a_conversation_told_so_reads_back_as_it_was() {
        let arguments = "{\"command\":\"ls\"}".to_owned();
        let call = ToolCall { id: "1".to_owned(), name: "run_command".to_owned(), arguments };
        let messages = vec![
            Message::System { content: "rules".to_owned() },
            Message::User { content: "do it".to_owned() },
            Message::Assistant { content: None, tool_calls: vec![call.clone()] },
            Message::Tool { tool_call_id: "1".to_owned(), content: "exit code: 0".to_owned() },
            Message::User { content: "go on".to_owned() },
        ];
        let told = told(&messages, &specs());
        let Message::System { content } = &told[0] else { panic!("no rules") };
        assert!(
            content.starts_with("rules") && content.contains("- apply_patch <patch>:"),
            "{content}"
        );
        let Message::Assistant { content: Some(text), tool_calls } = &told[2] else {
            panic!("none")
        };
        assert!(tool_calls.is_empty());
        assert_eq!(read(text, &specs(), |_| "1".to_owned()).1, [call]);
        let Message::User { content } = &told[3] else { panic!("no result") };
        assert_eq!(content, "Result of run_command:\nexit code: 0\n\ngo on");
        assert_eq!(told.len(), 4, "turns are taken");
    }
}
