//! Runs untrusted commands: no network, no credentials, limits, nothing alive afterwards.
//!
//! Owns what a command may see and how that is enforced (bubblewrap; else Landlock; else, only
//! when told, nothing), and says what is not held. Never decides which command to run, and never
//! believes a mechanism that its own self-test did not prove on this machine.

mod advice;
mod bubblewrap;
mod cgroup;
mod detect;
mod door;
mod environment;
mod landlock;
mod place;
mod proxy;
mod report;
mod tls;
mod toolchains;

use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::process::{
    Children, Confinement, Finished, Identity, KeepLines, Limits, ProcessError, Spec, Watch,
};

pub use door::{Door, Refusals};
pub use place::{Dependencies, Place, prepare_folder, prepare_place};
pub use report::SandboxReport;

use cgroup::Totals;
use toolchains::Toolchains;

/// What the operator asks for (`FOREMAN_SANDBOX`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Bubblewrap, else Landlock, else refuse.
    #[default]
    Auto,
    Bubblewrap,
    Landlock,
    /// Limits and a clean environment, nothing else.
    Off,
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "bubblewrap" => Ok(Self::Bubblewrap),
            "landlock" => Ok(Self::Landlock),
            "off" => Ok(Self::Off),
            other => Err(format!("`{other}` is none of auto, bubblewrap, landlock, off")),
        }
    }
}

/// What holds commands on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Bubblewrap,
    Landlock,
    None,
}

/// A command, its input and its bounds.
#[derive(Debug, Clone)]
pub struct Shell {
    /// Run by `sh -c` in the workspace.
    pub command: String,
    pub stdin: Option<Vec<u8>>,
    /// Added to the environment inside, which holds nothing of ours.
    pub env: Vec<(String, String)>,
    pub timeout: Duration,
    /// Of each process; memory and processes of the whole tree too where totals are held.
    pub limits: Limits,
    /// Bytes of output kept, head and tail.
    pub output_cap: usize,
    /// Bytes that the workspace and the private folders may take on the disk together.
    pub disk: Option<u64>,
    /// The one way out of the network namespace; by default there is none.
    pub door: Option<Door>,
    /// Lines kept of what is left out between them.
    pub keep_lines: Option<KeepLines>,
}

impl Shell {
    /// A command with limits that builds and tests of ordinary repositories stay below.
    pub fn new(command: impl Into<String>, timeout: Duration) -> Self {
        Self {
            command: command.into(),
            stdin: None,
            env: Vec::new(),
            timeout,
            limits: Limits {
                memory: Some(8 << 30),
                processes: Some(1024),
                file_size: Some(4 << 30),
                cpu_seconds: None,
                open_files: Some(8192),
            },
            output_cap: 4 << 20,
            disk: Some(20 << 30),
            door: None,
            keep_lines: None,
        }
    }
}

/// Why a way of holding commands can't be used here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// Not installed, or not part of this kernel.
    Missing(String),
    /// There, but the system does not let us.
    Forbidden(String),
    /// It ran and did not hold: the self-test got out.
    Leaks(String),
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(what) => write!(f, "missing ({what})"),
            Self::Forbidden(why) => write!(f, "forbidden by the system ({why})"),
            Self::Leaks(what) => write!(f, "does not hold ({what})"),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error("no sandbox works here: {}. {advice}", sentence(tried))]
    Unavailable { tried: Vec<(Kind, Obstacle)>, advice: String },
    #[error("the box could not be set up: {detail}")]
    Setup { detail: String },
    #[error("a command with a way to one address needs bubblewrap, and commands are held by {}", kind.name())]
    NoDoor { kind: Kind },
    #[error("{path} cannot be used in the box: {source}", path = path.display())]
    Place { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error("the sandbox's self-test could not be made: {0}")]
    SelfTest(io::Error),
}

fn sentence(tried: &[(Kind, Obstacle)]) -> String {
    let parts: Vec<_> =
        tried.iter().map(|(kind, obstacle)| format!("{} is {obstacle}", kind.name())).collect();
    parts.join(", ")
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Bubblewrap => "bubblewrap",
            Self::Landlock => "Landlock",
            Self::None => "nothing",
        }
    }
}

/// The unprivileged user of the box where Foreman itself is root.
const NOBODY: Identity = Identity { uid: 65534, gid: 65534 };

/// The one way to run an untrusted command. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    children: Children,
    kind: Kind,
    /// The foreman binary on the host.
    helper: PathBuf,
    /// Where bubblewrap is; empty unless it is used.
    bwrap: PathBuf,
    identity: Option<Identity>,
    tools: Toolchains,
    totals: Option<Totals>,
    report: SandboxReport,
}

