//! A night that dies between push and comment and is cancelled before anybody goes on with it: the
//! next night finds what is there, and neither pushes, opens nor pays anything again.

use serde_json::json;

use crate::nobody_is_left;
use crate::support::{Server, Town, body, good_work, issue, row, script};

/// Where these nights die: around each effect that the next night must find.
pub const PLACES: [&str; 6] =
    ["push.before", "push.after", "push.observed", "pull.before", "pull.after", "pull.observed"];

/// One such pair of nights; says what is wrong with its end, if anything.
pub async fn round(place: &str) -> Result<(), String> {
    let town = Town::new(script(good_work), vec![issue("Anything")]).await;
    let mut server = town.serve_dying_at(place).await;
    let id = server.begin(&body()).await;
    server.died().await;
    server.kill().await;
    nobody_is_left(&town).await?;
    let asked = town.model.requests().len();

    // Switched off, a service ends what is cancelled and goes on with nothing.
    let mut off = town.env.clone();
    off.insert("OVERNIGHT_EXECUTION_ENABLED".to_owned(), "false".to_owned());
    let server = Server::start(&off, town.data.path()).await;
    let cancel = format!("/api/foreman/overnight/runs/{id}/cancel");
    let status = server.post(&cancel, &json!({})).await.status;
    let run = server.ended(&id).await;
    server.kill().await;
    if status != 202 || run["status"] != "cancelled" {
        return Err(format!("{status} {run:#}"));
    }

    let server = town.serve().await;
    let run = server.night(&json!(null)).await;
    let log = server.log();
    server.kill().await;
    nobody_is_left(&town).await?;
    let wrong = |what: &str| Err(format!("{what}: {run:#}\n{:#?}\n{log}", town.changes()));
    let pushed = town.changes().iter().filter(|it| it.starts_with("PUSH")).count();
    let opened = town.changes().iter().filter(|it| *it == "POST /pulls").count();
    if (pushed, opened, town.pulls().len()) != (1, 1, 1) {
        return wrong("one push and one pull request in all");
    }
    // Before the push nothing is outside yet: that one alone is built again.
    let again = town.model.requests().len() > asked;
    if again != (place == "push.before") {
        return wrong("the model was asked");
    }
    let ended = &row(&run, 1)["reasonCode"];
    let found = ended == "open_pull_request";
    if found != matches!(place, "pull.after" | "pull.observed") {
        return wrong("how the second night ended");
    }
    town.assert_clean();
    Ok(())
}
