//! Reading GitHub's rate limits off a response.
//!
//! Pure: status, headers, message and `now` in, how long to wait out. Never waits itself.

use std::time::Duration;

use chrono::{DateTime, TimeZone, Utc};
use http::{HeaderMap, StatusCode};

/// What GitHub asks for when it names no time: "wait for at least one minute".
/// <https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api>
const UNNAMED_WAIT: Duration = Duration::from_secs(60);

/// How long a refused request has to wait, if it was refused for a rate limit at all.
#[must_use]
pub fn wait_asked(
    status: StatusCode,
    headers: &HeaderMap,
    message: &str,
    now: DateTime<Utc>,
) -> Option<Duration> {
    let retry_after = header(headers, "retry-after").and_then(|text| retry_after(text, now));
    let exhausted = header(headers, "x-ratelimit-remaining") == Some("0");
    let lower = message.to_ascii_lowercase();
    let says_so = lower.contains("rate limit") || lower.contains("abuse detection");
    let limited = match status {
        StatusCode::TOO_MANY_REQUESTS => true,
        StatusCode::FORBIDDEN => retry_after.is_some() || exhausted || says_so,
        _ => false,
    };
    if !limited {
        return None;
    }
    let until_reset = || {
        let seconds: i64 = header(headers, "x-ratelimit-reset")?.parse().ok()?;
        Some(from_now(Utc.timestamp_opt(seconds, 0).single()?, now))
    };
    let reset = if exhausted { until_reset() } else { None };
    Some(retry_after.or(reset).unwrap_or(UNNAMED_WAIT))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Seconds, or a date as HTTP writes it.
fn retry_after(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    DateTime::parse_from_rfc2822(text).ok().map(|at| from_now(at.with_timezone(&Utc), now))
}

fn from_now(at: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    // The past is no wait at all.
    (at - now).to_std().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn ask(status: u16, pairs: &[(&'static str, &str)], message: &str) -> Option<u64> {
        let now = Utc.timestamp_opt(1_000, 0).unwrap();
        wait_asked(StatusCode::from_u16(status).unwrap(), &headers(pairs), message, now)
            .map(|wait| wait.as_secs())
    }

    #[test]
    fn each_way_github_says_wait() {
        assert_eq!(ask(429, &[("retry-after", "7")], ""), Some(7));
        assert_eq!(ask(403, &[("retry-after", "0")], ""), Some(0));
        assert_eq!(ask(429, &[("retry-after", "Thu, 01 Jan 1970 00:17:00 GMT")], ""), Some(20));
        let spent = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1030")];
        assert_eq!(ask(403, &spent, "API rate limit exceeded"), Some(30));
        let past = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "10")];
        assert_eq!(ask(403, &past, ""), Some(0));
        assert_eq!(ask(403, &[], "You have exceeded a secondary rate limit."), Some(60));
        assert_eq!(ask(429, &[], ""), Some(60));
    }

    #[test]
    fn a_missing_permission_is_no_rate_limit() {
        assert_eq!(ask(403, &[("x-ratelimit-remaining", "4999")], "Must have push access"), None);
        assert_eq!(ask(500, &[("retry-after", "7")], ""), None);
        assert_eq!(ask(200, &[("x-ratelimit-remaining", "0")], ""), None);
    }
}
