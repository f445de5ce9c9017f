//! Every route with every kind of caller, from the page's table, which is held to the router's list.

use std::collections::BTreeMap;

use crate::support::{Server, Town, script};
use foreman::demo::model::Reply;

const TOKENS: &str =
    "vera:viewer:token-of-vera,olga:operator:token-of-olga,adam:admin:token-of-adam";

fn read(path: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(path).expect("a file")
}

/// What the router is made of: each path with its methods.
fn routes() -> Vec<(String, String)> {
    let source = read("src/http/mod.rs");
    let mut routes = Vec::new();
    for call in source.split(".route(").skip(1) {
        let call = call.split(".route").next().unwrap_or_default();
        let path = call.split('"').nth(1).expect("a path").to_owned();
        for (word, method) in [
            ("get(", "GET"),
            ("post(", "POST"),
            ("put(", "PUT"),
            ("patch(", "PATCH"),
            ("delete(", "DELETE"),
            ("any(", "*"),
        ] {
            let named = call
                .match_indices(word)
                .any(|(at, _)| !call[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
            if named {
                routes.push((method.to_owned(), path.clone()));
            }
        }
    }
    assert!(routes.len() > 30, "{routes:?}");
    routes
}

/// The least role of each route, as the page says: `anybody`, `viewer`, `operator` or `admin`.
fn documented() -> BTreeMap<(String, String), String> {
    let page = read("docs/api.md");
    let rows = page.lines().filter_map(|line| {
        let (route, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        let (method, path) = route.split_once(' ')?;
        let role = rest.split([' ', ';']).next()?;
        path.starts_with('/').then(|| ((method.to_owned(), path.to_owned()), role.to_owned()))
    });
    rows.collect()
}

#[test]
fn the_page_has_every_route_with_its_role_and_no_other() {
    let documented = documented();
    let mut known = routes();
    known.sort();
    let named: Vec<(String, String)> = documented.keys().cloned().collect();
    assert_eq!(named, known, "docs/api.md and the router");
    for (route, role) in documented {
        assert!(["anybody", "viewer", "operator", "admin"].contains(&role.as_str()), "{route:?}");
    }
}

/// Whether a caller was let in; what the route then says of this request is its own matter.
async fn let_in(server: &Server, method: &str, path: &str, token: Option<&str>) -> Result<(), u16> {
    // A body that no route takes, so that nothing happens where it is let in.
    let request = server.request(method, path).header("content-type", "application/json").body("[");
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    let response = request.send().await.expect("an answer");
    match response.status().as_u16() {
        status @ (401 | 403) => {
            let body: serde_json::Value = response.json().await.expect("JSON");
            let code = body["code"].as_str().unwrap_or_default();
            assert_eq!(code, if status == 401 { "unauthorized" } else { "forbidden" }, "{path}");
            assert!(body["error"].as_str().is_some_and(|it| it.len() > 20), "{body}");
            Err(status)
        }
        _ => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_takes_the_role_that_the_page_says() {
    let town = Town::new(script(|_| Reply::Hang), vec![]).await;
    let town = town.set("FOREMAN_API_TOKEN", TOKENS);
    let server = town.serve().await;
    for ((method, path), role) in documented() {
        let real = path.replace("{id}", "x").replace("{sha256}", "x").replace("{number}", "1");
        for (token, rank) in [
            (None, -2),
            (Some("token-of-eve"), -1),
            (Some("token-of-vera"), 1),
            (Some("token-of-olga"), 2),
            (Some("token-of-adam"), 3),
        ] {
            let needed = match role.as_str() {
                "anybody" => -2,
                "viewer" => 1,
                "operator" => 2,
                _ => 3,
            };
            let expected = match rank {
                _ if rank >= needed => Ok(()),
                ..0 => Err(401),
                _ => Err(403),
            };
            let found = let_in(&server, &method, &real, token).await;
            assert_eq!(found, expected, "{method} {path} with {token:?}");
        }
    }
    assert!(town.changes().is_empty() && !server.log().contains("token-of-"));
}

/// What is no route of ours is not let in either, and a method that no route has takes an admin.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_route_tells_a_stranger_nothing() {
    let town = Town::new(script(|_| Reply::Hang), vec![]).await;
    let town = town.set("FOREMAN_API_TOKEN", TOKENS);
    let server = town.serve().await;
    for path in ["/api/foreman/nothing", "/", "/api/foreman/overnight/"] {
        assert_eq!(let_in(&server, "GET", path, None).await, Err(401), "{path}");
    }
    let overnight = "/api/foreman/overnight";
    assert_eq!(let_in(&server, "DELETE", overnight, Some("token-of-olga")).await, Err(403));
    assert_eq!(let_in(&server, "DELETE", overnight, Some("token-of-adam")).await, Ok(()));
}
