//! Starting children: every program Foreman runs is started here, through `foreman __exec`.
//!
//! Owns the one thread that spawns, the limits a child gets and the capture of its output. Never
//! decides what to run: git and the sandbox do. The thread lives as long as the process because
//! the parent-death signal follows the *thread* that forked, and pool threads end when idle.

mod capture;
mod confine;
mod door;
pub mod exec;
mod hand;
pub mod probe;
mod supervise;
mod tree;
mod watch;

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

pub use capture::{Captured, KeepLines};
pub use confine::Confinement;
pub use door::Door;
pub use exec::{Identity, Limits, Settings};
pub use hand::Handed;
pub use watch::Watch;

/// How long we wait for a pipe to close after the child itself has ended: a grandchild that kept
/// it open must not hold us.
const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// How long killing what is below a child may take before only its group is killed.
const KILL_GRACE: Duration = Duration::from_secs(5);

/// What to run. The environment starts empty.
#[derive(Debug, Clone)]
pub struct Spec {
    pub program: OsString,
    pub args: Vec<OsString>,
    pub env: Vec<(OsString, OsString)>,
    pub cwd: PathBuf,
    pub stdin: Option<Vec<u8>>,
    pub limits: Limits,
    /// Run as this user; only root can.
    pub identity: Option<Identity>,
    /// What the child takes away from itself; see [`Confinement`].
    pub confinement: Confinement,
    /// Whatever the program leaves running ends with it; see [`Settings::supervise`].
    pub supervise: bool,
    /// Control groups to join before anything else.
    pub cgroups: Vec<PathBuf>,
    pub timeout: Option<Duration>,
    /// Bytes kept of each stream: half of it from the head, half from the tail.
    pub output_cap: usize,
    /// Lines kept of what is left out between them.
    pub keep_lines: Option<KeepLines>,
    /// Standard error goes into the same stream as standard output, in order.
    pub merge_output: bool,
    /// A listener made by the child and handed out; needs `supervise`.
    pub door: Option<Door>,
    /// A secret for the child.
    pub handed: Option<Handed>,
    /// Totals over all that the child starts, watched from here.
    pub watch: Option<Watch>,
}

impl Spec {
    /// A command with no limits but a 4 MiB cap on what is kept of its output.
    pub fn new(program: impl Into<OsString>, cwd: &Path) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: cwd.to_owned(),
            stdin: None,
            limits: Limits::default(),
            identity: None,
            confinement: Confinement::None,
            supervise: false,
            cgroups: Vec::new(),
            timeout: None,
            output_cap: 4 << 20,
            keep_lines: None,
            merge_output: false,
            door: None,
            handed: None,
            watch: None,
        }
    }

    #[must_use]
    pub fn args<I, A>(mut self, args: I) -> Self
    where
        I: IntoIterator<Item = A>,
        A: Into<OsString>,
    {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    #[must_use]
    pub fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Exited(i32),
    Signalled(i32),
    TimedOut,
    Cancelled,
}

impl Ending {
    #[must_use]
    pub const fn success(self) -> bool {
        matches!(self, Self::Exited(0))
    }
}

/// A child that is gone, with what it said.
#[derive(Debug)]
pub struct Finished {
    pub ending: Ending,
    pub stdout: Captured,
    /// Empty when the output was merged.
    pub stderr: Captured,
    pub duration: Duration,
    /// Why the watch ended it, if it did.
    pub overrun: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("could not start `{program}`: {source}")]
    Start { program: String, source: io::Error },
    #[error("lost `{program}`: {source}")]
    Wait { program: String, source: io::Error },
    #[error("the thread that starts children is gone")]
    SpawnerGone,
}

type SpawnReply = oneshot::Sender<io::Result<Started>>;

struct Started {
    child: tokio::process::Child,
    merged: Option<tokio::net::unix::pipe::Receiver>,
    /// Where the child has a door: our end of it, and the way to its standard input.
    door: Option<(std::os::unix::net::UnixStream, tokio::net::unix::pipe::Sender)>,
}

/// The handle to the spawning thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Children {
    requests: mpsc::UnboundedSender<(Spec, SpawnReply)>,
}

impl Children {
    /// Starts the spawning thread. `helper` is a program that understands `__exec`: the running
    /// binary itself (`/proc/self/exe`) in production, the built binary in tests. Must be called
    /// inside a tokio runtime.
    pub fn start(helper: PathBuf) -> io::Result<Self> {
        let (requests, mut inbox) = mpsc::unbounded_channel::<(Spec, SpawnReply)>();
        let runtime = tokio::runtime::Handle::current();
        std::thread::Builder::new().name("children".to_owned()).spawn(move || {
            let _guard = runtime.enter();
            while let Some((spec, reply)) = inbox.blocking_recv() {
                if let Err(Ok(mut unwanted)) = reply.send(start_child(&helper, &spec)) {
                    // The caller went away between asking and being answered.
                    unwanted.child.start_kill().ok();
                }
            }
        })?;
        Ok(Self { requests })
    }

