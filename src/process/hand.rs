//! Handing a child something secret: through a pipe it inherits, never its environment, arguments
//! or a file.
//!
//! The one thread that spawns is the only one that may do this: between the moment the pipe is made
//! inheritable and the child's start, no other child may be started.

use std::io::{self, PipeReader, Write};
use std::os::fd::AsRawFd;

use rustix::io::FdFlags;

/// What a child reads from a pipe of its own.
#[derive(Clone, PartialEq, Eq)]
pub struct Handed {
    /// The variable that tells the child the number of the pipe.
    pub variable: &'static str,
    /// Must fit into a pipe: nobody writes while it is read.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Handed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handed({}, {} bytes)", self.variable, self.bytes.len())
    }
}

/// Bytes that every pipe takes at once.
const PIPE_ROOM: usize = 16 << 10;

/// Makes the pipe, filled and inheritable. Dropped after the spawn, it is the child's alone.
pub(super) fn prepare(handed: &Handed) -> io::Result<(PipeReader, String)> {
    if handed.bytes.len() > PIPE_ROOM {
        return Err(io::Error::other("more is handed to a child than a pipe holds"));
    }
    let (reader, mut writer) = io::pipe()?;
    writer.write_all(&handed.bytes)?;
    rustix::io::fcntl_setfd(&reader, FdFlags::empty())?;
    let number = reader.as_raw_fd().to_string();
    Ok((reader, number))
}
