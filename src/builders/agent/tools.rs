//! The tools a model has: what each takes, and what it answers.
//!
//! Owns the reading of a tool call's arguments and the cutting of every answer. Commands run in
//! the sandbox; files go through the workspace's handle.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::compact::middle_out;
use super::edit::replace_once;
use super::files::Workspace;
use super::search::{Search, search};
use super::{ending, patching};
use crate::builders::clean_output;
use crate::domain::call::{ToolCall, ToolSpec};
use crate::process::Ending;
use crate::sandbox::{Place, Sandbox, SandboxError, Shell};

/// Bytes kept of a command's output: enough for a failing test run, small enough for many steps.
const OUTPUT_CAP: usize = 24 << 10;
/// Characters of a file shown at once.
const READ_CHARACTERS: usize = 60_000;
/// Characters of any answer, whatever went into it.
const ANSWER_CHARACTERS: usize = 100_000;
/// Characters of what a model wrote that are quoted in a correction.
const NAME_CHARACTERS: usize = 200;
/// Characters of a search's answer.
const SEARCH_CHARACTERS: usize = 24_000;

/// What came of a tool call.
#[derive(Debug)]
pub(super) enum Ran {
    /// Its answer; `wrote`: files of the workspace were changed by it for sure; `touched`: perhaps.
    Output {
        text: String,
        wrote: bool,
        touched: bool,
    },
    /// The call itself could not be read: how it is to be made.
    Malformed(String),
    Finish {
        summary: String,
    },
    Cancelled,
}

/// The hands of the agent.
pub(super) struct Tools<'a> {
    pub sandbox: &'a Sandbox,
    pub place: &'a Place,
    pub files: &'a Arc<Workspace>,
    pub command_timeout: Duration,
}

#[derive(Deserialize)]
struct RunCommand {
    #[serde(alias = "cmd")]
    command: String,
    #[serde(default)]
    timeout_seconds: Option<u64>,
}

#[derive(Deserialize)]
struct ReadFile {
    #[serde(alias = "file", alias = "file_path")]
    path: String,
    #[serde(default)]
    start_line: Option<usize>,
    #[serde(default)]
    end_line: Option<usize>,
}

#[derive(Deserialize)]
struct WriteFile {
    #[serde(alias = "file", alias = "file_path")]
    path: String,
    #[serde(alias = "contents", alias = "text")]
    content: String,
}

#[derive(Deserialize)]
struct EditFile {
    #[serde(alias = "file", alias = "file_path")]
    path: String,
    #[serde(alias = "old", alias = "old_string")]
    old_text: String,
    #[serde(alias = "new", alias = "new_string")]
    new_text: String,
}

#[derive(Deserialize)]
struct ApplyPatch {
    #[serde(alias = "input", alias = "diff")]
    patch: String,
}

#[derive(Deserialize)]
struct SearchFiles {
    #[serde(alias = "query")]
    pattern: String,
    #[serde(default)]
    regex: bool,
    #[serde(default)]
    path: String,
}

#[derive(Deserialize)]
struct Finish {
    #[serde(default)]
    summary: String,
}

