//! What is held and what is not, in words for the start-up line, GET and `doctor`.

use serde::Serialize;

use super::Kind;
use crate::process::Identity;

/// The sandbox as it stands on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SandboxReport {
    pub kind: Kind,
    /// What commands can't get past, each proven or enforced at start.
    pub held: Vec<String>,
    /// What they can.
    pub not_held: Vec<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// Whether a toolchain is there that the box's user cannot reach; `not_held` says which.
    #[serde(skip)]
    pub toolchain_closed: bool,
}

/// What was found out about the machine.
pub(super) struct Facts {
    pub(super) identity: Option<Identity>,
    pub(super) root: bool,
    /// Why totals can't be held, if they can't.
    pub(super) totals: Option<String>,
    /// Attempts of the self-test that got through without being a reason to refuse.
    pub(super) reached: Vec<&'static str>,
    /// A toolchain that the box's user can't reach.
    pub(super) closed: Option<String>,
    /// Why something better was not used.
    pub(super) advice: Option<String>,
}

impl SandboxReport {
    pub(super) fn new(kind: Kind, facts: Facts) -> Self {
        let mut held: Vec<String> = Vec::new();
        let mut not_held: Vec<String> = Vec::new();
        match kind {
            Kind::Bubblewrap => held.extend(
                [
                    "no network: a network namespace with its own loopback",
                    "no sockets in files, packets or other families (seccomp)",
                    "host files: only toolchains are there, read-only, and the workspace",
                    "other processes are not visible (PID namespace)",
                    "everything a command started ends with it",
                    "tracing, mounts, namespaces, keys, io_uring denied (seccomp)",
                ]
                .map(str::to_owned),
            ),
            Kind::Landlock => {
                held.extend(
                    [
                        "no sockets at all (seccomp)",
                        "host files: toolchains readable, workspace writable (Landlock)",
                        "tracing, mounts, namespaces, keys, io_uring denied (seccomp)",
                        "everything a command started ends with it while Foreman lives",
                    ]
                    .map(str::to_owned),
                );
                not_held.extend(
                    [
                        "other processes' names and arguments are visible (no PID namespace)",
                        "background processes may outlive a `kill -9` of Foreman",
                        "tests that open a local socket fail (no network namespace)",
                        "attributes and existence of files elsewhere can be read",
                    ]
                    .map(str::to_owned),
                );
            }
            Kind::None => not_held.extend(
                ["network", "host files, credentials included", "other processes"]
                    .map(str::to_owned),
            ),
        }
        held.push("clean environment".to_owned());
        held.push("time and limits of each process: memory, files, processor".to_owned());
        match (facts.identity, facts.root) {
            (Some(identity), _) => {
                held.push(format!("commands run as user {}, not root", identity.uid));
            }
            (None, true) => {
                not_held
                    .push("commands run as root, for whom process limits don't hold".to_owned());
            }
            (None, false) => {}
        }
        match facts.totals {
            None => held.push("total memory and processes of a command (control group)".to_owned()),
            Some(why) => held.push(format!(
                "total memory and processes of a command, looked at four times a second from \
                 outside: a short burst passes (no control group: {why})"
            )),
        }
        held.push("total disk space of a command's folders (looked at from outside)".to_owned());
        if kind != Kind::Bubblewrap {
            let what = "a setup step with network towards listed registries alone";
            not_held.push(format!("{what}: it needs bubblewrap, and setup commands stay offline"));
        }
        not_held.extend(facts.reached.into_iter().map(|what| format!("{what} of other processes")));
        let toolchain_closed = facts.closed.is_some();
        not_held.extend(facts.closed);
        Self { kind, held, not_held, advice: facts.advice, toolchain_closed }
    }
}
