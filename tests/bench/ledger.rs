//! What the ledger adds to a model call: select, what stands in the way, reserve and dispatch in one
//! commit, settle with its answer, notes and event in another; on SQLite with `synchronous=FULL`,
//! with 100,000 old calls in the books. Beside it in the same run: two bare commits, and the same
//! call made directly. And how many reservations a second group commit reaches with 1, 8 and 64
//! callers.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use divan::counter::ItemsCount;
use foreman::demo::model::{FakeModel, Reply};
use foreman::domain::call::{Answer, FinishReason, Message};
use foreman::domain::event::{EventType, NewEvent};
use foreman::domain::ids::{AttemptId, CallId, IssueNumber, RunId};
use foreman::domain::money::{Usage, Usd};
use foreman::domain::plan::Complexity;
use foreman::domain::run::{NightConfig, NightRequest};
use foreman::domain::tier::ModelTier;
use foreman::escalation::{Post, SelectionContext, SelectionPolicy};
use foreman::models::{ChatRequest, DefaultEndpoint, Models, TierTable, tier_table};
use foreman::store::{
    Ceilings, Change, DatabaseUrl, Fence, NewRun, Note, OpenOptions, Reserve, Settlement, Sign,
    Store, StoreClock, backup,
};
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Executor as _};
use tokio::runtime::Runtime;

/// Calls of other nights, spread over the two months before.
const HISTORY: u32 = 100_000;
const CALLS: usize = 400;

/// One thread, so that a caller and the writer's task meet as they do in the service, where one wakes
/// the other on the worker that it runs on. The database has a thread of its own all the same.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn main() {
    // Not where the tests only see whether it still runs.
    if std::env::args().any(|arg| arg == "--bench") {
        overhead();
    }
    divan::main();
}

struct Bench {
    runtime: Runtime,
    store: Store,
    fence: Fence,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(history: u32) -> Self {
        sqlx::any::install_default_drivers();
        let runtime = runtime();
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("foreman.db");
        let (store, fence) = runtime.block_on(async {
            let store = Store::open(OpenOptions {
                url: DatabaseUrl::file(&path).expect("a path"),
                redactor: Arc::default(),
                clock: StoreClock::System,
                read_only: false,
            });
            let store = store.await.expect("a store");
            let id = RunId::fresh();
            let repo = "acme/app".parse().expect("a name");
            let request = NightRequest { repo, config: NightConfig::default(), dry_run: false };
            let new = NewRun { id: id.clone(), request, idempotency: None, events: Vec::new() };
            store.create_run(new).await.expect("created");
            let fence = store.claim_run(&id, "bench", true).await.expect("claimed").expect("ours");
            if history > 0 {
                remember(&format!("sqlite://{}", path.display()), &fence, history).await;
            }
            (store, fence)
        });
        Self { runtime, store, fence, folder }
    }
}

/// Old calls of an old night.
async fn remember(url: &str, fence: &Fence, history: u32) {
    let mut connection = AnyConnection::connect(url).await.expect("a connection");
    let sql = format!(
        "INSERT INTO runs (id, repo_key, repo_owner, repo_name, dry_run, status, active, config, \
         notes, errors, cancel_requested, lease_until, epoch, created_at) \
         SELECT 'old', 'acme/old', 'acme', 'old', 0, 'completed', 0, config, notes, errors, 0, 0, 1, \
         created_at FROM runs WHERE id = '{run}'; \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {history}) \
         INSERT INTO calls (id, run_id, repo_key, attempt_id, issue, number, epoch, tier, model, \
         status, estimate, charge, created_at) \
         SELECT 'old-' || i, 'old', 'acme/old', 'old-' || (i % 5000), i % 500, i, 1, 'gpt-4', \
         'bench', 'settled', 1000000, 900000, \
         (SELECT created_at FROM runs WHERE id = '{run}') - i * 51840000 FROM n;",
        run = fence.run
    );
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.expect("remembered");
    connection.close().await.expect("closed");
}

fn ask(issue: u64) -> Reserve {
    let limit = Usd::from_usd(1_000_000.0);
    Reserve {
        id: CallId::fresh(),
        attempt: AttemptId::new("bench"),
        issue: IssueNumber(issue),
        escalation: None,
        tier: ModelTier::Gpt4,
        model: "bench".to_owned(),
        estimate: Usd::from_nanos(1_000_000),
        ceilings: Ceilings { night: limit, day: limit, month: limit, ..Ceilings::default() },
    }
}

