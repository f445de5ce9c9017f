//! The environment of a command inside: made new, and never with anything of Foreman's own.

use std::ffi::OsString;
use std::path::Path;

use super::bubblewrap::DEPENDENCIES;
use super::door::Door;
use super::place::Dependencies;
use super::toolchains::Toolchains;
use super::{Shell, door};

/// Where Linux distributions keep the certificates that the machine trusts, in one file.
const CERTIFICATES: &[&str] =
    &["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// How tools are told about a proxy.
const PROXY: &[&str] = &[
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "npm_config_proxy",
    "npm_config_https_proxy",
];
/// How they are told which certificates to trust.
const TRUST: &[&str] = &[
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
];

/// The whole environment inside.
pub(super) fn inside(
    tools: &Toolchains,
    shell: &Shell,
    fetched: Option<&Dependencies>,
    home: &Path,
    tmp: &Path,
) -> Vec<(OsString, OsString)> {
    let mut env: Vec<(OsString, OsString)> = vec![
        ("PATH".into(), tools.path()),
        ("HOME".into(), home.into()),
        ("TMPDIR".into(), tmp.into()),
        ("USER".into(), "builder".into()),
        ("LANG".into(), "C.UTF-8".into()),
        ("TERM".into(), "dumb".into()),
        ("CI".into(), "true".into()),
        ("CARGO_NET_OFFLINE".into(), "true".into()),
        ("CARGO_TARGET_DIR".into(), home.join(".cache/cargo-target").into()),
        // The box has no network: a missing toolchain is an error, not a download.
        ("RUSTUP_AUTO_INSTALL".into(), "0".into()),
        ("GOTOOLCHAIN".into(), "local".into()),
        ("GIT_CONFIG_GLOBAL".into(), "/dev/null".into()),
        ("GIT_TERMINAL_PROMPT".into(), "0".into()),
    ];
    env.extend(tools.env().iter().map(|(name, value)| (name.into(), value.into())));
    if let Some(them) = fetched {
        dependencies(&mut env, tools, them.writable);
    }
    match &shell.door {
        Some(Door::Registries { .. }) => {
            for name in PROXY {
                set(&mut env, name, format!("http://127.0.0.1:{}", door::PORT));
            }
            if let Some(file) = CERTIFICATES.iter().find(|file| Path::new(file).is_file()) {
                for name in TRUST {
                    set(&mut env, name, *file);
                }
            }
        }
        Some(Door::Address { .. }) | None => {}
    }
    for (name, value) in &shell.env {
        set(&mut env, name, value);
    }
    env
}

/// Each tool's package folder is below one that is shown at a fixed path; offline, the tools are
/// told to ask nobody.
fn dependencies(env: &mut Vec<(OsString, OsString)>, tools: &Toolchains, fetching: bool) {
    let at = |part: &str| format!("{DEPENDENCIES}/{part}");
    let mut path = tools.path();
    path.push(":");
    path.push(at("python/bin"));
    set(env, "PATH", path);
    set(env, "FOREMAN_DEPS", DEPENDENCIES);
    set(env, "CARGO_HOME", at("cargo"));
    set(env, "CARGO_NET_OFFLINE", if fetching { "false" } else { "true" });
    set(env, "npm_config_cache", at("npm"));
    set(env, "npm_config_logs_max", "0");
    set(env, "npm_config_update_notifier", "false");
    set(env, "GOMODCACHE", at("go/mod"));
    set(env, "PYTHONPATH", at("python"));
    set(env, "PIP_DISABLE_PIP_VERSION_CHECK", "1");
    if fetching {
        set(env, "PIP_CACHE_DIR", at("pip"));
    } else {
        set(env, "npm_config_offline", "true");
        set(env, "GOPROXY", "off");
        set(env, "PIP_NO_INDEX", "1");
        set(env, "PIP_FIND_LINKS", at("wheels"));
        // The folder is read-only: no byte code beside the sources.
        set(env, "PYTHONDONTWRITEBYTECODE", "1");
    }
}

/// A name stands once: programs differ in which of two they take.
fn set(env: &mut Vec<(OsString, OsString)>, name: &str, value: impl Into<OsString>) {
    let value = value.into();
    match env.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => *old = value,
        None => env.push((name.into(), value)),
    }
}
