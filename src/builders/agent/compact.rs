//! Making a conversation smaller without losing what it is about.
//!
//! Pure, and the same for the same conversation, so that one that is replayed becomes small in the
//! same way. What stays: the rules and the task, the plan, the last steps, and the failures that
//! nothing has put right yet. No model is asked.

use crate::domain::call::{Message, ToolCall};

/// Exchanges at the end that are spared, by how hard it presses.
const KEPT: [usize; 4] = [6, 1, 4, 1];
/// Characters that stay of an older text.
const SHORT: usize = 400;
/// Characters that stay of a text among the last, when nothing else helps.
const HARD: usize = 4_000;
/// Characters that stay of a failure that is still open.
const FAILURE: usize = 1_500;
/// Open failures that are kept.
const FAILURES: usize = 3;
/// Steps that are named in the summary.
const NAMED: usize = 60;
/// Characters of a step's line.
const LINE: usize = 160;
/// Characters of the plan.
const PLAN: usize = 2_000;
/// What the summary begins with; by it an earlier one is found again.
const SUMMARY: &str = "[Earlier steps were left out to make room; this is what they did]";
const FAILED: &str = "\n\nStill failing, as far as these steps show:\n";

/// How hard to press.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pressure {
    /// Older texts are cut.
    Cut,
    /// All texts but the last step's are cut, and those too where they are long.
    CutHard,
    /// Older steps become a summary.
    Fold,
    /// All but the last step become a summary, and that is cut.
    Squeeze,
}

impl Pressure {
    pub(super) const ALL: [Self; 4] = [Self::Cut, Self::CutHard, Self::Fold, Self::Squeeze];
}

/// The conversation made smaller, or `None` where that would not gain a tenth.
pub(super) fn compact(messages: &[Message], pressure: Pressure) -> Option<Vec<Message>> {
    let begun = messages.iter().position(|it| matches!(it, Message::Assistant { .. }))?;
    let (mut head, rest) = (messages[..begun].to_vec(), &messages[begun..]);
    let earlier = match head.last() {
        Some(Message::User { content }) if content.starts_with(SUMMARY) => {
            let content = content.clone();
            head.pop();
            Some(content)
        }
        _ => None,
    };
    let exchanges = exchanges(rest);
    let keep = KEPT[pressure as usize].min(exchanges.len());
    let (old, last) = exchanges.split_at(exchanges.len() - keep);
    let mut small = head;
    match pressure {
        Pressure::Cut | Pressure::CutHard => {
            small.extend(earlier.map(|content| Message::User { content }));
            small.extend(old.iter().copied().flatten().map(|message| shortened(message, SHORT)));
        }
        Pressure::Fold | Pressure::Squeeze => {
            if !old.is_empty() || earlier.is_some() {
                small.push(Message::User { content: summary(earlier.as_deref(), old) });
            }
        }
    }
    let cap = match pressure {
        Pressure::Cut | Pressure::Fold => usize::MAX,
        Pressure::CutHard | Pressure::Squeeze => HARD,
    };
    small.extend(last.iter().copied().flatten().map(|message| shortened(message, cap)));
    let (before, after) = (size(messages), size(&small));
    (after < before - before / 10).then_some(small)
}

/// An answer with the results of its calls, or with what was said to it.
fn exchanges(messages: &[Message]) -> Vec<&[Message]> {
    let mut starts: Vec<usize> = messages
        .iter()
        .enumerate()
        .filter(|(_, message)| matches!(message, Message::Assistant { .. }))
        .map(|(index, _)| index)
        .collect();
    starts.push(messages.len());
    starts.windows(2).map(|pair| &messages[pair[0]..pair[1]]).collect()
}

/// Bytes of a conversation.
pub(super) fn size(messages: &[Message]) -> usize {
    let one = |message: &Message| match message {
        Message::System { content } | Message::User { content } | Message::Tool { content, .. } => {
            content.len()
        }
        Message::Assistant { content, tool_calls } => {
            let calls: usize =
                tool_calls.iter().map(|call| call.name.len() + call.arguments.len()).sum();
            content.as_ref().map_or(0, String::len) + calls
        }
    };
    messages.iter().map(one).sum()
}

