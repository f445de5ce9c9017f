//! The safety rails as the store holds them: facts counted under the lock, requests recorded, and
//! each alert given once per window.

use chrono::TimeDelta;
use foreman::domain::call::ErrorClass;
use foreman::domain::event::EventType;
use foreman::domain::ids::{AttemptId, IssueNumber};
use foreman::domain::money::Usd;
use foreman::domain::time::from_micros;
use foreman::escalation::{
    Exemption, Justification, Passage, Period, QuotaLimits, RailRefusal, RailsPolicy, Report,
    Throttle,
};
use foreman::store::{
    Admission, Admitted, Ceilings, Change, Decided, Decision, EventQuery, Fence, Override,
    Reserved, Settlement,
};
use serde_json::json;

use super::lab::{HOUR, Lab, NOON, SECOND, admission, night_ceiling, reserve, usd};

super::on_both!(
    eight_in_an_hour_throttle_what_needs_review,
    an_approval_lets_the_same_work_pass_until_it_ends,
    exempt_work_skips_counts_and_is_recorded,
    an_override_holds_for_its_repository_and_its_time,
    failures_throttle_and_are_told_once,
    dear_tasks_throttle,
    review_before_binds_the_fourth,
    violations_pause_what_needs_review,
    a_ceiling_is_told_of_once,
    costs_and_reports_add_up,
);

/// A heavy refactor's admission: counted, for review.
fn heavy(attempt: &str) -> Admission {
    Admission {
        tag: Some(Justification::HeavyRefactor),
        ..admission(attempt, QuotaLimits::default())
    }
}

/// Asks, sends one call where it passed, answered or failed, and ends the attempt.
async fn worked(lab: &Lab, fence: &Fence, ask: Admission, cost: f64, fails: bool) -> Admitted {
    let mut call = reserve(ask.issue.0, cost, Ceilings::default());
    call.escalation = Some(ask.id.clone());
    call.attempt = ask.attempt.clone();
    call.tier = ask.tier;
    let (attempt, issue) = (ask.attempt.clone(), ask.issue);
    let admitted = lab.store.admit(fence, ask).await.expect("asked");
    if let Admitted::Yes(_) = admitted {
        let reserved = lab.store.reserve(fence, call).await.expect("asked");
        let Reserved::Dispatched(id) = reserved else { panic!("{reserved:?}") };
        let settlement = if fails {
            let message = "503".to_owned();
            let (class, cost) = (ErrorClass::Server, Usd::ZERO);
            Settlement::Failed { class, message, cost, unknown: false }
        } else {
            super::ledger::answered(cost)
        };
        lab.store.settle(fence, &id, settlement, Vec::new()).await.expect("settled");
        let state = json!({});
        let over = Change::Attempt { id: attempt, issue, state, ended: true };
        lab.store.apply(fence, vec![over]).await.expect("ended");
    }
    admitted
}

async fn events(lab: &Lab, kind: EventType) -> usize {
    let query = EventQuery { types: vec![kind], limit: 1_000, ..EventQuery::default() };
    lab.store.events(query).await.expect("read").len()
}

const THROTTLED: Admitted = Admitted::Refused(RailRefusal::Throttled(Throttle::HourNearlyFull));

async fn eight_in_an_hour_throttle_what_needs_review(lab: &Lab) {
    let fence = lab.night("o/r").await;
    for n in 0..8 {
        let admitted = worked(lab, &fence, heavy(&format!("a{n}")), 0.0, false).await;
        assert_eq!(admitted, Admitted::Yes(Passage::Reviewed), "{n}");
    }
    assert_eq!(worked(lab, &fence, heavy("b"), 0.0, false).await, THROTTLED);
    assert_eq!(worked(lab, &fence, heavy("c"), 0.0, false).await, THROTTLED);
    // The same work asked twice: one request, told once; throttling is told once.
    assert_eq!(lab.store.approvals(Some("pending_approval")).await.expect("read").len(), 1);
    assert_eq!(lab.store.approvals(Some("listed")).await.expect("read").len(), 8);
    assert_eq!(events(lab, EventType::EscalationPendingApproval).await, 1);
    assert_eq!(events(lab, EventType::EscalationAlert).await, 1);
    // A request that waits holds no slot and counts nothing; what is auto-approved passes.
    assert_eq!(lab.store.quota_used().await.expect("read").hourly, 8);
    let auto = worked(lab, &fence, admission("d", QuotaLimits::default()), 0.0, false).await;
    assert_eq!(auto, Admitted::Yes(Passage::AutoApproved));
    // The ninth is 90% of the hour: another alert, and no third at the tenth.
    worked(lab, &fence, admission("e", QuotaLimits::default()), 0.0, false).await;
    assert_eq!(events(lab, EventType::EscalationAlert).await, 2);
    lab.set_clock(NOON + HOUR);
    let later = worked(lab, &fence, heavy("f"), 0.0, false).await;
    assert_eq!(later, Admitted::Yes(Passage::Reviewed));
}

