//! Query strings, read strictly: an unknown or repeated parameter or a bad value is a 400 with a
//! sentence. Pure.

use std::time::Duration;

use axum::http::HeaderMap;
use chrono::{DateTime, Datelike as _, NaiveDate, Utc};

use super::body::{self, shown};
use super::error::ApiError;
use crate::domain::event::{EventType, Severity};
use crate::domain::ids::{IssueNumber, RepoName, RunId};
use crate::domain::run::RunStatus;
use crate::escalation::Period;
use crate::store::{EventQuery, Idempotency, MemoryQuery, RunFilter};

/// The longest a request may wait for a night: below the minute at which proxies give up.
pub const LONGEST_WAIT: Duration = Duration::from_secs(55);
const MOST_RUNS: u32 = 100;
const MOST_EVENTS: u32 = 1_000;

/// The parameters of one request.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// `lists` may be given several times; the rest once.
    fn read(query: &str, known: &[&str], lists: &[&str]) -> Result<Self, ApiError> {
        let mut seen: Vec<(String, String)> = Vec::new();
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if key.contains('\0') || value.contains('\0') {
                return Err(bad(body::NUL.to_owned()));
            }
            if !known.contains(&key.as_ref()) {
                let takes = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(bad(format!(
                    "`{}` is not a parameter here; it takes {takes}",
                    shown(&key)
                )));
            }
            if !lists.contains(&key.as_ref()) && seen.iter().any(|(other, _)| *other == key) {
                return Err(bad(format!("{key} is given twice; give it once")));
            }
            seen.push((key.into_owned(), value.into_owned()));
        }
        Ok(Self(seen))
    }

    /// An empty value is none.
    fn get(&self, key: &str) -> Option<&str> {
        let found = self.0.iter().find(|(name, value)| name == key && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }

    fn parsed<T>(
        &self,
        key: &str,
        takes: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        let Some(text) = self.get(key) else { return Ok(None) };
        match parse(text) {
            Some(value) => Ok(Some(value)),
            None => Err(bad(format!("{key} is `{}`; it takes {takes}", shown(text)))),
        }
    }

    /// Values given several times or with commas.
    fn list<T: std::str::FromStr<Err = String>>(&self, key: &str) -> Result<Vec<T>, ApiError> {
        self.list_with(key, |part| {
            part.parse().map_err(|message: String| bad(format!("{key}: {message}")))
        })
    }

    fn list_with<T>(
        &self,
        key: &str,
        read: impl Fn(&str) -> Result<T, ApiError>,
    ) -> Result<Vec<T>, ApiError> {
        let given = self.0.iter().filter(|(name, _)| name == key);
        given
            .flat_map(|(_, value)| value.split(','))
            .filter(|part| !part.is_empty())
            .map(read)
            .collect()
    }

    fn limit(&self, default: u32, most: u32) -> Result<u32, ApiError> {
        let takes = format!("a number from 1 to {most}");
        let limit = self.parsed("limit", &takes, |text| {
            text.parse().ok().filter(|limit| (1..=most).contains(limit))
        })?;
        Ok(limit.unwrap_or(default))
    }

    fn repo(&self) -> Result<Option<RepoName>, ApiError> {
        match (self.get("owner"), self.get("repo")) {
            (None, None) => Ok(None),
            (Some(owner), Some(repo)) => body::repository(owner, repo).map(Some),
            (Some(_), None) => Err(bad("owner is given without repo; give both".to_owned())),
            (None, Some(_)) => Err(bad("repo is given without owner; give both".to_owned())),
        }
    }
}

fn bad(message: String) -> ApiError {
    ApiError::invalid("invalid_parameter", message)
}

/// No parameters at all.
pub fn none(query: &str) -> Result<(), ApiError> {
    Parameters::read(query, &[], &[]).map(drop)
}

/// `?owner&repo` of `GET /api/foreman/overnight`.
pub fn repository(query: &str) -> Result<Option<RepoName>, ApiError> {
    Parameters::read(query, &["owner", "repo"], &[])?.repo()
}

/// `?owner&repo&status&limit&cursor` of `GET …/runs`.
pub fn runs(query: &str) -> Result<RunFilter, ApiError> {
    let parameters = Parameters::read(query, &["owner", "repo", "status", "limit", "cursor"], &[])?;
    for (key, at) in [("owner", true), ("repo", false)] {
        let name_ok = |text: &str| {
            let name = if at { RepoName::new(text, "x") } else { RepoName::new("x", text) };
            name.is_ok().then_some(())
        };
        parameters.parsed(key, "a name that GitHub would accept", name_ok)?;
    }
    let status: Option<RunStatus> = match parameters.get("status") {
        Some(text) => Some(text.parse().map_err(bad)?),
        None => None,
    };
    Ok(RunFilter {
        owner: parameters.get("owner").map(str::to_owned),
        repo: parameters.get("repo").map(str::to_owned),
        status,
        limit: parameters.limit(20, MOST_RUNS)?,
        cursor: parameters.get("cursor").map(str::to_owned),
    })
}

