//! The policy in force for a base commit: which commands prove a change, and which rules bind it.
//!
//! Pure: it is given the texts. The operator's word stands above `.foreman.toml`, and that above
//! what `detect` found; `[]` says that there is none.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::glob::Glob;
use crate::domain::ids::RepoName;
pub use crate::domain::policy::{
    AllowedWarning, CommandKind, LabelRule, Misread, PolicyFile, Switchable, read,
};
use crate::domain::policy::{CommandList, GateTable, Warnings};

/// Where the policy lives in a repository.
pub const POLICY_FILE: &str = ".foreman.toml";

/// For one command, where the policy says nothing.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);
const DEFAULT_CHANGED_FILES: u64 = 50;
const DEFAULT_CHANGED_LINES: u64 = 2000;

/// Who asked for a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "from", content = "what")]
pub enum Source {
    /// The policy names it: it must be there.
    Policy,
    /// The operator names it: it must be there.
    Operator,
    /// Found from the file named here: a tool that this machine lacks is not applicable.
    Detected(String),
}

impl Source {
    /// Where the command comes from, for people.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Policy => format!("named in {POLICY_FILE}"),
            Self::Operator => "set by the operator".to_owned(),
            Self::Detected(from) => format!("detected from {from}"),
        }
    }
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
    /// The operator says `[]`.
    NoneByOperator,
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
            Self::NoneByOperator => {
                Some(format!("the operator says `{kind} = []`: there is no {kind} command"))
            }
            Self::NothingFound => {
                Some(format!("no {kind} command is named in {POLICY_FILE} and none was detected"))
            }
        }
    }
}

/// The policy in force for a base commit.
#[derive(Debug, Clone)]
pub struct Policy {
    /// One entry for each kind, in the order of `CommandKind::ALL`.
    pub commands: Vec<(CommandKind, Commands)>,
    /// For a command of a kind that `timeouts` does not name.
    pub timeout: Duration,
    pub timeouts: BTreeMap<CommandKind, Duration>,
    /// The policy's own, besides the built-in ones.
    pub protected: Vec<Glob>,
    pub max_changed_files: u64,
    pub max_changed_lines: u64,
    pub allow_warnings: Vec<AllowedWarning>,
    /// Every warning fails, old ones too.
    pub deny_warnings: bool,
    /// What a label with write access behind it changes.
    pub labels: BTreeMap<String, LabelRule>,
    /// Rules that the labels switched off, each with its label.
    pub off: BTreeMap<Switchable, String>,
    /// Whether the base commit has a `.foreman.toml`.
    pub from_file: bool,
    /// What was detected, for people.
    pub detected: Vec<String>,
}

impl Policy {
    /// Reads the file's text (`None` where there is none) and fills gaps with what was detected.
    pub fn parse(text: Option<&str>, detected: Detected) -> Result<Self, PolicyError> {
        Self::under(None, text, detected)
    }

    /// The same, with the operator's word above the file's: a key that the operator sets counts;
    /// protected paths and allowed warnings are added; a label's rules are the operator's as a
    /// whole where both speak of it.
    pub fn under(
        operator: Option<&PolicyFile>,
        text: Option<&str>,
        detected: Detected,
    ) -> Result<Self, PolicyError> {
        let file = text.map(read).transpose()?.unwrap_or_default();
        let nothing = PolicyFile::default();
        let (above, below) = (operator.unwrap_or(&nothing), &file);
        let commands = CommandKind::ALL.map(|kind| {
            (kind, commands_of(kind, above.gate.named(kind), below.gate.named(kind), &detected))
        });
        let tables = [&below.policy, &above.policy];
        let limits = above.policy.max_changed_files.or(below.policy.max_changed_files);
        let lines = above.policy.max_changed_lines.or(below.policy.max_changed_lines);
        let warnings = above.policy.warnings.or(below.policy.warnings);
        Ok(Self {
            commands: commands.into(),
            timeout: timeout(&above.gate).or(timeout(&below.gate)).unwrap_or(DEFAULT_TIMEOUT),
            timeouts: timeouts(&below.gate, &above.gate),
            protected: tables
                .iter()
                .flat_map(|table| &table.protected_paths)
                .map(|pattern| pattern.glob().clone())
                .collect(),
            max_changed_files: limits.unwrap_or(DEFAULT_CHANGED_FILES),
            max_changed_lines: lines.unwrap_or(DEFAULT_CHANGED_LINES),
            allow_warnings: tables
                .iter()
                .flat_map(|table| table.allow_warnings.iter().cloned())
                .collect(),
            deny_warnings: matches!(warnings, Some(Warnings::Deny)),
            labels: tables.iter().flat_map(|table| table.labels.clone()).collect(),
            off: BTreeMap::new(),
            from_file: text.is_some(),
            detected: detected.notes,
        })
    }

