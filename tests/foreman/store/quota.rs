//! Escalation counts: sliding windows, slots, and what gives them back.

use foreman::domain::ids::{AttemptId, IssueNumber};
use foreman::domain::run::RunStatus;
use foreman::escalation::{Passage, RailRefusal};
use foreman::store::{
    Admitted, Ceilings, Change, Fence, QuotaLimits, QuotaRefusal, QuotaUsed, QuotaWindow, Reserved,
};
use futures_util::future::join_all;
use serde_json::json;

use super::lab::{HOUR, Lab, NOON, SECOND, admission, reserve};

const YES: Admitted = Admitted::Yes(Passage::AutoApproved);

super::on_both!(
    exactly_five_of_sixty_four_get_in,
    an_hour_and_a_day_let_in_exactly_their_number,
    a_slot_is_held_no_longer_than_its_lease,
    windows_slide,
    slots_come_back_with_the_attempt,
    exempt_work_is_not_counted,
    a_clock_that_steps_back_opens_no_window,
);

fn ended(attempt: &str) -> Vec<Change> {
    let id = AttemptId::new(attempt);
    vec![Change::Attempt { id, issue: IssueNumber(1), state: json!({}), ended: true }]
}

/// Sends one request for an admission, so that it counts for good.
async fn admit_and_use(lab: &Lab, fence: &Fence, attempt: &str, limits: QuotaLimits) -> Admitted {
    let ask = admission(attempt, limits);
    let mut call = reserve(1, 0.0, Ceilings::default());
    call.escalation = Some(ask.id.clone());
    call.attempt = ask.attempt.clone();
    let admitted = lab.store.admit(fence, ask).await.expect("asked");
    if admitted == YES {
        let reserved = lab.store.reserve(fence, call).await.expect("asked");
        assert!(matches!(reserved, Reserved::Dispatched(_)));
    }
    admitted
}

async fn exactly_five_of_sixty_four_get_in(lab: &Lab) {
    let fence = lab.night("o/r").await;
    let second = lab.another().await.expect("opens");
    let asked = join_all((0..64).map(|n| {
        let store = if n % 2 == 0 { lab.store.clone() } else { second.clone() };
        let fence = fence.clone();
        let ask = admission(&format!("a{n}"), QuotaLimits::default());
        tokio::spawn(async move { store.admit(&fence, ask).await })
    }))
    .await;
    let mut yes = 0;
    for result in asked {
        match result.expect("no panic").expect("no error") {
            Admitted::Yes(_) => yes += 1,
            Admitted::Refused(refusal) => {
                let (window, used, limit) = (QuotaWindow::Concurrent, 5, 5);
                assert_eq!(refusal, RailRefusal::Quota(QuotaRefusal { window, used, limit }));
            }
        }
    }
    assert_eq!(yes, 5);
    let used = second.quota_used().await.expect("read");
    assert_eq!(used, QuotaUsed { daily: 5, hourly: 5, concurrent: 5 });
    second.close().await;
}

/// The same rush where slots do not bind: the hour does, then the day.
async fn an_hour_and_a_day_let_in_exactly_their_number(lab: &Lab) {
    let fence = lab.night("o/r").await;
    let second = lab.another().await.expect("opens");
    let limits = QuotaLimits { concurrent: 1_000, ..QuotaLimits::default() };
    let mut in_all = 0;
    for hour in 0..6 {
        lab.set_clock(NOON + hour * HOUR);
        let asked = join_all((0..64).map(|n| {
            let store = if n % 2 == 0 { lab.store.clone() } else { second.clone() };
            let (fence, ask) = (fence.clone(), admission(&format!("h{hour}a{n}"), limits));
            tokio::spawn(async move { store.admit(&fence, ask).await })
        }))
        .await;
        let admitted =
            asked.into_iter().filter(|it| matches!(it, Ok(Ok(Admitted::Yes(_))))).count();
        assert_eq!(admitted, if hour < 5 { 10 } else { 0 }, "in hour {hour}");
        in_all += admitted;
    }
    assert_eq!(in_all, 50);
    second.close().await;
}

