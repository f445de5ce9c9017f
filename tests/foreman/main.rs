//! The one integration-test binary: a file per story.

mod architecture;
mod git;
mod models;
mod sequencing;
mod store;
