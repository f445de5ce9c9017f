//! Named places where the process can be made to die, so that a test can kill it exactly there.
//!
//! Armed only by `FOREMAN_FAILPOINT=<name>[:<nth>]`; unarmed it is one comparison. It kills with
//! SIGKILL, as a power cut would: nothing is flushed, no destructor runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The variable that arms one.
pub const VARIABLE: &str = "FOREMAN_FAILPOINT";

/// Every place, in the order a night meets them. The campaign kills at each.
pub const ALL: &[&str] = &[
    "run.started",
    "plan.before",
    "plan.after",
    "base.judged",
    "issue.started",
    "workspace.ready",
    "model.reserving",
    "model.dispatched",
    "model.answered",
    "model.settled",
    "tool.stored",
    "work.captured",
    "work.kept",
    "gate.before",
    "gate.after",
    "gate.stored",
    "push.before",
    "push.after",
    "push.observed",
    "pull.before",
    "pull.after",
    "pull.observed",
    "comment.before",
    "comment.after",
    "comment.observed",
    "issue.ended",
    "run.ending",
];

/// The places of a merge into a local clone, in its order.
pub const DESKTOP: &[&str] = &[
    "desktop.locked",
    "desktop.staged",
    "desktop.swapping",
    "desktop.swapped",
    "desktop.moved",
    "desktop.finished",
];

/// The places of a night in which Copilot builds.
pub const COPILOT: &[&str] = &[
    "session.booked",
    "assign.before",
    "assign.after",
    "assign.observed",
    "repair.before",
    "repair.after",
    "repair.observed",
    "mark.before",
    "mark.commented",
    "mark.after",
    "mark.observed",
    "refusal.before",
    "refusal.after",
    "refusal.observed",
    "unassign.before",
    "unassign.after",
    "unassign.observed",
];

/// Places that only some nights meet: an escalation, a failed call.
pub const SOMETIMES: &[&str] = &["escalation.admitted", "model.failed"];

#[derive(Debug)]
struct Armed {
    name: String,
    left: AtomicU32,
}

/// At most one armed place. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Failpoints(Option<Arc<Armed>>);

impl Failpoints {
    /// From the variable's value: `push.after` dies there the first time, `push.after:3` the third.
    pub fn parse(value: &str) -> Result<Self, String> {
        let (name, nth) = match value.split_once(':') {
            Some((name, nth)) => (name, nth.parse::<u32>().ok().filter(|nth| *nth > 0)),
            None => (value, Some(1)),
        };
        match nth {
            Some(nth) if [ALL, SOMETIMES, DESKTOP, COPILOT].concat().contains(&name) => {
                let armed = Armed { name: name.to_owned(), left: AtomicU32::new(nth) };
                Ok(Self(Some(Arc::new(armed))))
            }
            _ => Err(format!(
                "{VARIABLE} got `{value}`; it takes NAME or NAME:NTH with NAME one of {}",
                [ALL, SOMETIMES, DESKTOP, COPILOT].concat().join(", ")
            )),
        }
    }

    /// Dies here if this is the armed place and its turn has come.
    pub fn hit(&self, name: &str) {
        let Some(armed) = &self.0 else { return };
        if armed.name == name && armed.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            eprintln!("failpoint {name}: killing the process");
            let own = rustix::process::getpid();
            rustix::process::kill_process(own, rustix::process::Signal::KILL).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_places_are_armed() {
        assert!(Failpoints::parse("push.after").is_ok());
        assert!(Failpoints::parse("push.after:2").is_ok());
        assert!(Failpoints::parse("push.after:0").is_err());
        assert!(Failpoints::parse("nowhere").is_err());
    }
}