fn approve(id: &str, approve: bool) -> Decision {
    Decision {
        id: id.to_owned(),
        approve,
        by: "ann".to_owned(),
        admin: false,
        reason: "seen".to_owned(),
        until: from_micros(NOON + 2 * HOUR),
    }
}

async fn decided(lab: &Lab, decision: Decision) -> Decided {
    lab.store.decide_approval(decision).await.expect("asked")
}

async fn an_approval_lets_the_same_work_pass_until_it_ends(lab: &Lab) {
    let fence = lab.night("o/r").await;
    let bold = |attempt: &str, issue| Admission {
        tag: Some(Justification::Experimental),
        issue: IssueNumber(issue),
        ..heavy(attempt)
    };
    let needs = Admitted::Refused(RailRefusal::NeedsApproval(Justification::Experimental));
    assert_eq!(worked(lab, &fence, bold("a", 1), 0.0, false).await, needs);
    assert_eq!(worked(lab, &fence, bold("b", 2), 0.0, false).await, needs);
    let waiting = lab.store.approvals(None).await.expect("read");
    assert_eq!(waiting.len(), 2);
    let id = |issue| format!("o/r#{issue}:experimental");
    assert_eq!(decided(lab, approve("nothing", true)).await, Decided::Unknown);
    let Decided::Done(row) = decided(lab, approve(&id(1), true)).await else { panic!("known") };
    assert_eq!((row.status.as_str(), row.decided_by.as_deref()), ("approved", Some("ann")));
    assert!(matches!(decided(lab, approve(&id(2), false)).await, Decided::Done(_)));
    let passed = Admitted::Yes(Passage::Approved);
    assert_eq!(worked(lab, &fence, bold("c", 1), 0.0, false).await, passed);
    assert_eq!(worked(lab, &fence, bold("d", 2), 0.0, false).await, needs);
    assert_eq!(lab.store.approvals(Some("rejected")).await.expect("read").len(), 1);
    lab.set_clock(NOON + 2 * HOUR);
    assert_eq!(worked(lab, &fence, bold("e", 1), 0.0, false).await, needs);
    // What had run out waits again.
    assert_eq!(lab.store.approvals(Some("pending_approval")).await.expect("read").len(), 1);
    assert_eq!(events(lab, EventType::EscalationDecided).await, 2);
}

async fn exempt_work_skips_counts_and_is_recorded(lab: &Lab) {
    let fence = lab.night("o/r").await;
    let nothing = QuotaLimits { daily: 0, hourly: 0, concurrent: 0 };
    let ask = Admission { exemption: Some(Exemption::Security), ..admission("a", nothing) };
    let passed = Admitted::Yes(Passage::Exempt(Exemption::Security));
    assert_eq!(lab.store.admit(&fence, ask.clone()).await.expect("asked"), passed);
    // Asked again after a crash: the same answer, recorded once.
    assert_eq!(lab.store.admit(&fence, ask).await.expect("asked"), passed);
    assert_eq!(events(lab, EventType::EscalationExempt).await, 1);
    assert_eq!(lab.store.quota_used().await.expect("read").daily, 0);
    // Money stays bounded.
    let asked = lab.store.reserve(&fence, reserve(1, 2.0, night_ceiling(1.0))).await;
    assert!(matches!(asked.expect("asked"), Reserved::Refused(_)));
}

