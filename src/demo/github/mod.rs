//! The stand-in GitHub: a real HTTP server with state, as strict as GitHub, with real git behind.
//!
//! Used by the tests and by `foreman demo`. Every request that changes something is written to an
//! effect log, every ref a push moves too, and the server can be told to fail: refuse, drop the
//! connection before doing anything, or lose the reply after doing it. What it does not know it
//! answers with 404 and remembers as unexpected.

mod api;
mod connection;
mod copilot;
mod faults;
mod hands;
mod issues;
mod origin;
mod pages;
mod people;
mod pulls;
mod render;
mod seed;
mod server;
mod smart_http;
mod state;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use tokio::net::TcpListener;
use url::Url;

use self::connection::{CuttableListener, Scissors};
use self::server::Shared;
use self::state::State;
use crate::domain::ids::RepoName;

pub use self::copilot::{CopilotAct, CopilotScript, CopilotTask};
pub use self::faults::{Effect, Fault, FaultKind};
pub use self::hands::{CommentView, PullView};
pub use self::origin::FileEdit;
pub use self::seed::IssueSeed;
pub use self::state::Role;

/// How the stand-in is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// The token of the stand-in's own login.
    pub token: String,
    /// Whose token it is.
    pub login: String,
    /// The port; 0 takes a free one. A restart on the same port keeps addresses valid.
    pub port: u16,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            token: "ghp_standin_0123456789".to_owned(),
            login: "foreman-bot".to_owned(),
            port: 0,
        }
    }
}

/// The running stand-in. Its server ends when this is dropped.
pub struct FakeGitHub {
    shared: Arc<Shared>,
    options: Options,
    folder: tempfile::TempDir,
    server: tokio::task::JoinHandle<io::Result<()>>,
}

impl Drop for FakeGitHub {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl FakeGitHub {
    /// Starts on loopback, with nothing in it. Must be called inside a tokio runtime.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", options.port)).await?;
        let root = format!("http://{}", listener.local_addr()?);
        let mut state = State::new();
        state.tokens.insert(options.token.clone(), options.login.clone());
        let state = Mutex::new(state);
        let shared = Arc::new(Shared { state, root, pushing: tokio::sync::Mutex::default() });
        let router = Router::new().fallback(server::handle).with_state(Arc::clone(&shared));
        let service = router.into_make_service_with_connect_info::<Scissors>();
        let serving = axum::serve(CuttableListener(listener), service);
        let server = tokio::spawn(std::future::IntoFuture::into_future(serving));
        let folder = tempfile::Builder::new().prefix("foreman-standin-").tempdir()?;
        Ok(Self { shared, options, folder, server })
    }

    /// The address for `GITHUB_API_URL`.
    #[must_use]
    pub fn api_url(&self) -> Url {
        // Made from an address we are bound to.
        #[expect(clippy::unwrap_used, reason = "http:// and a socket address always parse")]
        self.shared.root.parse().unwrap()
    }

    /// The address that GitHub would give as `clone_url`.
    #[must_use]
    pub fn clone_url(&self, repo: &RepoName) -> String {
        format!("{}/{repo}.git", self.shared.root)
    }

    #[must_use]
    pub fn token(&self) -> &str {
        &self.options.token
    }

    #[must_use]
    pub fn login(&self) -> &str {
        &self.options.login
    }

    /// Where repositories made by `create_repo` live; gone when this is dropped.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The bare repository's folder.
    #[must_use]
    pub fn bare(&self, repo: &RepoName) -> Option<std::path::PathBuf> {
        self.state().repos.get(&repo.key()).map(|repo| repo.origin.bare.clone())
    }

    /// Every request that changed something or tried to, and every ref that a push moved.
    #[must_use]
    pub fn effects(&self) -> Vec<Effect> {
        self.state().effects.clone()
    }

    /// Every request with its method, reads and git included.
    #[must_use]
    pub fn requests(&self) -> Vec<(String, String)> {
        self.state().requests.clone()
    }

    /// Forgets effects and requests so far, so that a test counts from here.
    pub fn forget(&self) {
        let mut state = self.state();
        state.effects.clear();
        state.requests.clear();
    }

    /// Requests to routes that the stand-in does not have, as `METHOD /path`.
    #[must_use]
    pub fn unexpected(&self) -> Vec<String> {
        self.state().unexpected.clone()
    }

    /// How many git requests came compressed.
    #[must_use]
    pub fn compressed(&self) -> usize {
        self.state().compressed
    }

    /// Tells it to fail. Faults are met in the order they were told.
    pub fn fail_next(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// Faults that no request has met yet: a test fails on leftovers.
    #[must_use]
    pub fn faults_left(&self) -> usize {
        self.state().faults.len()
    }

    /// Serves pages of at most this many items.
    pub fn set_page_cap(&self, items: usize) {
        self.state().page_cap = items.max(1);
    }

    /// Whether listings carry the counts of edges. Older servers do not send them.
    pub fn set_summaries(&self, given: bool) {
        self.state().summaries = given;
    }

    /// Whether the dependencies and sub-issues routes exist. Older servers do not have them.
    pub fn set_edges(&self, known: bool) {
        self.state().edges = known;
    }

    /// Sends `next` links to another origin, such as `http://127.0.0.1:9`.
    pub fn set_link_origin(&self, origin: &str) {
        self.state().link_origin = Some(origin.to_owned());
    }

    /// Takes a token's validity away.
    pub fn revoke(&self, token: &str) {
        self.state().tokens.remove(token);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}