fn answer() -> Answer {
    Answer {
        content: Some("done".to_owned()),
        tool_calls: Vec::new(),
        finish: FinishReason::Stop,
        usage: Some(Usage { prompt_tokens: 1_000, cached_tokens: 600, completion_tokens: 200 }),
        service_tier: None,
        model: None,
        request_id: None,
    }
}

/// Everything a night does around one answered call.
async fn around<A>(store: &Store, fence: &Fence, issue: u64, call: A)
where
    A: AsyncFnOnce() -> Answer,
{
    let context = SelectionContext::new("build", Complexity::Low);
    let selection = SelectionPolicy::default().select(&context, false);
    let health = store.health(&fence.run).await.expect("read");
    let post = Post {
        tier: selection.selected_model,
        model: "bench".to_owned(),
        provider: "provider".to_owned(),
    };
    assert!(health.block(&post).is_none());
    let ask = ask(issue);
    let id = ask.id.clone();
    store.reserve(fence, ask).await.expect("asked");
    let answer = call().await;
    let changes = vec![
        Change::Note(Note::Asked {
            attempt: AttemptId::new("bench"),
            call: id.clone(),
            digest: id.to_string(),
        }),
        Change::Sign(Sign::Answered { post }),
        Change::Event(
            NewEvent::new(EventType::BuildStarted, "a call was answered").run(&fence.run),
        ),
    ];
    let settlement =
        Settlement::Answered { answer, cost: Usd::from_nanos(900_000), unknown: false };
    store.settle(fence, &id, settlement, changes).await.expect("settled");
}

/// p50 and p99 of each, side by side in one run: a disk's mood hits them alike.
fn overhead() {
    let bench = Bench::new(HISTORY);
    let (mut ours, mut bare, mut direct, mut through) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    bench.runtime.block_on(async {
        let server = FakeModel::start(Arc::new(|_| Reply::Finish("done".to_owned()))).await;
        let server = server.expect("a server");
        let table = tiers(&server);
        let models = Models::new().expect("a client");
        let mut by_hand = Bare::beside(&bench).await;
        for n in 0..CALLS {
            // An issue of its own every few calls, as nights have them.
            let issue = n as u64 / 10;
            let begun = Instant::now();
            around(&bench.store, &bench.fence, issue, async || answer()).await;
            ours.push(begun.elapsed());
            let begun = Instant::now();
            by_hand.call(issue).await;
            bare.push(begun.elapsed());
            let begun = Instant::now();
            ask_model(&models, &table).await;
            direct.push(begun.elapsed());
            let begun = Instant::now();
            around(&bench.store, &bench.fence, issue, async || ask_model(&models, &table).await)
                .await;
            through.push(begun.elapsed());
        }
    });
    let [ours, bare, direct, through] = [ours, bare, direct, through].map(Quantiles::of);
    let show =
        |name: &str, it: &Quantiles| println!("{name:<34} p50 {:?}  p99 {:?}", it.p50, it.p99);
    println!("with {HISTORY} old calls in the books, {CALLS} rounds");
    show("select, reserve, settle, log", &ours);
    show("the same two commits, bare", &bare);
    println!("ratio p50 {:.2}  p99 {:.2}", ratio(ours.p50, bare.p50), ratio(ours.p99, bare.p99));
    show("a call to a model on loopback", &direct);
    show("the same call through the ledger", &through);
}

/// The same rows in two commits, into a copy of the same books: the call, the notes, the
/// event and the head of its chain; with nothing read, decided or chained.
struct Bare {
    connection: AnyConnection,
    run: String,
    seq: i64,
}

impl Bare {
    async fn beside(bench: &Bench) -> Self {
        let path = bench.folder.path().join("bare.db");
        let books = DatabaseUrl::file(&bench.folder.path().join("foreman.db")).expect("a path");
        backup(&books, &path).await.expect("a copy");
        let url = format!("sqlite://{}", path.display());
        let mut connection = AnyConnection::connect(&url).await.expect("a connection");
        let settings =
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON";
        connection.execute(sqlx::raw_sql(settings)).await.expect("set up");
        Self { connection, run: bench.fence.run.to_string(), seq: 1_000_000 }
    }

