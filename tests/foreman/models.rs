//! One call is one request: every class of failure, usage and time limit against the scripted
//! model over real HTTP.

use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use foreman::demo::model::{FakeModel, Reply, ScriptInput, ScriptedCall};
use foreman::domain::call::{
    Answer, Charge, ErrorClass, FinishReason, Message, Spent, ToolCall, ToolSpec,
};
use foreman::domain::money::Usage;
use foreman::domain::tier::ModelTier;
use foreman::models::{
    CallError, ChatRequest, DefaultEndpoint, LocalServer, Models, TierTable, tier_table,
};
use secrecy::SecretString;
use serde_json::json;
use url::Url;

fn table(base_url: &Url) -> TierTable {
    let defaults = DefaultEndpoint {
        base_url: base_url.clone(),
        api_key: Some(SecretString::from("sk-test-secret")),
    };
    let local = LocalServer { base_url: base_url.clone(), model: "local-model".to_owned() };
    let today = NaiveDate::from_ymd_opt(2026, 11, 22).expect("a date");
    tier_table(&Default::default(), &defaults, Some(&local), today, |_| None).expect("a table")
}

async fn server(reply: impl Fn(&ScriptInput) -> Reply + Send + Sync + 'static) -> FakeModel {
    FakeModel::start(Arc::new(reply)).await.expect("a server")
}

fn conversation() -> Vec<Message> {
    vec![
        Message::System { content: "be good".to_owned() },
        Message::User { content: "Issue #7: fix it".to_owned() },
        Message::Assistant {
            content: None,
            tool_calls: vec![ToolCall {
                id: "c1".to_owned(),
                name: "read_file".to_owned(),
                arguments: "{\"path\":".to_owned(),
            }],
        },
        Message::Tool { tool_call_id: "c1".to_owned(), content: "not JSON".to_owned() },
        Message::Assistant { content: Some("hm".to_owned()), tool_calls: Vec::new() },
        Message::User { content: "go on".to_owned() },
    ]
}

fn tools() -> Vec<ToolSpec> {
    vec![ToolSpec {
        name: "read_file".to_owned(),
        description: "reads".to_owned(),
        parameters: json!({"type": "object", "properties": {"path": {"type": "string"}}}),
    }]
}

async fn ask(url: &Url, tier: ModelTier, timeout: Duration) -> Result<Answer, CallError> {
    let table = table(url);
    let models = Models::new().expect("a client");
    models
        .chat(ChatRequest {
            tier: table.get(tier).expect("a tier"),
            messages: &conversation(),
            tools: &tools(),
            max_completion_tokens: 777,
            timeout,
        })
        .await
}

/// One call against a server that always answers so; asserts that it was asked exactly once.
async fn once(reply: Reply) -> Result<Answer, CallError> {
    let server = server(move |_| reply.clone()).await;
    let result = ask(server.base_url(), ModelTier::Gpt51, Duration::from_secs(5)).await;
    assert_eq!(server.requests().len(), 1, "one call is one request");
    result
}

fn status(status: u16, headers: &[(&str, &str)], body: &serde_json::Value) -> Reply {
    let headers = headers.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
    Reply::Status(status, headers, body.to_string())
}

#[tokio::test]
async fn the_request_is_what_openai_takes() {
    let server = server(|_| {
        Reply::ToolCalls(vec![ScriptedCall {
            name: "read_file".to_owned(),
            arguments: "{oops".to_owned(),
        }])
    })
    .await;
    let answer = ask(server.base_url(), ModelTier::Gpt4, Duration::from_secs(5)).await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.finish, FinishReason::ToolCalls);
    assert_eq!(answer.tool_calls[0].arguments, "{oops");
    assert_eq!(answer.request_id.as_deref(), Some("req-0"));
    let usage = answer.usage.expect("a usage");
    assert!(usage.prompt_tokens > 50 && usage.completion_tokens > 0, "{usage:?}");

    let request = server.requests().remove(0);
    assert_eq!(request.model, "gpt-5-mini");
    assert_eq!(request.issue, Some(7));
    assert_eq!(request.authorization.as_deref(), Some("Bearer sk-test-secret"));
    assert_eq!(request.body["max_completion_tokens"], 777);
    assert!(request.body.get("max_tokens").is_none());
    assert_eq!(request.body["messages"][3]["tool_call_id"], "c1");
    assert_eq!(request.body["tools"][0]["function"]["name"], "read_file");
}

#[tokio::test]
async fn a_local_server_gets_max_tokens_and_not_our_key() {
    let server = server(|_| Reply::Text("hello".to_owned())).await;
    let answer = ask(server.base_url(), ModelTier::LocalBuilder, Duration::from_secs(5)).await;
    assert_eq!(answer.expect("an answer").content.as_deref(), Some("hello"));
    let request = server.requests().remove(0);
    assert_eq!((request.model.as_str(), request.authorization), ("local-model", None));
    assert_eq!(request.body["max_tokens"], 777);
    assert!(request.body.get("max_completion_tokens").is_none());
}

