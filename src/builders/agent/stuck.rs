//! Whether a builder goes in circles.
//!
//! Pure: the same call with the same result again and again, with no file written in between.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

/// The same call with the same result this often is going in circles.
const REPEATS: u32 = 4;
/// This many malformed answers in a row end the attempt.
const MALFORMED: u32 = 3;

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Patience {
    seen: HashMap<[u8; 32], u32>,
    malformed: u32,
}

impl Patience {
    /// A call that ran. Returns the sentence of why it is enough, if it is.
    pub(super) fn ran(&mut self, name: &str, arguments: &str, output: &str) -> Option<String> {
        self.malformed = 0;
        let mut hash = Sha256::new();
        for part in [name, arguments, output] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let count = self.seen.entry(hash.finalize().into()).or_default();
        *count += 1;
        (*count >= REPEATS).then(|| {
            format!("the builder made the same {name} call with the same result {REPEATS} times")
        })
    }

    /// A file changed: the same call may now mean something else.
    pub(super) fn wrote(&mut self) {
        self.malformed = 0;
        self.seen.clear();
    }

    /// An answer that could not be acted on.
    pub(super) fn malformed(&mut self) -> Option<String> {
        self.malformed += 1;
        (self.malformed >= MALFORMED)
            .then(|| format!("the builder's model gave {MALFORMED} malformed answers in a row"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_are_seen_also_with_a_second_call_between() {
        let mut patience = Patience::default();
        for _ in 0..3 {
            assert_eq!(patience.ran("run_command", "a", "1"), None);
            assert_eq!(patience.ran("read_file", "b", "1"), None);
        }
        assert!(patience.ran("run_command", "a", "1").is_some());
    }

    #[test]
    fn work_in_between_resets() {
        let mut patience = Patience::default();
        for _ in 0..10 {
            assert_eq!(patience.ran("run_command", "a", "1"), None);
            patience.wrote();
        }
        assert_eq!(patience.malformed(), None);
        assert_eq!(patience.malformed(), None);
        assert_eq!(patience.ran("run_command", "a", "1"), None);
        assert_eq!(patience.malformed(), None);
        assert_eq!(patience.malformed(), None);
        assert!(patience.malformed().is_some());
    }
}
