//! The model agent: a conversation with tools, within bounds, down the chain of tiers.
//!
//! Owns the loop. A tool's result is stored before the next request, and every request is a row of
//! the ledger (`ask.rs`). Never judges the work.

mod ask;
mod detour;
mod edit;
mod files;
pub(super) mod prompt;
pub(super) mod recall;
mod search;
mod stuck;
mod tell;
mod tools;
mod walk;

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use self::ask::Asked;
use self::files::Workspace;
use self::recall::{Recall, Stock};
use self::stuck::Patience;
use self::tools::{Ran, Tools};
use self::walk::Walk;
use super::{BuildOutcome, Builders, Task, local_command};
use crate::domain::call::{Answer, ErrorClass, FinishReason, Message, ToolCall};
use crate::domain::ids::CallId;
use crate::domain::plan::ReasonCode;
use crate::domain::tier::ModelTier;
use crate::models::TokenCounter;
use crate::process::Ending;
use crate::store::{Change, Fence, StoreError};

/// Tool calls of one answer that are run.
const CALLS_PER_ANSWER: usize = 32;
/// Characters of a tool's answer that stay when the conversation is made smaller.
const COMPACTED: usize = 400;

/// One round's state.
struct Agent<'a> {
    builders: &'a Builders,
    fence: &'a Fence,
    task: &'a Task,
    cancel: &'a CancellationToken,
    messages: Vec<Message>,
    walk: Walk,
    patience: Patience,
    /// Calls made to this tier for the present request.
    tries: u32,
    /// Requests, failed ones included.
    steps: u32,
    tokens: u64,
    /// The completion cap.
    cap: u64,
    compacted: bool,
    begun: Instant,
    last_error: String,
    recall: Recall,
    stock: Stock,
    counter: TokenCounter,
    /// Tiers passed by without being asked, and until when.
    skipped: Vec<(ModelTier, DateTime<Utc>)>,
    /// Failures that no answer has followed yet.
    hurt: Vec<(ModelTier, ErrorClass)>,
    /// The local builder stands in for a provider that refused the key.
    degraded: bool,
}

/// What an answer led to.
enum Step {
    On,
    End(BuildOutcome),
}

/// Works on a task to its end.
pub(super) async fn work(
    builders: &Builders,
    fence: &Fence,
    task: &Task,
    cancel: &CancellationToken,
) -> Result<BuildOutcome, StoreError> {
    let inside = builders.sandbox.workspace_inside(&task.workspace);
    let owner = builders.sandbox.identity();
    let files = match Workspace::open(&task.workspace.workspace, &inside, owner) {
        Ok(files) => Arc::new(files),
        Err(error) => {
            return Ok(internal(format!("the workspace cannot be opened: {error}")));
        }
    };
    let tools = Tools {
        sandbox: &builders.sandbox,
        place: &task.workspace,
        files: &files,
        command_timeout: task.limits.command_timeout,
    };
    let has_command = builders.local_command.is_some();
    let recall = Recall::of(builders, task).await?;
    let mut agent = Agent {
        builders,
        fence,
        task,
        cancel,
        messages: prompt::opening(task, &recall),
        walk: Walk::new(&task.chain, &builders.tiers, has_command, Utc::now().date_naive()),
        patience: Patience::default(),
        tries: 0,
        steps: 0,
        tokens: 0,
        cap: task.limits.completion_cap,
        compacted: false,
        begun: Instant::now(),
        last_error: String::new(),
        recall,
        stock: Stock::of(builders, task).await?,
        counter: TokenCounter::default(),
        skipped: Vec::new(),
        hurt: Vec::new(),
        degraded: false,
    };
    loop {
        if cancel.is_cancelled() {
            return Ok(BuildOutcome::Cancelled);
        }
        let (call, answer) = match agent.ask().await? {
            Asked::Answer { call, answer } => (call, answer),
            Asked::End(outcome) => return Ok(outcome),
            Asked::Command => {
                let Some(command) = &builders.local_command else {
                    return agent.nobody_left().await;
                };
                let time = agent.time_left();
                let told = prompt::plain(task, &agent.recall);
                let outcome = local_command::run(builders, task, told, command, time, cancel).await;
                return Ok(agent.marked(outcome));
            }
        };
        match agent.act(&tools, &call, answer).await? {
            Step::On => {}
            Step::End(outcome) => return Ok(agent.marked(outcome)),
        }
    }
}

