//! What a first week brings: each failure is really caused, and what is said is a sentence that says
//! what to do. The page of operations has the same sentences: it is the snapshot.

use serde_json::{Value, json};

use super::foreman;
use super::trouble::{Sandboxed, sandbox_where};
use crate::support::{SHELL_REPOSITORY, Server, Town, body, good_work, issue, repo, row, script};
use foreman::demo::github::{Fault, FaultKind, IssueSeed, Role};
use foreman::demo::model::Reply;

const OVERNIGHT: &str = "/api/foreman/overnight";

/// A failure, and what was said of it.
type Said = (&'static str, String);

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text in {value:#}")).to_owned()
}

async fn town(issues: Vec<IssueSeed>) -> Town {
    Town::new(script(good_work), issues).await
}

fn without(mut town: Town, name: &str) -> Town {
    town.env.remove(name);
    town
}

fn configured(town: Town, toml: &str) -> Town {
    std::fs::write(town.data.path().join("foreman.toml"), toml).expect("written");
    town
}

/// What the answer to a POST of a night says.
async fn refused(server: &Server) -> String {
    text(&server.post(OVERNIGHT, &body()).await.json["error"])
}

/// The first error of a night.
async fn night_says(town: &Town) -> String {
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    let said = text(&run["errors"][0]);
    server.terminate().await;
    said
}

/// What `why` says of an issue, with what to do.
async fn why(server: &Server, number: u64) -> String {
    let path = format!("{OVERNIGHT}/why?owner=octo&repo=app&issue={number}");
    let why = server.get(&path).await.json["why"].clone();
    format!("{} {}", text(&why["answer"]), text(&why["whatToDo"]))
}

/// The doctor's findings about a thing that are not well, with the advice.
async fn doctor_says(town: &Town, what: &str) -> String {
    let (code, said) = foreman(town, &["doctor", "octo/app", "--json"]).await;
    let said: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"));
    let bad: Vec<String> = said["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .filter(|it| it["what"] == what && it["level"] != "ok")
        .map(|it| match it["advice"].as_str() {
            Some(advice) => format!("{}: {advice}", text(&it["found"])),
            None => text(&it["found"]),
        })
        .collect();
    assert!(!bad.is_empty(), "{what} is well ({code:?}): {said:#}");
    bad.into_iter().next().expect("one")
}

async fn serve_says(town: &Town) -> String {
    let (code, text) = Server::start_and_fail(&town.env, town.data.path()).await;
    assert!(code.is_some_and(|code| code != 0), "{text}");
    text.lines().last().expect("a line").to_owned()
}

/// The credential and the repository.
async fn of_the_token() -> Vec<Said> {
    let mut said = Vec::new();
    let none = without(town(vec![]).await, "GITHUB_TOKEN");
    said.push(("no token", refused(&none.serve().await).await));

    let scope = town(vec![]).await;
    let scopes = FaultKind::Headers(vec![("x-oauth-scopes".to_owned(), "gist".to_owned())]);
    scope.github.fail_next(Fault::on("GET", "^/repos/octo/app$", scopes).times(9));
    said.push(("wrong scope", doctor_says(&scope, "permission").await));

    let expired = town(vec![issue("Anything")]).await;
    expired.github.revoke(expired.github.token());
    said.push(("expired", night_says(&expired).await));

    let elsewhere = town(vec![]).await;
    let server = elsewhere.serve().await;
    let asked = json!({"owner": "octo", "repo": "nothing"});
    let id = server.begin(&asked).await;
    said.push(("wrong repository", text(&server.ended(&id).await["errors"][0])));

    let skewed = town(vec![]).await;
    let then = (chrono::Utc::now() - chrono::TimeDelta::minutes(185)).to_rfc2822();
    let date = FaultKind::Headers(vec![("date".to_owned(), then.replace("+0000", "GMT"))]);
    skewed.github.fail_next(Fault::on("GET", "^/repos/octo/app$", date).times(9));
    said.push(("clock wrong", doctor_says(&skewed, "clock").await));
    said
}

/// The machine.
async fn of_the_machine() -> Vec<Said> {
    let mut said = Vec::new();
    let any = town(vec![]).await;
    for (name, how) in
        [("no sandbox", Sandboxed::NoBubblewrap), ("closed user namespaces", Sandboxed::Closed)]
    {
        // Only root can cause it; elsewhere the page's word stands unproven.
        said.extend(sandbox_where(&any, how).await.map(|sentence| (name, sentence)));
    }
    let full = configured(town(vec![]).await, "[disk]\nfloor_mb = 4000000000\n");
    said.push(("disk full", refused(&full.serve().await).await));

    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    said.push(("port taken", serve_says(&town(vec![]).await.set("PORT", &port)).await));

    let used = town(vec![]).await;
    let server = used.serve().await;
    said.push(("data folder in use", serve_says(&used).await));
    let proxied = server.request("GET", OVERNIGHT).header("x-forwarded-for", "203.0.113.9");
    let answer = server.send(proxied).await;
    said.push(("proxy without token", text(&answer.json["error"])));

    let newer = town(vec![]).await;
    newer.serve().await.terminate().await;
    super::older::execute(&newer, "INSERT INTO schema_version (version) VALUES (999)").await;
    said.push(("upgrade", serve_says(&newer).await));

    let killed = town(vec![issue("Anything")]).await;
    let mut server = killed.serve_dying_at("push.after").await;
    let id = server.begin(&body()).await;
    server.died().await;
    let server = killed.serve().await;
    server.ended(&id).await;
    let events = "/api/foreman/governance/events?type=overnight_execution_resumed";
    said.push(("killed", text(&server.get(events).await.json["events"][0]["description"])));

    let twice = Town::new(script(|_| Reply::Hang), vec![issue("Anything")]).await;
    let server = twice.serve().await;
    server.begin(&body()).await;
    said.push(("two nights", refused(&server).await));
    said
}

/// The models and the money.
async fn of_the_models() -> Vec<Said> {
    let mut said = Vec::new();
    let gone = r#"{"error":{"message":"The model does not exist","code":"model_not_found"}}"#;
    let gone = gone.to_owned();
    let dead = Town::new(
        script(move |_| Reply::Status(404, vec![], gone.clone())),
        vec![issue("Anything")],
    )
    .await;
    let server = dead.serve().await;
    server.night(&json!(null)).await;
    said.push(("dead model", why(&server, 1).await));

    let priceless =
        configured(town(vec![]).await, "[tiers.\"gpt-4\"]\nmodel = \"gpt-of-tomorrow\"\n");
    said.push(("no price", doctor_says(&priceless, "tiers").await));

    let heavy = |title: &str| issue(title).label("complexity:high");
    let quota = configured(
        town(vec![heavy("Rewrite the parser"), heavy("Rewrite the lexer")]).await,
        "[limits]\ndaily = 1\n",
    );
    let server = quota.serve().await;
    server.night(&json!(null)).await;
    let refused = "/api/foreman/governance/events?type=model_escalation_failed";
    said.push(("quota gone", text(&server.get(refused).await.json["events"][0]["description"])));

    let budget = configured(town(vec![issue("Anything")]).await, "[limits]\nnight_usd = 0.0001\n");
    said.push(("budget gone", night_says(&budget).await));
    said
}

/// The base and its tools.
async fn of_the_base() -> Vec<Said> {
    let mut said = Vec::new();
    let with = async |files: &[(&'static str, &'static str)]| {
        Town::with_files(
            script(good_work),
            vec![issue("Anything")],
            &[SHELL_REPOSITORY, files].concat(),
        )
        .await
    };
    let red = with(&[("tests/broken.sh", "false\n")]).await;
    said.push(("red base", night_says(&red).await));

    let gate = "[gate]\nsetup = []\nbuild = []\nlint = []\ntest = \"no-such-tool --all\"\ndeploy = []\nschema = []\n";
    said.push(("missing tool", night_says(&with(&[(".foreman.toml", gate)]).await).await));

    let fetching = "[gate]\nsetup = \"sh fetch.sh\"\nbuild = []\nlint = []\ntest = \"sh run-checks.sh\"\ndeploy = []\nschema = []\n";
    let registry = with(&[
        (".foreman.toml", fetching),
        ("fetch.sh", "curl -fsS http://registry.example.org:8080/pkg -o pkg\n"),
    ])
    .await;
    let registry = configured(registry, "[setup]\nregistries = [\"http://127.0.0.1:9\"]\n");
    said.push(("unreachable registry", night_says(&registry).await));
    said
}

/// The issues.
async fn of_the_issues() -> Vec<Said> {
    let mut said = Vec::new();
    let stranger =
        |title: &str, association: &str| issue(title).author("stranger").association(association);
    let issues = vec![
        stranger("Of a private member", "NONE"),
        issue("Of a cycle").blocked_by(3),
        issue("Of the same cycle").blocked_by(2),
        stranger("Edited after its approval", "NONE").body("As agreed."),
        issue("To be closed unmerged"),
        issue("That needs it").blocked_by(5),
    ];
    let town = town(issues).await;
    town.github.add_user(&repo(), "maintainer", Role::Write);
    town.github.label(&repo(), 4, "foreman:approved", "maintainer");
    // A label touches its issue too: what comes in the same second is not told from it.
    town.github.comment(&repo(), 4, "somebody", "Me too.");
    town.github.edit_issue(&repo(), 4, None, "Something else.");
    let server = town.serve().await;
    let run = server.night(&json!({"issues": [5]})).await;
    assert_eq!(row(&run, 5)["status"], "success", "{run:#}");
    let pull = town.github.pulls(&repo())[0].number;
    town.github.close(&repo(), pull);
    server.night(&json!(null)).await;
    for (name, number) in [
        ("private member skipped", 1),
        ("cycle", 2),
        ("edited after approval", 4),
        ("closed blocker", 6),
    ] {
        said.push((name, why(&server, number).await));
    }
    said
}

/// What differs from machine to machine and from run to run.
fn steady(town_words: &str) -> String {
    let mut text = town_words.to_owned();
    for (pattern, word) in [
        (r"/tmp/\.tmp\w+/data", "FOLDER"),
        (r"\bprocess \d+", "process N"),
        (r"127\.0\.0\.1:\d{4,5}", "127.0.0.1:PORT"),
        (r"PORT=?\s?`?\d{4,5}", "PORT"),
        (r"\b\d+ MiB are free", "N MiB are free"),
        (r"\b[0-9a-f]{40}\b", "COMMIT"),
        (r"base commit [0-9a-f]{10}\b", "base commit COMMIT"),
        (r"may cost up to \$[0-9.]+", "may cost up to AMOUNT"),
        (r"knows up to \d+", "knows up to N"),
        (r"\b[0-9a-f]{8}-[0-9a-f-]{27}\b", "RUN"),
        (r"\(log [0-9a-f]+\)", "(log HASH)"),
        (r"until \d\d:\d\d:\d\d UTC", "until TIME"),
    ] {
        text = regex::Regex::new(pattern).expect("a pattern").replace_all(&text, word).into_owned();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

const ALL: [&str; 25] = [
    "no token",
    "wrong scope",
    "expired",
    "wrong repository",
    "no sandbox",
    "closed user namespaces",
    "dead model",
    "no price",
    "red base",
    "missing tool",
    "unreachable registry",
    "disk full",
    "clock wrong",
    "port taken",
    "data folder in use",
    "killed",
    "proxy without token",
    "two nights",
    "private member skipped",
    "cycle",
    "closed blocker",
    "edited after approval",
    "quota gone",
    "budget gone",
    "upgrade",
];

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_of_a_first_week_says_what_to_do() {
    let mut said = of_the_token().await;
    said.extend(of_the_machine().await);
    said.extend(of_the_models().await);
    said.extend(of_the_base().await);
    said.extend(of_the_issues().await);
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let (mut differ, mut listed) = (Vec::new(), 0);
    for name in ALL {
        let start = format!("| {name} | ");
        let row = page.lines().find_map(|line| line.strip_prefix(&start)?.strip_suffix(" |"));
        listed += usize::from(row.is_some());
        // What only root can cause is read from the page where nobody is root.
        let Some((_, found)) = said.iter().find(|(known, _)| *known == name) else {
            assert!(!rustix::process::geteuid().is_root(), "{name} was not caused");
            continue;
        };
        let found = steady(found);
        if row != Some(&found) {
            differ.push(format!("| {name} | {found} |"));
        }
    }
    assert!(differ.is_empty(), "docs/operations.md should say:\n{}", differ.join("\n"));
    assert_eq!(listed, ALL.len());
}
