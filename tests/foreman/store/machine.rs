//! The ledger against a model of it: random steps of reserving, settling, releasing, crashing,
//! restarting and a clock that jumps, each followed by every promise the ledger makes.

use std::collections::BTreeMap;

use chrono::Datelike as _;
use foreman::domain::call::ErrorClass;
use foreman::domain::ids::{AttemptId, CallId, IssueNumber};
use foreman::domain::money::Usd;
use foreman::domain::run::RunStatus;
use foreman::domain::time::from_micros;
use foreman::escalation::QuotaLimits;
use foreman::store::{
    Admitted, CallStatus, Ceilings, Change, Fence, Reserved, Settlement, Store, StoreError,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use super::lab::{Lab, NOON, SECOND, admission, reserve, usd};

/// Commits to a disk are slow; each case is one database.
const CASES: u32 = 12;
const STEPS: usize = 60;

/// A day's limit that random steps can reach; hour and slots are the shipped ones.
const LIMITS: QuotaLimits = QuotaLimits { daily: 14, hourly: 10, concurrent: 5 };

#[derive(Debug, Clone)]
enum Step {
    Reserve {
        issue: u64,
        cents: u32,
    },
    /// Of those in flight, the nth; at this part of its estimate.
    Settle {
        nth: usize,
        percent: u32,
        unknown: bool,
    },
    Admit {
        use_it: bool,
    },
    /// Of the attempts that hold a slot, the nth.
    End {
        nth: usize,
    },
    /// The process dies and another takes over.
    Crash,
    /// The night ends and the next one begins on the same repository.
    NextNight,
    Clock {
        seconds: i64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..4_u64, 1..60_u32).prop_map(|(issue, cents)| Step::Reserve { issue, cents }),
        4 => (0..8_usize, 0..=100_u32, prop::bool::weighted(0.2))
            .prop_map(|(nth, percent, unknown)| Step::Settle { nth, percent, unknown }),
        4 => prop::bool::weighted(0.8).prop_map(|use_it| Step::Admit { use_it }),
        3 => (0..5_usize).prop_map(|nth| Step::End { nth }),
        1 => Just(Step::Crash),
        1 => Just(Step::NextNight),
        2 => prop_oneof![-7_200..0_i64, 0..5_000_i64, 40_000..90_000_i64, 900_000..2_700_000_i64]
            .prop_map(|seconds| Step::Clock { seconds }),
    ];
    prop::collection::vec(step, 1..STEPS)
}

fn ceilings() -> Ceilings {
    Ceilings {
        night: Some(usd(2.0)),
        issue: Some(usd(1.2)),
        repository: Some(usd(3.6)),
        day: Some(usd(2.4)),
        month: Some(usd(3.2)),
    }
}

#[derive(Debug, Clone, Copy)]
struct Call {
    night: usize,
    issue: u64,
    at: i64,
    charge: Usd,
    estimate: Usd,
    open: bool,
}

#[derive(Debug, Clone)]
struct Slot {
    attempt: String,
    at: i64,
    used: bool,
    held: bool,
    counts: bool,
}

fn day_of(at: i64) -> i64 {
    at / (86_400 * SECOND)
}

/// Year and month, as one number.
fn month_of(at: i64) -> i32 {
    let day = from_micros(at);
    day.year() * 12 + i32::try_from(day.month()).expect("small")
}

/// What the ledger should hold, kept beside it.
struct Model {
    fence: Fence,
    /// Which night this is, from 0.
    night: usize,
    calls: BTreeMap<CallId, Call>,
    slots: Vec<Slot>,
    /// What the test's clock says, and the latest time the ledger used.
    clock: i64,
    latest: i64,
    made: usize,
}

impl Model {
    fn now(&mut self) -> i64 {
        self.latest = self.latest.max(self.clock);
        self.latest
    }

    fn open(&self) -> Vec<CallId> {
        self.calls.iter().filter(|(_, call)| call.open).map(|(id, _)| id.clone()).collect()
    }

    async fn step(&mut self, lab: &Lab, store: &mut Store, step: Step) {
        match step {
            Step::Reserve { issue, cents } => self.reserve(store, issue, cents).await,
            Step::Settle { nth, percent, unknown } => {
                self.settle(store, nth, percent, unknown).await;
            }
            Step::Admit { use_it } => self.admit(store, use_it).await,
            Step::End { nth } => self.end(store, nth).await,
            Step::Crash => self.crash(lab, store).await,
            Step::NextNight => self.next_night(lab, store).await,
            Step::Clock { seconds } => {
                self.clock += seconds * SECOND;
                lab.set_clock(self.clock);
                // Who lives says so, or its slots would be free for others.
                store.renew(&self.fence).await.expect("renewed");
                self.now();
            }
        }
    }

