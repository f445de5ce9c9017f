//! The contract's models: the way down the chain, one row for each upstream request, and the errors
//! that end the work.

use serde_json::{Value, json};
use sqlx::Row as _;

use crate::support::{Server, Town, acts, good_work, issue, row, script, write_file};
use foreman::demo::model::Reply;

/// A call as the store has it: tier, status, class of its error, what it was charged.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    tier: String,
    status: String,
    class: Option<String>,
    charge: i64,
}

/// The rows of the ledger, read from the file as anybody could.
async fn calls(town: &Town) -> Vec<Call> {
    sqlx::any::install_default_drivers();
    let url = format!("sqlite://{}", town.data.path().join("data/foreman.db").display());
    let pool = sqlx::AnyPool::connect(&url).await.expect("the file opens");
    let rows = sqlx::query(
        "SELECT tier, status, error_class, charge FROM calls ORDER BY created_at, number",
    )
    .fetch_all(&pool)
    .await
    .expect("the rows");
    let call = |row: &sqlx::any::AnyRow| Call {
        tier: row.get(0),
        status: row.get(1),
        class: row.get(2),
        charge: row.get(3),
    };
    let calls = rows.iter().map(call).collect();
    pool.close().await;
    calls
}

fn failing(status: u16, code: &str) -> Reply {
    let body = json!({"error": {"message": "no", "type": code, "code": code}});
    Reply::Status(status, vec![], body.to_string())
}

fn reason(run: &Value) -> &str {
    row(run, 1)["reason"].as_str().unwrap_or_default()
}

