//! The one integration-test binary: a file per story.

mod gate;
mod git;
mod process;
mod sandbox;
mod store;
