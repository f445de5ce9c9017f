//! One request to GitHub and what may be done about its failure.
//!
//! Owns octocrab, authorization, rate limits, retries of reads and paging. Never repeats a
//! request that changes something, unless GitHub refused it before carrying it out (rate limit,
//! expired installation token). Paths never come from a response: of a `next` link only the
//! query is used, on the path we asked for, so that the token stays with the configured host.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use octocrab::{OctoBody, Octocrab};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::answer::{Answer, causes, next_query, read, refusal, said};
pub(super) use super::ask::Ask;
use super::ask::Proof;
use super::credential::{Credential, Identity};
use super::error::GitHubError;
use super::limits::wait_asked;
use super::pause::{Manner, NotBefore, Patience, Refused};
use crate::domain::ids::RepoName;

/// A read is tried this often in all where GitHub fails (5xx) or does not answer.
const READ_TRIES: u32 = 3;

/// Rate-limit waits of one call: `Retry-After: 0` for ever must end.
const MOST_WAITS: u32 = 5;

/// Pages of one listing: a server whose every page has a next one must end.
const MOST_PAGES: usize = 2_000;

/// Bytes of one answer: 100 issues with bodies of 64 KiB fit.
const LARGEST_ANSWER: usize = 32 << 20;

/// The handle to GitHub. Cheap to clone; one client per process.
#[derive(Clone)]
pub struct GitHub {
    inner: Arc<Inner>,
    manner: Manner,
}

struct Inner {
    octocrab: Octocrab,
    identity: Option<Identity>,
    patience: Patience,
    login: OnceCell<Option<String>>,
    /// Shared by all handles: a limit is the credential's, not one caller's.
    not_before: NotBefore,
}

fn rate_limited(ask: &Ask<'_>, wait: Duration) -> GitHubError {
    let until = chrono::Duration::from_std(wait).ok().map(|wait| Utc::now() + wait);
    GitHubError::RateLimited { doing: ask.doing.clone(), until }
}

impl std::fmt::Debug for GitHub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GitHub").field("has_credential", &self.has_credential()).finish()
    }
}

impl GitHub {
    /// A client of the API at `api_url`. Without a credential it reads what is public. Must be
    /// called inside a tokio runtime: octocrab starts a task.
    pub fn new(api_url: &Url, credential: Option<Credential>) -> Result<Self, GitHubError> {
        Self::with_patience(api_url, credential, Patience::default())
    }

    pub fn with_patience(
        api_url: &Url,
        credential: Option<Credential>,
        patience: Patience,
    ) -> Result<Self, GitHubError> {
        let octocrab = super::transport::octocrab(api_url)?;
        let identity = credential.map(Identity::new).transpose()?;
        let (login, not_before) = (OnceCell::new(), NotBefore::default());
        let inner = Inner { octocrab, identity, patience, login, not_before };
        let manner =
            Manner { cap: patience.rate_limit_cap, stop: CancellationToken::new(), refused: None };
        Ok(Self { inner: Arc::new(inner), manner })
    }

    /// The same client for a night: it waits rate limits out, however long an hour is, until `stop`
    /// ends waiting and whatever is under way.
    #[must_use]
    pub fn for_a_night(&self, stop: CancellationToken) -> Self {
        let manner = Manner { cap: self.inner.patience.night_cap, stop, refused: None };
        Self { inner: Arc::clone(&self.inner), manner }
    }

    /// The same, and a credential that GitHub no longer takes is told to `refused` and stops the
    /// night before anything else is tried with it.
    #[must_use]
    pub fn stopping_when_refused(mut self, refused: Refused) -> Self {
        self.manner.refused = Some(refused);
        self
    }

    #[must_use]
    pub fn has_credential(&self) -> bool {
        self.inner.identity.is_some()
    }

    /// The token that git may use for a repository: never put it into a URL or an argument.
    pub async fn token_for_git(
        &self,
        repo: &RepoName,
    ) -> Result<Option<SecretString>, GitHubError> {
        self.authorization(Proof::Repository(repo)).await
    }

    /// Whose hand our comments and pull requests are in. `None` where GitHub does not say (an
    /// Actions token may not ask).
    pub async fn login(&self) -> Result<Option<String>, GitHubError> {
        let login = self.inner.login.get_or_try_init(|| self.ask_login()).await?;
        Ok(login.clone())
    }

