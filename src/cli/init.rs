//! `foreman init OWNER/REPO`: writes `.env` and `foreman.toml` where they are missing, then looks at
//! everything a night needs.
//!
//! Asks at a terminal; elsewhere takes flags alone. Never changes a line that is there: what `.env`
//! says already stays, and a `foreman.toml` is left as it is.
#![allow(
    clippy::doc_markdown,
    reason = "the flags' comments are the help text, shown as they stand"
)]

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::{CliError, Lookup, doctor};
use crate::domain::ids::RepoName;
use crate::domain::money::Usd;

#[derive(Debug, Args)]
pub struct InitArgs {
    /// The repository the nights are for
    #[arg(value_name = "OWNER/REPO")]
    pub repo: RepoName,
    /// A file with the GitHub token; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub github_token_file: Option<PathBuf>,
    /// A file with the OpenAI key
    #[arg(long, value_name = "FILE")]
    pub openai_key_file: Option<PathBuf>,
    /// An OpenAI-compatible local server, like http://127.0.0.1:11434/v1
    #[arg(long, value_name = "URL", requires = "local_model")]
    pub local_url: Option<url::Url>,
    /// The model that it serves
    #[arg(long, value_name = "MODEL", requires = "local_url")]
    pub local_model: Option<String>,
    /// The ceiling of each night, in USD
    #[arg(long, value_name = "USD", value_parser = super::values::usd)]
    pub budget: Option<Usd>,
    /// Ask nothing
    #[arg(long, short = 'y')]
    pub yes: bool,
}

/// What goes into `.env`, with the line that says what it is.
struct Entry {
    name: &'static str,
    value: String,
    comment: &'static str,
}

pub async fn init(lookup: Lookup<'_>, args: InitArgs, json: bool) -> Result<ExitCode, CliError> {
    let folder = std::env::current_dir()
        .map_err(|error| CliError::Other(format!("the working directory is gone: {error}")))?;
    let ask = !args.yes && !json && std::io::stdin().is_terminal();
    let (env, toml) = (folder.join(".env"), folder.join("foreman.toml"));
    let known = there(&env)?;
    let wanted = entries(&args, &known, ask)?;
    let added = add_missing(&env, &known, &wanted)?;
    let made = make_toml(&toml, args.budget)?;
    if !json {
        println!("{}", said(&env, &added, "nothing to add"));
        println!(
            "{}: {}",
            toml.display(),
            if made { "made, with the ceilings" } else { "was there, left as it is" }
        );
    }
    let repo = args.repo.clone();
    let code = doctor::doctor(lookup, Some(args.repo), false, json).await?;
    if !json && code == ExitCode::SUCCESS {
        println!(
            "\nNext: `foreman plan {repo}` says what a night would do, `foreman run {repo} --issues N` \
             works on one issue, and `foreman run {repo}` is a whole night."
        );
    }
    Ok(code)
}

fn said(path: &Path, added: &[&str], nothing: &str) -> String {
    let what =
        if added.is_empty() { nothing.to_owned() } else { format!("+ {}", added.join(", ")) };
    format!("{}: {what}", path.display())
}

/// The text of a file that may be missing.
fn there(path: &Path) -> Result<String, CliError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(cannot("read", path, &error)),
    }
}

fn entries(args: &InitArgs, known: &str, ask: bool) -> Result<Vec<Entry>, CliError> {
    let mut entries = Vec::new();
    let has = |name: &str| {
        sets(known, name)
            || sets(known, &format!("{name}_FILE"))
            || std::env::var_os(name).is_some()
    };
    let mut secret = |name, file: Option<&PathBuf>, comment, question| -> Result<(), CliError> {
        let value = match file {
            Some(file) => Some(secret_of(file)?),
            None if ask && !has(name) => asked(question)?,
            None => None,
        };
        entries.extend(value.map(|value| Entry { name, value, comment }));
        Ok(())
    };
    secret(
        "GITHUB_TOKEN",
        args.github_token_file.as_ref(),
        "May read and write contents, issues and pull requests.",
        "GitHub token (contents, issues, pull requests: read and write): ",
    )?;
    secret(
        "OPENAI_API_KEY",
        args.openai_key_file.as_ref(),
        "The tiers' key. Without one only a local builder works.",
        "OpenAI key (empty: none): ",
    )?;
    if let (Some(url), Some(model)) = (&args.local_url, &args.local_model) {
        let comment = "The local builder's server and model.";
        let url = url.as_str().trim_end_matches('/').to_owned();
        entries.push(Entry { name: "LOCAL_BUILDER_BASE_URL", value: url, comment });
        entries.push(Entry { name: "LOCAL_BUILDER_MODEL", value: model.clone(), comment: "" });
    }
    Ok(entries)
}

