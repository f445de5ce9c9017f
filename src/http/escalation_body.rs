//! The bodies of the escalation routes, read strictly: every mistake becomes a sentence. Pure.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

use super::body::{describe, object, repository, shown, wrong};
use super::error::ApiError;
use crate::domain::ids::IssueNumber;
use crate::domain::plan::Complexity;
use crate::escalation::SelectionContext;
use crate::store::{Decision, LONGEST_OVERRIDE, Override};

/// How long an approval holds where nothing is said, and at most.
const USUAL_APPROVAL: TimeDelta = TimeDelta::hours(24);
const LONGEST_APPROVAL: TimeDelta = TimeDelta::days(7);
/// Characters of a person's reason.
const LONGEST_REASON: usize = 1_000;

/// A `ModelSelectionContext`.
pub fn context(bytes: &[u8]) -> Result<SelectionContext, ApiError> {
    const KNOWN: [&str; 8] = [
        "taskType",
        "complexity",
        "filesAffected",
        "isArchitectureTask",
        "isGovernanceTask",
        "isMilestoneNearing",
        "existingEscalationsToday",
        "quotaRemaining",
    ];
    let body = object(bytes, "taskType, complexity")?;
    only(&body, &KNOWN)?;
    let (Some(kind), Some(complexity)) = (body.get("taskType"), body.get("complexity")) else {
        return Err(ApiError::MissingParameters("taskType, complexity"));
    };
    let task_type = match kind {
        Value::String(text) if !text.trim().is_empty() => text.clone(),
        other => return Err(wrong("taskType", other, "a kind of work as text")),
    };
    let complexity = match complexity.as_str() {
        Some("low") => Complexity::Low,
        Some("medium") => Complexity::Medium,
        Some("high") => Complexity::High,
        Some(_) | None => return Err(wrong("complexity", complexity, "low, medium or high")),
    };
    Ok(SelectionContext {
        task_type,
        complexity,
        files_affected: count(&body, "filesAffected")?.unwrap_or_default(),
        is_architecture_task: flag(&body, "isArchitectureTask")?,
        is_governance_task: flag(&body, "isGovernanceTask")?,
        is_milestone_nearing: flag(&body, "isMilestoneNearing")?,
        existing_escalations_today: optional_count(&body, "existingEscalationsToday")?,
        quota_remaining: optional_count(&body, "quotaRemaining")?,
    })
}

/// What a person says about escalations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    Decision(Decision),
    Override(Override),
}

/// `{id, decision, reason?, until?}`, or an override `{owner, repo, issueNumber?, reason, until}`.
pub fn word(bytes: &[u8], by: &str, now: DateTime<Utc>) -> Result<Word, ApiError> {
    let body = object(bytes, "id, decision")?;
    if body.contains_key("owner") || body.contains_key("repo") {
        return overruling(&body, by, now).map(Word::Override);
    }
    only(&body, &["id", "decision", "reason", "until"])?;
    let (Some(id), Some(decision)) = (body.get("id"), body.get("decision")) else {
        return Err(ApiError::MissingParameters("id, decision"));
    };
    let id = id.as_str().ok_or_else(|| wrong("id", id, "the id of a request"))?.to_owned();
    let approve = match decision.as_str() {
        Some("approve") => true,
        Some("reject") => false,
        Some(_) | None => return Err(wrong("decision", decision, "approve or reject")),
    };
    Ok(Word::Decision(Decision {
        id,
        approve,
        by: by.to_owned(),
        // A body says nothing of who sent it; the route does.
        admin: false,
        reason: reason(&body)?.unwrap_or_default(),
        until: until(&body, now, LONGEST_APPROVAL, "7 days")?.unwrap_or(now + USUAL_APPROVAL),
    }))
}

fn overruling(
    body: &Map<String, Value>,
    by: &str,
    now: DateTime<Utc>,
) -> Result<Override, ApiError> {
    only(body, &["owner", "repo", "issueNumber", "reason", "until"])?;
    let text = |key: &str| body.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let (Some(owner), Some(repo)) = (text("owner"), text("repo")) else {
        return Err(ApiError::MissingParameters("owner, repo"));
    };
    let (Some(reason), Some(until)) =
        (reason(body)?, until(body, now, LONGEST_OVERRIDE, "24 hours")?)
    else {
        return Err(ApiError::MissingParameters("reason, until"));
    };
    let issue = match body.get("issueNumber") {
        None | Some(Value::Null) => None,
        Some(value) => {
            match value.as_u64().filter(|number| (1..=u64::from(u32::MAX)).contains(number)) {
                Some(number) => Some(IssueNumber(number)),
                None => return Err(wrong("issueNumber", value, "the number of an issue")),
            }
        }
    };
    Ok(Override { repo: repository(owner, repo)?, issue, by: by.to_owned(), reason, until })
}

fn only(body: &Map<String, Value>, known: &[&str]) -> Result<(), ApiError> {
    let Some(key) = body.keys().find(|key| !known.contains(&key.as_str())) else { return Ok(()) };
    let message =
        format!("`{}` is not a key of this request; it takes {}", shown(key), known.join(", "));
    Err(ApiError::invalid("unknown_key", message))
}

fn flag(body: &Map<String, Value>, key: &str) -> Result<bool, ApiError> {
    match body.get(key) {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(other) => Err(wrong(key, other, "true or false")),
    }
}

fn count(body: &Map<String, Value>, key: &str) -> Result<Option<u32>, ApiError> {
    let Some(value) = body.get(key) else { return Ok(None) };
    match value.as_u64().and_then(|number| u32::try_from(number).ok()) {
        Some(number) => Ok(Some(number)),
        None => Err(wrong(key, value, "a whole number from 0 to 4294967295")),
    }
}

