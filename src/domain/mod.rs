//! The nouns everything else speaks in.
//!
//! Owns plain values and the rules that hold for a value alone. Never touches I/O, async, the
//! clock, octocrab or sqlx: `now`, ids and randomness are arguments.

mod advice;
pub mod attempt;
pub mod call;
pub mod event;
pub mod evidence;
pub mod glob;
pub mod ids;
pub mod issue;
pub mod labels;
pub mod memory;
pub mod money;
pub mod plan;
pub mod policy;
pub mod redact;
pub mod registry;
pub mod run;
pub mod switch;
pub mod tier;
pub mod time;
pub mod vetting;
