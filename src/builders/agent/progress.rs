//! Progress for those who watch, and the work so far in a private ref, every few answers.
//!
//! Owns when: nothing that a time limit or a crash may cut off is older than that. Answers that are
//! replayed are not told again. Never judges the work.

use super::Agent;
use crate::domain::call::ToolCall;
use crate::domain::event::{EventType, NewEvent};
use crate::store::{Change, StoreError};

/// Answers from one telling to the next.
const EVERY: u32 = 5;
/// Calls that are named.
const NAMED: usize = 5;
/// Characters of a call.
const CALL: usize = 80;

/// What was done since it was last told.
#[derive(Debug, Default)]
pub(super) struct Untold {
    /// Answers that were bought in this process.
    answers: u32,
    calls: Vec<String>,
    touched: bool,
}

impl Untold {
    pub(super) fn answered(&mut self) {
        self.answers += 1;
    }

    /// A call ran; `touched`: files may be others now.
    pub(super) fn did(&mut self, call: &ToolCall, touched: bool) {
        self.touched |= touched;
        if self.calls.len() >= NAMED {
            self.calls.remove(0);
        }
        self.calls.push(named(call));
    }
}

impl Agent<'_> {
    /// After an answer was acted on.
    pub(super) async fn tell(&mut self) -> Result<(), StoreError> {
        if self.untold.answers < EVERY {
            return Ok(());
        }
        let Untold { calls, touched, .. } = std::mem::take(&mut self.untold);
        let kept = match &self.task.keeper {
            Some(keeper) if touched => {
                keeper.keep(&self.task.workspace.workspace).await.unwrap_or_else(|error| {
                    tracing::warn!(%error, issue = %self.task.issue, "the work so far is not kept");
                    None
                })
            }
            Some(_) | None => None,
        };
        let (issue, tier, limits) = (self.task.issue, self.tier(), &self.task.limits);
        let text = format!(
            "{issue}: step {} of at most {} with {tier}: {}",
            self.steps,
            limits.steps,
            calls.join("; ")
        );
        let mut event =
            NewEvent::new(EventType::BuildProgress, self.builders.redactor.redact(&text))
                .run(&self.task.run)
                .issue(issue)
                .with("tier", tier.as_str())
                .with("round", self.task.round)
                .with("steps", self.steps)
                .with("tokens", self.tokens);
        if let Some(commit) = kept {
            event = event.with("workInProgress", commit.as_str());
        }
        self.builders.store.apply(self.fence, vec![Change::Event(event)]).await?;
        Ok(())
    }
}

/// A call in few words. Of a command only its program: what else stands there may be a secret, and
/// the log is for good.
fn named(call: &ToolCall) -> String {
    let given: serde_json::Value = serde_json::from_str(&call.arguments).unwrap_or_default();
    let plain = |word: &&str| word.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
    let about = match (given["command"].as_str(), given["path"].as_str()) {
        (Some(command), _) => {
            command.split_whitespace().take(2).take_while(plain).collect::<Vec<_>>().join(" ")
        }
        (None, path) => path.filter(plain).unwrap_or_default().to_owned(),
    };
    let text = if about.is_empty() { call.name.clone() } else { format!("{} {about}", call.name) };
    text.chars().take(CALL).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_named_without_what_may_be_secret() {
        let named = |name: &str, arguments: serde_json::Value| {
            let (id, name) = (String::new(), name.to_owned());
            super::named(&ToolCall { id, name, arguments: arguments.to_string() })
        };
        let command = serde_json::json!({"command": "cargo test --all && TOKEN=x ./go"});
        assert_eq!(named("run_command", command), "run_command cargo test");
        let secret = serde_json::json!({"command": "TOKEN=abc curl x"});
        assert_eq!(named("run_command", secret), "run_command");
        let file = serde_json::json!({"path": "src/lib.rs", "content": "x"});
        assert_eq!(named("write_file", file), "write_file src/lib.rs");
        assert_eq!(named("apply_patch", serde_json::json!({"patch": "x"})), "apply_patch");
    }
}
