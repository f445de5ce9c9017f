//! The operator's first week: what goes wrong in it, and what is said then.

mod deploy;
mod failures;
mod log_lines;
mod older;
mod paused;
mod permissions;
mod roles;
mod trouble;

use crate::support::Server;
use crate::support::command::foreman;

/// Follows a run's event stream until an event of this type came.
async fn heard(server: &Server, run: &str, kind: &str) {
    let path = format!("/api/foreman/overnight/runs/{run}/events");
    let mut stream = server.request("GET", &path).send().await.expect("a stream");
    let mut text = String::new();
    while let Some(piece) = stream.chunk().await.expect("read") {
        text.push_str(&String::from_utf8_lossy(&piece));
        if text.contains(kind) {
            return;
        }
    }
    panic!("the run ended without {kind}:\n{text}\n{}", server.log());
}
