//! Runs: creation, idempotency, ownership, cancelling, pages.

use foreman::domain::event::{EventType, NewEvent};
use foreman::domain::ids::{AttemptId, CommitId, IssueNumber, RepoName, RunId};
use foreman::domain::plan::{Plan, ReasonCode, SequenceType};
use foreman::domain::run::{IssueResult, IssueStatus, RunStatus};
use foreman::store::{
    AttemptStatus, CancelOutcome, Change, Created, EffectState, EventQuery, Fence, Idempotency,
    RunFilter, Store, StoreError,
};
use futures_util::future::join_all;
use serde_json::json;

use super::lab::{Lab, NOON, SECOND, new_run};

super::on_both!(
    the_first_events_commit_with_the_run,
    one_active_run_per_repository_among_racing_creates,
    a_key_gives_the_same_run_and_no_other_body,
    who_lost_the_run_writes_nothing,
    a_lease_is_taken_when_it_ran_out,
    cancelling_is_asked_once,
    pages_go_from_the_newest_to_the_oldest,
    effects_and_attempts_read_back,
    history_is_the_last_work_on_each_issue,
);

async fn the_first_events_commit_with_the_run(lab: &Lab) {
    let id = RunId::fresh();
    let mut new = new_run(&id, "Owner/Repo");
    new.events = vec![NewEvent::new(EventType::OvernightExecutionQueued, "queued")];
    let Created::New(run) = lab.store.create_run(new).await.expect("created") else {
        panic!("not created");
    };
    assert_eq!((run.owner.as_str(), run.status), ("Owner", RunStatus::Queued));
    assert_eq!(run.start_time.timestamp_micros(), NOON);
    let events = lab.store.events(EventQuery::default()).await.expect("read");
    assert_eq!(events[0].run.as_ref(), Some(&id));
    assert_eq!(lab.store.run(&id).await.expect("read"), Some(run));
    let night = lab.store.night(&id).await.expect("read").expect("there");
    assert_eq!(night.config, foreman::domain::run::NightConfig::default());
    assert!(night.plan.is_none() && night.notes.is_null() && !night.cancel_requested);
}

