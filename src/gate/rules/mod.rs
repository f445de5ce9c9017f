//! The rules over the diff that need no command: what may not be touched, hidden or leaked.
//!
//! Pure. Each file is one rule with its tests; `judge` puts them into dimensions.

pub mod coherence;
pub mod markers;
pub mod protected;
pub mod secrets;
pub mod size;
pub mod tamper;
