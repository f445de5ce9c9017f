//! Money: no ceiling is crossed, however many ask at once and whoever dies in between.

use foreman::domain::call::{Answer, ErrorClass, FinishReason, ToolCall};
use foreman::domain::ids::{AttemptId, CallId, IssueNumber};
use foreman::domain::money::{Usage, Usd};
use foreman::store::{
    CallStatus, Ceilings, Change, Fence, Reserve, Reserved, Scope, Settlement, StoreError,
};
use futures_util::future::join_all;

use super::lab::{HOUR, Lab, NOON, SECOND, SECRET, night_ceiling, reserve, usd};

super::on_both!(
    sixty_four_at_once_stay_under_the_ceiling,
    every_scope_is_counted,
    what_was_spent_under_an_older_schema_counts,
    a_refusal_says_whether_waiting_helps,
    a_call_is_booked_once_and_settled_once,
    the_real_cost_is_booked_above_the_reservation_too,
    a_restart_refills_nothing,
    what_is_stored_of_a_call_reads_back_redacted,
    a_settlement_and_its_changes_are_one,
    what_a_silent_owner_left_in_flight_holds_nobody_up,
);

pub fn answered(cost: f64) -> Settlement {
    Settlement::Answered { answer: answer("done"), cost: usd(cost), unknown: false }
}

fn answer(text: &str) -> Answer {
    Answer {
        content: Some(text.to_owned()),
        tool_calls: Vec::new(),
        finish: FinishReason::Stop,
        usage: Some(Usage { prompt_tokens: 10, cached_tokens: 4, completion_tokens: 5 }),
        service_tier: None,
        model: None,
        request_id: None,
    }
}

fn failed(cost: f64, unknown: bool) -> Settlement {
    let message = format!("timed out with {SECRET}");
    Settlement::Failed { class: ErrorClass::Timeout, message, cost: usd(cost), unknown }
}

async fn dispatch(lab: &Lab, fence: &Fence, ask: Reserve) -> CallId {
    match lab.store.reserve(fence, ask).await.expect("asked") {
        Reserved::Dispatched(id) => id,
        Reserved::Refused(refusal) => panic!("{refusal:?}"),
    }
}

async fn sixty_four_at_once_stay_under_the_ceiling(lab: &Lab) {
    let fence = lab.night("o/r").await;
    let second = lab.another().await.expect("opens");
    let asked = join_all((0..64).map(|n| {
        let store = if n % 2 == 0 { lab.store.clone() } else { second.clone() };
        let fence = fence.clone();
        tokio::spawn(async move {
            let result = store.reserve(&fence, reserve(1, 0.3, night_ceiling(1.0))).await;
            if let Ok(Reserved::Dispatched(id)) = &result
                && n % 4 == 0
            {
                store.settle(&fence, id, answered(0.25), Vec::new()).await.expect("settled");
            }
            result
        })
    }))
    .await;
    let mut dispatched = 0;
    for result in asked {
        if matches!(result.expect("no panic").expect("no error"), Reserved::Dispatched(_)) {
            dispatched += 1;
        }
    }
    let calls = lab.store.calls(&fence.run, None).await.expect("read");
    let booked: Usd = calls.iter().map(|call| call.cost).sum();
    assert_eq!(calls.len(), dispatched);
    assert!(dispatched >= 3, "{dispatched}");
    assert!(booked <= usd(1.0), "{booked}");
    // And the ceiling is used: nothing more of that size fits.
    assert!(booked > usd(0.7), "{booked}");
    second.close().await;
}