fn secret_of(file: &Path) -> Result<String, CliError> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text)
    } else {
        File::open(file).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.map_err(|error| cannot("read", file, &error))?;
    token(text.trim(), &file.display().to_string())
}

/// A token as it may stand in `.env` without quotes; these two providers give no other.
fn token(text: &str, from: &str) -> Result<String, CliError> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        let why = "holds no token: letters, digits, `-`, `_` and `.` are taken";
        return Err(CliError::Other(format!("{from} {why}")));
    }
    Ok(text.to_owned())
}

/// An answer at the terminal, not shown while it is typed; nothing where it is empty.
fn asked(question: &str) -> Result<Option<String>, CliError> {
    let answer = rpassword::prompt_password(question)
        .map_err(|error| CliError::Other(format!("the terminal cannot be read: {error}")))?;
    let answer = answer.trim();
    if answer.is_empty() { Ok(None) } else { token(answer, "the answer").map(Some) }
}

/// Whether a text of `.env` sets a variable.
fn sets(text: &str, name: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        line.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('='))
    })
}

/// Appends what is missing; the file is its owner's alone. Says what it added.
fn add_missing<'a>(
    path: &Path,
    known: &str,
    entries: &'a [Entry],
) -> Result<Vec<&'a str>, CliError> {
    let missing: Vec<&Entry> = entries.iter().filter(|entry| !sets(known, entry.name)).collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let mut text = String::new();
    if !known.is_empty() && !known.ends_with('\n') {
        text.push('\n');
    }
    for entry in &missing {
        if !entry.comment.is_empty() {
            text.push_str(&format!("# {}\n", entry.comment));
        }
        text.push_str(&format!("{}={}\n", entry.name, entry.value));
    }
    let written = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|error| cannot("written", path, &error))?;
    Ok(missing.into_iter().map(|entry| entry.name).collect())
}

/// Makes `foreman.toml` with the ceilings spelt out; leaves one that is there.
fn make_toml(path: &Path, budget: Option<Usd>) -> Result<bool, CliError> {
    let night = budget.map_or(10.0, |usd| usd.as_usd());
    let text = format!(
        "# What is no secret. Every key: docs/configuration.md.\n\n\
         [limits]\n# USD. \"none\" is no ceiling, 0 no paid call.\n\
         night_usd = {night:?}\nday_usd = 25.0\nmonth_usd = 200.0\n"
    );
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => {
            file.write_all(text.as_bytes()).map_err(|error| cannot("written", path, &error))?;
            Ok(true)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(cannot("written", path, &error)),
    }
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> CliError {
    CliError::Other(format!("{} cannot be {what}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_seen() {
        let text = "# GITHUB_TOKEN=no\nexport OPENAI_API_KEY = x\nPORT=1\n";
        assert!(!sets(text, "GITHUB_TOKEN") && sets(text, "OPENAI_API_KEY") && sets(text, "PORT"));
        assert!(!sets(text, "POR") && !sets("PORTS=1", "PORT"));
    }

    #[test]
    fn nothing_that_is_there_is_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(".env");
        std::fs::write(&path, "GITHUB_TOKEN=mine\nPORT=4000").expect("written");
        let entry = |name, value: &str| Entry { name, value: value.to_owned(), comment: "why" };
        let entries = [entry("GITHUB_TOKEN", "other"), entry("OPENAI_API_KEY", "k")];
        let known = there(&path).expect("read");
        assert_eq!(add_missing(&path, &known, &entries).expect("added"), ["OPENAI_API_KEY"]);
        let now = there(&path).expect("read");
        assert_eq!(now, "GITHUB_TOKEN=mine\nPORT=4000\n# why\nOPENAI_API_KEY=k\n");
        assert!(add_missing(&path, &now, &entries).expect("added").is_empty());

        let toml = folder.path().join("foreman.toml");
        assert!(make_toml(&toml, Usd::from_usd(2.5)).expect("made"));
        assert!(there(&toml).expect("read").contains("night_usd = 2.5\n"));
        assert!(!make_toml(&toml, None).expect("left"));
    }
}
