//! Malformed requests of all kinds: each gives a 400 with a code and a sentence.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::body::{self, Kind, NightBody};
use super::error::ApiError;
use super::malformed::{BODIES, CONFIGS};
use super::query::{self, ReportFormat};
use crate::domain::money::Usd;
use crate::domain::plan::SequenceType;
use crate::domain::run::NightConfig;

fn start(text: &[u8]) -> Result<NightBody, ApiError> {
    body::parse(text, Kind::Start, &NightConfig::default())
}

fn refused(result: Result<impl Sized, ApiError>, what: &str) -> ApiError {
    let Err(error) = result else { panic!("{what} was taken") };
    let text = error.to_string();
    assert_eq!(error.status().as_u16(), 400, "{what}: {text}");
    assert!(text.len() > 10 && text.len() < 400 && !text.contains('\n'), "{what}: {text}");
    error
}

#[test]
fn malformed_bodies_are_400_with_a_sentence() {
    let mut tried = 0;
    for (code, bodies) in BODIES {
        for text in *bodies {
            assert_eq!(refused(start(text.as_bytes()), text).code(), *code, "{text}");
            tried += 1;
        }
    }
    for (code, configs) in CONFIGS {
        for config in *configs {
            let text = format!(r#"{{"owner":"o","repo":"r","config":{config}}}"#);
            assert_eq!(refused(start(text.as_bytes()), &text).code(), *code, "{text}");
            tried += 1;
        }
    }
    assert!(tried >= 100, "{tried}");
}

#[test]
fn bodies_that_are_not_text_or_too_deep_are_400() {
    let deep = format!(
        r#"{{"owner":"o","repo":"r","config":{}1{}}}"#,
        "[".repeat(5_000),
        "]".repeat(5_000)
    );
    let long = format!(r#"{{"owner":"o","repo":"r","{}":1}}"#, "k".repeat(100_000));
    let lists =
        format!(r#"{{"owner":"o","repo":"r","config":{{"issues":[{}1]}}}}"#, "1,".repeat(10_000));
    for bytes in [
        b"\xff\xfe{}".as_slice(),
        b"{\"owner\":\"\xc3\x28\"}",
        b"\x00",
        b"\x1f\x8b\x08\x00",
        deep.as_bytes(),
        long.as_bytes(),
        lists.as_bytes(),
    ] {
        refused(start(bytes), "bytes");
    }
}

#[test]
fn the_missing_parameters_sentence_is_exact() {
    let error = start(b"{}").expect_err("refused");
    assert_eq!(error.to_string(), "Missing required parameters: owner, repo");
}

#[test]
fn sentences_name_the_key_what_it_got_and_what_it_takes() {
    let error = start(br#"{"owner":"o","repo":"r","config":{"lanes":0}}"#).expect_err("refused");
    assert_eq!(error.to_string(), "config.lanes is 0; it takes a whole number from 1 to 16");
    let error = start(br#"{"owner":"o","repo":"r","config":{"sequenceOrder":["qa","qa"]}}"#)
        .expect_err("refused");
    assert!(error.to_string().contains("`qa` twice"), "{error}");
}

#[test]
fn a_partial_config_is_merged_over_the_defaults() {
    let defaults = NightConfig { budget_usd: Usd::from_usd(3.0), ..NightConfig::default() };
    let text = br#"{"owner":"o","repo":"r","dryRun":true,"config":{"lanes":16,"sequenceOrder":["qa","build"],"issues":[12,14],"labels":["bug"],"scheduleExpression":"*/5 1-6,8 1 jan-mar MON"}}"#;
    let night = body::parse(text, Kind::Start, &defaults).expect("valid");
    assert!(night.request.dry_run);
    let config = night.request.config;
    assert_eq!(
        (config.lanes, config.budget_usd, config.max_issues_per_run),
        (16, Usd::from_usd(3.0), 50)
    );
    assert_eq!(config.sequence_order, [SequenceType::Qa, SequenceType::Build]);
    assert_eq!((config.issues.len(), config.labels.len()), (2, 1));
    for (given, expected) in [("null", None), ("0", Some(Usd::ZERO)), ("0.5", Usd::from_usd(0.5))] {
        let text = format!(r#"{{"owner":"o","repo":"r","config":{{"budgetUsd":{given}}}}}"#);
        assert_eq!(
            body::parse(text.as_bytes(), Kind::Start, &defaults)
                .expect("valid")
                .request
                .config
                .budget_usd,
            expected
        );
    }
}

#[test]
fn a_plan_knows_no_dry_run() {
    let text = br#"{"owner":"o","repo":"r","dryRun":true}"#;
    let error = body::parse(text, Kind::Plan, &NightConfig::default()).expect_err("refused");
    assert_eq!(error.code(), "unknown_key");
}

#[test]
fn the_same_value_has_the_same_hash_however_it_is_written() {
    let hash = |text: &str| start(text.as_bytes()).expect("valid").sha256;
    let one = hash(r#"{"owner":"o","repo":"r","config":{"lanes":2,"labels":["a","b"]}}"#);
    assert_eq!(
        one,
        hash(
            "{\"config\":{\"labels\":[\"a\", \"b\"],\"lanes\":2},\n\"repo\":\"r\",\"owner\":\"\\u006f\"}"
        )
    );
    assert_ne!(one, hash(r#"{"owner":"o","repo":"r","config":{"lanes":2,"labels":["b","a"]}}"#));
    assert_ne!(one, hash(r#"{"owner":"o","repo":"r"}"#));
}

#[test]
fn malformed_queries_are_400_with_a_sentence() {
    for text in [
        "limit=0",
        "limit=-1",
        "limit=101",
        "limit=x",
        "limit=1&limit=2",
        "status=done",
        "status=RUNNING",
        "owner=a%20b",
        "repo=..",
        "colour=red",
        "repo=x.git",
    ] {
        refused(query::runs(text), text);
    }
    for text in [
        "limit=0",
        "limit=1001",
        "limit=1e3",
        "type=nonsense",
        "type=pr_opened,nonsense",
        "severity=loud",
        "severity=Info",
        "since=yesterday",
        "since=2026-11-22",
        "until=1",
        "until=2026-13-01T00:00:00Z",
        "cursor=x",
        "cursor=-4",
        "offset=3",
        "since=2026-11-22T00:00:00Z&since=2026-11-22T00:00:00Z",
    ] {
        refused(query::events(text), text);
    }
    for text in ["owner=o", "repo=r", "owner=o&repo=..", "x"] {
        refused(query::repository(text), text);
    }
    for text in ["wait=yes", "wait=-1", "wait=1.5", "wiat=true", "wait=true&wait=true"] {
        refused(query::wait(text, &HeaderMap::new()), text);
    }
    for text in ["format=pdf", "fmt=json"] {
        refused(query::report_format(text, &HeaderMap::new()), text);
    }
}

#[test]
fn filters_are_read_as_people_write_them() {
    let asked = query::events("type=pr_opened,gate_judged&type=pr_blocked&severity=high&since=2026-11-22T00:00:00+01:00&until=2026-11-22T00:00:00%2B01:00&limit=1000&runId=nobody").expect("valid");
    assert_eq!((asked.types.len(), asked.severities.len(), asked.limit), (3, 1, 1_000));
    assert_eq!(asked.since, asked.until);
    assert!(!asked.ascending && asked.runs.len() == 1);
    assert_eq!(query::events("").expect("valid").limit, 100);
    assert!(query::repository("owner=o&repo=r").expect("valid").is_some());
    assert!(query::repository("owner=&repo=").expect("valid").is_none());
}

fn headers(given: &[(&'static str, &str)]) -> HeaderMap {
    let pairs = given.iter().map(|(name, value)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
    });
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(name, value);
    }
    map
}

#[test]
fn waits_are_capped_and_a_broken_preference_is_none() {
    let seconds = |query: &str, prefer: &[(&'static str, &str)]| {
        query::wait(query, &headers(prefer)).expect("valid").map(|wait| wait.as_secs())
    };
    assert_eq!(seconds("", &[]), None);
    assert_eq!(seconds("wait=true", &[]), Some(55));
    assert_eq!(seconds("wait=3", &[]), Some(3));
    assert_eq!(seconds("wait=3600", &[]), Some(55));
    assert_eq!(seconds("wait=false", &[("prefer", "wait=9")]), None);
    assert_eq!(seconds("", &[("prefer", "respond-async, wait=9")]), Some(9));
    assert_eq!(seconds("", &[("prefer", "wait=999")]), Some(55));
    assert_eq!(seconds("", &[("prefer", "wait=soon")]), None);
}

#[test]
fn idempotency_keys_are_short_and_visible() {
    let long = "k".repeat(256);
    for bad in ["", "a b", long.as_str(), "\u{e9}"] {
        refused(query::idempotency(&headers(&[("idempotency-key", bad)]), "h"), bad);
    }
    refused(
        query::idempotency(&headers(&[("idempotency-key", "a"), ("idempotency-key", "b")]), "h"),
        "two",
    );
    let one =
        query::idempotency(&headers(&[("idempotency-key", &long[..255])]), "h").expect("valid");
    assert_eq!(one.expect("given").body_sha256, "h");
    assert!(query::idempotency(&HeaderMap::new(), "h").expect("valid").is_none());
}

#[test]
fn reports_come_in_the_form_asked_for() {
    let format = |query: &str, accept: &str| {
        query::report_format(query, &headers(&[("accept", accept)])).expect("valid")
    };
    assert_eq!(format("", "*/*"), ReportFormat::Json);
    assert_eq!(format("", "text/html, text/markdown;q=0.9"), ReportFormat::Markdown);
    assert_eq!(format("", "text/plain"), ReportFormat::Text);
    assert_eq!(format("format=json", "text/plain"), ReportFormat::Json);
    assert_eq!(query::report_format("", &HeaderMap::new()).expect("valid"), ReportFormat::Json);
}
