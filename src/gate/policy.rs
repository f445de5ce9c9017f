//! `.foreman.toml` of the base commit: which commands prove a change, and which rules bind it.
//!
//! Pure: it is given the text. Unknown keys are errors with their line and column. A missing
//! command is filled in by `detect`; `[]` says that there is none.

use std::time::Duration;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::glob::Glob;

/// Where the policy lives in a repository.
pub const POLICY_FILE: &str = ".foreman.toml";

/// Seconds for one command, where the policy says nothing.
const DEFAULT_TIMEOUT_SECONDS: u64 = 600;
/// More would let one command hold a whole night.
const LONGEST_TIMEOUT_SECONDS: u64 = 4 * 3600;
const DEFAULT_CHANGED_FILES: u64 = 50;
const DEFAULT_CHANGED_LINES: u64 = 2000;

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

impl std::fmt::Display for CommandKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who asked for a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "from", content = "what")]
pub enum Source {
    /// The policy names it: it must be there.
    Policy,
    /// Found from the file named here: a tool that this machine lacks is not applicable.
    Detected(String),
}

/// One command to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedCommand {
    pub kind: CommandKind,
    pub command: String,
    pub source: Source,
}

/// What is to be run for one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Commands {
    Run(Vec<PlannedCommand>),
    /// The policy says `[]`.
    NoneByPolicy,
    /// Neither named nor detected.
    NothingFound,
}

impl Commands {
    /// Why there is nothing to run.
    #[must_use]
    pub fn reason(&self, kind: CommandKind) -> Option<String> {
        match self {
            Self::Run(_) => None,
            Self::NoneByPolicy => {
                Some(format!("{POLICY_FILE} says `{kind} = []`: there is no {kind} command"))
            }
            Self::NothingFound => {
                Some(format!("no {kind} command is named in {POLICY_FILE} and none was detected"))
            }
        }
    }
}

/// A warning that may appear anew until a day.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowedWarning {
    pub pattern: String,
    pub by: String,
    pub until: NaiveDate,
}

/// The policy in force for a base commit.
#[derive(Debug, Clone)]
pub struct Policy {
    /// One entry for each kind, in the order of `CommandKind::ALL`.
    pub commands: Vec<(CommandKind, Commands)>,
    pub timeout: Duration,
    /// The policy's own, besides the built-in ones.
    pub protected: Vec<Glob>,
    pub max_changed_files: u64,
    pub max_changed_lines: u64,
    pub allow_warnings: Vec<AllowedWarning>,
    /// Every warning fails, old ones too.
    pub deny_warnings: bool,
    /// Whether the base commit has a `.foreman.toml`.
    pub from_file: bool,
    /// What was detected, for people.
    pub detected: Vec<String>,
}

impl Policy {
    /// Reads the file's text (`None` where there is none) and fills gaps with what was detected.
    pub fn parse(text: Option<&str>, detected: Detected) -> Result<Self, PolicyError> {
        let file: PolicyFile = match text {
            Some(text) => toml::from_str(text).map_err(|error| PolicyError::toml(text, &error))?,
            None => PolicyFile::default(),
        };
        let named = |kind| match kind {
            CommandKind::Setup => file.gate.setup.clone(),
            CommandKind::Build => file.gate.build.clone(),
            CommandKind::Lint => file.gate.lint.clone(),
            CommandKind::Test => file.gate.test.clone(),
            CommandKind::Schema => file.gate.schema.clone(),
            CommandKind::Deploy => file.gate.deploy.clone(),
        };
        let mut commands = Vec::new();
        for kind in CommandKind::ALL {
            commands.push((kind, commands_of(kind, named(kind), &detected)?));
        }
        let seconds = file.gate.timeout_seconds.unwrap_or(DEFAULT_TIMEOUT_SECONDS);
        if !(1..=LONGEST_TIMEOUT_SECONDS).contains(&seconds) {
            return Err(PolicyError::Value {
                key: "gate.timeout_seconds".to_owned(),
                got: seconds.to_string(),
                takes: format!("1 to {LONGEST_TIMEOUT_SECONDS}"),
            });
        }
        let mut protected = Vec::new();
        for pattern in &file.policy.protected_paths {
            protected.push(Glob::new(pattern).map_err(|error| PolicyError::Value {
                key: "policy.protected_paths".to_owned(),
                got: pattern.clone(),
                takes: error.to_string(),
            })?);
        }
        Ok(Self {
            commands,
            timeout: Duration::from_secs(seconds),
            protected,
            max_changed_files: file.policy.max_changed_files.unwrap_or(DEFAULT_CHANGED_FILES),
            max_changed_lines: file.policy.max_changed_lines.unwrap_or(DEFAULT_CHANGED_LINES),
            allow_warnings: file.policy.allow_warnings,
            deny_warnings: matches!(file.policy.warnings, Some(Warnings::Deny)),
            from_file: text.is_some(),
            detected: detected.notes,
        })
    }

    /// What is to be run for a kind.
    #[must_use]
    pub fn of(&self, kind: CommandKind) -> &Commands {
        self.commands
            .iter()
            .find(|(of, _)| *of == kind)
            .map_or(&Commands::NothingFound, |(_, commands)| commands)
    }

    /// The commands to run for a kind; empty where there are none.
    #[must_use]
    pub fn to_run(&self, kind: CommandKind) -> &[PlannedCommand] {
        match self.of(kind) {
            Commands::Run(commands) => commands,
            Commands::NoneByPolicy | Commands::NothingFound => &[],
        }
    }
}