fn shortened(message: &Message, cap: usize) -> Message {
    match message {
        Message::System { .. } | Message::User { .. } => message.clone(),
        Message::Tool { tool_call_id, content } => {
            Message::Tool { tool_call_id: tool_call_id.clone(), content: middle_out(content, cap) }
        }
        Message::Assistant { content, tool_calls } => Message::Assistant {
            content: content.as_deref().map(|content| middle_out(content, cap)),
            tool_calls: tool_calls.iter().map(|call| short_call(call, cap)).collect(),
        },
    }
}

/// A call with its long arguments cut, still a JSON object.
fn short_call(call: &ToolCall, cap: usize) -> ToolCall {
    if call.arguments.len() <= cap {
        return call.clone();
    }
    let Ok(serde_json::Value::Object(mut given)) = serde_json::from_str(&call.arguments) else {
        return call.clone();
    };
    for value in given.values_mut() {
        if let serde_json::Value::String(text) = value {
            *text = middle_out(text, cap);
        }
    }
    ToolCall { arguments: serde_json::Value::Object(given).to_string(), ..call.clone() }
}

/// Head and tail of a text that is too long, saying what was left out.
pub(in crate::builders) fn middle_out(text: &str, cap: usize) -> String {
    let count = text.chars().count();
    if count <= cap {
        return text.to_owned();
    }
    let half = cap / 2;
    let head: String = text.chars().take(half).collect();
    let tail: String = text.chars().skip(count - half).collect();
    format!("{head}\n[… {} characters left out to make room …]\n{tail}", count - 2 * half)
}

/// What the folded steps did: the plan, a line for each, and the failures that are still open.
fn summary(earlier: Option<&str>, old: &[&[Message]]) -> String {
    let (mut plan, mut lines, mut open) = (None, Vec::new(), Vec::new());
    if let Some(earlier) = earlier {
        let (told, failures) = earlier.split_once(FAILED).unwrap_or((earlier, ""));
        plan = told
            .split_once("\nThe plan: ")
            .map(|(_, rest)| rest.split_once("\n- ").map_or(rest, |(plan, _)| plan).to_owned());
        lines.extend(told.lines().filter(|line| line.starts_with("- ")).map(str::to_owned));
        if !failures.is_empty() {
            open.push((String::new(), failures.to_owned()));
        }
    }
    for exchange in old {
        let Some(Message::Assistant { content, tool_calls }) = exchange.first() else { continue };
        let said = content.as_deref().map(str::trim).filter(|text| !text.is_empty());
        if plan.is_none() {
            plan = said.map(|text| middle_out(text, PLAN));
        }
        for call in tool_calls {
            let result = exchange.iter().find_map(|message| match message {
                Message::Tool { tool_call_id, content } if *tool_call_id == call.id => {
                    Some(content)
                }
                _ => None,
            });
            let result = result.map_or("", String::as_str);
            let wanted = one_line(&call.arguments);
            let came = one_line(result.lines().next().unwrap_or_default());
            lines.push(line(&format!("- {} {wanted} -> {came}", call.name)));
            let key = format!("{} {}", call.name, call.arguments);
            open.retain(|(other, _)| *other != key);
            if failed(result) {
                let what = line(&format!("{} {wanted}", call.name));
                let text = format!("{what}\n{}\n", middle_out(result, FAILURE));
                open.push((key, text));
            }
        }
    }
    let skip = lines.len().saturating_sub(NAMED);
    let mut text = SUMMARY.to_owned();
    if let Some(plan) = plan {
        text.push_str("\nThe plan: ");
        text.push_str(&plan);
    }
    for line in lines.iter().skip(skip) {
        text.push('\n');
        text.push_str(line);
    }
    if !open.is_empty() {
        let skip = open.len().saturating_sub(FAILURES);
        text.push_str(FAILED);
        open.iter().skip(skip).for_each(|(_, failure)| text.push_str(failure));
    }
    text
}

