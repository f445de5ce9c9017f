//! Kills between any two steps of a paid call: no charge lost, none twice, no slot held after.
//!
//! Every round works two issues on a counted tier, dies once at a random step of a random call and
//! is resumed. What the model server saw is the truth it is held to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foreman::domain::ids::RunId;
use foreman::domain::redact::Redactor;
use foreman::store::{CallRow, CallStatus, DatabaseUrl, OpenOptions, Store, StoreClock};
use rand::RngExt as _;
use rand::rngs::SmallRng;
use serde_json::{Value, json};

use crate::support::{Town, body, good_work, issue, script};
use foreman::demo::model::Reply;

/// Each place between two steps of a call, and how often a night without a death passes it: six
/// answers, and before them one call that fails.
const PLACES: [(&str, u32); 7] = [
    ("escalation.admitted", 2),
    ("model.reserving", 7),
    ("model.dispatched", 7),
    ("model.answered", 7),
    ("model.failed", 1),
    ("model.settled", 6),
    ("tool.stored", 6),
];

/// Where this round dies.
pub fn place(random: &mut SmallRng) -> String {
    let (name, times) = PLACES[random.random_range(0..PLACES.len())];
    format!("{name}:{}", random.random_range(1..=times))
}

/// Two issues that each escalate; the first call of the night fails.
async fn town() -> Town {
    let asked = AtomicUsize::new(0);
    let answer = script(move |input| {
        let nth = asked.fetch_add(1, Ordering::SeqCst);
        if nth == 0 {
            let error = json!({"error": {"code": "overloaded", "message": "later"}});
            return Reply::Status(503, Vec::new(), error.to_string());
        }
        good_work(input)
    });
    let hard = |title: &str| issue(title).label("complexity:high");
    Town::new(answer, vec![hard("First"), hard("Second")]).await
}

/// One killed night; says what is wrong with its end, if anything.
pub async fn round(place: &str) -> Result<(), String> {
    let town = town().await;
    let mut server = town.serve_dying_at(place).await;
    let id = server.begin(&body()).await;
    server.died().await;
    server.kill().await;
    let server = town.serve().await;
    let run = server.ended(&id).await;
    let quota = server.get("/api/foreman/overnight").await.json["status"]["quotaUsage"].clone();
    let log = server.log();
    server.kill().await;
    let calls = calls(&town, &id).await?;
    judge(&town, &run, &quota, &calls).map_err(|why| format!("{why}\n{log}"))
}

async fn calls(town: &Town, id: &str) -> Result<Vec<CallRow>, String> {
    let path = town.data.path().join("data/foreman.db");
    let store = Store::open(OpenOptions {
        url: DatabaseUrl::file(&path).map_err(|error| error.to_string())?,
        redactor: Arc::new(Redactor::default()),
        clock: StoreClock::System,
        read_only: true,
    })
    .await
    .map_err(|error| error.to_string())?;
    let calls = store.calls(&RunId::new(id), None).await.map_err(|error| error.to_string())?;
    store.close().await;
    Ok(calls)
}

fn judge(town: &Town, run: &Value, quota: &Value, calls: &[CallRow]) -> Result<(), String> {
    let ensure = |holds: bool, what: &dyn Fn() -> String| if holds { Ok(()) } else { Err(what()) };
    ensure(run["status"] == "completed", &|| format!("status: {run:#}"))?;
    let of = |status: CallStatus| calls.iter().filter(move |call| call.status == status);
    let open = of(CallStatus::Dispatched).count() + of(CallStatus::Reserved).count();
    ensure(open == 0, &|| format!("{open} calls stay in flight: {calls:#?}"))?;

    // Every request has its row. Only the call that the death cut off has a row of unknown charge,
    // and only that one may have no request.
    let requests = town.model.requests().len();
    let unknown = of(CallStatus::Unknown).count();
    let unsent = calls.len().checked_sub(requests);
    ensure(unknown <= 1 && unsent.is_some_and(|unsent| unsent <= unknown), &|| {
        format!("{} rows, {requests} requests, {unknown} unknown: {calls:#?}", calls.len())
    })?;
    for call in of(CallStatus::Unknown) {
        ensure(call.cost == call.estimate, &|| format!("not at its estimate: {call:#?}"))?;
    }
    // Nothing that was answered and stored is bought again: six answers and the failed call do, and
    // the cut off one once more.
    let answered = calls.iter().filter(|call| call.answer.is_some()).count();
    ensure(answered == 6, &|| format!("{answered} answers were bought for six: {calls:#?}"))?;

    let booked: i64 = calls.iter().map(|call| call.cost.nanos()).sum();
    let shown = run["costUsd"].as_f64().unwrap_or_default();
    #[allow(clippy::cast_precision_loss, reason = "nano-USD of a test night fit")]
    let same = (booked as f64 / 1e9 - shown).abs() < 1e-9;
    ensure(same, &|| format!("{booked} nano-USD booked, {shown} USD shown"))?;
    let held = (&quota["concurrent"], &quota["daily"]);
    let counts = |value: &Value, n: u64| value == &json!(n) || value["used"] == json!(n);
    ensure(counts(held.0, 0) && counts(held.1, 2), &|| {
        format!("slots and counts after the night, two escalations: {quota}")
    })
}