async fn one_active_run_per_repository_among_racing_creates(lab: &Lab) {
    let second = lab.another().await.expect("opens");
    let ids: Vec<RunId> = (0..32).map(|_| RunId::fresh()).collect();
    let created = join_all(ids.iter().enumerate().map(|(n, id)| {
        let store = if n % 2 == 0 { lab.store.clone() } else { second.clone() };
        let new = new_run(id, if n % 3 == 0 { "o/r" } else { "O/R" });
        tokio::spawn(async move { store.create_run(new).await })
    }))
    .await;
    let mut new = Vec::new();
    let mut active = Vec::new();
    for result in created {
        match result.expect("no panic").expect("no error") {
            Created::New(run) => new.push(run.id),
            Created::Active(id) => active.push(id),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((new.len(), active.len()), (1, 31));
    assert!(active.iter().all(|id| *id == new[0]));
    second.close().await;
}

async fn a_key_gives_the_same_run_and_no_other_body(lab: &Lab) {
    let keyed = |body: &str| {
        let mut new = new_run(&RunId::fresh(), "o/r");
        new.idempotency = Some(Idempotency { key: "k".to_owned(), body_sha256: body.to_owned() });
        new
    };
    let first = lab.store.create_run(keyed("aa")).await.expect("created");
    let Created::New(run) = first else { panic!("{first:?}") };
    let again = lab.store.create_run(keyed("aa")).await.expect("answered");
    assert_eq!(again, Created::Replayed(run.clone()));
    let reused = lab.store.create_run(keyed("bb")).await.expect("answered");
    assert_eq!(reused, Created::KeyReused { run: run.id.clone() });

    end(&lab.store, &run.id).await;
    let after = lab.store.create_run(keyed("aa")).await.expect("answered");
    assert!(matches!(after, Created::Replayed(same) if same.id == run.id));
    assert_eq!(lab.store.runs(RunFilter::default()).await.expect("read").0.len(), 1);
}

async fn end(store: &Store, id: &RunId) -> Fence {
    let fence = store.claim_run(id, "me", true).await.expect("claimed").expect("ours");
    let done = Change::RunStatus { status: RunStatus::Completed, errors: Vec::new() };
    store.apply(&fence, vec![done]).await.expect("ended");
    fence
}

async fn who_lost_the_run_writes_nothing(lab: &Lab) {
    let old = lab.night("o/r").await;
    let new = lab.store.claim_run(&old.run, "other", true).await.expect("asked").expect("taken");
    assert_eq!(new.epoch, old.epoch + 1);
    let change = || vec![Change::Notes(json!({"by": "old"})), note("late")];
    let refused = lab.store.apply(&old, change()).await.expect_err("fenced");
    assert!(refused.is_fenced(), "{refused}");
    assert!(matches!(lab.store.renew(&old).await, Err(StoreError::Fenced(_))));
    let ask = super::lab::reserve(1, 0.1, super::lab::night_ceiling(1.0));
    assert!(matches!(lab.store.reserve(&old, ask).await, Err(StoreError::Fenced(_))));
    // The right epoch with another owner's name is no right either.
    let forged = Fence { owner: "me".to_owned(), ..new.clone() };
    assert!(lab.store.apply(&forged, change()).await.is_err());
    // Nor is an earlier epoch of the same owner: it may have claimed its run twice.
    let stale = Fence { epoch: old.epoch, ..new.clone() };
    assert!(lab.store.apply(&stale, change()).await.is_err());
    assert!(lab.store.renew(&stale).await.is_err());
    let digest = Change::IssueDigest { issue: IssueNumber(1), digest: "d".to_owned() };
    let nowhere = lab.store.apply(&new, vec![note("unwritten"), digest]).await;
    assert!(matches!(nowhere, Err(StoreError::UnknownIssue { .. })), "{nowhere:?}");

    assert!(lab.store.events(EventQuery::default()).await.expect("read").is_empty());
    assert!(lab.store.night(&old.run).await.expect("read").expect("there").notes.is_null());
    lab.store.apply(&new, change()).await.expect("ours");
    lab.store.renew(&new).await.expect("ours");
}

fn note(text: &str) -> Change {
    Change::Event(NewEvent::new(EventType::BaseJudged, text))
}

async fn a_lease_is_taken_when_it_ran_out(lab: &Lab) {
    let mine = lab.night("o/r").await;
    let claim = || lab.store.claim_run(&mine.run, "other", false);
    lab.set_clock(NOON + 29 * SECOND);
    assert_eq!(claim().await.expect("asked"), None);
    lab.store.renew(&mine).await.expect("ours");
    lab.set_clock(NOON + 58 * SECOND);
    assert_eq!(claim().await.expect("asked"), None);
    lab.set_clock(NOON + 59 * SECOND);
    assert!(claim().await.expect("asked").is_some());
    assert!(lab.store.renew(&mine).await.is_err());
    assert_eq!(lab.store.resumable().await.expect("read"), std::slice::from_ref(&mine.run));
    end(&lab.store, &mine.run).await;
    assert_eq!(claim().await.expect("asked"), None);
    assert!(lab.store.resumable().await.expect("read").is_empty());
}

async fn cancelling_is_asked_once(lab: &Lab) {
    let fence = lab.night("o/r").await;
    let cancel = |id: RunId| async move { lab.store.request_cancel(&id).await.expect("asked") };
    assert_eq!(cancel(fence.run.clone()).await, CancelOutcome::Requested);
    assert_eq!(cancel(fence.run.clone()).await, CancelOutcome::Requested);
    let events = lab.store.events(EventQuery::default()).await.expect("read");
    assert_eq!(events.len(), 1);
    assert!(lab.store.night(&fence.run).await.expect("read").expect("there").cancel_requested);
    end(&lab.store, &fence.run).await;
    assert_eq!(cancel(fence.run.clone()).await, CancelOutcome::AlreadyEnded);
    assert_eq!(cancel(RunId::new("nope")).await, CancelOutcome::Unknown);
}

async fn pages_go_from_the_newest_to_the_oldest(lab: &Lab) {
    let mut all = Vec::new();
    for n in 0..5 {
        // Two share a time, so that the id has to decide.
        lab.set_clock(NOON + (n / 2) * SECOND);
        all.push(lab.night(&format!("o/r{n}")).await.run);
    }
    all.reverse();
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let filter = RunFilter { limit: 2, cursor, ..RunFilter::default() };
        let (runs, next) = lab.store.runs(filter).await.expect("read");
        seen.extend(runs.into_iter().map(|run| run.id));
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, all);
    let repo: RepoName = "O/R3".parse().expect("a name");
    let latest = lab.store.latest_run(Some(&repo)).await.expect("read").expect("there");
    assert_eq!(latest.id, all[1]);
    assert_eq!(lab.store.active_runs(Some(&repo)).await.expect("read").len(), 1);
    let status = Some(RunStatus::Completed);
    let filter = RunFilter { status, ..RunFilter::default() };
    assert!(lab.store.runs(filter).await.expect("read").0.is_empty());
    let filter = RunFilter { cursor: Some("x".to_owned()), ..RunFilter::default() };
    assert!(matches!(lab.store.runs(filter).await, Err(StoreError::BadCursor(_))));
}

async fn effects_and_attempts_read_back(lab: &Lab) {
    let fence = lab.night("o/r").await;
    let store = &lab.store;
    let effect = |state, value| Change::Effect {
        key: "push:1".to_owned(),
        kind: "push".to_owned(),
        issue: Some(IssueNumber(1)),
        state,
        value,
    };
    let attempt = |id: &str, state, ended| Change::Attempt {
        id: AttemptId::new(id),
        issue: IssueNumber(1),
        state,
        ended,
    };
    let first = vec![
        effect(EffectState::Intent, json!({"to": "x"})),
        attempt("a", json!({"round": 1}), false),
        attempt("a", json!({"round": 2}), true),
        attempt("b", json!({}), false),
        Change::Plan(Plan::default()),
    ];
    store.apply(&fence, first).await.expect("applied");
    let row = store.effect(&fence.run, "push:1").await.expect("read").expect("there");
    assert_eq!((row.state, row.intent.clone()), (EffectState::Intent, json!({"to": "x"})));
    let observed = vec![
        effect(EffectState::Observed, json!({"sha": "1"})),
        // A resumed night says its intent again: what was seen stays seen.
        effect(EffectState::Intent, json!({"to": "y"})),
    ];
    store.apply(&fence, observed).await.expect("applied");
    let row = store.effect(&fence.run, "push:1").await.expect("read").expect("there");
    assert_eq!(row.state, EffectState::Observed);
    assert_eq!((row.intent, row.observed), (json!({"to": "x"}), Some(json!({"sha": "1"}))));
    assert_eq!(store.effects(&fence.run).await.expect("read").len(), 1);
    assert_eq!(store.effect(&fence.run, "no").await.expect("read"), None);
    let latest = store.attempt(&fence.run, IssueNumber(1)).await.expect("read").expect("there");
    assert_eq!((latest.id.as_str(), latest.status), ("b", AttemptStatus::Open));
    assert_eq!(latest.epoch, fence.epoch);
    assert_eq!(store.attempt(&fence.run, IssueNumber(2)).await.expect("read"), None);
    let night = store.night(&fence.run).await.expect("read").expect("there");
    assert_eq!(night.plan, Some(Plan::default()));
}

async fn history_is_the_last_work_on_each_issue(lab: &Lab) {
    let base: CommitId = "a".repeat(40).parse().expect("an id");
    let row = |number, status, code| {
        let mut row = IssueResult::pending(IssueNumber(number), "t", SequenceType::Build);
        row.status = status;
        row.reason_code = code;
        row.base_sha = Some(base.clone());
        Change::IssueRow(row)
    };
    let digest =
        |text: &str| Change::IssueDigest { issue: IssueNumber(1), digest: text.to_owned() };
    let done = || Change::RunStatus { status: RunStatus::Partial, errors: Vec::new() };
    let refused = Some(ReasonCode::GateRefused);
    let unchanged = Some(ReasonCode::UnchangedSinceRefusal);
    let nights = [
        vec![row(1, IssueStatus::Success, None), digest("old"), done()],
        vec![row(1, IssueStatus::Failed, refused), digest("new"), done()],
        vec![row(1, IssueStatus::Skipped, unchanged), digest("skip"), done()],
        vec![row(1, IssueStatus::Running, None)],
    ];
    let mut runs = Vec::new();
    for (n, changes) in nights.into_iter().enumerate() {
        lab.set_clock(NOON + i64::try_from(n).expect("small") * SECOND);
        let fence = lab.night("o/r").await;
        lab.store.apply(&fence, changes).await.expect("applied");
        runs.push(fence.run);
    }
    let repo: RepoName = "o/r".parse().expect("a name");
    let history = lab.store.history(&repo).await.expect("read");
    assert_eq!(history.len(), 1);
    assert_eq!((&history[0].run, history[0].status), (&runs[1], IssueStatus::Failed));
    assert_eq!(history[0].reason_code, refused);
    assert_eq!(history[0].issue_digest.as_deref(), Some("new"));
    assert_eq!(history[0].base_sha.as_ref(), Some(&base));
    assert_eq!(history[0].ended_at.timestamp_micros(), NOON + SECOND);
}
