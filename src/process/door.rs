//! A loopback listener made inside a box and handed out to Foreman, which answers there.
//!
//! A box with a network namespace of its own reaches nothing outside; what listens on its loopback
//! is reachable from inside alone. The helper makes that listener before the command starts (and
//! so before seccomp), passes it out over its standard input, an inherited socketpair, and gets the
//! command's own standard input in return. No socket of the host is ever visible inside.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use tokio::io::Interest;
use tokio::sync::mpsc;

use super::exec::bad;

/// What a child with a door is started with.
#[derive(Debug, Clone)]
pub struct Door {
    /// The port of the box's loopback.
    pub port: u16,
    /// Gets the listener, once.
    pub listener: mpsc::UnboundedSender<TcpListener>,
}

/// In the box: makes the listener, hands it out, and returns the command's standard input.
pub(super) fn hand_out(port: u16) -> io::Result<OwnedFd> {
    let channel = rustix::stdio::stdin();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    send(channel, &listener)?;
    receive(channel)?.ok_or_else(|| bad("no standard input came through the door"))
}

/// Passes a descriptor with one byte that carries it.
pub(super) fn send(channel: impl AsFd, what: &impl AsFd) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let passed = [what.as_fd()];
    if !control.push(SendAncillaryMessage::ScmRights(&passed)) {
        return Err(bad("no room for a descriptor"));
    }
    rustix::net::sendmsg(channel, &[IoSlice::new(b"d")], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// The next descriptor; `None` where the other end is gone.
fn receive(channel: impl AsFd) -> io::Result<Option<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    rustix::net::recvmsg(
        channel,
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut passed) = message {
            return Ok(passed.next());
        }
    }
    Ok(None)
}

/// On the host: waits for the listener and passes it on. Ends with the child.
pub(super) async fn take_listener(
    ours: UnixStream,
    to: mpsc::UnboundedSender<TcpListener>,
) -> io::Result<()> {
    ours.set_nonblocking(true)?;
    let channel = tokio::net::UnixStream::from_std(ours)?;
    loop {
        channel.readable().await?;
        match channel.try_io(Interest::READABLE, || receive(&channel)) {
            Ok(Some(listener)) => {
                let listener = TcpListener::from(listener);
                listener.set_nonblocking(true)?;
                // Nobody waits for it where the run is already over.
                to.send(listener).ok();
                return Ok(());
            }
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
