//! The first words of a tunnel: whom a TLS client says it talks to.
//!
//! One host of a content network serves many names: a tunnel to a registry must ask for that
//! registry. Never ends TLS and sees nothing of what is inside.

use std::io;
use std::net::IpAddr;

use rustls::server::Acceptor;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::domain::registry::Registry;

/// A greeting with many keys has some 2 KiB.
const LONGEST_HELLO: usize = 64 << 10;
/// A record of TLS that shakes hands begins with this.
const HANDSHAKE: u8 = 22;

/// What a client said first.
pub(super) struct Hello {
    /// All of it, to be passed on.
    pub(super) bytes: Vec<u8>,
    /// `None`: not TLS. Else the name it asks for, which may be none.
    name: Option<Option<String>>,
}

/// Reads as much as it takes to know.
pub(super) async fn first_bytes(client: &mut TcpStream, mut bytes: Vec<u8>) -> io::Result<Hello> {
    loop {
        if bytes.first().is_some_and(|first| *first != HANDSHAKE) {
            return Ok(Hello { bytes, name: None });
        }
        if let Some(name) = name_of(&bytes)? {
            return Ok(Hello { bytes, name: Some(name) });
        }
        if bytes.len() > LONGEST_HELLO || client.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// The name in a greeting; `None` while it is not complete.
fn name_of(bytes: &[u8]) -> io::Result<Option<Option<String>>> {
    let mut acceptor = Acceptor::default();
    let mut left = bytes;
    while !left.is_empty() {
        acceptor.read_tls(&mut left)?;
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                return Ok(Some(accepted.client_hello().server_name().map(str::to_owned)));
            }
            Ok(None) => {}
            Err((error, _)) => return Err(io::Error::other(error)),
        }
    }
    Ok(None)
}

/// Whether a tunnel may go on.
pub(super) fn check(hello: &Hello, entry: &Registry) -> Result<(), String> {
    match &hello.name {
        None if entry.tls() => Err("what it carries is not TLS".to_owned()),
        None => Ok(()),
        Some(None) if entry.host().parse::<IpAddr>().is_ok() => Ok(()),
        Some(None) => Err("it names no server".to_owned()),
        Some(Some(name)) if name.eq_ignore_ascii_case(entry.host()) => Ok(()),
        Some(Some(name)) => Err(format!("it asks for {name}")),
    }
}
