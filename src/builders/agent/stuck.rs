//! Whether a builder gets nowhere.
//!
//! Pure: sees each call with its result, each answer that could not be acted on and each overflow,
//! and says the sentence of why it is enough. Times in a result don't make it another one.

use std::collections::{HashMap, VecDeque};
use std::sync::LazyLock;

use regex::Regex;
use sha2::{Digest, Sha256};

/// The same call with the same result this often, with no file written in between.
const REPEATS: u32 = 4;
/// The same call with the same error this often in a row.
const ERRORS: u32 = 3;
/// This many answers in a row that call no tool, or none that can be read.
const MALFORMED: u32 = 3;
/// A pattern of two to four calls (A-B-A-B) this often in a row.
const ROUNDS: usize = 3;
const LONGEST_PATTERN: usize = 4;
/// This many overflows of the context within so few answers.
const OVERFLOWS: usize = 3;
const OVERFLOWS_WITHIN: u32 = 4;

/// A call that ran.
pub(super) struct Done<'a> {
    pub name: &'a str,
    pub arguments: &'a str,
    pub output: &'a str,
    /// It changed files for sure.
    pub wrote: bool,
    /// It failed, or its command did.
    pub failed: bool,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// Since a file was last written.
    seen: HashMap<[u8; 32], u32>,
    /// The latest calls, writing ones included.
    latest: VecDeque<[u8; 32]>,
    errors_in_row: u32,
    malformed: u32,
    /// Those of the malformed answers that called no tool at all.
    silent: u32,
    answers: u32,
    overflows: VecDeque<u32>,
}

impl Patience {
    /// An answer came.
    pub(super) fn answered(&mut self) {
        self.answers += 1;
    }

    /// How many answers came.
    pub(super) fn answers(&self) -> u32 {
        self.answers
    }

    /// A call that ran. Returns the sentence of why it is enough, if it is.
    pub(super) fn ran(&mut self, done: &Done<'_>) -> Option<String> {
        (self.malformed, self.silent) = (0, 0);
        let call = digest(done);
        let name = done.name;
        let again = self.latest.back() == Some(&call);
        self.errors_in_row = match (done.failed, again) {
            (false, _) => 0,
            (true, false) => 1,
            (true, true) => self.errors_in_row + 1,
        };
        self.latest.push_back(call);
        if self.latest.len() > LONGEST_PATTERN * ROUNDS {
            self.latest.pop_front();
        }
        if done.wrote {
            self.seen.clear();
        } else {
            let count = self.seen.entry(call).or_default();
            *count += 1;
            if *count >= REPEATS {
                return Some(format!(
                    "the builder made the same {name} call with the same result {REPEATS} times"
                ));
            }
        }
        if self.errors_in_row >= ERRORS {
            return Some(format!(
                "the builder made the same {name} call with the same error {ERRORS} times in a row"
            ));
        }
        self.pattern().map(|length| {
            format!("the builder went through the same {length} calls {ROUNDS} times in a row")
        })
    }

    /// The length of the pattern that the latest calls repeat.
    fn pattern(&self) -> Option<usize> {
        (2..=LONGEST_PATTERN).find(|length| {
            let Some(start) = self.latest.len().checked_sub(length * ROUNDS) else { return false };
            let tail: Vec<_> = self.latest.iter().skip(start).collect();
            let first = &tail[..*length];
            tail.chunks(*length).all(|chunk| chunk == first)
                && first.iter().any(|it| *it != first[0])
        })
    }

    /// An answer whose call could not be read.
    pub(super) fn malformed(&mut self) -> Option<String> {
        self.malformed += 1;
        self.unreadable()
    }

    /// An answer that called no tool.
    pub(super) fn silent(&mut self) -> Option<String> {
        self.silent += 1;
        self.malformed()
    }

    fn unreadable(&self) -> Option<String> {
        if self.malformed < MALFORMED {
            return None;
        }
        Some(if self.silent == self.malformed {
            format!("the builder's model talked {MALFORMED} times in a row without calling a tool")
        } else {
            format!("the builder's model gave {MALFORMED} malformed answers in a row")
        })
    }

    /// The conversation had to be made smaller.
    pub(super) fn overflowed(&mut self) -> Option<String> {
        if self.overflows.back() != Some(&self.answers) {
            self.overflows.push_back(self.answers);
        }
        if self.overflows.len() > OVERFLOWS {
            self.overflows.pop_front();
        }
        let first = self.overflows.front().copied().unwrap_or_default();
        let close = self.answers - first <= OVERFLOWS_WITHIN;
        (self.overflows.len() == OVERFLOWS && close).then(|| {
            format!(
                "the builder's conversation outgrew its model's context {OVERFLOWS} times within \
                 {OVERFLOWS_WITHIN} answers"
            )
        })
    }
}

