//! Canaries as every credential, a builder that looks for them and says them, and a search of
//! everywhere while the night runs and after.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{Town, acts, issue, repo, row, run_command, script, write_file};
use base64::Engine as _;
use foreman::domain::redact::Redactor;

const MODEL_KEY: &str = "sk-canary-model-0123456789abcdef";
const TIER_KEY: &str = "sk-canary-tier-0123456789abcdef";
const API_TOKEN: &str = "canary-api-token-0123456789abcdef";
const WEBHOOK: &str = "http://127.0.0.1:9/hook/canary-webhook-0123456789";
const SIGNING: &str = "canary-signing-secret-0123456789";

/// Processes below one, with what anybody of their user can read of them.
fn below(root: u32) -> Vec<(u32, String, String)> {
    let mut parents = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").expect("proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let parent = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_ascii_whitespace().nth(1)?.parse().ok());
        parents.insert(pid, parent.unwrap_or(0_u32));
    }
    let is_below = |pid: u32| {
        let mut at = pid;
        for _ in 0..64 {
            match parents.get(&at) {
                Some(parent) if *parent == root => return true,
                Some(parent) => at = *parent,
                None => return false,
            }
        }
        false
    };
    let read = |pid: u32, what: &str| {
        std::fs::read(format!("/proc/{pid}/{what}"))
            .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', "\n"))
            .unwrap_or_default()
    };
    parents
        .keys()
        .filter(|pid| is_below(**pid))
        .map(|pid| (*pid, read(*pid, "cmdline"), read(*pid, "environ")))
        .collect()
}

/// Every file below a folder that holds a canary.
fn files_with(folder: &Path, canaries: &Redactor, found: &mut Vec<String>) -> usize {
    let mut looked = 0;
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let kind = entry.file_type().expect("a type");
        if kind.is_dir() {
            looked += files_with(&entry.path(), canaries, found);
        } else if kind.is_file() {
            looked += 1;
            let bytes = std::fs::read(entry.path()).unwrap_or_default();
            if canaries.finds(&String::from_utf8_lossy(&bytes)) {
                found.push(entry.path().display().to_string());
            }
        }
    }
    looked
}

