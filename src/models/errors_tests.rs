//! Every error class from the bodies and statuses that providers really send.

use super::*;

fn of(status: u16, body: &str) -> CallError {
    from_response(
        StatusCode::from_u16(status).expect("a status"),
        &HeaderMap::new(),
        body.as_bytes(),
        DateTime::UNIX_EPOCH,
        &Redactor::default(),
    )
}

#[test]
fn the_table() {
    use ErrorClass as E;
    let cases: &[(u16, &str, E)] = &[
        (429, r#"{"error":{"code":"rate_limit_exceeded","type":"requests"}}"#, E::RateLimited),
        (429, r#"{"error":{"code":"slow_down"}}"#, E::RateLimited),
        (503, r#"{"error":{"code":"slow_down"}}"#, E::RateLimited),
        (429, "", E::RateLimited),
        (429, r#"{"error":{"code":"insufficient_quota"}}"#, E::InsufficientQuota),
        (429, r#"{"error":{"code":null,"type":"insufficient_quota"}}"#, E::InsufficientQuota),
        (400, r#"{"error":{"code":"billing_hard_limit_reached"}}"#, E::InsufficientQuota),
        (402, "{}", E::InsufficientQuota),
        (
            400,
            r#"{"error":{"code":"context_length_exceeded","type":"invalid_request_error"}}"#,
            E::ContextLength,
        ),
        (400, r#"{"error":{"code":400,"type":"exceed_context_size_error"}}"#, E::ContextLength),
        (
            400,
            r#"{"object":"error","message":"This model's maximum context length is 8192 tokens"}"#,
            E::ContextLength,
        ),
        (500, "oops", E::Server),
        (502, "<html>bad gateway</html>", E::Server),
        (503, r#"{"error":{"type":"overloaded_error"}}"#, E::Server),
        (504, "", E::Server),
        (529, r#"{"error":"overloaded"}"#, E::Server),
        (408, "", E::Timeout),
        (401, r#"{"error":{"code":"invalid_api_key","type":"invalid_request_error"}}"#, E::Auth),
        (403, r#"{"detail":"no"}"#, E::Auth),
        (404, r#"{"error":{"code":"model_not_found"}}"#, E::ModelNotFound),
        (400, r#"{"error":{"code":"model_not_found"}}"#, E::ModelNotFound),
        (404, r#"{"error":{"message":"model \"x\" not found, try pulling it"}}"#, E::ModelNotFound),
        (400, r#"{"error":{"code":"content_filter"}}"#, E::Refused),
        (400, r#"{"error":{"type":"invalid_request_error","code":null}}"#, E::BadRequest),
        (422, r#"[{"error":{"message":"no"}}]"#, E::BadRequest),
        (302, "", E::BadRequest),
    ];
    for (status, body, class) in cases {
        assert_eq!(of(*status, body).class, *class, "{status} {body}");
    }
}

#[test]
fn an_error_answer_costs_nothing_but_a_timeout_is_unknown() {
    assert_eq!(of(500, "").charge, Charge::None);
    assert_eq!(of(429, "").charge, Charge::None);
    assert_eq!(of(408, "").charge, Charge::Unknown);
}

#[test]
fn the_message_is_short_and_redacted() {
    let redactor = Redactor::new(["sk-very-secret"]);
    let body = format!(r#"{{"error":{{"message":"key sk-very-secret {}"}}}}"#, "x".repeat(2_000));
    let error = from_response(
        StatusCode::UNAUTHORIZED,
        &HeaderMap::new(),
        body.as_bytes(),
        DateTime::UNIX_EPOCH,
        &redactor,
    );
    assert!(!error.message.contains("sk-very-secret"));
    assert!(error.message.starts_with("HTTP 401: key [redacted]"), "{}", error.message);
    assert!(error.message.chars().count() <= MESSAGE_CAP + 1);
}

#[test]
fn retry_after_in_all_its_forms() {
    let now = DateTime::parse_from_rfc3339("2026-11-22T01:00:00Z").expect("a time").to_utc();
    let read = |name: &'static str, value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().expect("a header"));
        parse_retry_after(&headers, now)
    };
    assert_eq!(read("retry-after", "7"), Some(Duration::from_secs(7)));
    assert_eq!(read("retry-after", "0.5"), Some(Duration::from_millis(500)));
    assert_eq!(read("retry-after-ms", "250"), Some(Duration::from_millis(250)));
    let date = "Sun, 22 Nov 2026 01:00:30 GMT";
    assert_eq!(read("retry-after", date), Some(Duration::from_secs(30)));
    let past = "Sun, 22 Nov 2026 00:00:30 GMT";
    assert_eq!(read("retry-after", past), Some(Duration::ZERO));
    assert_eq!(read("retry-after", "-3"), None);
    assert_eq!(read("retry-after", "soon"), None);
}
