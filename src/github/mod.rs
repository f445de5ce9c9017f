//! GitHub through octocrab: issues, dependencies, pull requests, comments.
//!
//! Owns every call to GitHub's API and the reading of what it answers. Never decides what is
//! worked on, and never runs git. The API is read leniently, with small types of our own: fields
//! may be null, missing or new.

mod access;
mod answer;
mod ask;
mod client;
mod comments;
mod copilot;
mod creating;
mod credential;
mod edited;
mod error;
mod files;
pub mod intake;
mod issues;
mod labels;
mod limits;
mod pause;
mod people;
mod pulls;
mod transport;
mod wire;

pub use access::{Grant, Held};
pub use client::GitHub;
pub use comments::Comment;
pub use copilot::{AgentEvent, AgentEventKind, CopilotPull};
pub use creating::{ListedIssue, NewIssue};
pub use credential::Credential;
pub use error::GitHubError;
pub use files::{BranchFile, BranchPath};
pub use issues::RawIssue;
pub use pause::{Patience, Refused};
pub use people::{LabelEvent, Permission};
pub use pulls::{NewPull, Pull};
