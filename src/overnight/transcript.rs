//! The transcript of an issue's builders, for people and machines.
//!
//! Owns its form. The rows are redacted already; what looks like anybody's secret is left out here
//! too. Never changes anything.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::domain::ids::{IssueNumber, RunId};
use crate::domain::redact::Redactor;
use crate::gate::rules::secrets::without_secrets;
use crate::store::{Store, StoreError, TurnRow};

/// A transcript, or what there is none of.
#[derive(Debug)]
pub enum Found {
    Transcript(Value),
    NoRun,
    NoIssue,
}

/// Everything said on an issue in a run.
pub async fn find(store: &Store, run: &RunId, issue: IssueNumber) -> Result<Found, StoreError> {
    let Some(row) = store.run(run).await? else { return Ok(Found::NoRun) };
    if row.issue_results.iter().all(|row| row.issue_number != issue) {
        return Ok(Found::NoIssue);
    }
    let turns: Vec<Value> = store.transcript(run, issue).await?.iter().map(turn).collect();
    Ok(Found::Transcript(json!({ "runId": run, "issueNumber": issue, "turns": turns })))
}

fn turn(row: &TurnRow) -> Value {
    let known = Redactor::default();
    let clean = |value: &Value| match value.as_str() {
        Some(text) => Value::String(without_secrets(text, &known)),
        None => value.clone(),
    };
    let mut turn = json!({
        "attemptId": row.attempt,
        "round": row.round,
        "index": row.index,
        "timestamp": row.at,
        "role": row.said["role"],
        "content": clean(&row.said["content"]),
    });
    if let Some(tier) = &row.tier {
        turn["tier"] = json!(tier);
    }
    if let Some(call) = &row.call {
        turn["callId"] = json!(call);
    }
    if let Some(id) = row.said.get("tool_call_id") {
        turn["toolCallId"] = id.clone();
    }
    if let Some(calls) = row.said["tool_calls"].as_array().filter(|calls| !calls.is_empty()) {
        let call = |call: &Value| json!({ "id": call["id"], "name": call["name"], "arguments": clean(&call["arguments"]) });
        turn["toolCalls"] = calls.iter().map(call).collect();
    }
    turn
}

/// A transcript as text.
#[must_use]
pub fn text(transcript: &Value) -> String {
    let turns = transcript["turns"].as_array().map_or(&[][..], Vec::as_slice);
    if turns.is_empty() {
        return "Nothing was said on this issue in this run.\n".to_owned();
    }
    let mut out = String::new();
    let mut round = None;
    for turn in turns {
        let this = (&turn["attemptId"], &turn["round"]);
        if round != Some(this) {
            round = Some(this);
            // Writing to a string does not fail.
            writeln!(out, "\n==== round {}", turn["round"]).ok();
        }
        let tier = turn["tier"].as_str().map(|tier| format!(" {tier}")).unwrap_or_default();
        let role = turn["role"].as_str().unwrap_or("?");
        writeln!(out, "\n---- {role}{}", if role == "assistant" { &*tier } else { "" }).ok();
        if let Some(content) = turn["content"].as_str().filter(|text| !text.is_empty()) {
            writeln!(out, "{}", content.trim_end()).ok();
        }
        for call in turn["toolCalls"].as_array().into_iter().flatten() {
            let of = |key: &str| call[key].as_str().unwrap_or_default();
            writeln!(out, "> {} {}", of("name"), of("arguments")).ok();
        }
    }
    out
}
