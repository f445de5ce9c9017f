//! The box: each way out is tried inside, and outside as the control that it is one.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod attempts;
mod bounds;
mod door;
mod escapes;
mod suite;
mod tools;

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use foreman::process::{Children, Ending, Finished, Limits, Spec, Watch};
use foreman::sandbox::{Kind, Mode, Place, Sandbox, SandboxError, Shell, prepare_place};
use tokio_util::sync::CancellationToken;

const BINARY: &str = env!("CARGO_BIN_EXE_foreman");
const PATIENCE: Duration = Duration::from_secs(60);

struct Bench {
    sandbox: Sandbox,
    children: Children,
    place: Place,
    root: tempfile::TempDir,
}

impl Bench {
    /// `None`, said aloud, where this machine lacks the mechanism.
    async fn new(mode: Mode) -> Option<Self> {
        let children = Children::start(BINARY.into()).unwrap();
        let sandbox = match Sandbox::detect(children.clone(), mode, BINARY.into()).await {
            Ok(sandbox) => sandbox,
            Err(error) => {
                assert!(matches!(error, SandboxError::Unavailable { .. }), "{error}");
                assert!(std::env::var_os("CI").is_none(), "CI must have it: {error}");
                eprintln!("SKIPPED: {mode:?} does not work here: {error}");
                return None;
            }
        };
        // Open permissions: what keeps the box in must be the box.
        let root = tempfile::tempdir().unwrap();
        open(root.path());
        let place =
            prepare_place(&root.path().join("work"), &root.path().join("own"), sandbox.identity())
                .unwrap();
        Some(Self { sandbox, children, place, root })
    }

    async fn run(&self, command: &str) -> Finished {
        self.run_shell(&Shell::new(command, PATIENCE)).await
    }

    async fn run_shell(&self, shell: &Shell) -> Finished {
        self.sandbox.run(&self.place, shell, &CancellationToken::new()).await.unwrap()
    }

    async fn says(&self, command: &str) -> String {
        self.run(command).await.stdout.text()
    }

    /// The same command outside, as the same user.
    async fn outside(&self, command: &str) -> String {
        let mut spec = Spec::new("/bin/sh", &self.place.workspace).args(["-c", command]);
        spec.env.push(("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()));
        spec.identity = self.sandbox.identity();
        spec.merge_output = true;
        self.children.run(spec, &CancellationToken::new()).await.unwrap().stdout.text()
    }

    /// Succeeds outside, printing ESCAPED; must not inside.
    async fn must_hold(&self, attempt: &str) {
        let control = self.outside(attempt).await;
        assert!(control.contains("ESCAPED"), "the control is no control: {attempt}\n{control}");
        let inside = self.says(&format!("{attempt}\necho still here")).await;
        assert!(!inside.contains("ESCAPED"), "{attempt}\n{inside}");
        assert!(inside.contains("still here"), "{attempt}\n{inside}");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }
}

fn open(folder: &Path) {
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).unwrap();
}

/// How many processes of the host have this word among their arguments.
fn living(word: &str) -> usize {
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .filter(|line| line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes()))
        .count()
}

/// A duration for `sleep` that no other test uses, so that its process can be found.
fn marked_sleep(number: u32) -> String {
    format!("86{number}.{}", std::process::id())
}

const BOXES: [Mode; 2] = [Mode::Bubblewrap, Mode::Landlock];
