//! What the ledger adds to a model call: reserve and dispatch in one commit, settle in another, on
//! SQLite with `synchronous=FULL`, against two bare commits in the same run; and how many
//! reservations a second group commit reaches with 1, 8 and 64 callers.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use divan::counter::ItemsCount;
use foreman::domain::call::{Answer, FinishReason};
use foreman::domain::ids::{AttemptId, CallId, IssueNumber, RunId};
use foreman::domain::money::{Usage, Usd};
use foreman::domain::run::{NightConfig, NightRequest};
use foreman::domain::tier::ModelTier;
use foreman::store::{
    Ceilings, DatabaseUrl, Fence, NewRun, OpenOptions, Reserve, Settlement, Store, StoreClock,
};
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Executor as _};
use tokio::runtime::Runtime;

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
    fn new() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        let (store, fence) = runtime.block_on(async {
            let store = Store::open(OpenOptions {
                url: DatabaseUrl::file(&folder.path().join("foreman.db")).expect("a path"),
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
            (store, fence)
        });
        Self { runtime, store, fence, folder }
    }
}

fn ask() -> Reserve {
    let limit = Usd::from_usd(1_000_000.0);
    Reserve {
        id: CallId::fresh(),
        attempt: AttemptId::new("bench"),
        issue: IssueNumber(1),
        escalation: None,
        tier: ModelTier::Gpt4,
        model: "bench".to_owned(),
        estimate: Usd::from_nanos(1_000_000),
        ceilings: Ceilings { night: limit, day: limit, month: limit, ..Ceilings::default() },
    }
}

fn answered() -> Settlement {
    let answer = Answer {
        content: Some("done".to_owned()),
        tool_calls: Vec::new(),
        finish: FinishReason::Stop,
        usage: Some(Usage { prompt_tokens: 1_000, cached_tokens: 600, completion_tokens: 200 }),
        service_tier: None,
        model: None,
        request_id: None,
    };
    Settlement::Answered { answer, cost: Usd::from_nanos(900_000), unknown: false }
}

/// One call's money, begun and settled.
async fn booked(store: &Store, fence: &Fence) {
    let ask = ask();
    let id = ask.id.clone();
    store.reserve(fence, ask).await.expect("asked");
    store.settle(fence, &id, answered(), Vec::new()).await.expect("settled");
}

/// p50 and p99 of both, side by side in one run: a disk's mood hits them alike.
fn overhead() {
    const CALLS: usize = 400;
    let bench = Bench::new();
    let url = format!("sqlite://{}?mode=rwc", bench.folder.path().join("bare.db").display());
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    bench.runtime.block_on(async {
        sqlx::any::install_default_drivers();
        let mut connection = AnyConnection::connect(&url).await.expect("a connection");
        for sql in [
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = FULL",
            "CREATE TABLE calls (id TEXT PRIMARY KEY, status TEXT, charge BIGINT, answer TEXT)",
        ] {
            connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.expect("set up");
        }
        for n in 0..CALLS {
            let begun = Instant::now();
            booked(&bench.store, &bench.fence).await;
            ours.push(begun.elapsed());
            let begun = Instant::now();
            for sql in [
                format!("INSERT INTO calls VALUES ('{n}', 'dispatched', 1000000, NULL)"),
                format!("UPDATE calls SET status = 'settled', charge = 900000, answer = 'done' WHERE id = '{n}'"),
            ] {
                connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.expect("written");
            }
            bare.push(begun.elapsed());
        }
    });
    let (ours, bare) = (Quantiles::of(ours), Quantiles::of(bare));
    println!("reserve + dispatch + settle   p50 {:?}  p99 {:?}", ours.p50, ours.p99);
    println!("the same two commits, bare    p50 {:?}  p99 {:?}", bare.p50, bare.p99);
    println!(
        "ratio of the medians          {:.2}",
        ours.p50.as_secs_f64() / bare.p50.as_secs_f64()
    );
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
    let bench = Bench::new();
    bencher.counter(ItemsCount::new(callers)).bench(|| {
        bench.runtime.block_on(async {
            let asked = (0..callers).map(|_| bench.store.reserve(&bench.fence, ask()));
            for answer in futures_util::future::join_all(asked).await {
                answer.expect("asked");
            }
        });
    });
}
