//! The one integration-test binary: a file per story.

mod architecture;
mod builders;
mod contract_environment;
mod contract_gate;
mod contract_governance;
mod contract_models;
mod contract_nights;
mod contract_post;
mod contract_publish;
mod contract_stacks;
mod contract_trust;
mod docs;
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
