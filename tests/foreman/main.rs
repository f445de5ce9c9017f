//! The one integration-test binary: a file per story.

mod builders;
mod models;
mod process;
mod sandbox;
mod store;