/// `?owner&repo&issue`, all needed.
pub fn issue_of_repository(query: &str) -> Result<(RepoName, IssueNumber), ApiError> {
    let parameters = Parameters::read(query, &["owner", "repo", "issue"], &[])?;
    let bad = |takes: &str| ApiError::invalid("invalid_parameter", takes.to_owned());
    let (owner, name) = (parameters.get("owner"), parameters.get("repo"));
    let repo = owner.zip(name).and_then(|(owner, name)| RepoName::new(owner, name).ok());
    let repo = repo.ok_or_else(|| bad("owner and repo take names that GitHub would accept"))?;
    let number = parameters.get("issue").and_then(|text| text.parse::<u32>().ok());
    let number = number.filter(|number| *number > 0);
    let number = number.ok_or_else(|| bad("issue takes the number of an issue"))?;
    Ok((repo, IssueNumber(u64::from(number))))
}

const TIME: &str = "a time like 2026-11-22T02:00:00Z";
/// What every reading of the event log takes.
const FILTERS: [&str; 7] = ["type", "severity", "since", "until", "runId", "issue", "text"];
/// The longest text that is searched for.
const LONGEST_TEXT: usize = 200;

/// `?type&severity&since&until&runId&issue&text&limit&cursor` of `GET …/governance/events`, newest
/// first; type, severity, runId and issue take several values.
pub fn events(query: &str) -> Result<EventQuery, ApiError> {
    let parameters = filters(query, &["limit", "cursor"])?;
    Ok(EventQuery {
        limit: parameters.limit(100, MOST_EVENTS)?,
        before_seq: parameters.parsed("cursor", "the nextCursor of an earlier answer", |text| {
            text.parse().ok().filter(|seq| *seq > 0)
        })?,
        ..filtered(&parameters)?
    })
}

/// The same filters for the stream, which has no pages.
pub fn followed(query: &str) -> Result<EventQuery, ApiError> {
    filtered(&filters(query, &[])?)
}

/// In which form the log is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    Jsonl,
    CloudEvents,
}

/// `?format=jsonl|cloudevents` and the filters of `GET …/governance/export`.
pub fn export(query: &str) -> Result<(ExportFormat, EventQuery), ApiError> {
    let parameters = filters(query, &["format"])?;
    let format = parameters.parsed("format", "jsonl or cloudevents", |text| match text {
        "jsonl" => Some(ExportFormat::Jsonl),
        "cloudevents" => Some(ExportFormat::CloudEvents),
        _ => None,
    })?;
    Ok((format.unwrap_or(ExportFormat::Jsonl), filtered(&parameters)?))
}

fn filters(query: &str, more: &[&str]) -> Result<Parameters, ApiError> {
    let known: Vec<&str> = FILTERS.iter().chain(more).copied().collect();
    Parameters::read(query, &known, &["type", "severity", "runId", "issue"])
}

fn filtered(parameters: &Parameters) -> Result<EventQuery, ApiError> {
    let types: Vec<EventType> = parameters.list("type")?;
    let severities: Vec<Severity> = parameters.list("severity")?;
    // A run is known by ASCII alone; what can be none is an id that nothing has.
    let runs: Vec<String> = parameters.list_with("runId", |text| Ok(text.to_owned()))?;
    let issues = parameters.list_with("issue", |text| {
        let number = text.trim_start_matches('#').parse::<u32>().ok().filter(|number| *number > 0);
        number
            .map(|number| IssueNumber(u64::from(number)))
            .ok_or_else(|| bad(format!("issue is `{}`; it takes numbers of issues", shown(text))))
    })?;
    Ok(EventQuery {
        types,
        severities,
        since: parameters.parsed("since", TIME, time)?,
        until: parameters.parsed("until", TIME, time)?,
        runs: runs.into_iter().map(RunId::new).collect(),
        issues,
        text: parameters.parsed("text", "up to 200 characters", |text| {
            (text.chars().count() <= LONGEST_TEXT && !text.contains('\0')).then(|| text.to_owned())
        })?,
        ..EventQuery::default()
    })
}

/// `?scope&owner&repo&prefix&history` of `GET …/governance/memory`.
pub fn memory(query: &str) -> Result<MemoryQuery, ApiError> {
    let known = ["scope", "owner", "repo", "prefix", "history"];
    let parameters = Parameters::read(query, &known, &[])?;
    let history = parameters.parsed("history", "true or false", |text| text.parse().ok())?;
    Ok(MemoryQuery {
        scope: parameters
            .parsed("scope", "global, foreman or project", |text| text.parse().ok())?,
        project: parameters.repo()?.map(|repo| repo.key()),
        prefix: parameters.parsed("prefix", "up to 200 characters", |text| {
            (text.chars().count() <= LONGEST_TEXT && !text.contains('\0')).then(|| text.to_owned())
        })?,
        history: history.unwrap_or(false),
    })
}

