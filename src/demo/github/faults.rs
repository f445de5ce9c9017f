//! What the stand-in writes down, and the faults it can be told to have.
//!
//! Owns the effect log's entries and the choice whether a request meets a fault.

use regex::Regex;
use serde_json::Value;

/// A request that changes something, or one ref that a push moved.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// `POST`, `PATCH`, `PUT`, `DELETE`, or `PUSH` for a ref that moved.
    pub method: String,
    /// The path of the request; of a push `/owner/name.git refs/heads/x`.
    pub path: String,
    /// What was sent; of a push `{"old", "new"}` with the commit ids, null where there is none.
    pub body: Value,
    /// The status it came to, 0 where the connection was dropped before anything was done.
    pub status: u16,
    /// Whether it reached GitHub's own logic: false where a fault answered in its place.
    pub processed: bool,
    /// Whether the client was told: false where the reply was lost on purpose.
    pub answered: bool,
    /// Whose token it came with.
    pub actor: Option<String>,
}

impl std::fmt::Display for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.method, self.path, self.status)
    }
}

impl Effect {
    /// Whether it changed something.
    #[must_use]
    pub fn changed(&self) -> bool {
        self.processed && (200..300).contains(&self.status)
    }
}

/// What happens in place of an ordinary answer.
#[derive(Debug, Clone)]
pub enum FaultKind {
    /// Answers this without doing anything.
    Status { status: u16, headers: Vec<(String, String)>, message: String },
    /// Closes the connection without doing anything.
    Drop,
    /// Does what was asked, then closes the connection without an answer.
    LoseReply,
    /// Never answers; with `processed`, after doing what was asked. For killing whoever waits.
    Hang { processed: bool },
    /// Does what was asked and adds these headers to the answer, over its own.
    Headers(Vec<(String, String)>),
}

/// A fault that some of the next requests meet.
#[derive(Debug, Clone)]
pub struct Fault {
    /// `None`: any method.
    pub method: Option<String>,
    /// Matched against path and query, `/repos/octo/app/pulls?state=all`.
    pub path: Regex,
    /// Matching requests that are let through first.
    pub after: u32,
    /// How many matching requests meet it then.
    pub times: u32,
    pub kind: FaultKind,
}

impl Fault {
    /// A fault for the next request like this. The pattern is a regular expression; one that does
    /// not parse is taken literally.
    #[must_use]
    pub fn on(method: &str, path: &str, kind: FaultKind) -> Self {
        let path = Regex::new(path).or_else(|_| Regex::new(&regex::escape(path)));
        Self {
            method: (method != "*").then(|| method.to_owned()),
            // An escaped text of ordinary length always parses; the rest never matches.
            path: path.unwrap_or_else(|_| never()),
            after: 0,
            times: 1,
            kind,
        }
    }

    /// The next request like this is answered with this status.
    #[must_use]
    pub fn status(method: &str, path: &str, status: u16) -> Self {
        let message = "fault injected".to_owned();
        Self::on(method, path, FaultKind::Status { status, headers: Vec::new(), message })
    }

    /// A secondary rate limit, as GitHub words it.
    #[must_use]
    pub fn rate_limited(method: &str, path: &str, retry_after: u64) -> Self {
        Self::on(
            method,
            path,
            FaultKind::Status {
                status: 403,
                headers: vec![("retry-after".to_owned(), retry_after.to_string())],
                message: "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.".to_owned(),
            },
        )
    }

    #[must_use]
    pub const fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    #[must_use]
    pub const fn after(mut self, requests: u32) -> Self {
        self.after = requests;
        self
    }
}

#[expect(clippy::unwrap_used, reason = "a constant pattern that parses")]
fn never() -> Regex {
    Regex::new("$^a").unwrap()
}

/// The fault this request meets, used up by it.
pub(super) fn take(faults: &mut Vec<Fault>, method: &str, path: &str) -> Option<FaultKind> {
    let mut met = None;
    for fault in faults.iter_mut() {
        let alike = fault.method.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && fault.path.is_match(path);
        if !alike || met.is_some() {
            continue;
        }
        if fault.after > 0 {
            fault.after -= 1;
        } else {
            fault.times = fault.times.saturating_sub(1);
            met = Some(fault.kind.clone());
        }
    }
    faults.retain(|fault| fault.times > 0);
    met
}