/// Looks at everything below the server until told to stop: what held a canary, and which programs
/// were seen.
fn watch(
    server: u32,
    own_line: String,
    canaries: Arc<Redactor>,
    stop: Arc<AtomicBool>,
) -> std::thread::JoinHandle<(Vec<String>, BTreeSet<String>)> {
    std::thread::spawn(move || {
        let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
        while !stop.load(Ordering::Relaxed) {
            for (pid, line, environment) in below(server) {
                // Between fork and exec a child is still the server itself.
                if line == own_line {
                    continue;
                }
                // The model itself says a key on a command line: that is no leak of ours.
                let said = line.contains("the key is") || line.contains("run-checks.sh; echo");
                if canaries.finds(&environment) || (!said && canaries.finds(&line)) {
                    found.push(format!("{pid}: {line}\n{environment}"));
                }
                let program = line.lines().next().unwrap_or_default();
                seen.insert(program.rsplit('/').next().unwrap_or_default().to_owned());
            }
        }
        (found, seen)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn no_canary_is_found_anywhere() {
    let standard = base64::engine::general_purpose::STANDARD;
    let encoded = standard.encode(format!("user:{MODEL_KEY}:x"));
    let talk = format!(
        "env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'; \
         grep -rls canary / --include='*.env' --include='*.toml' 2>/dev/null | head; \
         echo the key is {MODEL_KEY}, as base64 {encoded}, in hexadecimal {}; echo {TIER_KEY}",
        hex::encode(MODEL_KEY)
    );
    let answers = script(move |input| {
        acts(
            input,
            vec![
                run_command(&talk),
                write_file("notes/issue-1.txt", "done 1\n"),
                write_file("tests/issue-1.sh", "grep -q 'done 1' notes/issue-1.txt\n"),
                run_command(&format!("sh run-checks.sh; echo {API_TOKEN}; sleep 0.2")),
            ],
        )
    });
    let town = Town::new(answers, vec![issue("Anything"), issue("Something else")]).await;
    let config = town.data.path().join("town.toml");
    std::fs::write(
        &config,
        "[tiers.\"gpt-5.1\"]\napi_key_env = \"CANARY_TIER_KEY\"\n\n[alerts]\nmin_severity = \"info\"\nwebhook_env = \"CANARY_HOOK\"\nsecret_env = \"CANARY_SIGNING\"\n",
    )
    .expect("written");
    let config = config.display().to_string();
    let town = town
        .set("FOREMAN_CONFIG", &config)
        .set("OPENAI_API_KEY", MODEL_KEY)
        .set("CANARY_TIER_KEY", TIER_KEY)
        .set("CANARY_HOOK", WEBHOOK)
        .set("CANARY_SIGNING", SIGNING)
        .set("FOREMAN_API_TOKEN", API_TOKEN)
        .set("RUST_LOG", "debug");
    let canaries = [MODEL_KEY, TIER_KEY, API_TOKEN, WEBHOOK, SIGNING, town.github.token()];
    let canaries = Arc::new(Redactor::new(canaries));
    let server = town.serve().await;

    // The control: whoever looks at the server itself finds them.
    let own = std::fs::read(format!("/proc/{}/environ", server.pid())).expect("its environment");
    assert!(canaries.finds(&String::from_utf8_lossy(&own)), "the search finds nothing");

    let own_line = std::fs::read_to_string(format!("/proc/{}/cmdline", server.pid()))
        .expect("its arguments")
        .replace('\0', "\n");
    let stop = Arc::new(AtomicBool::new(false));
    let watching = watch(server.pid(), own_line, Arc::clone(&canaries), Arc::clone(&stop));
    let begin = server.request("POST", "/api/foreman/overnight?wait=true").bearer_auth(API_TOKEN);
    let answer = server.send(begin.json(&crate::support::body())).await;
    let id =
        answer.json["run"]["id"].as_str().unwrap_or_else(|| panic!("{}", answer.text)).to_owned();
    let get =
        async |path: &str| server.send(server.request("GET", path).bearer_auth(API_TOKEN)).await;
    let mut run = get(&format!("/api/foreman/overnight/runs/{id}")).await;
    while ["queued", "running"].contains(&run.json["run"]["status"].as_str().unwrap_or_default()) {
        get(&format!("/api/foreman/overnight/runs/{id}/events")).await;
        run = get(&format!("/api/foreman/overnight/runs/{id}")).await;
    }
    assert_eq!(row(&run.json["run"], 1)["status"], "success", "{:#}\n{}", run.json, server.log());
    stop.store(true, Ordering::Relaxed);
    let (found, seen) = watching.join().expect("watched");
    assert_eq!(found, Vec::<String>::new(), "in a child's environment or arguments");
    assert!(seen.contains("git") && seen.len() > 3, "too little was seen: {seen:?}");

    let mut texts = vec![run.text.clone(), server.log()];
    for path in [
        format!("/api/foreman/overnight/runs/{id}/events"),
        format!("/api/foreman/overnight/runs/{id}/report"),
        "/api/foreman/overnight".to_owned(),
        "/api/foreman/governance/events?limit=1000".to_owned(),
        "/api/foreman/governance/export?format=jsonl".to_owned(),
        "/api/foreman/escalation/events".to_owned(),
    ] {
        texts.push(get(&path).await.text);
    }
    for pull in town.github.pulls(&repo()) {
        texts.push(format!("{}\n{}", pull.title, pull.body));
    }
    for number in [1, 2] {
        texts.extend(town.github.comments(&repo(), number).into_iter().map(|it| it.body));
    }
    // What a model was told after it said a key: the key is not said back.
    for request in town.model.requests() {
        for message in request.body["messages"].as_array().expect("messages") {
            if message["role"] == "tool" || message["role"] == "user" {
                texts.push(message.to_string());
            }
        }
    }
    for text in &texts {
        assert!(!canaries.finds(text), "{text}");
    }
    let mut found = Vec::new();
    let looked = files_with(&town.data.path().join("data"), &canaries, &mut found);
    assert!(looked > 20, "only {looked} files");
    assert_eq!(found, Vec::<String>::new(), "in the data folder");
    server.kill().await;
    let mut found = Vec::new();
    files_with(&town.data.path().join("data"), &canaries, &mut found);
    assert_eq!(found, Vec::<String>::new(), "in the data folder after a kill");
}
