//! The rails as tables: each line a case of the design.

use super::*;
use crate::escalation::QuotaWindow;

const AUTO: [Justification; 5] = [
    Justification::ArchitectureUpdate,
    Justification::MemoryEvolution,
    Justification::GovernanceFix,
    Justification::MultiAgentCoordination,
    Justification::ProjectMilestone,
];
const REVIEW: [Justification; 3] = [
    Justification::ComplexReasoning,
    Justification::HeavyRefactor,
    Justification::IntegrationComplexity,
];
const EXPLICIT: [Justification; 2] = [Justification::Experimental, Justification::Optimization];

fn ask(tag: Justification) -> RailsRequest {
    RailsRequest { tag: Some(tag), counted: true, exemption: None }
}

fn used(daily: u32, hourly: u32, concurrent: u32) -> Facts {
    Facts { used: QuotaUsed { daily, hourly, concurrent }, ..Facts::default() }
}

fn spent(usd: f64, tasks: u32) -> Facts {
    Facts { spent: Usd::from_usd(usd).expect("an amount"), tasks, ..Facts::default() }
}

fn failed(failed_last_hour: u32) -> Facts {
    Facts { failed_last_hour, ..Facts::default() }
}

fn outcome(request: RailsRequest, facts: &Facts) -> &'static str {
    decide(&RailsPolicy::default(), request, facts).map_or_else(RailRefusal::code, Passage::as_str)
}

#[test]
fn what_each_tag_needs_on_a_quiet_day() {
    for (tags, expected) in
        [(&AUTO[..], "auto_approved"), (&REVIEW[..], "reviewed"), (&EXPLICIT[..], "needs_approval")]
    {
        for tag in tags {
            assert_eq!(outcome(ask(*tag), &Facts::default()), expected, "{tag:?}");
        }
    }
}

/// Facts, then what comes of an auto-approved tag, a reviewed one, an explicit one, one without
/// a justification and an exempt one.
#[test]
fn the_order_of_the_rails() {
    let approved = |facts: Facts| Facts { approved: true, ..facts };
    let paused = |facts: Facts| Facts { paused: true, ..facts };
    let cases = [
        ("quiet", Facts::default(), ["auto_approved", "reviewed", "needs_approval"]),
        ("79% of a day", used(39, 0, 0), ["auto_approved", "reviewed", "needs_approval"]),
        ("80% of a day", used(40, 0, 0), ["auto_approved", "throttled", "throttled"]),
        ("7 in an hour", used(7, 7, 0), ["auto_approved", "reviewed", "needs_approval"]),
        ("8 in an hour", used(8, 8, 0), ["auto_approved", "throttled", "throttled"]),
        ("a full day", used(50, 0, 0), ["daily"; 3]),
        ("a full hour", used(10, 10, 0), ["hourly"; 3]),
        ("5 at once", used(5, 5, 5), ["concurrent"; 3]),
        ("2 failures", failed(2), ["auto_approved", "reviewed", "needs_approval"]),
        ("3 failures", failed(3), ["auto_approved", "throttled", "throttled"]),
        ("2.00 a task", spent(6.0, 3), ["auto_approved", "reviewed", "needs_approval"]),
        ("above 2.00", spent(6.01, 3), ["auto_approved", "throttled", "throttled"]),
        ("no task yet", spent(6.01, 0), ["auto_approved", "reviewed", "needs_approval"]),
        ("approved", approved(Facts::default()), ["auto_approved", "approved", "approved"]),
        ("approved, throttled", approved(failed(3)), ["auto_approved", "approved", "approved"]),
        ("approved, full", approved(used(50, 0, 0)), ["daily"; 3]),
        ("paused", paused(approved(Facts::default())), ["auto_approved", "paused", "paused"]),
    ];
    for (name, facts, expected) in cases {
        let tags = [AUTO[0], REVIEW[0], EXPLICIT[0]];
        for (tag, expected) in tags.into_iter().zip(expected) {
            assert_eq!(outcome(ask(tag), &facts), expected, "{name}: {tag:?}");
            let exempt = RailsRequest { exemption: Some(Exemption::Security), ..ask(tag) };
            assert_eq!(outcome(exempt, &facts), "exempt", "{name}");
        }
        // The quota comes before the justification, everything else after it.
        let missing = RailsRequest { tag: None, counted: true, exemption: None };
        let full = ["daily", "hourly", "concurrent"].contains(&expected[0]);
        let without = if full { expected[0] } else { "no_justification" };
        assert_eq!(outcome(missing, &facts), without, "{name}");
        let uncounted = RailsRequest { counted: false, ..ask(AUTO[0]) };
        assert_eq!(outcome(uncounted, &facts), "auto_approved", "{name}");
    }
}

