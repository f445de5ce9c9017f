//! A store of its own for each story, with a clock that the story sets.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use foreman::domain::ids::{AttemptId, CallId, EscalationId, IssueNumber, RepoName, RunId};
use foreman::domain::money::Usd;
use foreman::domain::redact::Redactor;
use foreman::domain::run::{NightConfig, NightRequest};
use foreman::domain::tier::ModelTier;
use foreman::escalation::{Justification, RailsPolicy};
use foreman::store::{
    Admission, Ceilings, Created, DatabaseUrl, Fence, NewRun, OpenOptions, QuotaLimits, Reserve,
    Store, StoreClock, StoreError,
};
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Executor as _};

/// 2026-11-22 12:00:00 UTC.
pub const NOON: i64 = 1_795_348_800_000_000;
pub const SECOND: i64 = 1_000_000;
pub const HOUR: i64 = 3_600 * SECOND;

/// What the lab's redactor knows.
pub const SECRET: &str = "ghp_verysecretvalue";

pub struct Lab {
    pub store: Store,
    pub clock: Arc<AtomicI64>,
    url: String,
    schema: Option<(String, String)>,
    dir: tempfile::TempDir,
}

impl Lab {
    pub async fn sqlite() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", dir.path().join("a b/foreman.db").display());
        Self::at(url, None, dir).await
    }

    pub async fn postgres() -> Option<Self> {
        let server = std::env::var("TEST_DATABASE_URL").ok()?;
        let schema = format!("t{}", uuid::Uuid::new_v4().simple());
        execute(&server, format!("CREATE SCHEMA {schema}")).await;
        let and = if server.contains('?') { '&' } else { '?' };
        let url =
            format!("{server}{and}options=-c%20search_path%3D{schema}&application_name={schema}");
        let dir = tempfile::tempdir().expect("a folder");
        Some(Self::at(url, Some((server, schema)), dir).await)
    }

    async fn at(url: String, schema: Option<(String, String)>, dir: tempfile::TempDir) -> Self {
        let clock = Arc::new(AtomicI64::new(NOON));
        let store = Store::open(options(&url, &clock, false)).await.expect("a store");
        Self { store, clock, url, schema, dir }
    }

    /// Another process, as far as the database can tell.
    pub async fn another(&self) -> Result<Store, StoreError> {
        Store::open(options(&self.url, &self.clock, false)).await
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub async fn reader(&self) -> Result<Store, StoreError> {
        Store::open(options(&self.url, &self.clock, true)).await
    }

    /// A store on the database's (or the system's) own clock.
    pub async fn on_its_own_clock(&self) -> Store {
        let options = options(&self.url, &self.clock, false);
        Store::open(OpenOptions { clock: StoreClock::System, ..options }).await.expect("a store")
    }

    pub fn set_clock(&self, micros: i64) {
        self.clock.store(micros, Ordering::SeqCst);
    }

    pub fn is_postgres(&self) -> bool {
        self.schema.is_some()
    }

    /// A name that only this lab's connections carry (PostgreSQL).
    pub fn schema(&self) -> &str {
        self.schema.as_ref().map_or("", |(_, schema)| schema)
    }

    /// Somebody with the database's own client.
    pub async fn by_hand(&self, sql: &str) -> Result<(), sqlx::Error> {
        sqlx::any::install_default_drivers();
        let url = if self.is_postgres() { self.url.clone() } else { self.url.replace(' ', "%20") };
        let mut connection = AnyConnection::connect(&url).await.expect("a connection");
        let result = connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await;
        connection.close().await.expect("closed");
        result.map(drop)
    }

    pub async fn finish(self) {
        self.store.close().await;
        if let Some((server, schema)) = self.schema {
            execute(&server, format!("DROP SCHEMA {schema} CASCADE")).await;
        }
        drop(self.dir);
    }

    /// A claimed run of a repository.
    pub async fn night(&self, repo: &str) -> Fence {
        let id = RunId::fresh();
        let created = self.store.create_run(new_run(&id, repo)).await.expect("created");
        assert!(matches!(created, Created::New(_)), "{created:?}");
        self.store.claim_run(&id, "me", true).await.expect("claimed").expect("ours")
    }
}

/// A store for a process that was told its database.
pub async fn open(url: &str) -> Store {
    let clock = Arc::new(AtomicI64::new(NOON));
    Store::open(options(url, &clock, false)).await.expect("a store")
}

fn options(url: &str, clock: &Arc<AtomicI64>, read_only: bool) -> OpenOptions {
    OpenOptions {
        url: DatabaseUrl::parse(url, std::path::Path::new("/")).expect("a URL"),
        redactor: Arc::new(Redactor::new([SECRET])),
        clock: StoreClock::Fixed(Arc::clone(clock)),
        read_only,
    }
}

async fn execute(url: &str, sql: String) {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(url).await.expect("the test server");
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.expect("executed");
    connection.close().await.expect("closed");
}

pub fn new_run(id: &RunId, repo: &str) -> NewRun {
    let repo: RepoName = repo.parse().expect("a repository");
    NewRun {
        id: id.clone(),
        request: NightRequest { repo, config: NightConfig::default(), dry_run: false },
        idempotency: None,
        events: Vec::new(),
    }
}

pub fn usd(usd: f64) -> Usd {
    Usd::from_usd(usd).expect("an amount")
}

pub fn reserve(issue: u64, estimate: f64, ceilings: Ceilings) -> Reserve {
    Reserve {
        id: CallId::fresh(),
        attempt: AttemptId::new(format!("attempt-{issue}")),
        issue: IssueNumber(issue),
        escalation: None,
        tier: ModelTier::Gpt4,
        model: "model-x".to_owned(),
        estimate: usd(estimate),
        ceilings,
    }
}

pub fn night_ceiling(limit: f64) -> Ceilings {
    Ceilings { night: Some(usd(limit)), ..Ceilings::default() }
}

pub fn admission(attempt: &str, limits: QuotaLimits) -> Admission {
    Admission {
        id: EscalationId::fresh(),
        attempt: AttemptId::new(attempt),
        issue: IssueNumber(1),
        tier: ModelTier::Gpt4Turbo,
        reason: "heavy_task".to_owned(),
        // Passes whatever the throttle says, so that what is tested is the count.
        tag: Some(Justification::ArchitectureUpdate),
        counted: true,
        exemption: None,
        rails: RailsPolicy { limits, ..RailsPolicy::default() },
    }
}