/// The tools as they are offered.
pub(super) fn specs() -> Vec<ToolSpec> {
    let tool = |name: &str, description: &str, properties: serde_json::Value, required: &[&str]| {
        ToolSpec {
            name: name.to_owned(),
            description: description.to_owned(),
            parameters: json!({"type": "object", "properties": properties, "required": required,
                "additionalProperties": false}),
        }
    };
    let path = json!({"type": "string", "description": "relative to the working directory"});
    vec![
        tool(
            "run_command",
            "Runs a shell command (sh -c) in the working directory, inside a sandbox without \
             network. Answers with its exit code and output; long output is cut in the middle.",
            json!({"command": {"type": "string"},
                "timeout_seconds": {"type": "integer", "minimum": 1}}),
            &["command"],
        ),
        tool(
            "read_file",
            "Reads a text file, or some of its lines (counted from 1, both ends included).",
            json!({"path": path, "start_line": {"type": "integer", "minimum": 1},
                "end_line": {"type": "integer", "minimum": 1}}),
            &["path"],
        ),
        tool(
            "write_file",
            "Writes a whole file, making its folders; what was there is replaced.",
            json!({"path": path, "content": {"type": "string"}}),
            &["path", "content"],
        ),
        tool(
            "edit_file",
            "Replaces old_text, which must stand in the file exactly once, with new_text.",
            json!({"path": path, "old_text": {"type": "string"}, "new_text": {"type": "string"}}),
            &["path", "old_text", "new_text"],
        ),
        tool(
            "apply_patch",
            "Changes several places or files at once; all of it or nothing. The form: *** Begin Patch, \
             then for each file *** Update File: path (or *** Add File: with + lines, or *** Delete \
             File:), then for each place @@ with a line that stands above it, some lines around it \
             beginning with a space, - lines that go and + lines that come; *** End Patch. Line \
             numbers are not used.",
            json!({"patch": {"type": "string"}}),
            &["patch"],
        ),
        tool(
            "search",
            "Searches the files for a text, or a regular expression when regex is true. Answers \
             with path:line: text. .git and build output are left out.",
            json!({"pattern": {"type": "string"}, "regex": {"type": "boolean"},
                "path": {"type": "string", "description": "a folder or file to search in"}}),
            &["pattern"],
        ),
        tool(
            "finish",
            "Ends the work. Call it when the issue is solved and the checks pass.",
            json!({"summary": {"type": "string", "description": "what was changed, and why"}}),
            &["summary"],
        ),
    ]
}

impl Tools<'_> {
    /// Runs one call. An error is the sandbox's own; what a command does wrong is its output.
    pub(super) async fn run(
        &self,
        call: &ToolCall,
        cancel: &CancellationToken,
    ) -> Result<Ran, SandboxError> {
        let said = |result: Result<String, String>, wrote: bool| {
            let wrote = wrote && result.is_ok();
            let text = result.unwrap_or_else(|problem| format!("error: {problem}"));
            Ran::Output { text: bounded(text), wrote, touched: wrote }
        };
        Ok(match call.name.as_str() {
            "run_command" => match arguments::<RunCommand>(call) {
                Ok(wanted) => return self.command(wanted, cancel).await,
                Err(malformed) => malformed,
            },
            "read_file" => with(call, |wanted: ReadFile| said(self.read(&wanted), false)),
            "write_file" => with(call, |wanted: WriteFile| {
                if self.files.read(&wanted.path).is_ok_and(|there| there == wanted.content) {
                    return said(Ok(format!("{} is exactly that already", wanted.path)), false);
                }
                said(self.write(&wanted), true)
            }),
            "edit_file" => with(call, |wanted: EditFile| said(self.edit(&wanted), true)),
            "apply_patch" => with(call, |wanted: ApplyPatch| {
                said(patching::apply(self.files, &wanted.patch), true)
            }),
            "search" => match arguments::<SearchFiles>(call) {
                Ok(wanted) => said(self.search(wanted).await, false),
                Err(malformed) => malformed,
            },
            "finish" => with(call, |wanted: Finish| Ran::Finish { summary: wanted.summary }),
            other => {
                let names: Vec<String> = specs().into_iter().map(|spec| spec.name).collect();
                Ran::Malformed(format!(
                    "error: there is no tool `{}`; the tools are {}",
                    middle_out(other, NAME_CHARACTERS),
                    names.join(", ")
                ))
            }
        })
    }

    async fn command(
        &self,
        wanted: RunCommand,
        cancel: &CancellationToken,
    ) -> Result<Ran, SandboxError> {
        let asked = wanted.timeout_seconds.map_or(self.command_timeout, Duration::from_secs);
        let timeout = asked.max(Duration::from_secs(1)).min(self.command_timeout);
        let mut shell = Shell::new(wanted.command, timeout);
        shell.output_cap = OUTPUT_CAP;
        let finished = self.sandbox.run(self.place, &shell, cancel).await?;
        if finished.ending == Ending::Cancelled {
            return Ok(Ran::Cancelled);
        }
        let output = clean_output(&finished.stdout.text());
        let output = if output.is_empty() { "(no output)" } else { output.as_str() };
        let text = format!("{}\n{output}", ending(finished.ending, timeout));
        Ok(Ran::Output { text: bounded(text), wrote: false, touched: true })
    }

    fn read(&self, wanted: &ReadFile) -> Result<String, String> {
        let content = self.files.read(&wanted.path).map_err(|error| error.to_string())?;
        let total = content.lines().count();
        let start = wanted.start_line.unwrap_or(1).max(1);
        let end = wanted.end_line.unwrap_or(total).min(total);
        if start > total.max(1) {
            return Err(format!("`{}` has {total} lines, and {start} is beyond", wanted.path));
        }
        let part: String = if (start, end) == (1, total) {
            content
        } else {
            let count = (end + 1).saturating_sub(start);
            content.split_inclusive('\n').skip(start - 1).take(count).collect()
        };
        let shown = clean_output(&part);
        let hidden = if shown == part {
            ""
        } else {
            "\n[hidden characters or HTML comments of this file are not shown]"
        };
        let shown =
            cut(&shown, READ_CHARACTERS, "ask for fewer lines with start_line and end_line");
        Ok(if shown.is_empty() { "(the file is empty)".to_owned() } else { shown + hidden })
    }

    fn write(&self, wanted: &WriteFile) -> Result<String, String> {
        self.files.write(&wanted.path, &wanted.content).map_err(|error| error.to_string())?;
        Ok(format!("wrote {} bytes to {}", wanted.content.len(), wanted.path))
    }

    fn edit(&self, wanted: &EditFile) -> Result<String, String> {
        let content = self.files.read(&wanted.path).map_err(|error| error.to_string())?;
        let edited = replace_once(&content, &wanted.old_text, &wanted.new_text)
            .map_err(|problem| format!("`{}`: {problem}.", wanted.path))?;
        self.files.write(&wanted.path, &edited).map_err(|error| error.to_string())?;
        Ok(format!("replaced the one match in {}", wanted.path))
    }

    async fn search(&self, wanted: SearchFiles) -> Result<String, String> {
        let files = Arc::clone(self.files);
        // Twenty thousand files take a while, and the runtime has other work.
        let searching = tokio::task::spawn_blocking(move || {
            let below = files.relative(&wanted.path).map_err(|error| error.to_string())?;
            let asked = Search { pattern: &wanted.pattern, regex: wanted.regex, below: &below };
            search(files.dir(), &asked)
        });
        let found = searching.await.map_err(|error| format!("the search broke off: {error}"))??;
        Ok(cut(&clean_output(&found), SEARCH_CHARACTERS, "search for something narrower"))
    }
}

