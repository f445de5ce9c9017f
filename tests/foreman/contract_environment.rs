//! The contract's environment: what stops a start, what wins over what, and secrets that stay where
//! they are.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Server, Town, good_work, issue, row, run_command, script};
use foreman::demo::model::Reply;

#[tokio::test(flavor = "multi_thread")]
async fn every_variable_that_does_not_parse_is_named() {
    let town = Town::new(script(good_work), vec![]).await;
    for (name, value) in [
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("HOST", "not an address"),
        ("GITHUB_API_URL", "ftp://example.com"),
        ("OPENAI_BASE_URL", "localhost:1234"),
        ("LOCAL_BUILDER_BASE_URL", "::"),
        ("OVERNIGHT_EXECUTION_ENABLED", "on please"),
        ("DESKTOP_BUILDER_ENABLED", "2"),
        ("FOREMAN_SANDBOX", "docker"),
        ("FOREMAN_SHUTDOWN_SECONDS", "soon"),
        ("FOREMAN_SHUTDOWN_SECONDS", "-5"),
        ("FOREMAN_BASE_PATH", "no slash?x=y"),
        ("FOREMAN_LOG_FORMAT", "xml"),
        ("DATABASE_URL", "oracle://x"),
        ("FOREMAN_API_TOKEN", "ann:emperor:0123456789abcdef0123"),
        ("GITHUB_APP_ID", "seven"),
        ("FOREMAN_CONFIG", "/nowhere/foreman.toml"),
        ("GITHUB_TOKEN_FILE", "/nowhere/token"),
    ] {
        let mut env = town.env.clone();
        env.insert(name.to_owned(), value.to_owned());
        if name == "GITHUB_TOKEN_FILE" {
            env.remove("GITHUB_TOKEN");
        }
        let (code, text) = Server::start_and_fail(&env, town.data.path()).await;
        assert!(code.is_some_and(|code| code != 0), "{name}={value}: {code:?}");
        assert!(text.contains(name), "{name}={value}: {text}");
        assert_eq!(text.lines().count(), 1, "{name}={value}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_wins_over_the_file() {
    let town = Town::new(script(good_work), vec![issue("Anything")]).await;
    let file = "OVERNIGHT_EXECUTION_ENABLED=false\nGITHUB_TOKEN=ghp_of_the_file_0123456789\nFOREMAN_BASE_PATH=/from-file\n";
    std::fs::write(town.data.path().join(".env"), file).expect("written");
    let mut env = town.env.clone();
    env.insert("OVERNIGHT_EXECUTION_ENABLED".to_owned(), "true".to_owned());
    let server = Server::start(&env, town.data.path()).await;
    let answer = server.post("/api/foreman/overnight?wait=true", &crate::support::body()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json["run"]["status"], "completed", "{}", answer.text);
    // And what only the file says holds.
    let location = answer.headers["location"].to_str().expect("text");
    assert!(location.starts_with("/from-file/"), "{location}");
    drop(server);
    let server = town.serve().await;
    let answer = server.post("/api/foreman/overnight", &crate::support::body()).await;
    assert_eq!(answer.status, 403, "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_may_come_from_a_file() {
    let town = Town::new(script(good_work), vec![issue("Anything")]).await;
    let secrets = tempfile::tempdir().expect("a folder");
    let mut env = town.env.clone();
    for name in ["GITHUB_TOKEN", "OPENAI_API_KEY"] {
        let value = env.remove(name).expect("set");
        let path = secrets.path().join(name);
        std::fs::write(&path, format!("{value}\n")).expect("written");
        env.insert(format!("{name}_FILE"), path.display().to_string());
    }
    let server = Server::start(&env, town.data.path()).await;
    let run = server.night(&json!(null)).await;
    assert_eq!(run["status"], "completed", "{run:#}");
    let authorization = town.model.requests()[0].authorization.clone();
    assert_eq!(authorization.as_deref(), Some("Bearer sk-test-0123456789abcdef"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_folder_is_refused() {
    let town = Town::new(script(good_work), vec![]).await;
    let server = town.serve().await;
    let (code, text) = Server::start_and_fail(&town.env, town.data.path()).await;
    assert!(code.is_some_and(|code| code != 0), "{text}");
    let folder = town.env["FOREMAN_DATA_DIR"].as_str();
    assert!(text.contains(folder), "it names the folder: {text}");
    assert_eq!(server.get("/healthz").await.status, 200);
    // Killed, its folder is free again.
    server.kill().await;
    town.serve().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named() {
    let town = Town::new(script(good_work), vec![]).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let mut env = town.env.clone();
    env.insert("PORT".to_owned(), port.clone());
    let (code, text) = Server::start_and_fail(&env, town.data.path()).await;
    assert!(code.is_some_and(|code| code != 0));
    assert!(text.contains(&port) && text.contains("PORT"), "{text}");
    assert!(!text.contains("panicked"), "{text}");
}

/// Every file below a folder that holds the text.
fn files_with(folder: &Path, text: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            files_with(&path, text, found);
        } else if kind.is_file() {
            let bytes = std::fs::read(&path).unwrap_or_default();
            if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
                found.push(path.display().to_string());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_appear_nowhere() {
    let nosy = "env; cat /proc/*/environ; cat /proc/*/cmdline; git config -l; cat .git/config; ls -la ~; cat ~/.netrc";
    let town = Town::new(
        script(move |input| match (input.issue, input.turn) {
            (_, 0) => Reply::ToolCalls(vec![run_command(nosy)]),
            // A provider that repeats what it was sent. (A refused key in mid-night would pause it.)
            (Some(2), _) => Reply::Status(
                400,
                vec![],
                json!({"error": {"message": "This is not for sk-test-0123456789abcdef", "code": "invalid_value"}})
                    .to_string(),
            ),
            (_, 1) => Reply::ToolCalls(vec![crate::support::write_file("notes.txt", "x\n")]),
            (_, 2) => Reply::ToolCalls(vec![crate::support::write_file(
                "tests/notes.sh",
                "env; grep -q x notes.txt\n",
            )]),
            _ => Reply::Finish("Done.".to_owned()),
        }),
        vec![issue("Anything"), issue("More")],
    )
    .await
    .set("RUST_LOG", "debug")
    .set("FOREMAN_API_TOKEN", "api-token-0123456789abcdef");
    let server = town.serve().await;
    let ask = async |method: &str, path: &str, body: Option<Value>| {
        let mut request = server.request(method, path).bearer_auth("api-token-0123456789abcdef");
        if let Some(body) = body {
            request = request.json(&body);
        }
        server.send(request).await
    };
    let path = "/api/foreman/overnight?wait=true";
    let answer = ask("POST", path, Some(crate::support::body())).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let run = &answer.json["run"];
    assert_eq!(row(run, 1)["status"], "success", "{run:#}");
    assert_eq!(row(run, 2)["status"], "failed", "{run:#}");
    let id = run["id"].as_str().expect("an id");
    let mut texts = vec![("the answer".to_owned(), answer.text.clone())];
    for path in [
        "/api/foreman/overnight".to_owned(),
        format!("/api/foreman/overnight/runs/{id}/report"),
        format!("/api/foreman/overnight/runs/{id}/events"),
        "/api/foreman/governance/events?limit=1000".to_owned(),
    ] {
        texts.push((path.clone(), ask("GET", &path, None).await.text));
    }
    texts.push(("the log".to_owned(), server.log()));
    for request in town.model.requests() {
        texts.push(("the model's request".to_owned(), request.body.to_string()));
    }
    for number in 1..=2 {
        for comment in town.github.comments(&crate::support::repo(), number) {
            texts.push((format!("a comment on #{number}"), comment.body));
        }
    }
    let secrets = [town.github.token(), "sk-test-0123456789abcdef", "api-token-0123456789abcdef"];
    for (place, text) in &texts {
        assert!(text.len() > 10, "{place} is empty");
        for secret in secrets {
            assert!(!text.contains(secret), "{place} holds {secret}");
        }
    }
    server.terminate().await;
    for secret in secrets {
        let mut found = Vec::new();
        files_with(town.data.path(), secret, &mut found);
        assert_eq!(found, Vec::<String>::new(), "files that hold {secret}");
    }
}
