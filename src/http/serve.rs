//! The listener: connections taken, bounded, and let go of in good order.
//!
//! Owns what `axum::serve` leaves open: how long a client may take over a request's head, so that
//! connections which say nothing hold nothing for ever. Never looks into a request.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a request's head may take, from the connection's or the last answer's end on.
pub const HEAD_WITHIN: Duration = Duration::from_secs(30);

/// The pause after a connection that could not be taken: out of file handles, say.
const AFTER_REFUSAL: Duration = Duration::from_millis(200);

/// Serves until `closing`, then until the requests under way are answered.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    closing: CancellationToken,
    head_within: Duration,
) -> Result<(), Infallible> {
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = closing.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Handlers and the log may ask who is at the other end.
                let router = router.clone().layer(Extension(ConnectInfo(peer)));
                let closing = closing.clone();
                connections.spawn(connection(stream, router, closing, head_within));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(AFTER_REFUSAL).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
    Ok(())
}

/// One connection to its end; when we close, to the end of the request under way.
async fn connection(
    stream: TcpStream,
    router: Router,
    closing: CancellationToken,
    head_within: Duration,
) {
    // Small answers go out at once.
    stream.set_nodelay(true).ok();
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_within)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // The client hung up, was too slow, or spoke no HTTP.
        tracing::debug!(%error, "a connection broke off");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn a_head_that_never_ends_is_hung_up_on_and_others_are_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().route("/", get(|| async { "here" }));
        let closing = CancellationToken::new();
        let within = Duration::from_millis(200);
        let serving = tokio::spawn(serve(listener, router, closing.clone(), within));

        let begun = Instant::now();
        let mut slow = TcpStream::connect(address).await.expect("connected");
        slow.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ").await.expect("sent");
        let mut quick = TcpStream::connect(address).await.expect("connected");
        let ask = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        quick.write_all(ask).await.expect("sent");
        let mut answer = String::new();
        quick.read_to_string(&mut answer).await.expect("answered");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"), "{answer}");

        let mut rest = Vec::new();
        slow.read_to_end(&mut rest).await.ok();
        assert!(begun.elapsed() >= within, "{:?}", begun.elapsed());
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&rest));
        closing.cancel();
        serving.await.expect("no panic").expect("served");
    }
}