/// What `detect` found: a command by kind with the file it was found from, and notes for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Detected {
    pub commands: Vec<(CommandKind, String, String)>,
    pub notes: Vec<String>,
}

fn commands_of(
    kind: CommandKind,
    named: Option<OneOrMany>,
    detected: &Detected,
) -> Result<Commands, PolicyError> {
    let plan = |command: String, source| PlannedCommand { kind, command, source };
    let Some(named) = named else {
        let found: Vec<_> = detected
            .commands
            .iter()
            .filter(|(of, ..)| *of == kind)
            .map(|(_, command, from)| plan(command.clone(), Source::Detected(from.clone())))
            .collect();
        return Ok(if found.is_empty() { Commands::NothingFound } else { Commands::Run(found) });
    };
    let list = match named {
        OneOrMany::One(command) => vec![command],
        OneOrMany::Many(commands) => commands,
    };
    if list.iter().any(|command| command.trim().is_empty()) {
        return Err(PolicyError::Value {
            key: format!("gate.{kind}"),
            got: "an empty command".to_owned(),
            takes: "a command, a list of commands, or [] for none".to_owned(),
        });
    }
    Ok(if list.is_empty() {
        Commands::NoneByPolicy
    } else {
        Commands::Run(list.into_iter().map(|command| plan(command, Source::Policy)).collect())
    })
}

/// Why a `.foreman.toml` could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("{POLICY_FILE} line {line}, column {column}: {message}")]
    Toml { line: usize, column: usize, message: String },
    #[error("{POLICY_FILE}: `{key}` is {got}; it takes {takes}")]
    Value { key: String, got: String, takes: String },
    #[error("{POLICY_FILE} is not UTF-8 text")]
    NotText,
}

impl PolicyError {
    fn toml(text: &str, error: &toml::de::Error) -> Self {
        let offset = error.span().map_or(0, |span| span.start).min(text.len());
        let before = text.get(..offset).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self::Toml {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: error.message().trim().replace('\n', " "),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PolicyFile {
    gate: GateTable,
    policy: PolicyTable,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct GateTable {
    setup: Option<OneOrMany>,
    build: Option<OneOrMany>,
    lint: Option<OneOrMany>,
    test: Option<OneOrMany>,
    deploy: Option<OneOrMany>,
    schema: Option<OneOrMany>,
    timeout_seconds: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PolicyTable {
    protected_paths: Vec<String>,
    max_changed_files: Option<u64>,
    max_changed_lines: Option<u64>,
    allow_warnings: Vec<AllowedWarning>,
    warnings: Option<Warnings>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "a command or a list of commands")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Warnings {
    Deny,
    Compare,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Policy, PolicyError> {
        Policy::parse(Some(text), Detected::default())
    }

    #[test]
    fn an_unknown_key_is_named_with_its_place() {
        let error = parse("[gate]\ntest = \"x\"\n  tset = \"y\"\n").expect_err("unknown key");
        let PolicyError::Toml { line, column, message } = &error else { panic!("{error}") };
        assert_eq!((*line, *column), (3, 3));
        assert!(message.contains("tset"), "{message}");
    }

    #[test]
    fn a_wrong_type_is_named_with_its_place() {
        let error = parse("[gate]\nbuild = 3\n").expect_err("wrong type").to_string();
        assert!(error.contains("line 2, column 9") && error.contains("a command or a list"));
        assert!(parse("[policy]\nwarnings = \"maybe\"\n").is_err());
        assert!(parse("[gate]\ntest = \"\"\n").is_err());
        assert!(parse("[gate]\ntimeout_seconds = 0\n").is_err());
    }

    #[test]
    fn missing_is_detected_and_empty_is_none() {
        let detected = Detected {
            commands: vec![
                (CommandKind::Test, "cargo test".into(), "Cargo.toml".into()),
                (CommandKind::Lint, "cargo clippy".into(), "Cargo.toml".into()),
            ],
            notes: vec![],
        };
        let text = "[gate]\nlint = []\nbuild = [\"a\", \"b\"]\n";
        let policy = Policy::parse(Some(text), detected).expect("valid");
        assert_eq!(policy.of(CommandKind::Lint), &Commands::NoneByPolicy);
        assert_eq!(policy.to_run(CommandKind::Build).len(), 2);
        assert_eq!(policy.to_run(CommandKind::Build)[0].source, Source::Policy);
        let test = &policy.to_run(CommandKind::Test)[0];
        assert_eq!(test.source, Source::Detected("Cargo.toml".into()));
        assert_eq!(policy.of(CommandKind::Deploy), &Commands::NothingFound);
        let reason = policy.of(CommandKind::Lint).reason(CommandKind::Lint);
        assert!(reason.is_some_and(|reason| reason.contains("lint = []")));
    }

    #[test]
    fn the_page_s_example_reads() {
        let policy = parse(
            "[gate]\nsetup = \"cargo fetch --locked\"\nschema = []\ntimeout_seconds = 60\n\
             [policy]\nprotected_paths = [\"docs/architecture/**\"]\nmax_changed_files = 5\n\
             allow_warnings = [{ pattern = \"deprecated\", by = \"name\", until = \"2027-01-31\" }]\n\
             warnings = \"deny\"\n",
        )
        .expect("valid");
        assert_eq!(policy.timeout, Duration::from_secs(60));
        assert!(policy.deny_warnings && policy.protected[0].matches("docs/architecture/a.md"));
        assert_eq!(policy.allow_warnings[0].until.to_string(), "2027-01-31");
    }
}