    /// Runs a command to its end, its timeout, or cancellation; then its process group is gone,
    /// and after a timeout or cancellation everything that could still be found below it.
    pub async fn run(
        &self,
        mut spec: Spec,
        cancel: &CancellationToken,
    ) -> Result<Finished, ProcessError> {
        let program = spec.program.to_string_lossy().into_owned();
        let (timeout, cap, stdin) = (spec.timeout, spec.output_cap, spec.stdin.take());
        let keep = spec.keep_lines.clone();
        spec.stdin = stdin.as_ref().map(|_| Vec::new());
        let (to, watch) = (spec.door.as_ref().map(|door| door.listener.clone()), spec.watch.take());
        let begun = Instant::now();
        let (reply, started) = oneshot::channel();
        self.requests.send((spec, reply)).map_err(|_| ProcessError::SpawnerGone)?;
        let Started { mut child, merged, door } = started
            .await
            .map_err(|_| ProcessError::SpawnerGone)?
            .map_err(|source| ProcessError::Start { program: program.clone(), source })?;
        let group = GroupGuard::of(&child);

        let input = stdin.unwrap_or_default();
        let door = match (door, to) {
            (Some((ours, mut pipe)), Some(to)) => {
                tokio::spawn(async move { pipe.write_all(&input).await.ok() });
                Some(AbortOnDrop(tokio::spawn(door::take_listener(ours, to))))
            }
            _ => {
                if let Some(mut pipe) = child.stdin.take() {
                    // A child that does not read its input is its own business.
                    tokio::spawn(async move { pipe.write_all(&input).await.ok() });
                }
                None
            }
        };
        let stdout = match merged {
            Some(pipe) => capture::start(Some(pipe), cap, keep),
            None => capture::start(child.stdout.take(), cap, keep),
        };
        let stderr = capture::start(child.stderr.take(), cap, None);

        let deadline = async {
            match timeout {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        let root = group.root();
        let overrun = async {
            match (&watch, root) {
                (Some(watch), Some(root)) => watch.overrun(root).await,
                _ => std::future::pending().await,
            }
        };
        let mut why = None;
        let ending = tokio::select! {
            status = child.wait() => ending_of(status.map_err(|source| ProcessError::Wait { program: program.clone(), source })?),
            () = deadline => Ending::TimedOut,
            () = cancel.cancelled() => Ending::Cancelled,
            what = overrun => {
                why = Some(what);
                Ending::Signalled(Signal::KILL.as_raw())
            }
        };
        drop(door);
        if why.is_some() || matches!(ending, Ending::TimedOut | Ending::Cancelled) {
            group.kill_below().await;
            group.kill();
            child.wait().await.map_err(|source| ProcessError::Wait { program, source })?;
        } else {
            group.kill();
        }
        Ok(Finished {
            ending,
            stdout: stdout.finish(DRAIN_GRACE).await,
            stderr: stderr.finish(DRAIN_GRACE).await,
            duration: begun.elapsed(),
            overrun: why,
        })
    }
}

/// A task that ends with its owner.
struct AbortOnDrop(tokio::task::JoinHandle<io::Result<()>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Kills what is below a child, and its process group, when dropped, so that a caller whose future
/// is dropped leaves nothing running.
struct GroupGuard(Option<rustix::process::Pid>);

impl GroupGuard {
    fn of(child: &tokio::process::Child) -> Self {
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        Self(pid.and_then(rustix::process::Pid::from_raw))
    }

    /// Kills the descendants and waits until they are gone, while the child still lives and so
    /// keeps the tree together. The first process of a PID namespace is among them, and is gone
    /// only when all of its namespace is.
    async fn kill_below(&self) {
        let Some(root) = self.root() else { return };
        let gone = async {
            while tree::kill_descendants(root) > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        // Out of time, the group's end is still ahead.
        tokio::time::timeout(KILL_GRACE, gone).await.ok();
    }

    fn root(&self) -> Option<u32> {
        self.0.and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok())
    }

    /// Kills the group alone: the child has ended, its number may soon be another's.
    fn kill(mut self) {
        self.kill_group();
    }

    fn kill_group(&mut self) {
        if let Some(group) = self.0.take() {
            // Already gone is what we want.
            rustix::process::kill_process_group(group, Signal::KILL).ok();
        }
    }
}

impl Drop for GroupGuard {
    fn drop(&mut self) {
        if let Some(root) = self.root() {
            tree::kill_descendants(root);
        }
        self.kill_group();
    }
}

fn start_child(helper: &Path, spec: &Spec) -> io::Result<Started> {
    let settings = Settings {
        limits: spec.limits,
        identity: spec.identity,
        confinement: spec.confinement.clone(),
        supervise: spec.supervise,
        new_session: false,
        cgroups: spec.cgroups.clone(),
        parent: Some(std::process::id()),
        door: None,
    };
    let mut command = tokio::process::Command::new(helper);
    command
        .arg(exec::SUBCOMMAND)
        .args(settings.arguments())
        .arg("--")
        .arg(&spec.program)
        .args(&spec.args)
        .env_clear()
        .envs(spec.env.iter().map(|(key, value)| (key, value)))
        .current_dir(&spec.cwd)
        .stdin(if spec.stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .process_group(0)
        .kill_on_drop(true);
    let merged = if spec.merge_output {
        let (reader, writer) = io::pipe()?;
        command.stdout(writer.try_clone()?).stderr(writer);
        Some(tokio::net::unix::pipe::Receiver::from_owned_fd(reader.into())?)
    } else {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        None
    };
    let handed = spec.handed.as_ref().map(hand::prepare).transpose()?;
    if let (Some((_, number)), Some(what)) = (&handed, &spec.handed) {
        command.env(what.variable, number);
    }
    let door = match &spec.door {
        Some(_) => {
            let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
            let (reader, writer) = io::pipe()?;
            // Waits in the socket until the helper asks for it.
            door::send(&ours, &reader)?;
            command.stdin(Stdio::from(OwnedFd::from(theirs)));
            Some((ours, tokio::net::unix::pipe::Sender::from_owned_fd(writer.into())?))
        }
        None => None,
    };
    let child = command.spawn()?;
    Ok(Started { child, merged, door })
}

fn ending_of(status: std::process::ExitStatus) -> Ending {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Exited(code),
        (None, signal) => Ending::Signalled(signal.unwrap_or(0)),
    }
}
