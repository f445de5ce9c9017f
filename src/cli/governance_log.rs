//! `foreman governance events|stats|export|incidents|memory`: reading the database, whether or not a
//! server runs. Writes nothing and takes no lock.

use std::io::Write as _;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::{CliError, print_json};
use crate::app;
use crate::config::Config;
use crate::domain::event::{EventType, Severity};
use crate::domain::ids::{IssueNumber, RunId};
use crate::domain::memory;
use crate::governance::{EventLog, export};
use crate::store::{EventQuery, MemoryQuery, Store};

/// Events read at once.
const PAGE: u32 = 1_000;

/// Which events.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// Of these types
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    pub types: Vec<EventType>,
    /// Of these severities
    #[arg(long, value_name = "SEVERITY", value_delimiter = ',')]
    pub severity: Vec<Severity>,
    /// Of these runs
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub run: Vec<String>,
    /// Of these issues
    #[arg(long, value_name = "NUMBER", value_delimiter = ',')]
    pub issue: Vec<u64>,
    /// From this time on, like 2026-11-22T02:00:00Z
    #[arg(long, value_name = "TIME")]
    pub since: Option<DateTime<Utc>>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<DateTime<Utc>>,
    /// With this text in their description
    #[arg(long)]
    pub text: Option<String>,
    /// At most so many; an export has no bound
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub limit: u32,
}

impl LogArgs {
    fn query(&self) -> EventQuery {
        EventQuery {
            types: self.types.clone(),
            severities: self.severity.clone(),
            runs: self.run.iter().map(RunId::new).collect(),
            issues: self.issue.iter().copied().map(IssueNumber).collect(),
            since: self.since,
            until: self.until,
            text: self.text.clone(),
            limit: self.limit,
            ..EventQuery::default()
        }
    }
}

/// Which events, and in which form.
#[derive(Debug, Args)]
pub struct ExportArgs {
    #[command(flatten)]
    pub which: LogArgs,
    /// A line for each event, or one JSON array of `CloudEvents` 1.0
    #[arg(long, value_enum, default_value_t = ExportForm::Jsonl)]
    pub format: ExportForm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportForm {
    Jsonl,
    Cloudevents,
}

async fn reading(config: &Config) -> Result<Store, CliError> {
    Ok(app::open_for_reading(config).await?)
}

pub async fn events(config: &Config, args: &LogArgs, json: bool) -> Result<ExitCode, CliError> {
    let store = reading(config).await?;
    let events = store.events(args.query()).await?;
    store.close().await;
    if json {
        print_json(&json!({ "success": true, "events": events }));
    } else {
        for event in &events {
            let time = event.timestamp.format("%Y-%m-%d %H:%M:%S");
            let severity = event.severity.as_str();
            println!("{:>7}  {time}  {severity:<8}  {}", event.seq, event.kind);
            println!("         {}", event.description);
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub async fn stats(config: &Config, json: bool) -> Result<ExitCode, CliError> {
    let store = reading(config).await?;
    let stats = EventLog::open(&store, 1).await?.stats().await?;
    store.close().await;
    if json {
        print_json(&json!({ "success": true, "stats": stats }));
    } else {
        println!("{} events", stats.events.total);
        for (severity, count) in &stats.events.by_severity {
            println!("{count:>9}  {severity}");
        }
        for (kind, count) in &stats.events.by_type {
            println!("{count:>9}  {kind}");
        }
        for (day, count) in &stats.by_day {
            println!("{count:>9}  {day}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Page by page: a log of any length goes through.
pub async fn export(config: &Config, args: &ExportArgs) -> Result<ExitCode, CliError> {
    let store = reading(config).await?;
    let mut out = std::io::stdout().lock();
    let failed = |error| CliError::Other(format!("the export could not be written: {error}"));
    let source = format!("{}/api/foreman", config.server.url);
    let batch = args.format == ExportForm::Cloudevents;
    if batch {
        write!(out, "[").map_err(failed)?;
    }
    let mut after = 0;
    loop {
        let query = EventQuery {
            after_seq: Some(after),
            ascending: true,
            limit: PAGE,
            ..args.which.query()
        };
        let page = store.events(query).await?;
        let Some(last) = page.last() else { break };
        let begun = after > 0;
        after = last.seq;
        for (nth, event) in page.iter().enumerate() {
            let written = match args.format {
                ExportForm::Jsonl => writeln!(out, "{}", export::jsonl(event)),
                ExportForm::Cloudevents => {
                    let comma = if begun || nth > 0 { "," } else { "" };
                    write!(out, "{comma}\n{}", export::cloud_event(event, &source))
                }
            };
            written.map_err(failed)?;
        }
    }
    if batch {
        writeln!(out, "\n]").map_err(failed)?;
    }
    drop(out);
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

pub async fn incidents(config: &Config, json: bool) -> Result<ExitCode, CliError> {
    let store = reading(config).await?;
    let incidents = store.incidents(false).await?;
    store.close().await;
    if json {
        print_json(&json!({ "success": true, "incidents": incidents }));
    } else if incidents.is_empty() {
        println!("There was no incident.");
    } else {
        for incident in &incidents {
            let state = if incident.open { "open" } else { "over" };
            let since = incident.opened_at.format("%Y-%m-%d %H:%M");
            println!("{state}  {since}  {}  {} times", incident.title, incident.times);
            println!("      {}", incident.detail);
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub async fn memory(config: &Config, json: bool) -> Result<ExitCode, CliError> {
    let store = reading(config).await?;
    let entries = store.memory(MemoryQuery::default()).await?;
    store.close().await;
    let drift = memory::drift(&entries, Utc::now());
    if json {
        print_json(&json!({ "success": true, "entries": entries, "drift": drift }));
    } else {
        for entry in &entries {
            let project = entry.project.as_ref().map(|it| format!(" {it}")).unwrap_or_default();
            println!("{}{project}  {}  version {}", entry.scope, entry.key, entry.version);
            println!("      {}", entry.value);
        }
        for drift in &drift {
            println!("drift ({}): {}: {}", drift.kind.as_str(), drift.key, drift.why);
        }
        if entries.is_empty() {
            println!("Nothing is remembered yet.");
        }
    }
    Ok(ExitCode::SUCCESS)
}
