//! `foreman gate`: a local commit or branch judged as a night would judge it, without a night.
//!
//! Pushes nothing and writes nothing into the clone.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use chrono::Utc;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::args::GateArgs;
use super::signals::Signals;
use super::{CliError, print_json, printable};
use crate::app::{AppError, Bench, NO_ISSUE};
use crate::config::Config;
use crate::domain::evidence::{CheckOutcome, Dimension, QaSummary};
use crate::domain::ids::{CommitId, RepoName, TreeId};
use crate::gate::{Asked, BaseVerdict, Candidate, GateError, Judgement, Verdict};
use crate::git::{Author, GitError, Merge, Mirror};

/// What came of it.
enum Came {
    Judged {
        base: CommitId,
        tree: TreeId,
        judgement: Box<Judgement>,
        passed: bool,
    },
    /// A night would be halted.
    RedBase {
        base: CommitId,
        verdict: Box<BaseVerdict>,
    },
    Conflict {
        base: CommitId,
        files: Vec<String>,
    },
}

pub async fn gate(config: &Config, args: GateArgs, json: bool) -> Result<ExitCode, CliError> {
    let cancel = CancellationToken::new();
    let mut signals = Signals::listen()?;
    tokio::spawn({
        let cancel = cancel.clone();
        async move {
            signals.next().await;
            cancel.cancel();
            signals.end_on_next();
        }
    });
    let bench = Bench::open(config).await?;
    let came = judge(&bench, config, &args, &cancel).await;
    bench.close().await;
    let came = came?;
    if json {
        print_json(&as_json(&came));
    } else {
        print!("{}", for_people(&came));
    }
    Ok(match came {
        Came::Judged { passed: true, .. } => ExitCode::SUCCESS,
        Came::Judged { .. } | Came::Conflict { .. } => ExitCode::from(1),
        Came::RedBase { .. } => ExitCode::from(2),
    })
}

async fn judge(
    bench: &Bench,
    config: &Config,
    args: &GateArgs,
    cancel: &CancellationToken,
) -> Result<Came, CliError> {
    let folder = args.repository.canonicalize().map_err(|error| {
        CliError::Other(format!("{} cannot be found: {error}", args.repository.display()))
    })?;
    let repo = args.repo.clone().map_or_else(|| local_name(&folder), Ok)?;
    let url = url::Url::from_file_path(&folder)
        .map_err(|()| CliError::Other(format!("{} has no address", folder.display())))?;
    let app = |error: GitError| CliError::App(AppError::Git(error));
    let mirror = bench.git.mirror(&repo, url.as_str(), None, cancel.clone()).await.map_err(app)?;
    mirror.fetch_local().await.map_err(app)?;
    let unknown = |what: &str| CliError::Other(format!("the clone has no {what}"));
    let commit = mirror.find(&args.commit).await.map_err(app)?;
    let commit = commit.ok_or_else(|| unknown(&format!("commit or branch `{}`", args.commit)))?;
    let branch = match &args.base {
        Some(branch) => branch.clone(),
        None => mirror.find_default().await.map_err(app)?.ok_or_else(|| {
            unknown("branch `main` or `master`; name the one to merge into with --base")
        })?,
    };
    let base = mirror.find_base(&branch).await.map_err(app)?;
    let base = base.ok_or_else(|| unknown(&format!("branch `{branch}`")))?;
    let failed = |error: GateError| CliError::App(AppError::Gate(error));
    let desk = bench.desk(&repo).await?;
    let run = &desk.fence.run;
    let verdict = bench.gate.judge_base(&mirror, &base, run, cancel).await.map_err(failed)?;
    if !verdict.green {
        return Ok(Came::RedBase { base, verdict: Box::new(verdict) });
    }
    let merged = merged(&mirror, &base, &commit, config).await.map_err(app)?;
    let (commit, tree) = match merged {
        Ok(merged) => merged,
        Err(files) => return Ok(Came::Conflict { base, files }),
    };
    let candidate = Candidate {
        mirror: &mirror,
        fence: &desk.fence,
        issue: NO_ISSUE,
        attempt: desk.attempt,
        base: base.clone(),
        commit,
        tree: tree.clone(),
        base_verdict: &verdict,
        texts: Vec::new(),
        is_bug: args.bug,
        // There is no issue whose words could ask for anything.
        asked: Asked::new("", ""),
        open: None,
    };
    let judged =
        bench.gate.judge_labelled(candidate, &args.labels, cancel).await.map_err(failed)?;
    let (passed, judgement) = match judged {
        Verdict::Passed(_, judgement) => (true, judgement),
        Verdict::Refused(judgement) => (false, judgement),
    };
    Ok(Came::Judged { base, tree, judgement: Box::new(judgement), passed })
}

