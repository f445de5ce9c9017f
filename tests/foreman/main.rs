//! The one integration-test binary: a file per story.

mod models;
mod process;
mod sandbox;
