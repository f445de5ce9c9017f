//! `foreman escalation`: the desk on the command line, from the server or, read-only, the store.

use std::process::ExitCode;

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

use super::args::{ApprovalsCommand, EscalationCommand, SelectArgs};
use super::client::Client;
use super::{CliError, print_json};
use crate::app::{self, App};
use crate::config::Config;
use crate::domain::ids::{IssueNumber, RepoName};
use crate::domain::money::Usd;
use crate::escalation::SelectionContext;
use crate::overnight::Desk;
use crate::store::{Decided, Decision, LONGEST_OVERRIDE, Override};

const ROOT: &str = "/api/foreman/escalation";
/// Events shown where nothing is said.
const EVENTS: usize = 100;

pub async fn escalation(
    config: Config,
    command: EscalationCommand,
    json: bool,
) -> Result<ExitCode, CliError> {
    let (answer, text) = match command {
        EscalationCommand::Select(args) => select(&config, &args).await?,
        EscalationCommand::Quota => {
            let answer = read(&config, "quota", async |desk: &Desk| desk.quota().await).await?;
            let text = quota_text(&answer);
            (answer, text)
        }
        EscalationCommand::Costs => {
            let answer = read(&config, "costs", async |desk: &Desk| desk.costs().await).await?;
            let text = costs_text(&answer["costs"]);
            (answer, text)
        }
        EscalationCommand::Events { run, limit } => {
            let limit = limit.unwrap_or(EVENTS);
            let path = match &run {
                Some(run) => format!("events?limit={limit}&runId={run}"),
                None => format!("events?limit={limit}"),
            };
            let stored = async |desk: &Desk| desk.events(run.as_ref(), limit).await;
            let answer = read(&config, &path, stored).await?;
            let text = events_text(&answer["events"]);
            (answer, text)
        }
        EscalationCommand::Healing => {
            let answer = read(&config, "healing", async |desk: &Desk| desk.healing().await).await?;
            let text = healing_text(&answer["healing"]);
            (answer, text)
        }
        EscalationCommand::Approvals { command } => approvals(config, command).await?,
        EscalationCommand::Report { period, date } => {
            let day = date.unwrap_or_else(|| Utc::now().date_naive());
            let path = format!("reports?period={}&date={day}", period.as_str());
            let stored = async |desk: &Desk| {
                let report = desk.report(period, day, Utc::now()).await?;
                Ok(json!({ "success": true, "report": report }))
            };
            let answer = read(&config, &path, stored).await?;
            let report: crate::escalation::Report = parse(&answer["report"])?;
            (answer, report.text())
        }
    };
    if json {
        print_json(&answer);
    } else {
        print!("{text}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks the server, or where there is none, the store.
async fn read(
    config: &Config,
    path: &str,
    stored: impl AsyncFnOnce(&Desk) -> Result<Value, crate::store::StoreError>,
) -> Result<Value, CliError> {
    match Client::new(config)?.get(&format!("{ROOT}/{path}")).await {
        Ok(answer) => Ok(answer),
        Err(error) if error.is_absent() => {
            let desk = app::reading_desk(config).await?;
            let answer = stored(&desk).await;
            desk.store.close().await;
            Ok(answer?)
        }
        Err(error) => Err(error.into()),
    }
}

async fn select(config: &Config, args: &SelectArgs) -> Result<(Value, String), CliError> {
    let context = SelectionContext {
        task_type: args.task_type.clone(),
        complexity: args.complexity,
        files_affected: args.files,
        is_architecture_task: args.architecture,
        is_governance_task: args.governance,
        is_milestone_nearing: args.milestone,
        existing_escalations_today: None,
        quota_remaining: None,
    };
    let body = serde_json::to_value(&context)
        .map_err(|error| CliError::Other(format!("the context cannot be written: {error}")))?;
    let answer = match Client::new(config)?.post(&format!("{ROOT}/select"), &body).await {
        Ok(answer) => answer,
        Err(error) if error.is_absent() => {
            let desk = app::reading_desk(config).await?;
            let selection = desk.select(&context).await;
            desk.store.close().await;
            json!({ "success": true, "selection": selection? })
        }
        Err(error) => return Err(error.into()),
    };
    let selection = &answer["selection"];
    let text = format!(
        "{} by the rule `{}`{}; then {}\n",
        said(&selection["selectedModel"]),
        said(&selection["rule"]),
        if selection["quotaImpact"] == 1 { ", counted" } else { "" },
        selection["fallbackChain"]
            .as_array()
            .map(|chain| chain.iter().skip(1).map(said).collect::<Vec<_>>().join(", "))
            .filter(|rest| !rest.is_empty())
            .unwrap_or_else(|| "nothing".to_owned()),
    );
    Ok((answer, text))
}

async fn approvals(
    config: Config,
    command: Option<ApprovalsCommand>,
) -> Result<(Value, String), CliError> {
    let now = Utc::now();
    match command {
        None => {
            let answer =
                read(&config, "approvals", async |desk: &Desk| desk.approvals(None).await).await?;
            let text = approvals_text(&answer["approvals"]);
            Ok((answer, text))
        }
        Some(ApprovalsCommand::Approve { id, reason, hours }) => {
            word(config, &id, true, reason, now + TimeDelta::hours(hours)).await
        }
        Some(ApprovalsCommand::Reject { id, reason }) => {
            word(config, &id, false, reason, now + TimeDelta::hours(1)).await
        }
        Some(ApprovalsCommand::Override { repo, issue, reason, hours }) => {
            overrule(config, repo, issue, reason, now + TimeDelta::hours(hours)).await
        }
    }
}

async fn word(
    config: Config,
    id: &str,
    approve: bool,
    reason: String,
    until: chrono::DateTime<Utc>,
) -> Result<(Value, String), CliError> {
    let decision = if approve { "approve" } else { "reject" };
    let body = json!({ "id": id, "decision": decision, "reason": reason, "until": until });
    let answer = match Client::new(&config)?.post(&format!("{ROOT}/approvals"), &body).await {
        Ok(answer) => answer,
        Err(error) if error.is_absent() => {
            let app = App::build(config).await?;
            let by = "local".to_owned();
            let decision = Decision { id: id.to_owned(), approve, by, admin: true, reason, until };
            let decided = app.store.decide_approval(decision).await;
            app.store.clone().close().await;
            match decided? {
                Decided::Done(approval) => json!({ "success": true, "approval": approval }),
                Decided::Unknown => {
                    return Err(CliError::Other(format!("There is no request `{id}`")));
                }
                Decided::IsOverride => {
                    let why = "is an override: reject it, or make a new one to prolong it";
                    return Err(CliError::Other(format!("`{id}` {why}")));
                }
            }
        }
        Err(error) => return Err(error.into()),
    };
    let text = approval_line(&answer["approval"]);
    Ok((answer, text))
}

async fn overrule(
    config: Config,
    repo: RepoName,
    issue: Option<IssueNumber>,
    reason: String,
    until: chrono::DateTime<Utc>,
) -> Result<(Value, String), CliError> {
    let body = json!({
        "owner": repo.owner(),
        "repo": repo.name(),
        "issueNumber": issue,
        "reason": reason,
        "until": until.min(Utc::now() + LONGEST_OVERRIDE),
    });
    let answer = match Client::new(&config)?.post(&format!("{ROOT}/approvals"), &body).await {
        Ok(answer) => answer,
        Err(error) if error.is_absent() => {
            let app = App::build(config).await?;
            let ask = Override { repo, issue, by: "local".to_owned(), reason, until };
            let stored = app.store.override_rails(ask).await;
            app.store.clone().close().await;
            json!({ "success": true, "approval": stored? })
        }
        Err(error) => return Err(error.into()),
    };
    let text = approval_line(&answer["approval"]);
    Ok((answer, text))
}

fn parse<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, CliError> {
    serde_json::from_value(value.clone())
        .map_err(|error| CliError::Other(format!("the answer cannot be read: {error}")))
}

/// A text of an answer, fit for a terminal.
fn said(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn money(value: &Value) -> String {
    value.as_f64().and_then(Usd::from_usd).map_or_else(|| "none".to_owned(), |usd| usd.to_string())
}

fn quota_text(answer: &Value) -> String {
    let mut out = String::new();
    for window in ["daily", "hourly", "concurrent"] {
        let it = &answer["quota"][window];
        let resets = match it["resetsAt"].as_str() {
            Some(at) if it["used"] != 0 => format!("  (next one back at {at})"),
            Some(_) | None => String::new(),
        };
        out.push_str(&format!("{window:<12} {} of {}{resets}\n", it["used"], it["limit"]));
    }
    for budget in answer["budgets"].as_array().into_iter().flatten() {
        out.push_str(&format!(
            "{:<12} {} spent, {} reserved, ceiling {}  ({})\n",
            said(&budget["scope"]),
            money(&budget["spentUsd"]),
            money(&budget["reservedUsd"]),
            money(&budget["limitUsd"]),
            said(&budget["id"]),
        ));
    }
    out
}

fn costs_text(costs: &Value) -> String {
    let mut out = format!("{} in all\n", money(&costs["totalUsd"]));
    for (title, key) in
        [("By tier", "byTier"), ("By tag", "byTag"), ("By day", "byDay"), ("By run", "byRun")]
    {
        let Some(amounts) = costs[key].as_object().filter(|amounts| !amounts.is_empty()) else {
            continue;
        };
        out.push_str(&format!("{title}\n"));
        for (name, usd) in amounts {
            out.push_str(&format!("  {name:<40} {}\n", money(usd)));
        }
    }
    out
}

fn events_text(events: &Value) -> String {
    let events = events.as_array().map(Vec::as_slice).unwrap_or_default();
    if events.is_empty() {
        return "Nothing was escalated, fell back or failed yet\n".to_owned();
    }
    let line = |event: &Value| {
        format!(
            "{}  {}  {} -> {}  {}  {} calls, {}\n",
            said(&event["timestamp"]),
            said(&event["taskId"]),
            said(&event["toModel"]),
            event["actualModel"].as_str().unwrap_or("nobody"),
            event["reason"].as_str().unwrap_or("not escalated"),
            event["attempts"].as_array().map_or(0, Vec::len),
            money(&event["costUsd"]),
        )
    };
    events.iter().map(line).collect()
}

fn healing_text(stats: &Value) -> String {
    let stats = stats.as_array().map(Vec::as_slice).unwrap_or_default();
    if stats.is_empty() {
        return "Nothing failed yet\n".to_owned();
    }
    let line = |stat: &Value| {
        format!(
            "{:<14} {:<14} {:<24} failed {}, put right {}: {}\n",
            said(&stat["kind"]),
            said(&stat["tier"]),
            said(&stat["what"]),
            stat["failures"],
            stat["healed"],
            said(&stat["detail"]),
        )
    };
    stats.iter().map(line).collect()
}

fn approvals_text(approvals: &Value) -> String {
    let approvals = approvals.as_array().map(Vec::as_slice).unwrap_or_default();
    if approvals.is_empty() {
        return "Nothing waits, and nothing was decided yet\n".to_owned();
    }
    approvals.iter().map(approval_line).collect()
}

fn approval_line(it: &Value) -> String {
    let issue = it["issueNumber"].as_u64().map_or_else(String::new, |n| format!("#{n}"));
    let until =
        it["validUntil"].as_str().map_or_else(String::new, |until| format!(" until {until}"));
    let by = it["decidedBy"]
        .as_str()
        .map_or_else(String::new, |_| format!(" by {}", said(&it["decidedBy"])));
    format!(
        "{:<16} {:<8} {}{issue}{by}{until}: {}\n    {}\n",
        said(&it["status"]),
        said(&it["kind"]),
        said(&it["repository"]),
        said(&it["why"]),
        said(&it["id"]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_read_as_lines() {
        let quota = json!({
            "quota": {
                "daily": {"used": 3, "limit": 50, "resetsAt": "2026-11-23T01:00:00Z"},
                "hourly": {"used": 0, "limit": 10, "resetsAt": "2026-11-22T12:00:00Z"},
                "concurrent": {"used": 1, "limit": 5, "resetsAt": null},
            },
            "budgets": [{"scope": "day", "id": "2026-11-22", "spentUsd": 1.5, "reservedUsd": 0.0, "limitUsd": null}],
        });
        let text = quota_text(&quota);
        assert!(text.contains("daily        3 of 50  (next one back at 2026-11-23"), "{text}");
        assert!(text.contains("hourly       0 of 10\n"), "{text}");
        assert!(text.contains("$1.50 spent, $0.00 reserved, ceiling none"), "{text}");
        let approval = json!({
            "status": "pending_approval", "kind": "approval", "repository": "o/r", "issueNumber": 4,
            "why": "a\u{1b}b", "id": "o/r#4:experimental",
        });
        let text = approvals_text(&json!([approval]));
        assert!(text.contains("o/r#4: a b\n") && !text.contains('\u{1b}'), "{text}");
    }
}
