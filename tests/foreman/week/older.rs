//! A night that an older Foreman left: the new one goes on with it, or ends it and says why.

use serde_json::{Value, json};
use sqlx::{AnyConnection, Connection as _, Executor as _};

use crate::support::{Server, Town, body, good_work, issue, row, script};

/// Runs statements on the town's database, which nobody may have open.
pub async fn execute(town: &Town, sql: &str) {
    sqlx::any::install_default_drivers();
    let url = format!("sqlite://{}/data/foreman.db", town.data.path().display());
    let mut connection = AnyConnection::connect(&url).await.expect("opened");
    let sql = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()));
    connection.execute(sql).await.expect("executed");
    connection.close().await.expect("closed");
}

async fn texts(town: &Town, sql: &str) -> Vec<String> {
    sqlx::any::install_default_drivers();
    let url = format!("sqlite://{}/data/foreman.db", town.data.path().display());
    let mut connection = AnyConnection::connect(&url).await.expect("opened");
    let query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned()));
    let found = query.fetch_all(&mut connection).await.expect("read");
    connection.close().await.expect("closed");
    found
}

/// The schema as the first four migrations made it, with what this night left in it.
async fn made_older(town: &Town) {
    let folder = town.data.path().join("data");
    let (new, old) = (folder.join("foreman.db"), folder.join("old.db"));
    let migrations = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/migrations");
    let read = |name: &str| std::fs::read_to_string(migrations.join(name)).expect("a migration");
    let url = format!("sqlite://{}?mode=rwc", old.display());
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(&url).await.expect("made");
    let mut schema = "CREATE TABLE schema_version (version BIGINT PRIMARY KEY);\n".to_owned();
    for name in ["0001_core.sql", "0002_rails.sql", "0003_healing.sql", "0004_governance.sql"] {
        schema.push_str(&read(name));
    }
    schema.push_str("INSERT INTO schema_version (version) VALUES (1), (2), (3), (4);\n");
    connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(schema))).await.expect("the schema");
    let attach = format!("ATTACH '{}' AS new", new.display());
    connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(attach))).await.expect("attached");
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name <> 'schema_version' \
         AND name NOT LIKE 'sqlite_%'",
    )
    .fetch_all(&mut connection)
    .await
    .expect("tables");
    assert!(tables.len() > 8, "{tables:?}");
    for table in tables {
        let columns: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "SELECT name FROM pragma_table_info('{table}')"
        )))
        .fetch_all(&mut connection)
        .await
        .expect("columns");
        let columns = columns.join(", ");
        let copy = format!(
            "DELETE FROM main.{table}; INSERT INTO main.{table} ({columns}) SELECT {columns} FROM new.{table}"
        );
        let copy = sqlx::raw_sql(sqlx::AssertSqlSafe(copy));
        connection.execute(copy).await.unwrap_or_else(|error| panic!("{table}: {error}"));
    }
    for trigger in ["0001_triggers.sqlite.sql", "0004_triggers.sqlite.sql"] {
        let sql = sqlx::raw_sql(sqlx::AssertSqlSafe(read(trigger)));
        connection.execute(sql).await.expect("the triggers");
    }
    connection.close().await.expect("closed");
    for end in ["", "-wal", "-shm"] {
        std::fs::remove_file(folder.join(format!("foreman.db{end}"))).ok();
    }
    std::fs::rename(old, new).expect("in its place");
}

/// Takes out of each stored attempt what the first version did not write yet.
async fn states_of_the_first_version(town: &Town) {
    for state in texts(town, "SELECT state FROM attempts").await {
        let mut read: Value = serde_json::from_str(&state).expect("JSON");
        let fields = read.as_object_mut().expect("an object");
        for newer in ["rejudged", "paused", "branch", "left", "climbed_for", "copilot"] {
            fields.remove(newer);
        }
        let sql = format!("UPDATE attempts SET state = '{}'", read.to_string().replace('\'', "''"));
        execute(town, &sql).await;
    }
}

/// A night killed just before this point, its server gone.
async fn left_at(town: &Town, failpoint: &str) -> String {
    let mut server = town.serve_dying_at(failpoint).await;
    let id = server.begin(&body()).await;
    server.died().await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_of_an_older_schema_goes_on() {
    for failpoint in ["plan.after", "work.kept", "push.observed"] {
        let town = Town::new(script(good_work), vec![issue("One"), issue("Two")]).await;
        let id = left_at(&town, failpoint).await;
        made_older(&town).await;
        states_of_the_first_version(&town).await;
        let server = town.serve().await;
        let run = server.ended(&id).await;
        assert_eq!(run["status"], "completed", "{failpoint}: {run:#}\n{}", server.log());
        assert_eq!(
            town.changes(),
            [
                "PUSH refs/heads/foreman/issue-1",
                "POST /pulls",
                "POST /issues/1/comments",
                "PUSH refs/heads/foreman/issue-2",
                "POST /pulls",
                "POST /issues/2/comments"
            ],
            "{failpoint}"
        );
        let kept = town.data.path().join("data/foreman.db.schema-4");
        assert!(kept.exists(), "the database as it was is kept");
        let verify = server.get("/api/foreman/governance/verify").await.json;
        assert_eq!(verify["success"], true, "{verify:#}");
    }
}

/// The sentence with which a night ended that nobody could read.
async fn ended_unread(server: &Server, id: &str) -> String {
    let run = server.ended(id).await;
    assert_eq!(run["status"], "cancelled", "{run:#}\n{}", server.log());
    let said = run["errors"][0].as_str().expect("a sentence").to_owned();
    assert!(
        said.contains("another version of Foreman") && said.contains("start another"),
        "{said}"
    );
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_that_cannot_be_read_ends_cancelled_and_frees_its_repository() {
    for (column, what) in [("plan", "plan"), ("notes", "notes")] {
        let town = Town::new(script(good_work), vec![issue("One")]).await;
        let id = left_at(&town, "plan.after").await;
        execute(&town, &format!("UPDATE runs SET {column} = '{{\"version\": 99}}'")).await;
        let server = town.serve().await;
        let said = ended_unread(&server, &id).await;
        assert!(said.contains(what), "{said}");
        // Nothing stands in the way of the next one.
        let run = server.night(&json!(null)).await;
        assert_eq!(row(&run, 1)["status"], "success", "{run:#}\n{}", server.log());
        assert_eq!(town.pulls().len(), 1);
    }
}