    async fn reserve(&mut self, store: &Store, issue: u64, cents: u32) {
        let ask = reserve(issue, f64::from(cents) / 100.0, ceilings());
        let (estimate, at) = (ask.estimate, self.now());
        let call = Call { night: self.night, issue, at, charge: estimate, estimate, open: true };
        let full = self.too_full_for(&call);
        match store.reserve(&self.fence, ask).await.expect("asked") {
            Reserved::Dispatched(id) => {
                assert!(full.is_none(), "{full:?} let {call:?} pass");
                self.calls.insert(id, call);
            }
            Reserved::Refused(refusal) => assert!(full.is_some(), "for nothing: {refusal:?}"),
        }
    }

    /// The first ceiling that this call would break.
    fn too_full_for(&self, call: &Call) -> Option<&'static str> {
        let limits = ceilings();
        let (day, month) = (day_of(call.at), month_of(call.at));
        let room = |limit: Option<Usd>, within: &dyn Fn(&Call) -> bool| {
            let booked: Usd = self.calls.values().filter(|it| within(it)).map(|it| it.charge).sum();
            limit.is_none_or(|limit| booked + call.estimate <= limit)
        };
        let same_night = |it: &Call| it.night == call.night;
        [
            ("night", room(limits.night, &same_night)),
            ("issue", room(limits.issue, &|it| same_night(it) && it.issue == call.issue)),
            ("repository", room(limits.repository, &|_| true)),
            // A clock that stepped back counts as the latest time seen: never before a stored one.
            ("day", room(limits.day, &|it| day_of(it.at) >= day)),
            ("month", room(limits.month, &|it| month_of(it.at) >= month)),
        ]
        .into_iter()
        .find_map(|(name, fits)| (!fits).then_some(name))
    }

    async fn settle(&mut self, store: &Store, nth: usize, percent: u32, unknown: bool) {
        let Some(id) = self.open().into_iter().nth(nth) else { return };
        let call = self.calls.get_mut(&id).expect("known");
        let cost = Usd::from_nanos(call.estimate.nanos() / 100 * i64::from(percent));
        let (class, message) = (ErrorClass::Timeout, "late".to_owned());
        let settlement = Settlement::Failed { class, message, cost, unknown };
        call.charge = if unknown { call.estimate } else { cost };
        call.open = false;
        store.settle(&self.fence, &id, settlement.clone(), Vec::new()).await.expect("settled");
        let again = store.settle(&self.fence, &id, settlement, Vec::new()).await;
        // Unknown may still become known; what is settled is settled.
        assert_eq!(again.is_ok(), unknown, "{again:?}");
        self.now();
    }

    async fn admit(&mut self, store: &Store, use_it: bool) {
        self.made += 1;
        let attempt = format!("machine-{}", self.made);
        let ask = admission(&attempt, LIMITS);
        let mut call = reserve(9, 0.0, Ceilings::default());
        call.escalation = Some(ask.id.clone());
        call.attempt = ask.attempt.clone();
        let at = self.now();
        match store.admit(&self.fence, ask).await.expect("asked") {
            Admitted::Yes(_) => {
                if use_it {
                    let free = Call {
                        night: self.night,
                        issue: 9,
                        at,
                        charge: Usd::ZERO,
                        estimate: Usd::ZERO,
                        open: true,
                    };
                    self.calls.insert(call.id.clone(), free);
                    store.reserve(&self.fence, call).await.expect("free of charge");
                }
                self.slots.push(Slot { attempt, at, used: use_it, held: true, counts: true });
            }
            Admitted::Refused(refusal) => {
                assert!(self.refusal_is_due(at), "refused for nothing: {refusal}");
            }
        }
    }

    fn refusal_is_due(&self, now: i64) -> bool {
        let (day, hour, held) = self.windows(now);
        day >= LIMITS.daily || hour >= LIMITS.hourly || held >= LIMITS.concurrent
    }

    fn windows(&self, now: i64) -> (u32, u32, u32) {
        let within = |slot: &&Slot, seconds: i64| slot.counts && slot.at > now - seconds * SECOND;
        let count = |n: usize| u32::try_from(n).expect("few");
        (
            count(self.slots.iter().filter(|slot| within(slot, 86_400)).count()),
            count(self.slots.iter().filter(|slot| within(slot, 3_600)).count()),
            count(self.slots.iter().filter(|slot| slot.held).count()),
        )
    }

    async fn end(&mut self, store: &Store, nth: usize) {
        let Some(slot) = self.slots.iter_mut().filter(|slot| slot.held).nth(nth) else { return };
        slot.held = false;
        slot.counts = slot.used;
        let id = AttemptId::new(slot.attempt.clone());
        let ended = Change::Attempt { id, issue: IssueNumber(9), state: json!({}), ended: true };
        store.apply(&self.fence, vec![ended]).await.expect("ended");
        self.now();
    }

    async fn crash(&mut self, lab: &Lab, store: &mut Store) {
        let old = std::mem::replace(store, lab.another().await.expect("opens"));
        let fence = store.claim_run(&self.fence.run, "heir", true).await.expect("claimed");
        let former = std::mem::replace(&mut self.fence, fence.expect("ours"));
        let late = old.reserve(&former, reserve(1, 0.01, ceilings())).await;
        assert!(matches!(late, Err(StoreError::Fenced(_))), "{late:?}");
        old.close().await;
        let recovered = store.recover_calls(&self.fence).await.expect("recovered");
        assert_eq!(recovered.unknown, self.open(), "what was sent and not heard of");
        for id in recovered.unknown {
            self.calls.get_mut(&id).expect("known").open = false;
        }
        self.now();
    }

    async fn next_night(&mut self, lab: &Lab, store: &Store) {
        store.recover_calls(&self.fence).await.expect("recovered");
        for call in self.calls.values_mut() {
            call.open = false;
        }
        while self.slots.iter().any(|slot| slot.held) {
            self.end(store, 0).await;
        }
        let status = RunStatus::Completed;
        let ended = Change::RunStatus { status, errors: Vec::new() };
        store.apply(&self.fence, vec![ended]).await.expect("ended");
        self.fence = lab.night("o/r").await;
        self.night += 1;
        self.now();
    }

    /// Every promise, against the rows and against the model.
    async fn check(&self, store: &Store) {
        let rows = store.calls(&self.fence.run, None).await.expect("read");
        let of_night = self.calls.values().filter(|call| call.night == self.night).count();
        assert_eq!(rows.len(), of_night, "one row per request");
        for row in &rows {
            let call = self.calls.get(&row.id).expect("known");
            assert_eq!(row.cost, call.charge, "{row:?}");
            assert_eq!(row.status == CallStatus::Dispatched, call.open, "{row:?}");
        }
        let booked = |wanted: &dyn Fn(&Call) -> bool| -> Usd {
            self.calls.values().filter(|call| wanted(call)).map(|call| call.charge).sum()
        };
        let limits = ceilings();
        assert!(Some(booked(&|_| true)) <= limits.repository);
        for night in 0..=self.night {
            assert!(Some(booked(&|call| call.night == night)) <= limits.night);
            for issue in 1..4 {
                let of_issue = |call: &Call| call.night == night && call.issue == issue;
                assert!(Some(booked(&of_issue)) <= limits.issue);
            }
        }
        let times: Vec<i64> = self.calls.values().map(|call| call.at).collect();
        for at in times {
            let day = booked(&|call| day_of(call.at) == day_of(at));
            let month = booked(&|call| month_of(call.at) == month_of(at));
            assert!(Some(day) <= limits.day && Some(month) <= limits.month, "{day} {month}");
        }
        let used = store.quota_used().await.expect("read");
        let (day, hour, held) = self.windows(self.latest.max(self.clock));
        assert_eq!((used.daily, used.hourly, used.concurrent), (day, hour, held));
        assert!(held <= 5 && hour <= 10 && day <= LIMITS.daily);
    }
}