    /// The policy for an issue with these labels, each set by someone with write access.
    #[must_use]
    pub fn for_labels(mut self, labels: &[String]) -> Self {
        for (label, rule) in &self.labels {
            if !labels.iter().any(|set| set.eq_ignore_ascii_case(label)) {
                continue;
            }
            self.off.extend(rule.off.iter().map(|rule| (*rule, label.clone())));
            self.max_changed_files =
                rule.max_changed_files.unwrap_or(0).max(self.max_changed_files);
            self.max_changed_lines =
                rule.max_changed_lines.unwrap_or(0).max(self.max_changed_lines);
        }
        if self.off.contains_key(&Switchable::ProtectedPaths) {
            self.protected.clear();
        }
        self
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
            Commands::NoneByPolicy | Commands::NoneByOperator | Commands::NothingFound => &[],
        }
    }

    /// How long one command of a kind may take.
    #[must_use]
    pub fn timeout_of(&self, kind: CommandKind) -> Duration {
        self.timeouts.get(&kind).copied().unwrap_or(self.timeout)
    }

    /// What was found, for people: the tools detected, then each kind's commands with their source.
    #[must_use]
    pub fn found(&self) -> Vec<String> {
        let mut found = self.detected.clone();
        for (kind, commands) in &self.commands {
            match commands {
                Commands::Run(commands) => found.extend(commands.iter().map(|planned| {
                    format!("{kind}: `{}`, {}", planned.command, planned.source.words())
                })),
                Commands::NoneByPolicy | Commands::NoneByOperator | Commands::NothingFound => {
                    found.extend(commands.reason(*kind).map(|why| format!("{kind}: {why}")));
                }
            }
        }
        found
    }
}

/// The operator's policies by repository, in lower case; `*` is for those without one.
#[derive(Debug, Clone, Default)]
pub struct Overrides(BTreeMap<String, PolicyFile>);

impl Overrides {
    #[must_use]
    pub fn new(policies: impl IntoIterator<Item = (String, PolicyFile)>) -> Self {
        Self(policies.into_iter().map(|(repo, file)| (repo.to_ascii_lowercase(), file)).collect())
    }

    /// The operator's word on a repository.
    #[must_use]
    pub fn of(&self, repo: &RepoName) -> Option<&PolicyFile> {
        self.0.get(&repo.key()).or_else(|| self.0.get("*"))
    }
}

/// What `detect` found: a command by kind with the file it was found from, and notes for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Detected {
    pub commands: Vec<(CommandKind, String, String)>,
    pub notes: Vec<String>,
}

fn timeout(table: &GateTable) -> Option<Duration> {
    table.timeout_seconds.map(crate::domain::policy::Seconds::duration)
}

/// The operator's `timeout_seconds` stands above the repository's `timeouts`.
fn timeouts(below: &GateTable, above: &GateTable) -> BTreeMap<CommandKind, Duration> {
    let of = |table: &GateTable| -> BTreeMap<CommandKind, Duration> {
        table.timeouts.iter().map(|(kind, seconds)| (*kind, seconds.duration())).collect()
    };
    let mut limits = if above.timeout_seconds.is_some() { BTreeMap::new() } else { of(below) };
    limits.extend(of(above));
    limits
}

fn commands_of(
    kind: CommandKind,
    operator: Option<&CommandList>,
    policy: Option<&CommandList>,
    detected: &Detected,
) -> Commands {
    let plan = |command: &str, source| PlannedCommand { kind, command: command.into(), source };
    let named = |list: &CommandList, source: &Source, none| match list.commands() {
        [] => none,
        list => Commands::Run(list.iter().map(|it| plan(it, source.clone())).collect()),
    };
    if let Some(list) = operator {
        return named(list, &Source::Operator, Commands::NoneByOperator);
    }
    if let Some(list) = policy {
        return named(list, &Source::Policy, Commands::NoneByPolicy);
    }
    let found: Vec<_> = detected
        .commands
        .iter()
        .filter(|(of, ..)| *of == kind)
        .map(|(_, command, from)| plan(command, Source::Detected(from.clone())))
        .collect();
    if found.is_empty() { Commands::NothingFound } else { Commands::Run(found) }
}