fn digest(done: &Done<'_>) -> [u8; 32] {
    let arguments = serde_json::from_str::<serde_json::Value>(done.arguments)
        .map_or_else(|_| done.arguments.to_owned(), |value| value.to_string());
    let mut hash = Sha256::new();
    for part in [done.name, &arguments, &without_times(done.output)] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// How long something took is another figure each time.
fn without_times(output: &str) -> String {
    static TIMES: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"\b[0-9]+(?:\.[0-9]+)?\s?(?:ns|µs|us|ms|s|sec|seconds)\b").ok()
    });
    match &*TIMES {
        Some(times) => times.replace_all(output, "#").into_owned(),
        None => output.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call<'a>(name: &'a str, arguments: &'a str, output: &'a str) -> Done<'a> {
        Done { name, arguments, output, wrote: false, failed: false }
    }

    fn failed<'a>(arguments: &'a str, output: &'a str) -> Done<'a> {
        Done { failed: true, ..call("run_command", arguments, output) }
    }

    fn wrote<'a>(arguments: &'a str) -> Done<'a> {
        Done { wrote: true, ..call("write_file", arguments, "wrote") }
    }

    #[test]
    fn the_same_result_four_times_is_enough_also_with_others_between() {
        let mut patience = Patience::default();
        for other in ["1", "2", "3"] {
            assert_eq!(patience.ran(&call("run_command", "a", "took 0.31s")), None);
            assert_eq!(patience.ran(&call("read_file", other, "x")), None);
        }
        let said = patience.ran(&call("run_command", "a", "took 12 ms")).expect("enough");
        assert!(said.contains("same result 4 times"), "{said}");
    }

    #[test]
    fn the_same_error_three_times_in_a_row_is_enough() {
        let mut patience = Patience::default();
        assert_eq!(patience.ran(&failed("{\"a\": 1}", "exit code: 1")), None);
        assert_eq!(patience.ran(&failed("{\"a\":1}", "exit code: 1")), None);
        let said = patience.ran(&failed("{ \"a\":1}", "exit code: 1")).expect("enough");
        assert!(said.contains("same error 3 times"), "{said}");
        let mut working = Patience::default();
        for change in ["1", "2", "3", "4", "5"] {
            assert_eq!(working.ran(&failed("a", "exit code: 1")), None);
            assert_eq!(working.ran(&wrote(change)), None);
        }
    }

    #[test]
    fn there_and_back_again_is_seen_though_files_are_written() {
        let mut patience = Patience::default();
        for _ in 0..2 {
            assert_eq!(patience.ran(&wrote("a")), None);
            assert_eq!(patience.ran(&wrote("b")), None);
        }
        assert_eq!(patience.ran(&wrote("a")), None);
        let said = patience.ran(&wrote("b")).expect("enough");
        assert!(said.contains("same 2 calls 3 times"), "{said}");
    }

    #[test]
    fn work_in_between_resets() {
        let mut patience = Patience::default();
        for change in 0..10 {
            assert_eq!(patience.ran(&call("run_command", "a", "1")), None);
            assert_eq!(patience.ran(&wrote(&change.to_string())), None);
        }
        assert_eq!(patience.malformed(), None);
        assert_eq!(patience.malformed(), None);
        assert_eq!(patience.ran(&call("run_command", "a", "1")), None);
        assert_eq!(patience.malformed(), None);
        assert_eq!(patience.silent(), None);
        assert!(patience.malformed().expect("enough").contains("malformed"));
    }

    #[test]
    fn a_monologue_is_called_one() {
        let mut patience = Patience::default();
        assert_eq!((patience.silent(), patience.silent()), (None, None));
        assert!(patience.silent().expect("enough").contains("without calling a tool"));
    }

    #[test]
    fn one_overflow_after_another_is_enough() {
        let overflow = |after: &[u32]| {
            let mut patience = Patience::default();
            let mut said = None;
            for answers in after {
                (0..*answers).for_each(|_| patience.answered());
                said = patience.overflowed();
            }
            said
        };
        assert_eq!(overflow(&[9, 0, 0, 0]), None, "one request may be made smaller in steps");
        assert_eq!(overflow(&[9, 9, 9, 9]), None, "a long conversation overflows now and then");
        assert!(overflow(&[9, 1, 1]).is_some());
    }
}
