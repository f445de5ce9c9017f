//! The six checks, their evidence, and the only maker of `GatesPassed`.
pub mod change;
pub mod detect;
pub mod drift;
pub mod finding;
pub mod glob;
pub mod logs;
pub mod policy;
pub mod rules;
pub mod scan;
