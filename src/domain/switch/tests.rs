//! The switch, sign by sign.

use super::*;

const RULES: SwitchRules = SwitchRules {
    copilot: true,
    desktop: true,
    after_failures: 3,
    return_after: 2,
    at_least: TimeDelta::minutes(30),
};

fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
}

fn failed() -> Sign {
    Sign::Failed { work: "w".to_owned(), why: "no pull request".to_owned() }
}

fn checked(ready: bool) -> Sign {
    Sign::Checked { ready, why: "away".to_owned() }
}

fn asked(to: Builder) -> Sign {
    Sign::Asked { to, why: "an operator says so".to_owned() }
}

/// Takes signs at minutes and says which builder each left.
fn walk(rules: SwitchRules, signs: &[(i64, Sign)]) -> (SwitchState, Vec<Builder>) {
    let mut state = SwitchState::first(rules, at(0));
    let mut seen = Vec::new();
    for (minute, sign) in signs {
        let (next, switched) = step(state, sign.clone(), rules, at(*minute)).expect("allowed");
        assert_eq!(
            switched.is_some(),
            seen.last().copied().unwrap_or(Builder::Copilot) != next.active
        );
        seen.push(next.active);
        state = next;
    }
    (state, seen)
}

use Builder::{Copilot, Desktop};

#[test]
fn three_failures_in_a_row_switch_and_a_success_between_them_does_not() {
    let (state, seen) = walk(RULES, &[(1, failed()), (2, failed()), (3, failed())]);
    assert_eq!(seen, [Copilot, Copilot, Desktop]);
    assert_eq!(state.since, at(3));
    assert!(state.reason.contains("3 times in a row") && state.reason.contains("no pull request"));
    let (_, seen) = walk(
        RULES,
        &[(1, failed()), (2, failed()), (3, Sign::Worked), (4, failed()), (5, failed())],
    );
    assert_eq!(seen.last(), Some(&Copilot));
}

#[test]
fn unavailable_switches_at_once() {
    let away = Sign::Unavailable { why: "not enabled here".to_owned() };
    assert_eq!(walk(RULES, &[(1, away)]).1, [Desktop]);
}

#[test]
fn failed_checks_switch_as_failures_do_and_each_is_counted_by_itself() {
    let (_, seen) = walk(RULES, &[(1, checked(false)), (2, checked(false)), (3, checked(false))]);
    assert_eq!(seen, [Copilot, Copilot, Desktop]);
    let mixed = [(1, checked(false)), (2, failed()), (3, checked(false)), (4, failed())];
    assert_eq!(walk(RULES, &mixed).1.last(), Some(&Copilot));
    let healed =
        [(1, checked(false)), (2, checked(false)), (3, checked(true)), (4, checked(false))];
    assert_eq!(walk(RULES, &healed).1.last(), Some(&Copilot));
}

#[test]
fn it_returns_after_enough_healthy_checks_and_the_minimum_time() {
    let away = (0, Sign::Unavailable { why: "gone".to_owned() });
    // Enough checks, too early; then one more in time.
    let (_, seen) = walk(
        RULES,
        &[
            away.clone(),
            (5, checked(true)),
            (10, checked(true)),
            (29, checked(true)),
            (30, checked(true)),
        ],
    );
    assert_eq!(seen, [Desktop, Desktop, Desktop, Desktop, Copilot]);
    // In time, but the checks were not in a row.
    let (_, seen) = walk(
        RULES,
        &[
            away,
            (40, checked(true)),
            (50, checked(false)),
            (60, checked(true)),
            (70, checked(true)),
        ],
    );
    assert_eq!(seen, [Desktop, Desktop, Desktop, Desktop, Copilot]);
}

#[test]
fn what_a_person_set_stays_until_a_person_changes_it() {
    let (state, seen) =
        walk(RULES, &[(0, asked(Desktop)), (60, checked(true)), (120, checked(true))]);
    assert_eq!(seen, [Desktop, Desktop, Desktop]);
    assert!(state.held && state.returns_from(RULES).is_none());
    let (state, switched) = step(state, asked(Copilot), RULES, at(130)).expect("allowed");
    assert_eq!(state.active, Copilot);
    assert_eq!(switched.map(|it| (it.from, it.to)), Some((Desktop, Copilot)));
    // Asking for what is there already only holds it.
    let (state, switched) = step(state, asked(Copilot), RULES, at(131)).expect("allowed");
    assert!(switched.is_none() && !state.held);
}

#[test]
fn without_the_desktop_builder_nothing_takes_over_by_itself() {
    let rules = SwitchRules { desktop: false, ..RULES };
    let away = Sign::Unavailable { why: "gone".to_owned() };
    let (_, seen) = walk(rules, &[(1, failed()), (2, failed()), (3, failed()), (4, away)]);
    assert_eq!(seen, [Copilot; 4]);
}

#[test]
fn without_copilot_there_is_one_builder() {
    let rules = SwitchRules { copilot: false, ..RULES };
    let first = SwitchState::first(rules, at(0));
    assert_eq!(first.active, Desktop);
    assert_eq!(step(first.clone(), asked(Copilot), rules, at(1)), Err(NoCopilot));
    let (state, switched) = step(first.clone(), checked(true), rules, at(100)).expect("allowed");
    assert!(state.active == Desktop && switched.is_none());
    // Set up later: it begins. Taken away again: it is gone.
    let now_with = first.under(RULES, at(200));
    assert_eq!(now_with.active, Copilot);
    assert_eq!(now_with.under(rules, at(300)).active, Desktop);
}

#[test]
fn a_switch_survives_new_rules() {
    let (state, _) = walk(RULES, &[(1, Sign::Unavailable { why: "gone".to_owned() })]);
    assert_eq!(state.clone().under(RULES, at(2)), state);
}
