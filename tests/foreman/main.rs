//! The one integration-test binary: a file per story.

mod architecture;
mod night;
mod recovery;
mod support;
mod git;
mod models;
mod sequencing;
mod store;
