//! What only PostgreSQL has: a server that may close our connections, and a clock of its own.

use foreman::domain::event::{EventType, NewEvent};

use super::lab::Lab;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_writer_comes_back_after_its_connection_was_cut() {
    let Some(lab) = Lab::postgres().await else { return };
    let event = |text: &str| vec![NewEvent::new(EventType::PlanCreated, text)];
    lab.store.append(event("before")).await.expect("written");
    let cut = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE application_name = '{}' AND pid <> pg_backend_pid()",
        lab.schema()
    );
    lab.by_hand(&cut).await.expect("cut");
    let written = lab.store.append(event("after")).await.expect("written");
    assert_eq!(written[0].seq, 2);
    assert!(lab.store.verify_chain().await.expect("verified").ok);
    lab.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_is_the_servers() {
    let Some(lab) = Lab::postgres().await else { return };
    let store = lab.on_its_own_clock().await;
    let event = vec![NewEvent::new(EventType::PlanCreated, "now")];
    let written = store.append(event).await.expect("written");
    let off = (chrono::Utc::now() - written[0].timestamp).abs();
    assert!(off < chrono::TimeDelta::minutes(1), "{off}");
    store.quota_used().await.expect("read");
    store.close().await;
    lab.finish().await;
}
