//! The one integration-test binary: a file per story.

mod architecture;
mod builders;
mod gate;
mod git;
mod github;
mod http;
mod models;
mod night;
mod recovery;
mod sequencing;
mod store;
mod support;
