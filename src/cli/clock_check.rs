//! Whether this machine's clock is GitHub's, for `doctor` and `init`.

use chrono::{DateTime, TimeDelta, Utc};

use super::doctor::Findings;
use crate::domain::ids::RepoName;
use crate::github::{GitHub, GitHubError};

const WHAT: &str = "clock";

/// An answer's time is told in whole seconds, and it was on its way.
const UNSEEN: TimeDelta = TimeDelta::seconds(10);
/// From here on a GitHub App's proofs are refused, and ceilings of a day begin at the wrong time.
const TOO_FAR: TimeDelta = TimeDelta::seconds(60);

pub(super) async fn look(client: &GitHub, repo: Option<&RepoName>, findings: &mut Findings) {
    let before = Utc::now();
    let theirs = match client.clock(repo).await {
        Ok(Some(theirs)) => theirs,
        Ok(None) => {
            return findings.warn(WHAT, "GitHub's answers carry no time to compare with", "");
        }
        // Why it does not answer is said where it is asked for itself.
        Err(GitHubError::Forbidden { .. } | GitHubError::NotFound { .. }) => return,
        Err(error) => return findings.warn(WHAT, error.to_string(), ""),
    };
    say(before, Utc::now(), theirs, findings);
}

/// `theirs` was said between `before` and `after` of our clock.
fn say(
    before: DateTime<Utc>,
    after: DateTime<Utc>,
    theirs: DateTime<Utc>,
    findings: &mut Findings,
) {
    let skew =
        if theirs < before { before - theirs } else { (theirs - after).max(TimeDelta::zero()) };
    if skew <= UNSEEN {
        return findings.ok(WHAT, "this machine's clock is GitHub's");
    }
    let word = if theirs < before { "ahead of" } else { "behind" };
    let found = format!("this machine's clock is {} {word} GitHub's", length(skew));
    let advice = "set it: `timedatectl set-ntp true`, or let the container's host do so";
    if skew > TOO_FAR {
        findings.fail(WHAT, found, advice);
    } else {
        findings.warn(WHAT, found, advice);
    }
}

/// `3 h 5 min`, `42 s`.
fn length(time: TimeDelta) -> String {
    let seconds = time.num_seconds();
    match (seconds / 3_600, seconds / 60 % 60) {
        (0, 0) => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skew_is_told_in_its_direction_and_a_slow_answer_is_none() {
        let at = |seconds: i64| DateTime::UNIX_EPOCH + TimeDelta::seconds(1_000_000 + seconds);
        let said = |before, after, theirs| {
            let mut findings = Findings::default();
            say(at(before), at(after), at(theirs), &mut findings);
            findings.text()
        };
        assert!(said(0, 50, 45).starts_with("ok "), "it took 50 s to answer");
        assert!(said(0, 1, -10).starts_with("ok "));
        assert!(said(0, 1, -42).starts_with("warn") && said(0, 1, -42).contains("42 s ahead of"));
        let behind = said(0, 1, 3 * 3_600 + 301);
        assert!(behind.starts_with("FAIL") && behind.contains("3 h 5 min behind"), "{behind}");
        assert!(behind.contains("timedatectl"), "{behind}");
    }
}