    async fn call(&mut self, issue: u64) {
        self.seq += 1;
        let (id, issue) = (format!("call-{}", self.seq), i64::try_from(issue).expect("small"));
        self.plain("BEGIN IMMEDIATE").await;
        let reserved = sqlx::query(
            "INSERT INTO calls (id, run_id, repo_key, attempt_id, issue, number, epoch, tier, model, \
             status, estimate, charge, created_at) VALUES ($1, $2, 'acme/app', 'bench', $3, $4, 1, \
             'gpt-4', 'bench', 'dispatched', 1000000, 1000000, 1)",
        );
        let reserved = reserved.bind(&id).bind(&self.run).bind(issue).bind(self.seq);
        reserved.execute(&mut self.connection).await.expect("written");
        self.head().await;
        self.plain("COMMIT").await;
        self.plain("BEGIN IMMEDIATE").await;
        let settled = sqlx::query(
            "UPDATE calls SET status = 'settled', charge = 900000, answer = $1, \
             prompt_tokens = 1000, cached_tokens = 600, completion_tokens = 200, settled_at = 2 \
             WHERE id = $2",
        );
        let text = serde_json::to_string(&answer()).expect("JSON");
        settled.bind(text).bind(&id).execute(&mut self.connection).await.expect("written");
        let asked = sqlx::query(
            "INSERT INTO call_prompts (call_id, attempt_id, digest) VALUES ($1, 'bench', $1)",
        );
        asked.bind(&id).execute(&mut self.connection).await.expect("written");
        let event = sqlx::query(
            "INSERT INTO events (seq, id, at, type, severity, run_id, description, metadata, \
             prev_hash, hash) VALUES ($1, $2, 1, 'build_started', 'low', $3, 'a call was answered', \
             '{}', $4, $4)",
        );
        let event = event.bind(self.seq).bind(&id).bind(&self.run).bind("0".repeat(64));
        event.execute(&mut self.connection).await.expect("written");
        self.head().await;
        self.plain("COMMIT").await;
    }

    async fn head(&mut self) {
        let head = sqlx::query("UPDATE log_head SET seq = $1, hash = $2, clock = 1 WHERE id = 1");
        let head = head.bind(self.seq).bind("0".repeat(64));
        head.execute(&mut self.connection).await.expect("written");
    }

    async fn plain(&mut self, sql: &'static str) {
        self.connection.execute(sqlx::raw_sql(sql)).await.expect("done");
    }
}

fn ratio(ours: Duration, bare: Duration) -> f64 {
    ours.as_secs_f64() / bare.as_secs_f64()
}

fn tiers(server: &FakeModel) -> TierTable {
    let defaults =
        DefaultEndpoint { base_url: server.base_url().clone(), api_key: Some("sk-bench".into()) };
    let today = chrono::Utc::now().date_naive();
    tier_table(&std::collections::BTreeMap::new(), &defaults, None, today, |_| None)
        .expect("a table")
}

async fn ask_model(models: &Models, table: &TierTable) -> Answer {
    let request = ChatRequest {
        tier: table.get(ModelTier::Gpt4).expect("shipped"),
        messages: &[Message::User { content: "#1 Say done".to_owned() }],
        tools: &[],
        max_completion_tokens: 64,
        timeout: Duration::from_secs(10),
    };
    models.chat(request).await.expect("an answer")
}

struct Quantiles {
    p50: Duration,
    p99: Duration,
}
impl Quantiles {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
        Self { p50: at(50), p99: at(99) }
    }
}

/// Reservations a second, by callers at once.
#[divan::bench(args = [1, 8, 64], sample_count = 20, sample_size = 1)]
fn reservations(bencher: divan::Bencher<'_, '_>, callers: usize) {
    let bench = Bench::new(0);
    // What is in flight from the round before is settled first, as between calls of a night.
    let settled = || {
        let recovered = bench.runtime.block_on(bench.store.recover_calls(&bench.fence));
        recovered.expect("settled");
    };
    bencher.counter(ItemsCount::new(callers)).with_inputs(settled).bench_values(|()| {
        bench.runtime.block_on(async {
            let asked = (0..callers).map(|_| bench.store.reserve(&bench.fence, ask(1)));
            for answer in futures_util::future::join_all(asked).await {
                answer.expect("asked");
            }
        });
    });
}
