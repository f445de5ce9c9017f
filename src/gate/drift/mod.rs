//! Behaviour drift: a change that makes the checks say less instead of the code do more.
//!
//! Pure. `cases` reads tests, `pairs` finds them again, `loosened` looks at settings,
//! suppressions and thresholds.

pub mod cases;
pub mod loosened;
pub mod pairs;

pub use pairs::{Fate, fate};
