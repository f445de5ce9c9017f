//! Foreman works a repository's open issues overnight and opens only pull requests whose exact
//! tree passed every check.
//!
//! The rooms, in reading order; nothing imports upward (`tests/foreman/architecture.rs` holds it):
//!
//! `domain <- {sequencing, escalation} <- {store, github, git, models, sandbox} <- {builders, gate,
//! governance, desktop_sync} <- overnight <- http <- app <- {demo, cli} <- main`, with `config`, `telemetry` and
//! `process` beside `domain`. For other programs: [`select_model`] and
//! [`execute_with_escalation`] (`library`, which knows the rules and none of the rooms above), and
//! the event log by [`log_governance_event`], [`query_governance_events`] and
//! [`governance_stats`], the governance issues by [`governance_issues`] and
//! [`create_governance_issues`].

pub mod config;
pub mod domain;
pub mod failpoint;
pub mod process;
pub mod telemetry;

pub mod escalation;
pub mod sequencing;

pub mod git;
pub mod github;
pub mod models;
pub mod sandbox;
pub mod store;

pub mod builders;
pub mod desktop_sync;
pub mod gate;
pub mod governance;

pub mod app;
pub mod overnight;

pub mod http;

pub mod cli;
pub mod demo;

mod library;

pub use desktop_sync::{
    check_local_builder_health, detect_repository_drift, perform_safe_merge,
    start_periodic_health_check,
};
pub use governance::{
    create_governance_issues, governance_issues, governance_stats, log_governance_event,
    query_governance_events,
};
pub use library::{
    Complexity, EscalationEvent, EscalationReason, Justification, ModelTier, Selection,
    SelectionContext, Try, Usd, execute_with_escalation, select_model,
};
