//! What passes through a box's door: one address, or the registries that the operator lists.
//!
//! Runs on the host and speaks for the box: it resolves names, so that the box needs no DNS, and
//! adds no credential. Never decodes TLS; it looks at the name that is asked for, and no more.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use url::Url;

use super::door::{Door, Refusals};
use super::tls;
use crate::domain::registry::Registry;

/// Connections at once; a package manager opens some tens.
const MOST_CONNECTIONS: usize = 256;
/// For the request's head, and for the connection outside.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes a request's head may have.
const LONGEST_HEAD: usize = 32 << 10;

/// Answers until dropped; open connections end with it.
pub(super) async fn serve(listener: std::net::TcpListener, door: &Door) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut open = JoinSet::new();
    loop {
        let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
        let (client, _) = listener.accept().await?;
        let door = door.clone();
        open.spawn(async move {
            let _place = place;
            if let Err(error) = pass(client, &door).await {
                tracing::debug!(%error, "a connection out of a box ended");
            }
        });
        while open.try_join_next().is_some() {}
    }
}

async fn pass(mut client: TcpStream, door: &Door) -> io::Result<()> {
    match door {
        Door::Address { host, port } => {
            let mut server = connect(host, *port, true).await?;
            copy_bidirectional(&mut client, &mut server).await?;
            Ok(())
        }
        Door::Registries { allowed, refused } => {
            let read = tokio::time::timeout(PATIENCE, read_head(&mut client)).await;
            let (head, rest) = read.map_err(|_| io::ErrorKind::TimedOut)??;
            match Request::parse(&head) {
                Some(request) => forward(client, request, &rest, allowed, refused).await,
                None => answer(&mut client, "400 Bad Request", "this is a proxy for HTTP").await,
            }
        }
    }
}

/// What a client asks a proxy for.
struct Request {
    /// `CONNECT`: what follows is the client's own, TLS as a rule.
    tunnel: bool,
    host: String,
    port: u16,
    /// The head as the server gets it; empty for a tunnel.
    head: Vec<u8>,
}

impl Request {
    fn parse(head: &str) -> Option<Self> {
        let mut lines = head.split("\r\n");
        let mut first = lines.next()?.split(' ');
        let (method, target, version) = (first.next()?, first.next()?, first.next()?);
        if first.next().is_some() || !version.starts_with("HTTP/1.") {
            return None;
        }
        if method == "CONNECT" {
            let (host, port) = target.rsplit_once(':')?;
            let (host, port) = (host.to_owned(), port.parse().ok()?);
            return Some(Self { tunnel: true, host, port, head: Vec::new() });
        }
        let url = Url::parse(target).ok().filter(|url| url.scheme() == "http")?;
        let (host, port) = (url.host_str()?.to_owned(), url.port_or_known_default()?);
        let query = url.query().map_or_else(String::new, |query| format!("?{query}"));
        let mut out = format!("{method} {}{query} HTTP/1.1\r\n", url.path());
        let authority = url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        // One request for each connection: the next one may be for another host.
        out.push_str(&format!("Host: {authority}\r\nConnection: close\r\n"));
        for line in lines.take_while(|line| !line.is_empty()) {
            let name = line.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
            if name != "host" && name != "connection" && !name.starts_with("proxy-") {
                out.push_str(line);
                out.push_str("\r\n");
            }
        }
        out.push_str("\r\n");
        Some(Self { tunnel: false, host, port, head: out.into_bytes() })
    }
}

async fn forward(
    mut client: TcpStream,
    request: Request,
    rest: &[u8],
    allowed: &[Registry],
    refused: &Refusals,
) -> io::Result<()> {
    let Request { tunnel, host, port, head } = request;
    let entry = allowed.iter().find(|entry| entry.is(&host, port) && (tunnel || !entry.tls()));
    let Some(entry) = entry else {
        let why = format!("{host}:{port} is not among the registries that the operator lists");
        refused.add(format!("{why} (`[setup] registries`)"));
        return answer(&mut client, "403 Forbidden", &why).await;
    };
    let named = entry.host().parse::<IpAddr>().is_ok() || entry.host() == "localhost";
    let mut server = match connect(entry.host(), port, named).await {
        Ok(server) => server,
        Err(error) => {
            let why = format!("{entry} cannot be reached: {error}");
            refused.add(why.clone());
            return answer(&mut client, "502 Bad Gateway", &why).await;
        }
    };
    if tunnel {
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
        let hello = tls::first_bytes(&mut client, rest.to_vec());
        let hello = tokio::time::timeout(PATIENCE, hello).await;
        let hello = hello.map_err(|_| io::ErrorKind::TimedOut)??;
        if let Err(why) = tls::check(&hello, entry) {
            refused.add(format!("a connection to {entry} was ended: {why}"));
            return Ok(());
        }
        server.write_all(&hello.bytes).await?;
    } else {
        server.write_all(&head).await?;
        server.write_all(rest).await?;
    }
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// Reads to the end of a request's head; what came after it is handed back too.
async fn read_head(client: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut read = Vec::new();
    loop {
        if let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let rest = read.split_off(end + 4);
            let head = String::from_utf8(read).map_err(io::Error::other)?;
            return Ok((head, rest));
        }
        if read.len() > LONGEST_HEAD || client.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

async fn answer(client: &mut TcpStream, status: &str, why: &str) -> io::Result<()> {
    let body = format!("Foreman: {why}\n");
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    client.write_all(text.as_bytes()).await?;
    client.shutdown().await
}

/// Connects from the host. A name must not lead to this machine or its link (a cloud's metadata),
/// unless the operator named that address itself.
async fn connect(host: &str, port: u16, anywhere: bool) -> io::Result<TcpStream> {
    let connecting = async {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in tokio::net::lookup_host((host, port)).await? {
            if !(anywhere || elsewhere(address)) {
                last = io::Error::other("its name leads to this machine");
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    };
    tokio::time::timeout(PATIENCE, connecting).await.map_err(|_| io::ErrorKind::TimedOut)?
}

fn elsewhere(address: SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    let link = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(link || ip.is_loopback() || ip.is_unspecified() || ip.is_multicast())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_rewritten_for_one_server_and_one_use() {
        let head = "GET http://r.example:8080/a?b=c HTTP/1.1\r\nHost: other\r\n\
                    Proxy-Authorization: x\r\nConnection: keep-alive\r\nAccept: */*\r\n\r\n";
        let request = Request::parse(head).expect("a request");
        assert_eq!(
            (request.tunnel, request.host.as_str(), request.port),
            (false, "r.example", 8080)
        );
        assert_eq!(
            String::from_utf8(request.head).expect("text"),
            "GET /a?b=c HTTP/1.1\r\nHost: r.example:8080\r\nConnection: close\r\nAccept: */*\r\n\r\n"
        );
        let tunnel = Request::parse("CONNECT a.example:443 HTTP/1.1\r\n\r\n").expect("a tunnel");
        assert!(tunnel.tunnel && tunnel.port == 443);
        for bad in [
            "GET / HTTP/1.1\r\n\r\n",
            "CONNECT a HTTP/1.1\r\n\r\n",
            "GET ftp://a/ HTTP/1.1\r\n\r\n",
            "x",
        ] {
            assert!(Request::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn names_do_not_lead_here() {
        for here in [
            "127.0.0.1:1",
            "[::1]:1",
            "169.254.169.254:80",
            "0.0.0.0:1",
            "[fe80::1]:1",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert!(!elsewhere(here.parse().expect("an address")), "{here}");
        }
        assert!(elsewhere("10.0.0.7:443".parse().expect("an address")));
    }
}