impl Agent<'_> {
    /// Does what an answer asks for.
    async fn act(
        &mut self,
        tools: &Tools<'_>,
        call: &CallId,
        answer: Answer,
    ) -> Result<Step, StoreError> {
        let (content, calls) = (answer.content, answer.tool_calls);
        if calls.is_empty() {
            return Ok(self.spoke(content, answer.finish));
        }
        if answer.finish == FinishReason::Length {
            self.raise_cap();
        }
        let echoed = calls.iter().map(echo).collect();
        self.messages.push(Message::Assistant { content, tool_calls: echoed });
        let mut finished = None;
        let mut enough = None;
        for (index, wanted) in calls.iter().enumerate() {
            let text = if let Some(end) = self.skipped(index, finished.is_some()) {
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
                    Ok(Ran::Output { text, wrote }) => {
                        if wrote {
                            self.patience.wrote();
                        }
                        let circling = self.patience.ran(&wanted.name, &wanted.arguments, &text);
                        enough = enough.or(circling);
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

    /// Why a call of an answer is not run, if it isn't.
    fn skipped(&self, index: usize, finished: bool) -> Option<String> {
        if finished {
            return Some("not run: the work was finished".to_owned());
        }
        (index >= CALLS_PER_ANSWER)
            .then(|| format!("not run: more than {CALLS_PER_ANSWER} calls in one answer"))
    }

    /// Stores a tool's answer, then adds it to the conversation.
    async fn answer_tool(
        &mut self,
        call: &CallId,
        index: usize,
        wanted: &ToolCall,
        text: String,
    ) -> Result<(), StoreError> {
        let text = self.builders.redactor.redact(&text);
        let change = Change::Tool {
            attempt: self.task.attempt.clone(),
            call: call.clone(),
            index: u32::try_from(index).unwrap_or(u32::MAX),
            tool_call_id: wanted.id.clone(),
            output: text.clone(),
            tree: None,
        };
        self.builders.store.apply(self.fence, vec![change]).await?;
        self.builders.failpoints.hit("tool.stored");
        self.messages.push(Message::Tool { tool_call_id: wanted.id.clone(), content: text });
        Ok(())
    }

    /// An answer without a tool call.
    fn spoke(&mut self, content: Option<String>, finish: FinishReason) -> Step {
        let content = content.unwrap_or_default();
        let said = if finish == FinishReason::Length {
            self.raise_cap();
            prompt::CUT_SHORT
        } else {
            prompt::REMINDER
        };
        if let Some(why) = self.patience.malformed() {
            return Step::End(gave_up(why));
        }
        self.messages.push(Message::Assistant { content: Some(content), tool_calls: Vec::new() });
        self.messages.push(Message::User { content: said.to_owned() });
        Step::On
    }

    /// After an answer that was cut: once, and not where money had made the cap smaller.
    fn raise_cap(&mut self) {
        if self.cap == self.task.limits.completion_cap {
            self.cap = self.cap.saturating_mul(2);
        }
    }

    /// The tier that answers now.
    fn tier(&self) -> ModelTier {
        self.walk.here().map_or(ModelTier::LocalBuilder, walk::Post::tier)
    }

    fn time_left(&self) -> Duration {
        self.task.limits.time.saturating_sub(self.begun.elapsed())
    }

    /// The bound that is reached, if one is.
    fn out_of_bounds(&self) -> Option<BuildOutcome> {
        let limits = &self.task.limits;
        let why = if self.steps >= limits.steps {
            format!("the builder used its {} steps without finishing", limits.steps)
        } else if self.tokens >= limits.tokens {
            format!("the builder used its {} tokens without finishing", limits.tokens)
        } else if self.time_left().is_zero() {
            format!("the builder used its {} minutes without finishing", limits.time.as_secs() / 60)
        } else {
            return None;
        };
        Some(BuildOutcome::Unfinished { message: why })
    }

    /// Waits; says whether it was cancelled meanwhile.
    async fn wait(&self, pause: Duration) -> bool {
        tokio::select! {
            () = self.builders.healing.waits.sleep(pause) => false,
            () = self.cancel.cancelled() => true,
        }
    }

    /// Cuts the older half of the tools' answers, once. Says whether anything became smaller.
    fn compact(&mut self) -> bool {
        if std::mem::replace(&mut self.compacted, true) {
            return false;
        }
        let is_tool = |message: &&mut Message| matches!(message, Message::Tool { .. });
        let half = self.messages.iter_mut().filter(is_tool).count().div_ceil(2);
        let mut smaller = false;
        for message in self.messages.iter_mut().filter(is_tool).take(half) {
            if let Message::Tool { content, .. } = message
                && let Some((at, _)) = content.char_indices().nth(COMPACTED)
            {
                content.truncate(at);
                content.push_str("\n[… the rest was left out to make room]");
                smaller = true;
            }
        }
        smaller
    }
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

fn gave_up(message: String) -> BuildOutcome {
    BuildOutcome::Failed { code: ReasonCode::BuilderFailed, message, stuck: true }
}

fn internal(message: String) -> BuildOutcome {
    BuildOutcome::Failed { code: ReasonCode::Internal, message, stuck: false }
}

/// How a command ended, in words.
pub(super) fn ending(ending: Ending, timeout: Duration) -> String {
    match ending {
        Ending::Exited(code) => format!("exit code: {code}"),
        Ending::Signalled(signal) => format!("killed by signal {signal}"),
        Ending::TimedOut => format!("stopped after {} s, its time limit", timeout.as_secs()),
        Ending::Cancelled => "cancelled".to_owned(),
    }
}
