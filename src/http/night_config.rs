//! Merging a request's partial `config` over the defaults, key by key. Pure.

use serde_json::{Map, Value};

use super::body::{describe, shown, wrong};
use super::error::ApiError;
use crate::domain::ids::IssueNumber;
use crate::domain::money::Usd;
use crate::domain::plan::{DependencyMode, SequenceType};
use crate::domain::run::NightConfig;

/// More issues than any night works on; a larger figure is a mistake.
const MOST_ISSUES: u64 = 10_000;
const MOST_LANES: u64 = 16;
/// GitHub allows 50 characters in a label's name; a hundred labels select enough.
const MOST_LABELS: usize = 100;
const LONGEST_LABEL: usize = 50;

const KEYS: [&str; 13] = [
    "enabled",
    "scheduleExpression",
    "maxIssuesPerRun",
    "sequenceOrder",
    "enableModelEscalation",
    "enableAutoHeal",
    "enableDesktopSync",
    "createPRsAutomatically",
    "lanes",
    "dependencyMode",
    "budgetUsd",
    "issues",
    "labels",
];

/// The defaults with what was given over them.
pub fn merge(defaults: &NightConfig, given: &Map<String, Value>) -> Result<NightConfig, ApiError> {
    let mut config = defaults.clone();
    for (key, value) in given {
        match key.as_str() {
            "enabled" => config.enabled = flag(key, value)?,
            "scheduleExpression" => config.schedule_expression = schedule(value)?,
            "maxIssuesPerRun" => config.max_issues_per_run = count(key, value, MOST_ISSUES)?,
            "sequenceOrder" => config.sequence_order = sequence_order(value)?,
            "enableModelEscalation" => config.enable_model_escalation = flag(key, value)?,
            "enableAutoHeal" => config.enable_auto_heal = flag(key, value)?,
            "enableDesktopSync" => config.enable_desktop_sync = flag(key, value)?,
            "createPRsAutomatically" => config.create_prs_automatically = flag(key, value)?,
            "lanes" => config.lanes = count(key, value, MOST_LANES)?,
            "dependencyMode" => config.dependency_mode = dependency_mode(value)?,
            "budgetUsd" => config.budget_usd = budget(value)?,
            "issues" => config.issues = issues(value)?,
            "labels" => config.labels = labels(value)?,
            unknown => {
                let message = format!(
                    "`{}` is not a key of config; it takes {}",
                    shown(unknown),
                    KEYS.join(", ")
                );
                return Err(ApiError::invalid("unknown_key", message));
            }
        }
    }
    Ok(config)
}

fn flag(key: &str, value: &Value) -> Result<bool, ApiError> {
    value.as_bool().ok_or_else(|| wrong(&format!("config.{key}"), value, "true or false"))
}

fn count(key: &str, value: &Value, most: u64) -> Result<u32, ApiError> {
    value
        .as_u64()
        .filter(|number| (1..=most).contains(number))
        .and_then(|number| u32::try_from(number).ok())
        .ok_or_else(|| {
            wrong(&format!("config.{key}"), value, &format!("a whole number from 1 to {most}"))
        })
}

fn budget(value: &Value) -> Result<Option<Usd>, ApiError> {
    if value.is_null() {
        return Ok(None);
    }
    value.as_f64().and_then(Usd::from_usd).map(Some).ok_or_else(|| {
        wrong("config.budgetUsd", value, "a number of USD from 0 to 1000000, or null for none")
    })
}

fn dependency_mode(value: &Value) -> Result<DependencyMode, ApiError> {
    match value.as_str() {
        Some("stack") => Ok(DependencyMode::Stack),
        Some("wait") => Ok(DependencyMode::Wait),
        Some(_) | None => Err(wrong("config.dependencyMode", value, "`stack` or `wait`")),
    }
}

fn list<'a>(key: &str, value: &'a Value, takes: &str) -> Result<&'a [Value], ApiError> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| wrong(key, value, takes))
}