async fn an_override_holds_for_its_repository_and_its_time(lab: &Lab) {
    let (fence, other) = (lab.night("o/r").await, lab.night("o/other").await);
    let nothing = QuotaLimits { daily: 0, hourly: 0, concurrent: 0 };
    let row = lab
        .store
        .override_rails(Override {
            repo: "o/r".parse().expect("a name"),
            issue: Some(IssueNumber(1)),
            by: "ann".to_owned(),
            reason: "the release".to_owned(),
            until: from_micros(NOON) + TimeDelta::days(30),
        })
        .await
        .expect("stored");
    // Never longer than a day, whatever was asked.
    assert_eq!(row.valid_until, Some(from_micros(NOON + 24 * HOUR)));
    let passed = Admitted::Yes(Passage::Exempt(Exemption::AdminOverride));
    assert_eq!(worked(lab, &fence, admission("a", nothing), 0.0, false).await, passed);
    let refused = |admitted| matches!(admitted, Admitted::Refused(RailRefusal::Quota(_)));
    assert!(refused(worked(lab, &other, admission("b", nothing), 0.0, false).await));
    let second = Admission { issue: IssueNumber(2), ..admission("c", nothing) };
    assert!(refused(worked(lab, &fence, second, 0.0, false).await));
    // Nobody prolongs or revives it by deciding on it.
    let prolong = Decision { until: from_micros(NOON + 90 * HOUR), ..approve(&row.id, true) };
    assert_eq!(decided(lab, prolong.clone()).await, Decided::IsOverride);
    assert_eq!(decided(lab, Decision { admin: true, ..prolong }).await, Decided::IsOverride);
    assert_eq!(decided(lab, approve(&row.id, false)).await, Decided::IsOverride);
    lab.set_clock(NOON + 24 * HOUR - SECOND);
    assert_eq!(worked(lab, &fence, admission("d", nothing), 0.0, false).await, passed);
    let back = Decision { admin: true, ..approve(&row.id, false) };
    assert!(matches!(decided(lab, back).await, Decided::Done(_)));
    assert!(refused(worked(lab, &fence, admission("f", nothing), 0.0, false).await));
    lab.set_clock(NOON + 24 * HOUR);
    assert!(refused(worked(lab, &fence, admission("e", nothing), 0.0, false).await));
}

async fn failures_throttle_and_are_told_once(lab: &Lab) {
    let fence = lab.night("o/r").await;
    let passed = Admitted::Yes(Passage::Reviewed);
    assert_eq!(worked(lab, &fence, heavy("a"), 0.1, true).await, passed);
    assert_eq!(worked(lab, &fence, heavy("b"), 0.1, true).await, passed);
    assert_eq!(events(lab, EventType::EscalationAlert).await, 0);
    assert_eq!(worked(lab, &fence, heavy("c"), 0.1, true).await, passed);
    assert_eq!(events(lab, EventType::EscalationAlert).await, 1);
    let refused = Admitted::Refused(RailRefusal::Throttled(Throttle::Failures));
    assert_eq!(worked(lab, &fence, heavy("d"), 0.1, false).await, refused);
    // Auto-approved work goes on; its failures make five in a row, which is told once.
    for name in ["e", "f", "g"] {
        worked(lab, &fence, admission(name, QuotaLimits::default()), 0.1, true).await;
    }
    assert_eq!(events(lab, EventType::EscalationAlert).await, 2);
    lab.set_clock(NOON + HOUR);
    assert_eq!(worked(lab, &fence, heavy("h"), 0.1, false).await, passed);
}

async fn dear_tasks_throttle(lab: &Lab) {
    let fence = lab.night("o/r").await;
    let passed = Admitted::Yes(Passage::Reviewed);
    assert_eq!(worked(lab, &fence, heavy("a"), 2.0, false).await, passed);
    assert_eq!(worked(lab, &fence, heavy("b"), 2.1, false).await, passed);
    let refused = Admitted::Refused(RailRefusal::Throttled(Throttle::DearTasks));
    assert_eq!(worked(lab, &fence, heavy("c"), 0.1, false).await, refused);
    worked(lab, &fence, admission("d", QuotaLimits::default()), 0.1, false).await;
    assert_eq!(worked(lab, &fence, heavy("e"), 0.1, false).await, passed);
}

async fn review_before_binds_the_fourth(lab: &Lab) {
    let fence = lab.night("o/r").await;
    let rails = RailsPolicy { review_before: true, ..RailsPolicy::default() };
    for name in ["a", "b", "c"] {
        let ask = Admission { rails, ..heavy(name) };
        assert_eq!(worked(lab, &fence, ask, 0.0, false).await, Admitted::Yes(Passage::Reviewed));
    }
    let ask = Admission { rails, ..heavy("d") };
    let refused = Admitted::Refused(RailRefusal::ReviewFull { used: 3, limit: 3 });
    assert_eq!(worked(lab, &fence, ask, 0.0, false).await, refused);
}

