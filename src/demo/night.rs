//! `foreman demo`: a whole night on a fresh machine, without a token or a key.
//!
//! Owns the stand-ins' set-up and hands over an ordinary configuration; from there on it is the
//! real Foreman that works. Only GitHub and the model's answers are not real, and it says so.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::github::{FakeGitHub, Options};
use super::model::FakeModel;
use super::scenario::{self, ScenarioError};
use super::script;
use crate::config::{Config, ConfigError};
use crate::domain::ids::RepoName;

/// Variables of the real environment that the demo honours.
const HONOURED: &[&str] =
    &["HOST", "PORT", "RUST_LOG", "FOREMAN_LOG_FORMAT", "FOREMAN_SANDBOX", "FOREMAN_API_TOKEN"];
/// And these too where the person gave a model of their own.
const MODEL: &[&str] = &["OPENAI_BASE_URL", "OPENAI_API_KEY", "FOREMAN_CONFIG"];

/// The scripted model takes any key, and the configuration wants one.
pub const MODEL_KEY: &str = "demo-key-that-opens-nothing";
/// The port of an ordinary start.
const USUAL_PORT: u16 = 3000;

/// Why the demo could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("the stand-ins could not be started: {0}")]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// The stand-ins, running, and the configuration that points at them. They end when dropped.
pub struct Stage {
    pub github: FakeGitHub,
    /// `None` where the person's own model is used.
    pub model: Option<FakeModel>,
    pub repo: RepoName,
    pub config: Config,
}

/// Sets everything up. `folder` is the demo's own data folder, `lookup` the real environment.
pub async fn set_up(
    folder: &Path,
    lookup: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Stage, DemoError> {
    let github = FakeGitHub::start(Options::default()).await?;
    let repo = scenario::set_up(&github)?;
    let mut variables: BTreeMap<&str, OsString> = BTreeMap::new();
    let mut honour = |names: &[&'static str]| {
        for name in names {
            if let Some(value) = lookup(name) {
                variables.insert(name, value);
            }
        }
    };
    honour(HONOURED);
    let own_model = lookup("OPENAI_BASE_URL").is_some();
    let model = if own_model {
        honour(MODEL);
        None
    } else {
        Some(FakeModel::start(Arc::new(script::answer)).await?)
    };
    if let Some(model) = &model {
        variables.insert("OPENAI_BASE_URL", model.base_url().as_str().into());
        variables.insert("OPENAI_API_KEY", MODEL_KEY.into());
    }
    if variables.get("PORT").is_none_or(|port| port == "0") {
        variables.insert("PORT", free_port()?.to_string().into());
    }
    variables.insert("GITHUB_API_URL", github.api_url().as_str().into());
    variables.insert("GITHUB_TOKEN", github.token().into());
    variables.insert("FOREMAN_DATA_DIR", folder.into());
    let config = Config::load(&|name| variables.get(name).cloned(), folder)?;
    Ok(Stage { github, model, repo, config })
}

/// The usual port where it is free, so that every address can be said before it is served.
fn free_port() -> std::io::Result<u16> {
    let taken = |port| TcpListener::bind(("127.0.0.1", port));
    let listener = taken(USUAL_PORT).or_else(|_| taken(0))?;
    Ok(listener.local_addr()?.port())
}

/// A fresh folder for a demo below the ordinary data folder.
pub fn fresh_folder(data_dir: &Path) -> std::io::Result<PathBuf> {
    let name = format!("demo-{}", uuid::Uuid::now_v7().simple());
    let folder = data_dir.join(name);
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