async fn a_slot_is_held_no_longer_than_its_lease(lab: &Lab) {
    let fence = lab.night("o/r").await;
    assert_eq!(admit_and_use(lab, &fence, "a", QuotaLimits::default()).await, YES);
    let held = async || lab.store.quota_used().await.expect("read").concurrent;
    assert_eq!(held().await, 1);
    lab.set_clock(NOON + 31 * SECOND);
    assert_eq!(held().await, 0, "its owner is silent");
    lab.store.renew(&fence).await.expect("renewed");
    assert_eq!(held().await, 1, "it was only slow");
}

async fn windows_slide(lab: &Lab) {
    let fence = lab.night("o/r").await;
    let limits = QuotaLimits { daily: 3, hourly: 2, concurrent: 9 };
    let refused = |window, used, limit| {
        Admitted::Refused(RailRefusal::Quota(QuotaRefusal { window, used, limit }))
    };
    let steps = [
        (0, YES),
        (10 * SECOND, YES),
        (20 * SECOND, refused(QuotaWindow::Hourly, 2, 2)),
        (HOUR - 1, refused(QuotaWindow::Hourly, 2, 2)),
        (HOUR, YES),
        (3 * HOUR, refused(QuotaWindow::Daily, 3, 3)),
        (24 * HOUR - 1, refused(QuotaWindow::Daily, 3, 3)),
        (24 * HOUR, YES),
    ];
    for (n, (at, expected)) in steps.into_iter().enumerate() {
        lab.set_clock(NOON + at);
        let attempt = format!("a{n}");
        assert_eq!(admit_and_use(lab, &fence, &attempt, limits).await, expected, "{at}");
        lab.store.apply(&fence, ended(&attempt)).await.expect("ended");
    }
}

async fn slots_come_back_with_the_attempt(lab: &Lab) {
    let fence = lab.night("o/r").await;
    let limits = QuotaLimits::default();
    let ask = admission("unused", limits);
    assert_eq!(lab.store.admit(&fence, ask.clone()).await.expect("asked"), YES);
    // Asked again after a crash: the same admission.
    assert_eq!(lab.store.admit(&fence, ask).await.expect("asked"), YES);
    admit_and_use(lab, &fence, "used", limits).await;
    admit_and_use(lab, &fence, "left open", limits).await;
    let used = async || lab.store.quota_used().await.expect("read");
    assert_eq!(used().await, QuotaUsed { daily: 3, hourly: 3, concurrent: 3 });
    // Nothing was sent for the first: it does not count. The second counts for its windows.
    lab.store.release_escalations(&fence, &AttemptId::new("unused")).await.expect("released");
    lab.store.apply(&fence, ended("used")).await.expect("ended");
    assert_eq!(used().await, QuotaUsed { daily: 2, hourly: 2, concurrent: 1 });
    let done = Change::RunStatus { status: RunStatus::Cancelled, errors: Vec::new() };
    lab.store.apply(&fence, vec![done]).await.expect("ended");
    assert_eq!(used().await, QuotaUsed { daily: 2, hourly: 2, concurrent: 0 });
}

async fn exempt_work_is_not_counted(lab: &Lab) {
    let fence = lab.night("o/r").await;
    let nothing = QuotaLimits { daily: 0, hourly: 0, concurrent: 0 };
    let mut ask = admission("a", nothing);
    ask.counted = false;
    assert_eq!(lab.store.admit(&fence, ask).await.expect("asked"), YES);
    assert_eq!(lab.store.quota_used().await.expect("read"), QuotaUsed::default());
    let asked = lab.store.admit(&fence, admission("b", nothing)).await.expect("asked");
    assert!(
        matches!(
            asked,
            Admitted::Refused(RailRefusal::Quota(QuotaRefusal { window: QuotaWindow::Daily, .. }))
        ),
        "{asked:?}"
    );
}

async fn a_clock_that_steps_back_opens_no_window(lab: &Lab) {
    let fence = lab.night("o/r").await;
    let limits = QuotaLimits { daily: 50, hourly: 1, concurrent: 9 };
    assert_eq!(admit_and_use(lab, &fence, "a", limits).await, YES);
    lab.set_clock(NOON - 2 * HOUR);
    let again = admit_and_use(lab, &fence, "b", limits).await;
    assert!(
        matches!(
            again,
            Admitted::Refused(RailRefusal::Quota(QuotaRefusal { window: QuotaWindow::Hourly, .. }))
        ),
        "{again:?}"
    );
    assert_eq!(lab.store.quota_used().await.expect("read").hourly, 1);
}
