//! The one integration-test binary: a file per story.

mod architecture;
mod builders;
mod gate;
mod git;
mod github;
mod healing;
mod http;
mod models;
mod night;
mod process;
mod recovery;
mod sandbox;
mod sequencing;
mod store;
mod support;
