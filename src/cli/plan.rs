//! `foreman plan`: what a night would do, and nothing else.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::args::NightArgs;
use super::client::{Client, ClientError};
use super::run::{config_json, night_config};
use super::{CliError, print_json, printable};
use crate::app::{App, AppError};
use crate::config::Config;
use crate::domain::run::NightRequest;
use crate::store::StoreError;

/// `named`: `FOREMAN_URL` says which server is meant. Else the one that holds the data folder is.
pub async fn plan(
    config: Config,
    args: NightArgs,
    named: bool,
    json: bool,
) -> Result<ExitCode, CliError> {
    let plan = match named.then(|| Client::new(&config)).transpose()? {
        Some(client) => match planned_there(&client, &args).await {
            Err(CliError::Client(ClientError::Unreachable { .. })) => {
                planned_here(&config, &args).await?
            }
            other => other?,
        },
        None => planned_here(&config, &args).await?,
    };
    if json {
        print_json(&json!({ "success": true, "plan": plan }));
    } else {
        print!("{}", for_people(&plan));
    }
    Ok(ExitCode::SUCCESS)
}

async fn planned_there(client: &Client, args: &NightArgs) -> Result<Value, CliError> {
    let body = json!({
        "owner": args.repo.owner(),
        "repo": args.repo.name(),
        "config": config_json(args),
    });
    Ok(client.post("/api/foreman/overnight/plan", &body).await?["plan"].take())
}

/// In this process, unless a server holds the data folder.
async fn planned_here(config: &Config, args: &NightArgs) -> Result<Value, CliError> {
    let request =
        NightRequest { repo: args.repo.clone(), config: night_config(config, args), dry_run: true };
    match App::build(config.clone()).await {
        Ok(app) => {
            let planned = app.overnight.plan(&request).await;
            app.store.clone().close().await;
            Ok(json!(planned?))
        }
        Err(AppError::Store(StoreError::Locked { .. })) => {
            planned_there(&Client::new(config)?, args).await
        }
        Err(error) => Err(error.into()),
    }
}

/// The plan's JSON as lines: those to be worked on in order, then the skipped with the reason.
#[must_use]
pub fn for_people(plan: &Value) -> String {
    let none = Vec::new();
    let issues = plan["issues"].as_array().unwrap_or(&none);
    let (skipped, eligible): (Vec<_>, Vec<_>) =
        issues.iter().partition(|issue| issue["skip"].is_object());
    let text = |value: &Value| printable(value.as_str().unwrap_or_default());
    let mut out =
        format!("{} of {} open issues would be worked on\n", eligible.len(), issues.len());
    for (index, issue) in eligible.iter().enumerate() {
        let after: Vec<String> = issue["dependsOn"]
            .as_array()
            .unwrap_or(&none)
            .iter()
            .map(|on| format!("#{on}"))
            .collect();
        let after = if after.is_empty() {
            String::new()
        } else {
            format!("  (after {})", after.join(", "))
        };
        out.push_str(&format!(
            "{:>4}. #{} {}  [{}, {}]{after}\n",
            index + 1,
            issue["issueNumber"],
            text(&issue["title"]),
            text(&issue["sequenceType"]),
            text(&issue["estimatedComplexity"]),
        ));
    }
    if !skipped.is_empty() {
        out.push_str("skipped:\n");
    }
    for issue in skipped {
        out.push_str(&format!(
            "      #{} {}: {}\n",
            issue["issueNumber"],
            text(&issue["title"]),
            text(&issue["skip"]["reason"])
        ));
    }
    let budget = plan["budgetUsd"].as_f64();
    out.push_str(&format!(
        "ceiling of the night: {}\n",
        budget.map_or_else(|| "none".to_owned(), |usd| format!("${usd:.2}"))
    ));
    out.push_str(&forecast(&plan["forecast"]));
    out.push_str(&checks(&plan["checks"]));
    out
}

/// What would be run to judge a change, and by whose word.
fn checks(checks: &Value) -> String {
    let mut out = String::new();
    for found in checks["found"].as_array().into_iter().flatten() {
        let heading = if out.is_empty() { "checks:\n" } else { "" };
        out.push_str(&format!(
            "{heading}      {}\n",
            printable(found.as_str().unwrap_or_default())
        ));
    }
    if let Some(note) = checks["note"].as_str() {
        out.push_str(&format!("checks: {}\n", printable(note)));
    }
    out
}

/// What history says of the cost; nothing where there is none.
fn forecast(forecast: &Value) -> String {
    let usd = |key: &str| forecast[key].as_f64().map(|usd| format!("${usd:.2}"));
    let (Some(p50), Some(p90)) = (usd("p50Usd"), usd("p90Usd")) else { return String::new() };
    format!(
        "forecast: {p50} (P50) to {p90} (P90), from {} issues of the past\n",
        forecast["samples"]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_reads_in_order_with_reasons() {
        let plan = json!({
            "issues": [
                { "issueNumber": 3, "title": "A\u{1b}", "sequenceType": "qa", "estimatedComplexity": "low", "dependsOn": [] },
                { "issueNumber": 5, "title": "B", "sequenceType": "build", "estimatedComplexity": "high", "dependsOn": [3] },
                { "issueNumber": 9, "title": "C", "skip": { "code": "cycle", "reason": "in a cycle with #8" } },
            ],
            "budgetUsd": 10.0,
        });
        let text = for_people(&plan);
        assert!(text.starts_with("2 of 3 open issues"), "{text}");
        assert!(text.contains("   2. #5 B  [build, high]  (after #3)\n"), "{text}");
        assert!(text.contains("#9 C: in a cycle with #8\n"), "{text}");
        assert!(
            text.ends_with("ceiling of the night: $10.00\n") && !text.contains('\u{1b}'),
            "{text}"
        );
    }
}
