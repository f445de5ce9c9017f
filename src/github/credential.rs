//! How Foreman proves to GitHub who it is: a token, or a GitHub App's key.
//!
//! Owns the cache of installation tokens. Never sends anything itself: `client` does.

use std::collections::HashMap;
use std::sync::Mutex;

use chrono::{DateTime, Duration, Utc};
use octocrab::models::AppId;
use secrecy::{ExposeSecret, SecretString};

use super::error::GitHubError;

/// An installation token is renewed when it has less than this left: a night's step, push
/// included, should not outlive the token it was given.
const RENEW_BEFORE: Duration = Duration::minutes(10);

/// What GitHub grants an installation token for when it does not say.
const USUAL_LIFE: Duration = Duration::minutes(60);

/// A GitHub credential as the operator gave it.
#[derive(Debug, Clone)]
pub enum Credential {
    /// A personal access token, fine-grained or classic, or an Actions token.
    Token(SecretString),
    /// A GitHub App: its id and its private key in PEM.
    App { id: u64, key: SecretString },
}

/// A credential that was found usable.
pub(super) enum Identity {
    Token(SecretString),
    App(App),
}

pub(super) struct App {
    id: AppId,
    key: octocrab::auth::EncodingKey,
    /// By repository key.
    granted: Mutex<HashMap<String, Granted>>,
}

#[derive(Clone)]
struct Granted {
    token: SecretString,
    expires: DateTime<Utc>,
}

impl Identity {
    pub(super) fn new(credential: Credential) -> Result<Self, GitHubError> {
        match credential {
            Credential::Token(token) => {
                let text = token.expose_secret().trim();
                let usable = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
                if usable {
                    Ok(Self::Token(SecretString::from(text)))
                } else {
                    Err(GitHubError::Setup {
                        variable: "GITHUB_TOKEN",
                        reason: "a token is one word of printable ASCII".to_owned(),
                    })
                }
            }
            Credential::App { id, key } => {
                let key = octocrab::auth::EncodingKey::from_rsa_pem(key.expose_secret().as_bytes())
                    .map_err(|_| GitHubError::Setup {
                        variable: "GITHUB_APP_PRIVATE_KEY",
                        // What the parser says could quote the key.
                        reason: "it is not an RSA private key in PEM".to_owned(),
                    })?;
                Ok(Self::App(App { id: AppId(id), key, granted: Mutex::default() }))
            }
        }
    }
}

impl App {
    /// The short-lived proof that we hold the App's key.
    pub(super) fn jwt(&self) -> Result<SecretString, GitHubError> {
        octocrab::auth::create_jwt(self.id, &self.key).map(SecretString::from).map_err(|_| {
            GitHubError::Setup {
                variable: "GITHUB_APP_PRIVATE_KEY",
                reason: "it does not sign".to_owned(),
            }
        })
    }

    /// The token of a repository's installation, if one is held that lives long enough.
    pub(super) fn held(&self, repo_key: &str, now: DateTime<Utc>) -> Option<SecretString> {
        let granted = self.lock().get(repo_key)?.clone();
        (granted.expires - now > RENEW_BEFORE).then_some(granted.token)
    }

    pub(super) fn hold(
        &self,
        repo_key: String,
        token: SecretString,
        expires: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) {
        let expires = expires.unwrap_or(now + USUAL_LIFE);
        self.lock().insert(repo_key, Granted { token, expires });
    }

    /// Forgets a token that GitHub no longer accepts. Says whether there was one.
    pub(super) fn forget(&self, repo_key: &str) -> bool {
        self.lock().remove(repo_key).is_some()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Granted>> {
        // A panic while it was held cannot have left half a map behind.
        self.granted.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
