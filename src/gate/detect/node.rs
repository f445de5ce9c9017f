//! npm, pnpm and yarn: the scripts of `package.json`, and how what they need is installed.

use serde_json::Value;

use super::Files;
use crate::gate::policy::{CommandKind, Detected};

const FROM: &str = "package.json";

/// A package manager with its two spellings.
struct Manager {
    name: &'static str,
    /// Without network: what is needed has to be in the manager's store.
    install: &'static str,
}

pub(super) fn look(files: &Files, found: &mut Detected) {
    if !files.has(FROM) {
        return;
    }
    let manifest: Value = serde_json::from_str(files.text(FROM)).unwrap_or(Value::Null);
    let manager = manager(files, &manifest);
    let needs = ["dependencies", "devDependencies"]
        .iter()
        .any(|key| manifest.get(key).and_then(Value::as_object).is_some_and(|map| !map.is_empty()));
    let committed = files.any(|path| path.starts_with("node_modules/"));
    if (needs || manifest.get("workspaces").is_some()) && !committed {
        found.add(CommandKind::Setup, manager.install, FROM);
    }
    let script = |name: &str| {
        manifest
            .pointer(&format!("/scripts/{name}"))
            .and_then(Value::as_str)
            // What `npm init` writes is no test.
            .filter(|script| !script.contains("no test specified"))
    };
    for (kind, names) in [
        (CommandKind::Build, &["build"][..]),
        (CommandKind::Lint, &["lint"][..]),
        (CommandKind::Lint, &["typecheck", "type-check", "check-types"][..]),
        (CommandKind::Test, &["test"][..]),
    ] {
        if let Some(name) = names.iter().find(|name| script(name).is_some()) {
            found.add(kind, format!("{} run {name}", manager.name), FROM);
        }
    }
    found.notes.push(format!("{} ({FROM})", manager.name));
}

/// The lock file says which manager, else the manifest's `packageManager`.
fn manager(files: &Files, manifest: &Value) -> Manager {
    let wanted = manifest.get("packageManager").and_then(Value::as_str).unwrap_or_default();
    if files.has("pnpm-lock.yaml") || wanted.starts_with("pnpm@") {
        Manager { name: "pnpm", install: "pnpm install --frozen-lockfile --offline" }
    } else if files.has("yarn.lock") || wanted.starts_with("yarn@") {
        let version = wanted.strip_prefix("yarn@").unwrap_or_default();
        let berry = files.has(".yarnrc.yml")
            || (!version.is_empty() && !version.starts_with("1.") && version != "1");
        let install = if berry {
            "YARN_ENABLE_NETWORK=0 yarn install --immutable"
        } else {
            "yarn install --frozen-lockfile --offline"
        };
        Manager { name: "yarn", install }
    } else if files.has("package-lock.json") || files.has("npm-shrinkwrap.json") {
        Manager { name: "npm", install: "npm ci --offline --no-audit --no-fund" }
    } else {
        Manager { name: "npm", install: "npm install --offline --no-audit --no-fund" }
    }
}