/// What would be pushed: the change as one commit on the base's tip.
async fn merged(
    mirror: &Mirror,
    base: &CommitId,
    commit: &CommitId,
    config: &Config,
) -> Result<Result<(CommitId, TreeId), Vec<String>>, GitError> {
    let tree = match mirror.merge_onto(base, commit).await? {
        Merge::Clean(tree) => tree,
        Merge::Conflict(files) => return Ok(Err(files)),
    };
    let author = Author {
        name: config.publish.author_name.clone(),
        email: config.publish.author_email.clone(),
    };
    let commit = mirror.commit(&tree, base, "What is judged\n", &author, Utc::now()).await?;
    Ok(Ok((commit, tree)))
}

/// A name for a clone that was given none: the operator's policies go by names.
fn local_name(folder: &Path) -> Result<RepoName, CliError> {
    let name = folder.file_name().map_or_else(String::new, |it| it.to_string_lossy().into_owned());
    let name: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' })
        .collect();
    let name = name.trim_matches(['.', '-']).to_owned();
    let name = if name.is_empty() { "clone".to_owned() } else { name };
    format!("local/{name}")
        .parse()
        .map_err(|error| CliError::Other(format!("name the repository with --repo: {error}")))
}

fn as_json(came: &Came) -> serde_json::Value {
    match came {
        Came::Judged { base, tree, judgement, passed } => json!({
            "success": true, "passed": passed, "baseSha": base, "treeSha": tree,
            "reason": judgement.reason, "qaResults": judgement.qa,
            "governanceResults": judgement.governance,
        }),
        Came::RedBase { base, verdict } => json!({
            "success": true, "passed": false, "baseSha": base, "reasonCode": "base_red",
            "reason": verdict.red.join("; "), "checks": verdict.checks,
        }),
        Came::Conflict { base, files } => json!({
            "success": true, "passed": false, "baseSha": base,
            "reason": format!("conflicts with the base in {}", files.join(", ")),
        }),
    }
}

fn for_people(came: &Came) -> String {
    match came {
        Came::Judged { base, tree, judgement, passed } => {
            let mut out = format!("tree {} on base {}\n\n", tree.short(), base.short());
            out.push_str(&table(&judgement.qa));
            if *passed {
                out.push_str("\nEvery check passed: a night would open a pull request.\n");
            } else {
                let reason = printable(&judgement.reason);
                out.push_str(&format!("\nRefused: {reason}\n\n"));
                out.extend(judgement.digest.lines().map(|line| format!("{}\n", printable(line))));
            }
            out
        }
        Came::RedBase { base, verdict } => {
            let mut out = format!("The base {} is red: a night would be halted.\n", base.short());
            out.extend(verdict.red.iter().map(|red| format!("  {}\n", printable(red))));
            out
        }
        Came::Conflict { base, files } => format!(
            "It does not merge cleanly onto the base {}: {}\n",
            base.short(),
            printable(&files.join(", "))
        ),
    }
}

fn table(qa: &QaSummary) -> String {
    let mut out = String::new();
    for dimension in Dimension::ALL {
        for check in qa.checks.iter().filter(|check| check.dimension == dimension) {
            let seconds = Duration::from_millis(check.duration_ms).as_secs_f64();
            let ran = check.command.as_ref().map_or_else(String::new, |command| {
                format!("`{}` {seconds:.1} s", printable(command))
            });
            let said = match check.outcome {
                CheckOutcome::Passed => String::new(),
                CheckOutcome::Failed | CheckOutcome::NotApplicable | CheckOutcome::NotRun => {
                    printable(check.findings.first().map_or("", String::as_str))
                }
            };
            let line = format!(
                "{:<13} {:<14} {:<21} {ran} {said}",
                dimension.title(),
                check.outcome.as_str(),
                check.name
            );
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
    out
}
