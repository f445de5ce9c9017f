//! What an answer asks for, done: its calls run one after another, each result stored before the
//! next request.
//!
//! Owns the corrections of an answer that cannot be acted on, and sees whether the builder gets
//! nowhere (`stuck.rs`). Never asks a model.

use super::stuck::Done;
use super::tools::{Ran, Tools, specs};
use super::{Agent, compact, gave_up, internal, plain, prompt};
use crate::builders::BuildOutcome;
use crate::domain::call::{Answer, FinishReason, Message, ToolCall};
use crate::domain::ids::CallId;
use crate::domain::tier::ModelTier;
use crate::store::{Change, StoreError};

/// Tool calls of one answer that are run.
const CALLS_PER_ANSWER: usize = 32;

/// What an answer led to.
pub(super) enum Step {
    On,
    End(BuildOutcome),
}

impl Agent<'_> {
    /// Does what an answer asks for.
    pub(super) async fn act(
        &mut self,
        tools: &Tools<'_>,
        call: &CallId,
        answer: Answer,
    ) -> Result<Step, StoreError> {
        self.patience.answered();
        let (content, calls) = self.understood(&answer);
        if calls.is_empty() {
            return Ok(self.spoke(call, content, answer.finish));
        }
        if answer.finish == FinishReason::Length {
            self.raise_cap();
        }
        let tool_calls = calls.iter().map(echo).collect();
        self.say(Message::Assistant { content, tool_calls }, Some(call));
        let mut finished = None;
        let mut enough = None;
        for (index, wanted) in calls.iter().enumerate() {
            let text = if let Some(end) = skipped(index, finished.is_some()) {
                end
            } else {
                match tools.run(wanted, self.cancel).await {
                    Ok(Ran::Cancelled) => return Ok(Step::End(BuildOutcome::Cancelled)),
                    Ok(Ran::Finish { summary }) => {
                        finished = Some(summary);
                        "finished".to_owned()
                    }
                    Ok(Ran::Malformed(correction)) => {
                        enough = enough.or(self.patience.malformed());
                        correction
                    }
                    Ok(Ran::Output { text, wrote, touched }) => {
                        self.untold.did(wanted, touched);
                        let (name, arguments) = (&*wanted.name, &*wanted.arguments);
                        let failed = compact::failed(&text);
                        let done = Done { name, arguments, output: &text, wrote, failed };
                        enough = enough.or(self.patience.ran(&done));
                        text
                    }
                    Err(error) => {
                        return Ok(Step::End(internal(format!("the sandbox failed: {error}"))));
                    }
                }
            };
            self.answer_tool(call, index, wanted, text).await?;
            if enough.is_some() {
                break;
            }
        }
        Ok(match (finished, enough) {
            (Some(summary), _) => Step::End(BuildOutcome::Finished {
                tier: self.tier(),
                summary: self.builders.redactor.redact(summary.trim()),
            }),
            (None, Some(why)) => Step::End(gave_up(why)),
            (None, None) => Step::On,
        })
    }

    /// The words and the calls of an answer; calls that stand in its text are calls too.
    fn understood(&self, answer: &Answer) -> (Option<String>, Vec<ToolCall>) {
        if !answer.tool_calls.is_empty() {
            return (answer.content.clone(), answer.tool_calls.clone());
        }
        let text = answer.content.as_deref().unwrap_or_default();
        let turn = self.patience.answers();
        let (words, calls) = plain::read(text, &specs(), |index| format!("plain-{turn}-{index}"));
        if calls.is_empty() {
            (answer.content.clone(), Vec::new())
        } else {
            ((!words.is_empty()).then_some(words), calls)
        }
    }

    /// Stores a tool's answer, then goes on with it in the conversation.
    async fn answer_tool(
        &mut self,
        call: &CallId,
        index: usize,
        wanted: &ToolCall,
        text: String,
    ) -> Result<(), StoreError> {
        let text = self.builders.redactor.redact(&text);
        self.say(
            Message::Tool { tool_call_id: wanted.id.clone(), content: text.clone() },
            Some(call),
        );
        let mut changes = vec![Change::Tool {
            attempt: self.task.attempt.clone(),
            call: call.clone(),
            index: u32::try_from(index).unwrap_or(u32::MAX),
            tool_call_id: wanted.id.clone(),
            output: text,
            tree: None,
        }];
        changes.append(&mut self.unwritten);
        self.builders.store.apply(self.fence, changes).await?;
        self.builders.failpoints.hit("tool.stored");
        Ok(())
    }

    /// An answer without a tool call.
    fn spoke(&mut self, call: &CallId, content: Option<String>, finish: FinishReason) -> Step {
        let content = Some(content.unwrap_or_default());
        self.say(Message::Assistant { content, tool_calls: Vec::new() }, Some(call));
        let mut said = if finish == FinishReason::Length {
            self.raise_cap();
            prompt::CUT_SHORT.to_owned()
        } else {
            prompt::REMINDER.to_owned()
        };
        if let Some(why) = self.patience.silent() {
            return Step::End(gave_up(why));
        }
        if self.tier() == ModelTier::LocalBuilder {
            said.push_str(plain::HINT);
        }
        self.say(Message::User { content: said }, None);
        Step::On
    }

    /// After an answer that was cut: once, and not where money had made the cap smaller.
    fn raise_cap(&mut self) {
        if self.cap == self.task.limits.completion_cap {
            self.cap = self.cap.saturating_mul(2);
        }
    }
}

/// Why a call of an answer is not run, if it isn't.
fn skipped(index: usize, finished: bool) -> Option<String> {
    if finished {
        return Some("not run: the work was finished".to_owned());
    }
    (index >= CALLS_PER_ANSWER)
        .then(|| format!("not run: more than {CALLS_PER_ANSWER} calls in one answer"))
}

/// A call as it is sent back in the conversation: servers refuse names they would not have made
/// and arguments that are not JSON, though a model made both.
fn echo(call: &ToolCall) -> ToolCall {
    let mut name: String = call
        .name
        .chars()
        .take(64)
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' })
        .collect();
    if name.is_empty() {
        "unnamed".clone_into(&mut name);
    }
    let is_object = serde_json::from_str::<serde_json::Value>(&call.arguments)
        .is_ok_and(|value| value.is_object());
    let arguments = if is_object {
        call.arguments.clone()
    } else {
        serde_json::json!({"malformed": call.arguments}).to_string()
    };
    ToolCall { id: call.id.clone(), name, arguments }
}
