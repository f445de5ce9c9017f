//! Breakers and cool-downs: across issues, across a restart, and when their time is over.

use super::*;

#[tokio::test]
async fn three_failures_cool_a_tier_down_for_every_issue_and_after_a_restart() {
    let well = Arc::new(AtomicBool::new(false));
    let healed = Arc::clone(&well);
    let mut lab = Lab::new(move |input| {
        let broken = input.model == TOP && !healed.load(Ordering::SeqCst);
        if broken { code(503, "overloaded") } else { finish() }
    })
    .await;
    assert_eq!(answered_by(&lab.scene.build().await), ModelTier::Gpt4Turbo);
    assert_eq!(lab.asked(TOP), 3);
    lab.scene.next_issue().await;
    assert_eq!(answered_by(&lab.scene.build().await), ModelTier::Gpt4Turbo);
    lab.scene.reopen().await;
    lab.scene.next_issue().await;
    assert_eq!(answered_by(&lab.scene.build().await), ModelTier::Gpt4Turbo);
    assert_eq!(lab.asked(TOP), 3, "it is not asked while it cools down");

    lab.pass(61);
    lab.scene.next_issue().await;
    lab.scene.build().await;
    assert_eq!(lab.asked(TOP), 4, "one call tries it, and it cools down again, for longer");
    lab.pass(61);
    lab.scene.next_issue().await;
    lab.scene.build().await;
    assert_eq!(lab.asked(TOP), 4);
    lab.pass(61);
    well.store(true, Ordering::SeqCst);
    lab.scene.next_issue().await;
    assert_eq!(answered_by(&lab.scene.build().await), ModelTier::Gpt51);
    let health = lab.scene.builders.store.health(&lab.scene.task.run).await.expect("health");
    assert!(health.cooling.is_empty() && health.breakers.is_empty(), "{health:?}");
    lab.scene.calls().await;
}

#[tokio::test]
async fn a_long_wait_asked_for_cools_the_tier_down() {
    let limited = json!({"code": "rate_limit_exceeded"});
    let mut lab = Lab::top_answers(refuse(429, &[("retry-after", "300")], &limited)).await;
    lab.scene.build().await;
    lab.pass(299);
    lab.scene.next_issue().await;
    lab.scene.build().await;
    assert_eq!(lab.asked(TOP), 1);
    lab.pass(2);
    lab.scene.next_issue().await;
    lab.scene.build().await;
    assert_eq!(lab.asked(TOP), 2);
}

#[tokio::test]
async fn a_spent_key_is_asked_once_by_all_issues_and_after_a_restart() {
    let mut lab = Lab::new(|input| match input.model.as_str() {
        "tiny" => finish(),
        _ => code(429, "insufficient_quota"),
    })
    .await;
    for _ in 0..3 {
        assert_eq!(answered_by(&lab.scene.build().await), ModelTier::LocalBuilder);
        lab.scene.reopen().await;
        lab.scene.next_issue().await;
    }
    lab.scene.task.chain = ModelTier::Gpt4.chain_down();
    assert_eq!(answered_by(&lab.scene.build().await), ModelTier::LocalBuilder);
    let paid = lab.scene.requests().iter().filter(|request| request.model != "tiny").count();
    assert_eq!(paid, 1, "the whole key is out, not the tier alone");
    let alarms = lab.scene.events(EventType::ProviderFailed).await;
    assert_eq!((alarms.len(), alarms[0].severity), (1, Severity::Critical));
    let health = lab.scene.builders.store.health(&lab.scene.task.run).await.expect("health");
    assert_eq!(health.breakers[0].why, KeyOut::Quota);
    lab.scene.calls().await;
}

#[tokio::test]
async fn a_refused_key_stops_every_issue_after_one_call() {
    let mut lab = Lab::new(|input| match input.model.as_str() {
        "tiny" => finish(),
        _ => code(401, "invalid_api_key"),
    })
    .await;
    for _ in 0..2 {
        let BuildOutcome::Failed { code, .. } = lab.scene.build().await else { panic!("went on") };
        assert_eq!(code, ReasonCode::ProviderRefused);
        lab.scene.next_issue().await;
    }
    assert_eq!(lab.scene.requests().len(), 1, "nobody else is asked, the local builder neither");
    lab.scene.builders.healing.local_on_auth_failure = true;
    let BuildOutcome::Finished { tier, summary } = lab.scene.build().await else {
        panic!("not finished")
    };
    assert_eq!(tier, ModelTier::LocalBuilder);
    assert!(summary.contains("Degraded"), "{summary}");
    let moves = lab.scene.events(EventType::ModelFallback).await;
    assert_eq!(moves.last().expect("a move").metadata["degraded"], true);
}

#[tokio::test]
async fn a_model_that_does_not_exist_is_dead_for_the_run() {
    let mut lab = Lab::top_answers(code(404, "model_not_found")).await;
    lab.scene.build().await;
    lab.scene.reopen().await;
    lab.pass(3_600 * 10);
    lab.scene.next_issue().await;
    assert_eq!(answered_by(&lab.scene.build().await), ModelTier::Gpt4Turbo);
    assert_eq!(lab.asked(TOP), 1);
    let alarm = lab.scene.events(EventType::ProviderFailed).await.remove(0);
    assert_eq!(alarm.severity, Severity::High);
}

#[tokio::test]
async fn a_tier_without_another_below_it_is_waited_for() {
    let broken = Arc::new(AtomicBool::new(true));
    let state = Arc::clone(&broken);
    let mut lab =
        Lab::new(move |_| if state.load(Ordering::SeqCst) { code(500, "x") } else { finish() })
            .await;
    lab.scene.task.chain = vec![ModelTier::Gpt51];
    let BuildOutcome::Failed { code, .. } = lab.scene.build().await else { panic!("finished") };
    assert_eq!((code, lab.waits()), (ReasonCode::ModelsExhausted, vec![1, 2]));
    broken.store(false, Ordering::SeqCst);
    lab.scene.next_issue().await;
    assert_eq!(answered_by(&lab.scene.build().await), ModelTier::Gpt51);
    assert_eq!(lab.waits(), [1, 2, 60], "the rest of its cool-down");
    assert_eq!(lab.asked(TOP), 4);
}
