//! The GitHub client against the stand-in GitHub, and the stand-in itself.

mod failures;
mod git_http;
mod intake;
mod publishing;

use foreman::demo::github::{FakeGitHub, Options};
use foreman::domain::ids::RepoName;
use foreman::github::{Credential, GitHub, Patience};
use secrecy::SecretString;
use std::time::Duration;

/// A repository `octo/app` with one commit, and a client with the stand-in's own token.
struct Scene {
    fake: FakeGitHub,
    github: GitHub,
    repo: RepoName,
    base: String,
}

/// Patience in milliseconds, so that a retry costs a test nothing.
fn impatient() -> Patience {
    Patience {
        rate_limit_cap: Duration::from_secs(60),
        retry_pause: Duration::from_millis(1),
        timeout: Duration::from_secs(20),
        ..Patience::default()
    }
}

fn token(text: &str) -> Option<Credential> {
    Some(Credential::Token(SecretString::from(text)))
}

impl Scene {
    async fn new() -> Self {
        // Already installed by another test of this binary is just as well.
        rustls::crypto::ring::default_provider().install_default().ok();
        let fake = FakeGitHub::start(Options::default()).await.expect("loopback");
        let repo: RepoName = "octo/app".parse().expect("valid");
        let base = fake.create_repo(&repo, &[("README.md", "# App\n")]).expect("git works");
        let github = client(&fake, token(fake.token()));
        Self { fake, github, repo, base }
    }
}

fn client(fake: &FakeGitHub, credential: Option<Credential>) -> GitHub {
    GitHub::with_patience(&fake.api_url(), credential, impatient()).expect("usable")
}