    async fn ask_login(&self) -> Result<Option<String>, GitHubError> {
        #[derive(Deserialize)]
        struct Whoever {
            login: Option<String>,
            slug: Option<String>,
        }
        let path = match &self.inner.identity {
            None => return Ok(None),
            Some(Identity::Token(_)) => "/user",
            Some(Identity::App(_)) => "/app",
        };
        let ask = Ask {
            method: Method::GET,
            path: path.to_owned(),
            body: None,
            doing: "asking whose credential this is".to_owned(),
            proof: Proof::Own,
        };
        match self.json::<Whoever>(&ask).await {
            Ok(Whoever { login: Some(login), .. }) => Ok(Some(login)),
            Ok(Whoever { slug, .. }) => Ok(slug.map(|slug| format!("{slug}[bot]"))),
            Err(GitHubError::Forbidden { .. } | GitHubError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether we are a GitHub App, whose permissions its installation names.
    pub(super) fn is_app(&self) -> bool {
        matches!(self.inner.identity, Some(Identity::App(_)))
    }

    /// Asks, for an answer whose headers matter.
    pub(super) async fn answer(&self, ask: &Ask<'_>) -> Result<Answer, GitHubError> {
        self.ask(ask, &ask.path).await
    }

    /// Asks, and reads the answer as `T`.
    pub(super) async fn json<T: DeserializeOwned>(&self, ask: &Ask<'_>) -> Result<T, GitHubError> {
        let answer = self.ask(ask, &ask.path).await?;
        read(&answer.body, &ask.doing)
    }

    /// All items of a listing, over all its pages. An item that cannot be read fails the whole:
    /// a list with holes would be planned as if it were complete.
    pub(super) async fn all<T: DeserializeOwned>(
        &self,
        ask: &Ask<'_>,
        query: &str,
    ) -> Result<Vec<T>, GitHubError> {
        let mut items = Vec::new();
        let mut seen = HashSet::new();
        let mut next =
            Some(format!("{query}{}per_page=100", if query.is_empty() { "" } else { "&" }));
        while let Some(query) = next.take() {
            if seen.len() == MOST_PAGES {
                return Err(GitHubError::Unreadable {
                    doing: ask.doing.clone(),
                    reason: format!("it has more than {MOST_PAGES} pages"),
                });
            }
            let answer = self.ask(ask, &format!("{}?{query}", ask.path)).await?;
            items.extend(read::<Vec<T>>(&answer.body, &ask.doing)?);
            seen.insert(query);
            next = next_query(&answer.headers).filter(|query| !seen.contains(query));
        }
        Ok(items)
    }

    async fn ask(&self, ask: &Ask<'_>, path: &str) -> Result<Answer, GitHubError> {
        let (mut tries, mut waits, mut waited) = (0_u32, 0_u32, Duration::ZERO);
        let mut may_renew = true;
        loop {
            self.wait_for_leave(ask, &mut waited).await?;
            let token = Box::pin(self.authorization(ask.proof)).await?;
            tries += 1;
            let failure = match self.once(ask, path, token.as_ref()).await {
                Err(error) => error,
                Ok(answer) if answer.status.is_success() => return Ok(answer),
                Ok(answer) => {
                    let message = said(&answer.body);
                    let now = Utc::now();
                    if let Some(wait) = wait_asked(answer.status, &answer.headers, &message, now) {
                        self.inner.not_before.push_back(wait);
                        waits += 1;
                        if waits > MOST_WAITS {
                            return Err(rate_limited(ask, wait));
                        }
                        tries -= 1;
                        continue;
                    }
                    if answer.status == StatusCode::UNAUTHORIZED
                        && may_renew
                        && self.renew(ask.proof)
                    {
                        may_renew = false;
                        tries -= 1;
                        continue;
                    }
                    if answer.status == StatusCode::UNAUTHORIZED && token.is_none() {
                        return Err(GitHubError::NoCredential);
                    }
                    let failure = refusal(answer.status, &ask.doing, message);
                    self.manner.refused(&failure);
                    failure
                }
            };
            let passing =
                matches!(failure, GitHubError::Server { .. } | GitHubError::Transport { .. });
            if ask.method != Method::GET || !passing || tries >= READ_TRIES {
                return Err(failure);
            }
            let pause = self.inner.patience.retry_pause * 2_u32.pow(tries - 1);
            self.sleep(ask, pause.mul_f64(rand::random_range(0.5..1.5))).await?;
        }
    }

    /// Waits until GitHub wants to hear of us again; beyond the cap it fails with the time instead.
    async fn wait_for_leave(
        &self,
        ask: &Ask<'_>,
        waited: &mut Duration,
    ) -> Result<(), GitHubError> {
        while let Some(wait) = self.inner.not_before.left() {
            *waited += wait;
            if *waited > self.manner.cap {
                return Err(rate_limited(ask, wait));
            }
            tracing::info!(seconds = wait.as_secs(), "GitHub asks to wait, {}", ask.doing);
            self.sleep(ask, wait).await?;
        }
        Ok(())
    }

    async fn sleep(&self, ask: &Ask<'_>, time: Duration) -> Result<(), GitHubError> {
        tokio::select! {
            () = tokio::time::sleep(time) => Ok(()),
            () = self.manner.stop.cancelled() => {
                Err(GitHubError::Stopped { doing: ask.doing.clone() })
            }
        }
    }

    /// Comes back when a request may not go on: at once for a read, after a grace for a change,
    /// whose answer is worth more.
    async fn stopped(&self, ask: &Ask<'_>) {
        self.manner.stop.cancelled().await;
        if ask.method != Method::GET {
            tokio::time::sleep(self.inner.patience.stop_grace).await;
        }
    }

    async fn once(
        &self,
        ask: &Ask<'_>,
        path: &str,
        token: Option<&SecretString>,
    ) -> Result<Answer, GitHubError> {
        let doing = || ask.doing.clone();
        if self.manner.stop.is_cancelled() {
            return Err(GitHubError::Stopped { doing: doing() });
        }
        let mut request = http::Request::builder().method(ask.method.clone()).uri(path);
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
                .map_err(|_| GitHubError::Setup {
                    variable: "GITHUB_TOKEN",
                    reason: "it has characters that no header takes".to_owned(),
                })?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        let request: http::Request<OctoBody> =
            self.inner.octocrab.build_request(request, ask.body.as_ref()).map_err(|error| {
                GitHubError::Unreadable { doing: doing(), reason: causes(&error) }
            })?;
        let exchange = async {
            let lost = |error: &octocrab::Error| GitHubError::Transport {
                doing: doing(),
                reason: causes(error),
            };
            let response = self.inner.octocrab.send(request).await.map_err(|error| lost(&error))?;
            let (parts, body) = response.into_parts();
            let body = http_body_util::Limited::new(body, LARGEST_ANSWER)
                .collect()
                .await
                .map_err(|error| GitHubError::Transport {
                    doing: doing(),
                    reason: format!("its answer broke off: {error}"),
                })?
                .to_bytes();
            Ok(Answer { status: parts.status, headers: parts.headers, body })
        };
        let timeout = self.inner.patience.timeout;
        tokio::select! {
            biased;
            answer = tokio::time::timeout(timeout, exchange) => answer.unwrap_or_else(|_| {
                let reason = format!("nothing came within {} s", timeout.as_secs());
                Err(GitHubError::Transport { doing: doing(), reason })
            }),
            () = self.stopped(ask) => Err(GitHubError::Stopped { doing: doing() }),
        }
    }

    async fn authorization(&self, proof: Proof<'_>) -> Result<Option<SecretString>, GitHubError> {
        let app = match &self.inner.identity {
            None => return Ok(None),
            Some(Identity::Token(token)) => return Ok(Some(token.clone())),
            Some(Identity::App(app)) => app,
        };
        let repo = match proof {
            Proof::Own => return app.jwt().map(Some),
            Proof::Repository(repo) => repo,
        };
        if let Some(token) = app.held(&repo.key(), Utc::now()) {
            return Ok(Some(token));
        }

        #[derive(Deserialize)]
        struct Installation {
            id: u64,
        }
        #[derive(Deserialize)]
        struct Grant {
            token: String,
            expires_at: Option<DateTime<Utc>>,
        }
        let find = Ask {
            proof: Proof::Own,
            ..Ask::get(
                repo,
                "/installation",
                format!("finding the GitHub App's installation on {repo}"),
            )
        };
        let installation: Installation = self.json(&find).await?;
        let grant = Ask {
            method: Method::POST,
            path: format!("/app/installations/{}/access_tokens", installation.id),
            body: Some(Value::Object(serde_json::Map::new())),
            doing: format!("getting a token of the GitHub App's installation on {repo}"),
            proof: Proof::Own,
        };
        let grant: Grant = self.json(&grant).await?;
        let token = SecretString::from(grant.token);
        app.hold(repo.key(), token.clone(), grant.expires_at, Utc::now());
        Ok(Some(token))
    }

    /// Whether a fresh token may help after a 401.
    fn renew(&self, proof: Proof<'_>) -> bool {
        match (&self.inner.identity, proof) {
            (Some(Identity::App(app)), Proof::Repository(repo)) => app.forget(&repo.key()),
            (Some(Identity::App(_) | Identity::Token(_)) | None, _) => false,
        }
    }
}