/// `?runId&limit` of `GET …/escalation/events`.
pub fn escalation_events(query: &str) -> Result<(Option<RunId>, usize), ApiError> {
    let parameters = Parameters::read(query, &["runId", "limit"], &[])?;
    let limit = parameters.limit(100, MOST_EVENTS)?;
    Ok((parameters.get("runId").map(RunId::new), limit as usize))
}

/// `?status` of `GET …/escalation/approvals`.
pub fn approvals(query: &str) -> Result<Option<String>, ApiError> {
    let parameters = Parameters::read(query, &["status"], &[])?;
    parameters.parsed("status", "pending_approval, listed, approved or rejected", |text| {
        let known = ["pending_approval", "listed", "approved", "rejected"];
        known.contains(&text).then(|| text.to_owned())
    })
}

/// `?period&date&format` of `GET …/escalation/reports`; `None` without any of them.
pub fn escalation_report(
    query: &str,
) -> Result<Option<(Period, Option<NaiveDate>, ReportFormat)>, ApiError> {
    let parameters = Parameters::read(query, &["period", "date", "format"], &[])?;
    if parameters.0.is_empty() {
        return Ok(None);
    }
    let period = parameters
        .parsed("period", "daily, weekly or monthly", |text| text.parse().ok())?
        .unwrap_or(Period::Daily);
    let date = parameters.parsed("date", "a day like 2026-11-22", |text| {
        NaiveDate::parse_from_str(text, "%Y-%m-%d")
            .ok()
            .filter(|day| (2000..=9000).contains(&day.year()))
    })?;
    let format = parameters.parsed("format", "json or text", |text| match text {
        "json" => Some(ReportFormat::Json),
        "text" => Some(ReportFormat::Text),
        _ => None,
    })?;
    Ok(Some((period, date, format.unwrap_or(ReportFormat::Json))))
}

/// RFC 3339; a `+` that the query's form turned into a blank is put back.
fn time(text: &str) -> Option<DateTime<Utc>> {
    let text = match text.rsplit_once(' ') {
        Some((day, offset)) if day.contains('T') => format!("{day}+{offset}"),
        Some(_) | None => text.to_owned(),
    };
    DateTime::parse_from_rfc3339(&text).ok().map(|time| time.with_timezone(&Utc))
}

/// How a report is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportFormat {
    Json,
    Markdown,
    Text,
}

/// `?format=`, else what `Accept` asks for, else JSON.
pub fn report_format(query: &str, headers: &HeaderMap) -> Result<ReportFormat, ApiError> {
    let parameters = Parameters::read(query, &["format"], &[])?;
    let asked = parameters.parsed("format", "json, markdown or text", |text| match text {
        "json" => Some(ReportFormat::Json),
        "markdown" | "md" => Some(ReportFormat::Markdown),
        "text" => Some(ReportFormat::Text),
        _ => None,
    })?;
    if let Some(format) = asked {
        return Ok(format);
    }
    let accept = headers.get("accept").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let wanted = accept.split(',').find_map(|part| match part.split(';').next()?.trim() {
        "application/json" | "*/*" => Some(ReportFormat::Json),
        "text/markdown" => Some(ReportFormat::Markdown),
        "text/plain" => Some(ReportFormat::Text),
        _ => None,
    });
    Ok(wanted.unwrap_or(ReportFormat::Json))
}

/// How long a POST waits for its night: `?wait=true`, `?wait=10`, or `Prefer: wait=10`.
pub fn wait(query: &str, headers: &HeaderMap) -> Result<Option<Duration>, ApiError> {
    let parameters = Parameters::read(query, &["wait"], &[])?;
    let asked =
        parameters.parsed("wait", "true, false or a number of seconds", |text| match text {
            "true" => Some(Some(LONGEST_WAIT)),
            "false" => Some(None),
            seconds => seconds.parse().ok().map(|seconds| Some(Duration::from_secs(seconds))),
        })?;
    let preferred = || {
        // A preference that does not parse is no preference (RFC 7240).
        let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split([',', ';'])).find_map(|part| {
            let (name, value) = part.split_once('=')?;
            let seconds = value.trim().trim_matches('"').parse().ok()?;
            name.trim().eq_ignore_ascii_case("wait").then(|| Duration::from_secs(seconds))
        })
    };
    let wait = asked.unwrap_or_else(preferred);
    Ok(wait.map(|wait| wait.min(LONGEST_WAIT)))
}

/// `Idempotency-Key`, with the body it was sent with.
pub fn idempotency(headers: &HeaderMap, sha256: &str) -> Result<Option<Idempotency>, ApiError> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| {
        (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
    });
    match (key, values.next()) {
        (Some(key), None) => {
            Ok(Some(Idempotency { key: key.to_owned(), body_sha256: sha256.to_owned() }))
        }
        (Some(_) | None, Some(_)) | (None, None) => Err(ApiError::invalid(
            "invalid_idempotency_key",
            "Idempotency-Key takes one value of 1 to 255 visible ASCII characters",
        )),
    }
}