async fn what_was_spent_under_an_older_schema_counts(lab: &Lab) {
    let fence = lab.night("o/r").await;
    for settlement in [answered(1.0), failed(0.5, true)] {
        let call = dispatch(lab, &fence, reserve(1, 0.5, Ceilings::default())).await;
        lab.store.settle(&fence, &call, settlement, Vec::new()).await.expect("settled");
    }
    // Before version 11 there were no sums beside the calls.
    let triggers = if lab.is_postgres() {
        "DROP TRIGGER calls_spent_changed ON calls; DROP TRIGGER calls_refuse_delete ON calls; \
         DROP FUNCTION calls_spent; DROP FUNCTION calls_refuse"
    } else {
        "DROP TRIGGER calls_spent_changed; DROP TRIGGER calls_spent_at_once; \
         DROP TRIGGER calls_refuse_delete"
    };
    for sql in [
        triggers,
        "DROP TABLE spent_by_issue",
        "DROP TABLE spent_by_day",
        "DROP INDEX calls_in_flight",
        "DROP INDEX calls_numbered",
        "DELETE FROM schema_version WHERE version = 11",
    ] {
        lab.by_hand(sql).await.expect("by hand");
    }
    let newer = lab.another().await.expect("opens");
    for scope in [Scope::Night, Scope::Issue, Scope::Repository, Scope::Day, Scope::Month] {
        let limit = Some(usd(2.0));
        let mut ceilings = Ceilings::default();
        match scope {
            Scope::Night => ceilings.night = limit,
            Scope::Issue => ceilings.issue = limit,
            Scope::Repository => ceilings.repository = limit,
            Scope::Day => ceilings.day = limit,
            Scope::Month => ceilings.month = limit,
        }
        match newer.reserve(&fence, reserve(1, 0.6, ceilings)).await.expect("asked") {
            Reserved::Refused(refusal) => {
                assert_eq!((refusal.scope, refusal.spent), (scope, usd(1.5)));
            }
            Reserved::Dispatched(_) => panic!("{scope:?}"),
        }
    }
    newer.close().await;
}

async fn every_scope_is_counted(lab: &Lab) {
    // Near the end of a day, so that the next one begins within the story.
    lab.set_clock(NOON + 11 * HOUR);
    let fence = lab.night("o/r").await;
    let other = lab.night("o/other").await;
    for (fence, issue) in [(&fence, 1), (&fence, 2), (&other, 1)] {
        let call = dispatch(lab, fence, reserve(issue, 1.0, Ceilings::default())).await;
        lab.store.settle(fence, &call, answered(1.0), Vec::new()).await.expect("settled");
    }
    let none = Ceilings::default;
    let limit = |usd_limit: f64| Some(usd(usd_limit));
    let cases: [(Scope, f64, Ceilings); 5] = [
        (Scope::Night, 2.0, Ceilings { night: limit(2.5), ..none() }),
        (Scope::Issue, 1.0, Ceilings { issue: limit(1.5), ..none() }),
        (Scope::Repository, 2.0, Ceilings { repository: limit(2.5), ..none() }),
        (Scope::Day, 3.0, Ceilings { day: limit(3.5), ..none() }),
        (Scope::Month, 3.0, Ceilings { month: limit(3.5), ..none() }),
    ];
    for (scope, spent, ceilings) in cases {
        match lab.store.reserve(&fence, reserve(1, 1.0, ceilings)).await.expect("asked") {
            Reserved::Refused(refusal) => {
                assert_eq!((refusal.scope, refusal.spent), (scope, usd(spent)));
                assert!(!refusal.only_in_flight);
            }
            Reserved::Dispatched(_) => panic!("{scope:?}"),
        }
        dispatch(lab, &fence, reserve(1, 0.5, ceilings)).await;
        let calls = lab.store.calls(&fence.run, Some(IssueNumber(1))).await.expect("read");
        let last = &calls.last().expect("one").id;
        lab.store.settle(&fence, last, failed(0.0, false), Vec::new()).await.expect("settled");
    }
    lab.set_clock(NOON + 12 * HOUR);
    let day = Ceilings { day: limit(1.0), ..none() };
    dispatch(lab, &fence, reserve(1, 1.0, day)).await;
    let month = Ceilings { month: limit(4.0), ..none() };
    let asked = lab.store.reserve(&fence, reserve(1, 0.1, month)).await.expect("asked");
    assert!(matches!(asked, Reserved::Refused(_)), "{asked:?}");
    // What is free moves no ceiling; a ceiling of nothing lets nothing else through.
    let nothing = Ceilings { night: Some(Usd::ZERO), ..none() };
    dispatch(lab, &fence, reserve(1, 0.0, nothing)).await;
    let asked = lab.store.reserve(&other, reserve(1, 0.000_001, nothing)).await.expect("asked");
    assert!(matches!(asked, Reserved::Refused(_)), "{asked:?}");
}

