//! The store's conformance suite: every story on SQLite, and on PostgreSQL when `TEST_DATABASE_URL`
//! is set (`.ci/postgres.sh` starts one).

mod chain;
mod folding;
mod healing;
pub mod lab;
mod ledger;
mod machine;
mod opening;
mod postgres;
mod processes;
mod quota;
mod rails;
mod runs;

/// Runs each story on both databases.
macro_rules! on_both {
    ($($story:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                let lab = crate::store::lab::Lab::sqlite().await;
                super::$story(&lab).await;
                lab.finish().await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                let Some(lab) = crate::store::lab::Lab::postgres().await else { return };
                super::$story(&lab).await;
                lab.finish().await;
            })+
        }
    };
}
pub(crate) use on_both;
