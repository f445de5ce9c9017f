//! The service as a stranger meets it: malformed requests, wrong tokens, bad settings.

use std::collections::BTreeMap;

use serde_json::json;

use crate::support::Server;

#[path = "../../src/http/malformed.rs"]
mod malformed;

const OVERNIGHT: &str = "/api/foreman/overnight";

fn environment(more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let fixed = [
        ("PORT", "0"),
        ("FOREMAN_LOG_FORMAT", "json"),
        ("FOREMAN_SANDBOX", "off"),
        ("GITHUB_API_URL", "http://127.0.0.1:9"),
        ("GITHUB_TOKEN", "ghp_nobody"),
    ];
    let all = fixed.iter().chain(more);
    all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn malformed_requests_get_a_sentence_and_leave_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&environment(&[]), folder.path()).await;
    let configs = malformed::CONFIGS.iter().flat_map(|(code, configs)| {
        configs
            .iter()
            .map(move |config| (*code, format!(r#"{{"owner":"o","repo":"r","config":{config}}}"#)))
    });
    let bodies = malformed::BODIES
        .iter()
        .flat_map(|(code, bodies)| bodies.iter().map(move |body| (*code, (*body).to_owned())));
    let mut sent = 0;
    for (code, body) in bodies.chain(configs) {
        let answer = server.send(server.request("POST", OVERNIGHT).body(body.clone())).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text);
        assert_eq!(answer.json["code"], code, "{body}");
        assert!(answer.json["error"].as_str().is_some_and(|text| text.len() > 10), "{body}");
        assert!(answer.headers.contains_key("x-request-id"));
        sent += 1;
    }
    assert!(sent >= 100, "{sent}");
    let large =
        server.send(server.request("POST", OVERNIGHT).body(vec![b' '; (1 << 20) + 1])).await;
    assert_eq!((large.status, large.json["code"].as_str()), (413, Some("body_too_large")));
    for (method, path, status) in [
        ("GET", "/nowhere", 404),
        ("DELETE", OVERNIGHT, 405),
        ("GET", "/api/foreman/overnight/plan", 405),
        ("GET", "/api/foreman/overnight/runs/none", 404),
        ("GET", "/api/foreman/overnight/runs/none/events", 404),
        ("GET", "/api/foreman/overnight/runs/none/report", 404),
        ("POST", "/api/foreman/overnight/runs/none/cancel", 404),
        ("GET", "/api/foreman/overnight/runs/%ff%00", 404),
        ("GET", "/api/foreman/overnight/runs?limit=0", 400),
        ("GET", "/api/foreman/overnight/runs?cursor=1.%00", 400),
        ("GET", "/api/foreman/governance/events?runId=%00", 400),
        ("GET", "/api/foreman/escalation/events?runId=a%00b", 400),
        ("GET", "/api/foreman/overnight/runs?cursor=zz", 400),
        ("GET", "/api/foreman/overnight?owner=o", 400),
        ("GET", "/api/foreman/governance/events?type=nonsense", 400),
        ("GET", "/api/foreman/governance/events?since=yesterday", 400),
    ] {
        let answer = server.send(server.request(method, path)).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
        assert!(answer.json["error"].is_string() && answer.json["code"].is_string(), "{path}");
    }
    let runs = server.get("/api/foreman/overnight/runs").await;
    assert_eq!(runs.json, json!({ "success": true, "runs": [], "nextCursor": null }));
    let stats = server.get("/api/foreman/governance/stats").await;
    assert_eq!(stats.json["stats"]["total"], 0, "{}", stats.text);
    assert_eq!(server.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn tokens_open_what_their_role_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = "ann:viewer:token-of-ann,bob:operator:token-of-bob";
    let variables =
        environment(&[("FOREMAN_API_TOKEN", tokens), ("FOREMAN_BASE_PATH", "/foreman")]);
    let server = Server::start(&variables, folder.path()).await;
    let ask = async |method: &str, path: &str, token: &str| {
        server.send(server.request(method, path).bearer_auth(token).body("{}")).await
    };
    assert_eq!(server.get("/healthz").await.status, 200);
    let nobody = server.get(OVERNIGHT).await;
    assert_eq!(nobody.status, 401);
    assert!(nobody.headers["www-authenticate"].to_str().expect("text").starts_with("Bearer"));
    assert_eq!(ask("GET", OVERNIGHT, "token-of-eve").await.status, 401);
    assert_eq!(ask("GET", OVERNIGHT, "token-of-ann").await.status, 200);
    assert_eq!(ask("GET", "/foreman/api/foreman/overnight", "token-of-ann").await.status, 200);
    let viewer = ask("POST", OVERNIGHT, "token-of-ann").await;
    assert_eq!((viewer.status, viewer.json["code"].as_str()), (403, Some("forbidden")));
    assert_eq!(ask("POST", OVERNIGHT, "token-of-bob").await.json["code"], "missing_parameters");
    assert!(!server.log().contains("token-of-"), "a token is in the log");
}

#[tokio::test]
async fn without_a_token_nothing_comes_from_elsewhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&environment(&[]), folder.path()).await;
    for (header, value) in [
        ("forwarded", "for=192.0.2.1"),
        ("x-forwarded-for", "127.0.0.1"),
        ("origin", "https://evil.example"),
        ("host", "rebound.example"),
    ] {
        let answer = server.send(server.request("GET", OVERNIGHT).header(header, value)).await;
        assert_eq!(answer.status, 403, "{header}");
        let error = answer.json["error"].as_str().unwrap_or_default();
        assert!(error.contains("FOREMAN_API_TOKEN"), "{header}: {error}");
    }
}

#[tokio::test]
async fn a_bad_setting_stops_the_start_in_one_line() {
    for (name, value) in [
        ("PORT", "eighty"),
        ("HOST", "0.0.0.0"),
        ("FOREMAN_SANDBOX", "maybe"),
        ("OVERNIGHT_EXECUTION_ENABLED", "perhaps"),
        ("DATABASE_URL", "mysql://u:hunter22@h/x"),
        ("GITHUB_API_URL", "github.com"),
        ("RUST_LOG", "a=b=c"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let (code, text) =
            Server::start_and_fail(&environment(&[(name, value)]), folder.path()).await;
        assert_eq!(code, Some(1), "{name}: {text}");
        assert!(text.contains(name) && text.lines().count() == 1, "{name}: {text}");
        assert!(!text.contains("hunter22"), "{text}");
    }
}
