//! The words of a repository's policy, as `.foreman.toml` and the operator's overrides write it.
//!
//! Owns their shape and what is a valid value; every mistake is found while reading, so that it has
//! a line and a column. What the words mean for a change is the gate's business.

use std::collections::BTreeMap;
use std::fmt;

use chrono::NaiveDate;
use serde::de::{Error, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::glob::Glob;

/// More would let one command hold a whole night.
pub const LONGEST_TIMEOUT_SECONDS: u64 = 4 * 3600;

/// What a command is for, in the order they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandKind {
    Setup,
    Build,
    Lint,
    Test,
    Schema,
    Deploy,
}

impl CommandKind {
    pub const ALL: [Self; 6] =
        [Self::Setup, Self::Build, Self::Lint, Self::Test, Self::Schema, Self::Deploy];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Build => "build",
            Self::Lint => "lint",
            Self::Test => "test",
            Self::Schema => "schema",
            Self::Deploy => "deploy",
        }
    }
}

impl fmt::Display for CommandKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The whole of a policy's words.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyFile {
    pub gate: GateTable,
    pub policy: PolicyTable,
}

/// `[gate]`: which commands prove a change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GateTable {
    pub setup: Option<CommandList>,
    pub build: Option<CommandList>,
    pub lint: Option<CommandList>,
    pub test: Option<CommandList>,
    pub schema: Option<CommandList>,
    pub deploy: Option<CommandList>,
    /// For each command.
    pub timeout_seconds: Option<Seconds>,
    /// For the commands of one kind, above `timeout_seconds`.
    pub timeouts: BTreeMap<CommandKind, Seconds>,
}

impl GateTable {
    /// What is named for a kind; an empty list says that there is none.
    #[must_use]
    pub const fn named(&self, kind: CommandKind) -> Option<&CommandList> {
        match kind {
            CommandKind::Setup => self.setup.as_ref(),
            CommandKind::Build => self.build.as_ref(),
            CommandKind::Lint => self.lint.as_ref(),
            CommandKind::Test => self.test.as_ref(),
            CommandKind::Schema => self.schema.as_ref(),
            CommandKind::Deploy => self.deploy.as_ref(),
        }
    }
}

/// `[policy]`: which rules bind a change.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyTable {
    /// Added to the built-in ones.
    pub protected_paths: Vec<PathPattern>,
    pub max_changed_files: Option<u64>,
    pub max_changed_lines: Option<u64>,
    pub allow_warnings: Vec<AllowedWarning>,
    pub warnings: Option<Warnings>,
    /// `[policy.labels."<label>"]`: what a label on the issue changes.
    pub labels: BTreeMap<String, LabelRule>,
}

/// What a label changes for its issue, where someone with write access set it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LabelRule {
    /// Rules that do not bind.
    pub off: Vec<Switchable>,
    pub max_changed_files: Option<u64>,
    pub max_changed_lines: Option<u64>,
}

/// The rules that a label may switch off. Secrets, conflict markers, links out of the tree, code
/// that deceives and the records of the attempt are not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Switchable {
    /// Tests deleted, renamed away, skipped or weakened.
    TestsKept,
    /// Lint, type and threshold settings loosened, findings suppressed.
    NothingLoosened,
    /// The policy's own `protected_paths`; the built-in ones bind always.
    ProtectedPaths,
    /// Lock files that do not fit their manifest.
    LockFiles,
    /// A fix without a test that fails on the base.
    RegressionTest,
    /// Fewer tests than on the base.
    TestsNotFewer,
}

impl Switchable {
    /// The name of the check it switches.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TestsKept => "tests_kept",
            Self::NothingLoosened => "nothing_loosened",
            Self::ProtectedPaths => "protected_paths",
            Self::LockFiles => "lock_files",
            Self::RegressionTest => "regression_test",
            Self::TestsNotFewer => "tests_not_fewer",
        }
    }
}

/// A warning that may appear anew until a day.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowedWarning {
    /// A regular expression, or text, found in the warning.
    #[serde(deserialize_with = "some_text")]
    pub pattern: String,
    /// Who allows it.
    #[serde(deserialize_with = "some_text")]
    pub by: String,
    /// The last day.
    #[serde(deserialize_with = "day")]
    pub until: NaiveDate,
}

/// What becomes of warnings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Warnings {
    /// Every one fails, old ones too.
    Deny,
    /// New ones fail.
    Compare,
}

/// A command, a list of commands, or `[]` for none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandList(Vec<String>);

impl CommandList {
    #[must_use]
    pub fn commands(&self) -> &[String] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for CommandList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Commands;
        impl<'de> Visitor<'de> for Commands {
            type Value = CommandList;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a command, a list of commands, or [] for none")
            }
            fn visit_str<E: Error>(self, command: &str) -> Result<CommandList, E> {
                match command.trim() {
                    "" => Err(E::invalid_value(Unexpected::Str(command), &self)),
                    _ => Ok(CommandList(vec![command.to_owned()])),
                }
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<CommandList, A::Error> {
                let mut commands = Vec::new();
                while let Some(command) = list.next_element::<String>()? {
                    if command.trim().is_empty() {
                        return Err(A::Error::invalid_value(Unexpected::Str(&command), &self));
                    }
                    commands.push(command);
                }
                Ok(CommandList(commands))
            }
        }
        deserializer.deserialize_any(Commands)
    }
}

