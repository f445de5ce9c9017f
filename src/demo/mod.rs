//! The stand-in GitHub and the scripted model behind `foreman demo`, shared with the tests.
//!
//! Owns everything that pretends. Nothing outside `demo` and the command line's `demo` uses it.

pub mod github;
pub mod model;
pub mod night;
pub mod scenario;
pub mod script;