/// `null` is as good as absent where absent has a meaning of its own.
fn optional_count(body: &Map<String, Value>, key: &str) -> Result<Option<u32>, ApiError> {
    if body.get(key) == Some(&Value::Null) { Ok(None) } else { count(body, key) }
}

fn reason(body: &Map<String, Value>) -> Result<Option<String>, ApiError> {
    match body.get("reason") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) if text.chars().count() <= LONGEST_REASON => {
            Ok(Some(text.trim().to_owned()))
        }
        Some(other) => Err(wrong("reason", other, "text of at most 1000 characters")),
    }
}

fn until(
    body: &Map<String, Value>,
    now: DateTime<Utc>,
    longest: TimeDelta,
    shown_longest: &str,
) -> Result<Option<DateTime<Utc>>, ApiError> {
    let value = match body.get("until") {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value,
    };
    let time = value.as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    match time.map(|time| time.with_timezone(&Utc)) {
        Some(time) if time > now && time <= now + longest => Ok(Some(time)),
        Some(_) | None => Err(ApiError::invalid(
            "invalid_value",
            format!(
                "until is {}; it takes a time within {shown_longest} from now, like 2026-11-22T18:00:00Z",
                describe(value)
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code<T: std::fmt::Debug>(result: Result<T, ApiError>) -> &'static str {
        result.map_or_else(|error| error.code(), |_| "in")
    }

    #[test]
    fn a_context_is_read_with_its_defaults() {
        let got = context(br#"{"taskType":"build","complexity":"low","quotaRemaining":null}"#)
            .expect("a context");
        assert_eq!((got.files_affected, got.is_architecture_task), (0, false));
        assert_eq!((got.quota_remaining, got.existing_escalations_today), (None, None));
    }

    #[test]
    fn mistakes_in_a_context_are_named() {
        let base = r#""taskType":"build","complexity":"low""#;
        for (more, expected) in [
            (r#""filesAffected":-1"#, "invalid_value"),
            (r#""filesAffected":1.5"#, "invalid_value"),
            (r#""filesAffected":"3""#, "invalid_value"),
            (r#""filesAffected":null"#, "invalid_value"),
            (r#""filesAffected":99999999999"#, "invalid_value"),
            (r#""quotaRemaining":-1"#, "invalid_value"),
            (r#""quotaRemaining":0.5"#, "invalid_value"),
            (r#""existingEscalationsToday":-3"#, "invalid_value"),
            (r#""isGovernanceTask":"true""#, "invalid_value"),
            (r#""isGovernanceTask":1"#, "invalid_value"),
            (r#""surprise":1"#, "unknown_key"),
            (r#""filesaffected":1"#, "unknown_key"),
            (r#""filesAffected":10"#, "in"),
        ] {
            let body = format!("{{{base},{more}}}");
            assert_eq!(code(context(body.as_bytes())), expected, "{body}");
        }
        for (body, expected) in [
            ("", "missing_parameters"),
            ("{}", "missing_parameters"),
            (r#"{"taskType":"build"}"#, "missing_parameters"),
            (r#"{"complexity":"low"}"#, "missing_parameters"),
            (r#"{"taskType":"","complexity":"low"}"#, "invalid_value"),
            (r#"{"taskType":3,"complexity":"low"}"#, "invalid_value"),
            (r#"{"taskType":"build","complexity":"Low"}"#, "invalid_value"),
            (r#"{"taskType":"build","complexity":2}"#, "invalid_value"),
            ("[]", "invalid_body"),
            ("{", "invalid_json"),
        ] {
            assert_eq!(code(context(body.as_bytes())), expected, "{body}");
        }
    }

    #[test]
    fn a_word_is_a_decision_or_an_override() {
        let now: DateTime<Utc> = "2026-11-22T12:00:00Z".parse().expect("a time");
        for (body, expected) in [
            (r#"{"id":"a","decision":"approve"}"#, "in"),
            (r#"{"id":"a","decision":"reject","reason":"no"}"#, "in"),
            (r#"{"id":"a","decision":"maybe"}"#, "invalid_value"),
            (r#"{"id":"a"}"#, "missing_parameters"),
            (r#"{"id":"a","decision":"approve","until":"2026-11-30T12:00:00Z"}"#, "invalid_value"),
            (r#"{"id":"a","decision":"approve","until":"2026-11-22T11:00:00Z"}"#, "invalid_value"),
            (r#"{"id":"a","decision":"approve","issueNumber":1}"#, "unknown_key"),
            (r#"{"owner":"o","repo":"r","reason":"now","until":"2026-11-23T12:00:00Z"}"#, "in"),
            (
                r#"{"owner":"o","repo":"r","reason":"now","until":"2026-11-23T12:00:01Z"}"#,
                "invalid_value",
            ),
            (
                r#"{"owner":"o","repo":"r","reason":" ","until":"2026-11-23T12:00:00Z"}"#,
                "missing_parameters",
            ),
            (r#"{"owner":"o","repo":"r","reason":"now"}"#, "missing_parameters"),
            (
                r#"{"owner":"o","reason":"now","until":"2026-11-23T12:00:00Z"}"#,
                "missing_parameters",
            ),
            (
                r#"{"owner":"o","repo":"..","reason":"now","until":"2026-11-23T12:00:00Z"}"#,
                "invalid_name",
            ),
        ] {
            assert_eq!(code(word(body.as_bytes(), "ann", now)), expected, "{body}");
        }
    }
}