async fn a_refusal_says_whether_waiting_helps(lab: &Lab) {
    let fence = lab.night("o/r").await;
    let first = dispatch(lab, &fence, reserve(1, 0.8, night_ceiling(1.0))).await;
    let asked = lab.store.reserve(&fence, reserve(2, 0.5, night_ceiling(1.0))).await;
    let Reserved::Refused(refusal) = asked.expect("asked") else { panic!("fits") };
    assert!(refusal.only_in_flight);
    assert_eq!((refusal.spent, refusal.reserved), (Usd::ZERO, usd(0.8)));
    lab.store.settle(&fence, &first, answered(0.6), Vec::new()).await.expect("settled");
    let asked = lab.store.reserve(&fence, reserve(2, 0.5, night_ceiling(1.0))).await;
    let Reserved::Refused(refusal) = asked.expect("asked") else { panic!("fits") };
    assert!(!refusal.only_in_flight);
    dispatch(lab, &fence, reserve(2, 0.4, night_ceiling(1.0))).await;
}

async fn a_call_is_booked_once_and_settled_once(lab: &Lab) {
    let fence = lab.night("o/r").await;
    let ask = reserve(1, 0.5, night_ceiling(0.6));
    let call = dispatch(lab, &fence, ask.clone()).await;
    assert_eq!(dispatch(lab, &fence, ask).await, call);
    lab.store.settle(&fence, &call, failed(0.1, true), Vec::new()).await.expect("unknown");
    let row = &lab.store.calls(&fence.run, None).await.expect("read")[0];
    assert_eq!((row.status, row.cost), (CallStatus::Unknown, usd(0.5)));
    lab.store.settle(&fence, &call, answered(0.2), Vec::new()).await.expect("known at last");
    let again = lab.store.settle(&fence, &call, answered(0.3), Vec::new()).await;
    assert!(matches!(again, Err(StoreError::AlreadySettled(_))), "{again:?}");
    let nowhere = lab.store.settle(&fence, &CallId::new("x"), answered(0.3), Vec::new()).await;
    assert!(matches!(nowhere, Err(StoreError::UnknownCall(_))), "{nowhere:?}");
    let calls = lab.store.calls(&fence.run, None).await.expect("read");
    assert_eq!((calls.len(), calls[0].cost), (1, usd(0.2)));
}

async fn the_real_cost_is_booked_above_the_reservation_too(lab: &Lab) {
    let fence = lab.night("o/r").await;
    let call = dispatch(lab, &fence, reserve(1, 0.5, night_ceiling(1.0))).await;
    lab.store.settle(&fence, &call, answered(1.5), Vec::new()).await.expect("settled");
    let run = lab.store.run(&fence.run).await.expect("read").expect("there");
    assert_eq!(run.cost_usd, usd(1.5));
    let asked = lab.store.reserve(&fence, reserve(1, 0.01, night_ceiling(1.0))).await;
    assert!(matches!(asked.expect("asked"), Reserved::Refused(_)));
}

async fn a_restart_refills_nothing(lab: &Lab) {
    let fence = lab.night("o/r").await;
    let settled = dispatch(lab, &fence, reserve(1, 0.4, night_ceiling(1.0))).await;
    lab.store.settle(&fence, &settled, answered(0.3), Vec::new()).await.expect("settled");
    let sent = dispatch(lab, &fence, reserve(1, 0.4, night_ceiling(1.0))).await;
    // Another kind of caller may reserve without sending; a crash leaves such a row.
    let held = dispatch(lab, &fence, reserve(1, 0.2, night_ceiling(1.0))).await;
    let sql = format!("UPDATE calls SET status = 'reserved' WHERE id = '{held}'");
    lab.by_hand(&sql).await.expect("by hand");

    let second = lab.another().await.expect("opens");
    let new = second.claim_run(&fence.run, "next", true).await.expect("asked").expect("ours");
    let recovered = second.recover_calls(&new).await.expect("recovered");
    assert_eq!((recovered.released, recovered.unknown), (vec![held], vec![sent.clone()]));
    assert!(second.recover_calls(&new).await.expect("again").unknown.is_empty());
    let asked = second.reserve(&new, reserve(1, 0.4, night_ceiling(1.0))).await.expect("asked");
    let Reserved::Refused(refusal) = asked else { panic!("refilled") };
    assert_eq!((refusal.spent, refusal.reserved), (usd(0.7), Usd::ZERO));
    // The answer was lost, the bill was not.
    second.settle(&new, &sent, answered(0.1), Vec::new()).await.expect("known at last");
    let asked = second.reserve(&new, reserve(1, 0.4, night_ceiling(1.0))).await.expect("asked");
    assert!(matches!(asked, Reserved::Dispatched(_)), "{asked:?}");
    second.close().await;
}

