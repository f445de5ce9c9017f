//! What a credential may do, told by the names GitHub gives permissions, for each kind of credential.

use serde_json::Value;

use super::foreman;
use crate::support::{Town, script};
use foreman::demo::github::{Fault, FaultKind};
use foreman::demo::model::Reply;

/// `contents: write (…)` and the like, each with its level.
async fn permissions(town: &Town) -> (Option<i32>, Vec<String>) {
    let (code, said) = foreman(town, &["doctor", "octo/app", "--json"]).await;
    let said: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"));
    let of = |it: &Value| it["what"] == "permission";
    let line = |it: &Value| {
        let found = it["found"].as_str().unwrap_or_default();
        let advice = it["advice"].as_str().map_or_else(String::new, |it| format!(" -> {it}"));
        format!("{} {found}{advice}", it["level"].as_str().unwrap_or_default())
    };
    let checks = said["checks"].as_array().expect("checks");
    (code, checks.iter().filter(|it| of(it)).map(line).collect())
}

async fn town() -> Town {
    Town::new(script(|_| Reply::Hang), vec![]).await
}

fn scopes(town: &Town, scopes: &str) {
    let header = vec![("x-oauth-scopes".to_owned(), scopes.to_owned())];
    let fault = Fault::on("GET", "^/repos/octo/app$", FaultKind::Headers(header));
    town.github.fail_next(fault.times(9));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_classic_token_holds_what_its_scopes_say() {
    let town = town().await;
    scopes(&town, "gist, repo");
    let (code, said) = permissions(&town).await;
    let by = "write (the token's scopes are gist, repo)";
    let all = ["contents", "issues", "pull_requests"];
    assert_eq!((code, said), (Some(0), all.map(|name| format!("ok {name}: {by}")).to_vec()));

    let town = self::town().await;
    scopes(&town, "gist, read:org");
    let (code, said) = permissions(&town).await;
    let missing = all.map(|name| {
        format!("fail {name}: missing (the token's scopes are gist, read:org) -> give the token write access to `{name}` of octo/app")
    });
    assert_eq!((code, said), (Some(1), missing.to_vec()));
}

/// GitHub does not say what a fine-grained token may write; what it may not even read is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_fine_grained_token_is_told_by_what_it_can_read() {
    let town = town().await;
    town.github.fail_next(Fault::status("GET", "^/repos/octo/app/pulls", 403).times(9));
    let (code, said) = permissions(&town).await;
    assert_eq!(code, Some(1), "{said:?}");
    let begins = ["ok contents: held (", "ok issues: held (", "fail pull_requests: missing ("];
    assert_eq!(said.len(), 3, "{said:?}");
    for (line, begin) in said.iter().zip(begins) {
        assert!(line.starts_with(begin), "{line}");
    }
    assert!(said[0].contains("GitHub does not say whether it may be written"), "{said:?}");
    assert!(said[2].ends_with("-> give the token write access to `pull_requests` of octo/app"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apps_installation_names_its_permissions() {
    let mut town = town().await;
    town.github.add_app(42, "foreman", include_str!("../github/app_key.pub.pem"));
    town.env.remove("GITHUB_TOKEN");
    town.env.insert("GITHUB_APP_ID".to_owned(), "42".to_owned());
    let key = include_str!("../github/app_key.pem").to_owned();
    town.env.insert("GITHUB_APP_PRIVATE_KEY".to_owned(), key);
    let (code, said) = permissions(&town).await;
    let by = "write (the App's installation has `write`)";
    let all = ["contents", "issues", "pull_requests"];
    assert_eq!((code, said), (Some(0), all.map(|name| format!("ok {name}: {by}")).to_vec()));

    town.github.grant_app("pull_requests", "read");
    let (code, said) = permissions(&town).await;
    let missing = "fail pull_requests: missing (the App's installation has `read`) -> give the token write access to `pull_requests` of octo/app";
    assert_eq!((code, said[2].as_str()), (Some(1), missing));
}

/// `init` shows the same: a person learns it before the first night.
#[tokio::test(flavor = "multi_thread")]
async fn init_tells_permissions_and_the_clock() {
    let town = town().await;
    scopes(&town, "gist");
    let (code, text) = foreman(&town, &["init", "octo/app", "--yes"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("contents: missing") && text.contains("clock"), "{text}");
    assert!(text.contains("this machine's clock is GitHub's"), "{text}");
    assert!(!text.contains("Next: "), "first what is missing: {text}");

    let town = self::town().await;
    let (code, text) = foreman(&town, &["init", "octo/app", "--yes"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("Next: `foreman plan octo/app`"), "{text}");
}