/// Whether a tool's answer tells of a failure.
pub(super) fn failed(result: &str) -> bool {
    result.starts_with("error:")
        || result.starts_with("killed by signal")
        || result.starts_with("stopped after")
        || result
            .strip_prefix("exit code: ")
            .is_some_and(|rest| !rest.starts_with("0\n") && rest != "0")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn line(text: &str) -> String {
    text.chars().take(LINE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(id: usize, command: &str, result: &str) -> Vec<Message> {
        let id = format!("call-{id}");
        let arguments = serde_json::json!({ "command": command }).to_string();
        let call = ToolCall { id: id.clone(), name: "run_command".to_owned(), arguments };
        vec![
            Message::Assistant { content: Some(format!("say {id}")), tool_calls: vec![call] },
            Message::Tool { tool_call_id: id, content: result.to_owned() },
        ]
    }

    fn conversation(steps: usize) -> Vec<Message> {
        let mut all = vec![
            Message::System { content: "rules".to_owned() },
            Message::User { content: "Work on issue #7".to_owned() },
        ];
        for id in 0..steps {
            let result = match id {
                1 => format!("exit code: 101\n{}test sum FAILED", "x".repeat(5_000)),
                2 => "exit code: 1\nlint broken".to_owned(),
                _ => format!("exit code: 0\n{}", "y".repeat(5_000)),
            };
            let command = match id {
                1 => "cargo test".to_owned(),
                2 | 4 => "lint".to_owned(),
                other => format!("echo {other}"),
            };
            all.extend(step(id, &command, &result));
        }
        all
    }

    fn text(messages: &[Message]) -> String {
        messages.iter().map(|it| serde_json::to_string(it).unwrap_or_default()).collect()
    }

    #[test]
    fn cutting_keeps_every_step_and_the_last_ones_whole() {
        let whole = conversation(12);
        let small = compact(&whole, Pressure::Cut).expect("smaller");
        assert_eq!(small.len(), whole.len());
        assert_eq!(small[small.len() - 12..], whole[whole.len() - 12..]);
        assert!(size(&small) < size(&whole) * 7 / 10);
    }

    #[test]
    fn folding_keeps_task_plan_last_steps_and_what_still_fails() {
        let whole = conversation(12);
        let small = compact(&whole, Pressure::Fold).expect("smaller");
        assert_eq!(small[..2], whole[..2]);
        assert_eq!(small[3..], whole[whole.len() - 8..]);
        let Message::User { content } = &small[2] else { panic!("no summary") };
        assert!(content.contains("The plan: say call-0"), "{content}");
        assert!(
            content.contains("- run_command {\"command\":\"echo 0\"} -> exit code: 0"),
            "{content}"
        );
        assert!(content.contains("test sum FAILED"), "still open: {content}");
        assert!(!content.contains("lint broken"), "put right later: {content}");
    }

    #[test]
    fn folding_again_keeps_what_was_folded_before() {
        let mut all = compact(&conversation(12), Pressure::Fold).expect("smaller");
        for id in 20..30 {
            all.extend(step(id, &format!("late {id}"), &"exit code: 0\n z".repeat(300)));
        }
        let small = compact(&all, Pressure::Fold).expect("smaller");
        let Message::User { content } = &small[2] else { panic!("no summary") };
        assert!(content.matches(SUMMARY).count() == 1, "{content}");
        for kept in ["The plan: say call-0\n", "echo 0", "late 20", "test sum FAILED"] {
            assert!(content.contains(kept), "{kept}: {content}");
        }
        assert_eq!(small.iter().filter(|it| matches!(it, Message::System { .. })).count(), 1);
    }

    #[test]
    fn squeezing_ends_where_nothing_is_left_to_gain() {
        let whole = conversation(12);
        let small = compact(&whole, Pressure::Squeeze).expect("smaller");
        assert_eq!(small.len(), 5, "rules, task, summary, one step");
        assert!(text(&small).len() < 16_000);
        assert_eq!(compact(&small, Pressure::Squeeze), None);
        assert_eq!(compact(&whole[..2], Pressure::Squeeze), None);
    }

    #[test]
    fn a_cut_call_is_still_an_object() {
        let arguments = serde_json::json!({"path": "a", "content": "c".repeat(9_000)}).to_string();
        let call = ToolCall { id: "1".to_owned(), name: "write_file".to_owned(), arguments };
        let short = short_call(&call, SHORT);
        let value: serde_json::Value = serde_json::from_str(&short.arguments).expect("JSON");
        assert_eq!(value["path"], "a");
        assert!(short.arguments.len() < 1_000, "{}", short.arguments);
    }
}