#[test]
fn review_before_binds_from_the_fourth_on() {
    let policy = RailsPolicy { review_before: true, ..RailsPolicy::default() };
    let with = |reviewed| decide(&policy, ask(REVIEW[1]), &Facts { reviewed, ..Facts::default() });
    assert_eq!(with(2), Ok(Passage::Reviewed));
    assert_eq!(with(3), Err(RailRefusal::ReviewFull { used: 3, limit: 3 }));
    let after = decide(
        &RailsPolicy::default(),
        ask(REVIEW[1]),
        &Facts { reviewed: 30, ..Facts::default() },
    );
    assert_eq!(after, Ok(Passage::Reviewed));
}

#[test]
fn only_what_a_person_can_let_pass_waits_for_one() {
    let window = QuotaWindow::Daily;
    let quota = RailRefusal::Quota(QuotaRefusal { window, used: 50, limit: 50 });
    for (refusal, waits) in [
        (quota, false),
        (RailRefusal::NoJustification, false),
        (RailRefusal::Paused, false),
        (RailRefusal::Throttled(Throttle::Failures), true),
        (RailRefusal::ReviewFull { used: 3, limit: 3 }, true),
        (RailRefusal::NeedsApproval(Justification::Experimental), true),
    ] {
        assert_eq!(refusal.waits_for_a_person(), waits, "{refusal}");
    }
}

#[test]
fn alerts_begin_where_the_design_says() {
    let limits = QuotaLimits::default();
    let cases: [(Facts, &[Alert]); 8] = [
        (used(44, 0, 0), &[Alert::Throttling]),
        (used(45, 0, 0), &[Alert::DayNearlyFull, Alert::Throttling]),
        (used(0, 8, 0), &[Alert::Throttling]),
        (used(0, 9, 0), &[Alert::HourNearlyFull, Alert::Throttling]),
        (used(0, 0, 4), &[]),
        (used(0, 0, 5), &[Alert::SlotsNearlyFull]),
        (Facts { failures_in_row: 5, ..Facts::default() }, &[Alert::FailuresInARow]),
        (Facts { waiting: 11, ..Facts::default() }, &[Alert::ManyWaiting]),
    ];
    for (facts, expected) in cases {
        assert_eq!(alerts(limits, &facts), expected, "{facts:?}");
        for alert in expected {
            assert!(alert.sentence(limits, &facts).len() > 10);
        }
    }
    let quiet = Facts { failures_in_row: 4, waiting: 10, ..Facts::default() };
    assert!(alerts(limits, &quiet).is_empty());
}

#[test]
fn violations_grow_louder() {
    let levels: Vec<&str> = (1..=6).map(|nth| violation_level(nth).as_str()).collect();
    let refuse = "refuse_and_alert";
    assert_eq!(levels, ["warn", refuse, refuse, refuse, "pause", "pause"]);
}

#[test]
fn a_quota_of_nothing_throttles_nobody_by_itself() {
    let limits = QuotaLimits { daily: 0, hourly: 0, concurrent: 0 };
    assert_eq!(throttled(limits, &Facts::default()), None);
}
