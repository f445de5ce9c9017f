//! Keeps the head and the tail of a stream and counts the rest, in bounded memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::task::JoinHandle;

/// What was kept of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    half: usize,
    total: u64,
}

impl Captured {
    fn with_cap(cap: usize) -> Self {
        Self { half: cap / 2, ..Self::default() }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let room = (self.half - self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        self.tail.extend(&bytes[room..]);
        let excess = self.tail.len().saturating_sub(self.half);
        self.tail.drain(..excess);
    }

    /// Bytes the stream had in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Bytes that were left out between head and tail.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.total - self.head.len() as u64 - self.tail.len() as u64
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The bytes kept, without a mark where some were left out; see `left_out`.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head.clone();
        bytes.extend(&self.tail);
        bytes
    }

    /// The text kept, saying where and how much was left out.
    #[must_use]
    pub fn text(&self) -> String {
        let head = String::from_utf8_lossy(&self.head);
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        let tail = String::from_utf8_lossy(&tail);
        match self.left_out() {
            0 => format!("{head}{tail}"),
            bytes => format!("{head}\n[... {bytes} bytes left out ...]\n{tail}"),
        }
    }
}

/// A stream being read in the background.
pub(super) struct Capturing {
    kept: Arc<Mutex<Captured>>,
    reader: JoinHandle<()>,
}

pub(super) fn start<R>(stream: Option<R>, cap: usize) -> Capturing
where
    R: AsyncRead + Unpin + Send + 'static,
{
    let kept = Arc::new(Mutex::new(Captured::with_cap(cap)));
    let shared = Arc::clone(&kept);
    let reader = tokio::spawn(async move {
        let Some(mut stream) = stream else { return };
        let mut buffer = vec![0_u8; 16 << 10];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            shared.lock().unwrap_or_else(PoisonError::into_inner).push(&buffer[..count]);
        }
    });
    Capturing { kept, reader }
}

impl Capturing {
    pub(super) async fn finish(mut self, grace: Duration) -> Captured {
        if tokio::time::timeout(grace, &mut self.reader).await.is_err() {
            self.reader.abort();
        }
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_tail_are_kept_and_the_rest_is_counted() {
        let mut kept = Captured::with_cap(8);
        for byte in b"abcdefghijklmnop" {
            kept.push(&[*byte]);
        }
        assert_eq!(kept.bytes(), b"abcdmnop");
        assert_eq!((kept.total(), kept.left_out()), (16, 8));
        assert!(kept.text().contains("8 bytes left out"));
    }
}
