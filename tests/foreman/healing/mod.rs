//! Healing: the error table, what other issues and a restart know of a failure, windows and prices,
//! and what is remembered.

mod memory;
mod shared;
mod sizes;
mod table;

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foreman::builders::{BuildOutcome, Waits};
use foreman::config::TierOverride;
use foreman::demo::model::{Reply, ScriptInput};
use foreman::domain::call::ErrorClass;
use foreman::domain::event::{EventType, Severity};
use foreman::domain::money::Usd;
use foreman::domain::plan::{ReasonCode, SequenceType};
use foreman::domain::tier::ModelTier;
use foreman::escalation::KeyOut;
use foreman::store::{CallStatus, StoreClock};
use serde_json::{Value, json};

use crate::builders::scene::Scene;

const TOP: &str = "gpt-5.1";

/// A scene whose waits are read instead of waited, on a clock that they move.
struct Lab {
    scene: Scene,
    waited: Arc<Mutex<Vec<Duration>>>,
    clock: Arc<AtomicI64>,
}

impl Lab {
    async fn new(script: impl Fn(&ScriptInput) -> Reply + Send + Sync + 'static) -> Self {
        let clock = Arc::new(AtomicI64::new(chrono::Utc::now().timestamp_micros()));
        let mut scene = Scene::at(script, StoreClock::Fixed(Arc::clone(&clock))).await;
        scene.override_tiers(&[]);
        let waited = Arc::new(Mutex::new(Vec::new()));
        let (seen, moved) = (Arc::clone(&waited), Arc::clone(&clock));
        scene.builders.healing.waits = Waits::new(
            move |pause| {
                if !pause.is_zero() {
                    seen.lock().expect("waits").push(pause);
                }
                moved.fetch_add(i64::try_from(pause.as_micros()).expect("small"), Ordering::SeqCst);
                Box::pin(std::future::ready(()))
            },
            || 1.0,
        );
        Self { scene, waited, clock }
    }

    /// The top tier always answers so; everybody else finishes.
    async fn top_answers(reply: Reply) -> Self {
        Self::new(move |input| if input.model == TOP { reply.clone() } else { finish() }).await
    }

    fn pass(&self, seconds: i64) {
        self.clock.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }

    fn waits(&self) -> Vec<u64> {
        self.waited.lock().expect("waits").iter().map(Duration::as_secs).collect()
    }

    /// How often each model was asked, in all.
    fn asked(&self, model: &str) -> usize {
        self.scene.requests().iter().filter(|request| request.model == model).count()
    }
}

fn finish() -> Reply {
    Reply::Finish("done".to_owned())
}

fn refuse(status: u16, headers: &[(&str, &str)], error: &Value) -> Reply {
    let headers = headers.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
    Reply::Status(status, headers, json!({"error": error}).to_string())
}

fn code(status: u16, code: &str) -> Reply {
    refuse(status, &[], &json!({"message": "no", "type": "some_error", "code": code}))
}

fn answered_by(outcome: &BuildOutcome) -> ModelTier {
    match outcome {
        BuildOutcome::Finished { tier, .. } => *tier,
        other => panic!("not finished: {other:?}"),
    }
}
