//! Pure: what an issue is, what it waits for, and the order of a night.
//!
//! Owns every decision between "these issues are open" and "this one is next": classification,
//! complexity, dependencies, cycles, order, and the one answer to "why isn't this ready?". Never
//! touches I/O, the clock or GitHub: the state of issues elsewhere, and `now`, are arguments.
//!
//! Reading order: `markdown` (what of a text counts), `classify`, `complexity`, `references`
//! (dependencies from text), `graph` (all edges together), `standing` (what a blocker means),
//! `readiness` (the one answer), `order`, `plan` (puts it together).

mod classify;
mod complexity;
mod graph;
mod markdown;
mod order;
mod plan;
#[cfg(test)]
mod properties;
mod readiness;
mod references;
mod standing;
#[cfg(test)]
mod testing;

pub use classify::classify;
pub use complexity::{estimate, requires_escalation};
pub use graph::{BlockerKey, outside_references};
pub use plan::{PlanInput, plan};
pub use readiness::{Progress, Readiness, never_ready, next_ready, readiness};
pub use references::{TextReference, text_references};
