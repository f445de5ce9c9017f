//! Transitions, told as short stories.

use super::*;

const RULES: Rules = Rules { auto_heal: true, escalation: true, publish: true };

fn state() -> State {
    State::new(
        ModelTier::Gpt4,
        Stand {
            base_branch: "main".into(),
            on: None,
            base: "a".repeat(40).parse().expect("an id"),
        },
    )
}

fn refusal() -> Event {
    Event::Refused { reason: "tests fail".into(), digest: "d".into(), repairable: true }
}

fn built() -> Event {
    Event::Built { tier: ModelTier::Gpt4, summary: "did it".into() }
}

fn passed() -> Event {
    Event::Passed {
        candidate: Candidate {
            base: "a".repeat(40).parse().expect("an id"),
            commit: "b".repeat(40).parse().expect("an id"),
            tree: "c".repeat(40).parse().expect("an id"),
        },
        evidence: serde_json::json!({}),
    }
}

fn run(events: Vec<Event>, rules: Rules) -> (State, Vec<Effect>) {
    events.into_iter().fold((state(), vec![]), |(state, mut effects), event| {
        let (state, effect) = step(state, event, rules);
        effects.push(effect);
        (state, effects)
    })
}

#[test]
fn a_good_change_is_published_in_order() {
    let pull = PullRef { number: 1, url: "u".into() };
    let events = vec![built(), passed(), Event::Pushed, Event::PullOpened(pull), Event::Commented];
    let (_, effects) = run(events, RULES);
    let expected = [Effect::Judge, Effect::Push, Effect::OpenPull, Effect::Comment];
    assert_eq!(effects[..4], expected);
    assert_eq!(effects[4], Effect::End(Outcome::Success));
}

#[test]
fn a_refusal_is_repaired_once_then_climbs_once_then_fails() {
    let events = vec![built(), refusal(), built(), refusal(), built(), refusal()];
    let (end, effects) = run(events, RULES);
    assert_eq!(effects[1], Effect::Build);
    assert_eq!(effects[3], Effect::Build);
    assert_eq!(effects[5], Effect::Comment);
    assert!(matches!(end.outcome, Some(Outcome::Failed { code: ReasonCode::GateRefused, .. })));
    assert_eq!((end.round, end.tier, end.climbed), (2, CLIMB_TO, true));
}

#[test]
fn without_escalation_there_is_still_one_repair() {
    let rules = Rules { escalation: false, ..RULES };
    let (end, effects) = run(vec![built(), refusal(), built(), refusal()], rules);
    assert_eq!(effects[3], Effect::Comment);
    assert_eq!(end.tier, ModelTier::Gpt4);
}

#[test]
fn without_healing_the_first_refusal_is_the_last() {
    let rules = Rules { auto_heal: false, ..RULES };
    let (end, effects) = run(vec![built(), refusal()], rules);
    assert_eq!(effects[1], Effect::Comment);
    assert!(matches!(step(end, Event::Commented, rules).1, Effect::End(Outcome::Failed { .. })));
}

#[test]
fn nobody_climbs_down() {
    let mut start = state();
    start.tier = ModelTier::Gpt51;
    start.repaired = true;
    let (end, _) = step(start, refusal(), RULES);
    assert!(matches!(end.outcome, Some(Outcome::Failed { .. })));
}

#[test]
fn a_round_restarts_twice_and_no_more() {
    let events = vec![Event::Restarted, Event::Restarted, Event::Restarted];
    let (end, effects) = run(events, RULES);
    assert_eq!(effects[..2], [Effect::Build, Effect::Build]);
    assert!(matches!(end.outcome, Some(Outcome::Failed { code: ReasonCode::Internal, .. })));
}

#[test]
fn a_death_while_publishing_goes_on_where_it_was() {
    let (gated, _) = run(vec![built(), passed()], RULES);
    assert_eq!(step(gated.clone(), Event::Restarted, RULES).1, Effect::Push);
    let (pushed, _) = step(gated, Event::Pushed, RULES);
    assert_eq!(step(pushed, Event::Restarted, RULES).1, Effect::OpenPull);
}

#[test]
fn nothing_is_pushed_when_publishing_is_off() {
    let rules = Rules { publish: false, ..RULES };
    let (_, effects) = run(vec![built(), passed()], rules);
    assert_eq!(effects[1], Effect::End(Outcome::Success));
}

fn stuck() -> Event {
    Event::BuildFailed { code: ReasonCode::BuilderFailed, message: "circles".into(), stuck: true }
}

#[test]
fn a_climb_keeps_what_it_is_for() {
    let (end, effects) = run(vec![stuck()], RULES);
    assert_eq!((effects[0].clone(), end.tier), (Effect::Build, CLIMB_TO));
    let why = end.climbed_for.expect("grounds");
    assert_eq!((why.code, why.reason.as_str()), (ReasonCode::BuilderFailed, "circles"));
    let (end, _) = run(vec![built(), refusal(), built(), refusal()], RULES);
    assert_eq!(end.climbed_for.expect("grounds").code, ReasonCode::GateRefused);
}

#[test]
fn half_done_work_is_forgotten_once_it_was_finished_or_judged() {
    let mut start = state();
    start.left = Left::HalfDone("50 steps".into());
    let (climbed, _) = step(start, stuck(), RULES);
    assert_eq!(climbed.left, Left::HalfDone("50 steps".into()), "the next round goes on with it");
    assert_eq!(step(climbed.clone(), built(), RULES).0.left, Left::Judged);
    assert_eq!(step(climbed, Event::NothingChanged, RULES).0.left, Left::Judged);
}
