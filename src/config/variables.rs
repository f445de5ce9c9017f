//! Every environment variable Foreman knows, in one table: `.env.example`, the documentation and
//! the reader are held to it by tests.

/// One variable. Each secret may also be given as a file, by its name with `_FILE` behind it.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    pub name: &'static str,
    /// As shown to people; `none` where there is none.
    pub default: &'static str,
    pub meaning: &'static str,
    pub secret: bool,
}

const fn plain(name: &'static str, default: &'static str, meaning: &'static str) -> Variable {
    Variable { name, default, meaning, secret: false }
}

const fn secret(name: &'static str, default: &'static str, meaning: &'static str) -> Variable {
    Variable { name, default, meaning, secret: true }
}

/// The whole table, in the order people meet them.
pub const VARIABLES: &[Variable] = &[
    plain(
        "HOST",
        "127.0.0.1",
        "address the service listens on; anything but loopback needs FOREMAN_API_TOKEN",
    ),
    plain("PORT", "3000", "port the service listens on; 0 takes any free one"),
    secret(
        "FOREMAN_API_TOKEN",
        "none",
        "bearer token (an admin's), or several as name:role:token, comma separated; roles viewer, operator, admin",
    ),
    secret(
        "DATABASE_URL",
        "sqlite://foreman.db in the data folder",
        "sqlite://PATH or postgres://USER:PASSWORD@HOST/NAME",
    ),
    plain("FOREMAN_DATA_DIR", "./.foreman", "mirrors, workspaces, gate logs and the SQLite file"),
    plain(
        "FOREMAN_CONFIG",
        "foreman.toml if it is there",
        "tiers, prices, limits, trust: everything that is not a secret",
    ),
    plain(
        "GITHUB_API_URL",
        "https://api.github.com",
        "GitHub's API; GitHub Enterprise ends in /api/v3",
    ),
    secret(
        "GITHUB_TOKEN",
        "none",
        "a token that may read and write contents, issues and pull requests; or a GitHub App's two variables",
    ),
    plain("GITHUB_APP_ID", "none", "the number of a GitHub App, together with its private key"),
    secret(
        "GITHUB_APP_PRIVATE_KEY",
        "none",
        "the App's private key: PEM text or the path of a PEM file",
    ),
    secret("OPENAI_API_KEY", "none", "key of the tiers' default endpoint"),
    plain(
        "OPENAI_BASE_URL",
        "https://api.openai.com/v1",
        "the tiers' default endpoint, OpenAI-compatible",
    ),
    plain(
        "OVERNIGHT_EXECUTION_ENABLED",
        "true",
        "false: no night starts or resumes and no paid call is made",
    ),
    plain("DESKTOP_BUILDER_ENABLED", "false", "look at the local clones, report their health"),
    plain("LOCAL_FOREMAN_APP_PATH", "none", "the local clone foreman-app"),
    plain("LOCAL_MATURION_ISMS_PATH", "none", "the local clone maturion-isms"),
    plain(
        "LOCAL_BUILDER_COMMAND",
        "none",
        "a coding agent's command, run in the workspace, the task on its standard input",
    ),
    plain(
        "LOCAL_BUILDER_BASE_URL",
        "none",
        "an OpenAI-compatible local server (Ollama, llama.cpp, vLLM)",
    ),
    plain("LOCAL_BUILDER_MODEL", "none", "the model that the local server serves"),
    plain("FOREMAN_SANDBOX", "auto", "auto, bubblewrap, landlock or off"),
    plain("FOREMAN_SHUTDOWN_SECONDS", "25", "how long a graceful stop may take"),
    plain("FOREMAN_BASE_PATH", "none", "path prefix behind a proxy, like /foreman"),
    plain("FOREMAN_URL", "http://HOST:PORT", "the running server that the command line talks to"),
    plain("RUST_LOG", "info", "what is logged: a level, or target=level, comma separated"),
    plain(
        "FOREMAN_LOG_FORMAT",
        "auto",
        "auto (for people on a terminal, else JSON), human or json",
    ),
];

/// Whether a name (or a secret's `_FILE` form) is in the table.
#[must_use]
pub fn is_known(name: &str) -> bool {
    VARIABLES.iter().any(|variable| {
        variable.name == name
            || (variable.secret && name.strip_suffix("_FILE") == Some(variable.name))
    })
}
