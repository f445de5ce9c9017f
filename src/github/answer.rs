//! What is read off an answer before anybody knows what it is about: refusals, messages, links.
//!
//! Pure. Never sends or waits.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::GitHubError;

/// An answer, all of it.
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

pub(super) fn refusal(status: StatusCode, doing: &str, message: String) -> GitHubError {
    let doing = doing.to_owned();
    match status {
        StatusCode::UNAUTHORIZED => GitHubError::Unauthorized { doing, message },
        StatusCode::FORBIDDEN => GitHubError::Forbidden { doing, message },
        StatusCode::NOT_FOUND | StatusCode::GONE => GitHubError::NotFound { doing },
        other if other.is_server_error() => GitHubError::Server { doing, status: other.as_u16() },
        other if other.is_client_error() => {
            GitHubError::Invalid { doing, status: other.as_u16(), message }
        }
        other => GitHubError::Unreadable { doing, reason: format!("its status is {other}") },
    }
}

pub(super) fn read<T: DeserializeOwned>(body: &[u8], doing: &str) -> Result<T, GitHubError> {
    serde_json::from_slice(body).map_err(|error| GitHubError::Unreadable {
        doing: doing.to_owned(),
        reason: error.to_string(),
    })
}

/// GitHub's message with its reasons, shortened: it ends up in a sentence.
pub(super) fn said(body: &[u8]) -> String {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return "no message".to_owned();
    };
    let mut parts: Vec<String> = body.get("message").and_then(text).into_iter().collect();
    for error in body.get("errors").and_then(Value::as_array).into_iter().flatten() {
        let fields = ["field", "code"].map(|key| error.get(key).and_then(text).unwrap_or_default());
        let detail = text(error).or_else(|| error.get("message").and_then(text));
        parts.push(detail.unwrap_or_else(|| fields.join(" ").trim().to_owned()));
    }
    let whole = if parts.is_empty() { "no message".to_owned() } else { parts.join(": ") };
    whole.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}

/// The query of the `next` link. Its scheme, host and path are GitHub's business, not ours.
pub(super) fn next_query(headers: &HeaderMap) -> Option<String> {
    let links = headers.get_all(header::LINK).iter().filter_map(|value| value.to_str().ok());
    for link in links.flat_map(|value| value.split(',')) {
        let Some((target, parameters)) = link.split_once(';') else { continue };
        let is_next = parameters.split(';').any(|parameter| {
            let parameter = parameter.trim().to_ascii_lowercase();
            parameter.strip_prefix("rel=").is_some_and(|rel| rel.trim_matches('"') == "next")
        });
        if is_next {
            let target = target.trim().trim_start_matches('<').trim_end_matches('>');
            return target.split_once('?').map(|(_, query)| query.to_owned());
        }
    }
    None
}

/// An error with its causes: octocrab's own words stop at "service error".
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut whole = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        whole.push(cause.to_string());
        source = cause.source();
    }
    whole.dedup();
    if whole.is_empty() { "the request could not be sent".to_owned() } else { whole.join(": ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_query_of_a_next_link_is_used() {
        let of =
            |text: &str| next_query(&[(header::LINK, text.parse().unwrap())].into_iter().collect());
        let real = r#"<https://api.github.com/repositories/1/issues?page=1>; rel="prev", <https://evil.test/x?page=3&per_page=100>; rel="next""#;
        assert_eq!(of(real).as_deref(), Some("page=3&per_page=100"));
        assert_eq!(of(r#"</x?page=1>; rel="last""#), None);
        assert_eq!(of("nonsense"), None);
    }

    #[test]
    fn what_github_said_is_one_short_line() {
        let body = br#"{"message":"Validation Failed","errors":[{"resource":"PullRequest","field":"head","code":"invalid"},{"message":"A pull\nrequest already exists"},"odd"]}"#;
        assert_eq!(
            said(body),
            "Validation Failed: head invalid: A pull request already exists: odd"
        );
        assert_eq!(said(b"<html>"), "no message");
        assert_eq!(said("é".repeat(999).as_bytes()), "no message");
    }
}
