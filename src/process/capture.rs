//! Keeps the head and the tail of a stream and counts the rest, in bounded memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use regex::bytes::RegexSet;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::task::JoinHandle;

/// Bytes of a line beyond which it is cut before it is looked at.
const LONGEST_LINE: usize = 64 << 10;

/// Which lines are kept of what is left out between head and tail, and how many bytes of them.
#[derive(Debug, Clone)]
pub struct KeepLines {
    pub matching: Arc<RegexSet>,
    pub cap: usize,
}

/// What was kept of a stream.
#[derive(Debug, Clone, Default)]
pub struct Captured {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    half: usize,
    total: u64,
    keep: Option<KeepLines>,
    /// A line of the left-out part that has not ended yet.
    open: Vec<u8>,
    lines: Vec<u8>,
    overflowed: bool,
}

impl Captured {
    fn with_cap(cap: usize, keep: Option<KeepLines>) -> Self {
        Self { half: cap / 2, keep, ..Self::default() }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let room = (self.half - self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        self.tail.extend(&bytes[room..]);
        let excess = self.tail.len().saturating_sub(self.half);
        if self.keep.is_some() {
            let gone: Vec<u8> = self.tail.drain(..excess).collect();
            self.sift(&gone);
        } else {
            self.tail.drain(..excess);
        }
    }

    /// Keeps the lines asked for of what falls out of the tail.
    fn sift(&mut self, gone: &[u8]) {
        for part in gone.split_inclusive(|byte| *byte == b'\n') {
            let room = LONGEST_LINE.saturating_sub(self.open.len()).min(part.len());
            self.open.extend_from_slice(&part[..room]);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.open);
                let Some(keep) = &self.keep else { return };
                if keep.matching.is_match(&line) {
                    if self.lines.len() + line.len() > keep.cap {
                        self.overflowed = true;
                    } else {
                        self.lines.extend_from_slice(line.trim_ascii_end());
                        self.lines.push(b'\n');
                    }
                }
            }
        }
    }

    /// The text kept, with the lines asked for of what was left out between head and tail in their
    /// place; `None` where there were more of those than could be kept.
    #[must_use]
    pub fn sifted(&self) -> Option<String> {
        let head = String::from_utf8_lossy(&self.head);
        let tail: Vec<u8> = self.open.iter().chain(&self.tail).copied().collect();
        let middle = String::from_utf8_lossy(&self.lines);
        let gap = if self.left_out() > 0 && !self.head.ends_with(b"\n") { "\n" } else { "" };
        (!self.overflowed).then(|| format!("{head}{gap}{middle}{}", String::from_utf8_lossy(&tail)))
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

pub(super) fn start<R>(stream: Option<R>, cap: usize, keep: Option<KeepLines>) -> Capturing
where
    R: AsyncRead + Unpin + Send + 'static,
{
    let kept = Arc::new(Mutex::new(Captured::with_cap(cap, keep)));
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
        let mut kept = Captured::with_cap(8, None);
        for byte in b"abcdefghijklmnop" {
            kept.push(&[*byte]);
        }
        assert_eq!(kept.bytes(), b"abcdmnop");
        assert_eq!((kept.total(), kept.left_out()), (16, 8));
        assert!(kept.text().contains("8 bytes left out"));
    }

    #[test]
    fn lines_asked_for_survive_in_the_middle() {
        let keep = |cap| {
            let matching = Arc::new(RegexSet::new(["^ok "]).expect("a pattern"));
            Captured::with_cap(40, Some(KeepLines { matching, cap }))
        };
        let mut kept = keep(1000);
        kept.push(b"begin\n");
        for number in 0..50 {
            kept.push(format!("noise {number}\nok {number}\n").as_bytes());
        }
        kept.push(b"end\n");
        let text = kept.sifted().expect("all of them");
        assert!(kept.left_out() > 0 && text.starts_with("begin\n") && text.ends_with("end\n"));
        let found: Vec<&str> = text.lines().filter(|line| line.starts_with("ok ")).collect();
        assert_eq!(found.len(), 50, "{text}");
        assert!(text.lines().filter(|line| line.starts_with("noise")).count() < 8);
        let mut full = keep(30);
        full.push("ok x\n".repeat(100).as_bytes());
        assert_eq!(full.sifted(), None);
    }
}
