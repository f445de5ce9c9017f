//! The command line's words.
#![allow(clippy::doc_markdown, reason = "these comments are the help text, shown as they stand")]

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::desktop::DesktopCommand;
use super::governance::GovernanceCommand;
use super::init::InitArgs;
use super::values::{
    IssueOf, builder, complexity, hash, issue_number, issue_of, limit, period, run_id, usd,
};
use crate::domain::ids::{IssueNumber, RepoName, RunId};
use crate::domain::money::Usd;
use crate::domain::plan::Complexity;
use crate::domain::switch::Builder;
use crate::escalation::Period;

/// The heading in the help of what every command takes.
const EVERYWHERE: &str = "With every command";

/// Works a repository's open issues overnight and opens only pull requests whose exact tree passed
/// every check.
#[derive(Debug, Parser)]
#[command(name = "foreman", version)]
pub struct Cli {
    /// Mirrors, workspaces, logs and the SQLite file (FOREMAN_DATA_DIR)
    #[arg(long, global = true, value_name = "FOLDER", help_heading = EVERYWHERE)]
    pub data_dir: Option<PathBuf>,
    /// The configuration file (FOREMAN_CONFIG)
    #[arg(long, global = true, value_name = "FILE", help_heading = EVERYWHERE)]
    pub config: Option<PathBuf>,
    /// Answer in JSON, on standard output and nothing else there
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the HTTP API (this is what `foreman` alone does)
    Serve,
    /// Work one night on a repository and wait for its end; exits 0 completed, 1 failed, 2 partial or halted
    Run(RunArgs),
    /// Show what a night would do
    Plan(NightArgs),
    /// Show the latest and the active runs
    Status {
        /// Only this repository's
        #[arg(value_name = "OWNER/REPO")]
        repo: Option<RepoName>,
    },
    /// Follow what a running server does, event by event
    Watch {
        /// Only this run; it ends with it
        #[arg(long, value_name = "RUN_ID", value_parser = run_id)]
        run: Option<RunId>,
        #[arg(value_name = "OWNER/REPO")]
        repo: Option<RepoName>,
    },
    /// Why an issue is skipped, blocked, refused or waiting, and what would change that
    Why {
        /// OWNER/REPO#12
        #[arg(value_name = "OWNER/REPO#N", value_parser = issue_of)]
        of: IssueOf,
    },
    /// Ask a run to end after its current effect
    Cancel {
        /// As `run` and `status` show it
        #[arg(value_name = "RUN_ID", value_parser = run_id)]
        run: RunId,
    },
    /// Show what was said between Foreman and the models that worked on an issue
    Transcript {
        /// As `run` and `status` show it
        #[arg(value_name = "RUN_ID", value_parser = run_id)]
        run: RunId,
        /// The issue's number
        #[arg(value_name = "ISSUE", value_parser = issue_number)]
        issue: IssueNumber,
    },
    /// Write `.env` and `foreman.toml` where they are missing, then check what a night needs
    Init(InitArgs),
    /// Take away what old nights left in the data folder
    Clean {
        /// Say what would go, and leave it
        #[arg(long)]
        dry_run: bool,
    },
    /// Copy the database into one file, also while Foreman works
    Backup {
        /// A file that is not there yet
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Judge a local commit or branch as a night would; exits 0 passed, 1 refused, 2 the base is red
    Gate(GateArgs),
    /// The logs behind a run's checks, or one of them
    Logs {
        /// As `run` and `status` show it
        #[arg(value_name = "RUN_ID", value_parser = run_id)]
        run: RunId,
        /// The log's hash, or its beginning
        #[arg(value_name = "SHA256", value_parser = hash)]
        sha256: Option<String>,
    },
    /// Check what a night needs, and with OWNER/REPO run its base's checks; exits non-zero on what would stop a night
    Doctor {
        /// Look also at what we may do with this repository
        #[arg(value_name = "OWNER/REPO")]
        repo: Option<RepoName>,
        /// Ask each live tier for a few words, under the ceilings, and print what it cost
        #[arg(long)]
        live: bool,
    },
    /// Show who builds, or put the switch: copilot or desktop
    Builder {
        /// Where to put it; a switch to desktop holds until it is put back
        #[arg(value_name = "BUILDER", value_parser = builder)]
        to: Option<Builder>,
        /// Why, for the log
        #[arg(long, value_name = "TEXT", requires = "to")]
        reason: Option<String>,
    },
    /// Model tiers, quota, money and the safety rails
    Escalation {
        #[command(subcommand)]
        command: EscalationCommand,
    },
    /// The governance issues, whether the event log is whole, a test of alerts
    Governance {
        #[command(subcommand)]
        command: GovernanceCommand,
    },
    /// The local clones: their health, how they stand to their remotes, a safe merge
    Desktop {
        #[command(subcommand)]
        command: DesktopCommand,
    },
    /// Print the completions for a shell
    Completions {
        #[arg(value_name = "SHELL")]
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man {
        /// Write a page for each command into this folder instead
        #[arg(long, value_name = "FOLDER")]
        folder: Option<PathBuf>,
    },
    /// A whole night with a stand-in GitHub and a scripted model: no token, no key
    Demo {
        /// Stay up afterwards and serve the API
        #[arg(long)]
        serve: bool,
        /// Only the stand-ins, for trying `init`, `doctor`, `plan` and `run` against them
        #[arg(long, conflicts_with = "serve")]
        stand_ins: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum EscalationCommand {
    /// Which tier work would start at, and by which rule
    Select(SelectArgs),
    /// How full the windows and the money ceilings are
    Quota,
    /// What was spent, by tier, justification, day and run
    Costs,
    /// Work that was escalated, fell back or failed, newest first
    Events {
        #[arg(long, value_name = "RUN_ID", value_parser = run_id)]
        run: Option<RunId>,
        /// At most this many; 100 unless told
        #[arg(long, value_name = "N", value_parser = limit)]
        limit: Option<usize>,
    },
    /// What waits for a person; approve, reject or override
    Approvals {
        #[command(subcommand)]
        command: Option<ApprovalsCommand>,
    },
    /// What failed before, by kind of issue and tier, and how often what came after put it right
    Healing,
    /// The report of a day, a week or a month
    Report {
        /// daily, weekly or monthly
        #[arg(long, value_name = "PERIOD", default_value = "daily", value_parser = period)]
        period: Period,
        /// A day inside the period; today unless told
        #[arg(long, value_name = "DATE")]
        date: Option<chrono::NaiveDate>,
    },
}

#[derive(Debug, Args)]
pub struct SelectArgs {
    /// build, reasoning, analysis, orchestration, coordination ...
    #[arg(long, value_name = "KIND", default_value = "build")]
    pub task_type: String,
    /// low, medium or high
    #[arg(long, value_name = "HOW", default_value = "medium", value_parser = complexity)]
    pub complexity: Complexity,
    /// Files the work touches
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub files: u32,
    #[arg(long)]
    pub architecture: bool,
    #[arg(long)]
    pub governance: bool,
    /// Its milestone is due within a week
    #[arg(long)]
    pub milestone: bool,
}

#[derive(Debug, Subcommand)]
pub enum ApprovalsCommand {
    /// Let a request pass the next time it asks
    Approve {
        id: String,
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        /// How long it holds
        #[arg(long, value_name = "H", default_value_t = 24, value_parser = clap::value_parser!(i64).range(1..=168))]
        hours: i64,
    },
    /// Keep a request from passing
    Reject {
        id: String,
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// Exempt a repository, or one issue, from count limits and throttling; money stays bounded
    Override {
        #[arg(value_name = "OWNER/REPO")]
        repo: RepoName,
        #[arg(long, value_name = "N", value_parser = issue_number)]
        issue: Option<IssueNumber>,
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// How long it holds, at most 24
        #[arg(long, value_name = "H", default_value_t = 24, value_parser = clap::value_parser!(i64).range(1..=24))]
        hours: i64,
    },
}

/// Which night.
#[derive(Debug, Args)]
pub struct NightArgs {
    /// The repository on GitHub
    #[arg(value_name = "OWNER/REPO")]
    pub repo: RepoName,
    /// Work on at most this many issues
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub max_issues: Option<u32>,
    /// Only these issues
    #[arg(long, value_name = "12,14", value_delimiter = ',', value_parser = issue_number)]
    pub issues: Vec<IssueNumber>,
    /// Only issues with this label; may be given several times
    #[arg(long = "label", value_name = "LABEL")]
    pub labels: Vec<String>,
    /// The night's ceiling in USD; 0 makes no paid call
    #[arg(long, value_name = "USD", value_parser = usd, allow_negative_numbers = true)]
    pub budget: Option<Usd>,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub night: NightArgs,
    /// Plan only; nothing outside the database changes
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct GateArgs {
    /// A branch, a commit that a branch holds, or HEAD; what is not committed is not judged
    #[arg(value_name = "COMMIT", default_value = "HEAD")]
    pub commit: String,
    /// The branch it would be merged into; the remote's default unless told
    #[arg(long, value_name = "BRANCH")]
    pub base: Option<String>,
    /// The clone
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub repository: PathBuf,
    /// Whose policy of the operator's holds
    #[arg(long, value_name = "OWNER/REPO")]
    pub repo: Option<RepoName>,
    /// As if its issue bore this label; may be given several times
    #[arg(long = "label", value_name = "LABEL")]
    pub labels: Vec<String>,
    /// As if its issue were a bug: a regression test is wanted
    #[arg(long)]
    pub bug: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_words_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_night_is_described_by_flags() {
        let cli = parse("foreman run o/r --dry-run --max-issues 3 --issues 12,#14 --label bug --label ui --budget 0 --json")
            .expect("valid");
        let Some(Command::Run(run)) = cli.command else { panic!("not run") };
        assert!(run.dry_run && cli.json);
        assert_eq!(run.night.issues, [IssueNumber(12), IssueNumber(14)]);
        assert_eq!((run.night.labels.len(), run.night.max_issues), (2, Some(3)));
        assert_eq!(run.night.budget, Some(Usd::ZERO));
    }

    #[test]
    fn mistakes_are_refused() {
        for line in [
            "foreman run",
            "foreman run o",
            "foreman run o/r --issues x",
            "foreman run o/r --max-issues 0",
            "foreman run o/r --budget -1",
            "foreman plan o/r --dry-run",
            "foreman cancel",
            "foreman cancel a/b",
            "foreman nothing",
            "foreman desktop",
            "foreman desktop drift",
            "foreman desktop merge a/b",
            "foreman escalation",
            "foreman escalation report --period yearly",
            "foreman escalation report --date tomorrow",
            "foreman escalation select --complexity huge",
            "foreman escalation approvals override o/r",
            "foreman escalation approvals override o/r --reason x --hours 25",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        assert!(parse("foreman").expect("valid").command.is_none());
    }
}
