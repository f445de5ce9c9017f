//! Behaviour drift: a change that makes the checks say less instead of the code do more.
//!
//! Pure. `pairs` finds old tests again, `values` looks at what they expect, `collected` at whether
//! they are still found by their runner, `helpers` at what they call, `subject` at whether a double
//! stands in the place of what they test, `unnamed` at tests without names and their data, `loosened`
//! at settings, suppressions and thresholds, `snapshots` at recorded outputs.

pub mod collected;
pub mod helpers;
pub mod loosened;
pub mod pairs;
pub mod snapshots;
pub mod subject;
pub mod unnamed;
pub mod values;

pub use pairs::{Fate, fate};
