//! A machine without a sandbox, really: namespaces of our own in which bubblewrap is missing, or in
//! which no further user namespace can be made.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::support::Town;

#[derive(Debug, Clone, Copy)]
pub enum Sandboxed {
    NoBubblewrap,
    Closed,
}

/// What the doctor says of the sandbox there. `None` where we may not make such a place.
pub async fn sandbox_where(town: &Town, how: Sandboxed) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can cause {how:?}");
        return None;
    }
    let script = match how {
        Sandboxed::NoBubblewrap => {
            "mount --bind /dev/null \"$(command -v bwrap)\" && exec \"$FOREMAN\" doctor --json"
        }
        // The limits hold for the namespace in which they are set, and bubblewrap of root could do
        // without the first. Root's rights come with the exec after the ids are known.
        Sandboxed::Closed => {
            "read go; exec sh -c 'cd /proc/sys/user && for kind in user mnt pid net; do \
             echo 0 > max_${kind}_namespaces || exit; done; exec \"$FOREMAN\" doctor --json'"
        }
    };
    let own = match how {
        Sandboxed::NoBubblewrap => "-m",
        Sandboxed::Closed => "-U",
    };
    let mut child = Command::new("unshare")
        .args([own, "sh", "-c", script])
        .env_clear()
        .envs(&town.env)
        .env("FOREMAN", env!("CARGO_BIN_EXE_foreman"))
        .env("FOREMAN_SANDBOX", "bubblewrap")
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .current_dir(town.data.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("unshare starts");
    let mut stdin = child.stdin.take().expect("piped");
    if let Sandboxed::Closed = how {
        let pid = child.id().expect("it runs");
        // Until the namespace is made the map is the machine's own, and cannot be written again.
        while std::fs::read_to_string(format!("/proc/{pid}/uid_map"))
            .is_ok_and(|it| !it.trim().is_empty())
        {
            tokio::task::yield_now().await;
        }
        for map in ["uid_map", "gid_map"] {
            std::fs::write(format!("/proc/{pid}/{map}"), "0 0 65536\n").expect("mapped");
        }
    }
    stdin.write_all(b"go\n").await.ok();
    drop(stdin);
    let output = child.wait_with_output().await.expect("it ends");
    let said: Value = serde_json::from_slice(&output.stdout).expect("one document");
    let checks = said["checks"].as_array().expect("checks");
    let found = checks.iter().find(|it| it["what"] == "sandbox" && it["level"] == "fail");
    let found = found.unwrap_or_else(|| panic!("the sandbox is well: {said:#}"));
    Some(found["found"].as_str().expect("a sentence").to_owned())
}
