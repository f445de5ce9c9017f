//! Who may call: bearer tokens and roles, and without tokens only this machine, directly. Decides
//! from the request's head alone; never reads a body.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use secrecy::ExposeSecret as _;
use sha2::{Digest, Sha256};

use super::body::shown;
use super::error::ApiError;
use crate::config::{ApiToken, Auth, Role, is_loopback};

/// The tokens as digests, so that a comparison takes the same time for every wrong value.
#[derive(Clone)]
pub struct Access {
    tokens: Arc<Vec<Known>>,
    base_path: Arc<str>,
}

struct Known {
    name: String,
    role: Role,
    digest: [u8; 32],
}

/// What is asked by POST because it has a body, and changes nothing.
const ASKS: [&str; 2] = ["/api/foreman/overnight/plan", "/api/foreman/escalation/select"];

/// Who called, for the log.
#[derive(Debug, Clone)]
pub struct Caller {
    pub name: String,
    pub role: Role,
}

impl Access {
    #[must_use]
    pub fn new(auth: &Auth, base_path: &str) -> Self {
        let known = |token: &ApiToken| Known {
            name: token.name.clone(),
            role: token.role,
            digest: Sha256::digest(token.secret.expose_secret()).into(),
        };
        Self {
            tokens: Arc::new(auth.tokens.iter().map(known).collect()),
            base_path: base_path.into(),
        }
    }

    /// Lets a request in, or says why not.
    pub fn check(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Option<Caller>, ApiError> {
        if self.tokens.is_empty() {
            return direct_and_local(uri, headers).map(|()| None);
        }
        let path = uri.path().strip_prefix(&*self.base_path).unwrap_or(uri.path());
        if path == "/healthz" || uri.path() == "/healthz" {
            return Ok(None);
        }
        let caller = self.identify(headers)?;
        let needed = match *method {
            Method::GET | Method::HEAD => Role::Viewer,
            Method::POST if ASKS.contains(&path) => Role::Viewer,
            Method::POST => Role::Operator,
            _ => Role::Admin,
        };
        if caller.role < needed {
            return Err(ApiError::Refused {
                code: "forbidden",
                message: format!(
                    "The token `{}` is a {}'s; this takes the role {needed}",
                    caller.name, caller.role
                ),
            });
        }
        Ok(Some(caller))
    }

    fn identify(&self, headers: &HeaderMap) -> Result<Caller, ApiError> {
        let mut values = headers.get_all("authorization").iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(ApiError::Unauthorized(
                "This takes the header `Authorization: Bearer TOKEN`",
            ));
        };
        let given = value.to_str().ok().and_then(|text| text.split_once(' '));
        let Some((_, secret)) = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        else {
            return Err(ApiError::Unauthorized("The Authorization header takes `Bearer TOKEN`"));
        };
        let digest: [u8; 32] = Sha256::digest(secret.trim()).into();
        let mut found = None;
        for token in self.tokens.iter() {
            let difference = token.digest.iter().zip(digest).fold(0, |sum, (a, b)| sum | (a ^ b));
            if difference == 0 {
                found = Some(Caller { name: token.name.clone(), role: token.role });
            }
        }
        found.ok_or(ApiError::Unauthorized("The token is not one of FOREMAN_API_TOKEN"))
    }
}

/// Without a token whoever reaches us may do everything, so nothing may come from elsewhere: not
/// through a proxy, not from a web page, not by a foreign name that points here (DNS rebinding).
fn direct_and_local(uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
    let proxied = headers.keys().find(|name| {
        let name = name.as_str();
        matches!(name, "forwarded" | "x-real-ip" | "via") || name.starts_with("x-forwarded-")
    });
    if let Some(header) = proxied {
        return Err(refused("proxied", &format!("The request came through a proxy (`{header}`)")));
    }
    let asked_for = headers
        .get("host")
        .and_then(|value| value.to_str().ok())
        .or_else(|| uri.authority().map(|authority| authority.as_str()));
    for origin in headers.get_all("origin") {
        let text = origin.to_str().unwrap_or("?");
        // Another port of this machine is another site: any program may serve pages there.
        if asked_for.is_none_or(|host| !is_page_of(text, host)) {
            let message =
                format!("The request came from the page of another site (`{}`)", shown(text));
            return Err(refused("foreign_origin", &message));
        }
    }
    let hosts = headers.get_all("host").iter().map(|value| value.to_str().unwrap_or("?"));
    for host in hosts.chain(uri.authority().map(|authority| authority.as_str())) {
        if !is_local(without_port(host)) {
            let message = format!("The request was for the foreign host `{}`", shown(host));
            return Err(refused("foreign_host", &message));
        }
    }
    Ok(())
}

fn refused(code: &'static str, what: &str) -> ApiError {
    let message = format!(
        "{what}; without FOREMAN_API_TOKEN Foreman answers only this machine, directly: set FOREMAN_API_TOKEN"
    );
    ApiError::Refused { code, message }
}

/// Whether an origin is the site that a request was for, port included.
fn is_page_of(origin: &str, host: &str) -> bool {
    let site = |text: &str| {
        let url = url::Url::parse(text).ok().filter(|url| url.scheme() == "http")?;
        Some((url.host_str()?.to_owned(), url.port_or_known_default()))
    };
    let page = site(origin);
    page.is_some() && page == site(&format!("http://{host}"))
}