/// A time limit: 1 s to 4 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds(u64);

impl Seconds {
    #[must_use]
    pub const fn duration(self) -> std::time::Duration {
        std::time::Duration::from_secs(self.0)
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = i64::deserialize(deserializer)?;
        match u64::try_from(seconds) {
            Ok(seconds @ 1..=LONGEST_TIMEOUT_SECONDS) => Ok(Self(seconds)),
            Ok(_) | Err(_) => Err(D::Error::custom(format!(
                "{seconds} is no time limit: it takes 1 to {LONGEST_TIMEOUT_SECONDS} seconds"
            ))),
        }
    }
}

/// A path pattern of the policy.
#[derive(Debug, Clone)]
pub struct PathPattern(Glob);

impl PathPattern {
    #[must_use]
    pub const fn glob(&self) -> &Glob {
        &self.0
    }
}

impl PartialEq for PathPattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl<'de> Deserialize<'de> for PathPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = some_text(deserializer)?;
        Glob::new(&text).map(Self).map_err(D::Error::custom)
    }
}

fn some_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.trim().is_empty() {
        return Err(D::Error::custom("it takes some text"));
    }
    Ok(text)
}

/// A day may be written as text or as TOML's own date.
fn day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NaiveDate, D::Error> {
    let day = match toml::Value::deserialize(deserializer)? {
        toml::Value::String(text) => text.parse().ok(),
        toml::Value::Datetime(date) => date.to_string().parse().ok(),
        toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Array(_)
        | toml::Value::Table(_) => None,
    };
    day.ok_or_else(|| D::Error::custom("it takes a day, like \"2027-04-01\""))
}

/// Reads a policy's text. An error's message is one line; line and column count from 1.
pub fn read(text: &str) -> Result<PolicyFile, Misread> {
    toml::from_str(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start).min(text.len());
        let before = text.get(..offset).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Misread {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: error.message().trim().replace('\n', " "),
        }
    })
}

/// What is wrong with a policy's text, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct Misread {
    pub line: usize,
    pub column: usize,
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> (usize, usize, String) {
        let error = read(text).expect_err(text);
        (error.line, error.column, error.message)
    }

    #[test]
    fn every_mistake_has_its_line_and_column() {
        for (text, line, column, word) in [
            ("[gate]\ntest = \"x\"\n  tset = \"y\"\n", 3, 3, "tset"),
            ("[gate]\nbuild = 3\n", 2, 9, "a command, a list"),
            ("[gate]\nbuild = \" \"\n", 2, 9, "a command, a list"),
            ("[gate]\nbuild = [\"a\", \"\"]\n", 2, 9, "a command, a list"),
            ("[gate]\ntimeout_seconds = 0\n", 2, 19, "1 to 14400"),
            ("[gate.timeouts]\ntest = 99999\n", 2, 8, "1 to 14400"),
            ("[gate.timeouts]\ntset = 9\n", 2, 1, "tset"),
            ("[policy]\nwarnings = \"maybe\"\n", 2, 12, "maybe"),
            ("[policy]\nmax_changed_files = -1\n", 2, 21, "-1"),
            ("[policy]\nprotected_paths = [\"a\", \"\"]\n", 2, 19, "text"),
            ("[policy.labels.big]\noff = [\"secrets\"]\n", 2, 8, "secrets"),
            ("[polcy]\n", 1, 2, "polcy"),
            ("[gate]\ntest = \"a\n", 2, 10, ""),
        ] {
            let (at_line, at_column, message) = place(text);
            assert_eq!((at_line, at_column), (line, column), "{text} -> {message}");
            assert!(message.contains(word), "{text} -> {message}");
        }
        let warning = |entry: &str| place(&format!("[policy]\nallow_warnings = [{entry}]\n"));
        let (line, column, message) =
            warning("{ pattern = \"x\", by = \"\", until = \"2027-01-31\" }");
        assert_eq!((line, column), (2, 41), "{message}");
        let (line, column, message) = warning("{ pattern = \"x\", by = \"me\", until = \"soon\" }");
        assert!((line, column) == (2, 55) && message.contains("a day"), "{column} {message}");
        assert!(warning("{ pattern = \"x\", until = \"2027-01-31\" }").2.contains("by"));
    }

    #[test]
    fn days_are_text_or_dates() {
        for until in ["\"2027-01-31\"", "2027-01-31"] {
            let text = format!(
                "[policy]\nallow_warnings = [{{ pattern = \"x\", by = \"me\", until = {until} }}]\n"
            );
            let file = read(&text).expect("valid");
            assert_eq!(file.policy.allow_warnings[0].until.to_string(), "2027-01-31");
        }
    }
}
