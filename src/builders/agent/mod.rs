//! The model agent: a conversation with tools, within bounds, down the chain of tiers.
//!
//! Owns the loop and its bounds. Every request is a row of the ledger (`ask.rs`); what an answer asks
//! for is done in `act.rs`; the whole of it is written down (`record.rs`). Never judges the work.

mod act;
mod ask;
mod compact;
mod detour;
mod edit;
mod facts;
mod files;
mod guide;
mod patch;
mod patching;
mod plain;
mod progress;
pub(super) mod prompt;
pub(super) mod recall;
mod record;
mod room;
mod search;
mod stuck;
mod tell;
mod tools;
mod walk;

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use self::act::Step;
use self::ask::Asked;
use self::compact::Pressure;
pub(super) use self::compact::middle_out;
use self::files::Workspace;
use self::progress::Untold;
use self::prompt::Told;
use self::recall::{Recall, Stock};
use self::stuck::Patience;
use self::tools::Tools;
use self::walk::Walk;
use super::{BuildOutcome, Builders, Task, local_command};
use crate::domain::call::{ErrorClass, Message};
use crate::domain::plan::ReasonCode;
use crate::domain::tier::ModelTier;
use crate::models::TokenCounter;
use crate::process::Ending;
use crate::sandbox::Dependencies;
use crate::store::{Change, Fence, StoreError};

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
    /// How hard the conversation was made smaller after so many answers.
    pressed: Option<(u32, Pressure)>,
    /// Tiers whose server takes no tool calls.
    plainly: Vec<ModelTier>,
    /// Turns of the transcript.
    turns: u32,
    /// What is stored with the next change.
    unwritten: Vec<Change>,
    untold: Untold,
    begun: Instant,
    last_error: String,
    /// Whether the issue has a plan.
    plan_kept: bool,
    stock: Stock,
    counter: TokenCounter,
    /// Tiers passed by without being asked, and until when.
    skipped: Vec<(ModelTier, DateTime<Utc>)>,
    /// Failures that no answer has followed yet.
    hurt: Vec<(ModelTier, ErrorClass)>,
    /// The local builder stands in for a provider that refused the key.
    degraded: bool,
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
    let fetched = task.workspace.dependencies.as_ref().and_then(Dependencies::told);
    let guides = guide::guides(&files);
    let told = Told { recall: &recall, guides: &guides, fetched: fetched.as_deref() };
    let opening = prompt::opening(task, told);
    let mut agent = Agent {
        builders,
        fence,
        task,
        cancel,
        messages: Vec::new(),
        walk: Walk::new(&task.chain, &builders.tiers, has_command, Utc::now().date_naive()),
        patience: Patience::default(),
        tries: 0,
        steps: 0,
        tokens: 0,
        cap: task.limits.completion_cap,
        pressed: None,
        plainly: Vec::new(),
        turns: 0,
        unwritten: Vec::new(),
        untold: Untold::default(),
        begun: Instant::now(),
        last_error: String::new(),
        plan_kept: recall.has_plan,
        stock: Stock::of(builders, task).await?,
        counter: TokenCounter::default(),
        skipped: Vec::new(),
        hurt: Vec::new(),
        degraded: false,
    };
    agent.begin(opening).await?;
    let outcome = agent.converse(&tools, told).await?;
    let outcome = agent.marked(outcome);
    agent.ended(outcome).await
}

impl Agent<'_> {
    /// Asks and acts, until there is an end.
    async fn converse(
        &mut self,
        tools: &Tools<'_>,
        told: Told<'_>,
    ) -> Result<BuildOutcome, StoreError> {
        loop {
            if self.cancel.is_cancelled() {
                return Ok(BuildOutcome::Cancelled);
            }
            let (call, answer) = match self.ask().await? {
                Asked::Answer { call, answer } => (call, answer),
                Asked::End(outcome) => return Ok(outcome),
                Asked::Command => return self.command(told).await,
            };
            if let Step::End(outcome) = self.act(tools, &call, answer).await? {
                return Ok(outcome);
            }
            self.tell().await?;
        }
    }

    /// The local command's turn: it gets the task as one text, and works alone.
    async fn command(&mut self, told: Told<'_>) -> Result<BuildOutcome, StoreError> {
        let (builders, task) = (self.builders, self.task);
        let Some(command) = &builders.local_command else {
            return self.nobody_left().await;
        };
        let text = prompt::plain(task, told);
        self.note("LOCAL_BUILDER_COMMAND works on the task");
        self.flush().await?;
        let time = self.time_left();
        let ran = local_command::run(builders, task, text, command, time, self.cancel).await;
        for note in &ran.notes {
            self.note(note);
        }
        Ok(ran.outcome)
    }
}

impl Agent<'_> {
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
