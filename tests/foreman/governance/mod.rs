//! Governance: the log as it is read, proven and told of, and the issues it creates.

mod disk;
mod fabric;
mod integrity;
mod issues;
mod log;
mod notices;
mod places;
mod service;

use std::path::Path;

use foreman::domain::event::{EventType, NewEvent};
use foreman::github::GitHub;
use foreman::governance::{Governance, Settings};

use crate::store::lab::Lab;

pub fn event(text: impl Into<String>) -> NewEvent {
    NewEvent::new(EventType::PlanCreated, text)
}

/// Governance over a lab's store, its key and anchor in `folder`, without a GitHub.
pub async fn governance(lab: &Lab, folder: &Path) -> Governance {
    with(lab, Settings::in_folder(folder)).await
}

pub async fn with(lab: &Lab, settings: Settings) -> Governance {
    rustls::crypto::ring::default_provider().install_default().ok();
    let nowhere = "http://127.0.0.1:9".parse().expect("an address");
    let github = GitHub::new(&nowhere, None).expect("a client");
    let governance = Governance::open(lab.store.clone(), github, settings).await.expect("opened");
    governance.begin().await.expect("begun");
    governance
}