impl Sandbox {
    /// Finds what works on this machine and proves it: a trial command in the box tries to read a
    /// file, write a file and reach a listener that it reaches outside. `helper` is the foreman
    /// binary.
    pub async fn detect(
        children: Children,
        mode: Mode,
        helper: PathBuf,
    ) -> Result<Self, SandboxError> {
        detect::detect(children, mode, helper).await
    }

    #[must_use]
    pub fn kind(&self) -> Kind {
        self.inner.kind
    }

    #[must_use]
    pub fn report(&self) -> SandboxReport {
        self.inner.report.clone()
    }

    /// Who must own workspaces and private folders; `None`: whoever runs Foreman.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        self.inner.identity
    }

    /// Where a command sees its workspace: what its output names.
    #[must_use]
    pub fn workspace_inside(&self, place: &Place) -> PathBuf {
        match self.inner.kind {
            Kind::Bubblewrap => PathBuf::from(bubblewrap::WORKSPACE),
            Kind::Landlock | Kind::None => place.workspace.clone(),
        }
    }

    /// Runs a command to its end, its timeout or cancellation. Its output is merged. Nothing it
    /// started is alive when this returns, as far as `report` says so.
    pub async fn run(
        &self,
        place: &Place,
        shell: &Shell,
        cancel: &CancellationToken,
    ) -> Result<Finished, SandboxError> {
        let place = place.resolved()?;
        let group = match &self.inner.totals {
            Some(totals) => Some(totals.open(&shell.limits).map_err(|error| {
                SandboxError::Setup { detail: format!("control group: {error}") }
            })?),
            None => None,
        };
        let (limits, held) = (shell.limits, group.is_some());
        let shell = &Shell { limits: own_limits(limits, held), ..shell.clone() };
        let mut spec = match self.inner.kind {
            Kind::Bubblewrap => {
                place.make_way(self.inner.tools.mounts().iter().chain(&place.read_only))?;
                let shown = place.dependencies_shown(self.inner.identity).map_err(|source| {
                    SandboxError::Place { path: place.workspace.clone(), source }
                })?;
                bubblewrap::spec(&self.inner, &place, &shown, shell)
            }
            Kind::Landlock => {
                landlock::check_reach(&place, self.inner.identity)?;
                self.bare_spec(&place, shell, landlock::confinement(&self.inner, &place))
            }
            Kind::None => self.bare_spec(&place, shell, Confinement::None),
        };
        spec.stdin.clone_from(&shell.stdin);
        spec.timeout = Some(shell.timeout);
        spec.output_cap = shell.output_cap;
        spec.keep_lines.clone_from(&shell.keep_lines);
        spec.merge_output = true;
        spec.cgroups = group.as_ref().map(cgroup::Group::folders).unwrap_or_default();
        let unheld = |limit: Option<u64>| limit.filter(|_| !held);
        spec.watch = Some(Watch {
            memory: unheld(limits.memory),
            processes: unheld(limits.processes),
            disk: shell.disk,
            folders: vec![place.workspace.clone(), place.private.clone()],
        });
        let finished = match &shell.door {
            None => self.inner.children.run(spec, cancel).await?,
            Some(_) if !self.opens_doors() => {
                return Err(SandboxError::NoDoor { kind: self.inner.kind });
            }
            Some(door) => door::run(&self.inner.children, spec, door, cancel).await?,
        };
        if let Some(why) = &finished.overrun {
            tracing::warn!("a command was ended: {why}");
        }
        Ok(finished)
    }

    /// Whether a command can be given a way to a named address, and dependencies can be shown.
    #[must_use]
    pub fn opens_doors(&self) -> bool {
        self.inner.kind == Kind::Bubblewrap
    }

    /// Without namespaces: the command's paths are the host's.
    fn bare_spec(&self, place: &Place, shell: &Shell, confinement: Confinement) -> Spec {
        let mut spec = Spec::new("/bin/sh", &place.workspace).args(["-c", &shell.command]);
        spec.env = environment::inside(&self.inner.tools, shell, None, &place.home(), &place.tmp());
        spec.limits = shell.limits;
        spec.identity = self.inner.identity;
        spec.confinement = confinement;
        spec.supervise = true;
        spec
    }
}

/// The kernel counts a user's processes over all boxes: one command's fork bomb would make the forks
/// of another fail. Where a control group counts each box by itself, that limit only stands behind.
fn own_limits(limits: Limits, held: bool) -> Limits {
    const BOXES_AT_ONCE: u64 = 32;
    let processes = limits.processes.map(|most| if held { most * BOXES_AT_ONCE } else { most });
    Limits { processes, ..limits }
}
