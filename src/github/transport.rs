//! Building octocrab: the layers between a request of ours and the wire.
//!
//! Owns time to connect, headers that go with everything, redirects, and that nothing is ever
//! repeated. A plain-http address gets no TLS at all: loading the system's certificates fails on
//! a machine that has none, which must not stop the demo or a loopback server.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use octocrab::service::middleware::base_uri::BaseUriLayer;
use octocrab::service::middleware::extra_headers::ExtraHeadersLayer;
use octocrab::service::middleware::retry::RetryConfig;
use octocrab::{AuthState, OctoBody, Octocrab, OctocrabBuilder};
use tower_http::follow_redirect::FollowRedirectLayer;
use url::Url;

use super::answer::causes;
use super::error::GitHubError;

/// Sent with every request; GitHub refuses one without a user agent.
const HEADERS: [(HeaderName, &str); 3] = [
    (header::USER_AGENT, concat!("foreman/", env!("CARGO_PKG_VERSION"))),
    (header::ACCEPT, "application/vnd.github+json"),
    (HeaderName::from_static("x-github-api-version"), "2022-11-28"),
];

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A client of the API at this address. Must be called inside a tokio runtime.
pub(super) fn octocrab(api_url: &Url) -> Result<Octocrab, GitHubError> {
    let bad = |reason: String| GitHubError::Setup { variable: "GITHUB_API_URL", reason };
    if !matches!(api_url.scheme(), "http" | "https") || api_url.host_str().is_none() {
        return Err(bad("it takes an http or https address".to_owned()));
    }
    if !api_url.username().is_empty() || api_url.password().is_some() {
        return Err(bad("a credential does not belong in the address".to_owned()));
    }
    if api_url.scheme() == "http" {
        return plain(api_url).map_err(bad);
    }
    let mut builder = Octocrab::builder()
        .base_uri(api_url.as_str())
        .map_err(|_| bad("it is not an address".to_owned()))?
        // Its retry repeats any method at once, so a POST could make two pull requests.
        .add_retry_config(RetryConfig::None)
        .set_connect_timeout(Some(CONNECT_TIMEOUT));
    for (name, value) in HEADERS {
        builder = builder.add_header(name, value.to_owned());
    }
    builder.build().map_err(|error| {
        bad(format!(
            "no secure connection can be made from here ({}); install the system's ca-certificates",
            causes(&error)
        ))
    })
}

fn plain(api_url: &Url) -> Result<Octocrab, String> {
    let base: http::Uri =
        api_url.as_str().parse().map_err(|_| "it is not an address".to_owned())?;
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build::<_, OctoBody>(connector);
    let headers = HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value))).to_vec();
    let built = OctocrabBuilder::new_empty()
        .with_service(client)
        // Drops the token where a redirect leaves the host.
        .with_layer(&FollowRedirectLayer::new())
        .with_layer(&ExtraHeadersLayer::new(Arc::new(headers)))
        .with_layer(&BaseUriLayer::new(base))
        .with_auth(AuthState::None)
        .build();
    match built {
        Ok(octocrab) => Ok(octocrab),
        Err(never) => match never {},
    }
}