/// Why a `.foreman.toml` could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("{POLICY_FILE} {0}")]
    Misread(#[from] Misread),
    #[error("{POLICY_FILE} is not UTF-8 text")]
    NotText,
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
        let text = error.to_string();
        assert!(text.starts_with(".foreman.toml line 3, column 3: "), "{text}");
        assert!(text.contains("tset"), "{text}");
    }

    #[test]
    fn missing_is_detected_and_empty_is_none() {
        let detected = Detected {
            commands: vec![
                (CommandKind::Test, "cargo test".into(), "Cargo.toml".into()),
                (CommandKind::Lint, "cargo clippy".into(), "Cargo.toml".into()),
            ],
            notes: vec!["Cargo (Cargo.toml)".into()],
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
        let found = policy.found();
        assert_eq!(found[0], "Cargo (Cargo.toml)");
        assert!(found.contains(&"build: `a`, named in .foreman.toml".to_owned()), "{found:?}");
        assert!(
            found.contains(&"test: `cargo test`, detected from Cargo.toml".to_owned()),
            "{found:?}"
        );
    }

    #[test]
    fn the_operator_stands_above_the_repository() {
        let operator = read(
            "[gate]\ntest = \"make check\"\nlint = []\ntimeouts = { test = 7 }\n\
             [policy]\nprotected_paths = [\"b/**\"]\nmax_changed_files = 3\nwarnings = \"compare\"\n",
        )
        .expect("valid");
        let text = "[gate]\ntest = \"true\"\nbuild = \"make\"\ntimeout_seconds = 9\n\
            timeouts = { test = 90, build = 5 }\n\
            [policy]\nprotected_paths = [\"a/**\"]\nmax_changed_files = 30\nwarnings = \"deny\"\n";
        let policy =
            Policy::under(Some(&operator), Some(text), Detected::default()).expect("valid");
        assert_eq!(policy.to_run(CommandKind::Test)[0].command, "make check");
        assert_eq!(policy.to_run(CommandKind::Test)[0].source, Source::Operator);
        assert_eq!(policy.of(CommandKind::Lint), &Commands::NoneByOperator);
        assert_eq!(policy.to_run(CommandKind::Build)[0].source, Source::Policy);
        assert_eq!(policy.timeout_of(CommandKind::Test), Duration::from_secs(7));
        assert_eq!(policy.timeout_of(CommandKind::Build), Duration::from_secs(5));
        assert_eq!(policy.timeout_of(CommandKind::Setup), Duration::from_secs(9));
        assert_eq!((policy.protected.len(), policy.max_changed_files), (2, 3));
        assert!(!policy.deny_warnings);
        let overrides = Overrides::new([("Octo/App".to_owned(), operator)]);
        let repo = |text: &str| text.parse::<RepoName>().expect("valid");
        assert!(overrides.of(&repo("octo/app")).is_some());
        assert!(overrides.of(&repo("octo/other")).is_none());
    }

    #[test]
    fn a_label_switches_what_it_names_and_nothing_else() {
        let text = "[policy]\nprotected_paths = [\"docs/**\"]\nmax_changed_lines = 10\n\
            [policy.labels.\"foreman:sweeping\"]\noff = [\"protected_paths\", \"tests_kept\"]\n\
            max_changed_lines = 9000\n";
        let plain = parse(text).expect("valid").for_labels(&["bug".to_owned()]);
        assert!(plain.off.is_empty() && plain.protected.len() == 1);
        let wide = parse(text).expect("valid").for_labels(&["Foreman:Sweeping".to_owned()]);
        assert_eq!(wide.off[&Switchable::TestsKept], "foreman:sweeping");
        assert!(wide.protected.is_empty() && wide.max_changed_lines == 9000);
        assert_eq!(wide.max_changed_files, DEFAULT_CHANGED_FILES);
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