fn sequence_order(value: &Value) -> Result<Vec<SequenceType>, ApiError> {
    const KEY: &str = "config.sequenceOrder";
    let takes = format!(
        "a list of {}, each at most once",
        SequenceType::ALL.map(SequenceType::as_str).join(", ")
    );
    let mut order = Vec::new();
    for item in list(KEY, value, &takes)? {
        let kind: Option<SequenceType> = item.as_str().and_then(|text| text.parse().ok());
        match kind {
            Some(kind) if !order.contains(&kind) => order.push(kind),
            Some(_) | None => {
                let message = format!("{KEY} holds {}; it takes {takes}", repeated(item, &order));
                return Err(ApiError::invalid("invalid_value", message));
            }
        }
    }
    Ok(order)
}

fn repeated(item: &Value, order: &[SequenceType]) -> String {
    let twice = item.as_str().is_some_and(|text| order.iter().any(|kind| kind.as_str() == text));
    if twice { format!("{} twice", describe(item)) } else { describe(item) }
}

fn issues(value: &Value) -> Result<Vec<IssueNumber>, ApiError> {
    const KEY: &str = "config.issues";
    const TAKES: &str = "a list of at most 10000 issue numbers";
    let items = list(KEY, value, TAKES)?;
    if items.len() as u64 > MOST_ISSUES {
        return Err(wrong(KEY, value, TAKES));
    }
    let mut numbers = Vec::with_capacity(items.len());
    for item in items {
        // The store keeps numbers as 64-bit integers with a sign.
        match item.as_u64().filter(|number| (1..=i64::MAX as u64).contains(number)) {
            Some(number) => numbers.push(IssueNumber(number)),
            None => return Err(wrong(&format!("{KEY}[]"), item, "an issue's number, from 1 on")),
        }
    }
    Ok(numbers)
}

fn labels(value: &Value) -> Result<Vec<String>, ApiError> {
    const KEY: &str = "config.labels";
    const TAKES: &str = "a list of at most 100 labels of 1 to 50 characters";
    let items = list(KEY, value, TAKES)?;
    if items.len() > MOST_LABELS {
        return Err(wrong(KEY, value, TAKES));
    }
    items
        .iter()
        .map(|item| match item.as_str() {
            Some(label)
                if !label.trim().is_empty()
                    && label.chars().count() <= LONGEST_LABEL
                    && !label.contains(char::is_control) =>
            {
                Ok(label.to_owned())
            }
            Some(_) | None => {
                Err(wrong(&format!("{KEY}[]"), item, "a label of 1 to 50 characters"))
            }
        })
        .collect()
}

/// A cron expression of five fields: minute, hour, day of month, month, day of week.
fn schedule(value: &Value) -> Result<String, ApiError> {
    let text = value.as_str().filter(|text| text.len() <= 100 && is_cron(text));
    text.map(str::to_owned).ok_or_else(|| {
        wrong("config.scheduleExpression", value, "five cron fields, like `0 2 * * *`")
    })
}

fn is_cron(text: &str) -> bool {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    let [minute, hour, day, month, weekday] = fields.as_slice() else { return false };
    is_field(minute, 0, 59, &[])
        && is_field(hour, 0, 23, &[])
        && is_field(day, 1, 31, &[])
        && is_field(month, 1, 12, &MONTHS)
        && is_field(weekday, 0, 7, &DAYS)
}

/// `*`, `5`, `1-5`, `*/10`, `1-30/2` or a list of these.
fn is_field(field: &str, least: u32, most: u32, names: &[&str]) -> bool {
    let value = |text: &str| -> Option<u32> {
        let name = names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let number = match name {
            Some(index) => least + u32::try_from(index).ok()?,
            None if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok()?,
            None => return None,
        };
        (least..=most).contains(&number).then_some(number)
    };
    field.split(',').all(|part| {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let step_ok =
            step.is_none_or(|step| step.parse::<u32>().is_ok_and(|step| step >= 1 && step <= most));
        let range_ok = match range.split_once('-') {
            Some((from, to)) => matches!((value(from), value(to)), (Some(a), Some(b)) if a <= b),
            None => range == "*" || value(range).is_some(),
        };
        step_ok && range_ok
    })
}