/// A program on the host that does good work on issue 1.
fn agent(town: &Town) -> String {
    let folder = town.data.path().join("agent");
    std::fs::create_dir_all(&folder).expect("a folder");
    let program = "cat > task.seen\nmkdir -p notes\necho done > notes/one.txt\necho 'grep -q done notes/one.txt' > tests/one.sh\nrm task.seen\necho 'All done by hand.'\n";
    std::fs::write(folder.join("agent.sh"), program).expect("a program");
    format!("sh {}", folder.join("agent.sh").display())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_tier_is_left_for_the_next_and_each_request_has_its_row() {
    let town = Town::new(
        script(|input| match input.model.as_str() {
            "gpt-5.1" => failing(500, "server_error"),
            _ => good_work(input),
        }),
        vec![issue("Architecture of it").label("architecture")],
    )
    .await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["status"], "success", "{run:#}");
    let requests = town.model.requests();
    let tops = requests.iter().take_while(|it| it.model == "gpt-5.1").count();
    assert_eq!(tops, 3, "the top tier is asked three times");
    let calls = calls(&town).await;
    assert_eq!(calls.len(), requests.len(), "a row is one upstream request: {calls:?}");
    assert!(calls[..3].iter().all(|it| it.tier == "gpt-5.1" && it.charge == 0), "{calls:?}");
    assert!(calls[3..].iter().all(|it| it.tier == "gpt-4-turbo" && it.charge > 0), "{calls:?}");
    let charged: i64 = calls.iter().map(|it| it.charge).sum();
    assert!(charged > 0);
    let pull = town.github.pulls(&crate::support::repo()).remove(0);
    assert!(pull.body.contains("gpt-4-turbo"), "{}", pull.body);
    let overview = server.get("/api/foreman/overnight").await;
    assert_eq!(overview.json["status"]["quotaUsage"]["concurrent"], 0, "{}", overview.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_nothing_answers_the_issue_fails_and_is_tried_the_next_night() {
    let town = Town::new(script(|_| failing(503, "server_error")), vec![issue("Anything")]).await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["status"], "failed", "{run:#}");
    assert_eq!(row(&run, 1)["reasonCode"], "models_exhausted", "{run:#}");
    assert_eq!(run["status"], "partial");
    assert_eq!(calls(&town).await.len(), town.model.requests().len());
    let asked = town.model.requests().len();
    let run = server.night(&json!(null)).await;
    assert_eq!(
        row(&run, 1)["status"],
        "failed",
        "a lack of models is not the issue's own: {run:#}"
    );
    assert!(town.model.requests().len() > asked);
    assert_eq!(run["costUsd"], 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_key_is_asked_exactly_once() {
    let town = Town::new(
        script(|_| failing(429, "insufficient_quota")),
        vec![issue("Architecture of it").label("architecture")],
    )
    .await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["status"], "failed", "{run:#}");
    assert_eq!(town.model.requests().len(), 1);
    assert_eq!(calls(&town).await.len(), 1);
    assert!(town.pulls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_key_leaves_the_local_builder() {
    let town =
        Town::new(script(|_| failing(429, "insufficient_quota")), vec![issue("Anything")]).await;
    let command = agent(&town);
    let town = town.set("LOCAL_BUILDER_COMMAND", &command);
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["status"], "success", "{run:#}\n{}", server.log());
    assert_eq!(town.model.requests().len(), 1);
    assert_eq!(run["costUsd"], 0.0);
    let pull = town.github.pulls(&crate::support::repo()).remove(0);
    assert!(pull.body.contains("local-builder"), "{}", pull.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_stops_the_issue_with_no_other_builder() {
    let town =
        Town::new(script(|_| failing(401, "invalid_api_key")), vec![issue("Anything")]).await;
    let command = agent(&town);
    let town = town.set("LOCAL_BUILDER_COMMAND", &command);
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["status"], "failed", "{run:#}");
    assert_eq!(town.model.requests().len(), 1);
    assert!(town.pulls().is_empty());
    assert!(!reason(&run).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_gone_is_asked_once_and_left() {
    let town = Town::new(
        script(|input| match input.model.as_str() {
            "gpt-5.1" => failing(404, "model_not_found"),
            _ => good_work(input),
        }),
        vec![issue("Architecture of it").label("architecture")],
    )
    .await;
    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["status"], "success", "{run:#}");
    let tops = town.model.requests().iter().filter(|it| it.model == "gpt-5.1").count();
    assert_eq!(tops, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_command_alone_is_enough() {
    let town = Town::new(script(good_work), vec![issue("Anything")]).await;
    let command = agent(&town);
    let mut env = town.env.clone();
    env.remove("OPENAI_API_KEY");
    env.remove("OPENAI_BASE_URL");
    env.insert("LOCAL_BUILDER_COMMAND".to_owned(), command);
    let server = Server::start(&env, town.data.path()).await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["status"], "success", "{run:#}\n{}", server.log());
    assert_eq!(run["costUsd"], 0.0);
    assert!(town.model.requests().is_empty());
    assert_eq!(calls(&town).await, []);
    let pull = town.github.pulls(&crate::support::repo()).remove(0);
    assert!(pull.body.contains("All done by hand."), "{}", pull.body);
    town.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_server_alone_is_enough_and_costs_nothing() {
    let town = Town::new(script(good_work), vec![issue("Anything")]).await;
    let mut env = town.env.clone();
    env.remove("OPENAI_API_KEY");
    let url = env.remove("OPENAI_BASE_URL").expect("an address");
    env.insert("LOCAL_BUILDER_BASE_URL".to_owned(), url);
    env.insert("LOCAL_BUILDER_MODEL".to_owned(), "qwen-coder".to_owned());
    let server = Server::start(&env, town.data.path()).await;
    let run = server.night(&json!(null)).await;
    assert_eq!(row(&run, 1)["status"], "success", "{run:#}\n{}", server.log());
    assert_eq!(run["costUsd"], 0.0);
    assert!(town.model.requests().iter().all(|it| it.model == "qwen-coder"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nights_ceiling_is_never_passed() {
    let town = Town::new(
        script(|input| {
            acts(input, (0..40).map(|_| write_file("x.txt", &"y ".repeat(200))).collect())
        }),
        vec![issue("Anything"), issue("More")],
    )
    .await;
    let server = town.serve().await;
    // Enough for a few calls at the estimate, not for all.
    let run = server.night(&json!({"budgetUsd": 0.03})).await;
    assert_eq!(run["status"], "halted", "{run:#}");
    let cost = run["costUsd"].as_f64().expect("a cost");
    assert!(cost > 0.0 && cost <= 0.03, "{cost}");
    let calls = calls(&town).await;
    assert_eq!(calls.len(), town.model.requests().len());
    assert!(calls.iter().all(|it| it.status == "settled"), "{calls:?}");
    assert!(town.changes().iter().all(|it| !it.starts_with("PUSH")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_model_without_a_price_stops_the_start_with_the_lines_to_add() {
    let town = Town::new(script(good_work), vec![]).await;
    let path = town.data.path().join("foreman.toml");
    std::fs::write(&path, "[tiers.\"gpt-4\"]\nmodel = \"brand-new\"\n").expect("written");
    let (code, text) = Server::start_and_fail(&town.env, town.data.path()).await;
    assert!(code.is_some_and(|code| code != 0));
    for word in ["brand-new", "price_input", "price_output"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    std::fs::write(&path, "[limits]\nnight_usd = 1\nnigth_usd = 2\n").expect("written");
    let (code, text) = Server::start_and_fail(&town.env, town.data.path()).await;
    assert!(code.is_some_and(|code| code != 0));
    assert!(text.contains("nigth_usd") && text.contains('3'), "line and column: {text}");
}
