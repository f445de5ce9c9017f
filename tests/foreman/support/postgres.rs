//! A schema of its own on the test PostgreSQL, where there is one.

use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Executor as _};

pub struct Schema {
    server: String,
    name: String,
}

impl Schema {
    /// `None` without `TEST_DATABASE_URL`.
    pub async fn new() -> Option<Self> {
        let server = std::env::var("TEST_DATABASE_URL").ok()?;
        let name = format!("night{}", uuid::Uuid::new_v4().simple());
        execute(&server, format!("CREATE SCHEMA {name}")).await;
        Some(Self { server, name })
    }

    pub fn url(&self) -> String {
        let and = if self.server.contains('?') { '&' } else { '?' };
        format!("{}{and}options=-c%20search_path%3D{}", self.server, self.name)
    }

    /// Runs a statement in this schema.
    pub async fn execute(&self, sql: &str) {
        execute(&self.url(), sql.to_owned()).await;
    }

    pub async fn drop(self) {
        execute(&self.server, format!("DROP SCHEMA {} CASCADE", self.name)).await;
    }
}

async fn execute(url: &str, sql: String) {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(url).await.expect("the test server");
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.expect("executed");
    connection.close().await.expect("closed");
}
