//! Three processes with 64 tasks each on one database: together they stay under the ceiling and
//! the limits. A process is this test binary again, told by its environment to be one of three.

use std::process::Stdio;

use foreman::domain::ids::RunId;
use foreman::domain::money::Usd;
use foreman::escalation::QuotaLimits;
use foreman::store::{Admitted, Fence, Reserved};
use futures_util::future::join_all;

use super::lab::{Lab, admission, night_ceiling, reserve, usd};

super::on_both!(
    three_processes_share_one_ceiling,
    three_processes_share_one_hour,
    three_processes_share_one_day,
);

const CHILD: &str = "FOREMAN_TEST_LEDGER_CHILD";
const TASKS: usize = 64;
const CEILING: f64 = 5.0;

async fn three_processes_share_one_ceiling(lab: &Lab) {
    together(lab, QuotaLimits::default(), 5).await;
    assert_eq!(lab.store.quota_used().await.expect("read").concurrent, 5);
}

async fn three_processes_share_one_hour(lab: &Lab) {
    together(lab, QuotaLimits { concurrent: 1_000, ..QuotaLimits::default() }, 10).await;
}

async fn three_processes_share_one_day(lab: &Lab) {
    together(lab, QuotaLimits { daily: 50, hourly: 1_000, concurrent: 1_000 }, 50).await;
}

/// All of them at once: so many are admitted, and the money stays under its ceiling.
async fn together(lab: &Lab, limits: QuotaLimits, expected: usize) {
    let fence = lab.night("o/r").await;
    let QuotaLimits { daily, hourly, concurrent } = limits;
    let told = format!(
        "{}\n{}\n{}\n{}\n{daily}\n{hourly}\n{concurrent}",
        lab.url(),
        fence.run,
        fence.owner,
        fence.epoch
    );
    let children = (0..3).map(|_| {
        tokio::process::Command::new(std::env::current_exe().expect("this binary"))
            .args(["store::processes::one_of_three", "--exact", "--nocapture"])
            .env(CHILD, &told)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .output()
    });
    let (mut dispatched, mut admitted) = (0, 0);
    for output in join_all(children).await {
        let output = output.expect("it ran");
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find_map(|line| line.split_once("ledger-child ")).expect("counts");
        let (sent, passed) = line.1.split_once(' ').expect("two counts");
        dispatched += sent.parse::<usize>().expect("a count");
        admitted += passed.trim().parse::<usize>().expect("a count");
    }
    let calls = lab.store.calls(&fence.run, None).await.expect("read");
    let booked: Usd = calls.iter().map(|call| call.cost).sum();
    assert_eq!(calls.len(), dispatched, "each admission is one row");
    assert!(booked <= usd(CEILING), "{booked}");
    // Each of the 16 or so may settle 0.05 below its reservation after the last was refused.
    assert!(booked > usd(CEILING - 0.3 - 16.0 * 0.05), "the ceiling is used: {booked}");
    assert_eq!(admitted, expected);
    assert!(lab.store.verify_chain().await.expect("verified").ok);
}

/// Does nothing unless it was started as a child.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::print_stdout, reason = "the parent reads the counts")]
async fn one_of_three() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let mut lines = told.lines();
    let mut next = || lines.next().expect("seven lines").to_owned();
    let url = next();
    let fence =
        Fence { run: RunId::new(next()), owner: next(), epoch: next().parse().expect("a number") };
    let mut limit = || next().parse().expect("a limit");
    let limits = QuotaLimits { daily: limit(), hourly: limit(), concurrent: limit() };
    let store = super::lab::open(&url).await;
    let tasks = (0..TASKS).map(|n| {
        let (store, fence) = (store.clone(), fence.clone());
        tokio::spawn(async move {
            let name = format!("{}-{n}", std::process::id());
            let ask = admission(&name, limits);
            let admitted = store.admit(&fence, ask).await.expect("asked");
            let asked = store.reserve(&fence, reserve(1, 0.3, night_ceiling(CEILING))).await;
            let sent = match asked.expect("asked") {
                Reserved::Dispatched(id) => {
                    if n % 2 == 0 {
                        let cost = super::ledger::answered(0.25);
                        store.settle(&fence, &id, cost, Vec::new()).await.expect("settled");
                    }
                    true
                }
                Reserved::Refused(_) => false,
            };
            (sent, matches!(admitted, Admitted::Yes(_)))
        })
    });
    let (mut dispatched, mut admitted) = (0, 0);
    for task in join_all(tasks).await {
        let (sent, passed) = task.expect("no panic");
        dispatched += usize::from(sent);
        admitted += usize::from(passed);
    }
    store.close().await;
    println!("ledger-child {dispatched} {admitted}");
}