async fn what_is_stored_of_a_call_reads_back_redacted(lab: &Lab) {
    let fence = lab.night("o/r").await;
    let good = dispatch(lab, &fence, reserve(7, 0.1, Ceilings::default())).await;
    let mut said = answer(&format!("the token is {SECRET}"));
    said.tool_calls = vec![ToolCall {
        id: "t1".to_owned(),
        name: "run_command".to_owned(),
        arguments: format!("{{\"command\":\"echo {SECRET}\"}}"),
    }];
    let tool = |output: String| Change::Tool {
        attempt: AttemptId::new("attempt-7"),
        call: good.clone(),
        index: 0,
        tool_call_id: "t1".to_owned(),
        output,
        tree: Some("b".repeat(40)),
    };
    let settlement = Settlement::Answered { answer: said, cost: usd(0.05), unknown: false };
    lab.store.settle(&fence, &good, settlement, Vec::new()).await.expect("settled");
    lab.store.apply(&fence, vec![tool(format!("{SECRET}\0!"))]).await.expect("stored");
    lab.store.apply(&fence, vec![tool("again".to_owned())]).await.expect("stored before");
    let bad = dispatch(lab, &fence, reserve(7, 0.1, Ceilings::default())).await;
    lab.store.settle(&fence, &bad, failed(0.0, false), Vec::new()).await.expect("settled");

    let calls = lab.store.calls(&fence.run, Some(IssueNumber(7))).await.expect("read");
    let answer = calls[0].answer.as_ref().expect("stored");
    assert_eq!(answer.content.as_deref(), Some("the token is [redacted]"));
    assert_eq!(answer.tool_calls[0].arguments, "{\"command\":\"echo [redacted]\"}");
    assert_eq!(calls[0].usage.map(|usage| usage.total()), Some(15));
    assert_eq!(calls[1].error_message.as_deref(), Some("timed out with [redacted]"));
    assert_eq!(calls[1].error_class, Some(ErrorClass::Timeout));
    let tools = lab.store.tool_results(&AttemptId::new("attempt-7")).await.expect("read");
    assert_eq!(tools.len(), 1);
    assert_eq!(tools[0].output, "[redacted]\u{fffd}!");
}

async fn a_settlement_and_its_changes_are_one(lab: &Lab) {
    let fence = lab.night("o/r").await;
    let call = dispatch(lab, &fence, reserve(1, 0.1, Ceilings::default())).await;
    let impossible = Change::Tool {
        attempt: AttemptId::new("a"),
        call: CallId::new("nowhere"),
        index: 0,
        tool_call_id: String::new(),
        output: String::new(),
        tree: None,
    };
    lab.store.settle(&fence, &call, answered(0.1), vec![impossible]).await.expect_err("refused");
    let row = &lab.store.calls(&fence.run, None).await.expect("read")[0];
    assert_eq!((row.status, row.answer.is_none()), (CallStatus::Dispatched, true));
    assert_eq!(lab.clock.load(std::sync::atomic::Ordering::SeqCst), NOON);
}

/// Nobody resumes the run, so nobody else clears up after it.
async fn what_a_silent_owner_left_in_flight_holds_nobody_up(lab: &Lab) {
    let (fence, other) = (lab.night("o/r").await, lab.night("o/other").await);
    let limit = Ceilings { day: Some(usd(1.0)), ..Ceilings::default() };
    let sent = dispatch(lab, &fence, reserve(1, 0.6, limit)).await;
    lab.store.renew(&other).await.expect("renewed");
    assert_eq!(lab.store.sweep_expired_calls().await.expect("swept"), 0, "its owner lives");
    let waits = lab.store.reserve(&other, reserve(1, 0.6, limit)).await.expect("asked");
    assert!(matches!(waits, Reserved::Refused(refusal) if refusal.only_in_flight), "{waits:?}");

    lab.set_clock(NOON + 31 * SECOND);
    lab.store.renew(&other).await.expect("renewed");
    assert_eq!(lab.store.sweep_expired_calls().await.expect("swept"), 1);
    let row = lab.store.calls(&fence.run, None).await.expect("read").remove(0);
    assert_eq!((row.id, row.status, row.cost), (sent, CallStatus::Unknown, usd(0.6)));
    // It counts as spent now: there is nothing to wait for.
    let full = lab.store.reserve(&other, reserve(1, 0.6, limit)).await.expect("asked");
    assert!(matches!(full, Reserved::Refused(refusal) if !refusal.only_in_flight), "{full:?}");
    assert_eq!(lab.store.sweep_expired_calls().await.expect("swept"), 0);
}
