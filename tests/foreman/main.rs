//! The one integration-test binary: a file per story.

mod git;
mod models;
mod process;
mod sandbox;
mod sequencing;