#[tokio::test]
async fn every_error_class_costs_exactly_one_request() {
    use ErrorClass as E;
    let error = |code: &str| json!({"error": {"message": "m", "type": "t", "code": code}});
    let cases = [
        (429, error("rate_limit_exceeded"), E::RateLimited),
        (429, error("insufficient_quota"), E::InsufficientQuota),
        (400, error("context_length_exceeded"), E::ContextLength),
        (
            400,
            json!({"error": {"code": 400, "type": "exceed_context_size_error"}}),
            E::ContextLength,
        ),
        (500, json!("boom"), E::Server),
        (502, json!({}), E::Server),
        (503, error("overloaded"), E::Server),
        (504, json!(null), E::Server),
        (401, error("invalid_api_key"), E::Auth),
        (403, json!({}), E::Auth),
        (404, error("model_not_found"), E::ModelNotFound),
        (400, error("content_filter"), E::Refused),
        (400, error("invalid_value"), E::BadRequest),
        (422, json!({"detail": [{"loc": []}]}), E::BadRequest),
        (301, json!({}), E::BadRequest),
    ];
    for (code, body, class) in cases {
        let failed = once(status(code, &[], &body)).await.expect_err("a failure");
        assert_eq!((failed.class, failed.status), (class, Some(code)), "{failed:?}");
        assert_eq!(failed.charge, Charge::None, "{failed:?}");
    }
    let timeout = once(status(408, &[], &json!({}))).await.expect_err("a failure");
    assert_eq!((timeout.class, timeout.charge), (E::Timeout, Charge::Unknown));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = server(|_| Reply::Text("never".to_owned())).await;
    let target = format!("{}/chat/completions", elsewhere.base_url());
    let failed =
        once(status(307, &[("location", &target)], &json!({}))).await.expect_err("a failure");
    assert_eq!(failed.class, ErrorClass::BadRequest);
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn retry_after_is_kept_in_seconds_and_as_a_date() {
    let body = || json!({"error": {"code": "rate_limit_exceeded"}});
    let failed = once(status(429, &[("retry-after", "7"), ("x-request-id", "r-1")], &body())).await;
    let failed = failed.expect_err("a failure");
    assert_eq!(failed.retry_after, Some(Duration::from_secs(7)));
    assert_eq!(failed.request_id.as_deref(), Some("r-1"));
    let at = chrono::Utc::now() + chrono::TimeDelta::seconds(90);
    let date = at.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let failed =
        once(status(503, &[("retry-after", &date)], &body())).await.expect_err("a failure");
    let wait = failed.retry_after.expect("a wait").as_secs();
    assert!((80..=90).contains(&wait), "{wait}");
}

#[tokio::test]
async fn an_answer_that_never_comes_is_a_timeout_of_unknown_charge() {
    let server = server(|_| Reply::Hang).await;
    let failed = ask(server.base_url(), ModelTier::Gpt51, Duration::from_millis(200)).await;
    let failed = failed.expect_err("a failure");
    assert_eq!((failed.class, failed.charge), (ErrorClass::Timeout, Charge::Unknown));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_cut_answer_and_a_broken_one_are_malformed() {
    let cut = once(Reply::CutStream).await.expect_err("a failure");
    assert_eq!((cut.class, cut.charge), (ErrorClass::Malformed, Charge::Unknown));
    let broken = once(Reply::RawBody("{\"choices\": [".to_owned())).await.expect_err("a failure");
    assert_eq!((broken.class, broken.charge), (ErrorClass::Malformed, Charge::Unknown));
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}});
    let empty = once(Reply::RawBody(usage.to_string())).await.expect_err("a failure");
    let known = Usage { prompt_tokens: 5, cached_tokens: 0, completion_tokens: 2 };
    assert_eq!(
        (empty.class, empty.charge),
        (
            ErrorClass::Malformed,
            Charge::Known(Box::new(Spent { usage: known, service_tier: None }))
        )
    );
}

#[tokio::test]
async fn a_lean_answer_is_an_answer() {
    let lean = r#"{"choices":[{"message":{"content":null,"tool_calls":[{"function":{"name":"finish","arguments":"{}"}}]}}]}"#;
    let answer = once(Reply::RawBody(lean.to_owned())).await.expect("an answer");
    assert_eq!(answer.tool_calls[0].name, "finish");
    assert_eq!(answer.usage, None);
}

#[tokio::test]
async fn a_closed_port_costs_nothing() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/v1/", listener.local_addr().expect("an address"));
    drop(listener);
    let url = Url::parse(&url).expect("an address");
    let failed = ask(&url, ModelTier::Gpt51, Duration::from_secs(5)).await.expect_err("a failure");
    assert_eq!((failed.class, failed.charge), (ErrorClass::Connection, Charge::None));
}

#[tokio::test]
async fn the_key_never_stands_in_an_error() {
    let body = json!({"error": {"code": "invalid_api_key", "message": "bad key sk-test-secret"}});
    let failed = once(status(401, &[], &body)).await.expect_err("a failure");
    assert!(!failed.to_string().contains("sk-test-secret"), "{failed}");
}

#[tokio::test]
async fn the_scripted_model_refuses_a_broken_conversation() {
    let server = server(|_| Reply::Text("x".to_owned())).await;
    let table = table(server.base_url());
    let orphan = [Message::Tool { tool_call_id: "c9".to_owned(), content: "x".to_owned() }];
    let request = ChatRequest {
        tier: table.get(ModelTier::Gpt51).expect("a tier"),
        messages: &orphan,
        tools: &[],
        max_completion_tokens: 1,
        timeout: Duration::from_secs(5),
    };
    let failed = Models::new().expect("a client").chat(request).await.expect_err("a failure");
    assert_eq!(failed.class, ErrorClass::BadRequest);
}