fn bounded(text: String) -> String {
    if text.len() <= ANSWER_CHARACTERS { text } else { middle_out(&text, ANSWER_CHARACTERS) }
}

fn with<T: DeserializeOwned>(call: &ToolCall, run: impl FnOnce(T) -> Ran) -> Ran {
    match arguments(call) {
        Ok(wanted) => run(wanted),
        Err(malformed) => malformed,
    }
}

/// The arguments of a call, or how they should have been.
fn arguments<T: DeserializeOwned>(call: &ToolCall) -> Result<T, Ran> {
    let text = call.arguments.trim();
    let text = if text.is_empty() { "{}" } else { text };
    serde_json::from_str(text).map_err(|error| {
        let schema = specs()
            .into_iter()
            .find(|spec| spec.name == call.name)
            .map_or_else(String::new, |spec| spec.parameters["properties"].to_string());
        Ran::Malformed(format!(
            "error: the arguments of {} are not what it takes ({}). Nothing was done. Send one \
             JSON object with these fields: {schema}",
            call.name,
            middle_out(&error.to_string(), NAME_CHARACTERS)
        ))
    })
}

/// The head of a text that is too long, saying what was left out.
fn cut(text: &str, characters: usize, advice: &str) -> String {
    match text.char_indices().nth(characters) {
        None => text.to_owned(),
        Some((at, _)) => {
            let left_out = text[at..].chars().count();
            format!("{}\n[… {left_out} characters left out; {advice}]", &text[..at])
        }
    }
}