async fn violations_pause_what_needs_review(lab: &Lab) {
    let fence = lab.night("o/r").await;
    for n in 0..5 {
        let ask = Admission { tag: None, ..heavy(&format!("a{n}")) };
        let refused = Admitted::Refused(RailRefusal::NoJustification);
        assert_eq!(worked(lab, &fence, ask, 0.0, false).await, refused);
    }
    let query = EventQuery {
        types: vec![EventType::EscalationViolation],
        ascending: true,
        ..EventQuery::default()
    };
    let told = lab.store.events(query).await.expect("read");
    let levels: Vec<&str> =
        told.iter().map(|event| event.metadata["level"].as_str().expect("a level")).collect();
    let refuse = "refuse_and_alert";
    assert_eq!(levels, ["warn", refuse, refuse, refuse, "pause"]);
    let paused = Admitted::Refused(RailRefusal::Paused);
    assert_eq!(worked(lab, &fence, heavy("b"), 0.0, false).await, paused);
    let auto = worked(lab, &fence, admission("c", QuotaLimits::default()), 0.0, false).await;
    assert_eq!(auto, Admitted::Yes(Passage::AutoApproved));
    lab.set_clock(NOON + HOUR);
    let later = worked(lab, &fence, heavy("d"), 0.0, false).await;
    assert_eq!(later, Admitted::Yes(Passage::Reviewed));
}

async fn a_ceiling_is_told_of_once(lab: &Lab) {
    let fence = lab.night("o/r").await;
    for _ in 0..3 {
        let asked = lab.store.reserve(&fence, reserve(1, 2.0, night_ceiling(1.0))).await;
        assert!(matches!(asked.expect("asked"), Reserved::Refused(_)));
    }
    assert_eq!(events(lab, EventType::EscalationAlert).await, 1);
    // A ceiling of nothing was meant.
    let other = lab.night("o/other").await;
    let asked = lab.store.reserve(&other, reserve(1, 2.0, night_ceiling(0.0))).await;
    assert!(matches!(asked.expect("asked"), Reserved::Refused(_)));
    assert_eq!(events(lab, EventType::EscalationAlert).await, 1);
}

async fn costs_and_reports_add_up(lab: &Lab) {
    let fence = lab.night("o/r").await;
    worked(lab, &fence, heavy("a"), 0.5, false).await;
    worked(lab, &fence, heavy("b"), 0.5, true).await;
    let plain = reserve(3, 0.25, night_ceiling(9.0));
    lab.store.reserve(&fence, plain).await.expect("asked");
    let costs = lab.store.costs().await.expect("read");
    assert_eq!(costs.total_usd, usd(0.75));
    for amounts in [&costs.by_run, &costs.by_tier, &costs.by_tag, &costs.by_day] {
        assert_eq!(amounts.values().copied().sum::<Usd>(), costs.total_usd);
    }
    assert_eq!(costs.by_tag["none"], usd(0.25));
    assert_eq!(costs.by_day["2026-11-22"], usd(0.75));
    let ceilings = Ceilings { issue: Some(usd(1.0)), day: Some(usd(5.0)), ..Ceilings::default() };
    let budgets = lab.store.budgets(&ceilings).await.expect("read");
    let scopes: Vec<&str> = budgets.iter().map(|budget| budget.scope).collect();
    assert_eq!(scopes, ["night", "issue", "issue", "day", "month"]);
    assert_eq!((budgets[0].spent_usd, budgets[0].reserved_usd), (usd(0.5), usd(0.25)));
    let quota = lab.store.quota_status(QuotaLimits::default()).await.expect("read");
    assert_eq!((quota.daily.used, quota.hourly.used, quota.concurrent.used), (2, 2, 0));
    assert_eq!(quota.hourly.resets_at, Some(from_micros(NOON + HOUR)));

    let range = Period::Daily.around(from_micros(NOON).date_naive());
    let facts = lab.store.report_facts(range.0, range.1).await.expect("read");
    assert_eq!((facts.total_usd, facts.calls, facts.failed_calls), (usd(0.75), 3, 1));
    assert_eq!((facts.escalations, facts.counted, facts.busiest_hour), (2, 2, 2));
    assert_eq!((facts.healing.len(), facts.healing[0].healed), (1, 0));
    assert_eq!(facts.by_reason["heavy_task"], 2);
    let report = Report::new(Period::Daily, range, range.1, QuotaLimits::default(), facts);
    lab.store.put_report(&report).await.expect("stored");
    let later = Report { advice: vec!["another".to_owned()], ..report.clone() };
    lab.store.put_report(&later).await.expect("the first one stays");
    assert_eq!(lab.store.stored_reports().await.expect("read"), [report]);
    lab.store.release_escalations(&fence, &AttemptId::new("a")).await.expect("released");
}