async fn run(lab: &Lab, steps: Vec<Step>) {
    let mut store = lab.another().await.expect("opens");
    let fence = lab.night("o/r").await;
    let mut model = Model {
        fence,
        night: 0,
        calls: BTreeMap::new(),
        slots: Vec::new(),
        clock: NOON,
        latest: NOON,
        made: 0,
    };
    for step in steps {
        model.step(lab, &mut store, step).await;
        model.check(&store).await;
    }
    store.close().await;
}

fn drive(open: impl AsyncFn() -> Option<Lab>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let config = Config {
        cases: CASES,
        max_shrink_iters: 40,
        failure_persistence: None,
        ..Config::default()
    };
    let result = TestRunner::new(config).run(&steps(), |steps| {
        let outcome = runtime.block_on(async {
            let Some(lab) = open().await else { return Ok(()) };
            let ran = std::panic::AssertUnwindSafe(run(&lab, steps));
            let ended = futures_util::FutureExt::catch_unwind(ran).await;
            lab.finish().await;
            ended
        });
        outcome.map_err(|panic| {
            let said = panic.downcast_ref::<String>().cloned();
            TestCaseError::fail(said.unwrap_or_else(|| "a promise was broken".to_owned()))
        })
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn the_ledger_keeps_its_promises_on_sqlite() {
    drive(async || Some(Lab::sqlite().await));
}

#[test]
fn the_ledger_keeps_its_promises_on_postgres() {
    drive(Lab::postgres);
}