fn is_local(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    is_loopback(bare) || host.to_ascii_lowercase().ends_with(".localhost")
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    }
}

/// The middleware.
pub(super) async fn require(
    State(access): State<Access>,
    mut request: Request,
    next: Next,
) -> Response {
    match access.check(request.method(), request.uri(), request.headers()) {
        Ok(caller) => {
            if let Some(caller) = caller {
                tracing::Span::current().record("caller", caller.name.as_str());
                request.extensions_mut().insert(caller);
            }
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn ask(
        access: &Access,
        method: &Method,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Option<Caller>, ApiError> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        access.check(method, &path.parse().expect("a path"), &map)
    }

    fn code(result: Result<Option<Caller>, ApiError>) -> &'static str {
        result.map_or_else(|error| error.code(), |_| "in")
    }

    #[test]
    fn without_tokens_only_this_machine_directly() {
        let access = Access::new(&Auth::default(), "");
        let cases: &[(&[(&'static str, &str)], &str)] = &[
            (&[("host", "127.0.0.1:3000")], "in"),
            (&[("host", "localhost")], "in"),
            (&[("host", "[::1]:3000")], "in"),
            (&[("host", "foreman.localhost:3000")], "in"),
            (&[], "in"),
            (&[("host", "localhost:8080"), ("origin", "http://localhost:8080")], "in"),
            (&[("host", "LOCALHOST"), ("origin", "http://localhost")], "in"),
            (&[("host", "localhost"), ("origin", "http://localhost:8080")], "foreign_origin"),
            (&[("host", "localhost:80"), ("origin", "https://localhost")], "foreign_origin"),
            (&[("host", "127.0.0.1:3000"), ("origin", "http://localhost:3000")], "foreign_origin"),
            (&[("origin", "http://localhost:3000")], "foreign_origin"),
            (&[("host", "localhost"), ("origin", "https://evil.example")], "foreign_origin"),
            (&[("host", "localhost"), ("origin", "null")], "foreign_origin"),
            (
                &[("host", "localhost"), ("origin", "http://localhost.evil.example")],
                "foreign_origin",
            ),
            (&[("host", "rebound.example:3000")], "foreign_host"),
            (&[("host", "127.0.0.1.evil.example")], "foreign_host"),
            (&[("host", "192.168.0.2")], "foreign_host"),
            (&[("host", "localhost"), ("forwarded", "for=1.2.3.4")], "proxied"),
            (&[("host", "localhost"), ("x-forwarded-for", "127.0.0.1")], "proxied"),
            (&[("host", "localhost"), ("x-forwarded-anything", "")], "proxied"),
            (&[("host", "localhost"), ("x-real-ip", "1.2.3.4")], "proxied"),
        ];
        for (headers, expected) in cases {
            let got = ask(&access, &Method::POST, "/api/foreman/overnight", headers);
            if let Err(error) = &got {
                assert!(error.to_string().contains("FOREMAN_API_TOKEN"), "{error}");
            }
            assert_eq!(code(got), *expected, "{headers:?}");
        }
    }

    #[test]
    fn with_tokens_the_right_one_in_the_right_form() {
        let auth = Auth::parse("ann:viewer:aaa,bob:operator:bbb,eve:admin:ccc").expect("valid");
        let access = Access::new(&auth, "/f");
        let cases: &[(&[(&'static str, &str)], &str)] = &[
            (&[], "unauthorized"),
            (&[("authorization", "Bearer bbb")], "in"),
            (&[("authorization", "bearer bbb")], "in"),
            (
                &[
                    ("authorization", "Bearer ccc"),
                    ("x-forwarded-for", "1.2.3.4"),
                    ("host", "x.org"),
                ],
                "in",
            ),
            (&[("authorization", "Bearer aaa")], "forbidden"),
            (&[("authorization", "Bearer bb")], "unauthorized"),
            (&[("authorization", "Bearer bbbb")], "unauthorized"),
            (&[("authorization", "Bearer ")], "unauthorized"),
            (&[("authorization", "bbb")], "unauthorized"),
            (&[("authorization", "Basic bbb")], "unauthorized"),
            (&[("authorization", "Bearer bbb"), ("authorization", "Bearer ccc")], "unauthorized"),
        ];
        for (headers, expected) in cases {
            assert_eq!(
                code(ask(&access, &Method::POST, "/api/x", headers)),
                *expected,
                "{headers:?}"
            );
        }
        let viewer: &[(&'static str, &str)] = &[("authorization", "Bearer aaa")];
        for path in ["/f/api/foreman/overnight/plan", "/api/foreman/escalation/select"] {
            assert_eq!(code(ask(&access, &Method::POST, path, viewer)), "in");
        }
        let night = "/api/foreman/overnight";
        assert_eq!(code(ask(&access, &Method::POST, night, viewer)), "forbidden");
        assert_eq!(code(ask(&access, &Method::GET, "/api/x", viewer)), "in");
        assert_eq!(code(ask(&access, &Method::DELETE, "/api/x", viewer)), "forbidden");
        for path in ["/healthz", "/f/healthz"] {
            assert_eq!(code(ask(&access, &Method::GET, path, &[])), "in");
        }
        assert_eq!(code(ask(&access, &Method::GET, "/readyz", &[])), "unauthorized");
    }
}
