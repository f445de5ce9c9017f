//! What can be wrong with the configuration, each in one line that says what to change. Never
//! shows a secret's value.

use std::path::PathBuf;

/// Why the configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{name} is `{got}`; it takes {takes}")]
    Variable { name: String, got: String, takes: String },
    /// The value is not shown.
    #[error("{name} does not parse (its value is not shown); it takes {takes}")]
    Secret { name: String, takes: String },
    #[error("{name} holds bytes that are not UTF-8; it takes {takes}")]
    NotText { name: String, takes: &'static str },
    #[error("{name} and {name}_FILE are both set; give one of them")]
    Twice { name: &'static str },
    #[error("{name} names the file {path}, which cannot be read: {source}", path = path.display())]
    Unreadable { name: String, path: PathBuf, source: std::io::Error },
    #[error("{name} names the file {path}, which is empty", path = path.display())]
    EmptyFile { name: String, path: PathBuf },
    #[error(
        "HOST is `{host}`, which other machines can reach, but FOREMAN_API_TOKEN is not set; set FOREMAN_API_TOKEN, or HOST=127.0.0.1"
    )]
    Public { host: String },
    /// Variables that do not go together.
    #[error("{0}")]
    Together(String),
    #[error("{path}: {message}", path = path.display())]
    DotEnv { path: PathBuf, message: String },
    #[error("{path}:{line}:{column}: {message}", path = path.display())]
    File { path: PathBuf, line: usize, column: usize, message: String },
    /// A value that TOML accepts and Foreman does not.
    #[error("{path}: {key} is `{got}`; it takes {takes}", path = path.display())]
    Key { path: PathBuf, key: String, got: String, takes: String },
}
